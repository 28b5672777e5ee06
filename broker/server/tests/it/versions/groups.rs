//! APIs about groups.

use std::time::Duration;

use bytes::Bytes;
use freshet_types::TopicId;
use freshet_wire::join_group::JoinGroupRequestProtocol;
use freshet_wire::leave_group::MemberIdentity;
use freshet_wire::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use freshet_wire::offset_delete::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use freshet_wire::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use freshet_wire::sync_group::SyncGroupRequestAssignment;
use freshet_wire::{
    ApiKey, DeleteGroupsRequest, DescribeGroupsRequest, ErrorCode, FindCoordinatorRequest,
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, ListGroupsRequest,
    OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest, SyncGroupRequest,
    SyncGroupResponse,
};

use super::{ABSENT, ABSENT_ID, Case, Stage, expect};
use crate::rig::{NODE, Raw};

/// A version of JoinGroup that needs one step only.
const JOIN_AT_ONCE: i16 = 3;

/// Has the coordinator's topic made, and waits until it is loaded.
pub(super) fn await_coordinator(raw: &mut Raw) {
    for _ in 0..500 {
        let found = raw.latest(&find_many("g", 0)).coordinators.remove(0);
        let group = OffsetFetchRequestGroup {
            group_id: "g".to_owned(),
            ..OffsetFetchRequestGroup::default()
        };
        let request = OffsetFetchRequest {
            groups: vec![group],
            ..OffsetFetchRequest::default()
        };
        let loaded = raw.latest(&request).groups.remove(0);
        if found.error_code == 0 && loaded.error_code == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("no coordinator");
}

pub(super) const CASES: &[Case] = &[
    Case {
        key: ApiKey::FindCoordinator,
        plain: |stage, version| {
            let (code, node) = find(stage, version, 0);
            expect(code, ErrorCode::None);
            assert_eq!(node, NODE);
        },
        absent: |stage, version| {
            if version >= 1 {
                let (code, node) = find(stage, version, 9);
                expect(code, ErrorCode::InvalidRequest);
                assert_eq!(node, -1);
                let (code, _) = find(stage, version, 1);
                expect(code, ErrorCode::TransactionalIdAuthorizationFailed);
            }
        },
    },
    Case {
        key: ApiKey::JoinGroup,
        plain: |stage, version| {
            let group = stage.new_name();
            let mut told = join(stage, version, &group, "");
            if version >= 4 {
                expect(told.error_code, ErrorCode::MemberIdRequired);
                let member = told.member_id;
                told = join(stage, version, &group, &member);
            }
            expect(told.error_code, ErrorCode::None);
            assert_eq!((told.generation_id, told.members.len()), (1, 1));
            assert_eq!(told.leader, told.member_id);
            assert_eq!(told.protocol_name.as_deref(), Some("range"));
        },
        absent: |stage, version| {
            let told = join(stage, version, ABSENT, ABSENT);
            expect(told.error_code, ErrorCode::UnknownMemberId);
        },
    },
    Case {
        key: ApiKey::SyncGroup,
        plain: |stage, version| {
            let group = stage.new_name();
            let member = join(stage, JOIN_AT_ONCE, &group, "").member_id;
            let told = sync(stage, version, &group, &member);
            expect(told.error_code, ErrorCode::None);
            assert_eq!(told.assignment, "all of it");
        },
        absent: |stage, version| {
            let told = sync(stage, version, ABSENT, ABSENT);
            expect(told.error_code, ErrorCode::UnknownMemberId);
        },
    },
    Case {
        key: ApiKey::Heartbeat,
        plain: |stage, version| {
            let (group, member) = stable_group(stage);
            let told = heartbeat(stage, version, &group, &member);
            expect(told, ErrorCode::None);
        },
        absent: |stage, version| {
            let told = heartbeat(stage, version, ABSENT, ABSENT);
            expect(told, ErrorCode::UnknownMemberId);
        },
    },
    Case {
        key: ApiKey::LeaveGroup,
        plain: |stage, version| {
            let (group, member) = stable_group(stage);
            expect(leave(stage, version, &group, &member), ErrorCode::None);
        },
        absent: |stage, version| {
            let told = leave(stage, version, ABSENT, ABSENT);
            expect(told, ErrorCode::UnknownMemberId);
        },
    },
    Case {
        key: ApiKey::OffsetCommit,
        plain: |stage, version| {
            let (group, member) = stable_group(stage);
            let told = commit(stage, version, (&group, &member), None);
            expect(told, ErrorCode::None);
            let told = commit(stage, version, (&group, &member), Some(ABSENT_ID));
            let code = if version >= 10 {
                ErrorCode::UnknownTopicId
            } else {
                ErrorCode::UnknownTopicOrPartition
            };
            expect(told, code);
        },
        absent: |stage, version| {
            let told = commit(stage, version, (ABSENT, ABSENT), None);
            let code = if version >= 9 {
                ErrorCode::GroupIdNotFound
            } else {
                ErrorCode::IllegalGeneration
            };
            expect(told, code);
        },
    },
    Case {
        key: ApiKey::OffsetFetch,
        plain: |stage, version| {
            let (group, member) = stable_group(stage);
            expect(commit(stage, 9, (&group, &member), None), ErrorCode::None);
            let id = stage.id;
            assert_eq!(committed(stage, version, &group, Some(id)), (0, 1));
            if version >= 2 {
                assert_eq!(committed(stage, version, &group, None), (0, 1));
            }
        },
        absent: |stage, version| {
            let id = stage.id;
            assert_eq!(committed(stage, version, ABSENT, Some(id)), (0, -1));
            let code = if version >= 10 {
                ErrorCode::UnknownTopicId
            } else {
                ErrorCode::None
            };
            let told = committed(stage, version, ABSENT, Some(ABSENT_ID));
            assert_eq!(told, (code.code(), -1));
        },
    },
    Case {
        key: ApiKey::OffsetDelete,
        plain: |stage, version| {
            let (group, member) = stable_group(stage);
            expect(commit(stage, 9, (&group, &member), None), ErrorCode::None);
            expect(leave(stage, 5, &group, &member), ErrorCode::None);
            let topic = stage.topic.clone();
            let told = forget(stage, version, &group, &topic);
            assert_eq!(told, (0, Some(0)));
            let told = forget(stage, version, &group, ABSENT);
            let unknown = ErrorCode::UnknownTopicOrPartition.code();
            assert_eq!(told, (0, Some(unknown)));
        },
        absent: |stage, version| {
            let topic = stage.topic.clone();
            let told = forget(stage, version, ABSENT, &topic);
            assert_eq!(told, (ErrorCode::GroupIdNotFound.code(), None));
        },
    },
    Case {
        key: ApiKey::ListGroups,
        plain: |stage, version| {
            let (group, _) = stable_group(stage);
            let groups = list(stage, version, "Stable", "Classic");
            assert!(groups.contains(&group), "{groups:?}");
        },
        absent: |stage, version| {
            if version >= 4 {
                assert_eq!(list(stage, version, ABSENT, ""), [""; 0]);
            }
        },
    },
    Case {
        key: ApiKey::DescribeGroups,
        plain: |stage, version| {
            let (group, member) = stable_group(stage);
            let (code, state, members) = describe(stage, version, &group);
            expect(code, ErrorCode::None);
            assert_eq!((state.as_str(), members), ("Stable", vec![member]));
        },
        absent: |stage, version| {
            let (code, state, members) = describe(stage, version, ABSENT);
            let wanted = if version >= 6 {
                ErrorCode::GroupIdNotFound
            } else {
                ErrorCode::None
            };
            expect(code, wanted);
            assert_eq!((state.as_str(), members.len()), ("Dead", 0));
        },
    },
    Case {
        key: ApiKey::DeleteGroups,
        plain: |stage, version| {
            let (group, member) = stable_group(stage);
            expect(delete(stage, version, &group), ErrorCode::NonEmptyGroup);
            expect(leave(stage, 5, &group, &member), ErrorCode::None);
            expect(delete(stage, version, &group), ErrorCode::None);
        },
        absent: |stage, version| {
            expect(delete(stage, version, ABSENT), ErrorCode::GroupIdNotFound);
        },
    },
];

fn find_many(key: &str, key_type: i8) -> FindCoordinatorRequest {
    FindCoordinatorRequest {
        key_type,
        coordinator_keys: vec![key.to_owned()],
        ..FindCoordinatorRequest::default()
    }
}

fn find(stage: &mut Stage, version: i16, key_type: i8) -> (i16, i32) {
    if version >= 4 {
        let mut told = stage.raw.call(version, &find_many("g", key_type));
        let found = told.coordinators.remove(0);
        return (found.error_code, found.node_id);
    }
    let request = FindCoordinatorRequest {
        key: "g".to_owned(),
        key_type,
        ..FindCoordinatorRequest::default()
    };
    let found = stage.raw.call(version, &request);
    (found.error_code, found.node_id)
}

fn join(stage: &mut Stage, version: i16, group: &str, member: &str) -> JoinGroupResponse {
    let protocol = JoinGroupRequestProtocol {
        name: "range".to_owned(),
        metadata: Bytes::from_static(b"topics"),
    };
    let request = JoinGroupRequest {
        group_id: group.to_owned(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        member_id: member.to_owned(),
        protocol_type: "consumer".to_owned(),
        protocols: vec![protocol],
        ..JoinGroupRequest::default()
    };
    stage.raw.call(version, &request)
}

fn sync(stage: &mut Stage, version: i16, group: &str, member: &str) -> SyncGroupResponse {
    let assignment = SyncGroupRequestAssignment {
        member_id: member.to_owned(),
        assignment: Bytes::from_static(b"all of it"),
    };
    let request = SyncGroupRequest {
        group_id: group.to_owned(),
        generation_id: 1,
        member_id: member.to_owned(),
        protocol_type: Some("consumer".to_owned()),
        protocol_name: Some("range".to_owned()),
        assignments: vec![assignment],
        ..SyncGroupRequest::default()
    };
    stage.raw.call(version, &request)
}

/// A new group with one member that has its assignment.
fn stable_group(stage: &mut Stage) -> (String, String) {
    let group = stage.new_name();
    let member = join(stage, JOIN_AT_ONCE, &group, "").member_id;
    let told = sync(stage, 5, &group, &member);
    expect(told.error_code, ErrorCode::None);
    (group, member)
}

fn heartbeat(stage: &mut Stage, version: i16, group: &str, member: &str) -> i16 {
    let request = HeartbeatRequest {
        group_id: group.to_owned(),
        generation_id: 1,
        member_id: member.to_owned(),
        ..HeartbeatRequest::default()
    };
    stage.raw.call(version, &request).error_code
}

fn leave(stage: &mut Stage, version: i16, group: &str, member: &str) -> i16 {
    let mut request = LeaveGroupRequest {
        group_id: group.to_owned(),
        ..LeaveGroupRequest::default()
    };
    if version >= 3 {
        request.members.push(MemberIdentity {
            member_id: member.to_owned(),
            ..MemberIdentity::default()
        });
    } else {
        request.member_id = member.to_owned();
    }
    let told = stage.raw.call(version, &request);
    match told.members.first() {
        Some(member) => member.error_code,
        None => told.error_code,
    }
}

/// Commits offset 1 of the stage's topic, or of another by its id.
fn commit(
    stage: &mut Stage,
    version: i16,
    (group, member): (&str, &str),
    other: Option<TopicId>,
) -> i16 {
    let partition = OffsetCommitRequestPartition {
        committed_offset: 1,
        committed_metadata: Some("m".to_owned()),
        ..OffsetCommitRequestPartition::default()
    };
    let topic = OffsetCommitRequestTopic {
        name: other.map_or(stage.topic.clone(), |_| ABSENT.to_owned()),
        topic_id: other.unwrap_or(stage.id),
        partitions: vec![partition],
    };
    let request = OffsetCommitRequest {
        group_id: group.to_owned(),
        generation_id_or_member_epoch: 1,
        member_id: member.to_owned(),
        topics: vec![topic],
        ..OffsetCommitRequest::default()
    };
    let mut told = stage.raw.call(version, &request);
    told.topics.remove(0).partitions.remove(0).error_code
}

/// Error and committed offset of one topic, or of the only one there is.
fn committed(stage: &mut Stage, version: i16, group: &str, topic: Option<TopicId>) -> (i16, i64) {
    let is_known = topic == Some(stage.id);
    let name = if is_known { &stage.topic } else { ABSENT }.to_owned();
    if version >= 8 {
        let topics = topic.map(|topic_id| OffsetFetchRequestTopics {
            name,
            topic_id,
            partition_indexes: vec![0],
        });
        let group = OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            topics: topics.map(|topic| vec![topic]),
            ..OffsetFetchRequestGroup::default()
        };
        let request = OffsetFetchRequest {
            groups: vec![group],
            ..OffsetFetchRequest::default()
        };
        let mut group = stage.raw.call(version, &request).groups.remove(0);
        expect(group.error_code, ErrorCode::None);
        let told = group.topics.remove(0).partitions.remove(0);
        return (told.error_code, told.committed_offset);
    }
    let topics = topic.map(|_| OffsetFetchRequestTopic {
        name,
        partition_indexes: vec![0],
    });
    let request = OffsetFetchRequest {
        group_id: group.to_owned(),
        topics: topics.map(|topic| vec![topic]),
        ..OffsetFetchRequest::default()
    };
    let mut told = stage.raw.call(version, &request);
    expect(told.error_code, ErrorCode::None);
    let told = told.topics.remove(0).partitions.remove(0);
    (told.error_code, told.committed_offset)
}

/// The error of the whole and that of the partition.
fn forget(stage: &mut Stage, version: i16, group: &str, topic: &str) -> (i16, Option<i16>) {
    let topic = OffsetDeleteRequestTopic {
        name: topic.to_owned(),
        partitions: vec![OffsetDeleteRequestPartition::default()],
    };
    let request = OffsetDeleteRequest {
        group_id: group.to_owned(),
        topics: vec![topic],
    };
    let told = stage.raw.call(version, &request);
    let partition = told
        .topics
        .first()
        .and_then(|topic| topic.partitions.first());
    (
        told.error_code,
        partition.map(|partition| partition.error_code),
    )
}

fn list(stage: &mut Stage, version: i16, state: &str, kind: &str) -> Vec<String> {
    let some = |word: &str, since| {
        let wanted = version >= since && !word.is_empty();
        wanted.then(|| word.to_owned()).into_iter().collect()
    };
    let request = ListGroupsRequest {
        states_filter: some(state, 4),
        types_filter: some(kind, 5),
    };
    let told = stage.raw.call(version, &request);
    expect(told.error_code, ErrorCode::None);
    told.groups
        .into_iter()
        .map(|group| group.group_id)
        .collect()
}

fn describe(stage: &mut Stage, version: i16, group: &str) -> (i16, String, Vec<String>) {
    let request = DescribeGroupsRequest {
        groups: vec![group.to_owned()],
        include_authorized_operations: version >= 3,
    };
    let told = stage.raw.call(version, &request).groups.remove(0);
    let members = told.members.into_iter().map(|member| member.member_id);
    (told.error_code, told.group_state, members.collect())
}

fn delete(stage: &mut Stage, version: i16, group: &str) -> i16 {
    let request = DeleteGroupsRequest {
        groups_names: vec![group.to_owned()],
    };
    stage.raw.call(version, &request).results[0].error_code
}
