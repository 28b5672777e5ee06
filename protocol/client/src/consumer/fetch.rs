//! Asking brokers for records, and taking in what they answer.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use freshet_types::{NodeId, Offset, TopicId};
use freshet_wire::fetch::{FetchPartition, FetchTopic, PartitionData};
use freshet_wire::{ErrorCode, FetchRequest, FetchResponse};
use tokio::time::Instant;

use super::aborted::Aborted;
use super::chunk::Chunk;
use super::position::Position;
use super::{Consumer, ConsumerConfig, Reset, Start};
use crate::cluster::{Call, cap_for_ids};
use crate::{Client, ClientError, ClusterView, TopicPartition};

/// From this version on Fetch names topics by id (KIP-516).
const IDS_FROM: i16 = 13;

/// A fetch that has come back.
#[derive(Debug)]
pub(super) struct Fetched {
    node: NodeId,
    asked: Asked,
    response: Result<FetchResponse, ClientError>,
}

/// What a fetch asked for.
#[derive(Debug, Default)]
struct Asked {
    /// The assignment and the offset of each partition.
    partitions: HashMap<TopicPartition, (u64, Offset)>,
    names: HashMap<TopicId, String>,
    topics: BTreeMap<String, FetchTopic>,
    all_have_ids: bool,
}

impl Consumer {
    /// Looks up the offsets of partitions that do not know where to begin.
    pub(super) async fn look_up_starts(&mut self) -> Result<(), ClientError> {
        let unknown: Vec<_> = self
            .positions
            .iter()
            .filter(|(_, at)| at.fetch.is_none())
            .filter_map(|(partition, at)| Some((partition.clone(), at.start.spec().ok()?)))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let committed = self.config.read_committed;
        let found = self
            .client
            .admin()
            .list_offsets(&unknown, committed)
            .await?;
        let (mut beyond, mut failed) = (Vec::new(), Ok(()));
        for (partition, outcome) in found {
            let offset = match outcome {
                Ok(found) => found.offset,
                Err(error) => {
                    failed = failed.and(Err(error));
                    continue;
                }
            };
            if offset < 0 {
                beyond.push(partition);
            } else if let Some(at) = self.positions.get_mut(&partition) {
                (at.fetch, at.next) = (Some(offset), Some(offset));
            }
        }
        // No record is that late: read what comes.
        for partition in beyond {
            self.positions.set(partition, Start::Latest);
        }
        failed
    }

    /// Asks every broker that has no fetch under way.
    pub(super) fn start_fetches(&mut self) {
        let buffered: usize = self.chunks.iter().map(|chunk| chunk.bytes).sum();
        if buffered >= self.config.buffer_bytes {
            return;
        }
        let view = self.client.view();
        for (node, asked) in self.plan_fetches(&view) {
            self.busy.insert(node);
            let request = request(&asked, &self.config);
            let call = Call {
                cap: cap_for_ids::<FetchRequest>(IDS_FROM, asked.all_have_ids),
                extra: self.config.max_wait,
            };
            let (client, lane) = (self.client.clone(), Arc::clone(&self.lane));
            self.fetches.spawn(async move {
                let response = client.call_once(&lane, node, &request, call).await;
                Fetched {
                    node,
                    asked,
                    response,
                }
            });
        }
    }

    fn plan_fetches(&mut self, view: &ClusterView) -> BTreeMap<NodeId, Asked> {
        let now = Instant::now();
        let mut nodes = BTreeMap::<NodeId, Asked>::new();
        // A chunk behind the one being read is enough.
        let waiting: Vec<_> = self
            .chunks
            .iter()
            .skip(1)
            .map(|c| c.partition.clone())
            .collect();
        let mut leaderless = Vec::new();
        for (partition, at) in self.positions.iter() {
            let Some(offset) = at.fetch.filter(|_| at.pause_until.is_none_or(|p| p <= now)) else {
                continue;
            };
            let topic = view.topic(&partition.0);
            let Some((topic, told)) = topic.and_then(|t| Some((t, t.partition(partition.1)?)))
            else {
                leaderless.push(partition.clone());
                continue;
            };
            let Some(leader) = told.leader else {
                leaderless.push(partition.clone());
                continue;
            };
            if self.busy.contains(&leader) || waiting.contains(partition) {
                continue;
            }
            let asked = nodes.entry(leader).or_insert_with(|| Asked {
                all_have_ids: true,
                ..Asked::default()
            });
            let limit = self.config.partition_max_bytes;
            asked.add(
                partition,
                (at.serial, offset),
                (topic.id, told.leader_epoch, limit),
            );
        }
        if !leaderless.is_empty() {
            self.pause(&leaderless);
            self.refresh_later(leaderless);
        }
        nodes
    }

    /// Takes in an answer.
    pub(super) async fn take_in(&mut self, fetched: Fetched) -> Result<(), ClientError> {
        self.busy.remove(&fetched.node);
        let asked = fetched.asked;
        let all: Vec<_> = asked.partitions.keys().cloned().collect();
        let response = fetched.response.and_then(|response| {
            ClientError::check(response.error_code, None, || "Fetch".to_owned()).map(|()| response)
        });
        let response = match response {
            Ok(response) => response,
            Err(error) if error.retry() == freshet_types::Retry::Never => return Err(error),
            Err(error) => {
                tracing::debug!(%error, node = %fetched.node, "a fetch failed");
                self.pause(&all);
                self.client.refresh_quietly(&self.client.view()).await;
                return Ok(());
            }
        };
        let mut stale = Vec::new();
        for topic in response.responses {
            let by_id = asked
                .names
                .get(&topic.topic_id)
                .filter(|_| !topic.topic_id.is_zero());
            let name = by_id.cloned().unwrap_or(topic.topic);
            for data in topic.partitions {
                let partition = (name.clone(), data.partition_index);
                let Some(&(serial, offset)) = asked.partitions.get(&partition) else {
                    continue;
                };
                let Some(at) = self.positions.get_mut(&partition) else {
                    continue;
                };
                // Assigned anew since: the answer belongs to another reading.
                if at.serial != serial || at.fetch != Some(offset) {
                    continue;
                }
                match ClientError::check(data.error_code, None, || describe(&partition, offset)) {
                    Ok(()) => self
                        .chunks
                        .extend(accept(at, partition, data, &self.config)),
                    Err(error) if error.code() == Some(ErrorCode::OffsetOutOfRange) => {
                        self.reset(partition, error)?;
                    }
                    Err(error) if error.blames_metadata() => stale.push(partition),
                    Err(error) if error.retry() == freshet_types::Retry::After => {
                        self.pause(&[partition]);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        if !stale.is_empty() {
            self.pause(&stale);
            self.client.refresh_quietly(&self.client.view()).await;
        }
        Ok(())
    }

    /// The position is gone from the log.
    fn reset(&mut self, partition: TopicPartition, error: ClientError) -> Result<(), ClientError> {
        let start = match self.config.reset {
            Reset::Earliest => Start::Earliest,
            Reset::Latest => Start::Latest,
            Reset::Fail => return Err(error),
        };
        tracing::warn!(topic = partition.0, partition = partition.1, %error, "position reset");
        self.assign(partition, start);
        Ok(())
    }

    fn pause(&mut self, partitions: &[TopicPartition]) {
        let until = Instant::now() + self.client.config().backoff_min * 2;
        for partition in partitions {
            if let Some(at) = self.positions.get_mut(partition) {
                at.pause_until = Some(until);
            }
        }
    }

    /// Asks for the cluster in the background; topics without a leader are followed from then on.
    fn refresh_later(&mut self, partitions: Vec<TopicPartition>) {
        let client = self.client.clone();
        tokio::spawn(async move { follow(&client, partitions).await });
    }
}

async fn follow(client: &Client, partitions: Vec<TopicPartition>) {
    let mut topics: Vec<_> = partitions.into_iter().map(|(topic, _)| topic).collect();
    topics.dedup();
    if let Err(error) = client.ask_topics(&topics).await {
        tracing::debug!(%error, "topics could not be asked for");
    }
}

impl Asked {
    fn add(
        &mut self,
        partition: &TopicPartition,
        (serial, offset): (u64, Offset),
        (topic_id, current_leader_epoch, partition_max_bytes): (TopicId, i32, i32),
    ) {
        let (name, index) = partition;
        self.partitions.insert(partition.clone(), (serial, offset));
        self.names.insert(topic_id, name.clone());
        self.all_have_ids &= !topic_id.is_zero();
        let topic = self
            .topics
            .entry(name.clone())
            .or_insert_with(|| FetchTopic {
                topic: name.clone(),
                topic_id,
                partitions: Vec::new(),
            });
        topic.partitions.push(FetchPartition {
            partition: *index,
            current_leader_epoch,
            fetch_offset: offset,
            partition_max_bytes,
            ..FetchPartition::default()
        });
    }
}

fn request(asked: &Asked, config: &ConsumerConfig) -> FetchRequest {
    FetchRequest {
        max_wait_ms: i32::try_from(config.max_wait.as_millis()).unwrap_or(i32::MAX),
        min_bytes: config.min_bytes,
        max_bytes: config.max_bytes,
        isolation_level: i8::from(config.read_committed),
        topics: asked.topics.values().cloned().collect(),
        ..FetchRequest::default()
    }
}

fn describe((topic, partition): &TopicPartition, offset: Offset) -> String {
    format!("{topic}-{partition} cannot be read at offset {offset}")
}

/// Takes the records of a partition; the next fetch goes on behind them.
fn accept(
    at: &mut Position,
    partition: TopicPartition,
    data: PartitionData,
    config: &ConsumerConfig,
) -> Option<Chunk> {
    let stable = data.last_stable_offset;
    let end = if config.read_committed && stable >= 0 {
        stable
    } else {
        data.high_watermark
    };
    at.end = Some(end);
    at.pause_until = None;
    let bytes = data.records.into_bytes();
    if bytes.is_empty() {
        return None;
    }
    let aborted = Aborted::new(data.aborted_transactions.unwrap_or_default());
    // Without one whole batch the chunk says what is wrong when it is read.
    if let Some(end) = Chunk::end(&bytes) {
        at.fetch = Some(end.max(at.fetch.unwrap_or(end)));
    }
    Some(Chunk::new(partition, bytes, aborted))
}
