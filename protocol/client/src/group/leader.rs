//! What the leader of a group does: share out.

use std::collections::{BTreeMap, BTreeSet};

use freshet_wire::join_group::JoinGroupResponseMember;
use freshet_wire::sync_group::SyncGroupRequestAssignment;

use super::assignor::{Assignor, MemberView};
use super::embedded::{ConsumerProtocolAssignment, ConsumerProtocolSubscription, by_topic, flat};
use crate::{Client, ClientError, ClusterView};

/// Partition counts by topic.
pub(super) type Counts = BTreeMap<String, i32>;
/// The topics that the members want, and the counts of those that exist.
pub(super) type SharedOut = (Vec<String>, Counts);

/// Shares out among the members, and tells of what.
pub(super) async fn share_out(
    client: &Client,
    assignor: Assignor,
    members: Vec<JoinGroupResponseMember>,
) -> Result<(Vec<SyncGroupRequestAssignment>, SharedOut), ClientError> {
    let members: Vec<_> = members.into_iter().map(view).collect::<Result<_, _>>()?;
    let topics: BTreeSet<_> = members
        .iter()
        .flat_map(|m| m.topics.iter().cloned())
        .collect();
    let topics: Vec<_> = topics.into_iter().collect();
    let counts = counts(&*client.ask_topics(&topics).await?, &topics);
    let shares = assignor
        .assign(&members, &counts)
        .into_iter()
        .map(|(member_id, share)| {
            let assignment = ConsumerProtocolAssignment {
                assigned_partitions: by_topic(share),
                user_data: None,
            };
            Ok(SyncGroupRequestAssignment {
                member_id,
                assignment: assignment.to_bytes()?,
            })
        });
    Ok((
        shares.collect::<Result<_, ClientError>>()?,
        (topics, counts),
    ))
}

/// Partition counts of the topics that exist; the others are shared out once they do.
pub(super) fn counts(view: &ClusterView, topics: &[String]) -> Counts {
    let count = |name: &String| Some((name.clone(), view.topic(name)?.partitions.len() as i32));
    topics.iter().filter_map(count).collect()
}

fn view(member: JoinGroupResponseMember) -> Result<MemberView, ClientError> {
    let said = ConsumerProtocolSubscription::from_bytes(member.metadata)?;
    Ok(MemberView {
        id: member.member_id,
        instance: member.group_instance_id,
        topics: said.topics,
        owned: flat(said.owned_partitions).collect(),
        generation: said.generation_id,
    })
}
