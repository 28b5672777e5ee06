//! What each broker keeps and leads, kept up to date while moves are planned.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use freshet_types::NodeId;

use crate::{Disks, Held, Move, Survey, TopicPartition};

/// A broker that gives and takes.
#[derive(Debug, Default)]
struct Broker {
    disks: Disks,
    /// Replicas that it keeps or will keep.
    replicas: usize,
    /// Partitions whose preferred leader it is.
    leads: usize,
    /// How many replicas it shall have at most by a fill.
    share: usize,
    /// Partitions of it that could move, by their place in the book.
    movable: Vec<usize>,
    /// Something could not come for want of room.
    roomless: bool,
}

/// A partition that has no move.
struct Settled<'a> {
    held: &'a Held,
    bytes: u64,
    has_moved: bool,
}

/// The books.
pub(super) struct Book<'a> {
    brokers: BTreeMap<NodeId, Broker>,
    /// Where all of them stand, also those that neither give nor take.
    racks: BTreeMap<NodeId, Option<String>>,
    /// Replicas that each has in the mean.
    mean: usize,
    /// Preferred leaders that each shall have.
    lead_share: usize,
    settled: Vec<Settled<'a>>,
    /// Replicas of each topic on each broker.
    topics: BTreeMap<(NodeId, &'a str), usize>,
}

/// How good a partition is to move: the more racks, then as many leaders as are wanted, then the topic that the
/// giver has more of than the taker; the first one of those.
type Worth = (usize, bool, isize, Reverse<usize>);

impl<'a> Book<'a> {
    pub(super) fn of(survey: &'a Survey) -> Self {
        let open = survey.brokers.values().filter(|seen| seen.status() == "ok");
        let by_speed = survey.slowness_counts();
        let broker = |seen: &crate::Seen| Broker {
            disks: seen.disks(by_speed),
            ..Broker::default()
        };
        let all = survey.brokers.values();
        let mut book = Self {
            brokers: open.map(|seen| (seen.node.id, broker(seen))).collect(),
            racks: all
                .map(|seen| (seen.node.id, seen.node.rack.clone()))
                .collect(),
            mean: 0,
            lead_share: 0,
            settled: Vec::new(),
            topics: BTreeMap::new(),
        };
        let sizes = survey.sizes();
        for held in &survey.partitions {
            book.enter(held, &sizes);
        }
        book.share();
        book
    }

    fn enter(&mut self, held: &'a Held, sizes: &BTreeMap<TopicPartition, u64>) {
        let target = held.target();
        // Without a leader there is nobody to copy from.
        let is_settled =
            held.adding.is_empty() && held.removing.is_empty() && held.leader.is_some();
        for (at, node) in target.iter().enumerate() {
            let Some(broker) = self.brokers.get_mut(node) else {
                continue;
            };
            broker.replicas += 1;
            broker.leads += usize::from(at == 0);
            if is_settled {
                broker.movable.push(self.settled.len());
            }
            *self.topics.entry((*node, &held.partition.0)).or_default() += 1;
        }
        if is_settled {
            self.settled.push(Settled {
                held,
                bytes: sizes.get(&held.partition).copied().unwrap_or(0),
                has_moved: false,
            });
        }
    }

    fn share(&mut self) {
        let mean = |brokers: &[&Broker]| {
            let all: usize = brokers.iter().map(|broker| broker.replicas).sum();
            all / brokers.len().max(1)
        };
        let all: Vec<_> = self.brokers.values().collect();
        self.mean = mean(&all);
        let leads: usize = all.iter().map(|broker| broker.leads).sum();
        self.lead_share = leads / all.len().max(1);
        let mut racks: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (node, broker) in &self.brokers {
            racks.entry(&self.racks[node]).or_default().push(broker);
        }
        let racks: BTreeMap<_, _> = racks.into_iter().map(|(r, of)| (r, mean(&of))).collect();
        for (node, broker) in &mut self.brokers {
            broker.share = self.mean.max(racks[&self.racks[node]]);
        }
    }

    /// Whether this one gives and takes.
    pub(super) fn knows(&self, node: NodeId) -> bool {
        self.brokers.contains_key(&node)
    }

    /// Replicas that a broker lacks of its share.
    pub(super) fn lacks(&self, node: NodeId) -> usize {
        let lacks = |broker: &Broker| broker.share.saturating_sub(broker.replicas);
        self.brokers.get(&node).map_or(0, lacks)
    }

    /// Whether a broker would have got more if it had room.
    pub(super) fn is_roomless(&self, node: NodeId) -> bool {
        self.brokers.get(&node).is_some_and(|b| b.roomless)
    }

    /// The one of these that keeps least and has less than its share.
    pub(super) fn emptiest(&self, among: &BTreeSet<NodeId>) -> Option<NodeId> {
        let lacking = among.iter().filter(|node| self.lacks(**node) > 0);
        lacking
            .copied()
            .min_by_key(|node| (self.brokers[node].replicas, *node))
    }

    /// The one of these that leads least and has less than its share.
    pub(super) fn least_leading(&self, among: &BTreeSet<NodeId>) -> Option<NodeId> {
        let leads = |node: &NodeId| self.brokers[node].leads;
        let lacking = among.iter().filter(|node| leads(node) < self.lead_share);
        lacking.copied().min_by_key(|node| (leads(node), *node))
    }

    /// Plans one replica more for `taker`; `None` if nobody can give it one.
    pub(super) fn give(&mut self, taker: NodeId) -> Option<Move> {
        let has = self.brokers[&taker].replicas;
        let mut givers: Vec<_> = self
            .brokers
            .iter()
            // What a rack has more than the others is shared within it.
            .filter(|(giver, _)| has < self.mean || self.racks[giver] == self.racks[&taker])
            .filter(|(_, broker)| broker.replicas >= has + 2)
            .map(|(node, broker)| (Reverse((broker.replicas, broker.leads)), *node))
            .collect();
        givers.sort_unstable();
        let mut roomless = false;
        let found = givers.into_iter().find_map(|(_, giver)| {
            let best = self.best(giver, taker, &mut roomless)?;
            Some((giver, best))
        });
        if let (None, Some(broker)) = (found, self.brokers.get_mut(&taker)) {
            broker.roomless = roomless;
        }
        let (giver, at) = found?;
        let heir = |node: NodeId| if node == giver { taker } else { node };
        let then = self.settled[at].held.target().into_iter().map(heir);
        let then = then.collect();
        Some(self.book(at, then))
    }

    /// The partition that `giver` gives best.
    fn best(&self, giver: NodeId, taker: NodeId, roomless: &mut bool) -> Option<usize> {
        let (from, to) = (&self.brokers[&giver], &self.brokers[&taker]);
        let (old_rack, new_rack) = (&self.racks[&giver], &self.racks[&taker]);
        let lead_wanted = to.leads < self.lead_share && from.leads >= to.leads + 2;
        let mut best: Option<(Worth, usize)> = None;
        for at in &from.movable {
            let settled = &self.settled[*at];
            let target = settled.held.target();
            if settled.has_moved || target.contains(&taker) {
                continue;
            }
            let crowd = |rack: &Option<String>| self.crowd(&target, giver, rack);
            let Some(gain) = crowd(old_rack).checked_sub(crowd(new_rack)) else {
                continue;
            };
            if !to.disks.has_room(settled.bytes) {
                *roomless = true;
                continue;
            }
            let fits = (target.first() == Some(&giver)) == lead_wanted;
            let topic = &settled.held.partition.0;
            let worth = (
                gain,
                fits,
                self.of_topic(giver, topic) - self.of_topic(taker, topic),
                Reverse(*at),
            );
            if best.is_none_or(|(so_far, _)| so_far < worth) {
                best = Some((worth, *at));
            }
        }
        best.map(|(_, at)| at)
    }

    /// How many of these, without `giver`, stand in a rack.
    fn crowd(&self, target: &[NodeId], giver: NodeId, rack: &Option<String>) -> usize {
        let others = target.iter().filter(|node| **node != giver);
        let racks = others.filter_map(|node| self.racks.get(node));
        racks.filter(|of| *of == rack).count()
    }

    fn of_topic(&self, node: NodeId, topic: &str) -> isize {
        let count = self.topics.get(&(node, topic)).copied().unwrap_or(0);
        isize::try_from(count).unwrap_or(isize::MAX)
    }

    /// Plans that `taker` leads one more of those that it keeps; `None` if there is none to take.
    pub(super) fn promote(&mut self, taker: NodeId) -> Option<Move> {
        let to = &self.brokers[&taker];
        let candidate = |at: &usize| {
            let settled = &self.settled[*at];
            let leads = self.brokers.get(settled.held.replicas.first()?)?.leads;
            let may =
                !settled.has_moved && settled.held.isr.contains(&taker) && leads >= to.leads + 2;
            may.then_some((leads, Reverse(*at)))
        };
        let (_, Reverse(at)) = to.movable.iter().filter_map(candidate).max()?;
        let mut then = self.settled[at].held.target();
        then.retain(|node| *node != taker);
        then.insert(0, taker);
        Some(self.book(at, then))
    }

    /// Books a move.
    fn book(&mut self, at: usize, then: Vec<NodeId>) -> Move {
        let settled = &mut self.settled[at];
        settled.has_moved = true;
        let (held, bytes) = (settled.held, settled.bytes);
        let now = held.target();
        for (keepers, sign) in [(&now, -1), (&then, 1)] {
            for (at, node) in keepers.iter().enumerate() {
                let Some(broker) = self.brokers.get_mut(node) else {
                    continue;
                };
                broker.replicas = broker.replicas.saturating_add_signed(sign);
                if at == 0 {
                    broker.leads = broker.leads.saturating_add_signed(sign);
                }
                let topic = self.topics.entry((*node, &held.partition.0)).or_default();
                *topic = topic.saturating_add_signed(sign);
            }
        }
        for node in then.iter().filter(|node| !now.contains(node)) {
            if let Some(broker) = self.brokers.get_mut(node) {
                broker.disks.put(bytes);
            }
        }
        Move {
            partition: held.partition.clone(),
            now,
            then,
            bytes,
        }
    }
}
