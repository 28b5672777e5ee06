//! `freshet tier status`.

mod show;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use clap::Args;
use freshet_client::{ClientError, ConfigEntry, TierStanding, TierState, TopicPartition};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::show::{partition_table, sentences, topic_table};
use crate::Context;
use crate::output::outcome::{FAILED, Failures};

pub(super) const COPY_DISABLE: &str = "remote.log.copy.disable";
/// How long a broker is given to tell what its disks hold.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
#[command(after_help = "\
IN STORE and ON DISKS are bytes: of objects, and of all copies on all brokers. UNCOPIED counts records that are
on disks only, those of open segments too. LAG, SEGMENTS and OLDEST tell of closed segments that wait to be
copied: their bytes, how many there are, and the age of the first record. STATE is copies, paused, failing (the
last try went wrong), off, unknown (no leader tells) or failed.

Of a partition START..TIERED is in object storage, LOCAL..END on disks.

EXAMPLES:
  freshet tier status
  freshet tier status orders --partitions
  freshet tier status orders --output json")]
pub(crate) struct Status {
    /// Names of topics; all that use object storage if none is named.
    #[arg(value_name = "TOPIC")]
    names: Vec<String>,
    /// Show each partition.
    #[arg(long)]
    partitions: bool,
}

const OFF: &str = "off";
const COPIES: &str = "copies";
const PAUSED: &str = "paused";
const FAILING: &str = "failing";
const UNKNOWN: &str = "unknown";

/// A partition, and what of it is where; `null` is what no leader tells.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
struct Placed {
    topic: String,
    partition: i32,
    /// `copies`, `paused`, `failing`, `off` or `unknown`.
    state: &'static str,
    /// Whether nothing is copied, also where it fails.
    paused: bool,
    /// Why nothing is known.
    error: Option<String>,
    /// First offset that can be read.
    start: Option<i64>,
    /// First offset on disks.
    local_start: Option<i64>,
    /// The offset after the last one in object storage; `start` if nothing is there.
    tiered_end: Option<i64>,
    end: Option<i64>,
    objects: Option<u64>,
    object_bytes: Option<u64>,
    /// Bytes of all copies, of brokers that answer.
    disk_bytes: Option<u64>,
    leader_disk_bytes: Option<u64>,
    /// Closed segments that are not in object storage.
    lag_segments: Option<u64>,
    lag_bytes: Option<u64>,
    /// Age of the first record of these; `null` too if there is none.
    lag_ms: Option<u64>,
    /// What has gone wrong last since the leader was elected, and how long ago.
    last_error: Option<String>,
    last_error_ms: Option<u64>,
}

impl Placed {
    fn uncopied(&self) -> Option<i64> {
        Some((self.end? - self.tiered_end?).max(0))
    }

    fn records(&self) -> Option<i64> {
        Some((self.end? - self.start?).max(0))
    }
}

/// All partitions of a topic together; sums are of those that are known.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
struct Summed {
    topic: String,
    /// As of partitions, the worst first; `failed` if the topic itself is not known.
    state: &'static str,
    paused: bool,
    error: Option<String>,
    partitions: usize,
    /// Those whose leaders do not tell, or not yet, what is in object storage.
    unknown_partitions: usize,
    objects: u64,
    object_bytes: u64,
    disk_bytes: Option<u64>,
    /// Offsets that can be read, wherever they are.
    records: i64,
    /// Of these, those that are on disks only.
    uncopied_records: i64,
    lag_segments: u64,
    lag_bytes: u64,
    /// The oldest of all.
    lag_ms: Option<u64>,
    /// The latest of all.
    last_error: Option<String>,
    last_error_ms: Option<u64>,
}

impl Summed {
    fn of(topic: &str, placed: &[Placed]) -> Self {
        let worst = [FAILING, UNKNOWN, PAUSED, COPIES, OFF];
        let is_there = |state: &&&str| placed.iter().any(|it| it.state == **state);
        let latest = placed.iter().filter(|it| it.last_error.is_some());
        let latest = latest.min_by_key(|it| it.last_error_ms);
        let sum = |of: fn(&Placed) -> Option<u64>| placed.iter().filter_map(of).sum();
        let count = |of: fn(&Placed) -> Option<i64>| placed.iter().filter_map(of).sum();
        let disks: Vec<u64> = placed.iter().filter_map(|it| it.disk_bytes).collect();
        Self {
            topic: topic.to_owned(),
            state: worst.iter().find(is_there).copied().unwrap_or(UNKNOWN),
            paused: placed.iter().any(|it| it.paused),
            error: placed.iter().find_map(|it| it.error.clone()),
            partitions: placed.len(),
            unknown_partitions: placed
                .iter()
                .filter(|it| it.state != OFF && it.objects.is_none())
                .count(),
            objects: sum(|it| it.objects),
            object_bytes: sum(|it| it.object_bytes),
            disk_bytes: (!disks.is_empty()).then(|| disks.iter().sum()),
            records: count(Placed::records),
            uncopied_records: count(Placed::uncopied),
            lag_segments: sum(|it| it.lag_segments),
            lag_bytes: sum(|it| it.lag_bytes),
            lag_ms: placed.iter().filter_map(|it| it.lag_ms).max(),
            last_error: latest.and_then(|it| it.last_error.clone()),
            last_error_ms: latest.and_then(|it| it.last_error_ms),
        }
    }

    fn failed(topic: &str, error: String) -> Self {
        Self {
            topic: topic.to_owned(),
            state: FAILED,
            error: Some(error),
            ..Self::default()
        }
    }
}

/// What is shown.
struct Found {
    topics: Vec<Summed>,
    placed: Vec<Placed>,
    failures: Failures,
    count: usize,
}

pub(super) async fn run(context: &Context, args: Status) -> anyhow::Result<()> {
    let asking = place_all(context, &args.names);
    let found = context.patience.with("asking leaders", asking).await?;
    let output = context.output;
    if !found.failures.is_lonely(found.count) || output.is_json() {
        match args.partitions {
            true => output.show(&found.placed, partition_table)?,
            false => output.show(&found.topics, topic_table)?,
        }
        for sentence in sentences(&found.topics, &found.placed) {
            output.heading(&sentence)?;
        }
    }
    found.failures.into_result(found.count, "topic")
}

/// A request for topics, one to each leader, and one to each broker about its disks; however many partitions
/// there are.
async fn place_all(context: &Context, names: &[String]) -> anyhow::Result<Found> {
    let is_named = !names.is_empty();
    let mut failures = Failures::default();
    let (topics, mut summed) = match is_named {
        true => named(context, names, &mut failures).await?,
        false => (all(context).await?, Vec::new()),
    };
    let partitions: Vec<TopicPartition> = topics
        .iter()
        .flat_map(|(name, indexes)| indexes.iter().map(|index| (name.clone(), *index)))
        .collect();
    let admin = context.client.admin();
    let asking = async { Ok::<_, anyhow::Error>(admin.tier_standings(&partitions).await?) };
    let (standings, disks) = tokio::join!(asking, disk_bytes(context));
    let placed = standings?.into_iter().map(|(at, outcome)| {
        let bytes = disks.get(&at).copied();
        place(at, outcome, bytes)
    });
    // Of those that nobody asked for only what there is to see.
    let mut placed: Vec<Placed> = placed.filter(|it| is_named || it.state != OFF).collect();
    placed.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    let by_topic = placed.chunk_by(|a, b| a.topic == b.topic);
    summed.extend(by_topic.map(|of| Summed::of(&of[0].topic, of)));
    summed.sort_by(|a, b| a.topic.cmp(&b.topic));
    Ok(Found {
        count: if is_named { names.len() } else { summed.len() },
        topics: summed,
        placed,
        failures,
    })
}

type Topics = Vec<(String, Vec<i32>)>;

async fn all(context: &Context) -> anyhow::Result<Topics> {
    let view = context.client.all_topics().await?;
    let topics = view.topics.iter().filter(|(_, topic)| !topic.is_internal);
    let indexes = |topic: &freshet_client::TopicView| {
        let partitions = topic.partitions.iter();
        partitions.map(|partition| partition.index).collect()
    };
    Ok(topics
        .map(|(name, topic)| (name.clone(), indexes(topic)))
        .collect())
}

/// Topics that were named, and rows of those that are not there.
async fn named(
    context: &Context,
    names: &[String],
    failures: &mut Failures,
) -> anyhow::Result<(Topics, Vec<Summed>)> {
    // One question for all; what cannot be known is asked about one by one below.
    match context.client.topics(names).await {
        Ok(_) => {}
        Err(error) if error.code().is_some() => {}
        Err(error) => return Err(error.into()),
    }
    let (mut topics, mut failed) = (Topics::new(), Vec::new());
    for name in names {
        match context.client.topics(std::slice::from_ref(name)).await {
            Ok(view) => {
                let partitions = view.topic(name).map(|topic| &topic.partitions);
                let indexes = partitions.into_iter().flatten().map(|it| it.index);
                topics.push((name.clone(), indexes.collect()));
            }
            refused => {
                if let Some(error) = failures.note(refused) {
                    failed.push(Summed::failed(name, error));
                }
            }
        }
    }
    topics.sort();
    topics.dedup();
    Ok((topics, failed))
}

/// Bytes of all copies of each partition, on brokers that answer.
async fn disk_bytes(context: &Context) -> HashMap<TopicPartition, u64> {
    let mut bytes = HashMap::new();
    let Ok(cluster) = context.client.admin().describe_cluster().await else {
        return bytes;
    };
    let mut asking = JoinSet::new();
    for node in cluster.nodes.into_iter().filter(|node| !node.fenced) {
        let admin = context.client.admin();
        asking.spawn(async move { timeout(PATIENCE, admin.describe_log_dirs(node.id)).await });
    }
    let dirs = asking.join_all().await.into_iter().flatten().flatten();
    for log in dirs.flatten().flat_map(|dir| dir.partitions) {
        *bytes.entry(log.partition).or_default() += u64::try_from(log.size_bytes).unwrap_or(0);
    }
    bytes
}

fn place(
    (topic, partition): TopicPartition,
    outcome: Result<TierStanding, ClientError>,
    disk_bytes: Option<u64>,
) -> Placed {
    let placed = Placed {
        topic,
        partition,
        disk_bytes,
        ..Placed::default()
    };
    let it = match outcome {
        Ok(standing) => standing,
        Err(error) => {
            return Placed {
                state: UNKNOWN,
                error: Some(error.to_string()),
                ..placed
            };
        }
    };
    Placed {
        state: match (it.state, it.fails) {
            (TierState::Off, _) => OFF,
            (_, true) => FAILING,
            (TierState::Copies, _) => COPIES,
            (TierState::Paused, _) => PAUSED,
        },
        paused: it.state == TierState::Paused,
        start: it.log_start,
        local_start: it.local_start,
        tiered_end: it.remote_end,
        end: it.end,
        objects: it.objects,
        object_bytes: it.object_bytes,
        leader_disk_bytes: it.local_bytes,
        lag_segments: it.lag_segments,
        lag_bytes: it.lag_bytes,
        lag_ms: it.lag_ms,
        last_error: it.error,
        last_error_ms: it.error_ms,
        ..placed
    }
}

/// Whether a setting is `true`.
pub(crate) fn setting(configs: &[ConfigEntry], name: &str) -> bool {
    let found = configs.iter().find(|entry| entry.name == name);
    found.is_some_and(|entry| entry.value.as_deref() == Some("true"))
}
