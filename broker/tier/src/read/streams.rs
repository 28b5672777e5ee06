//! How far to read ahead of a client: a pure rule.
//!
//! Who goes on where the last read ended is a stream. It has nothing ahead of it at first, then one
//! chunk, then twice as many with each chunk that it finishes, up to a limit: so what is fetched in
//! vain is never more than what was read. A jump begins anew. They are asked for when there are enough of
//! them for a request, so that there is not one for each.

use freshet_types::Offset;

use super::runs::RUN;
use crate::segment::SegmentId;

/// One client in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stream {
    /// Where its last read ended.
    next: Offset,
    /// The last chunk that it has seen.
    at: (SegmentId, u32),
    /// Chunks to have ahead of it.
    window: u32,
    /// The last one that was asked for ahead of it.
    ahead: Option<(SegmentId, u32)>,
    /// How many were asked for of the object behind.
    behind: u32,
}

/// Chunks to fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Ahead {
    /// The first one in the same object.
    pub(super) from: u32,
    /// How many there.
    pub(super) here: u32,
    /// How many in the object behind.
    pub(super) behind: u32,
}

/// A read that gave something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    pub(super) from: Offset,
    pub(super) next: Offset,
    pub(super) segment: SegmentId,
    /// The last chunk that it needed.
    pub(super) chunk: u32,
    /// The object's last chunk.
    pub(super) last: u32,
}

impl Stream {
    /// A stream after a read, and what to fetch ahead of it: `limit` chunks at most.
    pub(super) fn advance(before: Option<Self>, read: &Progress, limit: u32) -> (Self, Ahead) {
        let at = (read.segment, read.chunk);
        let mut stream = Self {
            next: read.next,
            at,
            window: 0,
            ahead: None,
            behind: 0,
        };
        if let Some(before) = before.filter(|before| before.next == read.from) {
            let finished = before.at != at;
            let grown = if finished {
                before.window * 2
            } else {
                before.window
            };
            stream.window = grown.clamp(1, limit.max(1)).min(limit);
            stream.ahead = before.ahead.filter(|ahead| ahead.0 == read.segment);
            stream.behind = if before.at.0 == read.segment {
                before.behind
            } else {
                0
            };
        }
        let asked = stream.ahead.map_or(0, |(_, chunk)| chunk + 1);
        let from = asked.max(read.chunk + 1);
        let until = (read.chunk + stream.window).min(read.last);
        let behind = (read.chunk + stream.window).saturating_sub(read.last);
        // As many as make a request, unless there are no more, or soon none would be left ahead.
        let least = RUN.min(stream.window / 2).max(1);
        let here = (until + 1).saturating_sub(from);
        let is_last = read.chunk == read.last;
        let goes_behind = behind >= stream.behind + least || (is_last && behind > stream.behind);
        let ahead = Ahead {
            from,
            here: if here >= least || until == read.last {
                here
            } else {
                0
            },
            // Once, not with every small read of the last chunk.
            behind: if goes_behind { behind } else { 0 },
        };
        stream.behind = stream.behind.max(ahead.behind);
        if ahead.here > 0 {
            stream.ahead = Some((read.segment, until));
        }
        (stream, ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: SegmentId = SegmentId([1; 16]);

    fn read(from: Offset, next: Offset, chunk: u32) -> Progress {
        Progress {
            from,
            next,
            segment: HERE,
            chunk,
            last: 20,
        }
    }

    /// What each read has fetched ahead of it: first chunk, chunks here, chunks behind.
    fn run(reads: &[Progress], limit: u32) -> Vec<(u32, u32, u32)> {
        let mut stream = None;
        let mut told = Vec::new();
        for read in reads {
            let (after, ahead) = Stream::advance(stream, read, limit);
            stream = Some(after);
            told.push((ahead.from, ahead.here, ahead.behind));
        }
        told
    }

    #[test]
    fn it_grows_with_what_was_read_and_falls_back() {
        let told = run(
            &[
                read(0, 10, 0),
                read(10, 20, 0),
                read(20, 30, 1),
                read(30, 40, 2),
                read(40, 50, 3),
                read(50, 60, 4),
                read(90, 99, 9),
                read(99, 110, 9),
            ],
            8,
        );
        let expected = [
            (1, 0, 0),
            (1, 1, 0),
            (2, 2, 0),
            (4, 3, 0),
            (7, 5, 0),
            // Not one alone, while seven are ahead.
            (12, 0, 0),
            (10, 0, 0),
            (10, 1, 0),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn the_end_of_an_object_leads_to_the_next_one() {
        let mut reads = vec![read(0, 1, 15)];
        reads.extend((1..6).map(|n| read(n, n + 1, 15 + u32::try_from(n).unwrap())));
        reads.push(read(6, 7, 20));
        let told = run(&reads, 4);
        assert_eq!(told[3..], [(20, 1, 2), (21, 0, 0), (21, 0, 4), (21, 0, 0)]);
    }

    #[test]
    fn without_a_limit_nothing_is_read_ahead() {
        let told = run(&[read(0, 1, 0), read(1, 2, 1), read(2, 3, 2)], 0);
        assert!(told.iter().all(|(_, here, behind)| here + behind == 0));
    }
}
