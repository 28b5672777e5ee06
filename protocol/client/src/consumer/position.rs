//! Where a consumer is in each of its partitions.

use std::collections::BTreeMap;

use freshet_types::{LeaderEpoch, Offset};
use tokio::time::Instant;

use super::Start;
use crate::TopicPartition;

/// One partition.
#[derive(Debug)]
pub(super) struct Position {
    /// Where to begin; looked up as long as `fetch` is unknown.
    pub(super) start: Start,
    /// Next offset to ask for.
    pub(super) fetch: Option<Offset>,
    /// Next offset to hand out.
    pub(super) next: Option<Offset>,
    /// Leader epoch of the last batch handed out.
    pub(super) last_epoch: LeaderEpoch,
    /// The end as last told.
    pub(super) end: Option<Offset>,
    /// Tells apart this assignment from an earlier one of the same partition.
    pub(super) serial: u64,
    /// Not to be asked for before.
    pub(super) pause_until: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct Positions {
    of: BTreeMap<TopicPartition, Position>,
    serials: u64,
}

impl Positions {
    pub(super) fn set(&mut self, partition: TopicPartition, start: Start) {
        self.serials += 1;
        let offset = start.spec().err();
        let position = Position {
            start,
            fetch: offset,
            next: offset,
            last_epoch: -1,
            end: None,
            serial: self.serials,
            pause_until: None,
        };
        self.of.insert(partition, position);
    }

    pub(super) fn remove(&mut self, partition: &TopicPartition) {
        self.of.remove(partition);
    }

    pub(super) fn get(&self, partition: &TopicPartition) -> Option<&Position> {
        self.of.get(partition)
    }

    pub(super) fn get_mut(&mut self, partition: &TopicPartition) -> Option<&mut Position> {
        self.of.get_mut(partition)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&TopicPartition, &Position)> {
        self.of.iter()
    }

    /// When the first paused partition may be asked for again.
    pub(super) fn next_retry(&self, now: Instant) -> Option<Instant> {
        self.of
            .values()
            .filter_map(|p| p.pause_until)
            .filter(|until| *until > now)
            .min()
    }
}
