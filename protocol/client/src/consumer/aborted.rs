//! Leaving out aborted transactions (KIP-98).

use std::collections::HashSet;

use freshet_records::BatchHeader;
use freshet_types::{Offset, ProducerId};
use freshet_wire::fetch::AbortedTransaction;

/// The aborted transactions of one answer. Batches are shown to it in order.
#[derive(Debug, Default)]
pub(super) struct Aborted {
    /// By descending first offset: the next one to begin is last.
    ahead: Vec<(Offset, ProducerId)>,
    /// Producers in an aborted transaction.
    within: HashSet<ProducerId>,
}

impl Aborted {
    pub(super) fn new(told: Vec<AbortedTransaction>) -> Self {
        let mut ahead: Vec<_> = told
            .iter()
            .map(|t| (t.first_offset, t.producer_id))
            .collect();
        ahead.sort_unstable_by(|a, b| b.cmp(a));
        Self {
            ahead,
            within: HashSet::new(),
        }
    }

    /// Whether the batch holds nothing to hand out: control records, or aborted ones.
    pub(super) fn hides(&mut self, header: &BatchHeader) -> bool {
        while self
            .ahead
            .last()
            .is_some_and(|(first, _)| *first <= header.last_offset())
        {
            self.within
                .extend(self.ahead.pop().map(|(_, producer)| producer));
        }
        if header.attributes.is_control() {
            // A marker ends the producer's transaction; the next may be a committed one.
            self.within.remove(&header.producer_id);
            return true;
        }
        header.attributes.is_transactional() && self.within.contains(&header.producer_id)
    }
}

#[cfg(test)]
mod tests {
    use freshet_records::{BatchBuilder, Codec, NewRecord, Producer};

    use super::*;

    fn data(offset: Offset, producer: ProducerId) -> BatchHeader {
        let mut builder = BatchBuilder::new(Codec::None)
            .at(offset, 0)
            .producer(Producer {
                id: producer,
                epoch: 0,
                base_sequence: 0,
            })
            .transactional();
        builder.push(&NewRecord::default()).expect("it fits");
        *builder.finish().expect("it is small").header()
    }

    fn marker(offset: Offset, producer: ProducerId) -> BatchHeader {
        let attributes = data(offset, producer).attributes.with_control(true);
        BatchHeader {
            attributes,
            ..data(offset, producer)
        }
    }

    #[test]
    fn an_aborted_transaction_ends_with_its_marker() {
        let told = vec![
            AbortedTransaction {
                producer_id: 1,
                first_offset: 10,
            },
            AbortedTransaction {
                producer_id: 2,
                first_offset: 4,
            },
        ];
        let mut aborted = Aborted::new(told);
        assert!(!aborted.hides(&data(3, 1)), "before its transaction");
        assert!(aborted.hides(&data(4, 2)));
        assert!(
            !aborted.hides(&data(5, 1)),
            "another, committed transaction"
        );
        assert!(aborted.hides(&data(10, 1)));
        assert!(aborted.hides(&marker(11, 1)), "markers are never shown");
        assert!(!aborted.hides(&data(12, 1)), "after the marker");
        assert!(aborted.hides(&data(13, 2)), "still open");
    }
}
