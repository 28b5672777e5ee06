//! The voters, asked for and changed from any node: only the active controller knows how far others
//! are, and only it changes anything.

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
use super::relay::{PATIENCE, PAUSE, Relay};

/// How long a change may take: a newcomer first catches up.
const CHANGE: Duration = Duration::from_secs(15);
/// How long the active controller may take to say how things are.
const LOOK: Duration = Duration::from_secs(2);

/// What is asked of the active controller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Ask {
    Status,
    Add { peer: Peer, as_voter: bool },
    Remove { id: PeerId },
}

impl Ask {
    fn patience(&self) -> Duration {
        match self {
            Self::Status => LOOK,
            Self::Add { .. } | Self::Remove { .. } => CHANGE,
        }
    }
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Told {
    Status(QuorumStatus),
    Done,
    NotLeader {
        leader: Option<NodeId>,
    },
    InProgress,
    Behind(PeerId),
    Unknown(PeerId),
    OnlyVoter(PeerId),
    /// Whether anything was changed is unknown.
    Unsure,
}

type Outcome = Result<Option<QuorumStatus>, VotersError>;

impl From<Outcome> for Told {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Ok(Some(status)) => Self::Status(status),
            Ok(None) => Self::Done,
            Err(VotersError::NotLeader { leader }) => Self::NotLeader { leader },
            Err(VotersError::InProgress) => Self::InProgress,
            Err(VotersError::Behind(id)) => Self::Behind(id),
            Err(VotersError::Unknown(id)) => Self::Unknown(id),
            Err(VotersError::OnlyVoter(id)) => Self::OnlyVoter(id),
            Err(VotersError::Quorum(_)) => Self::Unsure,
        }
    }
}

impl From<Told> for Outcome {
    fn from(told: Told) -> Self {
        match told {
            Told::Status(status) => Ok(Some(status)),
            Told::Done => Ok(None),
            Told::NotLeader { leader } => Err(VotersError::NotLeader { leader }),
            Told::InProgress => Err(VotersError::InProgress),
            Told::Behind(id) => Err(VotersError::Behind(id)),
            Told::Unknown(id) => Err(VotersError::Unknown(id)),
            Told::OnlyVoter(id) => Err(VotersError::OnlyVoter(id)),
            Told::Unsure => Err(QuorumError::Deposed.into()),
        }
    }
}

/// Answers another node; `None` for what is no question.
pub(super) async fn answer(raft: &Raft<MetadataMachine>, body: &[u8]) -> Option<Bytes> {
    let ask = serde_json::from_slice(body).ok()?;
    let told = Told::from(here(raft, ask).await);
    serde_json::to_vec(&told).ok().map(Bytes::from)
}

async fn here(raft: &Raft<MetadataMachine>, ask: Ask) -> Outcome {
    match ask {
        Ask::Status => {
            let now = *raft.leadership().borrow();
            if now.is_mine {
                Ok(Some(raft.status()))
            } else {
                Err(VotersError::NotLeader { leader: now.leader })
            }
        }
        Ask::Add { peer, as_voter } => raft.add(peer, as_voter).await.map(|()| None),
        Ask::Remove { id } => raft.remove(id).await.map(|()| None),
    }
}

impl Relay {
    /// The quorum as the active controller sees it; as this node does while nobody leads.
    pub async fn status(&self) -> QuorumStatus {
        match self.ask_voters(Ask::Status).await {
            Ok(Some(status)) => status,
            _ => self.raft.status(),
        }
    }

    /// Takes somebody in, as a voter or to listen.
    pub async fn add(&self, peer: Peer, as_voter: bool) -> Result<(), VotersError> {
        let ask = Ask::Add { peer, as_voter };
        self.ask_voters(ask).await.map(|_| ())
    }

    /// Has somebody leave.
    pub async fn remove(&self, id: PeerId) -> Result<(), VotersError> {
        self.ask_voters(Ask::Remove { id }).await.map(|_| ())
    }

    async fn ask_voters(&self, ask: Ask) -> Outcome {
        let until = Instant::now() + PATIENCE;
        let mut leadership = self.raft.leadership();
        loop {
            let seen = *leadership.borrow_and_update();
            let outcome = match seen.leader {
                Some(node) if node == self.me => here(&self.raft, ask.clone()).await,
                Some(node) => self.ask_leader(node, &ask).await,
                None => Err(VotersError::NotLeader { leader: None }),
            };
            match outcome {
                Err(VotersError::NotLeader { .. }) if Instant::now() < until => {
                    let _ = timeout(PAUSE, leadership.changed()).await;
                }
                ended => return ended,
            }
        }
    }

    async fn ask_leader(&self, to: NodeId, ask: &Ask) -> Outcome {
        let elsewhere = || VotersError::NotLeader { leader: Some(to) };
        let unsure = || VotersError::from(QuorumError::Deposed);
        let endpoints = self.endpoints(to).ok_or_else(elsewhere)?;
        let body = serde_json::to_vec(ask).map_err(|_| unsure())?;
        let request = PeerRequest {
            kind: kind::VOTERS,
            body: Bytes::from(body).into(),
        };
        let deadline = Instant::now() + ask.patience();
        match self.link.say(&endpoints, &request, deadline).await {
            Ok(response) if response.taken => {
                let told = serde_json::from_slice(&response.body.into_bytes());
                told.map_or_else(|_| Err(unsure()), |told: Told| told.into())
            }
            Ok(_) | Err(Unsaid::Unreached(_)) => Err(elsewhere()),
            Err(Unsaid::Lost(_) | Unsaid::Late) => Err(unsure()),
        }
    }
}
