//! Answers what other nodes ask, whichever listener it comes by.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use bytes::Bytes;
use freshet_metadata::MetadataMachine;
use freshet_partition::ManifestKeeper;
use freshet_quorum::{Greeting, Quorum, Raft};
use freshet_types::NodeId;
use freshet_wire::{PeerRequest, PeerResponse};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, Semaphore};

use super::carried::{self, Carried};
use super::link::CLIENT;
use super::{kind, manifests, voters};

/// Proposals of other nodes that may be under way; more are told to come again.
const PROPOSALS: usize = 4096;

/// Who answers.
enum Host {
    /// It does not know yet, or has stopped.
    Nobody,
    /// Before this node has a quorum: it can say who it is, no more.
    Greets(Greeting),
    /// The quorum.
    Takes(Arc<Raft<MetadataMachine>>),
}

/// The room behind every door for nodes of the cluster.
pub struct PeerRoom {
    host: RwLock<Host>,
    proposals: Semaphore,
    /// Who keeps manifests on this node, if it is a broker.
    manifests: RwLock<Option<Arc<dyn ManifestKeeper>>>,
    /// How many connections each node has here, if it has any.
    visits: Mutex<HashMap<NodeId, usize>>,
    left: Notify,
}

/// A connection of a node, for as long as it is open.
pub(super) struct Visit {
    room: Arc<PeerRoom>,
    node: NodeId,
}

impl Visit {
    /// A node says by its client id who it is.
    pub(super) fn of(room: &Arc<PeerRoom>, client: Option<&str>) -> Option<Self> {
        let node = NodeId(client?.strip_prefix(CLIENT)?.parse().ok()?);
        *room.visits.lock().entry(node).or_default() += 1;
        let room = Arc::clone(room);
        Some(Self { room, node })
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Entry::Occupied(mut open) = self.room.visits.lock().entry(self.node) {
            *open.get_mut() -= 1;
            if *open.get() == 0 {
                open.remove();
                self.room.left.notify_one();
            }
        }
    }
}

impl PeerRoom {
    /// A room without anybody in it. Whoever asks is sent away: a node must not say who it is
    /// before it knows.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            host: RwLock::new(Host::Nobody),
            proposals: Semaphore::new(PROPOSALS),
            manifests: RwLock::new(None),
            visits: Mutex::default(),
            left: Notify::new(),
        })
    }

    /// Before there is a quorum this is what the node says of itself.
    pub fn greet(&self, greeting: Greeting) {
        *self.host.write() = Host::Greets(greeting);
    }

    /// From now on the quorum answers.
    pub fn open(&self, raft: &Arc<Raft<MetadataMachine>>) {
        *self.host.write() = Host::Takes(Arc::clone(raft));
    }

    /// From now on questions about manifests are answered.
    pub fn keep_manifests(&self, keeper: Arc<dyn ManifestKeeper>) {
        *self.manifests.write() = Some(keeper);
    }

    /// Nobody is there any more; lets go of the quorum.
    pub fn close(&self) {
        *self.manifests.write() = None;
        *self.host.write() = Host::Nobody;
    }

    /// Answers one request.
    pub async fn answer(&self, request: PeerRequest) -> PeerResponse {
        let answer = self.body(request.kind, request.body.into_bytes()).await;
        answer.map_or_else(PeerResponse::refusal, |body| PeerResponse {
            taken: true,
            body: body.into(),
        })
    }

    async fn body(&self, kind: i8, body: Bytes) -> Option<Bytes> {
        match kind {
            kind::LETTER => self.letter(body).await,
            kind::PROPOSAL => self.proposal(&body).await,
            kind::MANIFEST => {
                let keeper = self.manifests.read().clone();
                manifests::answer(&*keeper?, &body).await
            }
            kind::VOTERS => voters::answer(&*self.raft()?, &body).await,
            _ => None,
        }
    }

    /// Ends when the last connection of some node has closed.
    pub(super) async fn left(&self) {
        self.left.notified().await;
    }

    /// How many connections a node has here.
    pub(super) fn connections_of(&self, node: NodeId) -> usize {
        self.visits.lock().get(&node).copied().unwrap_or_default()
    }

    /// Whether nobody is there.
    pub(super) fn is_empty(&self) -> bool {
        matches!(&*self.host.read(), Host::Nobody)
    }

    fn raft(&self) -> Option<Arc<Raft<MetadataMachine>>> {
        match &*self.host.read() {
            Host::Takes(raft) => Some(Arc::clone(raft)),
            Host::Greets(_) | Host::Nobody => None,
        }
    }

    async fn letter(&self, body: Bytes) -> Option<Bytes> {
        if let Host::Greets(greeting) = &*self.host.read() {
            return greeting.answer(body).ok().flatten();
        }
        let answered = self.raft()?.receive(body).await;
        let told = |error: &_| tracing::debug!(%error, "a letter that is none");
        answered.inspect_err(told).ok()
    }

    async fn proposal(&self, body: &Bytes) -> Option<Bytes> {
        let raft = self.raft()?;
        let Ok(_seat) = self.proposals.try_acquire() else {
            return Carried::Busy.to_bytes();
        };
        let request = carried::read_request(body)?;
        let carried = match raft.propose(request).await {
            Ok(reply) => {
                let version = raft.watch().borrow().version();
                Carried::Done { version, reply }
            }
            Err(error) => Carried::of(&error),
        };
        carried.to_bytes()
    }
}
