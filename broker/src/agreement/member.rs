//! One node of a cluster: how it finds the others, and becomes one of them.
//!
//! ```text
//! door opens ─► which cluster? ─► format ─► Raft starts ─► form, or be taken in ─► know everything
//!               └── only with empty directories ──┘
//! ```

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use freshet_env::{Reactors, within};
use freshet_metadata::{BrokerListener, MetadataMachine, MetadataOptions, SessionOptions};
use freshet_partition::ManifestKeeper;
use freshet_peers::chronicle;
use freshet_peers::quorum::{
    Caller, Door, Face, FailureDetector, PeerRoom, Relay, RoundTrips, TcpLink,
};
use freshet_quorum::identity::{self, Identity};
use freshet_quorum::{
    Census, Endpoint, Greeting, Named, Peer, PeerId, PeerLink, Quorum, QuorumError, QuorumStatus,
    Raft, RaftDoors, RaftOptions,
};
use freshet_server as server;
use freshet_types::{ClusterId, TopicId};
use freshet_wire::PeerRequest;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::Wanted;
use crate::bound::Bound;
use crate::doors::Doors;

/// Between two rounds of greetings; an answer is waited for at least as long.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two tries to learn what was agreed.
const RETRY: Duration = Duration::from_millis(50);
/// Longer than an election: whoever waits for this long wants to know why. Over long lines it takes
/// so many ways there and back.
const NEWS: Duration = Duration::from_secs(2);
const NEWS_TRIPS: u32 = 6;

/// A running part of the quorum, with what belongs to it.
pub(crate) struct Member {
    raft: Arc<Raft<MetadataMachine>>,
    relay: Arc<Relay>,
    room: Arc<PeerRoom>,
    doors: Opened,
    /// Tells who comes and goes, while this node decides.
    chronicle: JoinHandle<()>,
    detector: JoinHandle<()>,
    /// Of a controller.
    round_trips: Option<Measuring>,
    /// One thread for all of it: a heartbeat passes through a dozen tasks, and each would wake
    /// another thread. Dropped last.
    reactors: Reactors,
}

impl Member {
    pub(super) async fn join(
        doors: &Doors,
        wanted: &Wanted,
        bound: &mut Bound,
    ) -> Result<(Identity, Self)> {
        let reactors = Reactors::start("quorum", 1)?;
        let home = reactors.next().clone();
        within(home, Self::take_part(doors, wanted, bound, reactors)).await
    }

    async fn take_part(
        doors: &Doors,
        wanted: &Wanted,
        bound: &mut Bound,
        reactors: Reactors,
    ) -> Result<(Identity, Self)> {
        let room = PeerRoom::new();
        let endpoints = endpoints(wanted, bound)?;
        let opened = open_doors(wanted, bound, &room);
        let named = wanted.quorum.voters.iter();
        let named = named.map(|(node, at)| (*node, vec![ours(at)]));
        let caller = match wanted.quorum.roles.controller {
            true => Caller::Controller,
            false => Caller::Broker,
        };
        let link = Arc::new(TcpLink::new(wanted.node.node_id, caller, named));
        let census = census(wanted, endpoints.clone());
        let (identity, directory) = identify(doors, wanted, &census, (&link, &room)).await?;
        let id = PeerId {
            node: identity.node_id,
            directory,
        };
        let me = Peer { id, endpoints };
        let raft = start(doors, wanted, &link, (identity.cluster_id.clone(), me)).await?;
        room.open(&raft);
        census.settle(&raft).await?;
        know_everything(&raft, &census, NEWS.max(round_trip(wanted) * NEWS_TRIPS)).await?;
        let detector = tokio::spawn(FailureDetector::new(&raft, &room).run());
        let round_trips = match caller {
            Caller::Controller => Some(Measuring::begin(&raft, &link, round_trip(wanted))),
            Caller::Broker => None,
        };
        let relay = Relay::new(identity.node_id, Arc::clone(&raft), link);
        let relay = Arc::new(relay);
        let quorum = Arc::clone(&relay) as Arc<dyn Quorum<MetadataMachine>>;
        let chronicle = tokio::spawn(chronicle(quorum));
        let member = Self {
            raft,
            relay,
            room,
            doors: opened,
            chronicle,
            detector,
            round_trips,
            reactors,
        };
        Ok((identity, member))
    }

    /// Gives the listener between brokers back, for the broker to serve.
    pub(super) async fn hand_back(&mut self, bound: &mut Bound) -> Result<()> {
        if let Opened::Early { name, place, door } = &mut self.doors
            && let Some(door) = door.take()
        {
            let socket = door.close().await?;
            let kafka = &mut bound.listeners.kafka;
            kafka.insert(kafka.len().min(*place), (name.clone(), socket));
        }
        Ok(())
    }

    /// Where all of it runs.
    pub(super) fn home(&self) -> Handle {
        self.reactors.next().clone()
    }

    pub(super) fn quorum(&self) -> Arc<dyn Quorum<MetadataMachine>> {
        Arc::clone(&self.relay) as Arc<dyn Quorum<MetadataMachine>>
    }

    /// Waits until this node takes part no more.
    pub(super) async fn ended(&self) -> QuorumError {
        self.raft.ended().await
    }

    pub(super) fn relay(&self) -> Arc<Relay> {
        Arc::clone(&self.relay)
    }

    pub(super) fn keep_manifests(&self, keeper: Arc<dyn ManifestKeeper>) {
        self.room.keep_manifests(keeper);
    }

    pub(super) fn face(&self) -> Arc<dyn server::QuorumFace> {
        Arc::new(VotersFace {
            relay: Arc::clone(&self.relay),
            round_trips: self.round_trips.as_ref().map(|it| Arc::clone(&it.of)),
        })
    }

    pub(super) fn peers(&self) -> Option<Arc<dyn server::PeerDoor>> {
        let Opened::Early { name, .. } = &self.doors else {
            return None;
        };
        let (listener, room) = (name.clone(), Arc::clone(&self.room));
        Some(Arc::new(BrokersDoor { listener, room }))
    }

    pub(super) async fn leave(self) {
        self.detector.abort();
        if let Some(measuring) = &self.round_trips {
            measuring.task.abort();
        }
        self.raft.stop().await;
        self.chronicle.abort();
        self.room.close();
        let doors = match self.doors {
            Opened::Controllers(doors) => doors,
            Opened::Early { door, .. } => door.into_iter().collect(),
        };
        for door in doors {
            if let Err(error) = door.close().await {
                tracing::warn!(%error, "a listener of the controller ended badly");
            }
        }
    }
}

/// The quorum's room behind the listener between brokers.
struct BrokersDoor {
    listener: String,
    room: Arc<PeerRoom>,
}

impl server::PeerDoor for BrokersDoor {
    fn listener(&self) -> &str {
        &self.listener
    }

    fn answer(&self, request: PeerRequest) -> server::PeerAnswered<'_> {
        Box::pin(self.room.answer(request))
    }
}

/// The quorum as administrators see it, from wherever they ask.
struct VotersFace {
    relay: Arc<Relay>,
    round_trips: Option<Arc<RoundTrips>>,
}

impl server::QuorumFace for VotersFace {
    fn status(&self) -> server::VotersAnswer<'_, QuorumStatus> {
        Box::pin(async { Ok(self.relay.status().await) })
    }

    fn round_trips(&self) -> Option<server::RoundTrips> {
        let measured = self.round_trips.as_ref()?;
        Some(server::RoundTrips {
            limit: measured.limit(),
            usual: measured.usual(),
        })
    }

    fn add(&self, peer: Peer, as_voter: bool) -> server::VotersAnswer<'_, ()> {
        Box::pin(self.relay.add(peer, as_voter))
    }

    fn remove(&self, id: PeerId) -> server::VotersAnswer<'_, ()> {
        Box::pin(self.relay.remove(id))
    }
}

/// How far it is to the other controllers, being measured.
struct Measuring {
    of: Arc<RoundTrips>,
    task: JoinHandle<()>,
}

impl Measuring {
    fn begin(raft: &Arc<Raft<MetadataMachine>>, link: &Arc<TcpLink>, limit: Duration) -> Self {
        let of = RoundTrips::new(raft, link, limit);
        let task = tokio::spawn(Arc::clone(&of).run());
        Self { of, task }
    }
}

/// Doors by which other nodes come in.
enum Opened {
    Controllers(Vec<Door>),
    /// The listener between brokers of a node that is no controller, until the broker serves it.
    Early {
        name: String,
        /// Where it stands among the listeners.
        place: usize,
        door: Option<Door>,
    },
}

fn open_doors(wanted: &Wanted, bound: &mut Bound, room: &Arc<PeerRoom>) -> Opened {
    let between_brokers = |(name, _): &(String, _)| Some(name) == inter_broker(wanted);
    if !wanted.quorum.roles.controller
        && let Some(place) = bound.listeners.kafka.iter().position(between_brokers)
    {
        let (name, socket) = bound.listeners.kafka.remove(place);
        let door = Some(Door::open(socket, Arc::clone(room), Face::Early));
        return Opened::Early { name, place, door };
    }
    let sockets = bound.controllers.drain(..);
    let open = |(_, socket)| Door::open(socket, Arc::clone(room), Face::Controller);
    Opened::Controllers(sockets.map(open).collect())
}

fn inter_broker(wanted: &Wanted) -> Option<&String> {
    wanted.quorum.inter_broker_listener.as_ref()
}

/// Where the quorum reaches this node.
fn endpoints(wanted: &Wanted, bound: &Bound) -> Result<Vec<Endpoint>> {
    let quorum = &wanted.quorum;
    let mine = |(node, _): &&(_, _)| *node == wanted.node.node_id;
    if let Some((_, endpoint)) = quorum.voters.iter().find(mine) {
        return Ok(vec![ours(endpoint)]);
    }
    let told = |told: &BrokerListener| Endpoint {
        name: told.name.clone(),
        host: told.host.clone(),
        port: told.port,
    };
    if quorum.roles.controller {
        let controllers = bound.controllers.iter();
        return Ok(controllers.map(|(listener, _)| told(listener)).collect());
    }
    let between = inter_broker(wanted).and_then(|name| bound.told(name));
    let between = between.context("no listener is there for other brokers")?;
    Ok(vec![told(between)])
}

fn ours(endpoint: &freshet_settings::Endpoint) -> Endpoint {
    Endpoint {
        name: endpoint.name.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
    }
}

/// To another controller and back, at most.
fn round_trip(wanted: &Wanted) -> Duration {
    Duration::from_millis(wanted.layers().metadata().round_trip_ms)
}

fn census(wanted: &Wanted, endpoints: Vec<Endpoint>) -> Census {
    let quorum = &wanted.quorum;
    let voters = quorum.voters.iter();
    let named = if quorum.voters.is_empty() {
        Named::Addresses {
            at: quorum.bootstrap.iter().map(ours).collect(),
            wants_vote: quorum.roles.controller && quorum.auto_join,
        }
    } else {
        let voter = |(node, endpoint): &(_, _)| (*node, vec![ours(endpoint)]);
        Named::Voters(voters.map(voter).collect())
    };
    Census {
        me: wanted.node.node_id,
        endpoints,
        named,
        pause: PAUSE,
        // One way there and back to connect, one for the answer, and one to spare.
        patience: PAUSE.max(round_trip(wanted) * 3),
    }
}

/// Who this node is, and the id of the directory that votes. Empty directories get the cluster of
/// the others.
async fn identify(
    doors: &Doors,
    wanted: &Wanted,
    census: &Census,
    (link, room): (&Arc<TcpLink>, &Arc<PeerRoom>),
) -> Result<(Identity, TopicId)> {
    let node = &wanted.node;
    let (disk, rng) = (doors.disk.as_ref(), doors.rng.as_ref());
    let dirs = wanted.directories(disk)?;
    let known = identity::cluster_of(disk, &dirs)?;
    let is_new = known.is_none();
    let mut greeting = Greeting {
        node: node.node_id,
        directory: None,
        cluster: None,
        is_formed: false,
    };
    let cluster = match wanted.cluster_id().or(known) {
        Some(cluster) => cluster,
        None => {
            room.greet(greeting.clone());
            let make = || ClusterId::from_random(rng.id());
            census.find_cluster(link.as_ref(), make).await?
        }
    };
    let identified = identity::identify(disk, rng, &dirs, node.node_id, Some(cluster));
    let mut identity = identified?;
    let at = dirs.iter().position(|dir| *dir == node.metadata_dir);
    let at = at.context("metadata.log.dir has no identity")?;
    let directory = identity.directory_ids[at];
    identity.directory_ids.truncate(node.log_dirs.len());
    greeting.directory = Some(directory);
    greeting.cluster = Some(identity.cluster_id.clone());
    if is_new {
        room.greet(greeting);
    } else {
        // The log of a single broker becomes that of a quorum for good, and one that votes alone
        // decides alone: not among strangers.
        census.meet(link.as_ref(), &greeting).await?;
    }
    Ok((identity, directory))
}

async fn start(
    doors: &Doors,
    wanted: &Wanted,
    link: &Arc<TcpLink>,
    identity: (ClusterId, Peer),
) -> Result<Arc<Raft<MetadataMachine>>> {
    let settings = wanted.layers().metadata();
    let options = RaftOptions {
        queue_len: settings.queue_requests,
        snapshot_after_bytes: settings.snapshot_bytes,
        ..RaftOptions::across(round_trip(wanted))
    };
    let sessions = SessionOptions {
        timeout_ms: wanted.layers().lifecycle().session_timeout_ms,
        balance_every_ms: wanted.quorum.balance_every_ms,
        ..SessionOptions::default()
    };
    let machine = MetadataOptions::of_cluster(Arc::clone(&wanted.statics), sessions);
    let blank = move || MetadataMachine::new(machine.clone());
    let raft_doors = RaftDoors {
        disk: doors.metadata_disk.clone(),
        clock: Arc::clone(&doors.clock),
        link: Arc::clone(link) as Arc<dyn PeerLink>,
    };
    let dir = wanted.metadata_dir();
    let raft = Raft::start(raft_doors, &dir, identity, blank, options).await?;
    Ok(Arc::new(raft))
}

/// Waits until this node knows all that was agreed before it came.
async fn know_everything(
    raft: &Raft<MetadataMachine>,
    census: &Census,
    news: Duration,
) -> Result<()> {
    let mut waited = Duration::ZERO;
    loop {
        let since = tokio::time::Instant::now();
        match tokio::time::timeout(news, raft.barrier()).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(QuorumError::NotLeader { .. })) => tokio::time::sleep(RETRY).await,
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => {}
        }
        let before = waited.as_millis() / news.as_millis();
        waited += since.elapsed();
        if waited.as_millis() / news.as_millis() > before {
            tell(raft, census, waited.as_secs()).await?;
        }
    }
}

/// Says what is waited for. A controller of another cluster will never be the one.
async fn tell(raft: &Raft<MetadataMachine>, census: &Census, seconds: u64) -> Result<()> {
    let leader = raft.leadership().borrow().leader;
    if let Some(leader) = leader {
        tracing::info!(seconds, %leader, "waiting for the active controller's metadata");
        return Ok(());
    }
    let missing = census.missing(raft).await?.join("; ");
    tracing::warn!(
        seconds,
        missing,
        "waiting for an active controller: a majority of the controllers must be up"
    );
    Ok(())
}
