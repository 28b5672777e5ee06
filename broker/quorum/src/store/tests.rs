use super::*;
use freshet_env::disk::SystemDisk;

const NOW: Timestamp = Timestamp(5);

fn open(dir: &Path) -> Result<(Store, Vec<Bytes>), StoreError> {
    let opened = Store::open(Arc::new(SystemDisk), dir)?;
    let snapshot = opened.snapshot.unwrap_or_default();
    let mut seen = snapshot.records;
    for (offset, entry) in opened.entries {
        if let (true, Content::Records(records)) =
            (offset >= snapshot.meta.next_offset, entry.content)
        {
            seen.extend(records);
        }
    }
    Ok((opened.store, seen))
}

fn next(store: &Store, content: Content) -> Entry {
    let index = store.last().map_or(0, |last| last.index + 1);
    Entry {
        id: EntryId { term: 1, index },
        content,
    }
}

fn append(store: &mut Store, words: &[&'static str]) {
    let entry = next(store, Content::Records(texts(words)));
    store.append(&[entry], NOW).expect("durable");
}

fn sum_up(store: &mut Store, words: &[&'static str]) {
    let (last, next_offset) = (store.last().expect("not empty"), store.next_offset());
    let meta = SnapshotMeta {
        last,
        next_offset,
        ..SnapshotMeta::default()
    };
    let bytes = encode_snapshot(&meta, &texts(words), NOW).expect("encoded");
    store.write_snapshot(&meta, &bytes).expect("written");
    store.purge(last).expect("purged");
}

fn texts(words: &[&'static str]) -> Vec<Bytes> {
    words
        .iter()
        .map(|word| Bytes::from_static(word.as_bytes()))
        .collect()
}

fn log_path(dir: &Path, base: Offset) -> PathBuf {
    dir.join(file_name(base, "log"))
}

fn tamper(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = SystemDisk.read_small(path, u64::MAX).expect("read");
    change(&mut bytes);
    SystemDisk.replace_small(path, &bytes).expect("written");
}

#[test]
fn what_was_appended_is_replayed_in_order() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let dir = home.path().join("m");
    let (mut store, seen) = open(&dir).expect("opened");
    assert!(seen.is_empty());
    append(&mut store, &["a", "b"]);
    append(&mut store, &["c"]);
    drop(store);
    let (store, seen) = open(&dir).expect("opened");
    assert_eq!((seen, store.next_offset()), (texts(&["a", "b", "c"]), 3));
}

#[test]
fn a_snapshot_replaces_what_it_sums_up() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let (mut store, _) = open(home.path()).expect("opened");
    append(&mut store, &["a", "b", "c"]);
    sum_up(&mut store, &["abc"]);
    assert_eq!(store.len_bytes(), 0);
    append(&mut store, &["d"]);
    drop(store);
    let (store, seen) = open(home.path()).expect("opened");
    assert_eq!((seen, store.next_offset()), (texts(&["abc", "d"]), 4));
    let names: Vec<_> = SystemDisk.list(home.path()).expect("listed");
    assert_eq!(names.len(), 3, "log, snapshot, purged: {names:?}");
}

#[test]
fn a_large_append_survives_whole_or_not_at_all() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let (mut store, _) = open(home.path()).expect("opened");
    append(&mut store, &["kept"]);
    let sound = usize::try_from(store.len_bytes()).expect("small");
    let large: Vec<Bytes> = (0..40).map(|i| vec![i; 64 << 10].into()).collect();
    let entry = next(&store, Content::Records(large));
    store.append(&[entry], NOW).expect("durable");
    drop(store);
    // The device wrote the end before the beginning.
    tamper(&log_path(home.path(), 0), |bytes| {
        bytes[sound..sound + (300 << 10)].fill(0);
    });
    assert_eq!(open(home.path()).expect("opened").1, texts(&["kept"]));
}

#[test]
fn a_torn_last_append_is_cut_at_every_length() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let (mut store, _) = open(home.path()).expect("opened");
    append(&mut store, &["kept"]);
    let sound = store.len_bytes();
    append(&mut store, &["torn"]);
    let whole = store.len_bytes();
    drop(store);
    let path = log_path(home.path(), 0);
    let full = SystemDisk.read_small(&path, u64::MAX).expect("read");
    for len in sound..whole {
        let len = usize::try_from(len).expect("small");
        SystemDisk
            .replace_small(&path, &full[..len])
            .expect("written");
        let (mut store, seen) = open(home.path()).expect("opened");
        assert_eq!(
            (seen, store.next_offset()),
            (texts(&["kept"]), 1),
            "cut at {len}"
        );
        append(&mut store, &["new"]);
        assert_eq!(
            open(home.path()).expect("opened").1,
            texts(&["kept", "new"])
        );
    }
}

#[test]
fn damage_before_sound_batches_is_refused_and_nothing_is_changed() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let (mut store, _) = open(home.path()).expect("opened");
    append(&mut store, &["first"]);
    append(&mut store, &["second"]);
    drop(store);
    let path = log_path(home.path(), 0);
    for position in 0..60 {
        let before = SystemDisk.read_small(&path, u64::MAX).expect("read");
        tamper(&path, |bytes| bytes[position] ^= 0x40);
        let refused = open(home.path()).map(|(_, seen)| seen);
        // Bytes 12 to 15 are the leader epoch, which is not summed and which we do not read.
        if !(12..16).contains(&position) {
            assert!(
                matches!(refused, Err(StoreError::Corrupt { .. })),
                "{position}: {refused:?}"
            );
        }
        SystemDisk.replace_small(&path, &before).expect("written");
    }
}

#[test]
fn a_damaged_snapshot_is_refused() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let (mut store, _) = open(home.path()).expect("opened");
    append(&mut store, &["a"]);
    sum_up(&mut store, &["a"]);
    drop(store);
    let path = home.path().join(file_name(1, "snapshot"));
    let sound = SystemDisk.read_small(&path, u64::MAX).expect("read");
    for position in 0..sound.len() {
        tamper(&path, |bytes| bytes[position] ^= 1);
        assert!(
            matches!(open(home.path()), Err(StoreError::Corrupt { .. })),
            "byte {position}"
        );
        SystemDisk.replace_small(&path, &sound).expect("written");
    }
    tamper(&path, |bytes| bytes.truncate(10));
    assert!(matches!(open(home.path()), Err(StoreError::Corrupt { .. })));
}
