//! The stored layouts, declared; and the way from and to the types the coordinator thinks in.

use std::sync::Arc;

use bytes::Bytes;
use freshet_codec::{DecodeError, Message, Reader};
use freshet_types::{PartitionId, Timestamp, TopicId};

use super::{GroupValue, MemberValue, OffsetValue, Record, RecordError};

const OFFSET_KEY_LEGACY: i16 = 0;
const OFFSET_KEY: i16 = 1;
const GROUP_KEY: i16 = 2;
/// The version written; it carries the topic id.
const OFFSET_VALUE: i16 = 4;
/// The only version with a time of expiry; written when a client asks for one.
const OFFSET_VALUE_EXPIRING: i16 = 1;
/// The version written: what Kafka writes, so that its brokers can read it back.
const GROUP_VALUE: i16 = 3;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = "0-1")]
struct OffsetCommitKey {
    group: String,
    topic: String,
    partition: i32,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = "0-4", flexible = "4+")]
struct OffsetCommitValue {
    offset: i64,
    #[field(versions = "3+", default = -1, ignorable)]
    leader_epoch: i32,
    metadata: String,
    commit_timestamp: i64,
    #[field(versions = "1", default = -1, ignorable)]
    expire_timestamp: i64,
    #[field(versions = "4+", tag = 0, ignorable)]
    topic_id: TopicId,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = "2")]
struct GroupMetadataKey {
    group: String,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = "0-4", flexible = "4+")]
struct GroupMetadataValue {
    protocol_type: String,
    generation: i32,
    protocol: Option<String>,
    leader: Option<String>,
    #[field(versions = "2+", default = -1, ignorable)]
    current_state_timestamp: i64,
    members: Vec<MemberMetadata>,
}

#[derive(Debug, Clone, PartialEq, Message)]
struct MemberMetadata {
    member_id: String,
    #[field(versions = "3+", ignorable)]
    group_instance_id: Option<String>,
    client_id: String,
    client_host: String,
    #[field(versions = "1+", default = -1, ignorable)]
    rebalance_timeout: i32,
    session_timeout: i32,
    subscription: Bytes,
    assignment: Bytes,
}

/// Why encoding cannot fail: names come from decoded requests or are cut to fit, and sizes are
/// checked when the change is decided.
const FITS: &str = "lengths are bounded before a record is decided";

pub(super) fn offset_key(group: &str, topic: &str, partition: PartitionId) -> Bytes {
    let key = OffsetCommitKey {
        group: group.into(),
        topic: topic.into(),
        partition,
    };
    key.to_stored(OFFSET_KEY).expect(FITS)
}

pub(super) fn group_key(group: &str) -> Bytes {
    GroupMetadataKey {
        group: group.into(),
    }
    .to_stored(GROUP_KEY)
    .expect(FITS)
}

pub(super) fn offset_value(value: &OffsetValue) -> Bytes {
    let version = if value.expires_at.is_some() {
        OFFSET_VALUE_EXPIRING
    } else {
        OFFSET_VALUE
    };
    let stored = OffsetCommitValue {
        offset: value.offset,
        leader_epoch: value.leader_epoch,
        metadata: value.metadata.as_ref().into(),
        commit_timestamp: value.committed_at.0,
        expire_timestamp: value.expires_at.map_or(-1, |at| at.0),
        topic_id: value.topic_id,
    };
    stored.to_stored(version).expect(FITS)
}

pub(super) fn group_value(value: &GroupValue) -> Bytes {
    let stored = GroupMetadataValue {
        protocol_type: value.protocol_type.as_deref().unwrap_or_default().into(),
        generation: value.generation,
        protocol: value.protocol.as_deref().map(Into::into),
        leader: value.leader.as_deref().map(Into::into),
        current_state_timestamp: value.changed_at.unwrap_or(Timestamp::NONE).0,
        members: value.members.iter().map(stored_member).collect(),
    };
    stored.to_stored(GROUP_VALUE).expect(FITS)
}

fn stored_member(member: &MemberValue) -> MemberMetadata {
    MemberMetadata {
        member_id: member.member_id.as_ref().into(),
        group_instance_id: member.instance_id.as_deref().map(Into::into),
        client_id: member.client_id.as_ref().into(),
        client_host: member.client_host.as_ref().into(),
        rebalance_timeout: member.rebalance_timeout_ms,
        session_timeout: member.session_timeout_ms,
        subscription: member.subscription.clone(),
        assignment: member.assignment.clone(),
    }
}

pub(super) fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Record>, RecordError> {
    let mut reader = Reader::new(Bytes::copy_from_slice(key));
    match reader.i16().map_err(flaw("key"))? {
        version @ (OFFSET_KEY_LEGACY | OFFSET_KEY) => {
            let key = OffsetCommitKey::decode(&mut reader, version).map_err(flaw("offset key"))?;
            Ok(Some(Record::Offset {
                group: key.group.into(),
                topic: key.topic.into(),
                partition: key.partition,
                value: value
                    .map(read_offset)
                    .transpose()
                    .map_err(flaw("offset value"))?,
            }))
        }
        GROUP_KEY => {
            let key =
                GroupMetadataKey::decode(&mut reader, GROUP_KEY).map_err(flaw("group key"))?;
            Ok(Some(Record::Group {
                group: key.group.into(),
                value: value
                    .map(read_group)
                    .transpose()
                    .map_err(flaw("group value"))?,
            }))
        }
        _ => Ok(None),
    }
}

fn flaw(what: &'static str) -> impl Fn(DecodeError) -> RecordError {
    move |error| RecordError { what, error }
}

fn read_offset(value: &[u8]) -> Result<OffsetValue, DecodeError> {
    let stored = OffsetCommitValue::from_stored(Bytes::copy_from_slice(value))?;
    Ok(OffsetValue {
        offset: stored.offset,
        leader_epoch: stored.leader_epoch,
        metadata: stored.metadata.into(),
        committed_at: Timestamp(stored.commit_timestamp),
        expires_at: known(stored.expire_timestamp),
        topic_id: stored.topic_id,
    })
}

fn read_group(value: &[u8]) -> Result<Arc<GroupValue>, DecodeError> {
    let stored = GroupMetadataValue::from_stored(Bytes::copy_from_slice(value))?;
    let protocol_type = Some(stored.protocol_type).filter(|name| !name.is_empty());
    Ok(Arc::new(GroupValue {
        protocol_type: protocol_type.map(Into::into),
        generation: stored.generation,
        protocol: stored.protocol.map(Into::into),
        leader: stored.leader.map(Into::into),
        changed_at: known(stored.current_state_timestamp),
        members: stored.members.into_iter().map(read_member).collect(),
    }))
}

fn read_member(member: MemberMetadata) -> MemberValue {
    MemberValue {
        member_id: member.member_id.into(),
        instance_id: member.group_instance_id.map(Into::into),
        client_id: member.client_id.into(),
        client_host: member.client_host.into(),
        rebalance_timeout_ms: member.rebalance_timeout,
        session_timeout_ms: member.session_timeout,
        subscription: member.subscription,
        assignment: member.assignment,
    }
}

fn known(millis: i64) -> Option<Timestamp> {
    (millis != Timestamp::NONE.0).then_some(Timestamp(millis))
}
