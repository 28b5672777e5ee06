//! The way from a group's id to the shard that keeps it.

pub(super) mod lag;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use freshet_coordinators::groups::api::Ask;
use freshet_coordinators::groups::{Groups, owner_partition};
use freshet_partition::{Hosted, OFFSETS_TOPIC};
use freshet_types::PartitionId;
use freshet_wire::ErrorCode;

use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::errors::Coded;

/// The partition of the offsets topic that owns a group; `None` before the topic exists.
pub(crate) fn owner(context: &Context, group: &str) -> Option<PartitionId> {
    let image = context.image();
    let partitions = image.topic(OFFSETS_TOPIC)?.partitions.len();
    Some(owner_partition(group, i32::try_from(partitions).ok()?))
}

/// Asks the shard that owns `group`. The error is of the coordinator, not of the group.
pub(crate) async fn ask<A: Ask>(
    context: &Context,
    group: &str,
    request: A,
) -> Result<A::Answer, ErrorCode> {
    let partition = owner(context, group).ok_or(ErrorCode::NotCoordinator)?;
    ask_owner(context, partition, request).await
}

/// What is not on enough replicas within `offsets.commit.timeout.ms` may still come to be: the
/// client asks again, as it does in Kafka.
async fn in_time<T>(
    context: &Context,
    answer: impl Future<Output = Result<T, ErrorCode>>,
) -> Result<T, ErrorCode> {
    let answer = tokio::time::timeout(context.limits.group_patience, answer);
    answer
        .await
        .unwrap_or(Err(ErrorCode::CoordinatorNotAvailable))
}

/// As [`ask`], for requests that may wait for other members. A broker that stops does not wait for
/// them: the members find the next coordinator.
pub(crate) async fn ask_patiently<A: Ask>(
    context: &Context,
    group: &str,
    request: A,
) -> Result<A::Answer, ErrorCode> {
    let partition = owner(context, group).ok_or(ErrorCode::NotCoordinator)?;
    let shard = context.groups.shard(partition).map_err(|e| e.code())?;
    tokio::select! {
        biased;
        answer = ask_shard(&shard, request) => answer,
        () = context.stop.stopped() => Err(ErrorCode::CoordinatorNotAvailable),
    }
}

/// Asks the shard of a partition.
pub(crate) async fn ask_owner<A: Ask>(
    context: &Context,
    partition: PartitionId,
    request: A,
) -> Result<A::Answer, ErrorCode> {
    let shard = context.groups.shard(partition).map_err(|e| e.code())?;
    in_time(context, ask_shard(&shard, request)).await
}

/// Asks a shard.
pub(crate) async fn ask_shard<A: Ask>(
    shard: &Hosted<Groups>,
    request: A,
) -> Result<A::Answer, ErrorCode> {
    let reply = shard.ask(request.into()).await.map_err(|e| e.code())?;
    // A shard answers in kind; anything else is a bug, which must not take the connection down.
    A::answer(reply).ok_or(ErrorCode::UnknownServerError)
}

/// Sorts groups by their owners, with their places in the request. `None` owns all groups before
/// the offsets topic exists.
pub(crate) fn by_owner(
    context: &Context,
    groups: &[Arc<str>],
) -> BTreeMap<Option<PartitionId>, Vec<usize>> {
    let mut owners: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (at, group) in groups.iter().enumerate() {
        owners.entry(owner(context, group)).or_default().push(at);
    }
    owners
}

/// A copy of its own: a part of a request keeps the whole request in memory, which is too much for
/// what stays as long as a group.
pub(crate) fn own(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// A client's address as Kafka shows it: with a slash, where a host name could stand before it.
pub(crate) fn client_host(call: &Call) -> Arc<str> {
    let address: IpAddr = call.origin.peer.ip().to_canonical();
    format!("/{address}").into()
}
