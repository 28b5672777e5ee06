//! The machine: requests in, records and replies out.

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_settings::{Layers, MetadataSettings, StaticSettings, TopicDefaults};
use freshet_types::{
    Decision, Machine, Now, Position, Predecessor, Published, Ticket, Timer, TopicName,
};

use crate::decide::{brokers, configs, replicas, topics};
use crate::features::{FEATURES, Feature};
use crate::record::Record;
use crate::request::{Reply, Request};
use crate::sessions::Sessions;
use crate::state::{ConfigOwner, Holdings, MetadataImage};

/// What the active controller decides by, beside the state: its own settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataOptions {
    /// What a topic gets when its creator says nothing.
    pub topics: TopicDefaults,
    /// The limits of the cluster.
    pub limits: MetadataSettings,
    /// What this version can work with.
    pub features: Vec<Feature>,
    /// The controller's file and command line, for the settings of topics.
    pub statics: Arc<StaticSettings>,
    /// How brokers live and die; `None` for a broker that is its own and only controller: it
    /// serves from its registration on, and needs no heartbeats.
    pub sessions: Option<SessionOptions>,
}

/// How the active controller watches brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionOptions {
    /// A broker that was silent for this long is fenced, ms.
    pub timeout_ms: u64,
    /// How often preferred leaders get their partitions back, ms; `None` for never.
    pub balance_every_ms: Option<u64>,
    /// Partitions that get their preferred leader back at once, at most. The rest follows a second
    /// later.
    pub balance_at_once: usize,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            timeout_ms: 1_000,
            balance_every_ms: Some(300_000),
            balance_at_once: 1_000,
        }
    }
}

impl MetadataOptions {
    /// A broker that is its own and only controller. None of it is dynamic.
    pub fn of(statics: Arc<StaticSettings>) -> Self {
        let layers = Layers::of(Arc::clone(&statics));
        Self {
            topics: layers.topic_defaults(),
            limits: layers.metadata(),
            features: FEATURES.to_vec(),
            statics,
            sessions: None,
        }
    }

    /// A controller of many brokers, who register, send heartbeats and are fenced.
    pub fn of_cluster(statics: Arc<StaticSettings>, sessions: SessionOptions) -> Self {
        Self {
            sessions: Some(sessions),
            ..Self::of(statics)
        }
    }
}

/// What the machine wants to be woken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MetadataTimer {
    /// Somebody's session may have ended.
    Sessions,
    /// Preferred leaders get their partitions back.
    Balance,
}

/// The metadata of a cluster as a machine: topics, partitions, settings, brokers, producer ids.
///
/// Its durable state is the image. What it hears from brokers is soft: only the machine of the
/// active controller has it, from [`Machine::loaded`] on.
#[derive(Debug)]
pub struct MetadataMachine {
    pub(crate) image: MetadataImage,
    pub(crate) options: MetadataOptions,
    pub(crate) holdings: Holdings,
    pub(crate) sessions: Sessions,
    /// Names that have '.' or '_', by what they are in metric names; others cannot collide.
    collisions: BTreeMap<String, TopicName>,
}

impl MetadataMachine {
    /// A cluster without anything.
    pub fn new(options: MetadataOptions) -> Self {
        Self {
            image: MetadataImage::default(),
            options,
            holdings: Holdings::default(),
            sessions: Sessions::default(),
            collisions: BTreeMap::new(),
        }
    }

    /// The topic whose name would collide with `name`.
    pub(crate) fn collision(&self, name: &TopicName) -> Option<&TopicName> {
        self.collisions.get(&name.collision_key())
    }

    /// The present state.
    pub fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// Settings as they hold for all brokers.
    pub(crate) fn layers(&self) -> Layers {
        Layers {
            cluster: self.image.configs(&ConfigOwner::Cluster),
            ..Layers::of(Arc::clone(&self.options.statics))
        }
    }

    /// Sets the timer of sessions, if somebody's needs watching and it is not set.
    fn watch(&mut self) -> Vec<Timer<MetadataTimer>> {
        let Some(options) = self.options.sessions else {
            return Vec::new();
        };
        if self.sessions.due.is_some() {
            return Vec::new();
        }
        let due = self
            .sessions
            .earliest()
            .map(|heard| heard + options.timeout_ms);
        self.sessions.due = due;
        let timer = |at| Timer {
            key: MetadataTimer::Sessions,
            at: Some(at),
        };
        due.map(timer).into_iter().collect()
    }
}

impl Machine for MetadataMachine {
    type Request = Request;
    type Reply = Reply;
    type Record = Record;
    type TimerKey = MetadataTimer;

    fn decide(&mut self, now: Now, ticket: Ticket, request: Request) -> Decision<Self> {
        let mut records = Vec::new();
        let out = &mut records;
        let reply = match request {
            Request::RegisterBroker(r) => {
                Reply::RegisterBroker(brokers::register_broker(self, now, r, out))
            }
            Request::Heartbeat(r) => Reply::Heartbeat(brokers::heartbeat(self, now, &r, out)),
            Request::UnregisterBroker(r) => {
                Reply::UnregisterBroker(brokers::unregister_broker(self, now, &r, out))
            }
            Request::CordonBroker(r) => Reply::CordonBroker(brokers::cordon_broker(self, &r, out)),
            Request::FenceBroker(r) => Reply::FenceBroker(brokers::fence_broker(self, now, r, out)),
            Request::CreateTopics(r) => Reply::CreateTopics(topics::create_topics(self, r, out)),
            Request::RestoreTopics(r) => {
                Reply::RestoreTopics(topics::restore_topics(self, &r, out))
            }
            Request::DeleteTopics(r) => Reply::DeleteTopics(topics::delete_topics(self, r, out)),
            Request::CreatePartitions(r) => {
                Reply::CreatePartitions(topics::create_partitions(self, r, out))
            }
            Request::AlterConfigs(r) => {
                Reply::AlterConfigs(configs::alter_configs(self, now, r, out))
            }
            Request::AllocateProducerIds(r) => {
                Reply::AllocateProducerIds(brokers::allocate_producer_ids(self, &r, out))
            }
            Request::UpdateFeatures(r) => {
                Reply::UpdateFeatures(configs::update_features(self, r, out))
            }
            Request::AlterPartitions(r) => {
                Reply::AlterPartitions(replicas::alter_partitions(self, now, r, out))
            }
            Request::Reassign(r) => Reply::Reassign(replicas::reassign(self, now, r, out)),
            Request::ElectLeaders(r) => {
                Reply::ElectLeaders(replicas::elect_leaders(self, now, &r, out))
            }
            Request::AssignDirectories(r) => {
                Reply::AssignDirectories(replicas::assign_directories(self, now, &r, out))
            }
        };
        Decision {
            records,
            timers: self.watch(),
            ..Decision::reply(ticket, reply)
        }
    }

    fn fire(&mut self, now: Now, timer: MetadataTimer) -> Decision<Self> {
        let Some(options) = self.options.sessions else {
            return Decision::default();
        };
        match timer {
            MetadataTimer::Sessions => {
                let records = brokers::fence_silent(self, now, options);
                let timers = self.watch();
                Decision {
                    records,
                    timers,
                    ..Decision::default()
                }
            }
            MetadataTimer::Balance => replicas::balance(self, now, options),
        }
    }

    fn apply(&mut self, record: &Record) {
        match record {
            Record::Topic { name, .. } if name.as_str().contains(['.', '_']) => {
                self.collisions.insert(name.collision_key(), name.clone());
            }
            Record::TopicDeleted { id, .. } => {
                if let Some(topic) = self.image.topic_by_id(*id) {
                    self.collisions.remove(&topic.name.collision_key());
                }
            }
            _ => {}
        }
        self.holdings.follow(&self.image, record);
        self.image.apply(record);
    }

    /// A new active controller: it has heard nobody yet, so everybody gets a full session; but see
    /// [`Machine::succeeds`].
    fn loaded(&mut self, now: Now) -> Decision<Self> {
        let Some(options) = self.options.sessions else {
            return Decision::default();
        };
        self.sessions = Sessions::default();
        for broker in self.image.brokers() {
            let version = self.image.version();
            self.sessions.begin(broker.node, now.monotonic, version);
        }
        let mut timers = self.watch();
        timers.extend(options.balance_every_ms.map(|ms| Timer {
            key: MetadataTimer::Balance,
            at: Some(now.monotonic + ms),
        }));
        Decision {
            timers,
            ..Decision::default()
        }
    }

    /// Who decided before has not been heard since: its session goes on, where the others' begin.
    fn succeeds(&mut self, _now: Now, before: Predecessor) -> Decision<Self> {
        if let Some(session) = self.sessions.get_mut(before.node) {
            session.heard = session.heard.min(before.heard);
        }
        self.sessions.due = None;
        Decision {
            timers: self.watch(),
            ..Decision::default()
        }
    }

    fn snapshot(&self) -> Vec<Record> {
        self.image.records()
    }
}

impl Published for MetadataMachine {
    type Image = MetadataImage;

    fn publish(&self, position: Position) -> Arc<MetadataImage> {
        Arc::new(MetadataImage {
            position,
            ..self.image.clone()
        })
    }
}
