//! What handlers may reach. One per broker.

pub(super) mod cluster_view;
pub(super) mod leaders;
pub(super) mod locate;
mod voters;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use freshet_env::{Clock, Rng};
use freshet_metadata::{Ask, MetadataImage, MetadataMachine};
use freshet_partition::{Directory, GroupShards, Partition};
use freshet_quorum::{Leadership, Quorum, QuorumError};
use freshet_settings::{Layers, StaticSettings};
use freshet_types::{ClusterId, NodeId, PartitionId, TopicId, TopicPartition};
use freshet_wire::{PeerRequest, PeerResponse};
use tokio::sync::watch;

use crate::kafka::api::{Brakes, ResponseBudget};
use crate::kafka::connection::frames::FrameBudget;
use crate::kafka::connection::seats::Seats;
use crate::kafka::context::cluster_view::ClusterView;
use crate::kafka::context::locate::LocateError;
use crate::kafka::producer_ids::ProducerIds;
use crate::kafka::sessions::{Fetching, Opening, Session, SessionError, Sessions};
use crate::metrics::Metrics;
use crate::stop::Stop;

pub use voters::{QuorumFace, RoundTrips, VotersAnswer};

/// Who this broker is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The cluster.
    pub cluster_id: ClusterId,
    /// This broker.
    pub node_id: NodeId,
}

/// Records on their way to replicas may take this part of what those on their way to clients may.
const REPLICAS_PART: usize = 4;

/// Limits that handlers keep.
#[derive(Debug, Clone)]
pub(crate) struct ApiLimits {
    /// `fetch.max.bytes`
    pub(crate) fetch_max_bytes: i32,
    /// `max.request.partition.size.limit`
    pub(crate) describe_partitions_max: i32,
    /// `offsets.commit.timeout.ms`
    pub(crate) group_patience: Duration,
    /// `replica.selector.class` is Kafka's rack-aware one.
    pub(crate) replicas_by_rack: bool,
}

/// Hears what other nodes of the cluster say through a listener for brokers.
pub trait PeerDoor: Send + Sync {
    /// The listener by which it may be spoken to; others act as if there were no such thing.
    fn listener(&self) -> &str;

    /// Answers one request.
    fn answer(&self, request: PeerRequest) -> PeerAnswered<'_>;
}

/// An answer on its way.
pub type PeerAnswered<'a> = Pin<Box<dyn Future<Output = PeerResponse> + Send + 'a>>;

/// What a broker is made of, for the faces.
pub struct Parts {
    /// Who this broker is.
    pub identity: Identity,
    /// Where metadata is agreed.
    pub quorum: Arc<dyn Quorum<MetadataMachine>>,
    /// Who agrees on it; `None` for a broker that keeps it alone.
    pub voters: Option<Arc<dyn QuorumFace>>,
    /// Its partitions.
    pub partitions: Arc<Directory>,
    /// Its group shards.
    pub groups: Arc<GroupShards>,
    /// The log threads, for their figures.
    pub writers: Arc<freshet_log::Writers>,
    /// File and command line.
    pub statics: Arc<StaticSettings>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// The stop signal.
    pub stop: Stop,
    /// Hears other nodes; `None` in a cluster of one.
    pub peers: Option<Arc<dyn PeerDoor>>,
    /// What else must hold before clients should come.
    pub readiness: Vec<Readiness>,
}

/// A line of `/readyz` that another part of the broker answers.
pub struct Readiness {
    /// What is looked at.
    pub name: &'static str,
    /// What is in the way now, if something is.
    pub problem: Box<dyn Fn() -> Option<String> + Send + Sync>,
}

/// See the module.
pub struct Context {
    pub(crate) identity: Identity,
    pub(crate) quorum: Arc<dyn Quorum<MetadataMachine>>,
    pub(crate) voters: Option<Arc<dyn QuorumFace>>,
    image: watch::Receiver<Arc<MetadataImage>>,
    leadership: watch::Receiver<Leadership>,
    readiness: Vec<Readiness>,
    pub(crate) partitions: Arc<Directory>,
    pub(crate) groups: Arc<GroupShards>,
    pub(crate) writers: Arc<freshet_log::Writers>,
    pub(crate) statics: Arc<StaticSettings>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) stop: Stop,
    pub(crate) peers: Option<Arc<dyn PeerDoor>>,
    pub(crate) metrics: Metrics,
    pub(crate) limits: ApiLimits,
    pub(crate) frame_budget: FrameBudget,
    pub(crate) response_budget: ResponseBudget,
    /// The same for brokers that copy.
    pub(crate) replica_budget: ResponseBudget,
    pub(crate) replica_brakes: Brakes,
    pub(crate) seats: Seats,
    pub(crate) producer_ids: ProducerIds,
    sessions: Sessions,
}

impl Context {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Arc<Self> {
        let layers = Layers::of(Arc::clone(&parts.statics));
        let sockets = layers.sockets();
        let int = |bytes: usize| i32::try_from(bytes).unwrap_or(i32::MAX);
        Arc::new(Self {
            image: parts.quorum.watch(),
            leadership: parts.quorum.leadership(),
            readiness: parts.readiness,
            identity: parts.identity,
            quorum: parts.quorum,
            voters: parts.voters,
            partitions: parts.partitions,
            groups: parts.groups,
            writers: parts.writers,
            statics: parts.statics,
            clock: parts.clock,
            rng: parts.rng,
            stop: parts.stop,
            peers: parts.peers,
            metrics: Metrics::new(),
            limits: ApiLimits {
                fetch_max_bytes: int(sockets.fetch_max_bytes),
                describe_partitions_max: int(sockets.describe_partitions_max),
                group_patience: Duration::from_millis(layers.groups().commit_timeout_ms),
                replicas_by_rack: layers.replicas().by_rack,
            },
            seats: Seats::default(),
            frame_budget: FrameBudget::new(sockets.request_memory_bytes),
            response_budget: ResponseBudget::new(sockets.response_memory_bytes),
            replica_brakes: Brakes::new(),
            replica_budget: ResponseBudget::new(sockets.response_memory_bytes / REPLICAS_PART),
            producer_ids: ProducerIds::default(),
            sessions: Sessions::new(sockets.fetch_sessions_max),
        })
    }

    /// The cluster as it is committed now.
    pub(crate) fn image(&self) -> Arc<MetadataImage> {
        Arc::clone(&self.image.borrow())
    }

    /// The node to which clients are sent with requests for the controller; -1 while none can be
    /// reached.
    pub(crate) fn controller_id(&self, view: ClusterView<'_>) -> i32 {
        let active = self.leadership.borrow().leader;
        let controller = view.controller(active, self.identity.node_id);
        controller.map_or(-1, |node| node.0)
    }

    /// This broker's settings as they are now.
    pub(crate) fn layers(&self) -> Layers {
        self.image().layers(&self.statics, self.identity.node_id)
    }

    /// Has the metadata changed, and waits until this broker's partitions follow.
    pub(crate) async fn change<A: Ask>(&self, request: A) -> Result<A::Answer, QuorumError> {
        let answer = A::answer(self.quorum.propose(request.into()).await?);
        let position = self.image().position();
        self.partitions.applied(position).await;
        Ok(answer)
    }

    /// The partition of a topic name that this broker leads.
    pub(crate) fn locate(
        &self,
        topic: &str,
        partition: PartitionId,
    ) -> Result<Arc<Partition>, LocateError> {
        led(self.find(topic, partition)?)
    }

    /// The partition of a topic id that this broker leads.
    pub(crate) fn locate_by_id(
        &self,
        topic: TopicId,
        partition: PartitionId,
    ) -> Result<Arc<Partition>, LocateError> {
        led(self.find_by_id(topic, partition)?)
    }

    /// The partition of a topic name that is open here, led or not.
    pub(crate) fn find(
        &self,
        topic: &str,
        partition: PartitionId,
    ) -> Result<Arc<Partition>, LocateError> {
        let id = self.image().topic(topic).map(|topic| topic.id);
        match id {
            Some(id) => self.local(id, partition),
            None => Err(LocateError::UnknownTopic),
        }
    }

    /// The partition of a topic id that is open here, led or not.
    pub(crate) fn find_by_id(
        &self,
        topic: TopicId,
        partition: PartitionId,
    ) -> Result<Arc<Partition>, LocateError> {
        self.local(topic, partition).map_err(|error| match error {
            LocateError::UnknownTopic => LocateError::UnknownTopicId,
            other => other,
        })
    }

    /// Looks among the open partitions first: that answers nearly always.
    fn local(&self, topic: TopicId, partition: PartitionId) -> Result<Arc<Partition>, LocateError> {
        let id = TopicPartition { topic, partition };
        if let Some(open) = self.partitions.get(id) {
            return Ok(open);
        }
        let image = self.image();
        let topic = image.topic_by_id(topic).ok_or(LocateError::UnknownTopic)?;
        let state = topic
            .partition(partition)
            .ok_or(LocateError::UnknownPartition)?;
        let is_broken = self.partitions.broken(id).is_some();
        let is_ours = state.leader == Some(self.identity.node_id);
        Err(if is_ours && is_broken {
            LocateError::Offline
        } else {
            LocateError::NotLeader
        })
    }

    /// See [`Sessions::open`].
    pub(crate) fn open_session(&self, opening: Opening) -> Result<Fetching, SessionError> {
        let random_id = || {
            let mut random = [0; 4];
            self.rng.fill(&mut random);
            i32::from_be_bytes(random)
        };
        self.sessions
            .open(opening, random_id, self.clock.monotonic())
    }

    /// See [`Sessions::give_back`].
    pub(crate) fn give_back_session(&self, session: Session) {
        self.sessions.give_back(session, self.clock.monotonic());
    }

    /// Idle fetch sessions.
    pub(crate) fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// What must hold before clients should come.
    pub(crate) fn readiness(&self) -> Vec<Check> {
        let offline = self.writers.dirs().iter().find_map(|dir| dir.failure());
        let broken = self.partitions.broken_count();
        let broken = (broken > 0).then(|| format!("{broken} partitions are offline"));
        let stopping = self
            .stop
            .is_stopped()
            .then(|| "the broker is stopping".to_owned());
        let mut checks = vec![
            Check {
                name: "serving",
                problem: stopping,
            },
            Check {
                name: "log directories",
                problem: offline.map(|error| error.to_string()),
            },
            Check {
                name: "partitions",
                problem: broken,
            },
        ];
        checks.extend(self.readiness.iter().map(|part| Check {
            name: part.name,
            problem: (part.problem)(),
        }));
        checks
    }
}

fn led(open: Arc<Partition>) -> Result<Arc<Partition>, LocateError> {
    open.leads().then_some(open).ok_or(LocateError::NotLeader)
}

/// One line of `/readyz`.
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) problem: Option<String>,
}
