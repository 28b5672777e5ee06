//! Closed segments, as they are copied to another store.

use std::sync::mpsc::channel;

use bytes::{Bytes, BytesMut};
use freshet_log::{Busy, ClosedSegment, Done, LogConfig, ReadError};
use freshet_records::Batches;

use crate::support::{Rig, batch, eventually, session};

const LOG: &str = "t-0";

fn ask<T: Send + 'static>(
    ask: impl FnOnce(Done<T, ReadError>) -> Result<(), Busy>,
) -> Result<T, ReadError> {
    let (tell, told) = channel();
    ask(Box::new(move |read| drop(tell.send(read)))).unwrap();
    told.recv().unwrap()
}

fn bytes(segment: &ClosedSegment) -> Bytes {
    let memory = BytesMut::new();
    let all = 0..segment.size_bytes();
    ask(|done| segment.read(all, memory, done))
        .unwrap()
        .freeze()
}

#[test]
fn closed_segments_are_what_readers_find_in_them() {
    let rig = Rig::new();
    let log = rig.open(LOG);
    for sequence in 0..6 {
        log.append(&session(log.now, 7, sequence * 2, &["a", "b"]))
            .unwrap();
        log.put(&["c"]);
        if sequence % 2 == 1 {
            log.roll();
        }
    }
    log.put(&["open"]);
    let end = log.flush();
    let view = log.handle.view();
    let ranges = |from, upto| -> Vec<_> {
        let closed = view.closed_segments(from, upto);
        closed.iter().map(|s| (s.base(), s.end())).collect()
    };
    assert_eq!(ranges(0, end), [(0, 6), (6, 12), (12, 18)]);
    assert_eq!(ranges(6, end), [(6, 12), (12, 18)]);
    assert_eq!(ranges(7, end), [(6, 12), (12, 18)]);
    assert_eq!(ranges(0, 17), [(0, 6), (6, 12)]);
    assert!(ranges(18, end).is_empty());
    let closed = view.closed_segments(0, end);
    for segment in &closed {
        let batches: Vec<_> = Batches::new(bytes(segment))
            .map(|batch| batch.unwrap())
            .collect();
        batches.iter().for_each(|batch| batch.check_crc().unwrap());
        let ends = (
            batches[0].header().base_offset,
            batches.last().unwrap().header().next_offset(),
        );
        assert_eq!(ends, (segment.base(), segment.end()));
    }
    let beyond = closed[0].size_bytes();
    let read = |range| ask(|done| closed[0].read(range, BytesMut::new(), done));
    assert!(read(1..beyond + 1).is_err());
    #[expect(clippy::reversed_empty_ranges, reason = "from whoever asks")]
    let backwards = read(5..3);
    assert!(backwards.is_err());
    // Into memory that was used before.
    let (whole, used) = (bytes(&closed[0]), BytesMut::zeroed(4096));
    let place = used.as_ptr();
    let again = ask(|done| closed[0].read(3..20, used, done)).unwrap();
    assert_eq!((&again[..], again.as_ptr()), (&whole[3..20], place));
    let epochs = view.epochs();
    assert_eq!(epochs.len(), 1);
    // What was opened before retention came stays.
    let before = bytes(&closed[0]);
    log.ask(|handle, done| handle.trim(6, done)).unwrap();
    let path = rig.log_path(LOG).join("00000000000000000000.log");
    eventually("the file goes", || !path.exists());
    assert_eq!(bytes(&closed[0]), before);
    assert!(view.closed_segments(0, 6).is_empty());
}

#[test]
fn a_closed_segment_that_is_shorter_than_it_was_is_unreadable() {
    let rig = Rig::new();
    let log = rig.open_with(LOG, LogConfig::default());
    log.append(&batch(log.now, &["a", "b"])).unwrap();
    log.roll();
    let end = log.flush();
    let closed = log.handle.view().closed_segments(0, end);
    let path = rig.log_path(LOG).join("00000000000000000000.log");
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let bytes = closed[0].size_bytes();
    file.set_len(bytes - 1).unwrap();
    let read = |range| ask(|done| closed[0].read(range, BytesMut::new(), done));
    assert!(read(0..bytes - 1).is_ok());
    let short = read(0..bytes);
    assert!(
        matches!(short, Err(ReadError::Unreadable { .. })),
        "{short:?}"
    );
    // Who asks for what it never had is told something else.
    let beyond = read(0..bytes + 1);
    assert!(matches!(beyond, Err(ReadError::Io { .. })), "{beyond:?}");
}

#[test]
fn the_producers_of_a_closed_segment_are_those_of_its_end() {
    let rig = Rig::new();
    let config = LogConfig::default();
    let log = rig.open_with(LOG, config);
    let snapshot = |end| {
        let name = format!("{end:020}.producers");
        std::fs::read(rig.log_path(LOG).join(name)).ok()
    };
    for (id, values) in [(7, 3), (8, 1), (9, 2)] {
        for sequence in 0..values {
            log.append(&session(log.now, id, sequence, &["a"])).unwrap();
        }
        log.roll();
        // A checkpoint that the next one overtakes is not written, nor is its snapshot.
        let end = log.handle.view().log_end();
        eventually("the snapshot is there", || snapshot(end).is_some());
    }
    log.append(&batch(log.now, &["open"])).unwrap();
    let end = log.flush();
    let closed = log.handle.view().closed_segments(0, end);
    let producers = |at: usize| ask(|done| closed[at].producers(done)).unwrap();
    let whole: Vec<Bytes> = (0..3).map(producers).collect();
    for (at, end) in [3, 4, 6].into_iter().enumerate().rev() {
        assert_eq!(Some(whole[at].to_vec()), snapshot(end), "at {end}");
        // Without its own snapshot it is made of the one before and what came since.
        std::fs::remove_file(rig.log_path(LOG).join(format!("{end:020}.producers"))).unwrap();
        assert_eq!(producers(at), whole[at], "at {end}");
    }
}
