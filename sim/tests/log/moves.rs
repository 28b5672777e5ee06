//! A log moves to another directory, and the power may go off during any change of the disk.
//!
//! What is found then is the log as it was when the move began, whole, in one of the two directories
//! or, alike, in both; never half of it, and never without what was written after the move.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;

use bytes::Bytes;
use freshet_log::{
    Append, AppendError, LogDir, LogError, LogHandle, LogView, OpenError, OpenLog, Origin,
    ReadError, ReadSpec, Replaced, Writers,
};
use freshet_records::{BatchBuilder, Batches, Codec, NewRecord, Producer};
use freshet_sim::{Effect, FakeDisk, Fault, Op};
use freshet_types::{LeaderEpoch, Offset, TopicId};

use crate::machine::{START, Seen, Setup, ask, name, send};

const DIRS: [&str; 2] = ["/a", "/b"];
const TOPIC: TopicId = TopicId([7; 16]);
/// Wrote at the very beginning, and nothing since.
const OLD: i64 = 50;
/// Writes all that is not told apart.
const STEADY: i64 = 51;

/// A broker with two directories, or with one of them while the other is away.
struct Broker {
    dirs: Vec<Arc<LogDir>>,
    writers: Arc<Writers>,
    log: LogHandle,
    seen: Arc<Seen>,
    setup: Setup,
}

impl Broker {
    fn boot(disk: &FakeDisk, names: &[&str]) -> Result<Self, OpenError> {
        let mut setup = Setup::small();
        setup.config.segment_bytes = 2000;
        let open = |name: &&str| LogDir::open(Arc::new(disk.clone()), Path::new(name));
        let dirs: Vec<_> = names.iter().map(open).collect::<Result<_, _>>()?;
        let clock = Arc::clone(&setup.clock);
        let writers = Writers::start(dirs.clone(), clock, setup.options.clone())?;
        let seen = Arc::<Seen>::default();
        match home(&writers, &setup).and_then(|dir| writers.open(spec(&dir, &setup, &seen))) {
            Ok(log) => Ok(Self {
                dirs,
                writers,
                log,
                seen,
                setup,
            }),
            Err(error) => {
                let _ = writers.stop();
                Err(error)
            }
        }
    }

    fn view(&self) -> &LogView {
        self.log.view()
    }

    fn put(&self, sequence: i32) -> Result<Offset, AppendError> {
        let appended = send(&self.log, batch(STEADY, sequence), 0).wait()?;
        self.seen.wait_flushed(appended.last_offset + 1)?;
        Ok(appended.base_offset)
    }

    /// Opens a copy in the directory where the log is not.
    fn copy(&self) -> Result<LogHandle, OpenError> {
        let seen = Arc::<Seen>::default();
        let is_first = Arc::ptr_eq(self.view().dir(), &self.dirs[0]);
        let mut spec = spec(&self.dirs[usize::from(is_first)], &self.setup, &seen);
        spec.name = spec.name.future();
        self.writers.open_beside(spec, &self.log)
    }

    /// Copies all, and has the copy take the log's place.
    fn move_log(&mut self) -> Result<bool, String> {
        let copy = self.copy().map_err(|error| error.to_string())?;
        let start = self.view().log_start();
        ask(|done| copy.restart_at(start, done)).map_err(|error| error.to_string())?;
        copy_all(self.view(), &copy)?;
        self.take_over(&copy).map_err(|error| error.to_string())
    }

    fn take_over(&mut self, copy: &LogHandle) -> Result<bool, LogError> {
        let seen = Arc::<Seen>::default();
        let progress = Arc::clone(&seen) as _;
        let replaced = ask(|done| self.log.replace_by(copy, progress, done))?;
        let Replaced::By(log) = replaced else {
            return Ok(false);
        };
        (self.log, self.seen) = (log, seen);
        Ok(true)
    }

    fn holders(&self) -> Vec<&Path> {
        let holders = self.dirs.iter().filter(|dir| dir.holds(&name("t")));
        holders.map(|dir| dir.path()).collect()
    }

    fn leave(self) {
        let _ = self.writers.stop();
    }
}

fn spec(dir: &Arc<LogDir>, setup: &Setup, seen: &Arc<Seen>) -> OpenLog {
    OpenLog {
        dir: Arc::clone(dir),
        name: name("t"),
        topic_id: TOPIC,
        config: Arc::new(setup.config.clone()),
        progress: Arc::<Seen>::clone(seen),
    }
}

/// Where the log is, as a broker finds out that starts.
fn home(writers: &Writers, setup: &Setup) -> Result<Arc<LogDir>, OpenError> {
    let dirs = writers.dirs().iter();
    let holders: Vec<_> = dirs.filter(|dir| dir.holds(&name("t"))).cloned().collect();
    match holders.as_slice() {
        [] => Ok(Arc::clone(&writers.dirs()[0])),
        [one] => Ok(Arc::clone(one)),
        several => writers.keep_one(several, |dir| spec(dir, setup, &Arc::default())),
    }
}

fn batch(producer: i64, base_sequence: i32) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None).producer(Producer {
        id: producer,
        epoch: 0,
        base_sequence,
    });
    let mut value = base_sequence.to_be_bytes().to_vec();
    value.resize(300, 7);
    builder
        .push(&NewRecord {
            timestamp: START,
            value: Some(&value),
            ..NewRecord::default()
        })
        .unwrap();
    builder.finish().unwrap().bytes().clone()
}

fn read(view: &LogView, from: Offset) -> Result<Bytes, ReadError> {
    let spec = ReadSpec {
        from,
        max_bytes: 1500,
        upper_bound: Offset::MAX,
        at_least_one: true,
    };
    Ok(view.read_blocking(&spec)?.into_one())
}

/// As a follower copies.
fn copy_all(from: &LogView, to: &LogHandle) -> Result<(), String> {
    while to.view().log_end() < from.log_end() {
        let batches = read(from, to.view().log_end()).map_err(|error| error.to_string())?;
        let (tell, told) = channel();
        let append = Append {
            frame_bytes: batches.len(),
            batches,
            leader_epoch: LeaderEpoch::MAX,
            origin: Origin::Replica,
            done: Box::new(move |answer| drop(tell.send(answer))),
        };
        to.append(append).unwrap();
        let stored = told.recv().unwrap();
        stored.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The steady producer's sequences by offset.
fn sequences(view: &LogView) -> Vec<(Offset, i32)> {
    let mut found = Vec::new();
    let mut at = view.log_start();
    while at < view.log_end() {
        for batch in Batches::new(read(view, at).unwrap()) {
            let batch = batch.unwrap();
            batch.check_crc().unwrap();
            let header = batch.header();
            at = header.next_offset();
            found.push((header.base_offset, header.base_sequence));
        }
    }
    found
}

/// A log that knows more than its records tell: a producer whose records are gone, an epoch without
/// records, a start inside of a segment. Its records are 3 to 29, of sequence 0 to 26.
fn prepared(disk: &FakeDisk) -> Broker {
    let broker = Broker::boot(disk, &DIRS).unwrap();
    for sequence in 0..3 {
        let sent = send(&broker.log, batch(OLD, sequence), 0).wait();
        assert_eq!(sent.unwrap().base_offset, i64::from(sequence));
    }
    for sequence in 0..27 {
        broker.put(sequence).unwrap();
    }
    assert_eq!(ask(|done| broker.log.trim(4, done)), Ok(4));
    broker
}

/// The log after [`prepared`] and so many records more.
fn assert_whole(broker: &Broker, more: i32) {
    let view = broker.view();
    assert_eq!(view.log_start(), 4);
    let expected: Vec<_> = (1..27 + more).map(|s| (i64::from(s) + 3, s)).collect();
    assert_eq!(sequences(view), expected);
    assert!(
        expected
            .iter()
            .all(|(offset, _)| view.epoch_at(*offset) == Some(0))
    );
    for (producer, sequence, offset) in [(OLD, 2, 2), (STEADY, 26 + more, i64::from(29 + more))] {
        let again = send(&broker.log, batch(producer, sequence), 0)
            .wait()
            .unwrap();
        assert!(again.duplicate, "{producer}");
        assert_eq!(again.base_offset, offset);
    }
}

#[test]
fn a_log_that_has_moved_knows_all_that_it_knew() {
    let disk = FakeDisk::new(1);
    let mut broker = prepared(&disk);
    let before = broker.log.clone();
    assert_eq!(broker.move_log(), Ok(true));
    assert_eq!(broker.view().dir().path(), Path::new("/b"));
    assert_eq!(broker.holders(), [Path::new("/b")]);
    assert_eq!(broker.view().flushed(), 30);
    assert_whole(&broker, 0);
    // Who still has the handle of before is served as well, and only its view is out of date.
    let appended = send(&before, batch(STEADY, 27), 0).wait().unwrap();
    assert_eq!(appended.base_offset, 30);
    broker.seen.wait_flushed(31).unwrap();
    assert_eq!((before.view().log_end(), broker.view().log_end()), (30, 31));
    broker.leave();
    // Once after a clean stop, once after none.
    let mut disk = disk.kill();
    for _ in 0..2 {
        let broker = Broker::boot(&disk, &DIRS).unwrap();
        assert_eq!(broker.view().dir().path(), Path::new("/b"));
        assert_whole(&broker, 1);
        assert_eq!(disk.bytes("/a/t-0/state"), None, "nothing stays behind");
        disk = disk.kill();
        broker.leave();
    }
}

#[test]
fn a_log_that_is_back_is_not_opened_as_it_was_at_the_last_clean_stop() {
    let disk = FakeDisk::new(1);
    let broker = prepared(&disk);
    // More checkpoints than a move makes.
    for _ in 0..50 {
        ask(|done| broker.log.trim(4, done)).unwrap();
    }
    broker.leave();
    let disk = disk.kill();
    let mut broker = Broker::boot(&disk, &DIRS).unwrap();
    // From here on the segments begin elsewhere.
    assert_eq!(ask(|done| broker.log.trim(7, done)), Ok(7));
    assert_eq!(broker.move_log(), Ok(true));
    assert_eq!(broker.move_log(), Ok(true));
    assert_eq!(broker.view().dir().path(), Path::new("/a"));
    broker.put(27).unwrap();
    let disk = disk.kill();
    broker.leave();
    let broker = Broker::boot(&disk, &DIRS).unwrap();
    let view = broker.view();
    assert_eq!((view.log_start(), view.log_end()), (7, 31));
    let expected: Vec<_> = (4..28).map(|s| (i64::from(s) + 3, s)).collect();
    assert_eq!(sequences(view), expected);
    broker.leave();
}

#[test]
fn epochs_and_fences_go_with_the_log() {
    let disk = FakeDisk::new(1);
    let mut broker = prepared(&disk);
    ask(|done| broker.log.start_epoch(5, done)).unwrap();
    assert_eq!(broker.move_log(), Ok(true));
    assert_eq!(
        broker.view().latest_epoch(),
        Some((5, 30)),
        "without a record"
    );
    let refused = send(&broker.log, batch(STEADY, 27), 4).wait();
    let fenced = AppendError::Log(LogError::Fenced {
        given: 4,
        latest: 5,
    });
    assert_eq!(refused, Err(fenced));
    send(&broker.log, batch(STEADY, 27), 5).wait().unwrap();
    assert_eq!(broker.view().epoch_at(30), Some(5));
    assert_eq!(broker.view().end_offset_for_epoch(0).end_offset, 30);
    broker.leave();
}

/// Moves with the power going off during the nth change; whether it did before the end.
fn cut_short(seed: u64, nth: u64) -> bool {
    let disk = FakeDisk::new(seed);
    let mut broker = prepared(&disk);
    disk.power_off_during(nth);
    let moved = broker.move_log() == Ok(true);
    let more = i32::from(moved && broker.put(27).is_ok());
    let cut = !disk.is_on();
    // Where the log could not be removed, both are found.
    let alone = moved && broker.dirs[0].failure().is_none();
    let disk = disk.crash();
    broker.leave();
    let broker = Broker::boot(&disk, &DIRS).unwrap_or_else(|e| panic!("{seed}, {nth}: {e}"));
    assert_eq!(broker.holders().len(), 1, "{seed}, {nth}");
    if alone {
        // It was answered, so there is no way back.
        assert_eq!(broker.view().dir().path(), Path::new("/b"), "{seed}, {nth}");
    }
    let found = sequences(broker.view()).len() as i32 - 26;
    assert!(
        found >= more,
        "{seed}, {nth}: what was flushed after the move is lost"
    );
    assert_whole(&broker, found);
    broker.put(27 + found).unwrap();
    assert_whole(&broker, found + 1);
    broker.leave();
    cut
}

#[test]
fn a_crash_at_any_step_leaves_one_whole_log() {
    for seed in 0..3 {
        let last = (1..2000).find(|nth| !cut_short(seed, *nth));
        assert!(last.is_some_and(|last| last > 40), "{last:?}");
    }
}

/// A disk whose power went off between the two renames; both directories have the log.
fn torn_between() -> FakeDisk {
    for seed in 0..50 {
        let disk = FakeDisk::new(seed);
        let mut broker = prepared(&disk);
        let second = Fault::on(Op::Rename).exactly("/a/t-0");
        disk.inject(second.with(Effect::PowerOff));
        let _ = broker.move_log();
        let crashed = disk.crash();
        broker.leave();
        let there = |dir| crashed.bytes(format!("/{dir}/t-0/state")).is_some();
        if there("a") && there("b") {
            return crashed;
        }
    }
    panic!("no crash leaves both");
}

#[test]
fn of_two_logs_the_one_stays_that_was_written_since() {
    for (at, used) in DIRS.into_iter().enumerate() {
        let disk = torn_between();
        // The other directory is away for a while.
        let broker = Broker::boot(&disk, &[used]).unwrap();
        assert_whole(&broker, 0);
        broker.put(27).unwrap();
        broker.leave();
        let broker = Broker::boot(&disk, &DIRS).unwrap();
        assert_eq!(broker.holders(), [Path::new(DIRS[at])]);
        assert_whole(&broker, 1);
        broker.leave();
    }
}

#[test]
fn a_log_that_cannot_be_read_keeps_the_other_from_being_deleted() {
    let disk = torn_between();
    disk.inject(Fault::on(Op::Read).at("/b/t-0").always());
    let refused = Broker::boot(&disk, &DIRS).map(Broker::leave);
    assert!(matches!(refused, Err(OpenError::Io { .. })), "{refused:?}");
    disk.heal();
    let broker = Broker::boot(&disk, &DIRS).unwrap();
    assert_whole(&broker, 0);
    broker.leave();
}

#[test]
fn a_copy_on_a_failing_disk_leaves_the_log_as_it_was() {
    for op in [Op::Sync, Op::SyncDir, Op::Rename, Op::Write] {
        let disk = FakeDisk::new(1);
        let mut broker = prepared(&disk);
        let copy = broker.copy().unwrap();
        ask(|done| copy.restart_at(4, done)).unwrap();
        copy_all(broker.view(), &copy).unwrap();
        ask(|done| copy.flush(done)).unwrap();
        broker.put(27).unwrap();
        disk.inject(Fault::on(op).at("/b"));
        let failed = broker.take_over(&copy);
        assert!(
            matches!(failed, Err(LogError::Offline { .. })),
            "{op:?}: {failed:?}"
        );
        disk.heal();
        assert!(broker.dirs[1].failure().is_some());
        assert_eq!(broker.view().dir().path(), Path::new("/a"));
        broker.put(28).unwrap();
        assert_whole(&broker, 2);
        let killed = disk.kill();
        broker.leave();
        let broker = Broker::boot(&killed, &DIRS).unwrap();
        assert_whole(&broker, 2);
        broker.leave();
    }
}

#[test]
fn a_log_that_cannot_be_removed_has_moved_all_the_same() {
    let disk = FakeDisk::new(1);
    let mut broker = prepared(&disk);
    disk.inject(Fault::on(Op::Rename).exactly("/a/t-0"));
    assert_eq!(broker.move_log(), Ok(true));
    assert!(
        broker.dirs[0].failure().is_some(),
        "its directory is offline"
    );
    broker.put(27).unwrap();
    assert_eq!(
        broker.seen.told().failed,
        None,
        "which is nothing to the log"
    );
    let killed = disk.kill();
    broker.leave();
    let broker = Broker::boot(&killed, &DIRS).unwrap();
    assert_eq!(broker.holders(), [Path::new("/b")]);
    assert_whole(&broker, 1);
    broker.leave();
}

#[test]
fn a_copy_that_lacks_much_or_has_what_was_cut_does_not_take_over() {
    let disk = FakeDisk::new(1);
    let mut broker = prepared(&disk);
    let copy = broker.copy().unwrap();
    assert_eq!(
        broker.take_over(&copy),
        Ok(false),
        "it begins before the log"
    );
    ask(|done| copy.restart_at(10, done)).unwrap();
    copy_all(broker.view(), &copy).unwrap();
    assert_eq!(
        broker.take_over(&copy),
        Ok(false),
        "it lacks the log's first records"
    );
    ask(|done| copy.restart_at(4, done)).unwrap();
    copy_all(broker.view(), &copy).unwrap();
    ask(|done| broker.log.truncate(20, done)).unwrap();
    broker.seen.cut(20);
    assert_eq!(broker.view().agrees_with(copy.view()), Some(20));
    assert_eq!(broker.take_over(&copy), Ok(false));
    send(&broker.log, batch(OLD, 3), 3).wait().unwrap();
    assert_eq!(broker.view().agrees_with(copy.view()), Some(20));
    ask(|done| copy.truncate(20, done)).unwrap();
    assert_eq!(broker.take_over(&copy), Ok(true), "it lacks one record");
    assert_eq!(broker.view().log_end(), 21);
    broker.leave();
}

#[test]
fn a_deleted_copy_or_log_takes_no_place() {
    let disk = FakeDisk::new(1);
    let mut broker = prepared(&disk);
    let copy = broker.copy().unwrap();
    ask(|done| copy.restart_at(4, done)).unwrap();
    copy_all(broker.view(), &copy).unwrap();
    ask(|done| copy.delete(done)).unwrap();
    let closed = |taken| matches!(taken, Err(LogError::Closed { .. }));
    assert!(closed(broker.take_over(&copy)));
    assert_whole(&broker, 0);
    let copy = broker.copy().unwrap();
    ask(|done| broker.log.delete(done)).unwrap();
    assert!(closed(broker.take_over(&copy)));
    assert_eq!(broker.holders(), [] as [&Path; 0]);
    broker.leave();
}
