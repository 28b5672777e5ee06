//! Finds out that a broker's process is gone, long before its session ends.
//!
//! When a process dies its kernel closes all of its connections, and refuses new ones. So a broker is
//! dead that has no connection to the active controller, and whose listeners all refuse. A machine
//! that loses its power, or a line that is cut, says nothing of the kind; there the session decides.
//!
//! ```text
//! somebody has left, or this ─► look ─► nobody is without a connection ─► rest
//! node decides from now on       ▲  └─► somebody is ─► probe: all refuse ─► fence
//!                                └─ 50 ms, for a second ─┘
//! ```
//!
//! One look is not enough. The kernel closes what was opened last first, so that listeners go on
//! accepting for a while after the connections are gone: 100 ms with thousands of clients. Those who
//! live and have no connection, as all do when another controller takes over, come with their next
//! heartbeat.
//!
//! Wrongly taken for dead, a broker is fenced until its next heartbeat: that costs an election, and
//! no data. One that merely stands still keeps its connections, and its kernel goes on accepting.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use freshet_env::sockets::leads_nowhere;
use freshet_metadata::{Broker, BrokerListener, FenceBroker, MetadataMachine};
use freshet_quorum::{Quorum, Raft};
use freshet_types::NodeId;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use super::room::PeerRoom;

/// A listener that has not refused by then may be there.
const PROBE: Duration = Duration::from_millis(500);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// After a take-over those who live come with their next heartbeat, within this. Where a firewall
/// refuses in their place, they must not be taken for dead meanwhile.
const SETTLE: Duration = Duration::from_millis(300);
/// For how long it looks again: by then the session decides.
const SEARCH: Duration = Duration::from_secs(1);
/// Brokers that are probed at a time: each may keep a thread busy that asks a name server.
const PROBES: usize = 32;

/// See the module.
pub struct FailureDetector {
    scene: Arc<Scene>,
    /// The last probe of each broker that is being probed.
    under_way: HashMap<NodeId, AbortHandle>,
    probes: JoinSet<()>,
}

impl FailureDetector {
    /// Watches who comes into `room` and leaves it.
    pub fn new(raft: &Arc<Raft<MetadataMachine>>, room: &Arc<PeerRoom>) -> Self {
        let scene = Scene {
            me: raft.greeting().node,
            raft: Arc::clone(raft),
            room: Arc::clone(room),
            seats: Semaphore::new(PROBES),
        };
        Self {
            scene: Arc::new(scene),
            under_way: HashMap::new(),
            probes: JoinSet::new(),
        }
    }

    /// Watches until it is aborted.
    pub async fn run(mut self) {
        let mut leadership = self.scene.raft.leadership();
        let (mut from, mut until) = (Instant::now(), Instant::now());
        let mut searches = false;
        loop {
            tokio::select! {
                () = self.scene.room.left() => {
                    from = Instant::now();
                    until = from + SEARCH;
                }
                changed = leadership.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    // Unless somebody has left, as the leader before did that has died.
                    let now = Instant::now();
                    if until <= now {
                        from = now + SETTLE;
                    }
                    until = now + SEARCH;
                }
                () = sleep(PAUSE), if searches => {}
            }
            let decides = leadership.borrow_and_update().is_mine;
            let now = Instant::now();
            searches = decides && (now < from || self.look()) && now < until;
        }
    }

    /// Probes those who may be gone. Gives whether there are any.
    fn look(&mut self) -> bool {
        while self.probes.try_join_next().is_some() {}
        self.under_way.retain(|_, probe| !probe.is_finished());
        let suspects = self.scene.suspects();
        let is_empty = suspects.is_empty();
        for broker in suspects {
            self.under_way.entry(broker.node).or_insert_with(|| {
                let scene = Arc::clone(&self.scene);
                self.probes.spawn(async move { scene.probe(&broker).await })
            });
        }
        !is_empty
    }
}

/// What a probe looks at.
struct Scene {
    me: NodeId,
    raft: Arc<Raft<MetadataMachine>>,
    room: Arc<PeerRoom>,
    seats: Semaphore,
}

impl Scene {
    /// Brokers that should be here and are not.
    fn suspects(&self) -> Vec<Arc<Broker>> {
        let image = Arc::clone(&self.raft.watch().borrow());
        let suspects = image
            .brokers()
            .filter(|broker| !broker.fenced && broker.node != self.me && self.is_away(broker.node));
        suspects.cloned().collect()
    }

    fn is_away(&self, node: NodeId) -> bool {
        self.room.connections_of(node) == 0
    }

    /// Fences a broker if it is gone.
    async fn probe(&self, broker: &Broker) {
        // It is never closed.
        let _seat = self.seats.acquire().await;
        // While it waited for its turn, and for an answer, the broker may have come.
        if self.is_away(broker.node) && is_gone(broker).await && self.is_away(broker.node) {
            self.fence(broker).await;
        }
    }

    async fn fence(&self, broker: &Broker) {
        let Broker { node, epoch, .. } = *broker;
        match self.raft.propose(FenceBroker { node, epoch }.into()).await {
            // The chronicle warns of it.
            Ok(_) => tracing::info!(%node, epoch, "the broker's process is gone: fenced"),
            Err(error) => tracing::info!(%node, %error, "the broker's process is gone"),
        }
    }
}

/// Whether all of a broker's listeners refuse.
async fn is_gone(broker: &Broker) -> bool {
    for listener in &broker.listeners {
        if !refuses(listener).await {
            return false;
        }
    }
    !broker.listeners.is_empty()
}

/// Whether a listener refuses at every address that its name has.
async fn refuses(listener: &BrokerListener) -> bool {
    // Not given up: whoever asks a name server keeps a thread until it has answered, and so keeps its
    // seat among the probes.
    let named = lookup_host((listener.host.as_str(), listener.port)).await;
    let mut told = Vec::new();
    for address in named.into_iter().flatten() {
        told.push(ask(address).await);
        if told.ends_with(&[Told::Perhaps]) {
            break;
        }
    }
    all_refuse(&told)
}

/// What an address says of the process behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// It is gone.
    Refused,
    /// It may be there.
    Perhaps,
    /// Nothing: it cannot be asked from here.
    Nothing,
}

async fn ask(address: SocketAddr) -> Told {
    match timeout(PROBE, TcpStream::connect(address)).await {
        Ok(Err(error)) => Told::by(&error),
        Ok(Ok(_)) | Err(_) => Told::Perhaps,
    }
}

impl Told {
    fn by(error: &io::Error) -> Self {
        if error.kind() == ErrorKind::ConnectionRefused {
            Self::Refused
        } else if leads_nowhere(error) {
            Self::Nothing
        } else {
            Self::Perhaps
        }
    }
}

fn all_refuse(told: &[Told]) -> bool {
    told.contains(&Told::Refused) && !told.contains(&Told::Perhaps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_host_that_refuses_everywhere_has_no_process() {
        use Told::{Nothing, Perhaps, Refused};
        assert!(all_refuse(&[Refused]) && all_refuse(&[Refused, Refused]));
        // A name has an address of IPv6 too, and this machine none.
        assert!(all_refuse(&[Nothing, Refused]) && all_refuse(&[Refused, Nothing]));
        // One of two ways was cut for a moment.
        assert!(!all_refuse(&[Perhaps, Refused]) && !all_refuse(&[Refused, Perhaps]));
        assert!(!all_refuse(&[Nothing]) && !all_refuse(&[]));
    }

    #[test]
    fn what_is_no_refusal_may_be_a_process() {
        let told = |kind: ErrorKind| Told::by(&kind.into());
        assert_eq!(told(ErrorKind::ConnectionRefused), Told::Refused);
        for kind in [
            ErrorKind::HostUnreachable,
            ErrorKind::TimedOut,
            ErrorKind::PermissionDenied,
        ] {
            assert_eq!(told(kind), Told::Perhaps, "{kind}");
        }
    }

    #[tokio::test]
    async fn a_name_is_asked_at_every_address() {
        let bound = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let bound = bound.expect("bound");
        let port = bound.local_addr().expect("it has one").port();
        let listener = BrokerListener {
            name: "PLAINTEXT".to_owned(),
            host: "localhost".to_owned(),
            port,
            protocol: freshet_settings::SecurityProtocol::Plaintext,
        };
        assert!(!refuses(&listener).await);
        drop(bound);
        assert!(refuses(&listener).await);
    }
}
