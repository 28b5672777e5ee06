//! openraft's types as they are here, and the way to those of the store and back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;

use bytes::Bytes;
use freshet_codec::Message;
use freshet_types::{NodeId, TopicId};
use openraft::entry::RaftEntry;
use openraft::impls::leader_id_std;
use openraft::vote::RaftLeaderId;
use openraft::{EntryPayload, Membership};

use super::runtime::Runtime;
use crate::raft::peer::{Endpoint, Peer, PeerId};
use crate::store::{Content, Entry, EntryId, StoredVote};

/// The records of one round of decisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decided(pub(crate) Vec<Bytes>);

impl fmt::Display for Decided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records", self.0.len())
    }
}

/// Where a peer listens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Address(pub(crate) Vec<Endpoint>);

openraft::declare_raft_types!(
    pub(crate) Types:
        D = Decided,
        R = (),
        NodeId = PeerId,
        Node = Address,
        Term = u64,
        LeaderId = leader_id_std::LeaderId<u64, PeerId>,
        AsyncRuntime = Runtime,
);

pub(crate) type Vote = openraft::alias::VoteOf<Types>;
pub(crate) type LogId = openraft::alias::LogIdOf<Types>;
pub(crate) type RaftLogEntry = openraft::alias::EntryOf<Types>;
pub(crate) type Voters = Membership<PeerId, Address>;
pub(crate) type StoredVoters = openraft::alias::StoredMembershipOf<Types>;
pub(crate) type Meta = openraft::alias::SnapshotMetaOf<Types>;
type Lead = openraft::alias::LeaderIdOf<Types>;
type Committed = <Lead as RaftLeaderId>::Committed;

pub(crate) fn committed_lead(term: u64) -> Committed {
    Committed::new(term)
}

pub(crate) fn log_id(id: EntryId) -> LogId {
    LogId::new(Committed::new(id.term), id.index)
}

pub(crate) fn entry_id(id: &LogId) -> EntryId {
    EntryId {
        term: id.leader_id.term,
        index: id.index,
    }
}

pub(crate) fn vote(stored: StoredVote) -> Vote {
    let id = PeerId {
        node: stored.node,
        directory: stored.directory,
    };
    if stored.committed {
        Vote::new_committed(stored.term, id)
    } else {
        Vote::new(stored.term, id)
    }
}

pub(crate) fn stored_vote(vote: &Vote) -> StoredVote {
    let Lead { term, voted_for } = *vote.leader_id();
    StoredVote {
        term,
        node: voted_for.node,
        directory: voted_for.directory,
        committed: vote.is_committed(),
    }
}

pub(crate) fn stored_entry(entry: &RaftLogEntry) -> Entry {
    let content = match &entry.payload {
        EntryPayload::Blank => Content::Blank,
        EntryPayload::Normal(decided) => Content::Records(decided.0.clone()),
        EntryPayload::Membership(voters) => Content::Voters(encode_voters(voters)),
    };
    Entry {
        id: entry_id(&entry.log_id),
        content,
    }
}

pub(crate) fn raft_entry(entry: Entry) -> io::Result<RaftLogEntry> {
    let payload = match entry.content {
        Content::Blank => EntryPayload::Blank,
        Content::Records(records) => EntryPayload::Normal(Decided(records)),
        Content::Voters(bytes) => EntryPayload::Membership(decode_voters(&bytes)?),
    };
    Ok(RaftLogEntry::new(log_id(entry.id), payload))
}

pub(crate) fn peer(id: PeerId, address: &Address) -> Peer {
    Peer {
        id,
        endpoints: address.0.clone(),
    }
}

/// Who votes, as it is stored. Two sets while a change of voters is under way.
#[derive(Debug, PartialEq, Message)]
#[message(versions = "0", flexible = "0+")]
struct VotersRecord {
    sets: Vec<VoterSet>,
    peers: Vec<PeerPart>,
}

#[derive(Debug, PartialEq, Message)]
struct VoterSet {
    voters: Vec<PeerKey>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub(crate) struct PeerKey {
    node: i32,
    directory: [u8; 16],
}

#[derive(Debug, Clone, PartialEq, Message)]
pub(crate) struct PeerPart {
    id: PeerKey,
    endpoints: Vec<EndpointPart>,
}

#[derive(Debug, Clone, PartialEq, Message)]
struct EndpointPart {
    name: String,
    host: String,
    port: u16,
}

impl From<PeerId> for PeerKey {
    fn from(id: PeerId) -> Self {
        Self {
            node: id.node.0,
            directory: id.directory.0,
        }
    }
}

impl From<PeerKey> for PeerId {
    fn from(key: PeerKey) -> Self {
        Self {
            node: NodeId(key.node),
            directory: TopicId(key.directory),
        }
    }
}

impl From<&Peer> for PeerPart {
    fn from(peer: &Peer) -> Self {
        let endpoint = |e: &Endpoint| EndpointPart {
            name: e.name.clone(),
            host: e.host.clone(),
            port: e.port,
        };
        Self {
            id: peer.id.into(),
            endpoints: peer.endpoints.iter().map(endpoint).collect(),
        }
    }
}

impl From<PeerPart> for Peer {
    fn from(part: PeerPart) -> Self {
        let endpoint = |e: EndpointPart| Endpoint {
            name: e.name,
            host: e.host,
            port: e.port,
        };
        Self {
            id: part.id.into(),
            endpoints: part.endpoints.into_iter().map(endpoint).collect(),
        }
    }
}

/// The bytes of [`Content::Voters`].
pub(crate) fn encode_voters(voters: &Voters) -> Bytes {
    let sets = voters.get_joint_config().iter();
    let record = VotersRecord {
        sets: sets
            .map(|set| VoterSet {
                voters: set.iter().map(|&id| id.into()).collect(),
            })
            .collect(),
        peers: voters
            .nodes()
            .map(|(&id, address)| PeerPart::from(&peer(id, address)))
            .collect(),
    };
    record
        .to_stored(0)
        .expect("no host or listener has a name as long as the codec allows")
}

/// Reads [`Content::Voters`].
pub(crate) fn decode_voters(bytes: &Bytes) -> io::Result<Voters> {
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let record = VotersRecord::from_stored(bytes.clone()).map_err(|e| invalid(e.to_string()))?;
    let sets: Vec<BTreeSet<PeerId>> = record
        .sets
        .into_iter()
        .map(|set| set.voters.into_iter().map(PeerId::from).collect())
        .collect();
    let peers = record.peers.into_iter().map(Peer::from);
    let nodes: BTreeMap<_, _> = peers.map(|p| (p.id, Address(p.endpoints))).collect();
    Voters::new(sets, nodes).map_err(|error| invalid(error.to_string()))
}
