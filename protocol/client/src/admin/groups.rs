//! Groups: list, describe, delete.

use freshet_types::NodeId;
use freshet_wire::describe_groups::{DescribedGroup, DescribedGroupMember};
use freshet_wire::{
    DeleteGroupsRequest, DescribeGroupsRequest, ErrorCode, ListGroupsRequest, ListGroupsResponse,
};

use super::{Admin, TopicPartition};
use crate::ClientError;
use crate::group::embedded::{ConsumerProtocolAssignment, PROTOCOL_TYPE, flat};

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupListing {
    /// Its id.
    pub id: String,
    /// Its class of protocols, for example "consumer"; empty for a group that only stores offsets.
    pub protocol_type: String,
    /// Its state; empty from a broker that does not tell.
    pub state: String,
    /// Its type, for example "classic"; empty from a broker that does not tell.
    pub kind: String,
    /// The broker that looks after it.
    pub coordinator: NodeId,
}

/// A group in detail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its id.
    pub id: String,
    /// Its state; "Dead" when there is no such group.
    pub state: String,
    /// Its class of protocols.
    pub protocol_type: String,
    /// The chosen protocol: for consumers, the assignor.
    pub protocol: String,
    /// Its members.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// Its id.
    pub id: String,
    /// Its static name.
    pub instance_id: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where it runs.
    pub host: String,
    /// What it reads; empty for other protocols than "consumer".
    pub partitions: Vec<TopicPartition>,
}

impl Admin {
    /// All groups of all brokers, by id.
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>, ClientError> {
        let seen = self.client.view();
        let view = self.client.refresh(&seen).await?;
        let mut groups = Vec::new();
        for node in view.brokers.keys().copied() {
            let request = ListGroupsRequest::default();
            let response: ListGroupsResponse = self.client.call_broker(node, &request).await?;
            let what = || format!("the groups of broker {node} cannot be listed");
            ClientError::check(response.error_code, None, what)?;
            groups.extend(response.groups.into_iter().map(|group| GroupListing {
                id: group.group_id,
                protocol_type: group.protocol_type,
                state: group.group_state,
                kind: group.group_type,
                coordinator: node,
            }));
        }
        groups.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(groups)
    }

    /// One group in detail. A group that is not there is GROUP_ID_NOT_FOUND.
    pub async fn describe_group(&self, group: &str) -> Result<GroupDescription, ClientError> {
        let request = DescribeGroupsRequest {
            groups: vec![group.to_owned()],
            ..DescribeGroupsRequest::default()
        };
        let refused =
            |r: &freshet_wire::DescribeGroupsResponse| r.groups.first().map_or(0, |g| g.error_code);
        let response = self
            .client
            .call_coordinator(group, &request, refused)
            .await?;
        let missing = || ClientError::Refused {
            what: format!("group {group:?}"),
            code: ErrorCode::GroupIdNotFound,
            message: None,
        };
        let described = response.groups.into_iter().next().ok_or_else(missing)?;
        let what = || format!("group {group:?} cannot be described");
        ClientError::check(
            described.error_code,
            described.error_message.as_deref(),
            what,
        )?;
        // Before version 6 a group that is not there is told as dead.
        if described.group_state == "Dead" {
            Err(missing())
        } else {
            Ok(description(described))
        }
    }

    /// Forgets an empty group and its positions.
    pub async fn delete_group(&self, group: &str) -> Result<(), ClientError> {
        let request = DeleteGroupsRequest {
            groups_names: vec![group.to_owned()],
        };
        let refused =
            |r: &freshet_wire::DeleteGroupsResponse| r.results.first().map_or(0, |g| g.error_code);
        let response = self
            .client
            .call_coordinator(group, &request, refused)
            .await?;
        let what = || format!("group {group:?} was not deleted");
        response.results.iter().try_for_each(|result| {
            ClientError::check(result.error_code, result.error_message.as_deref(), what)
        })
    }
}

fn description(group: DescribedGroup) -> GroupDescription {
    let is_consumer = group.protocol_type == PROTOCOL_TYPE;
    let member = |member: DescribedGroupMember| GroupMember {
        partitions: if is_consumer {
            partitions(&member)
        } else {
            Vec::new()
        },
        id: member.member_id,
        instance_id: member.group_instance_id,
        client_id: member.client_id,
        host: member.client_host,
    };
    GroupDescription {
        id: group.group_id,
        state: group.group_state,
        protocol_type: group.protocol_type,
        protocol: group.protocol_data,
        members: group.members.into_iter().map(member).collect(),
    }
}

/// What another client wrote may be unreadable; then nothing is shown.
fn partitions(member: &DescribedGroupMember) -> Vec<TopicPartition> {
    ConsumerProtocolAssignment::from_bytes(member.member_assignment.clone())
        .map(|share| flat(share.assigned_partitions).collect())
        .unwrap_or_default()
}
