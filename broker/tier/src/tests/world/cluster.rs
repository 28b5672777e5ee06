//! Brokers and what they copy from one another: only as much of replication as tiering stands on.

use freshet_types::{LeaderEpoch, Offset};

use super::leader::Leader;
use super::{Duty, NODES, Row, World, index, offset};
use crate::manifest::Manifest;
use crate::segment::EpochStart;

#[derive(Default)]
pub(super) struct Node {
    pub(super) is_dead: bool,
    pub(super) life: u64,
    /// Its history; on its disk is what begins at `local_start`.
    pub(super) log: Vec<Row>,
    pub(super) local_start: Offset,
    pub(super) log_start: Offset,
    /// In which epoch it has copied how much of the leader's log.
    matched: (LeaderEpoch, usize),
    pub(super) leads: Option<Leader>,
    /// Which host it believes to have the shard.
    pub(super) host: usize,
}

impl Node {
    pub(super) fn end(&self) -> Offset {
        offset(self.log.len())
    }

    /// All it has is as the leader of this epoch has it.
    pub(super) fn has_copied(&mut self, epoch: LeaderEpoch) {
        self.matched = (epoch, self.log.len());
    }

    /// Its disk is gone.
    pub(super) fn lose_all(&mut self) {
        let life = self.life + 1;
        *self = Self {
            life,
            ..Self::default()
        };
    }

    /// The epochs of a stretch of its log.
    pub(super) fn epochs(&self, from: Offset, to: Offset) -> Vec<EpochStart> {
        let mut epochs: Vec<EpochStart> = Vec::new();
        for at in from..to {
            let epoch = self.log[index(at)].0;
            if epochs.last().is_none_or(|last| last.epoch < epoch) {
                epochs.push(EpochStart { epoch, offset: at });
            }
        }
        epochs
    }
}

fn common(a: &[Row], b: &[Row]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

impl World {
    pub(super) fn high_watermark(&self) -> Offset {
        offset(self.committed.len())
    }

    /// The current leader, if it is alive and knows.
    pub(super) fn leader(&self) -> Option<&Leader> {
        let leads = self.nodes[self.current].leads.as_ref();
        leads.filter(|leader| leader.epoch == self.epoch)
    }

    /// Whoever believes to lead takes records; those of a zombie stay its own.
    pub(super) fn produce(&mut self) {
        let at = if self.dice.chance(85) {
            self.current
        } else {
            self.dice.index(NODES)
        };
        let holds = self.has(Duty::HoldsEmpty);
        let node = &mut self.nodes[at];
        if let Some(leader) = &node.leads {
            let may_lack = node.log.is_empty() && leader.epoch > 1 && leader.copy.is_none();
            if may_lack && holds {
                return;
            }
            node.log.push((leader.epoch, self.next_value));
            self.next_value += 1;
        }
    }

    pub(super) fn follow(&mut self, at: usize) {
        let Some(leader) = self.leader() else {
            return;
        };
        if at == self.current || self.nodes[at].is_dead {
            return;
        }
        let (epoch, exported_end) = (leader.epoch, leader.exported_end);
        // Who believes to lead asks nobody, until it hears of another one.
        if self.nodes[at].leads.is_some() && self.dice.chance(80) {
            return;
        }
        let Some(leader) = self.leader() else {
            return;
        };
        let remote_end = leader.copy.as_ref().map(Manifest::remote_end);
        let more = 1 + self.dice.index(8);
        let source = &self.nodes[self.current];
        let (log, local_start) = (source.log.clone(), source.local_start);
        let log_start = source.log_start;
        // What this one trimmed may have been cut from the bucket by an unclean leader since.
        let begins = self.nodes[at].local_start;
        let is_doubtful = self.unclean.is_some() && begins > local_start;
        let joins = match remote_end {
            _ if !is_doubtful || !self.has(Duty::FollowersJoin) => true,
            // What it lacks can be restored, or it takes it from its leader.
            Some(remote_end) if begins <= exported_end || begins > remote_end => {
                begins <= exported_end
            }
            // It waits until the leader knows, or has exported what is committed.
            Some(_) | None => return,
        };
        let node = &mut self.nodes[at];
        node.leads = None;
        let same = common(&node.log, &log);
        if !joins || offset(same) < node.local_start.max(local_start) {
            // It begins anew, with the hot tail only.
            node.log.clone_from(&log);
            node.local_start = local_start;
            node.log_start = log_start;
        } else {
            node.log.truncate(same);
            let end = log.len().min(same + more);
            node.log.extend_from_slice(&log[same..end]);
        }
        node.matched = (epoch, node.log.len());
        node.log_start = node.log_start.max(log_start);
        let trim = exported_end.max(log_start).min(node.end());
        if trim > node.local_start && self.dice.chance(20) {
            node.local_start = trim;
        }
        let node = &mut self.nodes[at];
        node.local_start = node.local_start.max(node.log_start);
        self.is_dirty = true;
    }

    /// The high watermark: what two of three have.
    pub(super) fn advance(&mut self) {
        if self.leader().is_none() {
            return;
        }
        let epoch = self.epoch;
        let log = &self.nodes[self.current].log;
        let copied = |(at, node): (usize, &Node)| {
            let copies = at != self.current && node.matched.0 == epoch && !node.is_dead;
            copies.then_some(node.matched.1)
        };
        let best = self.nodes.iter().enumerate().filter_map(copied).max();
        let end = best.unwrap_or(0).min(log.len());
        if end > self.committed.len() {
            let have = self.committed.len();
            let fresh: Vec<Row> = log[have..end].to_vec();
            self.committed.extend(fresh);
        }
        let high_watermark = self.high_watermark();
        if let Some(leader) = &mut self.nodes[self.current].leads {
            leader.high_watermark = high_watermark;
        }
    }

    pub(super) fn crash(&mut self, at: usize) {
        let alive = self.nodes.iter().filter(|node| !node.is_dead).count();
        if alive < NODES {
            return;
        }
        let node = &mut self.nodes[at];
        node.is_dead = true;
        node.life += 1;
        node.leads = None;
        if at == self.current {
            self.elect_somebody();
        }
    }

    pub(super) fn restart(&mut self, at: usize) {
        self.nodes[at].is_dead = false;
        if self.leader().is_none() {
            self.elect_somebody();
        }
    }

    /// A zombie hears that it is one.
    pub(super) fn learn(&mut self, at: usize) {
        let epoch = self.epoch;
        self.nodes[at].leads.take_if(|leader| leader.epoch < epoch);
    }

    /// A clean election: of one who has all that is committed.
    pub(super) fn elect_somebody(&mut self) {
        // An unclean leader is in sync with nobody at first.
        let since = self.unclean.unwrap_or(0);
        let has_all = |node: &Node| {
            let has = common(&node.log, &self.committed) == self.committed.len();
            has && node.matched.0 >= since
        };
        // Of a cluster that is restored: they all have nothing, and go on behind the bucket.
        let nobody_has = self.nodes.iter().all(|node| node.log.is_empty());
        let may = |at: &usize| {
            let node = &self.nodes[*at];
            !node.is_dead && (nobody_has || has_all(node))
        };
        let candidates: Vec<usize> = (0..NODES).filter(may).collect();
        if !candidates.is_empty() {
            let chosen = candidates[self.dice.index(candidates.len())];
            self.elect(chosen, false);
        }
    }

    /// What the new leader has is what counts from now on. One whose disk begins where the bucket has
    /// another history is not taken: nobody could make a log of that.
    pub(super) fn elect_uncleanly(&mut self, at: usize) {
        let node = &self.nodes[at];
        let same = common(&node.log, &self.committed);
        let log_start = self.shard.manifest().map_or(0, |m| m.log_start());
        let joins = offset(same) >= node.local_start && node.end() >= log_start;
        // The bucket may have been cut since it has trimmed its disk; it would be refused.
        let is_doubtful = node.local_start > 0 && node.matched.0 < self.unclean.unwrap_or(0);
        // Who has nothing at all goes on behind the bucket, and loses nothing of it.
        let is_idle = node.is_dead || is_doubtful || node.log.is_empty();
        if is_idle || !joins || same == self.committed.len() {
            return;
        }
        self.committed.clone_from(&node.log);
        let end = offset(same);
        self.vanished.retain(|at| *at < end);
        self.reads.clear();
        self.elect(at, true);
    }

    pub(super) fn elect(&mut self, at: usize, unclean: bool) {
        self.epoch += 1;
        self.current = at;
        if unclean {
            self.unclean = Some(self.epoch);
        }
        let high_watermark = self.high_watermark();
        let leader = Leader::new(self.epoch, self.unclean, high_watermark);
        self.nodes[at].has_copied(self.epoch);
        self.nodes[at].leads = Some(leader);
        self.is_dirty = true;
    }
}
