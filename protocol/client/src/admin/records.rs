//! Trimming logs.

use std::collections::BTreeMap;

use freshet_types::{NodeId, Offset};
use freshet_wire::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use freshet_wire::{DeleteRecordsRequest, DeleteRecordsResponse, ErrorCode};

use super::{Admin, Outcomes, TopicPartition, millis};
use crate::ClientError;

impl Admin {
    /// Moves log starts forward: records before the offset are gone for good. -1 stands for the high
    /// watermark. Answers the new log starts.
    pub async fn delete_records(
        &self,
        before: &[(TopicPartition, Offset)],
    ) -> Result<Outcomes<TopicPartition, Offset>, ClientError> {
        let mut topics: Vec<_> = before.iter().map(|((topic, _), _)| topic.clone()).collect();
        topics.sort();
        topics.dedup();
        self.client.topics(&topics).await?;
        let mut leaders = BTreeMap::<NodeId, BTreeMap<&str, Vec<DeleteRecordsPartition>>>::new();
        for ((topic, index), offset) in before {
            let leader = self
                .client
                .leader(topic, *index)
                .ok_or_else(|| ClientError::Refused {
                    what: format!("partition {index} of topic {topic:?}"),
                    code: ErrorCode::LeaderNotAvailable,
                    message: None,
                })?;
            let partition = DeleteRecordsPartition {
                partition_index: *index,
                offset: *offset,
            };
            leaders
                .entry(leader)
                .or_default()
                .entry(topic)
                .or_default()
                .push(partition);
        }
        let mut outcomes = Vec::new();
        for (leader, topics) in leaders {
            let topic = |(name, partitions): (&str, _)| DeleteRecordsTopic {
                name: name.to_owned(),
                partitions,
            };
            let request = DeleteRecordsRequest {
                topics: topics.into_iter().map(topic).collect(),
                timeout_ms: millis(self.client.config().request_timeout),
            };
            let response = self.client.call_broker(leader, &request).await?;
            outcomes.extend(read(response));
        }
        Ok(outcomes)
    }
}

fn read(response: DeleteRecordsResponse) -> Outcomes<TopicPartition, Offset> {
    let mut outcomes = Vec::new();
    for topic in response.topics {
        for p in topic.partitions {
            let key = (topic.name.clone(), p.partition_index);
            let what = || format!("{}-{} was not trimmed", key.0, key.1);
            let outcome = ClientError::check(p.error_code, None, what).map(|()| p.low_watermark);
            outcomes.push((key, outcome));
        }
    }
    outcomes
}
