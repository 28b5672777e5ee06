//! What surrounds a request on its way through a handler, and what may come out.

use std::future::Future;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use crate::kafka::alarm::Alarm;

/// Where requests of a connection come from.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// The client's address.
    pub(crate) peer: SocketAddr,
    /// Name of the listener it came in by: it is told addresses of that listener.
    pub(crate) listener: Arc<str>,
    /// For the one request that may wait.
    pub(crate) alarm: Alarm,
}

impl Origin {
    /// The same number for all requests of a connection: in object storage they are one client's.
    pub(crate) fn client(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.peer.hash(&mut hasher);
        hasher.finish()
    }
}

/// The envelope of one request.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The API version the client chose.
    pub(crate) version: i16,
    /// Echoed in the reply.
    pub(crate) correlation_id: i32,
    /// What the client calls itself; empty when it does not say.
    pub(crate) client_id: String,
    /// Size of the request; its parts keep that much memory alive.
    pub(crate) frame_bytes: usize,
    /// Where it comes from.
    pub(crate) origin: Origin,
}

/// A finished answer.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Length, header and body; buffers are shared with the log where it has them in memory.
    Frame(Vec<Bytes>),
    /// The client expects nothing (produce with acks=0).
    Silence,
    /// The client expects nothing and must learn of an error: close.
    Close,
}

/// An answer that is on its way.
pub(crate) type ReplyWait = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// What a handler gives back once it has done all that must happen in request order.
pub(crate) enum Started {
    /// Done.
    Now(Reply),
    /// Ordered work is done; the reply comes when it is true.
    Later(ReplyWait),
}
