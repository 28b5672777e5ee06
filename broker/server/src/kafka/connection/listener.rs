//! Accepts connections, counts them, and lets them finish when the broker stops.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::kafka::connection::frames::FrameBudget;
use crate::kafka::connection::{Connection, ConnectionLimits};
use crate::kafka::context::Context;
use crate::stop::Stop;

/// How long accepting rests after the process ran out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all connections of a listener share.
pub(crate) struct Shared {
    /// The listener's name.
    pub(crate) name: Arc<str>,
    pub(crate) context: Arc<Context>,
    pub(crate) budget: FrameBudget,
    pub(crate) limits: ConnectionLimits,
    pub(crate) stop: Stop,
    seats: Mutex<Seats>,
}

/// Who is connected.
#[derive(Debug, Default)]
struct Seats {
    total: usize,
    per_ip: HashMap<IpAddr, usize>,
}

impl Shared {
    pub(crate) fn new(
        name: &str,
        context: Arc<Context>,
        limits: ConnectionLimits,
        stop: Stop,
    ) -> Self {
        let budget = context.frame_budget.clone();
        Self {
            name: name.into(),
            context,
            budget,
            limits,
            stop,
            seats: Mutex::new(Seats::default()),
        }
    }

    /// Takes a seat, or says which limit is reached.
    fn sit(self: &Arc<Self>, ip: IpAddr) -> Result<Seat, &'static str> {
        let mut seats = self.seats.lock();
        if seats.total >= self.limits.connections {
            return Err("max.connections");
        }
        let of_ip = seats.per_ip.entry(ip).or_default();
        let cap = self.limits.per_ip_overrides.get(&ip);
        if *of_ip >= *cap.unwrap_or(&self.limits.connections_per_ip) {
            return Err("max.connections.per.ip");
        }
        *of_ip += 1;
        seats.total += 1;
        self.context
            .metrics
            .connections
            .set(i64::try_from(seats.total).unwrap_or(i64::MAX));
        Ok(Seat {
            shared: Arc::clone(self),
            ip,
        })
    }
}

/// One counted connection; gives its seat back when dropped.
struct Seat {
    shared: Arc<Shared>,
    ip: IpAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.shared.seats.lock();
        seats.total -= 1;
        self.shared
            .context
            .metrics
            .connections
            .set(i64::try_from(seats.total).unwrap_or(0));
        if let Some(of_ip) = seats.per_ip.get_mut(&self.ip) {
            *of_ip -= 1;
            if *of_ip == 0 {
                seats.per_ip.remove(&self.ip);
            }
        }
    }
}

/// One listener for clients.
pub(crate) struct KafkaListener {
    shared: Arc<Shared>,
}

impl KafkaListener {
    pub(crate) fn new(
        name: &str,
        context: Arc<Context>,
        limits: ConnectionLimits,
        stop: Stop,
    ) -> Self {
        Self {
            shared: Arc::new(Shared::new(name, context, limits, stop)),
        }
    }

    /// Accepts until the stop signal; then waits at most `grace` for open requests.
    pub(crate) async fn serve(self, listener: TcpListener, grace: Duration) {
        accept(self.shared, listener, grace).await;
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener, grace: Duration) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shared.stop.stopped() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => admit(&shared, &mut connections, stream, peer),
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

fn admit(shared: &Arc<Shared>, tasks: &mut JoinSet<()>, stream: TcpStream, peer: SocketAddr) {
    let seat = match shared.sit(peer.ip()) {
        Ok(seat) => seat,
        Err(limit) => {
            shared.context.metrics.connections_refused.inc();
            tracing::debug!(%peer, limit, "connection refused");
            return;
        }
    };
    if let Err(error) = prepare(&stream) {
        tracing::debug!(%peer, %error, "connection lost before its first byte");
        return;
    }
    let connection = Connection::new(Arc::clone(shared), stream, peer);
    tasks.spawn(async move {
        let _seat = seat;
        if let Err(error) = connection.run().await {
            tracing::debug!(%peer, %error, "connection closed");
        }
    });
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)
}
