//! Batches that are not where they belong: whole ones in the place of others, and ones that say another offset.
//!
//! No checksum covers a base offset, so a reader has only the order of offsets, and what is remembered of it, to tell. Each
//! read gives what was written at the offset asked, or says that it is damaged.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use freshet_log::{
    LogConfig, LogError, LogHandle, LogView, OpenError, Origin, Read, ReadError, ReadSpec,
    TimeQuery, WritersOptions,
};
use freshet_records::{Batch, BatchBuilder, Batches, Codec};
use freshet_types::{Offset, Timestamp};
use proptest::prelude::*;

use crate::faulty::{Call, FaultyDisk};
use crate::support::{Rig, TOPIC, TestLog, batch, build, options, segments, session};

const LOG: &str = "t-0";

/// A batch where it was written.
#[derive(Debug, Clone)]
struct Place {
    file: PathBuf,
    at: u64,
    bytes: Bytes,
    base: Offset,
    next: Offset,
    time: Timestamp,
}

/// A change of what lies in a file.
struct Damage {
    what: String,
    file: PathBuf,
    at: u64,
    bytes: Vec<u8>,
}

impl Damage {
    /// Whether what was stored there is not there any more.
    fn hits(&self, place: &Place) -> bool {
        let (end, place_end) = (
            self.at + self.bytes.len() as u64,
            place.at + place.bytes.len() as u64,
        );
        let from = self.at.max(place.at);
        let until = end.min(place_end);
        if self.file != place.file || from >= until {
            return false;
        }
        let now = &self.bytes[index(from - self.at)..index(until - self.at)];
        let before = &place.bytes[index(from - place.at)..index(until - place.at)];
        now != before
    }
}

fn index(at: u64) -> usize {
    usize::try_from(at).unwrap()
}

/// A log that is read from files only; one closed segment keeps its index at a time.
fn log_of(config: LogConfig, sizes: &[(usize, usize)]) -> (Rig, TestLog) {
    let options = WritersOptions {
        hot_bytes: 0,
        open_segments: 1,
        ..options()
    };
    let rig = Rig::with(Arc::new(freshet_env::SystemDisk), options);
    let log = rig.open_with(LOG, config);
    for (i, &(records, size)) in sizes.iter().enumerate() {
        let value = format!("{i:08}{}", "v".repeat(size));
        let time = Timestamp(log.now.0 + i as i64);
        log.append(&batch(time, &vec![value.as_str(); records]))
            .unwrap();
    }
    log.flush();
    (rig, log)
}

fn places(path: &Path) -> Vec<Place> {
    let mut places = Vec::new();
    for (name, _) in segments(path) {
        let file = path.join(name);
        let bytes = Bytes::from(std::fs::read(&file).unwrap());
        let mut at = 0;
        // Behind the last one of the last segment there are zeros.
        for batch in Batches::new(bytes).map_while(Result::ok) {
            let header = *batch.header();
            places.push(Place {
                file: file.clone(),
                at,
                bytes: batch.bytes().clone(),
                base: header.base_offset,
                next: header.next_offset(),
                time: header.max_timestamp,
            });
            at += header.size_bytes as u64;
        }
    }
    places
}

fn spec(from: Offset, max_bytes: usize) -> ReadSpec {
    ReadSpec {
        from,
        max_bytes,
        upper_bound: Offset::MAX,
        at_least_one: true,
    }
}

/// Reads once: where to go on, or nothing where damage was told. What is given is what was written there.
fn read(view: &LogView, places: &[Place], spec: &ReadSpec) -> Result<Option<Offset>, String> {
    let from = spec.from;
    let read = match view.read(spec) {
        Ok(Read::Ready(fetched)) => Ok(fetched),
        Ok(Read::Cold) => view.read_blocking(spec),
        Err(error) => Err(error),
    };
    let fetched = match read {
        Ok(fetched) => fetched,
        Err(ReadError::Corrupt { .. }) => return Ok(None),
        Err(error) => return Err(format!("at {from}: {error}")),
    };
    let first = places.partition_point(|place| place.next <= from);
    let (next, bytes) = (fetched.next_offset, fetched.chunks.concat());
    let mut left = &bytes[..];
    let mut expected = from;
    for place in &places[first..] {
        match left.strip_prefix(&place.bytes[..]) {
            Some(rest) => (left, expected) = (rest, place.next),
            None => break,
        }
    }
    if next <= from || next != expected || !left.is_empty() {
        let length = bytes.len();
        return Err(format!("at {from}: {length} bytes up to {next}"));
    }
    Ok(Some(next))
}

fn write(damage: &Damage) {
    let file = OpenOptions::new().write(true).open(&damage.file).unwrap();
    file.write_all_at(&damage.bytes, damage.at).unwrap();
}

/// What was there before.
fn saved(damage: &Damage) -> Damage {
    let bytes = std::fs::read(&damage.file).unwrap();
    let from = index(damage.at);
    Damage {
        what: String::new(),
        file: damage.file.clone(),
        at: damage.at,
        bytes: bytes[from..from + damage.bytes.len()].to_vec(),
    }
}

/// With the damage all reads are right or told, and after it all are right.
fn survives(log: &TestLog, places: &[Place], damage: &Damage) -> Result<(), String> {
    let view = log.handle.view();
    let first = places.iter().position(|place| damage.hits(place));
    let Some(first) = first else {
        return Ok(());
    };
    // Readers are about to go on with what is damaged, and with what is behind.
    for place in &places[first.saturating_sub(1)..(first + 2).min(places.len())] {
        read(view, places, &spec(place.base, 1))?;
    }
    let before = saved(damage);
    write(damage);
    let met = meets(view, places, damage).map_err(|error| format!("{}: {error}", damage.what));
    write(&before);
    met?;
    for place in places.iter().filter(|place| place.file == damage.file) {
        let found = read(view, places, &spec(place.base, 1000));
        if !matches!(found, Ok(Some(_))) {
            return Err(format!("{} is not forgotten: {found:?}", damage.what));
        }
    }
    Ok(())
}

fn meets(view: &LogView, places: &[Place], damage: &Damage) -> Result<(), String> {
    // Files without damage are read all the same, which has the index of a closed one dropped and made again.
    let (here, elsewhere): (Vec<_>, Vec<_>) =
        places.iter().partition(|place| place.file == damage.file);
    for place in elsewhere.iter().step_by(3) {
        if read(view, places, &spec(place.base, 1000))?.is_none() {
            return Err(format!("{} is not shown", place.base));
        }
    }
    for (i, place) in here.into_iter().enumerate() {
        for from in place.base..place.next {
            for max_bytes in [1, 1000] {
                let found = read(view, places, &spec(from, max_bytes))?;
                if damage.hits(place) && found.is_some() {
                    return Err(format!("{from} is shown"));
                }
            }
        }
        // A lookup by time tells the right offset, or damage.
        let found = view.find_time_blocking(TimeQuery::AtOrAfter(place.time), Offset::MAX);
        match found {
            Ok(Some(found)) if found.offset == place.base => {}
            Err(ReadError::Corrupt { .. }) => {}
            found => return Err(format!("batch {i} by time: {found:?}")),
        }
    }
    let last = places.last().unwrap();
    match view.find_time_blocking(TimeQuery::Max, Offset::MAX) {
        Ok(Some(found)) if found.offset == last.base => {}
        Err(ReadError::Corrupt { .. }) => {}
        found => return Err(format!("the last by time: {found:?}")),
    }
    // A consumer that leaves out what it is refused.
    let mut from = 0;
    for _ in 0..2 * places.len() {
        let Some(place) = places.iter().find(|place| place.next > from) else {
            return Ok(());
        };
        from = read(view, places, &spec(from, 1000))?.unwrap_or(place.next);
    }
    Err("reads do not come to an end".into())
}

fn flipped(place: &Place, bit: u32) -> Damage {
    let base = place.base ^ (1 << bit);
    Damage {
        what: format!("bit {bit} of {}", place.base),
        file: place.file.clone(),
        at: place.at,
        bytes: base.to_be_bytes().to_vec(),
    }
}

/// A bit of a field at this byte of the header.
fn flipped_at(place: &Place, at: usize, bit: u32) -> Damage {
    Damage {
        what: format!("bit {bit} of byte {at} of {}", place.base),
        file: place.file.clone(),
        at: place.at + at as u64,
        bytes: vec![place.bytes[at] ^ (1 << bit)],
    }
}

/// `count` batches from one on where others were.
fn copied(places: &[Place], from: usize, to: usize, count: usize) -> Damage {
    let until = (from + count).min(places.len());
    let run = places[from..until].iter();
    let bytes: Vec<u8> = run.flat_map(|place| place.bytes.to_vec()).collect();
    // Within the file: what lies behind its last batch is nobody's.
    let end = places.iter().filter(|place| place.file == places[to].file);
    let end = end.map(|place| place.at + place.bytes.len() as u64).max();
    let room = index(end.unwrap() - places[to].at);
    Damage {
        what: format!("{count} from {} at {}", places[from].base, places[to].base),
        file: places[to].file.clone(),
        at: places[to].at,
        bytes: bytes[..bytes.len().min(room)].to_vec(),
    }
}

fn swapped(places: &[Place], one: usize, other: usize) -> Option<Damage> {
    let (one, other) = (one.min(other), one.max(other));
    if one == other || places[one].file != places[other].file {
        return None;
    }
    let between = &places[one + 1..other];
    let parts = [&places[other]]
        .into_iter()
        .chain(between)
        .chain([&places[one]]);
    Some(Damage {
        what: format!("{} and {} swapped", places[one].base, places[other].base),
        file: places[one].file.clone(),
        at: places[one].at,
        bytes: parts.flat_map(|place| place.bytes.to_vec()).collect(),
    })
}

/// Two closed segments of several index steps, and one that is written.
fn three_segments() -> (Rig, TestLog, Vec<Place>) {
    let config = LogConfig {
        segment_bytes: 2600,
        index_interval_bytes: 500,
        ..LogConfig::default()
    };
    let sizes: Vec<_> = (0..24).map(|i| (1 + i % 3, 100)).collect();
    let (rig, log) = log_of(config, &sizes);
    let places = places(&rig.log_path(LOG));
    assert_eq!(places.len(), 24);
    assert_eq!(segments(&rig.log_path(LOG)).len(), 3);
    (rig, log, places)
}

#[test]
fn a_flipped_bit_in_a_base_offset_makes_no_reader_skip_or_wait() {
    let (_rig, log, places) = three_segments();
    for place in &places {
        for bit in 0..64 {
            survives(&log, &places, &flipped(place, bit)).unwrap();
        }
    }
    assert!(log.handle.view().failure().is_none());
}

/// What says how many bytes and offsets a batch has, to those who do not read all of it.
#[test]
fn a_flipped_bit_in_a_length_makes_no_reader_skip_or_wait() {
    let (_rig, log, places) = three_segments();
    for place in &places {
        for at in (8..12).chain(23..27) {
            for bit in 0..8 {
                survives(&log, &places, &flipped_at(place, at, bit)).unwrap();
            }
        }
    }
}

#[test]
fn a_whole_batch_in_the_place_of_another_makes_no_reader_skip_or_wait() {
    let (_rig, log, places) = three_segments();
    for from in 0..places.len() {
        for to in 0..places.len() {
            survives(&log, &places, &copied(&places, from, to, 1)).unwrap();
            if let Some(swapped) = swapped(&places, from, to) {
                survives(&log, &places, &swapped).unwrap();
            }
        }
    }
}

/// The same with an index that is made of what is there after a start.
#[test]
fn damage_that_an_index_is_made_of_makes_no_reader_skip() {
    let (mut rig, log, places) = three_segments();
    let config = (*log.handle.view().config()).clone();
    drop(log);
    let last = places.len() - 1;
    for damage in [
        flipped(&places[last - 3], 4),
        flipped(&places[last], 0),
        flipped(&places[last], 40),
        copied(&places, last, last - 2, 1),
        copied(&places, last - 2, last, 1),
    ] {
        let before = saved(&damage);
        rig = rig.restart_after(|_| write(&damage));
        let log = rig.open_with(LOG, config.clone());
        let view = log.handle.view();
        meets(view, &places, &damage).unwrap();
        let whole = places.iter().take_while(|place| !damage.hits(place));
        for place in whole {
            let found = read(view, &places, &spec(place.base, 1)).unwrap();
            assert!(found.is_some(), "{}: {}", damage.what, place.base);
        }
        drop(log);
        rig = rig.restart_after(|_| write(&before));
    }
}

/// What lies in the middle is no end that a log may have: whoever knows what was committed sees that it is short.
#[test]
fn a_log_that_is_recovered_ends_in_front_of_what_is_misplaced() {
    let (mut rig, log, places) = three_segments();
    let config = (*log.handle.view().config()).clone();
    let all = segments(&rig.log_path(LOG));
    drop(log);
    let path = rig.log_path(LOG);
    let kept = all.iter().map(|(name, _)| path.join(name));
    let kept: Vec<_> = kept
        .map(|file| (std::fs::read(&file).unwrap(), file))
        .collect();
    let last = places.iter().filter(|place| place.file == kept[2].1);
    let first_of_last = places.len() - last.count();
    for (damage, hit) in [
        (flipped(&places[first_of_last + 1], 20), first_of_last + 1),
        (flipped(&places[first_of_last], 7), first_of_last),
        (
            copied(&places, first_of_last + 4, first_of_last + 1, 1),
            first_of_last + 1,
        ),
        (flipped(&places[2], 20), 2),
        (copied(&places, 5, 2, 1), 2),
        (flipped(&places[first_of_last - 1], 9), first_of_last - 1),
    ] {
        rig = rig.crash_after(|_| {
            write(&damage);
            std::fs::remove_file(path.join("state")).unwrap_or_default();
        });
        let opened = rig.try_open(LOG, TOPIC, config.clone());
        match opened {
            Ok(log) => {
                assert_eq!(log.handle.view().log_end(), places[hit].base);
                assert!(hit >= first_of_last, "{}", damage.what);
            }
            Err(OpenError::Log(LogError::Corrupt { what, .. })) => {
                assert!(hit < first_of_last, "{}: {what}", damage.what);
            }
            Err(error) => panic!("{error}"),
        }
        rig = rig.crash_after(|_| {
            for (bytes, file) in &kept {
                std::fs::write(file, bytes).unwrap();
            }
        });
    }
}

#[test]
fn a_truncation_that_meets_damage_cuts_nothing() {
    let (rig, log, places) = three_segments();
    let damage = flipped(&places[20], 3);
    let before = saved(&damage);
    write(&damage);
    let to = places[20].base;
    let cut = log.ask(|handle: &LogHandle, done| handle.truncate(to, done));
    assert!(matches!(cut, Err(LogError::Corrupt { .. })), "{cut:?}");
    assert!(rig.dir.failure().is_none());
    write(&before);
    assert_eq!(log.batches(0, 1000).len(), places.len());
    assert_eq!(
        log.ask(|handle: &LogHandle, done| handle.truncate(to, done)),
        Ok(to)
    );
}

/// What producers had sent by then is read from the batches before, however far they are from the cut.
#[test]
fn a_truncation_that_meets_damage_on_its_way_to_the_producers_cuts_nothing() {
    let config = LogConfig {
        index_interval_bytes: 500,
        ..LogConfig::default()
    };
    let (rig, log) = log_of(config, &[]);
    let value = "v".repeat(100);
    for sequence in 0..40 {
        log.append(&session(log.now, 1, sequence, &[&value]))
            .unwrap();
    }
    let places = places(&rig.log_path(LOG));
    for damage in [flipped(&places[5], 3), flipped_at(&places[5], 8, 6)] {
        let before = saved(&damage);
        write(&damage);
        let cut = log.ask(|handle: &LogHandle, done| handle.truncate(35, done));
        assert!(matches!(cut, Err(LogError::Corrupt { .. })), "{cut:?}");
        assert!(rig.dir.failure().is_none(), "{}", damage.what);
        write(&before);
        assert_eq!(log.handle.view().log_end(), 40);
    }
    let cut = log.ask(|handle: &LogHandle, done| handle.truncate(35, done));
    assert_eq!(cut, Ok(35));
}

/// What is believed of a batch is at hand: a fetch is one read of the file, with a place remembered or not.
#[test]
fn order_costs_no_read() {
    let disk = Arc::new(FaultyDisk::default());
    let options = WritersOptions {
        hot_bytes: 0,
        ..options()
    };
    let rig = Rig::with(Arc::<FaultyDisk>::clone(&disk), options);
    let config = LogConfig {
        index_interval_bytes: 500,
        ..LogConfig::default()
    };
    let log = rig.open_with(LOG, config);
    for _ in 0..60 {
        log.append(&batch(log.now, &[&"v".repeat(100), "w"]))
            .unwrap();
    }
    let (view, end) = (log.handle.view(), log.handle.view().log_end());
    let fetch = |from, max_bytes| {
        let before = disk.count(Call::Cached, ".log");
        let read = view.read(&spec(from, max_bytes)).unwrap();
        let Read::Ready(fetched) = read else {
            panic!("all of it is cached");
        };
        assert_eq!(disk.count(Call::Cached, ".log"), before + 1, "at {from}");
        fetched.next_offset
    };
    for from in 0..end {
        fetch(from, 1000);
    }
    let (mut from, mut fetches) = (fetch(0, 1000), 1);
    while from < end {
        (from, fetches) = (fetch(from, 1), fetches + 1);
    }
    assert!(fetches > 50);
    assert_eq!(disk.count(Call::Read, ".log"), 0);
}

#[test]
fn holes_are_read_over() {
    let config = LogConfig {
        segment_bytes: 3000,
        index_interval_bytes: 700,
        ..LogConfig::default()
    };
    let (rig, log) = log_of(config, &[]);
    let mut next = 0;
    for i in 0..40 {
        let base = next + [0, 0, 3, 0, 50][i % 5];
        let builder = BatchBuilder::new(Codec::None).at(base, 0);
        let value = format!("{i:08}{}", "v".repeat(100));
        let time = Timestamp(log.now.0 + i as i64);
        let batch: Batch = build(builder, time, &[&value, &value]);
        let bytes = batch.bytes().clone();
        log.append_as(bytes, Origin::Replica, -1).unwrap();
        next = base + 2;
    }
    log.flush();
    let places = places(&rig.log_path(LOG));
    let view = log.handle.view();
    for from in 0..next {
        let first = places.iter().find(|place| place.next > from).unwrap();
        for max_bytes in [1, 1000, 1 << 20] {
            let found = read(view, &places, &spec(from, max_bytes)).unwrap();
            assert!(found >= Some(first.next), "at {from}: {found:?}");
        }
    }
    for place in &places {
        let found = view.find_time_blocking(TimeQuery::AtOrAfter(place.time), Offset::MAX);
        assert_eq!(found.unwrap().map(|found| found.offset), Some(place.base));
    }
    let found = view.find_time_blocking(TimeQuery::Max, Offset::MAX);
    assert_eq!(found.unwrap().unwrap().offset, places[39].base);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn no_reader_is_misled(
        sizes in prop::collection::vec((1..12usize, prop_oneof![Just(60usize), 0..600usize]), 4..40),
        interval in 100..2000u64,
        segment in 1500..20_000u64,
        damages in prop::collection::vec((any::<[prop::sample::Index; 2]>(), 0..4u8, 0..64u32, 1..9usize), 12),
    ) {
        let config = LogConfig {
            segment_bytes: segment,
            index_interval_bytes: interval,
            ..LogConfig::default()
        };
        let (rig, log) = log_of(config, &sizes);
        let places = places(&rig.log_path(LOG));
        for ([from, to], kind, bit, count) in damages {
            let (from, to) = (from.index(places.len()), to.index(places.len()));
            let damage = match kind {
                0 => Some(flipped(&places[to], bit)),
                1 => swapped(&places, from, to),
                _ => Some(copied(&places, from, to, count)),
            };
            if let Some(damage) = damage {
                let survived = survives(&log, &places, &damage);
                prop_assert!(survived.is_ok(), "{:?}", survived);
            }
        }
    }
}
