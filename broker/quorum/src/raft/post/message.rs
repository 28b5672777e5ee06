//! What controllers say to one another, as bytes.
//!
//! A request is an envelope: the cluster, who speaks, who is meant, and a body by kind. One that is
//! meant for another cluster or another disk is refused unread. The codec checks every length
//! against the bytes that are there.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use freshet_codec::{DecodeError, EncodeError, Message, Reader, Writer};
use freshet_types::{ClusterId, ErrorKind};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderError, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};

use crate::raft::footing::types::{
    LogId, PeerKey, PeerPart, RaftLogEntry, Types, Vote, entry_id, log_id, raft_entry,
    stored_entry, stored_vote, vote,
};
use crate::raft::peer::PeerId;
use crate::store::{Content, Entry, EntryId, StoredVote};

/// The only version so far.
const VERSION: i16 = 0;
/// Nobody trusts an answer for longer, whatever the bytes say.
const LONGEST_LEASE: Duration = Duration::from_secs(10);

/// Bytes that are not a message of ours, or say what cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a message between controllers: {what}")]
pub struct MessageError {
    /// What is wrong.
    pub what: String,
}

impl MessageError {
    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }
}

impl From<DecodeError> for MessageError {
    fn from(error: DecodeError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<EncodeError> for MessageError {
    fn from(error: EncodeError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<io::Error> for MessageError {
    fn from(error: io::Error) -> Self {
        Self::new(error.to_string())
    }
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Append = 1,
    Vote = 2,
    PreVote = 3,
    Snapshot = 4,
    Transfer = 5,
    Read = 6,
    Join = 7,
    Hello = 8,
}

impl Kind {
    fn of(code: i8) -> Result<Self, MessageError> {
        let all = [
            Self::Append,
            Self::Vote,
            Self::PreVote,
            Self::Snapshot,
            Self::Transfer,
            Self::Read,
            Self::Join,
            Self::Hello,
        ];
        let known = all.into_iter().find(|&kind| kind as i8 == code);
        known.ok_or_else(|| MessageError::new(format!("kind {code} is not known")))
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Done = 0,
    ForeignCluster = 1,
    AnotherPeer = 2,
    Stopped = 3,
    NotLeader = 4,
    Refused = 5,
    Taken = 6,
}

impl Verdict {
    fn of(code: i8) -> Self {
        let all = [
            Self::Done,
            Self::ForeignCluster,
            Self::AnotherPeer,
            Self::Stopped,
            Self::NotLeader,
            Self::Taken,
        ];
        let known = all.into_iter().find(|&verdict| verdict as i8 == code);
        known.unwrap_or(Self::Refused)
    }
}

/// A request with its address.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Letter {
    pub(crate) cluster: ClusterId,
    pub(crate) from: PeerId,
    pub(crate) to: PeerId,
    pub(crate) kind: Kind,
    pub(crate) body: Bytes,
    /// How long its sender, if it leads, may trust that nobody else is elected by whoever takes this
    /// letter; zero where that is not said.
    pub(crate) lease: Duration,
}

#[derive(Debug, PartialEq, Message)]
#[message(versions = "0", flexible = "0+")]
struct Envelope {
    cluster: String,
    from: PeerKey,
    to: PeerKey,
    kind: i8,
    body: Bytes,
    /// Who does not know it reads past it.
    #[field(tag = 0)]
    lease_ms: i32,
}

#[derive(Debug, PartialEq, Message)]
#[message(versions = "0", flexible = "0+")]
struct AnswerPart {
    verdict: i8,
    body: Bytes,
}

impl Letter {
    pub(crate) fn to_bytes(&self) -> Result<Bytes, MessageError> {
        to_bytes(&Envelope {
            cluster: self.cluster.to_string(),
            from: self.from.into(),
            to: self.to.into(),
            kind: self.kind as i8,
            body: self.body.clone(),
            lease_ms: i32::try_from(self.lease.as_millis()).unwrap_or(i32::MAX),
        })
    }

    pub(crate) fn from_bytes(bytes: Bytes) -> Result<Self, MessageError> {
        let envelope: Envelope = from_bytes(bytes)?;
        Ok(Self {
            cluster: ClusterId(envelope.cluster.into()),
            from: envelope.from.into(),
            to: envelope.to.into(),
            kind: Kind::of(envelope.kind)?,
            body: envelope.body,
            lease: Duration::from_millis(u64::try_from(envelope.lease_ms).unwrap_or_default())
                .min(LONGEST_LEASE),
        })
    }
}

pub(crate) fn answer(verdict: Verdict, body: Bytes) -> Result<Bytes, MessageError> {
    let verdict = verdict as i8;
    to_bytes(&AnswerPart { verdict, body })
}

pub(crate) fn read_answer(bytes: Bytes) -> Result<(Verdict, Bytes), MessageError> {
    let part: AnswerPart = from_bytes(bytes)?;
    Ok((Verdict::of(part.verdict), part.body))
}

pub(crate) fn to_bytes<T: Message>(message: &T) -> Result<Bytes, MessageError> {
    let mut w = Writer::new();
    w.i16(VERSION);
    message.encode(&mut w, VERSION)?;
    Ok(w.finish().into_bytes())
}

pub(crate) fn from_bytes<T: Message>(bytes: Bytes) -> Result<T, MessageError> {
    let mut r = Reader::new(bytes);
    let version = r.i16()?;
    let message = T::decode(&mut r, version)?;
    r.expect_end()?;
    Ok(message)
}

#[derive(Debug, Clone, PartialEq, Message)]
pub(crate) struct VotePart {
    term: i64,
    peer: PeerKey,
    committed: bool,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub(crate) struct IdPart {
    term: i64,
    index: i64,
}

impl From<&Vote> for VotePart {
    fn from(vote: &Vote) -> Self {
        let stored = stored_vote(vote);
        let peer = PeerId {
            node: stored.node,
            directory: stored.directory,
        };
        Self {
            term: stored.term.cast_signed(),
            peer: peer.into(),
            committed: stored.committed,
        }
    }
}

impl VotePart {
    pub(crate) fn vote(self) -> Vote {
        let PeerId { node, directory } = self.peer.into();
        vote(StoredVote {
            term: self.term.cast_unsigned(),
            node,
            directory,
            committed: self.committed,
        })
    }
}

impl From<LogId> for IdPart {
    fn from(id: LogId) -> Self {
        Self {
            term: id.leader_id.term.cast_signed(),
            index: id.index.cast_signed(),
        }
    }
}

impl IdPart {
    pub(crate) fn id(self) -> Result<LogId, MessageError> {
        // The index after must still be a number.
        let index = u64::try_from(self.index)
            .ok()
            .filter(|&index| index < i64::MAX.cast_unsigned())
            .ok_or_else(|| MessageError::new("an index that is no index"))?;
        Ok(log_id(EntryId {
            term: self.term.cast_unsigned(),
            index,
        }))
    }
}

fn id(part: Option<IdPart>) -> Result<Option<LogId>, MessageError> {
    part.map(IdPart::id).transpose()
}

#[derive(Debug, PartialEq, Message)]
#[message(versions = "0", flexible = "0+")]
struct VoteBody {
    vote: VotePart,
    last: Option<IdPart>,
    transfer: bool,
}

pub(crate) fn vote_body(request: &VoteRequest<Types>) -> Result<Bytes, MessageError> {
    to_bytes(&VoteBody {
        vote: (&request.vote).into(),
        last: request.last_log_id.map(IdPart::from),
        transfer: request.leadership_transfer,
    })
}

pub(crate) fn read_vote_body(bytes: Bytes) -> Result<VoteRequest<Types>, MessageError> {
    let body: VoteBody = from_bytes(bytes)?;
    let mut request = VoteRequest::new(body.vote.vote(), id(body.last)?);
    request.leadership_transfer = body.transfer;
    Ok(request)
}

#[derive(Debug, PartialEq, Message)]
#[message(versions = "0", flexible = "0+")]
struct VoteAnswer {
    vote: VotePart,
    granted: bool,
    last: Option<IdPart>,
}

pub(crate) fn vote_answer(response: &VoteResponse<Types>) -> Result<Bytes, MessageError> {
    to_bytes(&VoteAnswer {
        vote: (&response.vote).into(),
        granted: response.vote_granted,
        last: response.last_log_id.map(IdPart::from),
    })
}

pub(crate) fn read_vote_answer(bytes: Bytes) -> Result<VoteResponse<Types>, MessageError> {
    let answer: VoteAnswer = from_bytes(bytes)?;
    let last = id(answer.last)?;
    Ok(VoteResponse::new(answer.vote.vote(), last, answer.granted))
}

#[derive(Debug, PartialEq, Message)]
#[message(versions = "0", flexible = "0+")]
struct AppendBody {
    vote: VotePart,
    before: Option<IdPart>,
    committed: Option<IdPart>,
    entries: Vec<EntryPart>,
}

#[derive(Debug, PartialEq, Message)]
struct EntryPart {
    id: IdPart,
    /// 0 records, 1 blank, 2 voters.
    kind: i8,
    values: Vec<Bytes>,
}

pub(crate) fn append_body(request: &AppendEntriesRequest<Types>) -> Result<Bytes, MessageError> {
    let part = |entry: &RaftLogEntry| {
        let (kind, values) = match stored_entry(entry).content {
            Content::Records(records) => (0, records),
            Content::Blank => (1, Vec::new()),
            Content::Voters(voters) => (2, vec![voters]),
        };
        EntryPart {
            id: entry.log_id.into(),
            kind,
            values,
        }
    };
    to_bytes(&AppendBody {
        vote: (&request.vote).into(),
        before: request.prev_log_id.map(IdPart::from),
        committed: request.leader_commit.map(IdPart::from),
        entries: request.entries.iter().map(part).collect(),
    })
}

pub(crate) fn read_append_body(bytes: Bytes) -> Result<AppendEntriesRequest<Types>, MessageError> {
    let body: AppendBody = from_bytes(bytes)?;
    let prev_log_id = id(body.before)?;
    let mut entries = Vec::with_capacity(body.entries.len());
    let mut before = prev_log_id;
    for part in body.entries {
        let id = part.id.id()?;
        let follows = before.map_or(0, |before| before.index + 1) == id.index
            && before.is_none_or(|before| before.leader_id <= id.leader_id);
        if !follows {
            return Err(MessageError::new("entries that do not follow one another"));
        }
        before = Some(id);
        let mut values = part.values.into_iter();
        let content = match part.kind {
            0 => Content::Records(values.collect()),
            1 => Content::Blank,
            2 => Content::Voters(values.next().unwrap_or_default()),
            other => {
                return Err(MessageError::new(format!(
                    "entry kind {other} is not known"
                )));
            }
        };
        entries.push(raft_entry(Entry {
            id: entry_id(&id),
            content,
        })?);
    }
    let leader_commit = id(body.committed)?;
    Ok(AppendEntriesRequest {
        vote: body.vote.vote(),
        prev_log_id,
        entries,
        leader_commit,
    })
}

#[derive(Debug, PartialEq, Message)]
#[message(versions = "0", flexible = "0+")]
struct AppendAnswer {
    /// 0 all, 1 up to `last`, 2 conflict, 3 higher vote.
    outcome: i8,
    last: Option<IdPart>,
    vote: Option<VotePart>,
}

pub(crate) fn append_answer(
    response: &AppendEntriesResponse<Types>,
) -> Result<Bytes, MessageError> {
    let (outcome, last, vote) = match response {
        AppendEntriesResponse::Success => (0, None, None),
        AppendEntriesResponse::PartialSuccess(last) => (1, *last, None),
        AppendEntriesResponse::Conflict => (2, None, None),
        AppendEntriesResponse::HigherVote(vote) => (3, None, Some(vote.into())),
    };
    to_bytes(&AppendAnswer {
        outcome,
        last: last.map(IdPart::from),
        vote,
    })
}

pub(crate) fn read_append_answer(
    bytes: Bytes,
) -> Result<AppendEntriesResponse<Types>, MessageError> {
    let answer: AppendAnswer = from_bytes(bytes)?;
    Ok(match (answer.outcome, answer.vote) {
        (0, _) => AppendEntriesResponse::Success,
        (1, _) => AppendEntriesResponse::PartialSuccess(id(answer.last)?),
        (2, _) => AppendEntriesResponse::Conflict,
        (3, Some(vote)) => AppendEntriesResponse::HigherVote(vote.vote()),
        (other, _) => return Err(MessageError::new(format!("outcome {other} is not known"))),
    })
}

#[derive(Debug, PartialEq, Message)]
#[message(versions = "0", flexible = "0+")]
pub(crate) struct SnapshotBody {
    pub(crate) vote: VotePart,
    /// The last entry in the snapshot: names it.
    pub(crate) last: IdPart,
    pub(crate) total_bytes: i64,
    pub(crate) position: i64,
    pub(crate) chunk: Bytes,
}

#[derive(Debug, PartialEq, Message)]
#[message(versions = "0", flexible = "0+")]
pub(crate) struct SnapshotAnswer {
    pub(crate) vote: VotePart,
    /// Where the receiver wants to go on; the total when it has installed all of it.
    pub(crate) next: i64,
}

#[derive(Debug, PartialEq, Message)]
#[message(versions = "0", flexible = "0+")]
struct TransferBody {
    vote: VotePart,
    to: PeerKey,
    last: Option<IdPart>,
}

pub(crate) fn transfer_body(r: &TransferLeaderRequest<Types>) -> Result<Bytes, MessageError> {
    to_bytes(&TransferBody {
        vote: r.from_leader().into(),
        to: (*r.to_node_id()).into(),
        last: r.last_log_id().copied().map(IdPart::from),
    })
}

pub(crate) fn read_transfer_body(
    bytes: Bytes,
) -> Result<TransferLeaderRequest<Types>, MessageError> {
    let body: TransferBody = from_bytes(bytes)?;
    let last = id(body.last)?;
    Ok(TransferLeaderRequest::new(
        body.vote.vote(),
        body.to.into(),
        last,
    ))
}

#[derive(Debug, PartialEq, Message)]
#[message(versions = "0", flexible = "0+")]
struct TransferAnswer {
    /// 0 accepted, 1 the vote moved on, 2 the log is behind.
    outcome: i8,
    vote: Option<VotePart>,
    expected: Option<IdPart>,
    actual: Option<IdPart>,
}

pub(crate) fn transfer_answer(r: &TransferLeaderResponse<Types>) -> Result<Bytes, MessageError> {
    let nothing = TransferAnswer {
        outcome: 0,
        vote: None,
        expected: None,
        actual: None,
    };
    to_bytes(&match r {
        Ok(()) => nothing,
        Err(TransferLeaderError::VoteChanged { actual, .. }) => TransferAnswer {
            outcome: 1,
            vote: Some(actual.into()),
            ..nothing
        },
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => TransferAnswer {
            outcome: 2,
            expected: expected.map(IdPart::from),
            actual: actual.map(IdPart::from),
            ..nothing
        },
    })
}

pub(crate) fn read_transfer_answer(
    bytes: Bytes,
    asked: &TransferLeaderRequest<Types>,
) -> Result<TransferLeaderResponse<Types>, MessageError> {
    let answer: TransferAnswer = from_bytes(bytes)?;
    Ok(match (answer.outcome, answer.vote) {
        (0, _) => Ok(()),
        (1, Some(vote)) => Err(TransferLeaderError::VoteChanged {
            expected: *asked.from_leader(),
            actual: vote.vote(),
        }),
        (2, _) => Err(TransferLeaderError::LogNotFlushed {
            expected: id(answer.expected)?,
            actual: id(answer.actual)?,
        }),
        (other, _) => return Err(MessageError::new(format!("outcome {other} is not known"))),
    })
}

/// Answers [`Kind::Read`]: what must be applied before the asker may read.
#[derive(Debug, PartialEq, Message)]
#[message(versions = "0", flexible = "0+")]
pub(crate) struct ReadAnswer {
    pub(crate) last: IdPart,
}

/// Asks the leader to take somebody in.
#[derive(Debug, PartialEq, Message)]
#[message(versions = "0", flexible = "0+")]
pub(crate) struct JoinBody {
    pub(crate) peer: PeerPart,
    pub(crate) as_voter: bool,
}
