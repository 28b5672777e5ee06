//! Directories with many logs.

use std::io::ErrorKind::Other;
use std::sync::Arc;

use freshet_env::Disk;
use freshet_log::{LogError, LogHandle, LogName};

use crate::faulty::{Call, FaultyDisk};
use crate::support::{Rig, TestLog, options};

/// Enough that a stop syncs them together.
const MANY: usize = 200;

fn rig() -> (Arc<FaultyDisk>, Rig) {
    let disk = Arc::new(FaultyDisk::default());
    let rig = Rig::with(Arc::<FaultyDisk>::clone(&disk) as Arc<dyn Disk>, options());
    (disk, rig)
}

fn open_many(rig: &Rig) -> Vec<TestLog> {
    let names = (0..MANY).map(|i| format!("t-{i}"));
    names.map(|name| rig.open(&name)).collect()
}

#[test]
fn a_stop_syncs_many_empty_logs_together() {
    let (disk, rig) = rig();
    let logs = open_many(&rig);
    logs[3].put(&["a"]);
    let before = disk.count(Call::SyncDir, "/logs");
    drop(logs);
    let rig = rig.restart();
    let syncs = disk.count(Call::SyncDir, "/logs") - before;
    assert!(syncs < 10, "{syncs} syncs of the directory for {MANY} logs");
    assert!(rig.dir.was_clean());
    let logs = open_many(&rig);
    assert_eq!(logs[3].values(0), [(0, "a".to_owned())]);
    assert_eq!(logs[4].put(&["b"]), 0);
}

#[test]
fn many_empty_logs_that_cannot_be_synced_leave_no_proof() {
    let (disk, rig) = rig();
    let logs = open_many(&rig);
    disk.fail(Call::SyncDir, "/logs", Other);
    assert!(matches!(rig.writers.stop(), Err(LogError::Offline { .. })));
    drop(logs);
    disk.heal();
    let rig = rig.crash();
    assert!(!rig.dir.was_clean());
    assert_eq!(open_many(&rig)[7].put(&["a"]), 0);
}

#[test]
fn a_start_asks_the_disk_for_each_log_once() {
    let (disk, rig) = rig();
    drop(open_many(&rig));
    let rig = rig.restart();
    let (lists, opens) = (disk.count(Call::List, ""), disk.count(Call::Open, ""));
    let logs = open_many(&rig);
    assert_eq!(rig.dir.logs().len(), MANY);
    assert!(rig.dir.closed_logs().is_empty());
    assert_eq!(disk.count(Call::List, "") - lists, MANY);
    assert_eq!(disk.count(Call::Open, "") - opens, 0);
    drop(logs);
}

#[test]
fn a_directory_knows_its_logs() {
    let rig = Rig::new();
    let (first, second) = (rig.open("a-0"), rig.open("b-1"));
    let names = ["a-0", "b-1"].map(|name| LogName::parse(name).unwrap());
    assert_eq!(rig.dir.logs(), names);
    assert!(rig.dir.closed_logs().is_empty());
    first.ask(LogHandle::close).unwrap();
    assert_eq!(rig.dir.closed_logs(), names[..1]);
    second.ask(LogHandle::delete).unwrap();
    assert!(!rig.dir.holds(&names[1]));
    drop((first, second));
    let rig = rig.restart();
    assert_eq!(rig.dir.closed_logs(), names[..1]);
    assert_eq!(rig.dir.log_count(), 1);
    rig.writers.remove_stray(&rig.dir, &names[0]).unwrap();
    assert!(rig.dir.logs().is_empty());
}

#[test]
fn what_a_stop_left_of_deleted_logs_goes_after_the_next_start() {
    let rig = Rig::new();
    let logs = open_many(&rig);
    for log in &logs {
        log.ask(LogHandle::delete).unwrap();
    }
    assert_eq!(rig.dir.log_count(), 0);
    drop(logs);
    let rig = rig.restart();
    assert!(rig.dir.was_clean());
    let deleted = || {
        let entries = std::fs::read_dir(rig.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        names
            .filter(|name| name.to_string_lossy().ends_with(".delete"))
            .count()
    };
    crate::support::eventually("deleted logs go", || deleted() == 0);
}

#[test]
fn neither_a_stop_nor_a_crash_makes_a_sync_for_each_log_that_was_written() {
    let (disk, rig) = rig();
    let logs = open_many(&rig);
    for log in &logs {
        log.put(&["a"]);
    }
    let syncs = || disk.count(Call::Sync, ".log");
    let before = syncs();
    drop(logs);
    rig.writers.stop().unwrap();
    assert_eq!(syncs(), before, "what is durable is not synced again");
    let rig = rig.crash();
    assert!(rig.dir.was_clean());
    let logs = open_many(&rig);
    for log in &logs {
        log.put(&["b"]);
    }
    drop(logs);
    let rig = rig.crash();
    let before = syncs();
    let logs = open_many(&rig);
    assert_eq!(syncs(), before, "zeros are kept");
    for log in &logs {
        log.put(&["c"]);
        let expected = [
            (0, "a".to_owned()),
            (1, "b".to_owned()),
            (2, "c".to_owned()),
        ];
        assert_eq!(log.values(0), expected);
    }
}
