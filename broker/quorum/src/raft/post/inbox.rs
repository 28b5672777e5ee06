//! What other controllers ask, and what they are answered.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::RaftError;
use openraft::raft::{AppendEntriesResponse, SnapshotResponse, VoteResponse};
use tokio::time::Instant;

use super::link::{Post, Returned};
use super::message::{
    self, JoinBody, Kind, Letter, MessageError, ReadAnswer, SnapshotAnswer, SnapshotBody, Verdict,
};
use crate::Agreeable;
use crate::guard::{Guard, holds};
use crate::raft::census::Greeting;
use crate::raft::doze::LastHeard;
use crate::raft::footing::types::{LogId, Vote, peer};
use crate::raft::leader::{Core, confirmed};
use crate::raft::peer::Peer;
use crate::raft::storage::state::raft_meta;
use crate::raft::voters;
use crate::store::decode_snapshot;

/// Answers letters.
pub(in crate::raft) struct Inbox<M: Agreeable> {
    pub(crate) core: Core<M>,
    pub(crate) post: Post,
    pub(crate) snapshot_cap_bytes: u64,
    pub(in crate::raft) heard: LastHeard,
    /// The snapshot that is coming in. One at a time: a new one replaces it.
    pub(crate) incoming: Arc<tokio::sync::Mutex<Option<Incoming>>>,
}

/// What is there of a snapshot.
pub(crate) struct Incoming {
    vote: Vote,
    last: LogId,
    bytes: BytesMut,
}

/// An answer, or why there is none.
type Answered = Result<(Verdict, Bytes), MessageError>;

fn done(body: Result<Bytes, MessageError>) -> Answered {
    Ok((Verdict::Done, body?))
}

fn stopped<E: std::error::Error>(error: &E) -> (Verdict, Bytes) {
    (Verdict::Stopped, error.to_string().into())
}

impl<M: Agreeable> Inbox<M> {
    /// Answers a letter. The error says that the bytes are none.
    pub(crate) async fn receive(&self, bytes: Bytes) -> Result<Bytes, MessageError> {
        let letter = Letter::from_bytes(bytes)?;
        if letter.kind == Kind::Hello {
            // Asked by those who know neither the cluster nor the disk.
            return self.greeting().to_answer();
        }
        let is_foreign = letter.cluster != self.post.cluster;
        let (verdict, body) = if is_foreign && holds(Guard::ClusterIsMeant) {
            (
                Verdict::ForeignCluster,
                self.post.cluster.to_string().into(),
            )
        } else if letter.to != self.post.me && holds(Guard::DiskIsMeant) {
            // It is meant for a disk that is gone: what that one promised is not known here.
            (Verdict::AnotherPeer, self.post.me.to_string().into())
        } else {
            self.open(letter).await?
        };
        message::answer(verdict, body)
    }

    /// What this node says of itself.
    pub(crate) fn greeting(&self) -> Greeting {
        Greeting {
            node: self.post.me.node,
            directory: Some(self.post.me.directory),
            cluster: Some(self.post.cluster.clone()),
            is_formed: self.is_formed(),
        }
    }

    /// Whether this node knows of any quorum.
    pub(crate) fn is_formed(&self) -> bool {
        let metrics = self.core.server_metrics();
        let metrics = metrics.borrow_watched();
        metrics
            .membership_config
            .membership()
            .voter_ids()
            .next()
            .is_some()
    }

    async fn open(&self, letter: Letter) -> Answered {
        match letter.kind {
            Kind::Append => self.append(letter.body, letter.lease).await,
            Kind::Vote | Kind::PreVote => self.vote(letter).await,
            Kind::Transfer => {
                let request = message::read_transfer_body(letter.body)?;
                match self.core.handle_transfer_leader(request).await {
                    Ok(response) => done(message::transfer_answer(&response)),
                    Err(error) => Ok(stopped(&error)),
                }
            }
            Kind::Snapshot => {
                let piece: SnapshotBody = message::from_bytes(letter.body)?;
                self.bind(&piece.vote.clone().vote(), letter.lease);
                self.take_piece(piece).await
            }
            Kind::Read => self.read_index().await,
            Kind::Join => self.join(letter).await,
            Kind::Hello => Ok((Verdict::Refused, Bytes::new())),
        }
    }

    async fn vote(&self, letter: Letter) -> Answered {
        let request = message::read_vote_body(letter.body)?;
        if self.heard.is_bound() && !request.leadership_transfer {
            let vote = self.core.server_metrics().borrow_watched().vote;
            return done(message::vote_answer(&VoteResponse::new(vote, None, false)));
        }
        let answered = match letter.kind {
            Kind::PreVote => self.core.pre_vote(request).await,
            _ => self.core.vote(request).await,
        };
        match answered {
            Ok(response) => done(message::vote_answer(&response)),
            Err(error) => Ok(stopped(&error)),
        }
    }

    /// A leader is about to be answered that trusts answers for longer than openraft here keeps them.
    /// One that leads no more binds nobody: it will be told.
    fn bind(&self, vote: &Vote, lease: Duration) {
        let now = Instant::now();
        let is_led = *vote >= self.core.server_metrics().borrow_watched().vote;
        // openraft keeps its word for as long as it would trust another's.
        if is_led && lease > self.post.lease && holds(Guard::LeasesAreKept) {
            self.heard.bind(now + lease);
        }
    }

    async fn append(&self, body: Bytes, lease: Duration) -> Answered {
        // openraft's trust begins here too, and not when the disk has what the leader sent.
        let came = Instant::now();
        let append = message::read_append_body(body)?;
        self.bind(&append.vote, lease);
        let leader = append.vote.leader_id().voted_for.node;
        match self.core.append_entries(append).await {
            Ok(response) => {
                if !matches!(response, AppendEntriesResponse::HigherVote(_)) {
                    self.heard.at(came, leader);
                }
                done(message::append_answer(&response))
            }
            Err(error) => Ok(stopped(&error)),
        }
    }

    async fn read_index(&self) -> Answered {
        match self.core.get_read_linearizer(confirmed()).await {
            Ok(linearizer) => {
                let last = (*linearizer.read_log_id().log_id()).into();
                done(message::to_bytes(&ReadAnswer { last }))
            }
            Err(RaftError::Fatal(fatal)) => Ok(stopped(&fatal)),
            Err(error) => Ok((Verdict::NotLeader, error.to_string().into())),
        }
    }

    async fn join(&self, letter: Letter) -> Answered {
        let body: JoinBody = message::from_bytes(letter.body.clone())?;
        let peer = Peer::from(body.peer);
        let is_first_hand = letter.from == peer.id;
        let joined = voters::join(&self.core, &self.post.book, peer, body.as_voter).await;
        Ok(match joined {
            Ok(()) => (Verdict::Done, Bytes::new()),
            Err(error @ crate::raft::VotersError::NotLeader { .. }) => {
                let leader = self.leader().filter(|_| is_first_hand);
                let passed = match leader {
                    Some(leader) => self.pass_on(&leader, letter).await,
                    None => None,
                };
                passed.unwrap_or_else(|| (Verdict::NotLeader, error.to_string().into()))
            }
            Err(error @ crate::raft::VotersError::Taken(_)) => {
                (Verdict::Taken, error.to_string().into())
            }
            Err(error) => (Verdict::Refused, error.to_string().into()),
        })
    }

    /// Another one that leads, as far as it is known here.
    fn leader(&self) -> Option<Peer> {
        let metrics = self.core.server_metrics();
        let metrics = metrics.borrow_watched();
        let id = metrics.current_leader.filter(|id| *id != self.post.me)?;
        let membership = metrics.membership_config.membership();
        Some(peer(id, membership.get_node(&id)?))
    }

    /// Whoever asks may not know where the leader is: it was told of some controllers, perhaps when
    /// there were no others. The leader sees from whom it has this letter, and passes it on no more.
    async fn pass_on(&self, leader: &Peer, letter: Letter) -> Option<(Verdict, Bytes)> {
        let within = self.post.chunk_timeout;
        let asked = self.post.ask(leader, letter.kind, letter.body, within);
        let mut metrics = self.core.server_metrics();
        let deposed = async move {
            while metrics.borrow_watched().current_leader == Some(leader.id) {
                if metrics.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            answer = asked => match answer {
                Ok(body) => Some((Verdict::Done, body)),
                Err(Returned::Verdict(verdict, why)) => Some((verdict, why.into())),
                Err(_) => None,
            },
            () = deposed => None,
        }
    }

    /// Takes a piece of a snapshot, and installs the snapshot with its last one.
    async fn take_piece(&self, body: SnapshotBody) -> Answered {
        let (vote, last) = (body.vote.vote(), body.last.id()?);
        let total = usize::try_from(body.total_bytes)
            .ok()
            .filter(|&total| total as u64 <= self.snapshot_cap_bytes)
            .ok_or_else(|| MessageError {
                what: "a snapshot without bounds".to_owned(),
            })?;
        let mut incoming = self.incoming.lock().await;
        let same = |i: &Incoming| i.vote == vote && i.last == last;
        if body.position == 0 || !incoming.as_ref().is_some_and(same) {
            *incoming = Some(Incoming {
                vote,
                last,
                bytes: BytesMut::new(),
            });
        }
        let arrived = incoming
            .as_mut()
            .expect("it was just made if it was not there");
        if usize::try_from(body.position) == Ok(arrived.bytes.len())
            && body.chunk.len() <= total - arrived.bytes.len().min(total)
        {
            arrived.bytes.extend_from_slice(&body.chunk);
        }
        if arrived.bytes.len() < total {
            let next = arrived.bytes.len() as i64;
            let vote = (&vote).into();
            return done(message::to_bytes(&SnapshotAnswer { vote, next }));
        }
        let bytes = incoming
            .take()
            .map(|i| i.bytes.freeze())
            .unwrap_or_default();
        drop(incoming);
        self.install(vote, last, bytes).await
    }

    async fn install(&self, vote: Vote, last: LogId, bytes: Bytes) -> Answered {
        let total = bytes.len() as i64;
        let found = decode_snapshot(&bytes, -1).map_err(|(at, why)| MessageError {
            what: format!("a snapshot that is damaged at byte {at}: {why}"),
        })?;
        let meta = raft_meta(&found.meta)?;
        if meta.last_log_id != Some(last) {
            let what = "a snapshot that is not the one announced".to_owned();
            return Err(MessageError { what });
        }
        let snapshot = openraft::storage::Snapshot {
            meta,
            snapshot: bytes,
        };
        match self.core.install_full_snapshot(vote, snapshot).await {
            Ok(SnapshotResponse { vote }) => {
                let vote = (&vote).into();
                done(message::to_bytes(&SnapshotAnswer { vote, next: total }))
            }
            Err(fatal) => Ok(stopped(&fatal)),
        }
    }
}
