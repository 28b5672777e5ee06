//! One step of one partition.
//!
//! A transition starts from a partition as it is, is told what happened (somebody left, a leader
//! proposes a set in sync, a reassignment begins), and finishes into the partition as it will be:
//!
//! ```text
//! told ─► reassignment done? ─► who leads? ─► who is clean? ─► epochs
//! ```
//!
//! Two sets are *clean*, that is, known to have all that was acknowledged: those in sync (ISR), and
//! the eligible ones (ELR, KIP-966), who left the ISR while it was smaller than
//! `min.insync.replicas`. The second set rests on a promise of leaders: the high watermark does not
//! move while the ISR is smaller than that. A replica leaves both sets only when enough others are
//! in sync, when its copy is lost, or when it is a replica no more.

use freshet_settings::{Durability, Layers, Overrides};
use freshet_types::NodeId;

use crate::guard::{Guard, holds};
use crate::state::{DirectoryId, Partition, UncleanCause};

/// What a topic's settings say about elections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// As configured; never more than there are replicas, see [`Rules::min_insync`].
    pub(crate) min_insync_replicas: usize,
    /// Whether somebody may lead who misses records, when nobody else can.
    pub(crate) unclean: bool,
    /// Whether a process that dies may take acknowledged records with it.
    pub(crate) crash_loses_tail: bool,
}

impl Rules {
    pub(crate) fn of(layers: &Layers, overrides: &Overrides) -> Self {
        let config = layers.replication(overrides);
        Self {
            min_insync_replicas: usize::try_from(config.min_insync_replicas).unwrap_or(1),
            unclean: config.unclean_leader_election,
            crash_loses_tail: config.durability == Durability::PageCache,
        }
    }

    /// The bound that holds for a partition of so many replicas.
    pub(crate) fn min_insync(&self, replicas: usize) -> usize {
        self.min_insync_replicas.min(replicas).max(1)
    }
}

/// What a replica's broker can do at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// Fenced, not registered, or the replica's directory is offline.
    Away,
    /// It goes on with what it has, and gets nothing new.
    Stopping,
    /// Its disk is full, or slow as those of most others are not: it leads where nobody better can.
    Impaired,
    /// Anything.
    Active,
}

/// Who is wanted as leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Election {
    /// Whoever leads, as long as it can.
    WhenNeeded,
    /// The first replica, if it is in sync and its disk is well.
    Preferred,
    /// Somebody in sync whose disk is well, if there is one.
    Relief,
    /// Somebody, whatever is lost by it.
    Unclean,
}

/// How much of a copy is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Perhaps the newest records.
    Tail,
    /// Perhaps anything.
    All,
}

/// Who shall lead.
enum Choice {
    /// Somebody in sync.
    InSync(NodeId),
    /// Somebody who has everything acknowledged, and stands alone at first.
    Eligible(NodeId),
    /// Somebody who may miss something.
    Unclean(NodeId, UncleanCause),
    Nobody,
}

/// What came of a transition that changed something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) partition: Partition,
    /// The new leader may miss acknowledged records.
    pub(crate) unclean: Option<UncleanCause>,
}

/// A step being taken. See the module's story.
#[derive(Debug)]
pub(crate) struct Transition<'a> {
    was: &'a Partition,
    next: Partition,
    rules: Rules,
    lost: Vec<(NodeId, Loss)>,
    new_leadership: bool,
}

impl<'a> Transition<'a> {
    pub(crate) fn of(was: &'a Partition, rules: Rules) -> Self {
        Self {
            was,
            next: was.clone(),
            rules,
            lost: Vec::new(),
            new_leadership: false,
        }
    }

    /// `node` is in sync no more; it stays clean if it may.
    pub(crate) fn leave(&mut self, node: NodeId) {
        self.next.isr.retain(|n| *n != node);
    }

    /// The copy of `node` can be trusted no more.
    pub(crate) fn lose(&mut self, node: NodeId, loss: Loss) {
        self.leave(node);
        self.lost.push((node, loss));
    }

    /// The leader says who is in sync.
    pub(crate) fn set_isr(&mut self, isr: Vec<NodeId>) {
        self.next.isr = isr;
    }

    /// Changes who shall keep the partition: nobody leaves before all who come are in sync.
    pub(crate) fn reassign(
        &mut self,
        replicas: Vec<(NodeId, DirectoryId)>,
        adding: Vec<NodeId>,
        removing: Vec<NodeId>,
    ) {
        (self.next.replicas, self.next.directories) = replicas.into_iter().unzip();
        self.next.adding = adding;
        self.next.removing = removing;
        let replicas = &self.next.replicas;
        self.next.isr.retain(|node| replicas.contains(node));
    }

    /// A replica is in another directory from now on.
    pub(crate) fn move_to(&mut self, node: NodeId, directory: DirectoryId) {
        let at = self.next.replicas.iter().position(|n| *n == node);
        if let Some(slot) = at.and_then(|at| self.next.directories.get_mut(at)) {
            *slot = directory;
        }
    }

    /// Whoever leads afterwards does so under a new epoch, even if it led before.
    pub(crate) fn lead_anew(&mut self) {
        self.new_leadership = true;
    }

    /// Completes the step; `None` if nothing is different. `standing` knows brokers and their
    /// directories.
    pub(crate) fn finish(
        mut self,
        election: Election,
        standing: &dyn Fn(NodeId, DirectoryId) -> Standing,
    ) -> Option<Changed> {
        self.complete_reassignment();
        self.settle_clean();
        let unclean = self.elect(election, standing);
        self.settle_clean();
        let next = &mut self.next;
        let shrunk = self.was.replicas.iter().any(|n| !next.replicas.contains(n));
        if next.leader != self.was.leader
            || shrunk
            || (self.new_leadership && next.leader.is_some())
        {
            next.leader_epoch += 1;
        } else if *next == *self.was {
            return None;
        }
        next.partition_epoch += 1;
        Some(Changed {
            partition: self.next,
            unclean,
        })
    }

    /// A reassignment ends when all who come are in sync, and enough of those who stay.
    fn complete_reassignment(&mut self) {
        let next = &mut self.next;
        if !next.is_moving() {
            return;
        }
        let target: Vec<NodeId> = next.target().collect();
        let stay = |n: &NodeId| target.contains(n);
        let in_sync = next.isr.iter().filter(|n| stay(n)).count();
        let all_here = next.adding.iter().all(|node| next.isr.contains(node));
        let all_here = all_here || !holds(Guard::ComersAreInSync);
        if !all_here || in_sync < self.rules.min_insync(target.len()) {
            return;
        }
        let placed = next.replicas.iter().zip(&next.directories);
        next.directories = placed.filter(|(n, _)| stay(n)).map(|(_, d)| *d).collect();
        next.isr.retain(stay);
        next.replicas = target;
        next.adding.clear();
        next.removing.clear();
    }

    fn elect(
        &mut self,
        election: Election,
        standing: &dyn Fn(NodeId, DirectoryId) -> Standing,
    ) -> Option<UncleanCause> {
        match self.choose(election, standing) {
            Choice::InSync(leader) => self.next.leader = Some(leader),
            Choice::Eligible(leader) if holds(Guard::EligibleLeadsAlone) => self.crown(leader),
            Choice::Eligible(leader) => {
                self.next.leader = Some(leader);
                self.next.isr = self.was.replicas.clone();
            }
            Choice::Nobody => self.next.leader = None,
            // Who is eligible stays so, though its history is another one: it has all that was
            // acknowledged before, and this leader acknowledges nothing while it is alone and more
            // are needed. Once enough are in sync nobody is eligible.
            Choice::Unclean(leader, cause) => {
                self.crown(leader);
                return Some(cause);
            }
        }
        None
    }

    fn choose(
        &self,
        election: Election,
        standing: &dyn Fn(NodeId, DirectoryId) -> Standing,
    ) -> Choice {
        let next = &self.next;
        let of = |node: &NodeId| {
            let directory = next.directory(*node);
            directory.map_or(Standing::Away, |directory| standing(*node, directory))
        };
        let active = |node: &NodeId| of(node) == Standing::Active;
        let serves = |node: &NodeId| of(node) >= Standing::Impaired;
        let in_sync = |node: &NodeId| next.isr.contains(node);
        let sits = |node: &NodeId| in_sync(node) && of(node) > Standing::Away;
        let preferred = next.target().next().filter(|n| in_sync(n) && active(n));
        if let Some(leader) = preferred.filter(|_| election == Election::Preferred) {
            return Choice::InSync(leader);
        }
        // Those who stay come first: who is being removed leads only if nobody else can.
        let order = || next.target().chain(next.removing.iter().copied());
        let well = order().find(|n| in_sync(n) && active(n));
        if let Some(leader) = well.filter(|_| election == Election::Relief) {
            return Choice::InSync(leader);
        }
        if let Some(leader) = next.leader.filter(sits) {
            return Choice::InSync(leader);
        }
        let clean = well.or_else(|| order().find(|n| in_sync(n) && serves(n)));
        if let Some(leader) = clean.or_else(|| order().find(sits)) {
            return Choice::InSync(leader);
        }
        let eligible = |node: &NodeId| next.eligible.contains(node);
        let well = order().find(|n| eligible(n) && active(n));
        if let Some(leader) = well.or_else(|| order().find(|n| eligible(n) && serves(n))) {
            return Choice::Eligible(leader);
        }
        let mut known = next.last_known_eligible.iter().copied();
        if !holds(Guard::CleanElection)
            && let Some(leader) = order().find(serves)
        {
            return Choice::Eligible(leader);
        }
        if self.rules.unclean || election == Election::Unclean {
            let cause = match election {
                Election::Unclean => UncleanCause::Request,
                _ => UncleanCause::Config,
            };
            let anybody = known.chain(order()).find(serves);
            return anybody.map_or(Choice::Nobody, |leader| Choice::Unclean(leader, cause));
        }
        // The last one to be clean, once nobody else can come back who is.
        let alone = next.clean().next().is_none();
        match known.next().filter(|node| alone && serves(node)) {
            Some(leader) => Choice::Unclean(leader, UncleanCause::LastKnown),
            None => Choice::Nobody,
        }
    }

    /// Leads, and is the only one in sync until others have followed.
    fn crown(&mut self, leader: NodeId) {
        self.next.leader = Some(leader);
        self.next.isr = vec![leader];
    }

    /// Who is clean beside those in sync, and who was the last to be.
    fn settle_clean(&mut self) {
        let next = &mut self.next;
        let enough = next.isr.len() >= self.rules.min_insync(next.replicas.len());
        let only_below = enough && holds(Guard::EligibleOnlyBelowMin);
        if only_below {
            next.eligible.clear();
            next.last_known_eligible.clear();
            return;
        }
        let lost = |node: &NodeId| self.lost.iter().find(|(n, _)| n == node).map(|(_, l)| *l);
        let clean = |node: &NodeId| self.was.clean().any(|n| n == *node);
        let outside = |node: &NodeId| next.replicas.contains(node) && !next.isr.contains(node);
        let trusted = |node: &NodeId| lost(node).is_none() || !holds(Guard::LostAreNotEligible);
        let stays = |node: &NodeId| outside(node) && clean(node) && trusted(node);
        let eligible = next.replicas.iter().copied().filter(stays).collect();
        let torn = |node: &NodeId| outside(node) && clean(node) && lost(node) == Some(Loss::Tail);
        let mut known: Vec<NodeId> = self.was.clean().filter(torn).collect();
        let before = self.was.last_known_eligible.iter().copied();
        known.extend(before.filter(|n| outside(n) && lost(n) != Some(Loss::All)));
        next.eligible = eligible;
        next.last_known_eligible = known;
    }
}
