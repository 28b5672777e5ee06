//! What this broker takes of throttled replicas, of all streams together (KIP-73).

use std::sync::Arc;
use std::time::Duration;

use freshet_metadata::{ConfigOwner, MetadataImage};
use freshet_partition::replication::{Throttle, is_throttled};
use freshet_settings::{Layers, Overrides, StaticSettings};
use freshet_types::{Millis, NodeId, TopicPartition};
use parking_lot::Mutex;
use tokio::time::Instant;

const RATE: &str = "follower.replication.throttled.rate";
const REPLICAS: &str = "follower.replication.throttled.replicas";
/// Longest time until a throttled partition is looked at again: the rate may have changed.
const LONGEST_REST: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct State {
    cluster: Arc<Overrides>,
    broker: Arc<Overrides>,
    throttle: Throttle,
}

/// See the module. Replicas in sync are never held: they keep producers waiting.
#[derive(Debug)]
pub(super) struct Brakes {
    node: NodeId,
    statics: Arc<StaticSettings>,
    begin: Instant,
    state: Mutex<State>,
}

impl Brakes {
    pub(super) fn new(node: NodeId, statics: Arc<StaticSettings>) -> Self {
        let layers = Layers::of(Arc::clone(&statics));
        let state = State {
            cluster: Arc::clone(&layers.cluster),
            broker: Arc::clone(&layers.broker),
            throttle: Throttle::new(rate(&layers)),
        };
        Self {
            node,
            statics,
            begin: Instant::now(),
            state: Mutex::new(state),
        }
    }

    /// Takes in what is set now.
    pub(super) fn renew(&self, image: &MetadataImage) {
        let cluster = image.configs(&ConfigOwner::Cluster);
        let broker = image.configs(&ConfigOwner::Broker(self.node));
        let mut state = self.state.lock();
        if state.cluster != cluster || state.broker != broker {
            let layers = Layers {
                statics: Arc::clone(&self.statics),
                cluster: Arc::clone(&cluster),
                broker: Arc::clone(&broker),
                ..Layers::default()
            };
            let now = self.now();
            state.throttle.set_rate(rate(&layers), now);
            (state.cluster, state.broker) = (cluster, broker);
        }
    }

    /// Until when a partition is left out; `None` if it is not.
    pub(super) fn held(&self, at: TopicPartition, image: &MetadataImage) -> Option<Instant> {
        let now = self.now();
        let free_at = {
            let throttle = &self.state.lock().throttle;
            if throttle.may_copy(now) {
                return None;
            }
            throttle.free_at()
        };
        self.concerns(at, image).then(|| {
            let rest = Duration::from_millis(free_at.0.saturating_sub(now.0));
            Instant::now() + rest.min(LONGEST_REST)
        })
    }

    /// A partition has received so many bytes.
    pub(super) fn copied(&self, at: TopicPartition, bytes: usize, image: &MetadataImage) {
        let unlimited = self.state.lock().throttle.rate() == u64::MAX;
        if bytes > 0 && !unlimited && self.concerns(at, image) {
            let now = self.now();
            self.state.lock().throttle.copied(bytes as u64, now);
        }
    }

    fn concerns(&self, at: TopicPartition, image: &MetadataImage) -> bool {
        let topic = image.topic_by_id(at.topic);
        let list = topic.and_then(|topic| topic.configs.get(REPLICAS));
        let in_sync = || {
            let partition = image.partition(at);
            partition.is_some_and(|partition| partition.isr.contains(&self.node))
        };
        list.is_some_and(|list| is_throttled(list, at.partition, self.node)) && !in_sync()
    }

    fn now(&self) -> Millis {
        let millis = self.begin.elapsed().as_millis();
        Millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

/// Kafka writes "no limit" as its largest long.
fn rate(layers: &Layers) -> u64 {
    let set = layers.value(RATE).and_then(|text| text.parse::<i64>().ok());
    match set {
        None | Some(i64::MAX) => u64::MAX,
        Some(rate) => u64::try_from(rate).unwrap_or(0),
    }
}
