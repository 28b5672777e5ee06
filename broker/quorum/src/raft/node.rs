//! The handle: one node of the quorum.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freshet_env::{Clock, Disk};
use freshet_types::{ClusterId, ErrorKind};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{InitializeError, RaftError as CoreError};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::census::Greeting;
use super::doze::{LastHeard, doze};
use super::footing::gate::spawn;
use super::footing::types::{Address, LogId, Voters, encode_voters};
use super::leader::{Core, Leader, Proposal, confirmed, failed};
use super::options::RaftOptions;
use super::peer::{Peer, PeerId};
use super::post::inbox::Inbox;
use super::post::link::{Book, PeerLink, Post, Returned};
use super::post::message::{self, JoinBody, Kind, MessageError, ReadAnswer, Verdict};
use super::status::{QuorumStatus, status};
use super::storage;
use super::storage::log::Log;
use super::storage::state::Blank;
use super::voters::{self, VotersError};
use crate::guard::{Guard, holds};
use crate::store::{Content, Entry, EntryId, Opened, Store, StoreError};
use crate::{Agreeable, Agreed, Leadership, Moment, Quorum, QuorumError};

/// Why a node of the quorum could not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RaftError {
    /// The files.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The times contradict one another.
    #[error("the quorum's times cannot be: {0}")]
    Options(String),
    /// What is on the disk cannot be taken in.
    #[error("the quorum cannot start: {0}")]
    Core(String),
    /// It votes already, or has a log of others.
    #[error("this directory belongs to a quorum already")]
    Formed,
}

impl RaftError {
    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Options(_) => ErrorKind::Invalid,
            Self::Core(_) => ErrorKind::Corrupt,
            Self::Formed => ErrorKind::Conflict,
        }
    }
}

/// What a node needs of the world.
#[derive(Debug, Clone)]
pub struct RaftDoors {
    /// Where the files are.
    pub disk: Arc<dyn Disk>,
    /// For the machine's timers and for what is shown.
    pub clock: Arc<dyn Clock>,
    /// The way to the others.
    pub link: Arc<dyn PeerLink>,
}

/// One node of a quorum: a voter, an observer, or nobody yet. Clones are the same node.
///
/// It must be started, and dropped, on a tokio runtime with time.
pub struct Raft<M: Agreeable> {
    core: Core<M>,
    log: Log,
    me: Peer,
    post: Post,
    doors: RaftDoors,
    options: RaftOptions,
    inbox: Inbox<M>,
    proposals: mpsc::Sender<Proposal<M>>,
    image: watch::Receiver<Arc<M::Image>>,
    leadership: watch::Receiver<Leadership>,
    end: watch::Receiver<Option<QuorumError>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl<M: Agreeable> std::fmt::Debug for Raft<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Raft")
            .field("me", &self.me.id)
            .field("leadership", &*self.leadership.borrow())
            .finish_non_exhaustive()
    }
}

/// Who starts, and where.
#[derive(Debug, Clone)]
struct Start {
    me: Peer,
    cluster: ClusterId,
    options: RaftOptions,
}

impl<M: Agreeable> Raft<M> {
    /// Opens the log in `dir` and takes part. A directory without a log waits until it is taken in
    /// (see [`Raft::join`]) or begins a quorum ([`Raft::form`]); the log of a [`crate::Solo`] goes
    /// on as a quorum of one voter. Blocks on the device while it reads.
    pub async fn start(
        doors: RaftDoors,
        dir: &Path,
        identity: (ClusterId, Peer),
        blank: impl Fn() -> M + Send + Sync + 'static,
        options: RaftOptions,
    ) -> Result<Self, RaftError> {
        let (cluster, me) = identity;
        let mut opened = Store::open(Arc::clone(&doors.disk), dir)?;
        if !opened.is_replicated() && opened.store.last().is_some() {
            adopt(&mut opened, &me, doors.clock.as_ref())?;
        }
        let start = Start {
            me,
            cluster,
            options,
        };
        Self::take_part(doors, opened, start, Arc::new(blank)).await
    }

    async fn take_part(
        doors: RaftDoors,
        opened: Opened,
        start: Start,
        blank: Blank<M>,
    ) -> Result<Self, RaftError> {
        let Start {
            me,
            cluster,
            options,
        } = start;
        let clock = Arc::clone(&doors.clock);
        let storage::Storage {
            log,
            state,
            image,
            growth,
        } = storage::start(opened, blank, &clock, &options)
            .map_err(|error| RaftError::Core(error.to_string()))?;
        let config = options
            .config(&cluster.0)
            .map_err(|error| RaftError::Options(error.to_string()))?;
        let post = post(&doors, cluster, me.id, &options);
        let core = Core::new(me.id, Arc::new(config), post.clone(), log.clone(), state)
            .await
            .map_err(|fatal| RaftError::Core(fatal.to_string()))?;
        let (proposals, queue) = mpsc::channel(options.queue_len);
        let (shown, leadership) = watch::channel(Leadership::NOBODY);
        let (tell_end, end) = watch::channel(None);
        let heard = LastHeard::default();
        let leader = Leader {
            core: core.clone(),
            me: me.id.node,
            proposals: queue,
            leadership: shown,
            end: tell_end,
            clock,
            patience: options.patience,
            pause: options.heartbeat,
            heard: heard.clone(),
            silence: options.election_max + options.election_min,
        };
        let tasks = vec![
            spawn(leader.run()),
            spawn(sum_up(core.clone(), growth)),
            spawn(doze(core.clone(), heard.clone(), options)),
        ];
        let inbox = Inbox {
            core: core.clone(),
            post: post.clone(),
            snapshot_cap_bytes: options.snapshot_cap_bytes,
            heard,
            incoming: Arc::default(),
        };
        let tasks = Mutex::new(tasks);
        Ok(Self {
            core,
            log,
            me,
            post,
            doors,
            options,
            inbox,
            proposals,
            image,
            leadership,
            end,
            tasks,
        })
    }

    /// Between two signs of life of a leader. All times of the quorum grow with it.
    pub fn heartbeat(&self) -> Duration {
        self.options.heartbeat
    }

    /// Whether this node knows of any quorum: it was formed, or taken in.
    pub fn is_formed(&self) -> bool {
        self.inbox.is_formed()
    }

    /// Whether the quorum, as far as this node knows, looks for it where it is.
    pub(super) fn is_found(&self) -> bool {
        let peers = self.peers();
        let mine = peers.iter().find(|peer| peer.id == self.me.id);
        mine.is_some_and(|mine| mine.endpoints == self.me.endpoints)
    }

    /// Whether this node votes, as far as it knows.
    pub(super) fn is_voter(&self) -> bool {
        self.voters().any(|id| id == self.me.id)
    }

    /// Whether an earlier disk of this node still votes, as far as this one knows.
    pub(super) fn is_replacing(&self) -> bool {
        let mine = self.me.id;
        self.voters().any(|id| id.node == mine.node && id != mine)
    }

    fn voters(&self) -> impl Iterator<Item = PeerId> {
        let metrics = self.core.server_metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        membership.voter_ids().collect::<Vec<_>>().into_iter()
    }

    /// What this node says to others of itself; see [`super::Census`].
    pub fn greeting(&self) -> Greeting {
        self.inbox.greeting()
    }

    /// The bytes that ask another one for its greeting: a request that touches neither its log nor
    /// its disk, for whoever wants to know how far it is.
    pub fn ask_who(&self, peer: &Peer) -> Result<Bytes, MessageError> {
        self.greeting().ask_who(peer.id)
    }

    pub(super) fn link(&self) -> &dyn PeerLink {
        self.doors.link.as_ref()
    }

    /// Begins a quorum with these voters, this one among them. Once in the life of a cluster, on one
    /// of them, when all of their directories are known to be empty: two quorums that know nothing
    /// of each other would both decide.
    pub async fn form(&self, voters: &[Peer]) -> Result<(), RaftError> {
        let voters: BTreeMap<PeerId, Address> = voters
            .iter()
            .map(|peer| (peer.id, Address(peer.endpoints.clone())))
            .collect();
        match self.core.initialize(voters).await {
            Ok(()) => Ok(()),
            Err(CoreError::APIError(InitializeError::NotAllowed(_))) => Err(RaftError::Formed),
            Err(error) => Err(RaftError::Core(error.to_string())),
        }
    }

    /// Answers what another controller asked. The error says that the bytes are no request.
    pub async fn receive(&self, request: Bytes) -> Result<Bytes, MessageError> {
        self.inbox.receive(request).await
    }

    /// Takes a peer in: as an observer at once, as a voter when it has caught up. A voter of the
    /// same node with another disk is replaced. Only on the leader.
    pub async fn add(&self, peer: Peer, as_voter: bool) -> Result<(), VotersError> {
        voters::join(&self.core, &self.post.book, peer, as_voter).await
    }

    /// Has a peer leave, voter or observer. A voter goes on as an observer. Only on the leader. One
    /// that is to leave itself hands over and answers [`VotersError::NotLeader`]: only another can
    /// have it go on as an observer.
    pub async fn remove(&self, id: PeerId) -> Result<(), VotersError> {
        if id == self.me.id && self.core.is_leader() {
            voters::may_leave(&self.core, id).await?;
            self.hand_over().await;
            let leader = self.leadership.borrow().leader;
            return Err(VotersError::NotLeader { leader });
        }
        voters::leave(&self.core, id).await
    }

    /// Asks `leader` to take this node in.
    pub async fn join(&self, leader: &Peer, as_voter: bool) -> Result<(), VotersError> {
        let peer = (&self.me).into();
        let unreachable = || VotersError::NotLeader { leader: None };
        let body = message::to_bytes(&JoinBody { peer, as_voter }).map_err(|_| unreachable())?;
        let within = self.options.chunk_timeout;
        match self.post.ask(leader, Kind::Join, body, within).await {
            Ok(_) => Ok(()),
            Err(Returned::Verdict(Verdict::Taken, _)) => Err(VotersError::Taken(self.me.id.node)),
            Err(Returned::Verdict(Verdict::Refused, _)) => Err(VotersError::InProgress),
            Err(_) => Err(unreachable()),
        }
    }

    /// Who takes part, voters first, with addresses.
    pub fn peers(&self) -> Vec<Peer> {
        let metrics = self.core.server_metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let address = |id| membership.get_node(&id).cloned().unwrap_or_default();
        let ids = membership.voter_ids().chain(membership.learner_ids());
        ids.map(|id| super::footing::types::peer(id, &address(id)))
            .collect()
    }

    /// How the quorum is doing. Only the leader knows how far the others are.
    pub fn status(&self) -> QuorumStatus {
        let high_watermark = self.high_watermark();
        let clock = self.doors.clock.as_ref();
        status(&self.core.metrics(), &self.log, high_watermark, clock)
    }

    fn high_watermark(&self) -> i64 {
        let metrics = self.core.metrics();
        let committed = metrics.borrow_watched().local_committed;
        let at = committed.and_then(|id| self.log.offset_after(id.index));
        at.unwrap_or_default()
    }

    /// Hands the lead to the voter that is furthest, if this node has it. Gives whether it is gone.
    pub async fn hand_over(&self) -> bool {
        let Some(next) = voters::furthest(&self.core) else {
            return !self.core.is_leader();
        };
        if self.core.trigger().transfer_leader(next).await.is_err() {
            return true;
        }
        let mut leadership = self.leadership.clone();
        let elsewhere =
            |now: &Leadership| now.leader.is_some_and(|leader| leader != self.me.id.node);
        let handed = leadership.wait_for(elsewhere);
        tokio::time::timeout(self.options.hand_over_timeout, handed)
            .await
            .is_ok()
    }

    /// Hands over if it can, then takes part no more. What was proposed before is answered.
    pub async fn stop(&self) {
        if self.core.is_leader() {
            self.hand_over().await;
        }
        if self.core.shutdown().await.is_err() {
            tracing::error!("the quorum panicked");
        }
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            task.abort();
        }
    }

    /// Waits until this node takes part no more, and gives why: its disk failed, or it was stopped.
    pub async fn ended(&self) -> QuorumError {
        // Not the core's own metrics: they change with every tick.
        let mut end = self.end.clone();
        let ended = end.wait_for(Option::is_some).await;
        let why = ended.ok().and_then(|why| why.clone());
        why.unwrap_or(QuorumError::Stopped)
    }

    /// The entry that must be applied here before a read sees all that was agreed before now.
    async fn read_from(&self) -> Result<LogId, QuorumError> {
        let refused = match self.core.get_read_linearizer(confirmed()).await {
            Ok(linearizer) => return Ok(*linearizer.read_log_id().log_id()),
            Err(CoreError::Fatal(fatal)) => return Err(failed(&fatal)),
            Err(refused) => refused,
        };
        let leader = refused
            .forward_to_leader()
            .and_then(|to| to.leader_id)
            .filter(|leader| *leader != self.me.id);
        let not_leader = || QuorumError::NotLeader {
            leader: leader.map(|id| id.node),
        };
        let to = leader
            .and_then(|id| self.peers().into_iter().find(|peer| peer.id == id))
            .ok_or_else(not_leader)?;
        let within = self.options.election_max;
        let answer = self.post.ask(&to, Kind::Read, Bytes::new(), within).await;
        let read: ReadAnswer = answer
            .ok()
            .and_then(|body| message::from_bytes(body).ok())
            .ok_or_else(not_leader)?;
        read.last.id().map_err(|_| not_leader())
    }

    async fn caught_up(&self, to: LogId) -> Result<(), QuorumError> {
        let mut metrics = self.core.metrics();
        loop {
            {
                let now = metrics.borrow_and_update();
                if now.last_applied.is_some_and(|applied| applied >= to) {
                    return Ok(());
                }
                if let Err(fatal) = &now.running_state {
                    return Err(failed(fatal));
                }
            }
            metrics.changed().await.map_err(|_| QuorumError::Stopped)?;
        }
    }
}

impl<M: Agreeable> Drop for Raft<M> {
    fn drop(&mut self) {
        for task in self.tasks.get_mut() {
            task.abort();
        }
    }
}

impl<M: Agreeable> Quorum<M> for Raft<M> {
    fn propose(&self, request: M::Request) -> Agreed<'_, M::Reply> {
        let (reply, answer) = oneshot::channel();
        let sent = self
            .proposals
            .try_send(Proposal { request, reply })
            .map_err(|refused| match refused {
                mpsc::error::TrySendError::Full(_) => QuorumError::Busy,
                mpsc::error::TrySendError::Closed(_) => QuorumError::Stopped,
            });
        Box::pin(async move {
            sent?;
            answer.await.unwrap_or(Err(QuorumError::Stopped))
        })
    }

    fn barrier(&self) -> Agreed<'_, ()> {
        Box::pin(async move {
            let to = self.read_from().await?;
            if !holds(Guard::BarrierWaits) {
                return Ok(());
            }
            self.caught_up(to).await
        })
    }

    fn watch(&self) -> watch::Receiver<Arc<M::Image>> {
        self.image.clone()
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    fn pulse(&self) -> Moment<'_> {
        Box::pin(self.inbox.heard.pulse())
    }
}

fn post(doors: &RaftDoors, cluster: ClusterId, me: PeerId, options: &RaftOptions) -> Post {
    Post {
        link: Arc::clone(&doors.link),
        cluster,
        me,
        lease: options.election_max,
        chunk_bytes: options.chunk_bytes.max(1),
        chunk_timeout: options.chunk_timeout,
        book: Book::default(),
    }
}

/// Asks for a snapshot whenever the log has grown enough.
async fn sum_up<M: Agreeable>(core: Core<M>, mut growth: mpsc::Receiver<()>) {
    while growth.recv().await.is_some() {
        if core.trigger().snapshot().await.is_err() {
            return;
        }
    }
}

/// Makes the log of one voter the log of a quorum that has this one voter: it says who votes. Alone,
/// it may say so without asking.
fn adopt(opened: &mut Opened, me: &Peer, clock: &dyn Clock) -> Result<(), RaftError> {
    let last = opened.store.last().unwrap_or_default();
    let voters = Voters::new(
        vec![[me.id].into()],
        BTreeMap::from([(me.id, Address(me.endpoints.clone()))]),
    )
    .map_err(|error| RaftError::Core(error.to_string()))?;
    let id = EntryId {
        term: last.term,
        index: last.index + 1,
    };
    let entry = Entry {
        id,
        content: Content::Voters(encode_voters(&voters)),
    };
    let offset = opened.store.next_offset();
    opened
        .store
        .append(std::slice::from_ref(&entry), clock.wall())?;
    opened.entries.push((offset, entry));
    tracing::info!(peer = %me.id, "the log of a single controller becomes that of a quorum");
    Ok(())
}
