//! What the fake disk promises, and what it takes away.

use std::io::{ErrorKind, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use freshet_env::contract::examine_disk;
use freshet_env::disk::{Disk, DiskFile, OpenMode, PatientDisk};

use super::{Effect, FakeDisk, Fault, Op};

const SEEDS: std::ops::Range<u64> = 0..200;

fn root() -> &'static Path {
    Path::new("/")
}

fn create(disk: &FakeDisk, path: &str) -> Arc<dyn DiskFile> {
    disk.open(Path::new(path), OpenMode::CreateNew).unwrap()
}

fn write(file: &dyn DiskFile, bytes: &[u8], position: u64) {
    file.write_all_at(&[IoSlice::new(bytes)], position).unwrap();
}

/// A file of three synced sectors of 1s whose name is durable.
fn synced(disk: &FakeDisk) -> Arc<dyn DiskFile> {
    let file = create(disk, "/a");
    write(&*file, &[1; 1536], 0);
    file.sync_data().unwrap();
    disk.sync_dir(root()).unwrap();
    file
}

#[test]
fn the_fake_disk_passes_the_exam() {
    for (short, cold) in [(0, 0), (30, 0), (0, 50), (60, 100)] {
        let disk = FakeDisk::new(short + cold);
        disk.set_short_io(short);
        disk.set_cold(cold);
        examine_disk(&disk, root());
    }
}

#[test]
fn what_was_synced_survives_every_crash() {
    for seed in SEEDS {
        let disk = FakeDisk::new(seed);
        let file = synced(&disk);
        write(&*file, &[2; 100], 1536);
        file.set_len(3000).unwrap();
        create(&disk, "/b");
        let bytes = disk.crash().bytes("/a").unwrap();
        assert_eq!(bytes[..1536], [1; 1536], "seed {seed}");
    }
}

#[test]
fn unsynced_bytes_go_sector_by_sector() {
    let (mut old, mut new, mut torn) = (0, 0, 0);
    for seed in SEEDS {
        let disk = FakeDisk::new(seed);
        write(&*synced(&disk), &[2; 1536], 0);
        let bytes = disk.crash().bytes("/a").unwrap();
        assert_eq!(bytes.len(), 1536);
        for sector in bytes.chunks(512) {
            assert!(
                sector == [1; 512] || sector == [2; 512],
                "sectors are whole"
            );
        }
        match bytes.iter().filter(|b| **b == 2).count() {
            0 => old += 1,
            1536 => new += 1,
            _ => torn += 1,
        }
    }
    assert!(old > 10 && new > 10 && torn > 10, "{old} {new} {torn}");
}

#[test]
fn an_unsynced_end_may_be_absent_or_hold_zeros() {
    let (mut short, mut zeros) = (0, 0);
    for seed in SEEDS {
        let disk = FakeDisk::new(seed);
        write(&*synced(&disk), &[2; 1024], 1536);
        let bytes = disk.crash().bytes("/a").unwrap();
        short += usize::from(bytes.len() < 2560);
        zeros += usize::from(bytes[1536..].contains(&0));
    }
    assert!(short > 10 && zeros > 10, "{short} {zeros}");
}

#[test]
fn what_follows_a_lost_truncation_is_lost_too() {
    for seed in SEEDS {
        let disk = FakeDisk::new(seed);
        let file = synced(&disk);
        file.set_len(512).unwrap();
        write(&*file, &[3; 512], 512);
        let bytes = disk.crash().bytes("/a").unwrap();
        let tail = &bytes[512..];
        let kept = tail == [1; 1024];
        let cut = tail.is_empty() || tail == [3; 512] || tail == [0; 512];
        assert!(kept || cut, "seed {seed}: {tail:?}");
    }
}

#[test]
fn names_need_a_synced_directory() {
    let (mut kept, mut lost) = (0, 0);
    for seed in SEEDS {
        let disk = FakeDisk::new(seed);
        let file = create(&disk, "/a");
        write(&*file, b"x", 0);
        file.sync_data().unwrap();
        match disk.crash().bytes("/a") {
            Some(bytes) => {
                assert_eq!(bytes, b"x");
                kept += 1;
            }
            None => lost += 1,
        }
    }
    assert!(kept > 10 && lost > 10, "{kept} {lost}");
}

#[test]
fn a_synced_tree_survives_whole() {
    for seed in SEEDS {
        let disk = FakeDisk::new(seed);
        disk.create_dir_all(Path::new("/d/e")).unwrap();
        disk.sync_dir(root()).unwrap();
        write(&*create(&disk, "/d/e/a"), &[1; 2000], 0);
        disk.sync_tree(Path::new("/d")).unwrap();
        assert_eq!(disk.crash().bytes("/d/e/a").unwrap(), [1; 2000]);
    }
}

#[test]
fn a_replaced_small_file_is_the_old_or_the_new_one() {
    for seed in SEEDS {
        for nth in 1..=6 {
            let disk = FakeDisk::new(seed);
            disk.replace_small(Path::new("/s"), b"old").unwrap();
            disk.power_off_during(nth);
            let replaced = disk.replace_small(Path::new("/s"), b"new");
            let bytes = disk.crash().bytes("/s").unwrap();
            assert!(bytes == b"old" || bytes == b"new", "{seed} {nth} {bytes:?}");
            assert!(replaced.is_err() || bytes == b"new", "{seed} {nth}");
        }
    }
}

#[test]
fn a_removed_directory_may_come_back_in_part() {
    let mut part = 0;
    for seed in SEEDS {
        let disk = FakeDisk::new(seed);
        disk.create_dir_all(Path::new("/d")).unwrap();
        disk.sync_dir(root()).unwrap();
        for name in ["/d/a", "/d/b"] {
            create(&disk, name);
        }
        disk.sync_dir(Path::new("/d")).unwrap();
        disk.remove_dir_all(Path::new("/d")).unwrap();
        let image = disk.crash().image();
        part += usize::from(image.len() == 1);
    }
    assert!(part > 0);
}

#[test]
fn a_failed_sync_cannot_be_made_good() {
    let mut lost = 0;
    for seed in SEEDS {
        let disk = FakeDisk::new(seed);
        let file = synced(&disk);
        write(&*file, &[2; 1536], 0);
        disk.inject(Fault::on(Op::Sync).at("/a"));
        assert!(file.sync_data().is_err());
        assert_eq!(disk.bytes("/a").unwrap(), [2; 1536], "readers see no loss");
        file.sync_data().unwrap();
        lost += usize::from(disk.crash().bytes("/a").unwrap() != [2; 1536]);
    }
    assert!(lost > 50, "{lost}");
}

#[test]
fn a_lying_sync_saves_nothing() {
    let mut lost = 0;
    for seed in SEEDS {
        let disk = FakeDisk::new(seed);
        let file = synced(&disk);
        write(&*file, &[2; 1536], 0);
        disk.inject(Fault::on(Op::Sync).exactly("/a").with(Effect::Lie));
        file.sync_data().unwrap();
        lost += usize::from(disk.crash().bytes("/a").unwrap() != [2; 1536]);
    }
    assert!(lost > 50, "{lost}");
}

#[test]
fn faults_strike_where_and_when_they_are_told() {
    let disk = FakeDisk::new(1);
    let (a, b) = (create(&disk, "/a"), create(&disk, "/b"));
    disk.inject(Fault::on(Op::Write).at("/b").nth(2).times(2));
    let try_write = |file: &dyn DiskFile| file.write_at(&[IoSlice::new(b"1234")], 0);
    assert!(try_write(&*a).is_ok());
    assert!(try_write(&*b).is_ok());
    assert!(try_write(&*b).is_err());
    assert!(try_write(&*a).is_ok());
    assert!(try_write(&*b).is_err());
    assert!(try_write(&*b).is_ok());
    assert_eq!(disk.struck(), 2);
    disk.inject(Fault::on(Op::Write).with(Effect::Short).always());
    assert_eq!(try_write(&*a).unwrap(), 2);
    disk.heal();
    assert_eq!(try_write(&*a).unwrap(), 4);

    disk.inject(Fault::on(Op::Read).with(Effect::FlippedBit));
    let mut bytes = [0; 4];
    a.read_exact_at(&mut bytes, 0).unwrap();
    assert_ne!(&bytes, b"1234");
    a.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"1234");
    disk.flip_bit("/a", 8);
    a.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"1334");
}

#[test]
fn a_full_disk_takes_what_fits() {
    let disk = FakeDisk::new(1);
    disk.set_capacity(1000);
    let file = create(&disk, "/a");
    file.allocate(0, 600).unwrap();
    assert_eq!(disk.space(root()).unwrap().available_bytes, 400);
    assert!(file.allocate(600, 500).is_err());
    assert_eq!(file.write_at(&[IoSlice::new(&[1; 1200])], 0).unwrap(), 1000);
    let full = file.write_at(&[IoSlice::new(b"x")], 1000).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::StorageFull);
    write(&*file, &[2; 1000], 0);
    disk.remove_file(Path::new("/a")).unwrap();
    write(&*create(&disk, "/b"), &[3; 1000], 0);
}

#[test]
fn cold_pages_are_warm_once_they_were_read() {
    let disk = FakeDisk::new(1);
    let file = create(&disk, "/a");
    write(&*file, &[1; 10_000], 0);
    disk.set_cold(100);
    let mut bytes = [0; 10_000];
    let cold = file.read_at_cached(&mut bytes, 0).unwrap_err();
    assert_eq!(cold.kind(), ErrorKind::WouldBlock);
    file.read_exact_at(&mut bytes[..4096], 0).unwrap();
    assert_eq!(file.read_at_cached(&mut bytes, 0).unwrap(), 4096);
}

#[test]
fn a_dead_process_touches_nothing() {
    let disk = FakeDisk::new(1);
    let file = synced(&disk);
    let lock = disk.lock(Path::new("/.lock")).unwrap();
    write(&*file, &[2; 512], 0);
    let next = disk.kill();
    assert_eq!(
        next.bytes("/a").unwrap()[..512],
        [2; 512],
        "the cache stays"
    );
    assert!(file.write_at(&[IoSlice::new(b"x")], 0).is_err());
    assert!(disk.exists(root()).is_err() && !disk.is_on());
    let _held = next.lock(Path::new("/.lock")).unwrap();
    drop(lock);
    assert!(
        next.lock(Path::new("/.lock")).is_err(),
        "a dead lock frees nothing"
    );
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = |seed| {
        let disk = FakeDisk::new(seed);
        disk.set_short_io(30);
        for round in 0..5_u8 {
            let file = create(&disk, &format!("/{round}"));
            for i in 0..10_u64 {
                write(&*file, &[round; 700], i * 650);
                if i == 4 {
                    file.sync_data().unwrap();
                }
            }
            disk.rename(Path::new(&format!("/{round}")), Path::new("/last"))
                .unwrap();
        }
        let disk = disk.crash();
        create(&disk, "/more");
        disk.crash().image()
    };
    for seed in SEEDS {
        assert_eq!(run(seed), run(seed));
    }
    assert!(SEEDS.map(run).any(|image| image != run(0)));
}

#[test]
fn stalled_calls_wait_and_go_on() {
    let disk = FakeDisk::new(1);
    let file = synced(&disk);
    disk.inject(Fault::on(Op::Sync).with(Effect::Stall).times(2));
    let sync = |file: &Arc<dyn DiskFile>| {
        let file = Arc::clone(file);
        freshet_env::tasks::spawn_thread("stalled", move || file.sync_data()).unwrap()
    };
    let first = sync(&file);
    disk.wait_stalled(1);
    write(&*file, &[2; 512], 0);
    disk.resume();
    first.join().unwrap().unwrap();
    assert_eq!(disk.durable_bytes("/a").unwrap()[..512], [2; 512]);
    let second = sync(&file);
    disk.wait_stalled(1);
    let _next = disk.kill();
    assert!(second.join().unwrap().is_err(), "its process is gone");
}

#[test]
fn a_patient_disk_is_a_disk_that_waits_for_room_while_it_has_patience() {
    let fake = FakeDisk::new(1);
    examine_disk(
        &PatientDisk::new(Arc::new(fake.clone()), |_| unreachable!()),
        Path::new("/"),
    );
    let fake = FakeDisk::new(1);
    fake.set_capacity(1000);
    let pauses = Arc::new(AtomicU64::new(0));
    let disk = PatientDisk::new(Arc::new(fake.clone()), {
        let (fake, pauses) = (fake.clone(), Arc::clone(&pauses));
        move |before| {
            let pauses = pauses.fetch_add(1, Ordering::Relaxed) + 1;
            assert!(u64::from(before) < pauses);
            fake.set_capacity(1000 + 100 * pauses);
        }
    });
    disk.be_patient(true);
    let path = Path::new("/full");
    let file = disk.open(path, OpenMode::CreateNew).unwrap();
    let bytes: Vec<u8> = (0..2000).map(|i| (i % 251) as u8).collect();
    file.write_all_at(&[IoSlice::new(&bytes)], 0).unwrap();
    assert!(pauses.load(Ordering::Relaxed) >= 10);
    assert_eq!(disk.read_small(path, 5000).unwrap(), bytes);
    let waited = pauses.load(Ordering::Relaxed);
    disk.be_patient(false);
    let refused = file
        .write_all_at(&[IoSlice::new(&bytes)], 2000)
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::StorageFull);
    assert_eq!(pauses.load(Ordering::Relaxed), waited);
}
