//! Finds out that a broker's process is gone, long before its session ends.
//!
//! When a process dies its kernel closes all of its connections, and refuses new ones. So a broker is
//! dead that had connections to this controller, has none, and whose listeners all refuse. A machine
//! that loses its power, or a line that is cut, says nothing of the kind; there the session decides.
//!
//! Wrongly taken for dead, a broker is fenced until its next heartbeat: that costs an election, and
//! no data. One that merely stands still keeps its connections, and its kernel goes on accepting.
//!
//! Every controller watches, also while it does not decide: when the active one dies, the next one
//! knows already that it is gone.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use freshet_metadata::{Broker, FenceBroker, MetadataMachine};
use freshet_quorum::{Quorum, Raft};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::room::PeerRoom;

/// A listener that has not refused by then may be there.
const PROBE: Duration = Duration::from_millis(500);

/// See the module.
pub struct FailureDetector {
    raft: Arc<Raft<MetadataMachine>>,
    room: Arc<PeerRoom>,
}

impl FailureDetector {
    /// Watches who comes into `room` and leaves it.
    pub fn new(raft: &Arc<Raft<MetadataMachine>>, room: &Arc<PeerRoom>) -> Self {
        Self {
            raft: Arc::clone(raft),
            room: Arc::clone(room),
        }
    }

    /// Watches until it is aborted.
    pub async fn run(self) {
        let mut leadership = self.raft.leadership();
        loop {
            tokio::select! {
                () = self.room.left() => {}
                changed = leadership.changed() => if changed.is_err() { return },
            }
            if leadership.borrow_and_update().is_mine {
                self.look().await;
            }
        }
    }

    /// Fences those that are gone.
    async fn look(&self) {
        let image = Arc::clone(&self.raft.watch().borrow());
        let serves = |node| image.broker(node).filter(|broker| !broker.fenced);
        let gone = self.room.gone(|node| serves(node).is_some());
        let mut probes = JoinSet::new();
        for broker in gone.into_iter().filter_map(serves) {
            let broker = Arc::clone(broker);
            probes.spawn(async move { refuses(&broker).await.then_some(broker) });
        }
        while let Some(probed) = probes.join_next().await {
            if let Ok(Some(broker)) = probed {
                self.fence(&broker).await;
            }
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

/// Whether none of a broker's listeners accepts anybody.
async fn refuses(broker: &Broker) -> bool {
    for listener in &broker.listeners {
        let connecting = TcpStream::connect((listener.host.as_str(), listener.port));
        let refused = match timeout(PROBE, connecting).await {
            Ok(Err(error)) => error.kind() == ErrorKind::ConnectionRefused,
            Ok(Ok(_)) | Err(_) => false,
        };
        if !refused {
            return false;
        }
    }
    !broker.listeners.is_empty()
}
