//! What there is of a topic.

use std::collections::{BTreeMap, HashMap};

use freshet_client::{ConfigEntry, ConfigSource, OngoingMove, TopicPartition, TopicView};

/// What there is of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Its id; `None` from brokers that have none.
    pub(crate) id: Option<String>,
    /// Each partition, in order.
    pub(crate) partitions: Vec<Copies>,
    /// What is set on the topic itself.
    pub(crate) overrides: BTreeMap<String, String>,
}

/// The copies of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Copies {
    /// How many there are, or will be when all moves are done.
    pub(crate) count: i32,
    /// Whether some are on the move.
    pub(crate) moving: bool,
}

impl Seen {
    /// Puts together what brokers have told.
    pub(super) fn new(
        topic: &str,
        view: &TopicView,
        settings: Vec<ConfigEntry>,
        moves: &HashMap<TopicPartition, OngoingMove>,
    ) -> Self {
        let partitions = view.partitions.iter().map(|seen| {
            let moving = moves.get(&(topic.to_owned(), seen.index));
            // The moves are asked after the metadata: one may be over, or have begun, in between.
            let of = moving.map_or(&seen.replicas, |m| &m.replicas);
            let going = moving.map_or(0, |m| m.removing.len());
            Copies {
                count: i32::try_from(of.len().saturating_sub(going)).unwrap_or(i32::MAX),
                moving: moving.is_some(),
            }
        });
        let set = settings.into_iter().filter(|entry| {
            // A secret value cannot be compared, and no topic setting is one.
            entry.source == ConfigSource::Topic && !entry.sensitive
        });
        Self {
            id: (!view.id.is_zero()).then(|| view.id.to_string()),
            partitions: partitions.collect(),
            overrides: set
                .filter_map(|entry| Some((entry.name, entry.value?)))
                .collect(),
        }
    }

    /// How many partitions there are.
    pub(crate) fn count(&self) -> i32 {
        i32::try_from(self.partitions.len()).unwrap_or(i32::MAX)
    }

    /// The copies that every partition has, or will have, at least.
    pub(crate) fn copies(&self) -> Option<i32> {
        self.partitions.iter().map(|p| p.count).min()
    }

    /// Partitions of which copies are on the move.
    pub(crate) fn moving(&self) -> i32 {
        let moving = self.partitions.iter().filter(|p| p.moving).count();
        i32::try_from(moving).unwrap_or(i32::MAX)
    }
}

/// Whether moves have to be looked at to know how many copies there will be.
pub(super) fn asks_for_moves(view: &TopicView, wanted: Option<i32>) -> bool {
    let mut counts = view.partitions.iter().map(|p| p.replicas.len());
    let first = counts.clone().next();
    let wanted = wanted.and_then(|n| usize::try_from(n).ok()).or(first);
    counts.any(|count| Some(count) != wanted)
}
