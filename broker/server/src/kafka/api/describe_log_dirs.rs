//! DescribeLogDirs (35): what lies in this broker's log directories.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use freshet_log::{LogDir, LogView};
use freshet_partition::Partition;
use freshet_wire::describe_log_dirs::{
    DescribableLogDirTopic, DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use freshet_wire::{DescribeLogDirsRequest, DescribeLogDirsResponse, ErrorCode};

use crate::kafka::call::Call;
use crate::kafka::context::Context;

/// Partitions asked for; `None` asks for all.
type Wanted = Option<BTreeMap<String, BTreeSet<i32>>>;

/// All directories, each with those of the wanted partitions that lie in it.
pub(crate) async fn handle(
    context: &Arc<Context>,
    _call: &Call,
    request: DescribeLogDirsRequest,
) -> DescribeLogDirsResponse {
    let wanted = request.topics.map(wanted);
    let here = Here {
        open: context.partitions.all(),
        futures: futures(context),
    };
    let cordoned = context.layers().cordoned_dirs();
    let directories = context.writers.dirs().iter();
    DescribeLogDirsResponse {
        results: directories
            .map(|dir| DescribeLogDirsResult {
                is_cordoned: cordoned.covers(dir.path()),
                ..describe(context, dir, &here, &wanted)
            })
            .collect(),
        ..DescribeLogDirsResponse::default()
    }
}

/// All that lies in any directory.
struct Here {
    open: Vec<Arc<Partition>>,
    /// Copies that shall take the place of what is in another directory.
    futures: Vec<(Arc<Partition>, LogView)>,
}

fn futures(context: &Context) -> Vec<(Arc<Partition>, LogView)> {
    let futures = context.partitions.futures().into_iter();
    let of = |(at, copy)| Some((context.partitions.get(at)?, copy));
    futures.filter_map(of).collect()
}

fn wanted(topics: Vec<DescribableLogDirTopic>) -> BTreeMap<String, BTreeSet<i32>> {
    let mut wanted: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
    for topic in topics {
        wanted
            .entry(topic.topic)
            .or_default()
            .extend(topic.partitions);
    }
    wanted
}

fn describe(
    context: &Context,
    dir: &Arc<LogDir>,
    here: &Here,
    wanted: &Wanted,
) -> DescribeLogDirsResult {
    let log_dir = shown(dir.path());
    if dir.failure().is_some() {
        context.metrics.error(ErrorCode::KafkaStorageError);
        return DescribeLogDirsResult {
            error_code: ErrorCode::KafkaStorageError.code(),
            log_dir,
            ..DescribeLogDirsResult::default()
        };
    }
    let mut topics: BTreeMap<&str, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    let present = here.open.iter().map(|partition| (partition, None));
    let futures = here.futures.iter().map(|(of, copy)| (of, Some(copy)));
    for (partition, copy) in present.chain(futures) {
        let name = partition.name();
        let view = copy.cloned().unwrap_or_else(|| partition.view());
        let lies_here = Arc::ptr_eq(view.dir(), dir);
        if lies_here && is_wanted(wanted, name.topic.as_str(), name.partition) {
            let held = topics.entry(name.topic.as_str()).or_default();
            held.push(DescribeLogDirsPartition {
                partition_index: name.partition,
                partition_size: i64::try_from(view.size_bytes()).unwrap_or(i64::MAX),
                offset_lag: lag(partition, copy),
                is_future_key: copy.is_some(),
            });
        }
    }
    let bytes = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let space = dir.space().ok();
    DescribeLogDirsResult {
        error_code: ErrorCode::None.code(),
        log_dir,
        topics: topics
            .into_iter()
            .map(|(name, held)| topic(name, held))
            .collect(),
        total_bytes: space.map_or(-1, |space| bytes(space.total_bytes)),
        usable_bytes: space.map_or(-1, |space| bytes(space.available_bytes)),
        is_cordoned: false,
        is_slow: dir.is_slow(),
        is_full: dir.is_full(),
        reserve_bytes: bytes(context.layers().logs().disk_reserve_bytes),
    }
}

/// How far a replica is behind what it knows to be committed, and a copy behind its replica; as in
/// Kafka.
fn lag(partition: &Partition, copy: Option<&LogView>) -> i64 {
    let ends = partition.ends();
    let lag = match copy {
        Some(copy) => ends.log_end - copy.log_end(),
        None => ends.high_watermark - ends.log_end,
    };
    lag.max(0)
}

fn is_wanted(wanted: &Wanted, topic: &str, partition: i32) -> bool {
    match wanted {
        None => true,
        Some(wanted) => wanted
            .get(topic)
            .is_some_and(|all| all.contains(&partition)),
    }
}

fn topic(name: &str, mut partitions: Vec<DescribeLogDirsPartition>) -> DescribeLogDirsTopic {
    partitions.sort_by_key(|partition| partition.partition_index);
    DescribeLogDirsTopic {
        name: name.to_owned(),
        partitions,
    }
}

/// Clients compare directories with what they know by their absolute paths.
pub(crate) fn shown(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.display().to_string()
}
