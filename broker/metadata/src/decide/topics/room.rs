//! Room under the limits of the cluster, counted over the items of one request.

use crate::error::MetadataError;
use crate::machine::MetadataMachine;

/// How many topics and partitions there would be, with what the request was granted so far.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    topics: usize,
    partitions: usize,
}

impl Room {
    pub(crate) fn of(machine: &MetadataMachine) -> Self {
        Self {
            topics: machine.image.topic_count(),
            partitions: machine.image.partition_count(),
        }
    }

    /// How many partitions there would be.
    pub(crate) fn partitions(&self) -> usize {
        self.partitions
    }

    /// Takes room, or says which limit is in the way. `in_topic` is what the topic would have.
    pub(crate) fn take(
        &mut self,
        machine: &MetadataMachine,
        topics: usize,
        partitions: usize,
        in_topic: usize,
    ) -> Result<(), MetadataError> {
        let limits = &machine.options.limits;
        let wants = Self {
            topics: self.topics + topics,
            partitions: self.partitions.saturating_add(partitions),
        };
        let rules = [
            (
                "topics",
                wants.topics,
                limits.topics_max,
                "freshet.topics.max",
            ),
            (
                "partitions",
                wants.partitions,
                limits.partitions_max,
                "freshet.partitions.max",
            ),
            (
                "partitions in the topic",
                in_topic,
                limits.topic_partitions_max,
                "freshet.topic.partitions.max",
            ),
        ];
        match rules.into_iter().find(|(_, would, limit, _)| would > limit) {
            Some((what, would, limit, setting)) => Err(MetadataError::Limit {
                what: what.into(),
                would,
                limit,
                setting: setting.into(),
            }),
            None => {
                *self = wants;
                Ok(())
            }
        }
    }
}
