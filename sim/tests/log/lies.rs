//! Each guard is needed: a disk on which one kind of sync does nothing must be found out.

use freshet_sim::{Effect, Fault, Op};

use crate::crashes::run;
use crate::machine::Setup;

/// Whether the checks notice that such syncs do nothing, within a number of seeds.
fn is_noticed(sync: &Fault) -> bool {
    (0..120).any(|seed| {
        let outcome = std::panic::catch_unwind(|| {
            run(seed, Setup::small(), |disk| {
                disk.inject(sync.clone().with(Effect::Lie).always());
            })
        });
        // A panic is a check as well, but the log must not panic over what a disk does.
        outcome.expect("bad disks are errors, not panics").is_err()
    })
}

#[test]
fn records_must_be_synced() {
    assert!(is_noticed(&Fault::on(Op::Sync).at(".log")));
}

#[test]
fn checkpoints_must_be_synced() {
    assert!(is_noticed(
        &Fault::on(Op::Sync).exactly("/data/t-0/state.tmp")
    ));
}

#[test]
fn names_of_segments_must_be_synced() {
    assert!(is_noticed(&Fault::on(Op::SyncDir).exactly("/data/t-0")));
}

#[test]
fn names_of_logs_must_be_synced() {
    assert!(is_noticed(&Fault::on(Op::SyncDir).exactly("/data")));
}
