//! Single faults: what the log says, and what it never says.

use freshet_env::Disk;
use freshet_log::{AppendError, LogError, ReadError, ReadSpec};
use freshet_sim::{Dice, Effect, FakeDisk, Fault, Op};
use freshet_types::Offset;

use crate::machine::{Machine, Setup, ask, send};
use crate::model::{Model, read_all, read_at};

fn filled(setup: &Setup, batches: u64) -> (Machine, Model) {
    let disk = FakeDisk::new(1);
    let machine = Machine::boot(&disk, setup).unwrap();
    let mut model = Model::default();
    for i in 0..batches {
        let bytes = model.next_batch(Dice::new(9).of(i), 0);
        machine.send(bytes, 0).wait().unwrap();
    }
    machine.seen.wait_flushed(model.end()).unwrap();
    (machine, model)
}

fn is_offline(answer: &Result<freshet_log::Appended, AppendError>) -> bool {
    matches!(answer, Err(AppendError::Log(LogError::Offline { .. })))
}

#[test]
fn a_failed_fsync_takes_the_directory_offline_and_acknowledges_nothing() {
    let (machine, mut model) = filled(&Setup::small(), 5);
    let (other, other_seen) = machine.open("other");
    let safe = model.end();
    machine.disk.inject(Fault::on(Op::Sync).at("t-0"));
    let bytes = model.next_batch(Dice::new(1), 0);
    let _ = machine.send(bytes.clone(), 0).wait();
    machine.seen.wait_failed();
    other_seen.wait_failed();
    assert_eq!(machine.seen.told().flushed, safe, "not told to be durable");
    assert!(machine.dir.failure().is_some());
    for log in [&machine.log, &other] {
        assert!(is_offline(&send(log, bytes.clone(), 0).wait()));
        assert!(log.view().failure().is_some());
    }
    let flushed = ask(|done| machine.log.flush(done));
    assert!(matches!(flushed, Err(LogError::Offline { .. })));
    assert_eq!(machine.seen.told().flushed, safe, "never tried again");

    let (disk, syncs) = (machine.disk.crash(), machine.disk.changes());
    assert!(machine.writers.stop().is_err(), "no proof of a clean stop");
    assert_eq!(machine.disk.changes(), syncs);
    drop(machine);
    let machine = Machine::boot(&disk, &Setup::small()).unwrap();
    assert!(!machine.dir.was_clean());
    model.reconcile(machine.view()).unwrap();
    machine.leave();
}

#[test]
fn a_failed_write_takes_the_directory_offline() {
    let (machine, mut model) = filled(&Setup::small(), 5);
    let safe = model.end();
    let fault = Fault::on(Op::Write).at(".log").with(Effect::Eio);
    machine.disk.inject(fault);
    let bytes = model.next_batch(Dice::new(1), 0);
    assert!(is_offline(&machine.send(bytes, 0).wait()));
    machine.seen.wait_failed();
    let told = machine.seen.told();
    assert_eq!((told.appended, told.flushed), (safe, safe));
    let disk = machine.disk.kill();
    machine.leave();
    let machine = Machine::boot(&disk, &Setup::small()).unwrap();
    model.reconcile(machine.view()).unwrap();
    machine.leave();
}

/// Others may fill a disk at any moment, and empty it again.
#[test]
fn a_disk_that_is_full_now_and_then_costs_what_it_refused_and_nothing_else() {
    let mut refused = 0;
    for seed in 0..40_u64 {
        let setup = Setup::small();
        let (mut machine, mut model) = filled(&setup, 5);
        for i in 0..60_u64 {
            let dice = Dice::new(seed).of(i);
            if dice.chance(30, "full") {
                let used = machine.disk.used_bytes();
                let left = dice.below(2000, "left");
                machine.disk.set_capacity(used + left);
            }
            let end = model.end();
            let bytes = model.next_batch(dice.of("batch"), 0);
            match machine.send(bytes, 0).wait() {
                Ok(_) => {}
                Err(AppendError::Log(LogError::DiskFull { .. })) => {
                    model.cut(end);
                    refused += 1;
                    machine.disk.set_capacity(u64::MAX);
                }
                Err(error) => panic!("seed {seed}, batch {i}: {error}"),
            }
            assert_eq!(machine.view().log_end(), model.end());
        }
        model.compare(machine.view()).unwrap();
        machine.disk.set_capacity(u64::MAX);
        machine.seen.wait_flushed(model.end()).unwrap();
        for retry in model.retries() {
            let again = machine.send(retry.bytes, 0).wait().unwrap();
            assert!(
                again.duplicate && again.base_offset == retry.base,
                "seed {seed}"
            );
        }
        assert!(machine.dir.failure().is_none());
        let disk = match seed % 2 {
            0 => machine.disk.crash(),
            _ => machine.disk.kill(),
        };
        machine.leave();
        machine = Machine::boot(&disk, &setup).unwrap();
        model.reconcile(machine.view()).unwrap();
        assert_eq!(
            machine.view().log_end(),
            model.end(),
            "all of it was flushed"
        );
        machine.leave();
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn short_writes_are_completed() {
    let disk = FakeDisk::new(3);
    let machine = Machine::boot(&disk, &Setup::small()).unwrap();
    disk.inject(Fault::on(Op::Write).with(Effect::Short).always());
    let mut model = Model::default();
    for i in 0..20_u64 {
        let bytes = model.next_batch(Dice::new(9).of(i), 0);
        machine.send(bytes, 0).wait().unwrap();
    }
    machine.seen.wait_flushed(model.end()).unwrap();
    model.compare(machine.view()).unwrap();
    let disk = disk.crash();
    machine.leave();
    let machine = Machine::boot(&disk, &Setup::small()).unwrap();
    model.reconcile(machine.view()).unwrap();
    machine.leave();
}

#[test]
fn a_nearly_full_disk_refuses_appends_early_and_serves_the_rest() {
    let mut setup = Setup::small();
    setup.options.reserve_bytes = 20_000;
    let disk = FakeDisk::new(1);
    disk.set_capacity(60_000);
    let machine = Machine::boot(&disk, &setup).unwrap();
    let mut model = Model::default();
    let mut sent = Ok(0);
    for i in 0..200_u64 {
        let end = model.end();
        let bytes = model.next_batch(Dice::new(9).of(i), 0);
        match machine.send(bytes, 0).wait() {
            Ok(appended) => sent = Ok(appended.last_offset + 1),
            Err(error) => {
                model.cut(end);
                sent = Err(error);
                break;
            }
        }
    }
    assert!(
        matches!(sent, Err(AppendError::DiskFull { .. })),
        "{sent:?}"
    );
    assert!(
        disk.space(std::path::Path::new("/"))
            .unwrap()
            .available_bytes
            > 0
    );
    assert!(machine.dir.failure().is_none(), "refused is not failed");
    machine.seen.wait_flushed(model.end()).unwrap();
    model.compare(machine.view()).unwrap();

    let start = ask(|done| machine.log.trim(model.end(), done)).unwrap();
    model.trimmed(start);
    // Files are removed, and room is asked for, when the threads find time for it.
    let deadline = 2000;
    let mut tries = 0;
    loop {
        let end = model.end();
        let bytes = model.next_batch(Dice::new(7), 0);
        match machine.send(bytes, 0).wait() {
            Ok(_) => break,
            Err(AppendError::DiskFull { .. }) if tries < deadline => {
                model.cut(end);
                tries += 1;
                setup.clock.advance(250);
                std::thread::park_timeout(std::time::Duration::from_millis(5));
            }
            Err(error) => panic!("{error}"),
        }
    }
    machine.seen.wait_flushed(model.end()).unwrap();
    model.compare(machine.view()).unwrap();
    machine.leave();
}

#[test]
fn a_flipped_bit_in_a_segment_never_reaches_a_reader() {
    let setup = Setup::small();
    for i in 0..40 {
        let (machine, model) = filled(&setup, 30);
        machine.writers.stop().unwrap();
        let disk = machine.disk.kill();
        drop(machine);
        let image = disk.image();
        let (path, bytes) = image
            .iter()
            .find(|(path, _)| path.ends_with(".log"))
            .unwrap();
        disk.flip_bit(path, Dice::new(i).below(bytes.len() as u64 * 8, "bit"));
        match Machine::boot(&disk, &setup) {
            // The base offset and the epoch of a batch lie outside of its checksum.
            Ok(machine) => {
                let found = read_all(machine.view());
                let same = found
                    .as_ref()
                    .is_ok_and(|found| found.len() as i64 == model.end());
                assert!(found.is_err() || same, "bit {i}: {found:?}");
                machine.leave();
            }
            Err(error) => panic!("one bad batch keeps the log closed: {error}"),
        }
    }
}

/// Reads from an offset on: what is shown was sent, is where it belongs, and begins where it was asked for.
/// Gives where to go on; nothing where an error was told instead.
fn shown(machine: &Machine, model: &Model, from: Offset) -> Option<Offset> {
    match read_at(machine.view(), from) {
        Ok((found, next)) => {
            let is_whole = found.iter().any(|(offset, _)| *offset == from);
            assert!(is_whole && model.has(&found), "at {from}: {found:?}");
            Some(next)
        }
        Err(why) => {
            assert!(why.starts_with("reading at"), "{why}");
            None
        }
    }
}

/// How often an error was told when all offsets were asked for.
fn refusals(machine: &Machine, model: &Model) -> usize {
    let all = 0..machine.view().log_end();
    all.filter(|from| shown(machine, model, *from).is_none())
        .count()
}

/// The checksum of a batch fits wherever it is; its place is only in its offset.
#[test]
fn what_is_read_from_elsewhere_never_reaches_a_reader() {
    let (machine, mut model) = filled(&Setup::small(), 40);
    let mut refused = 0;
    for from in 0..model.end() {
        let fault = Fault::on(Op::Read).at(".log").with(Effect::Misplaced);
        machine.disk.inject(fault.always());
        let next = shown(&machine, &model, from);
        machine.disk.heal();
        refused += usize::from(next.is_none());
        // What such a read has left behind misleads nobody.
        for from in [Some(from), next].into_iter().flatten() {
            assert!(from == model.end() || shown(&machine, &model, from).is_some());
        }
    }
    assert!(refused > 0, "{refused}");
    assert!(machine.dir.failure().is_none());
    let bytes = model.next_batch(Dice::new(1), 0);
    machine.send(bytes, 0).wait().unwrap();
    model.compare(machine.view()).unwrap();
    machine.leave();
}

#[test]
fn what_is_written_elsewhere_never_reaches_a_reader() {
    let setup = Setup::small();
    let (mut refused, mut reopened) = (0, 0);
    for nth in 1..=30 {
        let disk = FakeDisk::new(nth);
        let fault = Fault::on(Op::Write).at(".log").with(Effect::Misplaced);
        disk.inject(fault.nth(nth));
        let machine = Machine::boot(&disk, &setup).unwrap();
        let mut model = Model::default();
        for i in 0..40_u64 {
            let bytes = model.next_batch(Dice::new(9).of(i), 0);
            machine.send(bytes, 0).wait().unwrap();
        }
        machine.seen.wait_flushed(model.end()).unwrap();
        assert_eq!(disk.struck(), 1);
        refused += refusals(&machine, &model);
        if nth % 2 == 0 {
            machine.writers.stop().unwrap();
        }
        let disk = machine.disk.crash();
        machine.leave();
        // A log that is damaged within what is to be looked at is not opened.
        if let Ok(machine) = Machine::boot(&disk, &setup) {
            reopened += refusals(&machine, &model);
            machine.leave();
        }
    }
    assert!(refused > 0 && reopened > 0, "{refused}, {reopened}");
}

#[test]
fn snapshots_and_states_are_made_again_when_damaged() {
    let setup = Setup::small();
    for ending in ["producers", "state"] {
        for i in 0..20 {
            let (machine, mut model) = filled(&setup, 40);
            ask(|done| machine.log.roll(done)).unwrap();
            let disk = machine.disk.kill();
            machine.leave();
            for (path, bytes) in disk.image() {
                if path.ends_with(ending) && !bytes.is_empty() {
                    disk.flip_bit(&path, Dice::new(i).below(bytes.len() as u64 * 8, &path));
                }
            }
            let machine = Machine::boot(&disk, &setup)
                .unwrap_or_else(|error| panic!("{ending} {i}: {error}"));
            let found = model.reconcile(machine.view());
            assert_eq!(found, Ok(()), "{ending} {i}");
            for sent in model.retries() {
                let answer = machine.send(sent.bytes, 0).wait().unwrap();
                assert!(answer.duplicate, "{ending} {i}");
            }
            machine.leave();
        }
    }
}

#[test]
fn a_read_error_is_the_readers_alone() {
    let (machine, mut model) = filled(&Setup::small(), 40);
    machine.disk.inject(Fault::on(Op::Read).at(".log").always());
    let spec = ReadSpec {
        from: 0,
        max_bytes: 1000,
        upper_bound: Offset::MAX,
        at_least_one: true,
    };
    let read = machine.view().read_blocking(&spec);
    assert!(
        matches!(read, Err(ReadError::Unreadable { .. })),
        "{read:?}"
    );
    assert!(machine.dir.failure().is_none());
    machine.disk.heal();
    let bytes = model.next_batch(Dice::new(1), 0);
    machine.send(bytes, 0).wait().unwrap();
    model.compare(machine.view()).unwrap();
    machine.leave();
}
