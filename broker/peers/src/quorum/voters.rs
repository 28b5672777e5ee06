//! What an administrator asks of the quorum itself. Only the active controller knows how far the
//! others are, and only it changes who votes; so it is asked.

use std::time::Duration;

use bytes::Bytes;
use freshet_metadata::MetadataMachine;
use freshet_quorum::{Peer, PeerId, Quorum, QuorumError, QuorumStatus, Raft, VotersError};
use freshet_types::NodeId;
use freshet_wire::PeerRequest;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};

use super::kind;
use super::link::Unsaid;
use super::relay::{PAUSE, Relay};

/// How long the state of the quorum is waited for; this node's own view is the next best.
const STATUS: Duration = Duration::from_secs(2);
/// A newcomer may take long to catch up.
const CHANGE: Duration = Duration::from_secs(20);

#[derive(Debug, Serialize, Deserialize)]
enum Ask {
    Status,
    Add { peer: Peer, as_voter: bool },
    Remove { id: PeerId },
}

#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Status(QuorumStatus),
    Changed,
    Refused(Refusal),
}

/// [`VotersError`] as it is carried.
#[derive(Debug, Serialize, Deserialize)]
enum Refusal {
    NotLeader(Option<NodeId>),
    InProgress,
    Taken(NodeId),
    Behind(PeerId),
    Unknown(PeerId),
    OnlyVoter(PeerId),
    TooFewStay {
        id: PeerId,
        heard: usize,
        left: usize,
    },
    Lost,
}

impl From<VotersError> for Refusal {
    fn from(error: VotersError) -> Self {
        match error {
            VotersError::NotLeader { leader } => Self::NotLeader(leader),
            VotersError::InProgress => Self::InProgress,
            VotersError::Taken(node) => Self::Taken(node),
            VotersError::Behind(id) => Self::Behind(id),
            VotersError::Unknown(id) => Self::Unknown(id),
            VotersError::OnlyVoter(id) => Self::OnlyVoter(id),
            VotersError::TooFewStay { id, heard, left } => Self::TooFewStay { id, heard, left },
            VotersError::Quorum(_) => Self::Lost,
        }
    }
}

impl From<Refusal> for VotersError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotLeader(leader) => Self::NotLeader { leader },
            Refusal::InProgress => Self::InProgress,
            Refusal::Taken(node) => Self::Taken(node),
            Refusal::Behind(id) => Self::Behind(id),
            Refusal::Unknown(id) => Self::Unknown(id),
            Refusal::OnlyVoter(id) => Self::OnlyVoter(id),
            Refusal::TooFewStay { id, heard, left } => Self::TooFewStay { id, heard, left },
            Refusal::Lost => Self::Quorum(QuorumError::Deposed),
        }
    }
}

/// Answers another node.
pub(super) async fn answer(raft: &Raft<MetadataMachine>, body: &Bytes) -> Option<Bytes> {
    let ask = serde_json::from_slice(body).ok()?;
    serde_json::to_vec(&decide(raft, &ask).await)
        .ok()
        .map(Bytes::from)
}

async fn decide(raft: &Raft<MetadataMachine>, ask: &Ask) -> Answer {
    let leadership = *raft.leadership().borrow();
    if !leadership.is_mine {
        return Answer::Refused(Refusal::NotLeader(leadership.leader));
    }
    let changed = match ask {
        Ask::Status => return Answer::Status(raft.status()),
        Ask::Add { peer, as_voter } => raft.add(peer.clone(), *as_voter).await,
        Ask::Remove { id } => raft.remove(*id).await,
    };
    match changed {
        Ok(()) => Answer::Changed,
        Err(error) => Answer::Refused(error.into()),
    }
}

impl Relay {
    /// The quorum as the active controller sees it; as this node does while there is none.
    pub async fn status(&self) -> QuorumStatus {
        match self.ask_leader(&Ask::Status, STATUS).await {
            Ok(Answer::Status(status)) => status,
            _ => self.raft().status(),
        }
    }

    /// Has somebody taken in, as a voter or to listen.
    pub async fn add(&self, peer: Peer, as_voter: bool) -> Result<(), VotersError> {
        self.change(Ask::Add { peer, as_voter }).await
    }

    /// Has somebody leave.
    pub async fn remove(&self, id: PeerId) -> Result<(), VotersError> {
        self.change(Ask::Remove { id }).await
    }

    /// A broker that is gone for good listens no more. Should it come back, it asks to be taken in.
    pub(super) async fn forget(&self, node: NodeId) {
        let observers = self.status().await.observers.into_iter();
        let ids = observers.map(|replica| replica.peer.id);
        for id in ids.filter(|id| id.node == node) {
            if let Err(error) = self.remove(id).await {
                tracing::warn!(%id, %error, "the quorum still tells a broker that is gone");
            }
        }
    }

    /// Tries again while nobody decides, as after a leader that leaves itself has handed over.
    async fn change(&self, ask: Ask) -> Result<(), VotersError> {
        let until = Instant::now() + self.patience();
        let mut leadership = self.raft().leadership();
        loop {
            leadership.borrow_and_update();
            let changed = match self.ask_leader(&ask, CHANGE).await {
                Ok(Answer::Refused(refusal)) => Err(refusal.into()),
                Ok(Answer::Changed | Answer::Status(_)) => Ok(()),
                Err(error) => Err(error),
            };
            match changed {
                Err(VotersError::NotLeader { .. }) if Instant::now() < until => {
                    let _ = timeout(PAUSE, leadership.changed()).await;
                }
                ended => return ended,
            }
        }
    }

    async fn ask_leader(&self, ask: &Ask, within: Duration) -> Result<Answer, VotersError> {
        let leadership = *self.raft().leadership().borrow();
        if leadership.is_mine {
            return Ok(decide(self.raft(), ask).await);
        }
        let leader = leadership.leader;
        let nobody = || VotersError::NotLeader { leader };
        // It may have done what it was asked, and not have lived to say so.
        let unknown = || VotersError::Quorum(QuorumError::Deposed);
        let to = leader.ok_or_else(nobody)?;
        let body = serde_json::to_vec(ask).map_err(|_| nobody())?;
        let request = PeerRequest {
            kind: kind::VOTERS,
            body: Bytes::from(body).into(),
        };
        let response = match self.ask(to, &request, within).await {
            Ok(response) if response.taken => response,
            Ok(_) | Err(Unsaid::Unreached(_)) => return Err(nobody()),
            Err(_) => return Err(unknown()),
        };
        let answer = serde_json::from_slice(&response.body.into_bytes());
        answer.map_err(|_| unknown())
    }
}

#[cfg(test)]
mod tests {
    use freshet_types::TopicId;

    use super::*;

    #[test]
    fn a_refusal_is_carried_as_itself() {
        let (node, directory) = (NodeId(2), TopicId([7; 16]));
        let id = PeerId { node, directory };
        let refusals = [
            VotersError::NotLeader { leader: Some(node) },
            VotersError::InProgress,
            VotersError::Taken(node),
            VotersError::Behind(id),
            VotersError::Unknown(id),
            VotersError::OnlyVoter(id),
            VotersError::TooFewStay {
                id,
                heard: 1,
                left: 2,
            },
            VotersError::Quorum(QuorumError::Deposed),
        ];
        for refusal in refusals {
            let carried = serde_json::to_vec(&Refusal::from(refusal.clone())).expect("small");
            let read: Refusal = serde_json::from_slice(&carried).expect("just written");
            assert_eq!(VotersError::from(read), refusal);
        }
    }
}
