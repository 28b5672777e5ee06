//! Nothing durable is lost, and no offset ever holds two values.

use std::ops::Range;

use freshet_log::Durability;
use freshet_sim::FakeDisk;

use crate::history::History;
use crate::machine::{Machine, Setup, ask, send};
use crate::model::Model;

/// Runs one seed through several crashes; says what is wrong.
pub(crate) fn run(seed: u64, setup: Setup, prepare: impl Fn(&FakeDisk)) -> Result<(), String> {
    let mut history = History::new(seed, setup);
    for boot in 0..5 {
        let crashed = history.boot_and_crash(boot, &prepare);
        crashed.map_err(|error| format!("seed {seed}, boot {boot}: {error}"))?;
    }
    let finished = history.boot_and_finish();
    finished.map_err(|error| format!("seed {seed}, at the end: {error}"))
}

/// Seeds to run: `FRESHET_SEEDS=from..to` replaces the few that fit an ordinary test run.
fn seeds(few: Range<u64>) -> Range<u64> {
    let Ok(wanted) = std::env::var("FRESHET_SEEDS") else {
        return few;
    };
    let (from, to) = wanted.split_once("..").expect("FRESHET_SEEDS=from..to");
    from.parse().unwrap()..to.parse().unwrap()
}

#[test]
fn what_was_flushed_survives_every_crash() {
    for seed in seeds(0..200) {
        run(seed, Setup::small(), |_| {}).unwrap();
    }
}

#[test]
fn preallocated_segments_survive_as_well() {
    for seed in seeds(1000..1060) {
        let mut setup = Setup::small();
        setup.config.preallocate = true;
        run(seed, setup, |_| {}).unwrap();
    }
}

/// With page-cache durability nothing is synced unless told, so that a crash meets the same
/// unsynced bytes however the threads are timed.
fn page_cache_run(seed: u64) -> Vec<(String, Vec<u8>)> {
    let mut setup = Setup::small();
    setup.config.durability = Durability::PageCache;
    setup.config.segment_bytes = 1 << 20;
    setup.options.checkpoint_bytes = 1 << 30;
    let disk = FakeDisk::new(seed);
    let machine = Machine::boot(&disk, &setup).unwrap();
    let mut model = Model::default();
    for i in 0..20_u64 {
        let bytes = model.next_batch(freshet_sim::Dice::new(seed).of(i), 0);
        machine.send(bytes, 0).wait().unwrap();
        if i == 10 {
            ask(|done| machine.log.flush(done)).unwrap();
        }
    }
    let crashed = disk.crash();
    machine.leave();
    let segments = crashed.image().into_iter();
    segments
        .filter(|(path, _)| path.ends_with(".log"))
        .collect()
}

#[test]
fn the_same_seed_leaves_the_same_bytes() {
    for seed in 0..30 {
        let bytes = page_cache_run(seed);
        assert!(!bytes.is_empty(), "ten batches were synced");
        assert_eq!(bytes, page_cache_run(seed), "seed {seed}");
    }
}

/// A clean stop of many new logs syncs them together; what is written to one of them afterwards must
/// not hang on names that were never synced.
#[test]
fn logs_made_before_a_stop_hold_what_is_written_after_it() {
    const MANY: usize = 150;
    let topic = |i: usize| format!("made-{i}");
    for seed in seeds(0..20) {
        let setup = Setup::small();
        let mut disk = FakeDisk::new(seed);
        let machine = Machine::boot(&disk, &setup).unwrap();
        (0..MANY).for_each(|i| drop(machine.open(&topic(i))));
        machine.leave();
        disk = disk.crash();
        let machine = Machine::boot(&disk, &setup).unwrap();
        assert!(machine.dir.was_clean(), "the stop was clean");
        let bytes = Model::default().next_batch(freshet_sim::Dice::new(seed), 0);
        let opened: Vec<_> = (0..MANY).map(|i| machine.open(&topic(i))).collect();
        let (log, seen) = &opened[usize::try_from(seed).unwrap() % MANY];
        let appended = send(log, bytes, 0).wait().unwrap();
        seen.wait_flushed(appended.last_offset + 1).unwrap();
        disk = disk.crash();
        let name = log.view().name().clone();
        machine.leave();
        drop(opened);
        let machine = Machine::boot(&disk, &setup).unwrap();
        let (log, _) = machine.open(name.topic.as_str());
        assert_eq!(
            log.view().log_end(),
            appended.last_offset + 1,
            "seed {seed}"
        );
        machine.leave();
    }
}
