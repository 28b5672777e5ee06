//! What a broker's replica of a partition is at the moment, and how it takes another place when the
//! image says so.

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_metadata::{
    AssignDirectories, AssignedPartition, ConfigOwner, MetadataImage, Partition,
};
use freshet_partition::replication::{Answer, Leader, LeaderStart, Moved, Term};
use freshet_settings::Layers;
use freshet_types::{LeaderEpoch, Millis, NodeId, Offset, TopicPartition};

use super::For;
use crate::agreed::statics;
use crate::disk::{Log, offset};
use crate::invariants::Asked;
use crate::message::{Place, Refusal};
use crate::network::Host;
use crate::rules::Duty;
use crate::world::{Alarm, World, host_of, node_id};

/// A producer that waits until its record is committed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiting {
    pub(super) to: Host,
    /// Its question.
    pub(super) id: u64,
    pub(crate) value: u64,
    pub(crate) place: Place,
    /// Unique: a question may come twice.
    pub(crate) ticket: u64,
    /// When its time is over, by the clock here.
    pub(crate) due: Millis,
    /// By when it has heard of that, in the world's time, unless all stands still.
    pub(crate) hears_by: u64,
}

/// Who is told, by the offset that must be committed.
pub(crate) type Parked = BTreeMap<Offset, Vec<Waiting>>;

/// What it is to its partition.
pub(crate) enum Stand {
    Waits,
    Leads {
        brain: Box<Leader>,
        parked: Parked,
        /// The log's end when it began.
        start: Offset,
        /// Up to where somebody waits for records to be gone everywhere.
        deleting: Option<Offset>,
    },
    Follows {
        leader: NodeId,
        /// The fetch under way.
        fetch: Option<u64>,
        /// An answer whose rows are not flushed yet.
        copying: Option<(LeaderEpoch, Answer)>,
    },
}

/// See the module.
pub(crate) struct Replica {
    pub(crate) epoch: LeaderEpoch,
    /// As far as it is known here.
    pub(crate) committed: Offset,
    pub(crate) stand: Stand,
}

impl Replica {
    pub(crate) fn brain(&mut self) -> Option<&mut Leader> {
        match &mut self.stand {
            Stand::Leads { brain, .. } => Some(brain),
            Stand::Waits | Stand::Follows { .. } => None,
        }
    }

    fn is_at(&self, leader: Option<NodeId>, me: NodeId) -> bool {
        match &self.stand {
            Stand::Waits => leader.is_none(),
            Stand::Leads { .. } => leader == Some(me),
            Stand::Follows { leader: of, .. } => leader == Some(*of) && *of != me,
        }
    }
}

/// `min.insync.replicas` and whether the page cache is trusted.
pub(crate) fn topic_rules(image: &MetadataImage, at: TopicPartition) -> (usize, bool) {
    let layers = Layers {
        cluster: image.configs(&ConfigOwner::Cluster),
        ..Layers::of(statics())
    };
    let topic = image.topic_by_id(at.topic).unwrap();
    let config = layers.replication(&topic.configs);
    let min = usize::try_from(config.min_insync_replicas).unwrap();
    let cached = config.durability == freshet_settings::Durability::PageCache;
    (min, cached)
}

impl World {
    pub(crate) fn log(&mut self, host: Host, at: TopicPartition) -> &mut Log {
        self.nodes[host].disk.logs.entry(at).or_default()
    }

    pub(crate) fn replica(&mut self, host: Host, at: TopicPartition) -> Option<&mut Replica> {
        let process = self.nodes.get_mut(host)?.process.as_mut()?;
        process.replicas.get_mut(&at)
    }

    /// The directory takes in the newest image.
    pub(crate) fn apply_image(&mut self, host: Host) {
        let newest = self.nodes[host].seat.committed;
        let process = self.process(host);
        process.applying = false;
        let own = process.incarnation;
        let seen = std::mem::replace(&mut process.applied, newest);
        let image = Arc::clone(self.agreed.image(newest));
        let before = Arc::clone(self.agreed.image(seen));
        let registered = image.broker(node_id(host)).map(|b| b.incarnation);
        if registered != Some(own) && self.has(Duty::OwnRegistration) {
            self.process(host).applied = seen;
            return;
        }
        let changes = image.changes_since(&before);
        for topic in &changes.topics {
            for (partition, state) in topic.iter() {
                let topic = topic.id;
                let at = TopicPartition { topic, partition };
                match state.replicas.contains(&node_id(host)) {
                    true if self.is_written_off(host, at, state) => {
                        self.renew(host, at, state, &image);
                    }
                    true => self.take_place(host, at, state, &image),
                    false => self.leave_partition(host, at),
                }
            }
        }
        if changes.brokers || !changes.topics.is_empty() {
            self.look_for_joiners(host, &image);
        }
        self.heart(host);
    }

    fn leave_partition(&mut self, host: Host, at: TopicPartition) {
        if self.process(host).replicas.contains_key(&at) {
            self.step_aside(host, at);
            self.process(host).replicas.remove(&at);
            self.nodes[host].disk.logs.remove(&at);
            self.witness.forget(host, at);
            self.nodes[host].disk.committed.remove(&at);
        }
    }

    pub(super) fn take_place(
        &mut self,
        host: Host,
        at: TopicPartition,
        state: &Arc<Partition>,
        image: &MetadataImage,
    ) {
        let me = node_id(host);
        let (min_in_sync, cached) = topic_rules(image, at);
        self.welcome(host, at, cached);
        self.tell_directory(host, at, state);
        let term = Term {
            leader_epoch: state.leader_epoch,
            partition_epoch: state.partition_epoch,
            replicas: state.replicas.clone(),
            isr: state.isr.clone(),
            min_in_sync,
        };
        let now = self.local(host);
        let Some(replica) = self.replica(host, at) else {
            return;
        };
        if replica.epoch == state.leader_epoch && replica.is_at(state.leader, me) {
            if let Some(brain) = replica.brain() {
                let moved = brain.renew(term, now);
                self.moved(host, at, moved);
            }
            return;
        }
        self.step_aside(host, at);
        self.log(host, at).fence();
        let epoch = state.leader_epoch;
        if let Some(replica) = self.replica(host, at) {
            replica.epoch = epoch;
        }
        match state.leader {
            Some(leader) if leader == me => self.begin_to_lead(host, at, term),
            Some(leader) => self.begin_to_follow(host, at, leader),
            None => {}
        }
    }

    fn welcome(&mut self, host: Host, at: TopicPartition, cached: bool) {
        let disk = &mut self.nodes[host].disk;
        let log = disk.logs.entry(at).or_default();
        log.is_cached = cached;
        let (start, end) = (offset(log.start), log.end());
        let known = disk.committed.get(&at).copied().unwrap_or(0);
        let process = self.process(host);
        if process.replicas.contains_key(&at) {
            return;
        }
        let replica = Replica {
            epoch: -1,
            committed: 0,
            stand: Stand::Waits,
        };
        process.replicas.entry(at).or_insert(replica);
        // A hint of the last process.
        self.know_committed(host, at, known.clamp(start, end));
    }

    /// A replica that is in another directory than the controller thinks.
    fn tell_directory(&mut self, host: Host, at: TopicPartition, state: &Partition) {
        let directory = self.nodes[host].disk.directory;
        let epoch = self.process(host).course.epoch();
        if let Some(broker_epoch) = epoch
            && state.directory(node_id(host)) != Some(directory)
        {
            let request = AssignDirectories {
                node: node_id(host),
                broker_epoch,
                replicas: vec![AssignedPartition {
                    at,
                    directory,
                    whole: false,
                }],
            };
            self.ask(host, For::Places, request.into(), 3_000);
        }
    }

    /// Leads no more, and follows nobody.
    pub(super) fn step_aside(&mut self, host: Host, at: TopicPartition) {
        let Some(replica) = self.replica(host, at) else {
            return;
        };
        let stand = std::mem::replace(&mut replica.stand, Stand::Waits);
        if let Stand::Leads { parked, .. } = stand {
            for waiting in parked.into_values().flatten() {
                let (value, sender) = (waiting.value, None);
                let asked = Asked::Produce { value, sender };
                let asker = (waiting.to, waiting.id);
                self.refuse(host, at, asker, (asked, Refusal::NotLeader));
            }
            self.end_to_coordinate(host, at);
        }
    }

    fn begin_to_lead(&mut self, host: Host, at: TopicPartition, term: Term) {
        if self.nodes[host].disk.has_failed {
            return;
        }
        let (epoch, now) = (term.leader_epoch, self.local(host));
        let lag_max = Millis(self.climate.lag_ms);
        let log = self.log(host, at);
        log.start_epoch(epoch);
        let (log_end, flushed) = (log.end(), offset(log.flushed));
        let Some(replica) = self.replica(host, at) else {
            return;
        };
        let start = LeaderStart {
            me: node_id(host),
            log_end,
            flushed,
            high_watermark: replica.committed.min(flushed),
            now,
            lag_max,
        };
        replica.committed = start.high_watermark;
        let mut brain = Box::new(Leader::new(term, start));
        let moved = brain.flushed(flushed, now);
        replica.stand = Stand::Leads {
            brain,
            parked: BTreeMap::new(),
            start: log_end,
            deleting: None,
        };
        self.note(|| format!("{host} leads {at} in epoch {epoch} from {log_end}"));
        self.leads_now(host, at, epoch);
        self.begins_with(host, at, start.high_watermark);
        self.begin_to_coordinate(host, at, epoch);
        self.moved(host, at, moved);
    }

    fn begin_to_follow(&mut self, host: Host, at: TopicPartition, leader: NodeId) {
        if let Some(replica) = self.replica(host, at) {
            replica.stand = Stand::Follows {
                leader,
                fetch: None,
                copying: None,
            };
            self.note(|| format!("{host} follows {} for {at}", host_of(leader)));
            self.wake_in(host, 1, Alarm::Fetch(at));
        }
    }

    fn look_for_joiners(&mut self, host: Host, image: &MetadataImage) {
        let now = self.local(host);
        let mut found: Vec<(TopicPartition, Moved)> = Vec::new();
        let all: Vec<_> = self.process(host).replicas.keys().copied().collect();
        for at in all {
            let log_start = offset(self.log(host, at).start);
            if let Some(brain) = self.replica(host, at).and_then(Replica::brain) {
                let copies = brain.in_sync();
                let may_be_in = |node| image.may_be_in(at, node, copies);
                let moved = brain.look_for_joiners(log_start, now, may_be_in);
                found.push((at, moved));
            }
        }
        for (at, moved) in found {
            self.moved(host, at, moved);
        }
    }

    /// As far as a replica knows; what it has is compared with what others have.
    pub(super) fn know_committed(&mut self, host: Host, at: TopicPartition, end: Offset) {
        let Some(replica) = self.replica(host, at) else {
            return;
        };
        if std::mem::replace(&mut replica.committed, end) > end {
            self.watermark_goes_back(host, at);
        }
        self.check_committed(host, at, end);
    }
}
