//! A quorum for those who do not care where it is decided.
//!
//! A proposal goes to this node's own [`Raft`] if it decides, and otherwise to the active
//! controller. Either way the answer comes only when the image of *this* node holds what was
//! decided, so that whoever asked finds it there.

use std::sync::Arc;
use std::time::Duration;

use freshet_metadata::{MetadataImage, MetadataMachine, Reply, Request};
use freshet_quorum::{Agreed, Leadership, Moment, Peer, Quorum, QuorumError, Raft};
use freshet_types::NodeId;
use freshet_wire::{PeerRequest, PeerResponse};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::carried::{self, Carried};
use super::kind;
use super::link::{TcpLink, Unsaid};

/// Between two looks, when nothing is heard of a new leader.
pub(super) const PAUSE: Duration = Duration::from_millis(25);
/// Proposals of this node that may be under way; more wait, and are sent away after a while.
const PROPOSALS: usize = 128;
/// Heartbeats have seats of their own: a broker must not be fenced because it creates topics.
const HEARTBEATS: usize = 8;

/// How long a relay waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    /// For somebody who decides. An election takes less than a second, and over long lines no more
    /// than seven heartbeats.
    patience: Duration,
    /// For a controller to decide. One that is deposed meanwhile is not waited for.
    answer: Duration,
    /// For this node's image, with an answer. What was decided is true without it.
    catch_up: Duration,
}

impl Times {
    /// Where the quorum has such heartbeats, which are as far apart as its lines are long.
    fn among(heartbeat: Duration) -> Self {
        let at_least = |ms, beats| Duration::from_millis(ms).max(heartbeat * beats);
        Self {
            patience: at_least(3_000, 8),
            answer: at_least(5_000, 8),
            // The next heartbeat says what is agreed.
            catch_up: at_least(2_000, 3),
        }
    }
}

/// See the module.
pub struct Relay {
    me: NodeId,
    raft: Arc<Raft<MetadataMachine>>,
    link: Arc<TcpLink>,
    times: Times,
    proposals: Semaphore,
    heartbeats: Semaphore,
}

/// What came of one try.
enum Tried {
    /// It is done; an image of that version holds it.
    Done(u64, Reply),
    /// It failed, and so would another try.
    Failed(QuorumError),
    /// Nothing was changed. Perhaps somebody else decides, perhaps nobody.
    Again(Option<NodeId>),
    /// Whether anything was changed is unknown.
    Unknown,
}

impl Relay {
    /// In front of this node's part of the quorum.
    pub fn new(me: NodeId, raft: Arc<Raft<MetadataMachine>>, link: Arc<TcpLink>) -> Self {
        Self {
            me,
            times: Times::among(raft.heartbeat()),
            raft,
            link,
            proposals: Semaphore::new(PROPOSALS),
            heartbeats: Semaphore::new(HEARTBEATS),
        }
    }

    /// This node's part of the quorum.
    pub(super) fn raft(&self) -> &Raft<MetadataMachine> {
        &self.raft
    }

    /// How long somebody is looked for who decides.
    pub(super) fn patience(&self) -> Duration {
        self.times.patience
    }

    /// Asks another node something, within a limit.
    pub(super) async fn ask(
        &self,
        to: NodeId,
        request: &PeerRequest,
        within: Duration,
    ) -> Result<PeerResponse, Unsaid> {
        let unknown = || Unsaid::Unreached(format!("nothing is known of {to}"));
        let peer = self.peer(to).ok_or_else(unknown)?;
        let deadline = Instant::now() + within;
        self.link.say(&peer, request, deadline).await
    }

    async fn relay(&self, request: Request) -> Result<Reply, QuorumError> {
        let until = Instant::now() + self.times.patience;
        let _seat = self.seat(&request, until).await?;
        let mut leadership = self.raft.leadership();
        let mut told = None;
        loop {
            let seen = *leadership.borrow_and_update();
            let who = told.take().or(seen.leader);
            let tried = match who {
                Some(node) if node == self.me => self.decide(&request).await,
                Some(node) => self.send(node, &request).await,
                None => Tried::Again(None),
            };
            match tried {
                Tried::Done(version, reply) => {
                    self.see(&request, version).await;
                    if let (Request::UnregisterBroker(gone), Reply::UnregisterBroker(Ok(()))) =
                        (&request, &reply)
                    {
                        self.forget(gone.node).await;
                    }
                    return Ok(reply);
                }
                Tried::Failed(error) => return Err(error),
                Tried::Unknown if !may_repeat(&request) => return Err(QuorumError::Deposed),
                Tried::Unknown => {}
                Tried::Again(leader) => told = leader.filter(|leader| Some(*leader) != who),
            }
            if Instant::now() >= until {
                let leader = leadership.borrow().leader;
                return Err(QuorumError::NotLeader { leader });
            }
            if told.is_none() {
                let _ = timeout(PAUSE, leadership.changed()).await;
            }
        }
    }

    async fn seat(
        &self,
        request: &Request,
        until: Instant,
    ) -> Result<SemaphorePermit<'_>, QuorumError> {
        let seats = match request {
            Request::Heartbeat(_) => &self.heartbeats,
            _ => &self.proposals,
        };
        let seat = timeout_at(until, seats.acquire()).await;
        seat.ok().and_then(Result::ok).ok_or(QuorumError::Busy)
    }

    async fn decide(&self, request: &Request) -> Tried {
        match timeout(self.times.answer, self.raft.propose(request.clone())).await {
            // The image was published before the reply.
            Ok(Ok(reply)) => Tried::Done(0, reply),
            Ok(Err(QuorumError::NotLeader { leader })) => Tried::Again(leader),
            // No majority answers, or not in time.
            Ok(Err(QuorumError::Deposed)) | Err(_) => Tried::Unknown,
            Ok(Err(error)) => Tried::Failed(error),
        }
    }

    async fn send(&self, to: NodeId, request: &Request) -> Tried {
        let Some(peer) = self.peer(to) else {
            return Tried::Again(None);
        };
        let Some(body) = carried::request_bytes(request) else {
            return Tried::Failed(QuorumError::TooLarge { bytes: 0 });
        };
        let proposal = PeerRequest {
            kind: kind::PROPOSAL,
            body: body.into(),
        };
        let mut leadership = self.raft.leadership();
        // This node's own view may be older than the word it follows.
        let known = *leadership.borrow_and_update();
        let elsewhere =
            |now: &Leadership| *now != known && now.leader.is_some_and(|leader| leader != to);
        let until = Instant::now() + self.times.answer;
        let said = tokio::select! {
            said = self.link.say(&peer, &proposal, until) => said,
            // It may be frozen or cut off, and would answer only when it is back.
            _ = leadership.wait_for(elsewhere) => return Tried::Unknown,
        };
        let carried = match said {
            Ok(response) if response.taken => Carried::from_bytes(&response.body.into_bytes()),
            // It is starting or stopping, and has handed the proposal to nobody.
            Ok(_) | Err(Unsaid::Unreached(_)) => return Tried::Again(None),
            Err(unsaid) => {
                tracing::debug!(%to, error = %unsaid, "a proposal without an answer");
                None
            }
        };
        match carried {
            Some(Carried::Done { version, reply }) => Tried::Done(version, reply),
            Some(Carried::Busy) => Tried::Failed(QuorumError::Busy),
            Some(Carried::NotLeader { leader }) => Tried::Again(leader),
            Some(Carried::TooLarge { bytes }) => Tried::Failed(QuorumError::TooLarge {
                bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
            }),
            Some(Carried::Unknown) | None => Tried::Unknown,
        }
    }

    fn peer(&self, node: NodeId) -> Option<Peer> {
        let peers = self.raft.peers();
        peers.into_iter().find(|peer| peer.id.node == node)
    }

    /// Waits until this node's image holds what was decided elsewhere. A heartbeat is not kept: a
    /// broker that is behind says so in it.
    async fn see(&self, request: &Request, version: u64) {
        if matches!(request, Request::Heartbeat(_)) {
            return;
        }
        let mut image = self.raft.watch();
        let there = image.wait_for(|image| image.version() >= version);
        if timeout(self.times.catch_up, there).await.is_err() {
            tracing::debug!(version, "this node has not seen yet what it asked for");
        }
    }
}

/// Whether asking twice does no more than asking once.
fn may_repeat(request: &Request) -> bool {
    matches!(
        request,
        Request::Heartbeat(_)
            | Request::RegisterBroker(_)
            | Request::CordonBroker(_)
            | Request::AllocateProducerIds(_)
            | Request::AssignDirectories(_)
    )
}

impl Quorum<MetadataMachine> for Relay {
    fn propose(&self, request: Request) -> Agreed<'_, Reply> {
        Box::pin(self.relay(request))
    }

    fn barrier(&self) -> Agreed<'_, ()> {
        Box::pin(async move {
            let until = Instant::now() + self.times.patience;
            let mut leadership = self.raft.leadership();
            loop {
                leadership.borrow_and_update();
                match self.raft.barrier().await {
                    Err(QuorumError::NotLeader { .. }) if Instant::now() < until => {
                        let _ = timeout(PAUSE, leadership.changed()).await;
                    }
                    ended => return ended,
                }
            }
        })
    }

    fn watch(&self) -> watch::Receiver<Arc<MetadataImage>> {
        self.raft.watch()
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        self.raft.leadership()
    }

    fn pulse(&self) -> Moment<'_> {
        self.raft.pulse()
    }
}

#[cfg(test)]
mod tests {
    use freshet_quorum::RaftOptions;

    use super::*;

    #[test]
    fn whoever_asks_waits_longer_than_lines_are_late() {
        for way in [100, 300, 1000].map(Duration::from_millis) {
            let quorum = RaftOptions::across(way);
            let times = Times::among(quorum.heartbeat);
            // Followers notice, at the latest, and one asks twice, by new connections.
            let election = quorum.election_max * 2 + way * 3;
            assert!(times.patience > election, "{way:?}");
            // To connect, to be asked, and the round before and this one to be agreed to.
            assert!(times.answer > way * 5, "{way:?}");
            assert!(times.catch_up > quorum.heartbeat + way, "{way:?}");
        }
        let near = Times::among(RaftOptions::default().heartbeat);
        assert_eq!(near, Times::among(Duration::ZERO));
    }
}
