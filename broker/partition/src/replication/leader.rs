//! What the leader of a partition knows of its followers, and what follows from that.
//!
//! Sources: KIP-497 (ISR changes by compare-and-set), KIP-841 and KIP-903 (fenced or restarted
//! brokers stay out of the ISR), KIP-966 (no progress below `min.insync.replicas`).

use freshet_types::{LeaderEpoch, Millis, NodeId, Offset};

use super::guard::{Guard, holds};

/// A broker's registration: a process has one, and a later one is larger.
pub type BrokerEpoch = i64;

/// An end that no fetch has told yet.
const UNKNOWN: Offset = -1;

/// What the controller has committed about a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// Rises with each leader.
    pub leader_epoch: LeaderEpoch,
    /// Rises with each change of anything here.
    pub partition_epoch: i32,
    /// All replicas, the leader among them.
    pub replicas: Vec<NodeId>,
    /// Those in sync.
    pub isr: Vec<NodeId>,
    /// `min.insync.replicas`
    pub min_in_sync: usize,
}

/// Where a leader begins.
#[derive(Debug, Clone, Copy)]
pub struct LeaderStart {
    /// This broker.
    pub me: NodeId,
    /// The log's end; the epoch begins here.
    pub log_end: Offset,
    /// What this broker has flushed.
    pub flushed: Offset,
    /// As far as this broker knows; never above `flushed`.
    pub high_watermark: Offset,
    /// Now, monotonic.
    pub now: Millis,
    /// `replica.lag.time.max.ms`
    pub lag_max: Millis,
}

/// A follower's fetch.
#[derive(Debug, Clone, Copy)]
pub struct Fetched {
    /// Who.
    pub node: NodeId,
    /// Its registration; -1 for a broker that does not tell.
    pub broker_epoch: BrokerEpoch,
    /// Its first offset; -1 if it does not tell.
    pub log_start: Offset,
    /// It has flushed everything below.
    pub end: Offset,
    /// The leader's own first offset.
    pub leader_start: Offset,
    /// Now, monotonic.
    pub now: Millis,
}

/// Why a fetch is not a follower's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FetchRefusal {
    /// It has no replica of this partition, as far as is known here.
    #[error("broker {0} has no replica")]
    NotAReplica(NodeId),
    /// An earlier life of the broker sent it.
    #[error("broker {node} is known with epoch {known}, not {given}")]
    OldBroker {
        /// The broker.
        node: NodeId,
        /// The epoch of the fetch.
        given: BrokerEpoch,
        /// The latest seen.
        known: BrokerEpoch,
    },
}

/// A wish to the controller; it holds only for exactly these epochs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsrChange {
    /// The leader's.
    pub leader_epoch: LeaderEpoch,
    /// What the change starts from.
    pub partition_epoch: i32,
    /// The new ISR, each with the registration it was seen with; -1 for the leader itself.
    pub isr: Vec<(NodeId, BrokerEpoch)>,
}

/// Why what is stored was not acknowledged within the time that its producer gave it. It may be later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overdue {
    /// Fewer are in sync than must be: the high watermark stands.
    TooFew {
        /// Replicas in sync.
        in_sync: usize,
        /// How many there must be.
        needed: usize,
    },
    /// Somebody in sync has not told that it has it.
    Late,
}

/// What changed by an event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moved {
    /// The new high watermark, when it rose.
    pub high_watermark: Option<Offset>,
    /// To be sent to the controller.
    pub propose: Option<IsrChange>,
    /// A follower has told another log start than before.
    pub log_start: bool,
}

#[derive(Debug, Clone, Copy)]
struct Follower {
    node: NodeId,
    broker_epoch: BrokerEpoch,
    /// Its first offset; [`UNKNOWN`] before it has told one.
    log_start: Offset,
    /// Flushed below; [`UNKNOWN`] before its first fetch in this epoch.
    end: Offset,
    /// When it last had all that there was.
    caught_up: Option<Millis>,
    fetched: Millis,
    /// The log's end at that fetch.
    end_then: Offset,
    /// It is in sync, or would be taken in: its broker was alive when it last fetched.
    may_be_in: bool,
}

impl Follower {
    fn is_caught_up(&self, log_end: Offset, now: Millis, lag_max: Millis) -> bool {
        let recently = |at: Millis| now.0.saturating_sub(at.0) <= lag_max.0;
        self.end >= log_end || self.caught_up.is_some_and(recently)
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Leader {
    me: NodeId,
    term: Term,
    /// Sent and not answered: until it is, the ISR may be this or the committed one.
    proposed: Option<IsrChange>,
    /// As of the last look for joiners.
    log_start: Offset,
    log_end: Offset,
    flushed: Offset,
    high_watermark: Offset,
    epoch_start: Offset,
    lag_max: Millis,
    followers: Vec<Follower>,
}

impl Leader {
    /// Becomes leader. Members of the ISR are given `lag_max` to show themselves.
    pub fn new(term: Term, start: LeaderStart) -> Self {
        let mut leader = Self {
            me: start.me,
            proposed: None,
            log_start: 0,
            log_end: start.log_end,
            flushed: start.flushed,
            high_watermark: start.high_watermark,
            epoch_start: start.log_end,
            lag_max: start.lag_max,
            followers: Vec::new(),
            term: Term {
                replicas: Vec::new(),
                isr: Vec::new(),
                ..term
            },
        };
        leader.adopt(term, start.now);
        leader
    }

    /// What is committed.
    pub fn term(&self) -> &Term {
        &self.term
    }

    /// Records below are on the disk of every replica that may be in the ISR.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// How many replicas are in sync, and how many are needed for produces with acks=all.
    pub fn in_sync(&self) -> (usize, usize) {
        (self.term.isr.len(), self.needed())
    }

    /// Whether produces with acks=all may be taken.
    pub fn has_quorum(&self) -> bool {
        self.term.isr.len() >= self.needed()
    }

    /// What a producer waited for in vain. Kafka tells of too few replicas when the high watermark
    /// passes a batch while the set in sync is too small. It does not move as long as that is so
    /// (KIP-966), so this can only be told when the time is over.
    pub fn overdue(&self) -> Overdue {
        let (in_sync, needed) = self.in_sync();
        let too_few = !self.has_quorum() || !holds(Guard::OverdueWithEnough);
        match too_few && holds(Guard::OverdueWithTooFew) {
            true => Overdue::TooFew { in_sync, needed },
            false => Overdue::Late,
        }
    }

    /// Followers in sync whose logs reach over `offset`, the longest first.
    pub fn with(&self, offset: Offset) -> Vec<NodeId> {
        let has = |f: &&Follower| {
            let starts_before = f.log_start <= offset;
            self.term.isr.contains(&f.node) && f.end >= offset && starts_before
        };
        let mut with: Vec<&Follower> = self.followers.iter().filter(has).collect();
        with.sort_by_key(|f| std::cmp::Reverse(f.end));
        with.into_iter().map(|f| f.node).collect()
    }

    /// The least log start of this broker, `own`, and of all followers that live; -1 while one of
    /// them has not told its own, and while too few are in sync: then somebody who is away may be
    /// eligible to lead next, and has what was deleted meanwhile. `lives` may know more than this
    /// leader: who is in sync as far as it knows counts until it knows that enough others are.
    pub fn low_watermark(&self, own: Offset, lives: impl Fn(NodeId) -> bool) -> Offset {
        if !holds(Guard::DeletedEverywhere) {
            return own;
        }
        if !self.has_quorum() && holds(Guard::DeletedByEnough) {
            return UNKNOWN;
        }
        let in_sync = |node| self.may_be_in(node) && holds(Guard::DeletedInSync);
        let all = self.followers.iter();
        let living = all.filter(|f| in_sync(f.node) || lives(f.node));
        living.map(|f| f.log_start).fold(own, Offset::min)
    }

    /// Records that the follower lacks that has the fewest. One that has not fetched lacks all.
    pub fn most_behind(&self) -> u64 {
        let lacks = |f: &Follower| u64::try_from(self.log_end - f.end.max(0)).unwrap_or(0);
        self.followers.iter().map(lacks).max().unwrap_or(0)
    }

    fn needed(&self) -> usize {
        self.term.min_in_sync.min(self.term.replicas.len())
    }

    /// The controller has committed something newer in the same leader epoch. What was proposed is
    /// settled by it. `min.insync.replicas` may change without any epoch.
    pub fn renew(&mut self, term: Term, now: Millis) -> Moved {
        let same_leader = term.leader_epoch == self.term.leader_epoch;
        let newer = term.partition_epoch > self.term.partition_epoch;
        if same_leader && (newer || !holds(Guard::NewestTerm)) {
            self.proposed = None;
            self.adopt(term, now);
        } else if same_leader && term.partition_epoch == self.term.partition_epoch {
            self.term.min_in_sync = term.min_in_sync;
        }
        self.moved(now)
    }

    fn adopt(&mut self, term: Term, now: Millis) {
        self.followers.retain(|f| term.replicas.contains(&f.node));
        for follower in &mut self.followers {
            let is_in = term.isr.contains(&follower.node);
            if is_in && !follower.may_be_in {
                follower.caught_up = Some(now);
            }
            if is_in != self.term.isr.contains(&follower.node) {
                // Who was put out may be dead: nobody waits for it unless it shows itself again.
                follower.may_be_in = is_in;
            }
        }
        for &node in term.replicas.iter().filter(|&&node| node != self.me) {
            if !self.followers.iter().any(|f| f.node == node) {
                self.followers.push(Follower {
                    node,
                    broker_epoch: -1,
                    log_start: UNKNOWN,
                    end: UNKNOWN,
                    caught_up: term.isr.contains(&node).then_some(now),
                    may_be_in: term.isr.contains(&node),
                    fetched: now,
                    end_then: self.log_end,
                });
            }
        }
        self.term = term;
    }

    /// The proposal under way, to be sent again while no answer comes.
    pub fn proposed(&self) -> Option<&IsrChange> {
        self.proposed.as_ref()
    }

    /// The controller has not attempted the proposal (a member is not eligible): the next event may
    /// make another. Not to be called when it was refused for its epochs: then an earlier copy of it
    /// may have been taken, and only [`Leader::renew`] tells.
    pub fn refused(&mut self, change: &IsrChange) {
        if self.proposed.as_ref() == Some(change) {
            self.proposed = None;
        }
    }

    /// The log has grown. Who had all of it until now need not have said so for long: nobody fetches
    /// just to say that nothing is new.
    pub fn appended(&mut self, log_end: Offset, now: Millis) {
        if log_end > self.log_end {
            let had_all = |f: &&mut Follower| f.end >= self.log_end;
            for follower in self.followers.iter_mut().filter(had_all) {
                follower.caught_up = Some(now);
            }
            self.log_end = log_end;
        }
    }

    /// This broker has flushed its log up to here.
    pub fn flushed(&mut self, end: Offset, now: Millis) -> Moved {
        self.flushed = self.flushed.max(end);
        self.appended(end, now);
        self.moved(now)
    }

    /// A follower has asked for what comes after `end`. `alive` tells the current registration of a
    /// broker that is neither fenced nor about to stop.
    pub fn fetched(
        &mut self,
        fetch: Fetched,
        alive: impl Fn(NodeId) -> Option<BrokerEpoch>,
    ) -> Result<Moved, FetchRefusal> {
        let log_end = self.log_end;
        let found = self.followers.iter_mut().find(|f| f.node == fetch.node);
        let follower = found.ok_or(FetchRefusal::NotAReplica(fetch.node))?;
        if fetch.broker_epoch < follower.broker_epoch && holds(Guard::OldBroker) {
            return Err(FetchRefusal::OldBroker {
                node: fetch.node,
                given: fetch.broker_epoch,
                known: follower.broker_epoch,
            });
        }
        let is_in = self.term.isr.contains(&fetch.node);
        follower.may_be_in = is_in || alive(fetch.node) == Some(fetch.broker_epoch);
        if fetch.end >= log_end {
            follower.caught_up = Some(fetch.now);
        } else if fetch.end >= follower.end_then {
            follower.caught_up = follower.caught_up.max(Some(follower.fetched));
        }
        let log_start = std::mem::replace(&mut follower.log_start, fetch.log_start);
        follower.broker_epoch = fetch.broker_epoch;
        follower.end = fetch.end;
        follower.fetched = fetch.now;
        follower.end_then = log_end;
        self.log_start = fetch.leader_start;
        // Who joins is waited for before anything more is committed: this may be the fetch that shows that it
        // is behind for too long to be waited for otherwise.
        let joins = self.may_join(fetch.node, &alive);
        let propose = joins
            .then(|| self.propose(|node, isr| isr || node == fetch.node))
            .flatten();
        Ok(Moved {
            propose,
            log_start: log_start != fetch.log_start,
            ..self.moved(fetch.now)
        })
    }

    /// Proposes to take in whoever may join by now: brokers come back to life, and proposals are
    /// settled, without a fetch that would say so. `log_start` is this broker's own.
    pub fn look_for_joiners(
        &mut self,
        log_start: Offset,
        now: Millis,
        alive: impl Fn(NodeId) -> Option<BrokerEpoch>,
    ) -> Moved {
        self.log_start = log_start;
        for follower in &mut self.followers {
            let is_in = self.term.isr.contains(&follower.node);
            let lives = alive(follower.node) == Some(follower.broker_epoch);
            follower.may_be_in &= is_in || lives;
        }
        let joins: Vec<NodeId> = self
            .followers
            .iter()
            .map(|f| f.node)
            .filter(|&node| self.may_join(node, &alive))
            .collect();
        let propose = self.propose(|node, isr| isr || joins.contains(&node));
        Moved {
            propose,
            ..self.moved(now)
        }
    }

    /// Whether a follower has everything that is committed, and all that earlier leaders wrote, and
    /// nothing that was deleted: should it lead one day, that would be back.
    fn may_join(&self, node: NodeId, alive: impl Fn(NodeId) -> Option<BrokerEpoch>) -> bool {
        let enough = match holds(Guard::JoinersHaveAll) {
            true => self.high_watermark.max(self.epoch_start),
            false => 0,
        };
        let start = match holds(Guard::JoinersHaveDeleted) {
            true => self.log_start,
            false => UNKNOWN,
        };
        let may = |f: &Follower| {
            let has_all = f.end >= enough && f.log_start >= start;
            let lives = alive(node) == Some(f.broker_epoch) || !holds(Guard::JoinersLive);
            has_all && lives
        };
        !self.term.isr.contains(&node) && self.followers.iter().any(|f| f.node == node && may(f))
    }

    /// Proposes to drop members that have been behind for too long. To be called at least every
    /// half of `replica.lag.time.max.ms`.
    pub fn look_for_laggards(&mut self, now: Millis) -> Option<IsrChange> {
        let late: Vec<NodeId> = self
            .followers
            .iter()
            .filter(|f| !f.is_caught_up(self.log_end, now, self.lag_max))
            .map(|f| f.node)
            .collect();
        self.propose(|node, isr| isr && !late.contains(&node))
    }

    /// One proposal at a time, and none that changes nothing.
    fn propose(&mut self, member: impl Fn(NodeId, bool) -> bool) -> Option<IsrChange> {
        if self.proposed.is_some() && holds(Guard::OneProposal) {
            return None;
        }
        let is_in = |node: &NodeId| self.term.isr.contains(node);
        let replicas = &self.term.replicas;
        let wanted = |&node: &NodeId| node == self.me || member(node, is_in(&node));
        if replicas.iter().all(|node| wanted(node) == is_in(node)) {
            return None;
        }
        let epoch_of = |node: NodeId| {
            let known = self.followers.iter().find(|f| f.node == node);
            (node, known.map_or(-1, |f| f.broker_epoch))
        };
        let isr = replicas.iter().copied().filter(|node| wanted(node));
        let change = IsrChange {
            leader_epoch: self.term.leader_epoch,
            partition_epoch: self.term.partition_epoch,
            isr: isr.map(epoch_of).collect(),
        };
        self.proposed = Some(change.clone());
        Some(change)
    }

    fn moved(&mut self, now: Millis) -> Moved {
        let committed = self.committed(now);
        let enough = self.has_quorum() || !holds(Guard::EnoughInSync);
        let higher = committed > self.high_watermark;
        let rises = (higher || !holds(Guard::WatermarkStays)) && enough;
        if rises {
            self.high_watermark = committed;
        }
        Moved {
            high_watermark: rises.then_some(committed),
            ..Moved::default()
        }
    }

    /// Whether it is in the ISR, or may be by now.
    fn may_be_in(&self, node: NodeId) -> bool {
        let change = self.proposed.as_ref();
        let change = change.filter(|_| holds(Guard::ProposedCount));
        let proposed = |change: &IsrChange| change.isr.iter().any(|(member, _)| *member == node);
        self.term.isr.contains(&node) || change.is_some_and(proposed)
    }

    /// The least flushed end of all that may be in the ISR by now. A follower that has just caught
    /// up is waited for as well, else it would chase a moving mark for ever.
    fn committed(&self, now: Millis) -> Offset {
        let counted = self.followers.iter().filter(|f| {
            self.may_be_in(f.node)
                || (f.may_be_in
                    && f.end != UNKNOWN
                    && f.is_caught_up(self.log_end, now, self.lag_max))
        });
        let counted = counted.filter(|f| f.end != UNKNOWN || holds(Guard::SilentCount));
        let own = match holds(Guard::LeaderCountsFlushed) {
            true => self.flushed,
            false => self.log_end,
        };
        counted.map(|f| f.end).fold(own, Offset::min)
    }
}

#[cfg(test)]
mod tests;
