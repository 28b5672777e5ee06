//! What a directory tells about the lives of the broker that used it.

use std::io;
use std::sync::Arc;

use freshet_log::LastLife;

use crate::faulty::{Call, FaultyDisk};
use crate::support::{Rig, options};

const LOG: &str = "t-0";
const FILE: &str = "broker-epoch";

#[test]
fn a_directory_tells_in_which_epoch_it_was_used_and_how_that_ended() {
    let rig = Rig::new();
    assert_eq!(rig.dir.last_life(), LastLife::New);
    rig.dir.begin_life(3).unwrap();
    drop(rig.open(LOG));
    let rig = rig.crash();
    assert_eq!(rig.dir.last_life(), LastLife::Crashed(3));
    rig.dir.begin_life(4).unwrap();
    let rig = rig.restart();
    assert_eq!(rig.dir.last_life(), LastLife::Clean(4));
}

#[test]
fn a_process_that_never_served_changes_nothing() {
    let rig = Rig::new();
    rig.dir.begin_life(3).unwrap();
    drop(rig.open(LOG));
    // It stops cleanly, and still the life before it has crashed.
    let rig = rig.crash().restart();
    assert_eq!(rig.dir.last_life(), LastLife::Crashed(3));
    rig.dir.begin_life(4).unwrap();
    let rig = rig.restart().restart();
    assert_eq!(rig.dir.last_life(), LastLife::Clean(4));
    let rig = rig.crash();
    assert_eq!(
        rig.dir.last_life(),
        LastLife::Crashed(4),
        "to be on the safe side"
    );
}

#[test]
fn an_empty_directory_stays_new_until_a_broker_serves_from_it() {
    let rig = Rig::new();
    rig.dir.keep_new().unwrap();
    let rig = rig.crash();
    assert_eq!(rig.dir.last_life(), LastLife::New);
    let rig = rig.restart();
    assert_eq!(rig.dir.last_life(), LastLife::New);
    drop(rig.open(LOG));
    let rig = rig.crash();
    assert_eq!(rig.dir.last_life(), LastLife::Unknown, "whose log is it?");
}

#[test]
fn a_lost_or_damaged_file_tells_nothing() {
    let used = || {
        let rig = Rig::new();
        rig.dir.begin_life(3).unwrap();
        drop(rig.open(LOG));
        rig
    };
    let rig = used().restart_after(|dir| std::fs::remove_file(dir.join(FILE)).unwrap());
    assert_eq!(rig.dir.last_life(), LastLife::Unknown);
    for length in 0..23 {
        let rig = used().restart_after(|dir| {
            let bytes = std::fs::read(dir.join(FILE)).unwrap();
            assert_eq!(bytes.len(), 23);
            std::fs::write(dir.join(FILE), &bytes[..length]).unwrap();
        });
        assert_eq!(rig.dir.last_life(), LastLife::Unknown, "cut to {length}");
    }
    let rig = used().restart_after(|dir| std::fs::write(dir.join(FILE), [7; 5000]).unwrap());
    assert_eq!(rig.dir.last_life(), LastLife::Unknown);
}

#[test]
fn an_epoch_that_cannot_be_written_takes_the_directory_offline() {
    for call in [Call::Sync, Call::Rename] {
        let disk = Arc::new(FaultyDisk::default());
        let rig = Rig::with(Arc::<FaultyDisk>::clone(&disk), options());
        rig.dir.begin_life(3).unwrap();
        disk.fail(call, "", io::ErrorKind::Other);
        rig.dir.begin_life(3).expect("it is there already");
        let refused = rig.dir.begin_life(4).unwrap_err();
        assert_eq!(rig.dir.failure(), Some(refused), "{call:?}");
        disk.heal();
        rig.dir.begin_life(5).expect_err("never tried again");
        rig.writers.stop().unwrap_err();
    }
}
