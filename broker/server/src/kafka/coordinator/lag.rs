//! How far groups are behind, for the metrics page.

use freshet_coordinators::groups::api::{Ask, Fetch, List};

use crate::kafka::context::Context;

/// Series that one scrape may show; groups beyond are left out.
const SERIES: usize = 5_000;

/// How far one group is behind in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lag {
    pub(crate) group: String,
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// Records between the committed offset and the high watermark. An offset below the log start
    /// counts from there: what was deleted cannot be read any more.
    pub(crate) records: i64,
}

/// All groups of this broker's shards, in partitions that it leads or follows: a follower's high
/// watermark is a moment old. A shard that does not answer is left out.
pub(crate) async fn lags(context: &Context) -> Vec<Lag> {
    let mut lags = Vec::new();
    for shard in context.groups.all() {
        let Ok(reply) = shard.ask(List::default().into()).await else {
            continue;
        };
        for listed in List::answer(reply).unwrap_or_default() {
            let fetch = Fetch {
                group: listed.group.clone(),
                topics: None,
            };
            let Ok(reply) = shard.ask(fetch.into()).await else {
                break;
            };
            for topic in Fetch::answer(reply).unwrap_or_default() {
                for (partition, committed) in topic.partitions {
                    let Some(committed) = committed else { continue };
                    let Ok(open) = context.find(&topic.topic, partition) else {
                        continue;
                    };
                    let ends = open.ends();
                    let from = committed.offset.max(ends.log_start);
                    lags.push(Lag {
                        group: listed.group.to_string(),
                        topic: topic.topic.to_string(),
                        partition,
                        records: (ends.high_watermark - from).max(0),
                    });
                }
            }
            if lags.len() >= SERIES {
                return lags;
            }
        }
    }
    lags
}
