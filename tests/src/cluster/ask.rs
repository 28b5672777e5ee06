//! Questions to one broker, in the public protocol.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use freshet_records::Batches;
use freshet_wire::describe_quorum::{PartitionData, PartitionDataResponse, TopicData};
use freshet_wire::{AlterPartitionReassignmentsRequest, CreateTopicsRequest, DeleteTopicsRequest};
use freshet_wire::{
    DescribeQuorumRequest, ElectLeadersRequest, FetchRequest, FindCoordinatorRequest,
    MetadataRequest, OffsetCommitRequest, OffsetFetchRequest,
};
use freshet_wire::{
    alter_partition_reassignments, create_topics, elect_leaders, fetch, metadata, offset_commit,
    offset_fetch,
};

use crate::history::Read;
use crate::raw::Raw;

/// What the clients of the trials understand too.
const METADATA: i16 = 12;
const FETCH: i16 = 12;
const NOT_LEADER: i16 = 6;
const NOT_YET: i16 = 78;
/// A full reading of one partition takes so long at most.
const READ_LIMIT: Duration = Duration::from_secs(30);
const READ_BYTES: i32 = 4 << 20;

/// One partition as metadata tells it.
#[derive(Debug, Clone)]
pub struct PartitionView {
    /// Its number.
    pub index: i32,
    /// Its leader, -1 without one.
    pub leader: i32,
    /// The leader's epoch.
    pub epoch: i32,
    /// Who keeps a copy.
    pub replicas: Vec<i32>,
    /// Who is in sync.
    pub in_sync: Vec<i32>,
}

/// A broker as metadata tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: i32,
    /// The address that clients are told.
    pub host: String,
}

/// The brokers that a broker knows as alive.
pub(super) fn brokers(raw: &mut Raw) -> Result<Vec<Member>> {
    let request = MetadataRequest {
        topics: Some(Vec::new()),
        ..Default::default()
    };
    let told = raw.call(METADATA, &request)?;
    let member = |broker: metadata::MetadataResponseBroker| Member {
        id: broker.node_id,
        host: broker.host,
    };
    Ok(told.brokers.into_iter().map(member).collect())
}

pub(crate) fn partitions(raw: &mut Raw, topic: &str) -> Result<Vec<PartitionView>> {
    let wanted = metadata::MetadataRequestTopic {
        name: Some(topic.to_owned()),
        ..Default::default()
    };
    let request = MetadataRequest {
        topics: Some(vec![wanted]),
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    let mut told = raw.call(METADATA, &request)?;
    let topic = told.topics.pop().context("one topic was asked for")?;
    ensure!(
        topic.error_code == 0,
        "metadata: error {}",
        topic.error_code
    );
    let mut views: Vec<_> = topic
        .partitions
        .into_iter()
        .map(|partition| PartitionView {
            index: partition.partition_index,
            leader: partition.leader_id,
            epoch: partition.leader_epoch,
            replicas: partition.replica_nodes,
            in_sync: partition.isr_nodes,
        })
        .collect();
    views.sort_by_key(|view| view.index);
    Ok(views)
}

pub(super) fn controller(raw: &mut Raw) -> Result<i32> {
    let leader = quorum(raw)?.leader_id;
    ensure!(leader >= 0, "the quorum has no leader");
    Ok(leader)
}

/// Who leads the quorum, and in which epoch.
pub(super) fn reign(raw: &mut Raw) -> Result<(i32, i32)> {
    let told = quorum(raw)?;
    Ok((told.leader_id, told.leader_epoch))
}

pub(super) fn voters(raw: &mut Raw) -> Result<Vec<i32>> {
    let voters = quorum(raw)?.current_voters;
    let mut ids: Vec<i32> = voters.iter().map(|voter| voter.replica_id).collect();
    ids.sort_unstable();
    Ok(ids)
}

fn quorum(raw: &mut Raw) -> Result<PartitionDataResponse> {
    let request = DescribeQuorumRequest {
        topics: vec![TopicData {
            topic_name: "__cluster_metadata".into(),
            partitions: vec![PartitionData::default()],
        }],
    };
    let told = raw.call(0, &request)?;
    ensure!(told.error_code == 0, "quorum: error {}", told.error_code);
    let topic = told.topics.into_iter().next();
    let partitions = topic.context("one topic was asked for")?.partitions;
    partitions.into_iter().next().context("one partition")
}

/// Creates a topic of so many partitions and replicas; gives the error code.
pub(crate) fn create_topic(
    raw: &mut Raw,
    topic: &str,
    (partitions, replicas): (i32, i16),
    configs: &[(&str, &str)],
) -> Result<i16> {
    let config = |(name, value): &(&str, &str)| create_topics::CreatableTopicConfig {
        name: (*name).to_owned(),
        value: Some((*value).to_owned()),
    };
    let wanted = create_topics::CreatableTopic {
        name: topic.to_owned(),
        num_partitions: partitions,
        replication_factor: replicas,
        configs: configs.iter().map(config).collect(),
        ..Default::default()
    };
    let request = CreateTopicsRequest {
        topics: vec![wanted],
        timeout_ms: 5_000,
        validate_only: false,
        ..CreateTopicsRequest::default()
    };
    let told = raw.call(5, &request)?;
    Ok(told.topics.first().context("one topic")?.error_code)
}

/// Deletes a topic; gives the error code.
pub(crate) fn delete_topic(raw: &mut Raw, topic: &str) -> Result<i16> {
    let request = DeleteTopicsRequest {
        topic_names: vec![topic.to_owned()],
        timeout_ms: 5_000,
        ..Default::default()
    };
    let told = raw.call(5, &request)?;
    Ok(told.responses.first().context("one topic")?.error_code)
}

/// Who coordinates a group.
pub(crate) fn coordinator(raw: &mut Raw, group: &str) -> Result<i32> {
    let request = FindCoordinatorRequest {
        key: group.to_owned(),
        ..Default::default()
    };
    let told = raw.call(3, &request)?;
    ensure!(
        told.error_code == 0,
        "coordinator: error {}",
        told.error_code
    );
    Ok(told.node_id)
}

/// What a group has committed, by partition; -1 where it has not.
pub(crate) fn committed(
    raw: &mut Raw,
    group: &str,
    topic: &str,
    partitions: i32,
) -> Result<Vec<i64>> {
    let wanted = offset_fetch::OffsetFetchRequestTopic {
        name: topic.to_owned(),
        partition_indexes: (0..partitions).collect(),
    };
    let request = OffsetFetchRequest {
        group_id: group.to_owned(),
        topics: Some(vec![wanted]),
        ..Default::default()
    };
    let told = raw.call(5, &request)?;
    ensure!(told.error_code == 0, "offsets: error {}", told.error_code);
    let mut partitions = told
        .topics
        .into_iter()
        .next()
        .context("one topic")?
        .partitions;
    partitions.sort_by_key(|partition| partition.partition_index);
    let offset = |partition: &offset_fetch::OffsetFetchResponsePartition| {
        let code = partition.error_code;
        ensure!(code == 0, "offsets: error {code}");
        Ok(partition.committed_offset)
    };
    partitions.iter().map(offset).collect()
}

/// Commits an offset of one partition for a group that has no members.
pub(crate) fn commit(
    raw: &mut Raw,
    group: &str,
    (topic, partition): (&str, i32),
    offset: i64,
) -> Result<()> {
    let partition = offset_commit::OffsetCommitRequestPartition {
        partition_index: partition,
        committed_offset: offset,
        ..Default::default()
    };
    let topic = offset_commit::OffsetCommitRequestTopic {
        name: topic.to_owned(),
        partitions: vec![partition],
        ..Default::default()
    };
    let request = OffsetCommitRequest {
        group_id: group.to_owned(),
        topics: vec![topic],
        ..Default::default()
    };
    let told = raw.call(5, &request)?;
    let topic = told.topics.first().context("one topic")?;
    let code = topic
        .partitions
        .first()
        .context("one partition")?
        .error_code;
    ensure!(code == 0, "committing {offset}: error {code}");
    Ok(())
}

/// Asks for a partition's replicas to be these; gives the error code.
pub(crate) fn reassign(
    raw: &mut Raw,
    topic: &str,
    partition: i32,
    replicas: &[i32],
) -> Result<i16> {
    let wanted = alter_partition_reassignments::ReassignablePartition {
        partition_index: partition,
        replicas: Some(replicas.to_vec()),
    };
    let request = AlterPartitionReassignmentsRequest {
        timeout_ms: 5_000,
        topics: vec![alter_partition_reassignments::ReassignableTopic {
            name: topic.to_owned(),
            partitions: vec![wanted],
        }],
        ..Default::default()
    };
    let told = raw.call(0, &request)?;
    if told.error_code != 0 {
        return Ok(told.error_code);
    }
    let topic = told.responses.first().context("one topic")?;
    Ok(topic
        .partitions
        .first()
        .context("one partition")?
        .error_code)
}

/// Has the first replica of a partition lead, if it is in sync; gives the error code.
pub(crate) fn elect_preferred(raw: &mut Raw, topic: &str, partition: i32) -> Result<i16> {
    let wanted = elect_leaders::TopicPartitions {
        topic: topic.to_owned(),
        partitions: vec![partition],
    };
    let request = ElectLeadersRequest {
        election_type: elect_leaders::PREFERRED,
        topic_partitions: Some(vec![wanted]),
        timeout_ms: 5_000,
    };
    let told = raw.call(2, &request)?;
    if told.error_code != 0 {
        return Ok(told.error_code);
    }
    let topic = told.replica_election_results.first();
    let partition = topic.context("one topic")?.partition_result.first();
    Ok(partition.context("one partition")?.error_code)
}

/// Where a follower's disk begins, of a partition that ends at `end` and has records elsewhere: it reads those
/// as well, and says with each answer what it has itself. A leader says where all begins.
pub(crate) fn disk_start(raw: &mut Raw, topic: &str, partition: i32, end: i64) -> Result<i64> {
    let told = fetch_once(raw, topic, partition, end.max(1) - 1)?;
    match told.error_code {
        0 => Ok(told.log_start_offset.max(0)),
        NOT_LEADER => Ok(0),
        code => bail!("fetching the end of {topic}-{partition}: error {code}"),
    }
}

/// A broker's whole copy of a partition from an offset on, at least up to `end`; `None` if it serves
/// only what it leads. Values are the numbers in the records' keys.
pub fn read_copy(
    raw: &mut Raw,
    topic: &str,
    partition: i32,
    (mut from, end): (i64, Option<i64>),
) -> Result<Option<(Vec<Read>, i64)>> {
    let started = Instant::now();
    let mut shown = Vec::new();
    loop {
        let told = fetch_once(raw, topic, partition, from)?;
        match told.error_code {
            0 => {}
            NOT_LEADER => return Ok(None),
            // A leader is about to know where the first records are.
            NOT_YET if end.is_none() && started.elapsed() < READ_LIMIT => {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            code => bail!("fetching {topic}-{partition} from {from}: error {code}"),
        }
        let high = told.high_watermark;
        let (more, next) = records(told, partition, from)?;
        shown.extend(more);
        from = next;
        if from >= end.unwrap_or(high) && from >= high {
            return Ok(Some((shown, from)));
        }
        ensure!(
            started.elapsed() < READ_LIMIT,
            "{topic}-{partition}: read up to {from} of {end:?} within {READ_LIMIT:?}, the high watermark is {high}"
        );
    }
}

/// The records of an answer from an offset on, and where it ends. Each batch must be whole.
pub(crate) fn records(
    told: fetch::PartitionData,
    partition: i32,
    mut from: i64,
) -> Result<(Vec<Read>, i64)> {
    let mut shown = Vec::new();
    for batch in Batches::new(told.records.into_bytes()) {
        // A response may end within a batch.
        let Ok(batch) = batch else { break };
        batch.check_crc()?;
        let last = batch.header().last_offset();
        if !batch.header().attributes.is_control() {
            for record in batch.records(64 << 20)? {
                let record = record?;
                let offset = record.offset;
                let value = number(record.key.as_deref())?;
                if offset >= from {
                    shown.push(Read {
                        value,
                        partition,
                        offset,
                    });
                }
            }
        }
        from = from.max(last + 1);
    }
    Ok((shown, from))
}

/// Fetches from one partition, and waits for a tenth of a second.
pub(crate) fn fetch_once(
    raw: &mut Raw,
    topic: &str,
    partition: i32,
    from: i64,
) -> Result<fetch::PartitionData> {
    let wanted = fetch::FetchPartition {
        partition,
        fetch_offset: from,
        partition_max_bytes: READ_BYTES,
        ..Default::default()
    };
    let request = FetchRequest {
        max_bytes: READ_BYTES,
        max_wait_ms: 100,
        min_bytes: 1,
        topics: vec![fetch::FetchTopic {
            topic: topic.to_owned(),
            partitions: vec![wanted],
            ..Default::default()
        }],
        ..Default::default()
    };
    let mut told = raw.call(FETCH, &request)?;
    let mut topics = told.responses.pop().context("one topic")?;
    topics.partitions.pop().context("one partition")
}

/// The number that a record's key carries.
fn number(key: Option<&[u8]>) -> Result<u64> {
    let key = std::str::from_utf8(key.context("a record without a key")?)?;
    key.parse()
        .with_context(|| format!("nobody sends the key {key}"))
}
