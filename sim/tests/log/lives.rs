//! What a directory says of the life before, when the power may go off during any change of the disk.

use std::path::Path;
use std::sync::Arc;

use freshet_log::{LastLife, LogDir, Writers};
use freshet_sim::{FakeClock, FakeDisk};

use crate::machine::{ROOT, START, Setup};

/// What the broker knew of itself when its power went off.
#[derive(Debug, Default, Clone, Copy)]
struct Known {
    /// It was told that the epoch is on the disk.
    begun: bool,
    /// It had begun to write what a clean stop leaves.
    stopping: bool,
    /// It has stopped cleanly.
    stopped: bool,
}

/// A process: registers as `epoch`, if it comes so far, and stops cleanly. `None` when it cannot even
/// start.
fn live(disk: &FakeDisk, epoch: i64, known: &mut Known) -> Option<()> {
    let setup = Setup::small();
    let dir = LogDir::open(Arc::new(disk.clone()), Path::new(ROOT)).ok()?;
    dir.keep_new().ok()?;
    let clock = Arc::new(FakeClock::new(START));
    let writers = Writers::start(vec![Arc::clone(&dir)], clock, setup.options).ok()?;
    known.begun = dir.begin_life(epoch).is_ok();
    known.stopping = known.begun;
    known.stopped = writers.stop().is_ok() && known.begun;
    Some(())
}

fn told(disk: &FakeDisk) -> LastLife {
    let dir = LogDir::open(Arc::new(disk.clone()), Path::new(ROOT));
    dir.expect("a disk that is on can be read").last_life()
}

/// Lives twice, the second time with the power going off during the nth change; whether it did.
fn cut(seed: u64, nth: u64) -> bool {
    let disk = FakeDisk::new(seed);
    let mut first = Known::default();
    live(&disk, 1, &mut first);
    assert!(first.stopped);
    let disk = disk.crash();
    disk.power_off_during(nth);
    let mut known = Known::default();
    live(&disk, 2, &mut known);
    let cut = !disk.is_on();
    let life = told(&disk.crash());
    let fits = match known {
        Known { stopped: true, .. } => life == LastLife::Clean(2),
        Known { stopping: true, .. } => {
            matches!(life, LastLife::Clean(2) | LastLife::Crashed(2))
        }
        // It cannot have told anybody of its epoch, and has changed nothing.
        _ => matches!(
            life,
            LastLife::Clean(1) | LastLife::Crashed(1) | LastLife::Crashed(2)
        ),
    };
    assert!(
        fits,
        "seed {seed}, change {nth}: {known:?}, and the disk says {life:?}"
    );
    cut
}

#[test]
fn a_disk_never_says_more_of_a_life_than_is_true() {
    for seed in 0..20 {
        let mut nth = 1;
        while cut(seed, nth) {
            nth += 1;
        }
        assert!(nth > 8, "the power went off during {nth} changes only");
    }
}

#[test]
fn an_empty_disk_is_new_or_unknown_until_somebody_served_from_it() {
    for seed in 0..20 {
        for nth in 1.. {
            let disk = FakeDisk::new(seed);
            disk.power_off_during(nth);
            let mut known = Known::default();
            live(&disk, 1, &mut known);
            if disk.is_on() {
                break;
            }
            let life = told(&disk.crash());
            let served = matches!(life, LastLife::Crashed(1) | LastLife::Clean(1));
            assert!(
                served || !known.begun,
                "seed {seed}, change {nth}: {life:?}"
            );
            assert!(life != LastLife::Unknown, "seed {seed}, change {nth}");
        }
    }
}
