//! The real disk against what the trait promises.

use std::io::{ErrorKind, IoSlice};

use super::*;

fn write(file: &dyn DiskFile, bytes: &[u8], position: u64) {
    file.write_all_at(&[IoSlice::new(bytes)], position)
        .expect("a temporary directory can be written");
}

#[test]
fn open_modes_do_what_they_say() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    let kind = |mode| SystemDisk.open(&path, mode).map(|_| ()).unwrap_err().kind();
    assert_eq!(kind(OpenMode::Read), ErrorKind::NotFound);
    assert_eq!(kind(OpenMode::Write), ErrorKind::NotFound);

    let file = SystemDisk.open(&path, OpenMode::CreateNew).unwrap();
    write(&*file, b"abc", 0);
    assert_eq!(kind(OpenMode::CreateNew), ErrorKind::AlreadyExists);

    let reader = SystemDisk.open(&path, OpenMode::Read).unwrap();
    assert!(reader.write_at(&[IoSlice::new(b"x")], 0).is_err());
    let writer = SystemDisk.open(&path, OpenMode::Write).unwrap();
    assert_eq!(writer.len().unwrap(), 3, "Write keeps what is there");
    SystemDisk.open(&path, OpenMode::Replace).unwrap();
    assert!(writer.is_empty().unwrap(), "Replace empties");
}

#[test]
fn positional_io_of_more_buffers_than_one_call_takes() {
    let dir = tempfile::tempdir().unwrap();
    let file = SystemDisk
        .open(&dir.path().join("a"), OpenMode::CreateNew)
        .unwrap();
    let pieces: Vec<[u8; 3]> = (0..3000u16)
        .map(|i| [i.to_be_bytes()[0], i.to_be_bytes()[1], 7])
        .collect();
    let slices: Vec<IoSlice<'_>> = pieces.iter().map(|p| IoSlice::new(p)).collect();
    file.write_all_at(&slices, 5).unwrap();
    file.sync_data().unwrap();
    assert_eq!(file.len().unwrap(), 5 + 9000);

    let mut back = vec![0; 9000];
    file.read_exact_at(&mut back, 5).unwrap();
    assert_eq!(back, pieces.concat());
    assert_eq!(file.read_at(&mut back, 9005).unwrap(), 0, "end of the file");
    let short = file.read_exact_at(&mut back, 6).unwrap_err();
    assert_eq!(short.kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn cached_reads_give_bytes_or_would_block() {
    let dir = tempfile::tempdir().unwrap();
    let file = SystemDisk
        .open(&dir.path().join("a"), OpenMode::CreateNew)
        .unwrap();
    write(&*file, b"just written", 0);
    let mut buffer = [0; 12];
    match file.read_at_cached(&mut buffer, 0) {
        Ok(read) => assert_eq!(&buffer[..read], &b"just written"[..read]),
        Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
    }
}

#[test]
fn allocate_keeps_the_length_and_set_len_changes_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = SystemDisk
        .open(&dir.path().join("a"), OpenMode::CreateNew)
        .unwrap();
    file.allocate(0, 1 << 20).unwrap();
    file.allocate(0, 0).unwrap();
    assert_eq!(file.len().unwrap(), 0);
    file.set_len(10).unwrap();
    let mut zeros = [1; 10];
    file.read_exact_at(&mut zeros, 0).unwrap();
    assert_eq!(zeros, [0; 10]);
}

#[test]
fn directories_are_listed_renamed_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let sub = dir.path().join("b/c");
    SystemDisk.create_dir_all(&sub).unwrap();
    SystemDisk.create_dir_all(&sub).unwrap();
    let file = SystemDisk
        .open(&dir.path().join("b/a"), OpenMode::CreateNew)
        .unwrap();
    write(&*file, b"12345", 0);
    let entry = |name: &str, is_dir, len_bytes| Entry {
        name: name.to_owned(),
        is_dir,
        len_bytes,
    };
    let parent = dir.path().join("b");
    let expected = vec![entry("a", false, 5), entry("c", true, 0)];
    assert_eq!(SystemDisk.list(&parent).unwrap(), expected);

    SystemDisk
        .rename(&parent.join("a"), &parent.join("d"))
        .unwrap();
    SystemDisk.sync_dir(&parent).unwrap();
    assert!(!SystemDisk.exists(&parent.join("a")).unwrap());
    assert!(SystemDisk.exists(&parent.join("d")).unwrap());
    SystemDisk.remove_file(&parent.join("d")).unwrap();
    SystemDisk.remove_dir_all(&parent).unwrap();
    assert_eq!(
        SystemDisk.list(&parent).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    SystemDisk.sync_dir(Path::new("")).unwrap();
}

#[test]
fn a_lock_has_one_holder() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(".lock");
    let held = SystemDisk.lock(&path).unwrap();
    let refused = SystemDisk.lock(&path).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WouldBlock);
    drop(held);
    SystemDisk.lock(&path).unwrap();
}

#[test]
fn small_files_are_replaced_whole_and_capped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    SystemDisk.replace_small(&path, b"one").unwrap();
    SystemDisk.replace_small(&path, b"two!").unwrap();
    assert_eq!(SystemDisk.read_small(&path, 4).unwrap(), b"two!");
    let refused = SystemDisk.read_small(&path, 3).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidData);
    assert_eq!(SystemDisk.list(dir.path()).unwrap().len(), 1);
}

#[test]
fn space_is_plausible() {
    let dir = tempfile::tempdir().unwrap();
    let space = SystemDisk.space(dir.path()).unwrap();
    assert!(space.available_bytes <= space.total_bytes);
    assert!(space.total_bytes > 0);
}

#[test]
fn large_writes_go_in_aligned_pieces_and_arrive_whole() {
    let dir = tempfile::tempdir().unwrap();
    let file = SystemDisk
        .open(&dir.path().join("a"), OpenMode::CreateNew)
        .unwrap();
    let bytes: Vec<u8> = (0..500_000u32)
        .map(|i| i.to_le_bytes()[i as usize % 3])
        .collect();
    let (head, tail) = bytes.split_at(100);
    let first = file.write_at(&[IoSlice::new(head), IoSlice::new(tail)], 1000);
    assert_eq!(first.unwrap(), 128 * 1024 - 1000);
    file.write_all_at(&[IoSlice::new(head), IoSlice::new(tail)], 1000)
        .unwrap();
    let mut back = vec![0; bytes.len()];
    file.read_exact_at(&mut back, 1000).unwrap();
    assert_eq!(back, bytes);
}

#[test]
fn a_tree_is_synced() {
    let dir = tempfile::tempdir().unwrap();
    SystemDisk.create_dir_all(&dir.path().join("a/b")).unwrap();
    SystemDisk
        .open(&dir.path().join("a/b/c"), OpenMode::CreateNew)
        .unwrap();
    SystemDisk.sync_tree(dir.path()).unwrap();
    let missing = dir.path().join("missing");
    assert!(SystemDisk.sync_tree(&missing).is_err());
}
