//! Produce requests, and what their answers mean for each batch.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use freshet_types::{PartitionId, Timestamp, TopicId};
use freshet_wire::produce::{PartitionProduceData, PartitionProduceResponse, TopicProduceData};
use freshet_wire::{ErrorCode, ProduceRequest, ProduceResponse};
use tokio::time::Instant;

use super::accumulator::Slot;
use super::batch::SealedBatch;
use super::queue::Outcome;
use super::{Acks, Delivery, ProducerConfig};
use crate::cluster::cap_for_ids;
use crate::{ClientError, ClusterView};

/// From this version on Produce names topics by id (KIP-516).
const IDS_FROM: i16 = 13;

/// A batch in a request.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) slot: Arc<Slot>,
    pub(super) batch: SealedBatch,
    topic_id: TopicId,
}

/// A request to one broker, at most one batch for each partition.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) sent: Vec<Sent>,
    bytes: usize,
}

impl Plan {
    /// Whether a batch of this size still fits.
    pub(super) fn has_room(&self, bytes: usize, config: &ProducerConfig) -> bool {
        self.sent.is_empty() || self.bytes + bytes <= config.max_request_bytes
    }

    pub(super) fn push(&mut self, slot: Arc<Slot>, batch: SealedBatch, view: &ClusterView) {
        self.bytes += batch.size_bytes();
        let topic_id = view.topic(&slot.topic).map_or(TopicId::ZERO, |t| t.id);
        self.sent.push(Sent {
            slot,
            batch,
            topic_id,
        });
    }

    /// The newest version that can name all its topics.
    pub(super) fn cap(&self) -> i16 {
        let all_have_ids = self.sent.iter().all(|s| !s.topic_id.is_zero());
        cap_for_ids::<ProduceRequest>(IDS_FROM, all_have_ids)
    }

    pub(super) fn request(&self, config: &ProducerConfig, timeout: Duration) -> ProduceRequest {
        let mut topics = HashMap::<&str, TopicProduceData>::new();
        for sent in &self.sent {
            let topic = topics
                .entry(&sent.slot.topic)
                .or_insert_with(|| TopicProduceData {
                    name: sent.slot.topic.to_string(),
                    topic_id: sent.topic_id,
                    partition_data: Vec::new(),
                });
            topic.partition_data.push(PartitionProduceData {
                index: sent.slot.partition,
                records: Some(sent.batch.batch.bytes().clone()),
            });
        }
        ProduceRequest {
            transactional_id: None,
            acks: match config.acks {
                Acks::None => 0,
                Acks::Leader => 1,
                Acks::All => -1,
            },
            timeout_ms: i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX),
            topic_data: topics.into_values().collect(),
        }
    }
}

/// What a broker answered, by partition. Topics are named by name or by id, as the version has it.
pub(super) struct Answers {
    by_name: HashMap<(String, PartitionId), PartitionProduceResponse>,
    by_id: HashMap<(TopicId, PartitionId), PartitionProduceResponse>,
}

impl Answers {
    pub(super) fn new(response: ProduceResponse) -> Self {
        let mut answers = Self {
            by_name: HashMap::new(),
            by_id: HashMap::new(),
        };
        for topic in response.responses {
            for partition in topic.partition_responses {
                if topic.topic_id.is_zero() {
                    answers
                        .by_name
                        .insert((topic.name.clone(), partition.index), partition);
                } else {
                    answers
                        .by_id
                        .insert((topic.topic_id, partition.index), partition);
                }
            }
        }
        answers
    }

    /// What the answer means for a batch; `again_at` is when a retry may go out.
    pub(super) fn outcome(&mut self, sent: &Sent, again_at: Instant) -> Outcome {
        let partition = sent.slot.partition;
        let answer = self.by_id.remove(&(sent.topic_id, partition)).or_else(|| {
            self.by_name
                .remove(&(sent.slot.topic.to_string(), partition))
        });
        let what = || {
            format!(
                "a batch for {}-{partition} was not written",
                sent.slot.topic
            )
        };
        match answer {
            Some(answer) => outcome_of(&answer, what, again_at),
            None => Outcome::Failed(ClientError::Invalid(format!(
                "{}: the broker left it out of its answer",
                what()
            ))),
        }
    }
}

fn outcome_of(
    answer: &PartitionProduceResponse,
    what: impl FnOnce() -> String,
    again_at: Instant,
) -> Outcome {
    let written = |offset| {
        let log_append_time = Timestamp(answer.log_append_time_ms);
        Outcome::Written(Delivery {
            partition: answer.index,
            offset,
            log_append_time,
        })
    };
    let message = answer.error_message.as_deref();
    let Err(error) = ClientError::check(answer.error_code, message, what) else {
        return written(answer.base_offset);
    };
    let code = error.code().unwrap_or(ErrorCode::UnknownServerError);
    match code {
        // Of a retry: the first try was written after all, too long ago to know where.
        ErrorCode::DuplicateSequenceNumber => written(-1),
        ErrorCode::OutOfOrderSequenceNumber => Outcome::OutOfStep {
            lost_session: false,
            at: again_at,
            error,
        },
        ErrorCode::UnknownProducerId | ErrorCode::InvalidProducerEpoch => Outcome::OutOfStep {
            lost_session: true,
            at: again_at,
            error,
        },
        code if code.is_retriable() => Outcome::Again {
            perhaps_written: matches!(
                code,
                ErrorCode::RequestTimedOut
                    | ErrorCode::NotEnoughReplicasAfterAppend
                    | ErrorCode::NetworkException
            ),
            at: again_at,
            error,
        },
        _ => Outcome::Failed(error),
    }
}

/// What a failed request means for each of its batches.
pub(super) fn outcome_of_failure(error: &ClientError, again_at: Instant) -> Outcome {
    match error {
        // Nothing was sent.
        ClientError::Unreachable { .. } => Outcome::Again {
            perhaps_written: false,
            at: again_at,
            error: error.clone(),
        },
        ClientError::Disconnected { .. } => Outcome::Again {
            perhaps_written: true,
            at: again_at,
            error: error.clone(),
        },
        _ => Outcome::Failed(error.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(code: ErrorCode) -> Outcome {
        let answer = PartitionProduceResponse {
            index: 2,
            error_code: code.code(),
            base_offset: 40,
            ..Default::default()
        };
        outcome_of(&answer, || "x".to_owned(), Instant::now())
    }

    #[tokio::test]
    async fn every_answer_has_its_meaning() {
        use ErrorCode as E;
        assert!(matches!(outcome(E::None), Outcome::Written(d) if d.offset == 40));
        assert!(matches!(
            outcome(E::DuplicateSequenceNumber),
            Outcome::Written(d) if d.offset == -1
        ));
        assert!(matches!(
            outcome(E::NotLeaderOrFollower),
            Outcome::Again {
                perhaps_written: false,
                ..
            }
        ));
        assert!(matches!(
            outcome(E::RequestTimedOut),
            Outcome::Again {
                perhaps_written: true,
                ..
            }
        ));
        assert!(matches!(outcome(E::MessageTooLarge), Outcome::Failed(_)));
        assert!(matches!(
            outcome(E::UnknownProducerId),
            Outcome::OutOfStep {
                lost_session: true,
                ..
            }
        ));
    }
}
