//! What this broker sends of throttled replicas, to all followers together (KIP-73).

use freshet_metadata::MetadataImage;
use freshet_partition::Partition;
use freshet_partition::replication::{Throttle, is_throttled};
use freshet_types::NodeId;
use parking_lot::Mutex;

use super::Reader;
use super::look::Room;
use crate::kafka::context::Context;

const REPLICAS: &str = "leader.replication.throttled.replicas";
/// Kafka writes "no limit" as its largest long.
const NO_LIMIT: u64 = i64::MAX as u64;

/// See the module.
#[derive(Debug)]
pub(crate) struct Brakes(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Of the image that the rate is from.
    version: Option<u64>,
    throttle: Throttle,
}

impl Brakes {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State {
            version: None,
            throttle: Throttle::new(u64::MAX),
        }))
    }

    /// Whether what this reader gets of a partition counts. Replicas in sync are never held: they
    /// keep producers waiting.
    pub(super) fn concern(
        &self,
        context: &Context,
        reader: Reader<'_>,
        partition: &Partition,
    ) -> bool {
        let Reader::Replica { node, .. } = reader else {
            return false;
        };
        let image = context.image();
        self.renew(context, &image);
        let is_limited = self.0.lock().throttle.rate() != u64::MAX;
        is_limited
            && is_named(&image, partition, context.identity.node_id)
            && !is_in_sync(&image, partition, node)
    }

    fn renew(&self, context: &Context, image: &MetadataImage) {
        let mut state = self.0.lock();
        if state.version != Some(image.version()) {
            let rate = context.layers().throttles().leader_bytes_per_second;
            let rate = if rate >= NO_LIMIT { u64::MAX } else { rate };
            state.throttle.set_rate(rate, context.clock.monotonic());
            state.version = Some(image.version());
        }
    }

    /// What they get of the room that there is: nothing while the rate is used up, else a piece.
    pub(super) fn limit(&self, context: &Context, room: Room) -> Room {
        let throttle = &self.0.lock().throttle;
        if !throttle.may_copy(context.clock.monotonic()) {
            return Room::NONE;
        }
        room.piece(usize::try_from(throttle.piece_bytes()).unwrap_or(usize::MAX))
    }

    /// So much of what concerns them was sent.
    pub(super) fn sent(&self, context: &Context, bytes: usize) {
        let mut state = self.0.lock();
        let now = context.clock.monotonic();
        state.throttle.copied(bytes as u64, now);
    }
}

fn is_named(image: &MetadataImage, partition: &Partition, leader: NodeId) -> bool {
    let at = partition.id();
    let topic = image.topic_by_id(at.topic);
    let list = topic.and_then(|topic| topic.configs.get(REPLICAS));
    list.is_some_and(|list| is_throttled(list, at.partition, leader))
}

fn is_in_sync(image: &MetadataImage, partition: &Partition, node: NodeId) -> bool {
    let state = image.partition(partition.id());
    state.is_some_and(|state| state.isr.contains(&node))
}
