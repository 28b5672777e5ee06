//! How partitions stand between disks and object storage. One request to each leader tells all.

use std::collections::HashMap;

use freshet_types::{NodeId, Offset};
use freshet_wire::list_offsets::{self, TIER_COPIES, TIER_OFF, TIER_PAUSED};
use tokio::task::JoinSet;

use super::{OffsetSpec, by_leader, leaderless, outcomes, request, topics_of};
use crate::admin::{Admin, Outcomes, TopicPartition};
use crate::cluster::{Call, Lane};
use crate::{ClientError, ClusterView};

/// What becomes of a partition's closed segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TierState {
    /// The topic does not use object storage.
    Off,
    /// They are copied.
    Copies,
    /// What is there stays; nothing is copied.
    Paused,
}

/// One partition, as its leader has it. `None` is what it does not know: a young leader has to learn what is
/// in object storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierStanding {
    /// What becomes of closed segments.
    pub state: TierState,
    /// First offset that can be read.
    pub log_start: Option<Offset>,
    /// First offset on the leader's disk.
    pub local_start: Option<Offset>,
    /// The offset after the last one in object storage; the log start if nothing is there.
    pub remote_end: Option<Offset>,
    /// The high watermark.
    pub end: Option<Offset>,
    /// Objects that readers are sent to.
    pub objects: Option<u64>,
    /// Bytes of these.
    pub object_bytes: Option<u64>,
    /// Bytes on the leader's disk.
    pub local_bytes: Option<u64>,
    /// Segments that are closed and committed, and not in object storage.
    pub lag_segments: Option<u64>,
    /// Bytes of these.
    pub lag_bytes: Option<u64>,
    /// Age of the first record of these, ms.
    pub lag_ms: Option<u64>,
    /// What has gone wrong last, since the leader was elected.
    pub error: Option<String>,
    /// How long ago, ms.
    pub error_ms: Option<u64>,
    /// Whether that is so now.
    pub fails: bool,
}

impl TierStanding {
    /// `None` of a broker that does not know the question.
    fn read(told: list_offsets::TierStanding) -> Option<Self> {
        let state = match told.state {
            TIER_OFF => TierState::Off,
            TIER_COPIES => TierState::Copies,
            TIER_PAUSED => TierState::Paused,
            _ => return None,
        };
        let offset = |offset: i64| (offset >= 0).then_some(offset);
        let count = |count: i64| u64::try_from(count).ok();
        Some(Self {
            state,
            log_start: offset(told.log_start),
            local_start: offset(told.local_start),
            remote_end: offset(told.remote_end),
            end: offset(told.end),
            objects: count(told.objects),
            object_bytes: count(told.object_bytes),
            local_bytes: count(told.local_bytes),
            lag_segments: count(told.lag_segments),
            lag_bytes: count(told.lag_bytes),
            lag_ms: count(told.lag_ms),
            error: told.error,
            error_ms: count(told.error_ms),
            fails: told.fails,
        })
    }
}

type Asked = (TopicPartition, OffsetSpec);
type Told = Vec<(TopicPartition, Result<TierStanding, ClientError>)>;

impl Admin {
    /// Asks the leader of each partition, all leaders at once; those that have moved, once more. A leader that
    /// does not answer keeps nobody from the answers of others.
    ///
    /// # Errors
    /// No broker tells who leads.
    pub async fn tier_standings(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<Outcomes<TopicPartition, TierStanding>, ClientError> {
        // The cheapest of all questions about an offset: what it waits for nobody needs here.
        let asked = partitions
            .iter()
            .map(|it| (it.clone(), OffsetSpec::EarliestLocal));
        let asked: Vec<Asked> = asked.collect();
        let topics = topics_of(&asked);
        let mut found = HashMap::new();
        for is_last in [false, true] {
            let view = self.client.ask_topics(&topics).await?;
            self.ask_leaders(&view, &asked, &mut found).await;
            let has_moved = |outcome: &Result<_, ClientError>| {
                outcome.as_ref().is_err_and(ClientError::blames_metadata)
            };
            if is_last || !found.values().any(has_moved) {
                break;
            }
            found.retain(|_, outcome| !has_moved(outcome));
            self.client.refresh_quietly(&view).await;
        }
        Ok(outcomes(&asked, found))
    }

    async fn ask_leaders(
        &self,
        view: &ClusterView,
        asked: &[Asked],
        found: &mut HashMap<TopicPartition, Result<TierStanding, ClientError>>,
    ) {
        let open = asked.iter().filter(|(at, _)| !found.contains_key(at));
        let mut asking = JoinSet::new();
        for (leader, partitions) in by_leader(view, open) {
            let partitions: Vec<Asked> = partitions.into_iter().cloned().collect();
            let admin = self.clone();
            asking.spawn(async move { admin.ask_leader(leader, partitions).await });
        }
        found.extend(asking.join_all().await.into_iter().flatten());
    }

    async fn ask_leader(&self, leader: Option<NodeId>, asked: Vec<Asked>) -> Told {
        let what = |at: &TopicPartition| format!("{}-{} cannot be looked at", at.0, at.1);
        let Some(leader) = leader else {
            let refuse = |(at, _): Asked| {
                let error = leaderless(what(&at));
                (at, Err(error))
            };
            return asked.into_iter().map(refuse).collect();
        };
        let mut request = request(&self.client, &asked, false);
        request.wants_tiers = true;
        let lane = Lane::shared();
        let asking = self
            .client
            .call_once(&lane, leader, &request, Call::default());
        let response = match asking.await {
            Ok(response) => response,
            Err(error) => {
                let refuse = |(at, _)| (at, Err(error.clone()));
                return asked.into_iter().map(refuse).collect();
            }
        };
        let mut told = Vec::with_capacity(asked.len());
        for topic in response.topics {
            for partition in topic.partitions {
                let at = (topic.name.clone(), partition.partition_index);
                let outcome = ClientError::check(partition.error_code, None, || what(&at));
                let outcome = outcome.and_then(|()| {
                    let untold = || {
                        ClientError::Invalid(format!(
                            "{}: broker {leader} does not tell",
                            what(&at)
                        ))
                    };
                    TierStanding::read(partition.tier).ok_or_else(untold)
                });
                told.push((at, outcome));
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_none_and_who_does_not_tell_is_told_apart() {
        assert_eq!(
            TierStanding::read(list_offsets::TierStanding::default()),
            None
        );
        let told = |state| list_offsets::TierStanding {
            state,
            local_start: 5,
            lag_bytes: 0,
            ..list_offsets::TierStanding::default()
        };
        let read = TierStanding::read(told(TIER_PAUSED)).expect("told");
        assert_eq!(read.state, TierState::Paused);
        assert_eq!((read.local_start, read.lag_bytes), (Some(5), Some(0)));
        assert_eq!(
            (read.remote_end, read.objects, read.lag_ms),
            (None, None, None)
        );
        let state = |state| TierStanding::read(told(state)).map(|read| read.state);
        assert_eq!(state(TIER_OFF), Some(TierState::Off));
        assert_eq!(state(TIER_COPIES), Some(TierState::Copies));
        assert_eq!(state(9), None, "of a later version");
    }
}
