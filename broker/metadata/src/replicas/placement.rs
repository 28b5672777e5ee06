//! Where new replicas go.
//!
//! Brokers stand in a ring in which racks alternate. Leaders go round the ring, one partition after
//! the other. The other replicas are looked for further along the ring, in the rack that has the
//! fewest of this partition so far; with each round the search starts one further, so that the
//! followers of one leader are spread over all others, and so is its work when it is gone. Where
//! the ring is entered depends on how many partitions there are already, so that many small topics
//! spread as well as one large one. No randomness is needed: the same request on the same state
//! gives the same records.
//!
//! Cordoned brokers get nothing. Brokers without a disk that is well stand behind the others: they lead
//! only if all are so, and follow only where racks or brokers would be too few without them. Fenced ones
//! get replicas only when there are too few others, and never lead: a topic can be created while a
//! broker is away.
//!
//! Within a broker a replica goes to the directory that has the fewest, of those that are well if any is.

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_types::NodeId;

use crate::error::{MetadataError, Outcome};
use crate::machine::MetadataMachine;
use crate::state::{Broker, DirectoryId, Holdings, MetadataImage, Partition, slowness_counts};

/// Replicas in each directory: those there are, and those given since.
pub(crate) struct Crowds<'a> {
    there: &'a Holdings,
    given: BTreeMap<(NodeId, DirectoryId), usize>,
}

impl<'a> Crowds<'a> {
    pub(crate) fn of(machine: &'a MetadataMachine) -> Self {
        Self {
            there: &machine.holdings,
            given: BTreeMap::new(),
        }
    }

    /// Gives one more to the emptiest of these directories, the first of those; none if there are none.
    fn give(
        &mut self,
        node: NodeId,
        among: impl Iterator<Item = DirectoryId>,
    ) -> Option<DirectoryId> {
        let count = |directory: &DirectoryId| {
            let given = self.given.get(&(node, *directory));
            self.there.count_in(node, *directory) + given.copied().unwrap_or(0)
        };
        let emptiest = among.min_by_key(count)?;
        *self.given.entry((node, emptiest)).or_default() += 1;
        Some(emptiest)
    }
}

pub(crate) struct Placement<'a> {
    image: &'a MetadataImage,
    /// Who may lead.
    ring: Vec<&'a Arc<Broker>>,
    /// Up, and their disks are full or slow.
    unwell: Vec<&'a Arc<Broker>>,
    /// Fenced, for want of others.
    reserve: Vec<&'a Arc<Broker>>,
    /// Whether it counts that a disk is slow.
    by_speed: bool,
    start: usize,
}

impl<'a> Placement<'a> {
    /// `partitions`: how many there are already.
    pub(crate) fn of(image: &'a MetadataImage, partitions: usize) -> Self {
        let by_speed = slowness_counts(image.brokers());
        let open = || image.brokers().filter(|broker| broker.takes_replicas());
        let active = || open().filter(|broker| broker.is_active());
        let is_well = |broker: &&Arc<Broker>| broker.has_well_directory(by_speed);
        let well = ring(active().filter(is_well));
        let unwell = ring(active().filter(|broker| !is_well(broker)));
        let (ring_of, unwell) = match well.is_empty() {
            true => (unwell, well),
            false => (well, unwell),
        };
        Self {
            image,
            ring: ring_of,
            unwell,
            reserve: ring(open().filter(|broker| !broker.is_active())),
            by_speed,
            start: partitions,
        }
    }

    /// Chooses replicas for new partitions.
    pub(crate) fn choose(
        &self,
        crowds: &mut Crowds<'_>,
        count: usize,
        factor: i16,
    ) -> Outcome<Vec<Partition>> {
        let factor = usize::try_from(factor).unwrap_or(0);
        let up = self.ring.len() + self.unwell.len();
        let there = up + self.reserve.len();
        if factor > there || self.ring.is_empty() {
            let reason = format!(
                "replication factor {factor} cannot be reached: {there} brokers take replicas, \
                 and {up} of them are up"
            );
            return Err(MetadataError::ReplicationFactor { reason });
        }
        let chosen = |p: usize| self.partition(crowds, self.spread(self.start + p, factor));
        Ok((0..count).map(chosen).collect())
    }

    /// The replicas of one partition, the leader first.
    fn spread(&self, number: usize, factor: usize) -> Vec<NodeId> {
        let n = self.ring.len();
        let leader = number % n;
        // Every broker but the leader, starting further along with each round.
        let shift = number / n % (n - 1).max(1);
        let others = (0..n - 1).map(|i| self.ring[(leader + 1 + (shift + i) % (n - 1)) % n]);
        // Last, since of several in racks as empty the first one is taken.
        let unwell = self
            .unwell
            .iter()
            .cycle()
            .skip(number % self.unwell.len().max(1));
        let unwell = unwell.take(self.unwell.len()).copied();
        let mut candidates: Vec<_> = others.chain(unwell).collect();
        let mut chosen = vec![self.ring[leader]];
        while chosen.len() < factor {
            if candidates.is_empty() {
                candidates.clone_from(&self.reserve);
            }
            let crowd = |b: &Arc<Broker>| chosen.iter().filter(|c| c.rack == b.rack).count();
            let emptiest = candidates.iter().enumerate().min_by_key(|(_, b)| crowd(b));
            let Some((at, _)) = emptiest else { break };
            chosen.push(candidates.remove(at));
        }
        chosen.into_iter().map(|broker| broker.node).collect()
    }

    /// Checks replicas that somebody else chose. `kept` have theirs already, wherever they stand.
    pub(crate) fn check(&self, replicas: &[NodeId], kept: &[NodeId]) -> Outcome<()> {
        let fail = |reason: String| Err(MetadataError::Assignment { reason });
        if replicas.is_empty() {
            return fail("a partition needs at least one replica".to_owned());
        }
        for (i, node) in replicas.iter().enumerate() {
            let Some(broker) = self.image.broker(*node) else {
                return fail(format!("broker {node} is not registered"));
            };
            if replicas[..i].contains(node) {
                return fail(format!("broker {node} is assigned twice to one partition"));
            }
            if !broker.takes_replicas() && !kept.contains(node) {
                return fail(format!(
                    "broker {node} is cordoned: it takes no new replicas"
                ));
            }
        }
        Ok(())
    }

    /// A new partition whose replicas somebody else chose.
    pub(crate) fn explicit(
        &self,
        crowds: &mut Crowds<'_>,
        replicas: Vec<NodeId>,
    ) -> Outcome<Partition> {
        self.check(&replicas, &[])?;
        let active = |node: &NodeId| self.image.broker(*node).is_some_and(|b| b.is_active());
        if !replicas.iter().any(active) {
            let reason = "all brokers of one partition are fenced".to_owned();
            return Err(MetadataError::Assignment { reason });
        }
        Ok(self.partition(crowds, replicas))
    }

    /// The directory for a new replica: one that is well, if there is any.
    pub(crate) fn directory(&self, crowds: &mut Crowds<'_>, node: NodeId) -> DirectoryId {
        let Some(broker) = self.image.broker(node) else {
            return DirectoryId::UNASSIGNED;
        };
        let well = crowds.give(node, broker.well_directories(self.by_speed));
        let any = well.or_else(|| crowds.give(node, broker.open_directories()));
        any.unwrap_or(DirectoryId::UNASSIGNED)
    }

    /// A new partition: everybody who is up is in sync, the first of them leads.
    fn partition(&self, crowds: &mut Crowds<'_>, replicas: Vec<NodeId>) -> Partition {
        let active = |node: &NodeId| self.image.broker(*node).is_some_and(|b| b.is_active());
        let isr: Vec<NodeId> = replicas.iter().copied().filter(active).collect();
        let directory = |node: &NodeId| self.directory(crowds, *node);
        Partition {
            directories: replicas.iter().map(directory).collect(),
            leader: isr.first().copied(),
            isr,
            replicas,
            eligible: Vec::new(),
            last_known_eligible: Vec::new(),
            adding: Vec::new(),
            removing: Vec::new(),
            leader_epoch: 0,
            partition_epoch: 0,
        }
    }
}

/// Brokers in an order in which racks alternate.
fn ring<'a>(brokers: impl Iterator<Item = &'a Arc<Broker>>) -> Vec<&'a Arc<Broker>> {
    let mut racks: BTreeMap<Option<&str>, Vec<&Arc<Broker>>> = BTreeMap::new();
    for broker in brokers {
        let rack = racks.entry(broker.rack.as_deref()).or_default();
        rack.push(broker);
    }
    let longest = racks.values().map(Vec::len).max().unwrap_or(0);
    let turn = |i: usize| racks.values().filter_map(move |rack| rack.get(i).copied());
    (0..longest).flat_map(turn).collect()
}
