//! The exam of the [`Disk`] door: every implementation passes it, the fake one included.
//!
//! Durability is left out, because a healthy file system cannot be asked for it; the fake disk of
//! `sim` has its own tests of what a crash takes.

#![expect(clippy::unwrap_used, reason = "an exam fails by panicking")]

pub mod objects;

use std::io::{ErrorKind, IoSlice};
use std::path::Path;

use crate::disk::{Disk, DiskFile, Entry, OpenMode};

/// One question: given a disk and an empty directory on it, panics when the answer is wrong.
pub type Case = fn(&dyn Disk, &Path);

/// All questions, by name.
pub const DISK: &[(&str, Case)] = &[
    ("open_modes_do_what_they_say", open_modes),
    ("io_is_positional_and_gaps_are_zeros", positional),
    ("many_buffers_are_written_in_order", many_buffers),
    ("handles_of_one_file_see_each_other", shared_handles),
    ("cached_reads_give_bytes_or_would_block", cached_reads),
    ("lengths_are_cut_and_extended", lengths),
    ("allocation_keeps_the_length", allocation),
    ("listings_are_sorted", listings),
    ("renames_replace", renames),
    ("removals_remove", removals),
    (
        "names_outlive_nothing_but_handles_outlive_names",
        open_after_removal,
    ),
    ("missing_directories_are_not_found", missing_directories),
    ("a_tree_is_synced_with_all_in_it", trees),
    ("a_lock_has_one_holder", locks),
    ("small_files_are_replaced_whole_and_capped", small_files),
    ("space_is_plausible", space),
];

/// Asks all questions, each in a fresh directory under `root`, which must exist and be empty.
pub fn examine_disk(disk: &dyn Disk, root: &Path) {
    for (name, case) in DISK {
        let dir = root.join(name);
        disk.create_dir_all(&dir).unwrap();
        case(disk, &dir);
    }
}

fn create(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> std::sync::Arc<dyn DiskFile> {
    let file = disk.open(path, OpenMode::CreateNew).unwrap();
    write(&*file, bytes, 0);
    file
}

fn write(file: &dyn DiskFile, bytes: &[u8], position: u64) {
    file.write_all_at(&[IoSlice::new(bytes)], position).unwrap();
}

fn read(file: &dyn DiskFile, position: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0xee; length];
    file.read_exact_at(&mut bytes, position).unwrap();
    bytes
}

fn open_error(disk: &dyn Disk, path: &Path, mode: OpenMode) -> ErrorKind {
    disk.open(path, mode).map(|_| ()).unwrap_err().kind()
}

fn open_modes(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("a");
    assert!(!disk.exists(&path).unwrap());
    for mode in [OpenMode::Read, OpenMode::Write] {
        assert_eq!(open_error(disk, &path, mode), ErrorKind::NotFound);
    }
    create(disk, &path, b"abc");
    assert!(disk.exists(&path).unwrap());
    let again = open_error(disk, &path, OpenMode::CreateNew);
    assert_eq!(again, ErrorKind::AlreadyExists);

    let reader = disk.open(&path, OpenMode::Read).unwrap();
    assert!(reader.write_at(&[IoSlice::new(b"x")], 0).is_err());
    assert!(reader.set_len(1).is_err());
    let writer = disk.open(&path, OpenMode::Write).unwrap();
    assert_eq!(read(&*writer, 0, 3), b"abc", "Write keeps what is there");
    disk.open(&path, OpenMode::Replace).unwrap();
    assert!(writer.is_empty().unwrap(), "Replace empties");
    disk.open(&dir.join("b"), OpenMode::Replace).unwrap();
    assert!(disk.exists(&dir.join("b")).unwrap(), "Replace makes");
    assert!(disk.open(dir, OpenMode::Write).is_err(), "a directory");
}

fn positional(disk: &dyn Disk, dir: &Path) {
    let file = create(disk, &dir.join("a"), b"0123456789");
    write(&*file, b"AB", 4);
    assert_eq!(read(&*file, 0, 10), b"0123AB6789");
    write(&*file, b"far", 2000);
    assert_eq!(file.len().unwrap(), 2003);
    assert_eq!(read(&*file, 10, 1990), vec![0; 1990]);
    assert_eq!(read(&*file, 2000, 3), b"far");
    let mut buffer = [0; 8];
    assert_eq!(file.read_at(&mut buffer, 2003).unwrap(), 0);
    assert_eq!(file.read_at(&mut buffer, 1 << 40).unwrap(), 0);
    let short = file.read_exact_at(&mut buffer, 2000).unwrap_err();
    assert_eq!(short.kind(), ErrorKind::UnexpectedEof);
    file.sync_data().unwrap();
}

fn many_buffers(disk: &dyn Disk, dir: &Path) {
    let file = create(disk, &dir.join("a"), b"");
    let pieces: Vec<Vec<u8>> = (0..3000_u16)
        .map(|i| i.to_be_bytes()[..usize::from(i % 3)].to_vec())
        .collect();
    let slices: Vec<IoSlice<'_>> = pieces.iter().map(|p| IoSlice::new(p)).collect();
    file.write_all_at(&slices, 5).unwrap();
    assert_eq!(read(&*file, 5, 3000), pieces.concat());
    assert_eq!(file.len().unwrap(), 3005);
    file.write_all_at(&[], 9).unwrap();
    file.write_all_at(&[IoSlice::new(b"")], 1 << 20).unwrap();
    assert_eq!(file.len().unwrap(), 3005, "nothing written extends nothing");
}

fn shared_handles(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("a");
    let writer = create(disk, &path, b"one");
    let reader = disk.open(&path, OpenMode::Read).unwrap();
    write(&*writer, b"two", 3);
    assert_eq!(read(&*reader, 0, 6), b"onetwo");
    reader.sync_data().unwrap();
}

fn cached_reads(disk: &dyn Disk, dir: &Path) {
    let file = create(disk, &dir.join("a"), b"just written");
    for from in [0, 5, 12, 100] {
        let mut buffer = [0; 12];
        match file.read_at_cached(&mut buffer, from as u64) {
            Ok(count) => {
                let there = b"just written".get(from..).unwrap_or_default();
                assert!(count > 0 || there.is_empty(), "0 means the end");
                assert_eq!(buffer[..count], there[..count]);
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
}

fn lengths(disk: &dyn Disk, dir: &Path) {
    let file = create(disk, &dir.join("a"), b"0123456789");
    file.set_len(4).unwrap();
    assert_eq!(file.len().unwrap(), 4);
    file.set_len(8).unwrap();
    assert_eq!(read(&*file, 0, 8), b"0123\0\0\0\0", "what was cut is gone");
    write(&*file, b"x", 8);
    assert_eq!(file.len().unwrap(), 9);
}

fn allocation(disk: &dyn Disk, dir: &Path) {
    let file = create(disk, &dir.join("a"), b"abc");
    file.allocate(0, 1 << 20).unwrap();
    file.allocate(3, 0).unwrap();
    assert_eq!(file.len().unwrap(), 3);
    write(&*file, b"d", 3);
    assert_eq!(read(&*file, 0, 4), b"abcd");
}

fn listings(disk: &dyn Disk, dir: &Path) {
    for name in ["b", "a", "10", "2"] {
        create(disk, &dir.join(name), name.as_bytes());
    }
    let sub = dir.join("c/d");
    disk.create_dir_all(&sub).unwrap();
    disk.create_dir_all(&sub).unwrap();
    create(disk, &sub.join("deep"), b"");
    let entry = |name: &str, is_dir| Entry {
        name: name.to_owned(),
        is_dir,
        len_bytes: if is_dir { 0 } else { name.len() as u64 },
    };
    let expected = vec![
        entry("10", false),
        entry("2", false),
        entry("a", false),
        entry("b", false),
        entry("c", true),
    ];
    assert_eq!(disk.list(dir).unwrap(), expected);
    assert!(disk.list(&dir.join("a")).is_err(), "a file has no entries");
}

fn renames(disk: &dyn Disk, dir: &Path) {
    let (from, to) = (dir.join("from"), dir.join("to"));
    let file = create(disk, &from, b"new");
    create(disk, &to, b"old one");
    disk.rename(&from, &to).unwrap();
    assert!(!disk.exists(&from).unwrap());
    write(&*file, b"!", 3);
    assert_eq!(disk.read_small(&to, 100).unwrap(), b"new!");
    let missing = disk.rename(&from, &to).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);

    let sub = dir.join("sub");
    disk.create_dir_all(&sub).unwrap();
    disk.rename(&to, &sub.join("moved")).unwrap();
    disk.rename(&sub, &dir.join("sub2")).unwrap();
    let moved = dir.join("sub2/moved");
    assert_eq!(disk.read_small(&moved, 100).unwrap(), b"new!");
    disk.sync_dir(dir).unwrap();
}

fn removals(disk: &dyn Disk, dir: &Path) {
    let (path, tree) = (dir.join("a"), dir.join("t/u"));
    create(disk, &path, b"x");
    disk.remove_file(&path).unwrap();
    assert!(!disk.exists(&path).unwrap());
    let again = disk.remove_file(&path).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::NotFound);

    disk.create_dir_all(&tree).unwrap();
    create(disk, &tree.join("b"), b"x");
    assert!(disk.remove_file(&tree).is_err(), "a directory is no file");
    disk.remove_dir_all(&dir.join("t")).unwrap();
    assert!(disk.list(dir).unwrap().is_empty());
    let again = disk.remove_dir_all(&dir.join("t")).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::NotFound);
}

fn open_after_removal(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("a");
    let old = create(disk, &path, b"old");
    disk.remove_file(&path).unwrap();
    write(&*old, b"er", 3);
    assert_eq!(read(&*old, 0, 5), b"older");
    let new = create(disk, &path, b"new");
    assert_eq!(read(&*new, 0, 3), b"new");
    assert_eq!(read(&*old, 0, 5), b"older");
}

fn missing_directories(disk: &dyn Disk, dir: &Path) {
    let missing = dir.join("nowhere");
    let inside = missing.join("a");
    for mode in [OpenMode::Read, OpenMode::CreateNew, OpenMode::Replace] {
        assert_eq!(open_error(disk, &inside, mode), ErrorKind::NotFound);
    }
    let kinds = [
        disk.list(&missing).map(|_| ()).unwrap_err().kind(),
        disk.sync_dir(&missing).unwrap_err().kind(),
        disk.lock(&inside).map(|_| ()).unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::NotFound; 3]);
    assert!(!disk.exists(&inside).unwrap());
    let file = dir.join("file");
    create(disk, &file, b"");
    assert!(disk.create_dir_all(&file).is_err(), "a file is in the way");
}

fn trees(disk: &dyn Disk, dir: &Path) {
    let sub = dir.join("b/c");
    disk.create_dir_all(&sub).unwrap();
    create(disk, &sub.join("a"), b"x");
    disk.sync_tree(dir).unwrap();
    let missing = disk.sync_tree(&dir.join("nowhere")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

fn locks(disk: &dyn Disk, dir: &Path) {
    let path = dir.join(".lock");
    let held = disk.lock(&path).unwrap();
    let refused = disk.lock(&path).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WouldBlock);
    let other = disk.lock(&dir.join(".lock2")).unwrap();
    drop(held);
    let again = disk.lock(&path).unwrap();
    drop((again, other));
    assert!(disk.exists(&path).unwrap());
}

fn small_files(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("state");
    disk.replace_small(&path, b"one").unwrap();
    disk.replace_small(&path, b"two!").unwrap();
    assert_eq!(disk.read_small(&path, 4).unwrap(), b"two!");
    let refused = disk.read_small(&path, 3).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidData);
    assert_eq!(disk.list(dir).unwrap().len(), 1, "nothing else is left");
}

fn space(disk: &dyn Disk, dir: &Path) {
    let space = disk.space(dir).unwrap();
    assert!(space.available_bytes <= space.total_bytes);
    assert!(space.total_bytes > 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SystemDisk;

    #[test]
    fn the_real_disk_passes() {
        let dir = tempfile::tempdir().unwrap();
        examine_disk(&SystemDisk, dir.path());
    }
}
