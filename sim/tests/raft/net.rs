//! A network between nodes of one process.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freshet_quorum::{Asked, Gate, LinkError, Peer, PeerLink, Raft};
use freshet_sim::{Throws, Weather};
use freshet_types::NodeId;
use parking_lot::Mutex;

use crate::machine::Numbers;

pub(crate) type Node = Arc<Raft<Numbers>>;

/// Seeds that follow one another begin far from each other.
pub(crate) fn throws(seed: u64) -> Throws {
    Throws::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1))
}

struct Wires {
    throws: Throws,
    weather: Weather,
    up: BTreeMap<NodeId, End>,
    /// From whom to whom nothing gets through.
    cut: BTreeSet<(NodeId, NodeId)>,
    /// Of all that was ever delivered, in order.
    delivered: (u64, DefaultHasher),
}

/// A process as the network sees it.
#[derive(Clone)]
pub(crate) struct End {
    pub(crate) life: u64,
    pub(crate) node: Node,
    /// While it is shut, what comes waits in the sockets.
    pub(crate) gate: Gate,
}

/// The network. Clones are the same.
#[derive(Clone)]
pub(crate) struct Net(Arc<Mutex<Wires>>);

impl Net {
    pub(crate) fn new(seed: u64) -> Self {
        let throws = throws(seed);
        let (up, cut, weather) = (BTreeMap::new(), BTreeSet::new(), Weather::FINE);
        Self(Arc::new(Mutex::new(Wires {
            throws,
            weather,
            up,
            cut,
            delivered: Default::default(),
        })))
    }

    pub(crate) fn plug_in(&self, node: NodeId, end: End) {
        self.0.lock().up.insert(node, end);
    }

    pub(crate) fn unplug(&self, node: NodeId) {
        self.0.lock().up.remove(&node);
    }

    pub(crate) fn set_weather(&self, weather: Weather) {
        self.0.lock().weather = weather;
    }

    pub(crate) fn cut(&self, from: NodeId, to: NodeId) {
        self.0.lock().cut.insert((from, to));
    }

    /// Cuts a node off from all others, both ways.
    pub(crate) fn isolate(&self, node: NodeId, others: &[NodeId]) {
        for &other in others.iter().filter(|&&other| other != node) {
            self.cut(node, other);
            self.cut(other, node);
        }
    }

    pub(crate) fn heal(&self) {
        self.0.lock().cut.clear();
    }

    /// How long a message travels; none if it does not arrive.
    fn travel(&self, from: NodeId, to: NodeId) -> Option<Duration> {
        let mut wires = self.0.lock();
        let Weather {
            loss_percent,
            delay_ms: (least, most),
            ..
        } = wires.weather;
        let lost = wires.throws.chance(loss_percent);
        let delay = least + wires.throws.below(most - least + 1);
        (!lost && !wires.cut.contains(&(from, to))).then(|| Duration::from_millis(delay))
    }

    fn find(&self, node: NodeId) -> Option<End> {
        self.0.lock().up.get(&node).cloned()
    }

    fn is_up(&self, node: NodeId, life: u64) -> bool {
        self.find(node).is_some_and(|end| end.life == life)
    }

    /// How many messages were delivered, and a hash of all their bytes in their order.
    pub(crate) fn delivered(&self) -> (u64, u64) {
        let wires = self.0.lock();
        let (count, hasher) = &wires.delivered;
        (*count, hasher.finish())
    }

    fn note(&self, from: NodeId, to: NodeId, bytes: &Bytes) {
        let (count, hasher) = &mut self.0.lock().delivered;
        *count += 1;
        (from, to, bytes).hash(hasher);
    }

    fn is_doubled(&self) -> bool {
        let mut wires = self.0.lock();
        let percent = wires.weather.double_percent;
        wires.throws.chance(percent)
    }
}

/// One node's end of the network, in one life.
pub(crate) struct Link {
    pub(crate) net: Net,
    pub(crate) me: NodeId,
    pub(crate) life: u64,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.me)
    }
}

impl PeerLink for Link {
    fn ask<'a>(&'a self, peer: &'a Peer, request: Bytes, _within: Duration) -> Asked<'a> {
        Box::pin(async move {
            let (net, me, to) = (self.net.clone(), self.me, peer.id.node);
            if !net.is_up(me, self.life) {
                return Err(LinkError::Unreachable("this node is down".to_owned()));
            }
            if net.is_doubled() {
                let (net, request) = (net.clone(), request.clone());
                tokio::spawn(async move { deliver(&net, me, to, request).await });
            }
            // What was sent arrives even if the sender stops waiting.
            let delivered = tokio::spawn(async move { deliver(&net, me, to, request).await });
            match delivered.await.unwrap() {
                Some(Ok(answer)) => Ok(answer),
                Some(Err(refused)) => Err(LinkError::Unreachable(refused)),
                None => std::future::pending().await,
            }
        })
    }
}

/// None: lost, one way or the other.
async fn deliver(
    net: &Net,
    from: NodeId,
    to: NodeId,
    request: Bytes,
) -> Option<Result<Bytes, String>> {
    tokio::time::sleep(net.travel(from, to)?).await;
    let Some(End { life, node, gate }) = net.find(to) else {
        return Some(Err("connection refused".to_owned()));
    };
    gate.is_open().await;
    if !net.is_up(to, life) {
        return Some(Err("connection reset".to_owned()));
    }
    net.note(from, to, &request);
    let answer = gate.hold(node.receive(request)).await.unwrap();
    drop(node);
    net.note(to, from, &answer);
    let back = net.travel(to, from)?;
    tokio::time::sleep(back).await;
    net.is_up(to, life).then_some(Ok(answer))
}
