//! Committed positions, as a consumer needs them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use freshet_types::Offset;
use freshet_wire::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use freshet_wire::{ErrorCode, OffsetFetchRequest, OffsetFetchResponse};

use super::embedded::by_topic;
use crate::cluster::{Attempts, Call, Lane, Route};
use crate::{Client, ClientError, Consumer, NewGroupOffset, TopicPartition};

/// The newest version that names topics.
const BY_NAME: Call = Call {
    cap: 9,
    extra: Duration::ZERO,
};

/// Where the consumer is in these partitions.
pub(super) fn positions(
    consumer: &Consumer,
    partitions: &BTreeSet<TopicPartition>,
) -> Vec<NewGroupOffset> {
    consumer
        .positions()
        .filter(|(partition, _, _)| partitions.contains(partition))
        .map(|(partition, offset, leader_epoch)| NewGroupOffset {
            partition: partition.clone(),
            offset,
            leader_epoch,
            metadata: String::new(),
        })
        .collect()
}

/// The group's positions in these partitions, where it has any. Waits for transactions that are
/// about to commit some (KIP-447).
pub(super) async fn committed(
    client: &Client,
    group: &str,
    partitions: &[TopicPartition],
) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
    let topics = by_topic(partitions.iter().cloned())
        .into_iter()
        .map(|topic| OffsetFetchRequestTopics {
            name: topic.topic,
            partition_indexes: topic.partitions,
            ..OffsetFetchRequestTopics::default()
        });
    let asked = OffsetFetchRequestGroup {
        group_id: group.to_owned(),
        topics: Some(topics.collect()),
        ..OffsetFetchRequestGroup::default()
    };
    let request = OffsetFetchRequest {
        groups: vec![asked],
        require_stable: true,
        ..Default::default()
    };
    let lane = Lane::shared();
    let route = Route {
        lane: &lane,
        group,
        call: BY_NAME,
    };
    let mut attempts = Attempts::new(client.config(), "OffsetFetch");
    loop {
        let refused = |r: &OffsetFetchResponse| r.groups.first().map_or(0, |g| g.error_code);
        let response = client.call_group(route, &request, refused).await?;
        match read(group, response) {
            Err(error) if error.code() == Some(ErrorCode::UnstableOffsetCommit) => {
                attempts.pause(error).await?;
            }
            outcome => return outcome,
        }
    }
}

fn read(
    group: &str,
    response: OffsetFetchResponse,
) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
    let what = || format!("the positions of group {group:?} cannot be read");
    let mut offsets = BTreeMap::new();
    for told in response.groups {
        ClientError::check(told.error_code, None, what)?;
        for topic in told.topics {
            for p in topic.partitions {
                ClientError::check(p.error_code, None, what)?;
                if p.committed_offset >= 0 {
                    offsets.insert((topic.name.clone(), p.partition_index), p.committed_offset);
                }
            }
        }
    }
    Ok(offsets)
}
