//! The door to the other controllers, and openraft's network through it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freshet_types::{ClusterId, ErrorKind};
use futures_util::future::{Either, select};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RaftNetworkFactory, RaftNetworkV2};
use parking_lot::RwLock;

use super::message::{self, Kind, Letter, MessageError, SnapshotAnswer, SnapshotBody, Verdict};
use crate::raft::footing::types::{Address, Types, Vote, peer};
use crate::raft::peer::{Peer, PeerId};

/// Why a peer did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// No connection, or it broke.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// No answer within the time.
    #[error("no answer in time")]
    TimedOut,
}

impl LinkError {
    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Unavailable
    }
}

/// An answer on its way.
pub type Asked<'a> = Pin<Box<dyn Future<Output = Result<Bytes, LinkError>> + Send + 'a>>;

/// Carries one opaque request to a peer and brings its answer. Requests may be lost, doubled and
/// overtake each other; they should be free to, or a heartbeat waits behind a snapshot. A request has
/// at most 40 MiB, an answer 1 KiB. The other side hands the bytes to [`crate::Raft::receive`].
pub trait PeerLink: Debug + Send + Sync + 'static {
    /// Asks a peer. Gives up after `within`.
    fn ask<'a>(&'a self, peer: &'a Peer, request: Bytes, within: Duration) -> Asked<'a>;
}

/// Where peers are, where that has changed since openraft was told: it asks once for each stream of
/// letters, and keeps the stream for as long as it leads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Book(Arc<RwLock<BTreeMap<PeerId, Address>>>);

impl Book {
    /// It is there now.
    pub(crate) fn put(&self, id: PeerId, address: &Address) {
        self.0.write().insert(id, address.clone());
    }

    fn find(&self, to: &Peer) -> Peer {
        let known = self.0.read().get(&to.id).cloned();
        known.map_or_else(|| to.clone(), |address| peer(to.id, &address))
    }
}

/// What every letter needs.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    pub(crate) link: Arc<dyn PeerLink>,
    pub(crate) cluster: ClusterId,
    pub(crate) me: PeerId,
    /// For how long this node trusts acknowledgements while it leads.
    pub(crate) lease: Duration,
    pub(crate) chunk_bytes: usize,
    pub(crate) chunk_timeout: Duration,
    pub(crate) book: Book,
}

/// Why a letter brought nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Returned {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error("the other side says {0:?}: {1}")]
    Verdict(Verdict, String),
}

impl Post {
    pub(crate) async fn ask(
        &self,
        to: &Peer,
        kind: Kind,
        body: Bytes,
        within: Duration,
    ) -> Result<Bytes, Returned> {
        let (cluster, from) = (self.cluster.clone(), self.me);
        let letter = Letter {
            cluster,
            from,
            to: to.id,
            kind,
            body,
            lease: self.lease,
        };
        let asked = self.link.ask(to, letter.to_bytes()?, within);
        let answer = tokio::time::timeout(within, asked)
            .await
            .map_err(|_| LinkError::TimedOut)??;
        match message::read_answer(answer)? {
            (Verdict::Done, body) => Ok(body),
            (verdict, why) => {
                let why = String::from_utf8_lossy(&why).into_owned();
                Err(Returned::Verdict(verdict, why))
            }
        }
    }
}

impl From<Returned> for RPCError<Types> {
    fn from(returned: Returned) -> Self {
        match &returned {
            // Tried again at the next heartbeat: a lost message says nothing about the next.
            Returned::Link(LinkError::TimedOut) => Self::Network(NetworkError::new(&returned)),
            _ => Self::Unreachable(Unreachable::new(&returned)),
        }
    }
}

impl From<MessageError> for RPCError<Types> {
    fn from(error: MessageError) -> Self {
        Returned::from(error).into()
    }
}

impl RaftNetworkFactory<Types> for Post {
    type Network = Line;

    async fn new_client(&mut self, target: PeerId, address: &Address) -> Line {
        self.book.put(target, address);
        Line {
            post: self.clone(),
            to: peer(target, address),
        }
    }
}

/// The way to one peer.
pub(crate) struct Line {
    post: Post,
    to: Peer,
}

impl Line {
    /// openraft's limit is for what is small; a network of 16 MiB a second is fast enough for us.
    async fn ask(&self, kind: Kind, body: Bytes, option: &RPCOption) -> Result<Bytes, Returned> {
        let to = self.post.book.find(&self.to);
        let on_its_way = Duration::from_millis(body.len() as u64 >> 14);
        let within = option.hard_ttl() + on_its_way;
        self.post.ask(&to, kind, body, within).await
    }

    /// Sends a snapshot piece by piece; the receiver says where it wants to go on.
    async fn send_snapshot(
        &self,
        vote: Vote,
        last: message::IdPart,
        bytes: Bytes,
    ) -> Result<Vote, Returned> {
        let mut position = 0;
        // A receiver that lost its place starts again; one that does so for ever is refused.
        let mut restarts = 0;
        while restarts < 3 {
            let end = bytes.len().min(position + self.post.chunk_bytes);
            let body = message::to_bytes(&SnapshotBody {
                vote: (&vote).into(),
                last: last.clone(),
                total_bytes: bytes.len() as i64,
                position: position as i64,
                chunk: bytes.slice(position..end),
            })?;
            let within = self.post.chunk_timeout;
            let to = self.post.book.find(&self.to);
            let answer = self.post.ask(&to, Kind::Snapshot, body, within).await?;
            let answer: SnapshotAnswer = message::from_bytes(answer)?;
            let theirs = answer.vote.vote();
            let next = usize::try_from(answer.next).unwrap_or(usize::MAX);
            if theirs > vote || next >= bytes.len() {
                return Ok(theirs);
            }
            restarts += u32::from(next <= position);
            position = next;
        }
        let what = "a receiver that never gets on with its snapshot".to_owned();
        Err(MessageError { what }.into())
    }
}

impl RaftNetworkV2<Types> for Line {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let body = message::append_body(&rpc)?;
        let answer = self.ask(Kind::Append, body, &option).await?;
        let answer = message::read_append_answer(answer)?;
        if answer.is_conflict() && rpc.prev_log_id.is_none() {
            let what = "a conflict before the first entry".to_owned();
            return Err(MessageError { what }.into());
        }
        Ok(answer)
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let answer = self
            .ask(Kind::Vote, message::vote_body(&rpc)?, &option)
            .await?;
        Ok(message::read_vote_answer(answer)?)
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let answer = self
            .ask(Kind::PreVote, message::vote_body(&rpc)?, &option)
            .await?;
        Ok(message::read_vote_answer(answer)?)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: openraft::alias::SnapshotOf<Types, Bytes>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let Some(last) = snapshot.meta.last_log_id else {
            let why = NetworkError::from_string("a snapshot of nothing");
            return Err(StreamingError::Network(why));
        };
        let sent = Box::pin(self.send_snapshot(vote, last.into(), snapshot.snapshot));
        match select(sent, Box::pin(cancel)).await {
            Either::Left((Ok(vote), _)) => Ok(SnapshotResponse::new(vote)),
            Either::Left((Err(returned), _)) => Err(RPCError::from(returned).into()),
            Either::Right((closed, _)) => Err(closed.into()),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        let body = message::transfer_body(&request)?;
        let answer = self.ask(Kind::Transfer, body, &option).await?;
        Ok(message::read_transfer_answer(answer, &request)?)
    }
}
