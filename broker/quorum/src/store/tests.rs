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

/// Opens and gives offset and id of every entry.
fn ids(dir: &Path) -> Vec<(Offset, u64, u64)> {
    let opened = Store::open(Arc::new(SystemDisk), dir).expect("opened");
    let entries = opened.entries.iter();
    entries
        .map(|(offset, entry)| (*offset, entry.id.term, entry.id.index))
        .collect()
}

fn entry(term: u64, index: u64, words: &[&'static str]) -> Entry {
    Entry {
        id: EntryId { term, index },
        content: Content::Records(texts(words)),
    }
}

#[test]
fn offsets_count_records_and_every_entry_takes_one() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let (mut store, _) = open(home.path()).expect("opened");
    let blank = Entry {
        id: EntryId { term: 2, index: 1 },
        content: Content::Blank,
    };
    let voters = Entry {
        id: EntryId { term: 2, index: 2 },
        content: Content::Voters(Bytes::from_static(b"who")),
    };
    let all = [
        entry(1, 0, &["a", "b", "c"]),
        blank,
        voters,
        entry(2, 3, &["d"]),
    ];
    store.append(&all, NOW).expect("durable");
    drop(store);
    let opened = Store::open(Arc::new(SystemDisk), home.path()).expect("opened");
    let (offsets, entries): (Vec<_>, Vec<_>) = opened.entries.into_iter().unzip();
    assert_eq!((offsets, entries.as_slice()), (vec![0, 3, 4, 5], &all[..]));
    assert_eq!(opened.store.next_offset(), 6);
}

#[test]
fn a_torn_append_of_several_entries_is_no_damage() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let (mut store, _) = open(home.path()).expect("opened");
    store
        .append(&[entry(1, 0, &["kept"])], NOW)
        .expect("durable");
    let sound = usize::try_from(store.len_bytes()).expect("small");
    let several: Vec<_> = (1..6).map(|index| entry(1, index, &["torn"])).collect();
    store.append(&several, NOW).expect("durable");
    drop(store);
    let path = log_path(home.path(), 0);
    let full = SystemDisk.read_small(&path, u64::MAX).expect("read");
    for hole in sound..full.len() - 1 {
        // The device wrote all but one byte.
        let mut torn = full.clone();
        torn[hole] ^= 0x20;
        SystemDisk.replace_small(&path, &torn).expect("written");
        let found = ids(home.path());
        assert!(
            found.starts_with(&[(0, 1, 0)]) && found.len() <= 6,
            "{hole}: {found:?}"
        );
    }
    // A later append proves that the earlier was whole.
    SystemDisk.replace_small(&path, &full).expect("written");
    let (mut store, _) = open(home.path()).expect("opened");
    store
        .append(&[entry(1, 6, &["later"])], NOW)
        .expect("durable");
    drop(store);
    tamper(&path, |bytes| bytes[sound + 40] ^= 0x20);
    assert!(matches!(open(home.path()), Err(StoreError::Corrupt { .. })));
}

#[test]
fn another_leaders_entries_take_the_place_of_lost_ones() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let (mut store, _) = open(home.path()).expect("opened");
    for index in 0..4 {
        store
            .append(&[entry(1, index, &["x", "y"])], NOW)
            .expect("durable");
    }
    store.truncate_from(2).expect("cut");
    assert_eq!(
        (store.next_offset(), store.last()),
        (4, Some(EntryId { term: 1, index: 1 }))
    );
    store.append(&[entry(3, 2, &["z"])], NOW).expect("durable");
    drop(store);
    assert_eq!(ids(home.path()), [(0, 1, 0), (2, 1, 1), (4, 3, 2)]);
}

#[test]
fn long_logs_are_cut_into_files_that_go_one_by_one() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let (mut store, _) = open(home.path()).expect("opened");
    let large = || Content::Records(vec![vec![1; 1 << 20].into()]);
    for index in 0..14 {
        let id = EntryId { term: 1, index };
        store
            .append(
                &[Entry {
                    id,
                    content: large(),
                }],
                NOW,
            )
            .expect("durable");
    }
    let logs = || {
        let names = SystemDisk.list(home.path()).expect("listed");
        names
            .iter()
            .filter(|entry| entry.name.ends_with(".log"))
            .count()
    };
    assert_eq!(logs(), 4);
    store.purge(EntryId { term: 1, index: 5 }).expect("purged");
    assert_eq!(logs(), 3, "the second file still holds 6 and 7");
    drop(store);
    assert_eq!(ids(home.path()).first(), Some(&(6, 1, 6)));
    let (mut store, _) = open(home.path()).expect("opened");
    store.truncate_from(7).expect("cut");
    assert_eq!(logs(), 1);
    drop(store);
    assert_eq!(ids(home.path()), [(6, 1, 6)]);
}

#[test]
fn a_log_goes_on_where_a_snapshot_of_others_ends() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let (mut store, _) = open(home.path()).expect("opened");
    store
        .append(&[entry(1, 0, &["old"])], NOW)
        .expect("durable");
    let last = EntryId {
        term: 7,
        index: 900,
    };
    let meta = SnapshotMeta {
        last,
        next_offset: 5000,
        ..SnapshotMeta::default()
    };
    let bytes = encode_snapshot(&meta, &texts(&["all"]), NOW).expect("encoded");
    store.write_snapshot(&meta, &bytes).expect("written");
    // A crash here: the log still begins at 0.
    drop(store);
    let (mut store, seen) = open(home.path()).expect("opened");
    assert_eq!(
        (seen, store.next_offset(), store.last()),
        (texts(&["all"]), 5000, Some(last))
    );
    store
        .append(&[entry(7, 901, &["new"])], NOW)
        .expect("durable");
    drop(store);
    assert_eq!(ids(home.path()), [(5000, 7, 901)]);
}

#[test]
fn a_vote_is_remembered_and_a_damaged_one_is_not_forgotten() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let (store, _) = open(home.path()).expect("opened");
    let (node, directory) = (freshet_types::NodeId(3), freshet_types::TopicId([9; 16]));
    let vote = StoredVote {
        term: 12,
        node,
        directory,
        committed: true,
    };
    store.save_vote(vote).expect("durable");
    drop(store);
    let found = || Store::open(Arc::new(SystemDisk), home.path()).map(|opened| opened.vote);
    assert_eq!(found(), Ok(Some(vote)));
    let path = home.path().join("vote");
    let len = SystemDisk.read_small(&path, u64::MAX).expect("read").len();
    for position in 0..len {
        tamper(&path, |bytes| bytes[position] ^= 1);
        assert!(
            matches!(found(), Err(StoreError::Corrupt { .. })),
            "byte {position}"
        );
        tamper(&path, |bytes| bytes[position] ^= 1);
    }
    tamper(&path, Vec::clear);
    assert!(
        matches!(found(), Err(StoreError::Corrupt { .. })),
        "an empty vote is no vote"
    );
}

#[test]
fn directories_of_the_first_format_are_read_and_written_on() {
    use freshet_records::{BatchBuilder, Codec, NewRecord};
    let batch = |base: Offset, words: &[&'static str]| {
        let mut builder = BatchBuilder::new(Codec::None).at(base, 0);
        for word in words {
            let value = Some(word.as_bytes());
            builder
                .push(&NewRecord {
                    timestamp: NOW,
                    value,
                    ..NewRecord::default()
                })
                .expect("pushed");
        }
        builder.finish().expect("built").bytes().to_vec()
    };
    let home = tempfile::tempdir().expect("a temporary directory");
    let mut snapshot = batch(0, &["sum"]);
    snapshot.extend(b"FRSHSNP1");
    snapshot.extend(1_u64.to_be_bytes());
    snapshot.extend(freshet_records::crc32c(&snapshot).to_be_bytes());
    let path = home.path().join(file_name(7, "snapshot"));
    SystemDisk.replace_small(&path, &snapshot).expect("written");
    let log = [batch(7, &["a", "b"]), batch(9, &["c"])].concat();
    SystemDisk
        .replace_small(&log_path(home.path(), 7), &log)
        .expect("written");
    let (mut store, seen) = open(home.path()).expect("opened");
    assert_eq!(
        (seen, store.next_offset()),
        (texts(&["sum", "a", "b", "c"]), 10)
    );
    append(&mut store, &["d"]);
    sum_up(&mut store, &["all"]);
    drop(store);
    assert_eq!(open(home.path()).expect("opened").1, texts(&["all"]));
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

/// The bytes of `docs/formats/metadata-log.md`. They change only with a new version.
#[test]
fn the_formats_are_what_they_were() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let (mut store, _) = open(home.path()).expect("opened");
    let voters = Content::Voters(Bytes::from_static(b"who"));
    let all = [
        entry(5, 0, &["a", "b"]),
        Entry {
            id: EntryId { term: 6, index: 1 },
            content: Content::Blank,
        },
        Entry {
            id: EntryId { term: 6, index: 2 },
            content: voters,
        },
    ];
    store.append(&all, NOW).expect("durable");
    let meta = SnapshotMeta {
        last: EntryId { term: 6, index: 1 },
        next_offset: 3,
        voters_at: Some(EntryId { term: 6, index: 2 }),
        voters: Bytes::from_static(b"who"),
    };
    let bytes = encode_snapshot(&meta, &texts(&["ab"]), NOW).expect("encoded");
    store.write_snapshot(&meta, &bytes).expect("written");
    store.purge(meta.last).expect("purged");
    let (node, directory) = (freshet_types::NodeId(3), freshet_types::TopicId([9; 16]));
    let vote = StoredVote {
        term: 12,
        node,
        directory,
        committed: true,
    };
    store.save_vote(vote).expect("durable");
    let read = |name: &str| {
        hex(&SystemDisk
            .read_small(&home.path().join(name), 4096)
            .expect("read"))
    };
    let found = [
        read(&file_name(0, "log")),
        read(&file_name(3, "snapshot")),
        read("purged"),
        read("vote"),
    ];
    let golden = include_str!("golden.txt");
    assert_eq!(
        found.join("\n"),
        golden.trim(),
        "the bytes of a format changed"
    );
}
