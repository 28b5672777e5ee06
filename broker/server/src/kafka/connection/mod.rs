//! One client connection: requests in, replies out in the order of the requests.
//!
//! Kafka serves one request of a connection at a time. We keep what clients can see of that (replies
//! in order, produces appended in order, no request sees less than what was answered before it) and
//! still pipeline produces: [`Started::Later`] replies wait in a queue while the next produce is
//! read and submitted; any other request first waits until that queue is empty.

pub(super) mod frames;
mod idle;
pub(super) mod listener;
pub(super) mod seats;

use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use freshet_wire::ApiKey;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::OwnedSemaphorePermit;

use crate::kafka::alarm::Alarm;
use crate::kafka::call::{Origin, Reply, ReplyWait, Started};
use crate::kafka::connection::frames::{Frame, FrameError, Frames};
use crate::kafka::connection::idle::Idle;
use crate::kafka::connection::listener::ListenerShared;
use crate::kafka::registry;

/// Why a connection ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Request(#[from] registry::RequestError),
    #[error("writing a reply: {0}")]
    Write(#[from] io::Error),
    #[error("a produce with acks=0 failed; closing is the only way to tell the client")]
    SilentFailure,
}

/// A reply that is on its way.
struct Pending {
    wait: ReplyWait,
    key: ApiKey,
    since_micros: u64,
    _permit: OwnedSemaphorePermit,
}

/// See the module's story.
pub(crate) struct Connection {
    shared: Arc<ListenerShared>,
    origin: Origin,
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    frames: Frames,
    pending: VecDeque<Pending>,
    idle: Idle,
}

enum Event {
    Frame(Option<Frame>),
    Reply(Reply),
    Idle,
    Stop,
}

impl Connection {
    pub(crate) fn new(
        shared: Arc<ListenerShared>,
        stream: TcpStream,
        peer: std::net::SocketAddr,
    ) -> Self {
        let origin = Origin {
            peer,
            listener: Arc::clone(&shared.name),
            alarm: Alarm::new(),
        };
        let frames = Frames::new(
            shared.context.frame_budget.clone(),
            shared.limits.frame_bytes,
        );
        let (reader, writer) = stream.into_split();
        let idle = Idle::new(shared.limits.idle);
        Self {
            shared,
            idle,
            origin,
            reader,
            writer,
            frames,
            pending: VecDeque::new(),
        }
    }

    /// Serves until the peer closes, is idle for too long, misbehaves, or the broker stops.
    pub(crate) async fn run(mut self) -> Result<(), ConnectionError> {
        loop {
            match self.next_event().await? {
                Event::Frame(Some(frame)) => self.serve(frame).await?,
                Event::Reply(reply) => self.finish(reply).await?,
                Event::Frame(None) | Event::Idle | Event::Stop => return self.drain().await,
            }
        }
    }

    async fn next_event(&mut self) -> Result<Event, ConnectionError> {
        let room = self.pending.len() < self.shared.limits.requests;
        let quiet = self.pending.is_empty();
        tokio::select! {
            biased;
            reply = front(&mut self.pending) => Ok(Event::Reply(reply)),
            () = self.shared.stop.stopped() => Ok(Event::Stop),
            frame = self.frames.next(&mut self.reader), if room => Ok(Event::Frame(frame?)),
            () = self.idle.over(), if quiet => Ok(Event::Idle),
        }
    }

    async fn serve(&mut self, frame: Frame) -> Result<(), ConnectionError> {
        self.idle.active();
        let since_micros = self.shared.context.clock.micros();
        self.shared.context.metrics.received(frame.bytes.len());
        let (call, api, body) = registry::open(&frame.bytes, &self.origin, &self.shared.context)?;
        if !api.pipelined {
            self.drain().await?;
        }
        let started = (api.handler)(Arc::clone(&self.shared.context), call, body);
        match started.await? {
            Started::Now(reply) => {
                self.observe(api.key, since_micros);
                self.send(reply).await
            }
            Started::Later(wait) => {
                let (key, permit) = (api.key, frame.permit);
                self.pending.push_back(Pending {
                    wait,
                    key,
                    since_micros,
                    _permit: permit,
                });
                Ok(())
            }
        }
    }

    /// Sends all replies that are on their way.
    async fn drain(&mut self) -> Result<(), ConnectionError> {
        while let Some(pending) = self.pending.front_mut() {
            let reply = (&mut pending.wait).await;
            self.finish(reply).await?;
        }
        Ok(())
    }

    /// Sends the reply of the oldest request under way.
    async fn finish(&mut self, reply: Reply) -> Result<(), ConnectionError> {
        if let Some(done) = self.pending.pop_front() {
            self.observe(done.key, done.since_micros);
        }
        self.send(reply).await
    }

    /// Counts a request from its last byte read to its reply ready, waiting included.
    fn observe(&self, key: ApiKey, since_micros: u64) {
        let context = &self.shared.context;
        let micros = context.clock.micros().saturating_sub(since_micros);
        context.metrics.latency(key).observe(micros as f64 / 1e6);
    }

    async fn send(&mut self, reply: Reply) -> Result<(), ConnectionError> {
        // A client may rest after its answer as long as after its request.
        self.idle.active();
        match reply {
            Reply::Frame(chunks) => {
                let deadline = self.shared.limits.idle;
                let write = write_all(&mut self.writer, chunks);
                let stalled =
                    || io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing");
                tokio::time::timeout(deadline, write)
                    .await
                    .map_err(|_| stalled())??;
                Ok(())
            }
            Reply::Silence => Ok(()),
            Reply::Close => Err(ConnectionError::SilentFailure),
        }
    }
}

async fn front(pending: &mut VecDeque<Pending>) -> Reply {
    match pending.front_mut() {
        Some(first) => (&mut first.wait).await,
        None => std::future::pending().await,
    }
}

/// Writes shared buffers one after another without joining them.
async fn write_all(writer: &mut OwnedWriteHalf, chunks: Vec<Bytes>) -> io::Result<()> {
    let mut chunks = VecDeque::from(chunks);
    while let Some(first) = chunks.front() {
        if first.is_empty() {
            chunks.pop_front();
            continue;
        }
        let slices: Vec<IoSlice<'_>> = chunks.iter().take(64).map(|c| IoSlice::new(c)).collect();
        let mut written = writer.write_vectored(&slices).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while written > 0 {
            let Some(first) = chunks.front_mut() else {
                break;
            };
            let part = written.min(first.len());
            first.advance(part);
            written -= part;
            if first.is_empty() {
                chunks.pop_front();
            }
        }
    }
    Ok(())
}

/// How long a connection may be silent, and how large its requests may be.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionLimits {
    /// connections.max.idle.ms
    pub(crate) idle: Duration,
    /// socket.request.max.bytes
    pub(crate) frame_bytes: usize,
    /// freshet.connection.requests.max
    pub(crate) requests: usize,
    /// max.connections
    pub(crate) connections: usize,
    /// max.connections.per.ip
    pub(crate) connections_per_ip: usize,
    /// max.connections.per.ip.overrides
    pub(crate) per_ip_overrides: HashMap<IpAddr, usize>,
}

/// Stands for "never" where a limit is off.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

impl ConnectionLimits {
    pub(crate) fn of(sockets: &freshet_settings::SocketSettings) -> Self {
        let overrides = sockets.connections_per_ip_overrides.iter();
        let overrides =
            overrides.map(|(ip, count)| (*ip, usize::try_from(*count).unwrap_or(usize::MAX)));
        Self {
            idle: sockets.idle_max_ms.map_or(NEVER, Duration::from_millis),
            frame_bytes: sockets.request_max_bytes,
            requests: sockets.connection_requests_max,
            connections: sockets.connections_max,
            connections_per_ip: sockets.connections_per_ip_max,
            per_ip_overrides: overrides.collect(),
        }
    }
}
