//! Accepts connections, counts them, and lets them finish when the broker stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use freshet_env::{Reactors, limits};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::kafka::connection::seats::Seat;
use crate::kafka::connection::{Connection, ConnectionError, ConnectionLimits};
use crate::kafka::context::Context;
use crate::stop::Stop;

/// How long accepting rests after the process ran out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often it is told that connections are refused for want of file descriptors.
const COMPLAINTS: Duration = Duration::from_secs(10);

/// What all connections of a listener share.
pub(crate) struct ListenerShared {
    /// The listener's name.
    pub(crate) name: Arc<str>,
    pub(crate) context: Arc<Context>,
    pub(crate) limits: ConnectionLimits,
    pub(crate) stop: Stop,
}

/// One listener for clients.
pub(crate) struct KafkaListener {
    shared: Arc<ListenerShared>,
    /// Not among what connections share: they live on it, and the last one of them must not end it.
    reactors: Arc<Reactors>,
    /// When it was told last that files run out.
    complained: Mutex<Option<Instant>>,
}

impl KafkaListener {
    /// Its connections live on `reactors`.
    pub(crate) fn new(shared: ListenerShared, reactors: Arc<Reactors>) -> Self {
        let shared = Arc::new(shared);
        Self {
            shared,
            reactors,
            complained: Mutex::default(),
        }
    }

    /// Accepts until the stop signal; then waits at most `grace` for open requests.
    pub(crate) async fn serve(self, listener: TcpListener, grace: Duration) {
        let shared = &self.shared;
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = shared.stop.stopped() => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.admit(&mut connections, stream, peer),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        let finish = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, finish).await.is_err() {
            tracing::warn!(
                open = connections.len(),
                "closing connections with requests under way"
            );
        }
    }

    /// A human must act: nobody new gets in. Not for each of those who try.
    fn complain(&self, peer: SocketAddr) {
        let now = Instant::now();
        let mut told = self.complained.lock();
        if told.is_none_or(|told| now - told >= COMPLAINTS) {
            *told = Some(now);
            let open_files = limits::open_files();
            tracing::warn!(%peer, open_files, "connections are refused: the last open files are for logs");
        }
    }

    fn admit(&self, tasks: &mut JoinSet<()>, stream: TcpStream, peer: SocketAddr) {
        let shared = Arc::clone(&self.shared);
        if limits::is_among_the_last(&stream) {
            shared.context.metrics.connections_refused.inc();
            self.complain(peer);
            return;
        }
        let seat = match Seat::take(&shared.context, &shared.limits, peer.ip()) {
            Ok(seat) => seat,
            Err(limit) => {
                shared.context.metrics.connections_refused.inc();
                tracing::debug!(%peer, limit, "connection refused");
                return;
            }
        };
        let serve = async move {
            let _seat = seat;
            if let Err(error) = serve(shared, stream, peer).await {
                tracing::debug!(%peer, %error, "connection closed");
            }
        };
        tasks.spawn_on(serve, self.reactors.next());
    }
}

async fn serve(
    shared: Arc<ListenerShared>,
    stream: TcpStream,
    peer: SocketAddr,
) -> Result<(), ConnectionError> {
    stream.set_nodelay(true)?;
    // Watched by the runtime that accepted it until here; from now on by this one's.
    let stream = TcpStream::from_std(stream.into_std()?)?;
    Connection::new(shared, stream, peer).run().await
}
