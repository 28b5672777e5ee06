//! Which partitions go to new brokers, until these have their share.
//!
//! One replica after the other: off the broker that keeps most, to the new one that keeps least, as long as
//! the gap between the two gets smaller. A new broker takes until it has the mean of all brokers, or that of
//! its rack where rack rules let nobody else give. Whoever looks again after some of the moves comes to the
//! same end: those that have begun count as done.
//!
//! Counted are replicas and preferred leaders, not bytes or traffic.

mod book;

use std::collections::BTreeSet;

use freshet_types::NodeId;

use crate::{Move, Survey};
use book::Book;

/// Moves to new brokers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fill {
    /// What can move now. Some only change who leads first; nothing is copied for them.
    pub moves: Vec<Move>,
    /// Replicas that new brokers lack of their share before these moves; those that are on their way are
    /// not counted. With racks and full disks it is an estimate.
    pub lacking: usize,
    /// New brokers that have what they can get.
    pub full: BTreeSet<NodeId>,
    /// Those among them that would have got more if their disks had room.
    pub roomless: BTreeSet<NodeId>,
}

impl Fill {
    /// A plan for these brokers, of `most` moves.
    ///
    /// No partition gets a second move, none is twice on a broker, and none is spread over fewer racks
    /// than before. Brokers that are away or cordoned neither give nor take.
    pub fn of_brokers(survey: &Survey, new: &BTreeSet<NodeId>, most: usize) -> Self {
        let mut book = Book::of(survey);
        let open: BTreeSet<_> = new.iter().copied().filter(|n| book.knows(*n)).collect();
        let mut plan = Self {
            lacking: open.iter().map(|node| book.lacks(*node)).sum(),
            ..Self::default()
        };
        let mut hungry = open.clone();
        while plan.moves.len() < most
            && let Some(node) = book.emptiest(&hungry)
        {
            match book.give(node) {
                Some(given) => plan.moves.push(given),
                None => _ = hungry.remove(&node),
            }
        }
        let mut led = open.clone();
        while plan.moves.len() < most
            && let Some(node) = book.least_leading(&led)
        {
            match book.promote(node) {
                Some(given) => plan.moves.push(given),
                None => _ = led.remove(&node),
            }
        }
        if plan.moves.len() < most {
            plan.finish(survey, &open, &book);
        }
        plan
    }

    /// Who is full: nothing is planned for it, and nothing is on its way to it.
    fn finish(&mut self, survey: &Survey, open: &BTreeSet<NodeId>, book: &Book<'_>) {
        let more = |node: &NodeId, m: &Move| {
            let leads = |keepers: &[NodeId]| keepers.first() == Some(node);
            m.then.contains(node) && (!m.now.contains(node) || leads(&m.then) && !leads(&m.now))
        };
        let gets = |node: &NodeId| {
            self.moves.iter().any(|m| more(node, m))
                || survey.partitions.iter().any(|h| h.adding.contains(node))
        };
        self.full = open.iter().copied().filter(|node| !gets(node)).collect();
        let roomless = self.full.iter().filter(|node| book.is_roomless(**node));
        self.roomless = roomless.copied().collect();
    }
}

#[cfg(test)]
mod tests;
