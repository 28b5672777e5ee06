//! Stored positions of groups: read, set, forget.

use std::collections::BTreeMap;

use freshet_types::{LeaderEpoch, Offset};
use freshet_wire::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use freshet_wire::offset_delete::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use freshet_wire::offset_fetch::OffsetFetchRequestGroup;
use freshet_wire::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetFetchRequest,
    OffsetFetchResponse,
};

use super::{Admin, Outcomes, TopicPartition};
use crate::ClientError;
use crate::cluster::{Call, Lane, Route};

/// The newest versions that name topics; groups may hold positions of topics that are gone, and
/// those have no id any more.
const BY_NAME: Call = Call {
    cap: 9,
    extra: std::time::Duration::ZERO,
};

/// A stored position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOffset {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Offset of the next record to read.
    pub offset: Offset,
    /// Leader epoch stored with it; -1 if unknown.
    pub leader_epoch: LeaderEpoch,
    /// The client's own note.
    pub metadata: String,
}

/// A position to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGroupOffset {
    /// The partition.
    pub partition: TopicPartition,
    /// Offset of the next record to read.
    pub offset: Offset,
    /// Leader epoch of the last record read; -1 if unknown.
    pub leader_epoch: LeaderEpoch,
    /// A note for whoever reads it.
    pub metadata: String,
}

/// Who stores positions: a member of a generation, or nobody in particular.
#[derive(Debug, Clone)]
pub(crate) struct Committer {
    pub(crate) generation: i32,
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
}

impl Committer {
    pub(crate) fn outsider() -> Self {
        Self {
            generation: -1,
            member_id: String::new(),
            instance_id: None,
        }
    }
}

impl Admin {
    /// Every position that a group has stored.
    pub async fn group_offsets(&self, group: &str) -> Result<Vec<GroupOffset>, ClientError> {
        let asked = OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            topics: None,
            ..OffsetFetchRequestGroup::default()
        };
        let request = OffsetFetchRequest {
            groups: vec![asked],
            ..Default::default()
        };
        let lane = Lane::shared();
        let route = Route {
            lane: &lane,
            group,
            call: BY_NAME,
        };
        let refused = |r: &OffsetFetchResponse| r.groups.first().map_or(0, |g| g.error_code);
        let response = self.client.call_group(route, &request, refused).await?;
        let mut offsets = Vec::new();
        for told in response.groups {
            let what = || format!("the positions of group {group:?} cannot be read");
            ClientError::check(told.error_code, None, what)?;
            for topic in told.topics {
                for p in topic.partitions {
                    let what = || format!("the position of {}-{}", topic.name, p.partition_index);
                    ClientError::check(p.error_code, None, what)?;
                    if p.committed_offset >= 0 {
                        offsets.push(GroupOffset {
                            topic: topic.name.clone(),
                            partition: p.partition_index,
                            offset: p.committed_offset,
                            leader_epoch: p.committed_leader_epoch,
                            metadata: p.metadata.unwrap_or_default(),
                        });
                    }
                }
            }
        }
        offsets.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        Ok(offsets)
    }

    /// Stores positions for a group without members.
    pub async fn set_group_offsets(
        &self,
        group: &str,
        offsets: &[NewGroupOffset],
    ) -> Result<Outcomes<TopicPartition, ()>, ClientError> {
        let lane = Lane::shared();
        let route = Route {
            lane: &lane,
            group,
            call: BY_NAME,
        };
        commit(&self.client, route, &Committer::outsider(), offsets).await
    }

    /// Forgets positions of a group that no longer reads those topics.
    pub async fn delete_group_offsets(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Outcomes<TopicPartition, ()>, ClientError> {
        let mut topics = BTreeMap::<&str, Vec<OffsetDeleteRequestPartition>>::new();
        for (topic, partition) in partitions {
            let partition = OffsetDeleteRequestPartition {
                partition_index: *partition,
            };
            topics.entry(topic).or_default().push(partition);
        }
        let topic = |(name, partitions): (&str, _)| OffsetDeleteRequestTopic {
            name: name.to_owned(),
            partitions,
        };
        let request = OffsetDeleteRequest {
            group_id: group.to_owned(),
            topics: topics.into_iter().map(topic).collect(),
        };
        let refused = |r: &freshet_wire::OffsetDeleteResponse| r.error_code;
        let response = self
            .client
            .call_coordinator(group, &request, refused)
            .await?;
        let what = || format!("the positions of group {group:?} were not deleted");
        ClientError::check(response.error_code, None, what)?;
        let mut outcomes = Vec::new();
        for topic in response.topics {
            for p in topic.partitions {
                let key = (topic.name.clone(), p.partition_index);
                outcomes.push((key, ClientError::check(p.error_code, None, what)));
            }
        }
        Ok(outcomes)
    }
}

/// Stores positions.
pub(crate) async fn commit(
    client: &crate::Client,
    route: Route<'_>,
    committer: &Committer,
    offsets: &[NewGroupOffset],
) -> Result<Outcomes<TopicPartition, ()>, ClientError> {
    let mut topics = BTreeMap::<&str, Vec<OffsetCommitRequestPartition>>::new();
    for new in offsets {
        let (topic, partition) = &new.partition;
        topics
            .entry(topic)
            .or_default()
            .push(OffsetCommitRequestPartition {
                partition_index: *partition,
                committed_offset: new.offset,
                committed_leader_epoch: new.leader_epoch,
                committed_metadata: Some(new.metadata.clone()),
            });
    }
    let topic = |(name, partitions): (&str, _)| OffsetCommitRequestTopic {
        name: name.to_owned(),
        partitions,
        ..OffsetCommitRequestTopic::default()
    };
    let request = OffsetCommitRequest {
        group_id: route.group.to_owned(),
        generation_id_or_member_epoch: committer.generation,
        member_id: committer.member_id.clone(),
        group_instance_id: committer.instance_id.clone(),
        topics: topics.into_iter().map(topic).collect(),
        ..OffsetCommitRequest::default()
    };
    let call = Call {
        cap: BY_NAME.cap,
        ..route.call
    };
    let response = client
        .call_group(Route { call, ..route }, &request, first_error)
        .await?;
    let mut outcomes = Vec::new();
    for topic in response.topics {
        for p in topic.partitions {
            let what = || format!("{}-{} was not committed", topic.name, p.partition_index);
            let outcome = ClientError::check(p.error_code, None, what);
            outcomes.push(((topic.name.clone(), p.partition_index), outcome));
        }
    }
    Ok(outcomes)
}

/// A coordinator that has moved says so for every partition.
fn first_error(response: &OffsetCommitResponse) -> i16 {
    let mut partitions = response.topics.iter().flat_map(|t| &t.partitions);
    partitions.next().map_or(0, |p| p.error_code)
}
