//! Leader epochs and where they start (KIP-101, KIP-279).

use bytes::{Buf, BufMut};
use freshet_types::{LeaderEpoch, Offset};

use crate::EpochEnd;
use freshet_records::envelope::{EnvelopeError, malformed};

/// Entries sorted by epoch and, strictly, by start offset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Epochs {
    entries: Vec<(LeaderEpoch, Offset)>,
}

impl Epochs {
    /// All of them.
    pub(crate) fn entries(&self) -> &[(LeaderEpoch, Offset)] {
        &self.entries
    }

    /// The latest epoch and its start.
    pub(crate) fn latest(&self) -> Option<(LeaderEpoch, Offset)> {
        self.entries.last().copied()
    }

    /// `epoch` starts at `start`. Returns whether anything changed. An epoch that has no record
    /// (its start is the next one's) is forgotten, as is whatever a replica's history contradicts.
    pub(crate) fn assign(&mut self, epoch: LeaderEpoch, start: Offset) -> bool {
        if epoch < 0 || self.latest().is_some_and(|(last, _)| last == epoch) {
            return false;
        }
        self.entries.retain(|&(e, s)| e < epoch && s < start);
        self.entries.push((epoch, start));
        true
    }

    /// The log now ends at `end`.
    pub(crate) fn cut_end(&mut self, end: Offset) -> bool {
        let before = self.entries.len();
        self.entries.retain(|&(_, start)| start < end);
        self.entries.len() != before
    }

    /// The log now starts at `start`: the epoch that covers it starts there.
    pub(crate) fn cut_start(&mut self, start: Offset) {
        let covered = self.entries.partition_point(|&(_, s)| s <= start);
        if covered == 0 {
            return;
        }
        self.entries.drain(..covered - 1);
        self.entries[0].1 = start;
    }

    /// Kafka's answer to OffsetForLeaderEpoch: the latest epoch ends at the log end, an older one
    /// where the next begins; an unknown one between known ones is answered by the one below it;
    /// one below all known ones ends where the first begins; one above all is unknown.
    pub(crate) fn end_of(&self, asked: LeaderEpoch, log_end: Offset) -> EpochEnd {
        let unknown = EpochEnd {
            epoch: -1,
            end_offset: -1,
        };
        let Some((latest, _)) = self.latest() else {
            return unknown;
        };
        if asked < 0 || asked > latest {
            return unknown;
        }
        if asked == latest {
            return EpochEnd {
                epoch: asked,
                end_offset: log_end,
            };
        }
        let higher = self.entries.partition_point(|&(e, _)| e <= asked);
        let epoch = match higher.checked_sub(1) {
            Some(floor) => self.entries[floor].0,
            None => asked,
        };
        EpochEnd {
            epoch,
            end_offset: self.entries[higher].1,
        }
    }

    /// How many start at `offset` or later.
    pub(crate) fn since(&self, offset: Offset) -> usize {
        let before = self.entries.partition_point(|&(_, start)| start < offset);
        self.entries.len() - before
    }

    /// The epoch whose range holds `offset`.
    pub(crate) fn at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let covered = self.entries.partition_point(|&(_, s)| s <= offset);
        Some(self.entries[covered.checked_sub(1)?].0)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let count = u32::try_from(self.entries.len()).expect("epochs are i32 and distinct");
        out.put_u32(count);
        for &(epoch, start) in &self.entries {
            out.put_i32(epoch);
            out.put_i64(start);
        }
    }

    pub(crate) fn decode(from: &mut &[u8]) -> Result<Self, EnvelopeError> {
        let count = from.try_get_u32()? as usize;
        if count > from.len() / 12 {
            return Err(malformed("more epochs than bytes"));
        }
        let mut entries: Vec<(LeaderEpoch, Offset)> = Vec::with_capacity(count);
        for _ in 0..count {
            let entry = (from.try_get_i32()?, from.try_get_i64()?);
            let sorted = |&(e, s): &(LeaderEpoch, Offset)| e < entry.0 && s < entry.1;
            if entry.0 < 0 || !entries.last().is_none_or(sorted) {
                return Err(malformed("epochs out of order"));
            }
            entries.push(entry);
        }
        Ok(Self { entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn epochs(entries: &[(LeaderEpoch, Offset)]) -> Epochs {
        let mut epochs = Epochs::default();
        for &(epoch, start) in entries {
            epochs.assign(epoch, start);
        }
        epochs
    }

    #[test]
    fn end_of_follows_kip_279() {
        let history = epochs(&[(2, 10), (4, 20), (7, 30)]);
        let table = [
            (-1, (-1, -1)),
            (0, (0, 10)),
            (2, (2, 20)),
            (3, (2, 20)),
            (4, (4, 30)),
            (6, (4, 30)),
            (7, (7, 99)),
            (8, (-1, -1)),
        ];
        for (asked, (epoch, end_offset)) in table {
            let expected = EpochEnd { epoch, end_offset };
            assert_eq!(history.end_of(asked, 99), expected, "{asked}");
        }
        let none = Epochs::default().end_of(0, 99);
        assert_eq!((none.epoch, none.end_offset), (-1, -1));
    }

    #[test]
    fn an_epoch_without_records_is_forgotten() {
        assert_eq!(epochs(&[(1, 5), (2, 5), (3, 8)]), epochs(&[(2, 5), (3, 8)]));
        assert_eq!(epochs(&[(3, 0), (3, 7)]), epochs(&[(3, 0)]));
        assert_eq!(epochs(&[(3, 0), (5, 9), (4, 6)]), epochs(&[(3, 0), (4, 6)]));
    }

    #[test]
    fn cuts_keep_what_covers() {
        let mut history = epochs(&[(1, 0), (2, 10), (3, 20)]);
        assert!(!history.cut_end(21));
        assert!(history.cut_end(20));
        assert_eq!(history, epochs(&[(1, 0), (2, 10)]));
        history.cut_start(12);
        assert_eq!(history, epochs(&[(2, 12)]));
        history.cut_start(3);
        assert_eq!(history, epochs(&[(2, 12)]));
        assert_eq!(history.at(11), None);
        assert_eq!(history.at(12), Some(2));
    }

    #[test]
    fn unsorted_and_short_bodies_are_refused() {
        let decode = |bytes: &[u8]| Epochs::decode(&mut &bytes[..]);
        assert!(decode(&[0, 0, 0]).is_err());
        assert!(decode(&[0, 0, 0, 1]).is_err());
        assert!(decode(&u32::MAX.to_be_bytes()).is_err());
        let mut bytes = vec![0, 0, 0, 2];
        for _ in 0..2 {
            bytes.put_i32(1);
            bytes.put_i64(1);
        }
        assert!(decode(&bytes).is_err());
    }

    proptest! {
        #[test]
        fn encoding_round_trips_and_order_holds(
            steps in prop::collection::vec((0..50i32, 0..50i64), 0..40)
        ) {
            let history = epochs(&steps);
            let mut bytes = Vec::new();
            history.encode(&mut bytes);
            prop_assert_eq!(Epochs::decode(&mut bytes.as_slice()), Ok(history));
        }
    }
}
