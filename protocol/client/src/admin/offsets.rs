//! Offsets by time, and what else leaders tell of them.

mod tiers;

use std::collections::{BTreeMap, HashMap};

use freshet_types::{LeaderEpoch, NodeId, Offset, Retry, Timestamp};
use freshet_wire::list_offsets::{
    EARLIEST, EARLIEST_LOCAL, LATEST, LATEST_TIERED, ListOffsetsPartition, ListOffsetsTopic,
    MAX_TIMESTAMP,
};
use freshet_wire::{ErrorCode, ListOffsetsRequest, ListOffsetsResponse};

pub use self::tiers::{TierStanding, TierState};
use super::{Admin, Outcomes, TopicPartition, millis};
use crate::cluster::{Attempts, Call, Lane};
use crate::{Client, ClientError, ClusterView};

/// Which offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The log's start.
    Earliest,
    /// One behind the last record that consumers may see.
    Latest,
    /// The first record at this time or later.
    At(Timestamp),
    /// The record with the largest timestamp.
    MaxTimestamp,
    /// The first one on the leader's disk (KIP-405).
    EarliestLocal,
    /// The last one in object storage, -1 if there is none (KIP-1005).
    LatestTiered,
}

impl OffsetSpec {
    fn timestamp(self) -> i64 {
        match self {
            Self::Earliest => EARLIEST,
            Self::Latest => LATEST,
            Self::At(time) => time.0,
            Self::MaxTimestamp => MAX_TIMESTAMP,
            Self::EarliestLocal => EARLIEST_LOCAL,
            Self::LatestTiered => LATEST_TIERED,
        }
    }
}

/// An offset that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundOffset {
    /// The offset; -1 when no record is that late.
    pub offset: Offset,
    /// The record's time, or -1.
    pub timestamp: Timestamp,
    /// Its leader epoch; -1 if unknown.
    pub leader_epoch: LeaderEpoch,
}

impl Admin {
    /// Finds one offset in each partition. Leaders that move are followed, and those that do not know yet
    /// are asked again; what none has told in time is that partition's error alone.
    pub async fn list_offsets(
        &self,
        asked: &[(TopicPartition, OffsetSpec)],
        read_committed: bool,
    ) -> Result<Outcomes<TopicPartition, FoundOffset>, ClientError> {
        let topics = topics_of(asked);
        let mut attempts = Attempts::new(self.client.config(), "ListOffsets");
        let mut found = HashMap::new();
        loop {
            let view = self.client.topics(&topics).await?;
            let open = asked.iter().filter(|(p, _)| !found.contains_key(p));
            let mut untold = HashMap::new();
            for (leader, partitions) in by_leader(&view, open) {
                let asking = self.ask(leader, &partitions, read_committed, &mut found);
                for (partition, error) in asking.await {
                    match error.retry() {
                        Retry::Never => drop(found.insert(partition, Err(error))),
                        _ => drop(untold.insert(partition, error)),
                    }
                }
            }
            let Some(error) = untold.values().next().cloned() else {
                break;
            };
            if let Err(late) = attempts.pause(error).await {
                let of_its_own = |(p, error)| (p, Err(late.clone().after(error)));
                found.extend(untold.into_iter().map(of_its_own));
                break;
            }
            self.client.refresh_quietly(&view).await;
        }
        Ok(outcomes(asked, found))
    }

    /// One request. Outcomes that stand go to `found`; gives the errors that are worth another try.
    async fn ask(
        &self,
        leader: Option<NodeId>,
        asked: &[&(TopicPartition, OffsetSpec)],
        read_committed: bool,
        found: &mut HashMap<TopicPartition, Result<FoundOffset, ClientError>>,
    ) -> HashMap<TopicPartition, ClientError> {
        let what = |p: &TopicPartition| format!("the offset of {}-{} cannot be found", p.0, p.1);
        let all = |error: ClientError| {
            let each = asked.iter().map(|(p, _)| (p.clone(), error.clone()));
            each.collect()
        };
        let Some(leader) = leader else {
            let each = asked.iter().map(|(p, _)| (p.clone(), leaderless(what(p))));
            return each.collect();
        };
        let request = request(&self.client, asked.iter().copied(), read_committed);
        let lane = Lane::shared();
        let calling = self
            .client
            .call_once(&lane, leader, &request, Call::default());
        let response: ListOffsetsResponse = match calling.await {
            Ok(response) => response,
            Err(error) => return all(error),
        };
        let mut again = HashMap::new();
        for topic in response.topics {
            for p in topic.partitions {
                let key = (topic.name.clone(), p.partition_index);
                match ClientError::check(p.error_code, None, || what(&key)) {
                    Err(error) if error.blames_metadata() => drop(again.insert(key, error)),
                    outcome => {
                        let offset = FoundOffset {
                            offset: p.offset,
                            timestamp: Timestamp(p.timestamp),
                            leader_epoch: p.leader_epoch,
                        };
                        found.insert(key, outcome.map(|()| offset));
                    }
                }
            }
        }
        again
    }
}

/// There is nobody to ask.
fn leaderless(what: String) -> ClientError {
    ClientError::Refused {
        what,
        code: ErrorCode::LeaderNotAvailable,
        message: None,
    }
}

/// Each topic once.
fn topics_of(asked: &[(TopicPartition, OffsetSpec)]) -> Vec<String> {
    let mut topics: Vec<_> = asked.iter().map(|((topic, _), _)| topic.clone()).collect();
    topics.sort();
    topics.dedup();
    topics
}

/// What was found, in the order of the questions.
fn outcomes<T>(
    asked: &[(TopicPartition, OffsetSpec)],
    mut found: HashMap<TopicPartition, Result<T, ClientError>>,
) -> Outcomes<TopicPartition, T> {
    let outcome = |(partition, _): &(TopicPartition, _)| {
        let missing = || {
            Err(ClientError::Invalid(format!(
                "no answer about {partition:?}"
            )))
        };
        let outcome = found.remove(partition).unwrap_or_else(missing);
        (partition.clone(), outcome)
    };
    asked.iter().map(outcome).collect()
}

type ByLeader<'a> = BTreeMap<Option<NodeId>, Vec<&'a (TopicPartition, OffsetSpec)>>;

fn by_leader<'a>(
    view: &ClusterView,
    asked: impl Iterator<Item = &'a (TopicPartition, OffsetSpec)>,
) -> ByLeader<'a> {
    let mut leaders = ByLeader::new();
    for one in asked {
        let (topic, partition) = &one.0;
        let known = view.topic(topic).and_then(|t| t.partition(*partition));
        leaders
            .entry(known.and_then(|p| p.leader))
            .or_default()
            .push(one);
    }
    leaders
}

fn request<'a>(
    client: &Client,
    asked: impl IntoIterator<Item = &'a (TopicPartition, OffsetSpec)>,
    read_committed: bool,
) -> ListOffsetsRequest {
    let mut topics = BTreeMap::<&str, Vec<ListOffsetsPartition>>::new();
    for ((topic, partition), spec) in asked {
        topics.entry(topic).or_default().push(ListOffsetsPartition {
            partition_index: *partition,
            timestamp: spec.timestamp(),
            ..ListOffsetsPartition::default()
        });
    }
    let topic = |(name, partitions): (&str, _)| ListOffsetsTopic {
        name: name.to_owned(),
        partitions,
    };
    ListOffsetsRequest {
        replica_id: -1,
        isolation_level: i8::from(read_committed),
        topics: topics.into_iter().map(topic).collect(),
        timeout_ms: millis(client.config().request_timeout),
        wants_tiers: false,
    }
}
