//! One connection to one broker.
//!
//! ```text
//! callers ──► bounded queue ──► writer task ──► socket ──► broker
//!    ▲                             │ (id, reply slot), in order, bounded
//!    └──────── reply slots ◄── reader task ◄── socket ◄──┘
//! ```
//!
//! Kafka answers the requests of a connection in order, so a reply belongs to the oldest request
//! that waits; the correlation id only proves it. A request that waits too long therefore blocks all
//! behind it, and the connection is closed.
//!
//! With [`Security`](crate::Security) there is TLS between the tasks and the socket, and the first
//! requests log in. A session that ends is not renewed: the connection is closed for new requests before
//! that, and whoever needs one opens another.

mod greet;
mod login;
mod scram;
mod tasks;
mod tls;

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use freshet_codec::Chunks;
use freshet_wire::{Request, RequestHeader, decode_response, encode_request};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use crate::{ClientConfig, ClientError};
use greet::Served;
use tasks::Fate;

/// A request on its way to the socket.
struct Outgoing {
    frame: Chunks,
    correlation: i32,
    /// Where the reply goes; `None` for a request without one (Produce with acks=0).
    reply: Option<oneshot::Sender<Bytes>>,
}

/// A cheap handle. The connection closes once the last handle is dropped.
#[derive(Debug, Clone)]
pub struct Connection {
    address: Arc<str>,
    client_id: Arc<str>,
    queue: mpsc::Sender<Outgoing>,
    next_correlation: Arc<AtomicI32>,
    served: Arc<Served>,
    fate: Fate,
    request_timeout: Duration,
    /// When nothing new may be asked any more, if the broker has said so.
    until: Option<Instant>,
}

impl Connection {
    /// Connects to `address` (`host:port`), asks which APIs it serves, and logs in if it is to.
    pub async fn open(address: &str, config: &ClientConfig) -> Result<Self, ClientError> {
        let opening = async {
            let mut connection = Self::dial(address, config).await?;
            let greeted = greet::ask(&connection).await;
            connection.served = Arc::new(greeted.map_err(|e| connection.explained(e))?);
            connection.admitted(config).await
        };
        in_time(address, config, opening).await
    }

    /// Connects to `address` (`host:port`) without a greeting: for those who know that the other
    /// side speaks as they do.
    pub async fn open_unasked(address: &str, config: &ClientConfig) -> Result<Self, ClientError> {
        let opening = async { Self::dial(address, config).await?.admitted(config).await };
        in_time(address, config, opening).await
    }

    async fn admitted(mut self, config: &ClientConfig) -> Result<Self, ClientError> {
        if let Some(login) = &config.security.login {
            let until = login::login(&self, login).await;
            self.until = until.map_err(|error| self.explained(error))?;
        }
        Ok(self)
    }

    async fn dial(address: &str, config: &ClientConfig) -> Result<Self, ClientError> {
        let failed = |error: std::io::Error| unreachable(address, error.to_string());
        let socket = TcpStream::connect(address).await.map_err(failed)?;
        // Small requests must not wait for the ack of the one before.
        socket.set_nodelay(true).map_err(failed)?;
        Ok(match &config.security.tls {
            None => Self::start(address, socket.into_split(), config),
            Some(tls) => {
                let socket = tls::protect(address, socket, tls).await?;
                Self::start(address, tokio::io::split(socket), config)
            }
        })
    }

    fn start<R, W>(address: &str, halves: (R, W), config: &ClientConfig) -> Self
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let (queue, outgoing) = mpsc::channel(config.max_in_flight);
        let fate = Fate::default();
        tasks::spawn(halves, outgoing, &fate, config);
        Self {
            address: address.into(),
            client_id: config.client_id.as_str().into(),
            queue,
            next_correlation: Arc::new(AtomicI32::new(0)),
            served: Arc::new(Served::Assumed),
            fate,
            request_timeout: config.request_timeout,
            until: None,
        }
    }

    /// Where it goes.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether it can no longer be used: it has ended, or what it logged in for is about to.
    pub fn is_closed(&self) -> bool {
        self.fate.is_sealed() || self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// Ends it now, whatever is under way; the same as dropping the last handle, which waits for
    /// the other side.
    pub fn close(&self) {
        self.fate.seal("it was closed".to_owned());
    }

    /// The newest version both sides know, not above `cap`.
    pub fn version<R: Request>(&self, cap: i16) -> Result<i16, ClientError> {
        self.served
            .newest::<R>(cap)
            .ok_or_else(|| ClientError::Unsupported {
                address: self.address.to_string(),
                api: R::KEY.name(),
            })
    }

    /// Sends a request and waits for its reply, at most `extra` longer than the request timeout:
    /// as long as the broker itself was asked to wait.
    pub async fn call<R: Request>(
        &self,
        request: &R,
        cap: i16,
        extra: Duration,
    ) -> Result<R::Response, ClientError> {
        self.begin(request, cap, extra).await?.finish().await
    }

    /// Sends a request. Requests are written in the order in which this is called.
    pub async fn begin<R: Request>(
        &self,
        request: &R,
        cap: i16,
        extra: Duration,
    ) -> Result<Pending<R>, ClientError> {
        let version = self.version::<R>(cap)?;
        let (outgoing, reply) = self.outgoing(request, version)?;
        let limit = self.request_timeout + extra;
        let deadline = Instant::now() + limit;
        // Bounded: a stuck connection is sealed by the deadline of what it is stuck on.
        self.queue.send(outgoing).await.map_err(|_| self.broken())?;
        let connection = self.clone();
        Ok(Pending {
            connection,
            version,
            reply,
            limit,
            deadline,
            _request: PhantomData,
        })
    }

    /// Sends a request that has no reply.
    pub(crate) async fn tell<R: Request>(&self, request: &R, cap: i16) -> Result<(), ClientError> {
        let version = self.version::<R>(cap)?;
        let (outgoing, _) = self.outgoing(request, version)?;
        let outgoing = Outgoing {
            reply: None,
            ..outgoing
        };
        self.queue.send(outgoing).await.map_err(|_| self.broken())
    }

    /// The frame of the reply to a request in `version`, whether or not the broker knows it.
    async fn exchange<R: Request>(&self, request: &R, version: i16) -> Result<Bytes, ClientError> {
        let (outgoing, reply) = self.outgoing(request, version)?;
        self.queue.send(outgoing).await.map_err(|_| self.broken())?;
        self.reply(reply).await
    }

    /// The reply, or the end of the connection. A request that slips into the queue while its other
    /// end is taken down is dropped by nobody, so its own slot cannot tell that end.
    async fn reply(&self, reply: oneshot::Receiver<Bytes>) -> Result<Bytes, ClientError> {
        tokio::select! {
            biased;
            reply = reply => reply.map_err(|_| self.broken()),
            () = self.fate.sealed() => Err(self.broken()),
        }
    }

    fn outgoing<R: Request>(
        &self,
        request: &R,
        version: i16,
    ) -> Result<(Outgoing, oneshot::Receiver<Bytes>), ClientError> {
        let correlation = self.next_correlation.fetch_add(1, Ordering::Relaxed);
        let header = RequestHeader::of::<R>(version, correlation, Some(&self.client_id));
        let frame = encode_request(&header, request)?;
        let (reply, waiting) = oneshot::channel();
        Ok((
            Outgoing {
                frame,
                correlation,
                reply: Some(reply),
            },
            waiting,
        ))
    }

    /// A failure of a connection that is being opened, with what TLS has to do with it: a broker that does
    /// not take our certificate says so only after the handshake, and one that speaks TLS to our plain text
    /// in the answer to our greeting.
    fn explained(&self, error: ClientError) -> ClientError {
        match (&error, self.fate.fault()) {
            (ClientError::Disconnected { .. }, Some(fault)) => tls::failed(&self.address, fault),
            _ => error,
        }
    }

    fn broken(&self) -> ClientError {
        ClientError::Disconnected {
            address: self.address.to_string(),
            cause: self.fate.cause().to_owned(),
        }
    }
}

fn unreachable(address: &str, cause: String) -> ClientError {
    let address = address.to_owned();
    ClientError::Unreachable { address, cause }
}

async fn in_time(
    address: &str,
    config: &ClientConfig,
    opening: impl Future<Output = Result<Connection, ClientError>>,
) -> Result<Connection, ClientError> {
    let limit = config.connect_timeout;
    let late = |_| {
        let cause = format!("not connected and greeted within {} ms", limit.as_millis());
        Err(unreachable(address, cause))
    };
    timeout(limit, opening).await.unwrap_or_else(late)
}

/// A request whose reply has not come yet.
#[derive(Debug)]
pub struct Pending<R> {
    connection: Connection,
    version: i16,
    reply: oneshot::Receiver<Bytes>,
    limit: Duration,
    deadline: Instant,
    _request: PhantomData<fn() -> R>,
}

impl<R: Request> Pending<R> {
    /// Waits for the reply. One that is late ends the connection, for all behind it wait too.
    pub async fn finish(self) -> Result<R::Response, ClientError> {
        let Ok(reply) = timeout_at(self.deadline, self.connection.reply(self.reply)).await else {
            let (api, limit) = (R::KEY.name(), self.limit.as_millis());
            self.connection
                .fate
                .seal(format!("no reply to {api} within {limit} ms"));
            return Err(self.connection.broken());
        };
        let (_, response) = decode_response::<R>(reply?, self.version)?;
        Ok(response)
    }
}
