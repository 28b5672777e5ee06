//! Topics come back, and after them what of their records is in object storage.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::bail;
use freshet_client::{
    ClientError, CreatedTopic, OffsetSpec, Outcomes, Resource, RestoredTopic, TopicPartition,
};
use freshet_types::Offset;
use tokio::time::{Instant, sleep};

use super::plan::{Plan, PlannedTopic, Standing};
use crate::Context;
use crate::tier::status::setting;

/// Partitions that one request creates, about.
const PARTITIONS_AT_ONCE: usize = 1_000;
/// Partitions that are asked about at once.
const ASKED_AT_ONCE: usize = 1_000;
const PAUSE: Duration = Duration::from_millis(300);
const FIRST_WORD: Duration = Duration::from_secs(2);
/// Nothing has come back for so long: something is in the way.
const GIVE_UP: Duration = Duration::from_secs(300);

/// What became of topics, by name.
pub(super) type Created = Vec<(String, anyhow::Result<()>)>;

/// Where records begin and end.
pub(super) type Ends = BTreeMap<TopicPartition, (Offset, Offset)>;

/// Creates the topics that are missing, or only asks whether that could be.
pub(super) async fn create(
    context: &Context,
    plan: &Plan,
    dry_run: bool,
) -> anyhow::Result<Created> {
    let missing = plan
        .topics
        .iter()
        .filter(|it| it.standing == Standing::Missing);
    let missing: Vec<&PlannedTopic> = missing.collect();
    let mut created = Vec::new();
    let mut rest = missing.as_slice();
    while !rest.is_empty() {
        let (now, later) = rest.split_at(fitting(rest));
        rest = later;
        let asked: Vec<RestoredTopic> = now.iter().map(|it| it.restored.clone()).collect();
        let admin = context.client.admin();
        let outcomes = admin.restore_topics(&asked, plan.floors, dry_run).await?;
        created.extend(judged(&asked, outcomes, dry_run));
    }
    Ok(created)
}

/// How many of them one request takes; at least one.
fn fitting(topics: &[&PlannedTopic]) -> usize {
    let mut partitions = 0;
    let fits = |it: &&&PlannedTopic| {
        partitions += it.held.len();
        partitions <= PARTITIONS_AT_ONCE
    };
    topics.iter().take_while(fits).count().max(1)
}

/// Who does not know what is asked creates another topic.
fn judged(
    asked: &[RestoredTopic],
    outcomes: Outcomes<String, CreatedTopic>,
    dry_run: bool,
) -> Created {
    let ids: BTreeMap<_, _> = asked
        .iter()
        .map(|it| (it.topic.name.as_str(), it.id))
        .collect();
    let judge = |(name, outcome): (String, Result<CreatedTopic, ClientError>)| {
        let judged = outcome.map_err(anyhow::Error::from).and_then(|created| {
            if !dry_run && ids.get(name.as_str()) != Some(&created.id) {
                bail!("the broker is no Freshet: it created another topic of this name; delete it");
            }
            Ok(())
        });
        (name, judged)
    };
    outcomes.into_iter().map(judge).collect()
}

/// Waits until the leaders of `made` have what is in object storage; tells where each partition begins
/// and ends.
pub(super) async fn wait(
    context: &Context,
    plan: &Plan,
    made: &[String],
    remarks: &mut Vec<String>,
) -> anyhow::Result<Ends> {
    let wanted = wanted(context, plan, made, remarks).await?;
    let left = Cell::new(wanted.len());
    let words = |waited: Duration| {
        let waited = waited.as_secs();
        format!(
            "{} of {} partitions are not back yet ({waited} s) …",
            left.get(),
            wanted.len()
        )
    };
    let coming = come(context, &wanted, &left);
    context.patience.after(FIRST_WORD, words, coming).await?;
    let made: BTreeSet<&String> = made.iter().collect();
    let topics = plan
        .topics
        .iter()
        .filter(|it| made.contains(&it.restored.topic.name));
    let all: Vec<TopicPartition> = topics.flat_map(partitions).collect();
    let (starts, unstarted) = offsets(context, &all, OffsetSpec::Earliest).await?;
    let (ends, unended) = offsets(context, &all, OffsetSpec::Latest).await?;
    if let Some(untold) = unstarted.or(unended) {
        return Err(untold.into());
    }
    let both = |partition: TopicPartition| {
        let (start, end) = (starts.get(&partition)?, ends.get(&partition)?);
        Some((partition, (*start, *end)))
    };
    Ok(all.into_iter().filter_map(both).collect())
}

fn partitions(planned: &PlannedTopic) -> impl Iterator<Item = TopicPartition> {
    let name = &planned.restored.topic.name;
    (0..)
        .take(planned.held.len())
        .map(|index| (name.clone(), index))
}

/// Partitions that will have records again, and where these end.
async fn wanted(
    context: &Context,
    plan: &Plan,
    made: &[String],
    remarks: &mut Vec<String>,
) -> anyhow::Result<BTreeMap<TopicPartition, Offset>> {
    let mut wanted = BTreeMap::new();
    for planned in &plan.topics {
        let name = &planned.restored.topic.name;
        let ends = partitions(planned).zip(&planned.held);
        let ends = ends.filter_map(|(at, held)| Some((at, held.as_ref()?.end)));
        let ends: Vec<_> = ends.filter(|(_, end)| *end > 0).collect();
        if ends.is_empty() || !made.contains(name) {
            continue;
        }
        let resource = Resource::Topic(name.clone());
        let configs = context.client.admin().describe_configs(&resource).await?;
        if setting(&configs, "remote.storage.enable") {
            wanted.extend(ends);
        } else {
            remarks.push(format!(
                "topic {name} does not use object storage (remote.storage.enable), so its records stay in \
                 the bucket, unread"
            ));
        }
    }
    Ok(wanted)
}

/// Until all logs end where they shall, or later.
async fn come(
    context: &Context,
    wanted: &BTreeMap<TopicPartition, Offset>,
    left: &Cell<usize>,
) -> anyhow::Result<()> {
    let mut missing: Vec<TopicPartition> = wanted.keys().cloned().collect();
    let mut since = Instant::now();
    while !missing.is_empty() {
        let (ends, untold) = offsets(context, &missing, OffsetSpec::Latest).await?;
        let is_there = |at: &TopicPartition| ends.get(at).is_some_and(|end| *end >= wanted[at]);
        missing.retain(|at| !is_there(at));
        if missing.len() < left.replace(missing.len()) {
            since = Instant::now();
        }
        if since.elapsed() >= GIVE_UP {
            let (topic, partition) = &missing[0];
            bail!(
                "{} partitions do not come back, {topic}-{partition} among them{}: the logs of their \
                 leaders say why; once that is mended, say the same again",
                missing.len(),
                untold.map_or_else(String::new, |error| format!(" ({error})"))
            );
        }
        if !missing.is_empty() {
            sleep(PAUSE).await;
        }
    }
    Ok(())
}

/// Of those partitions whose leaders answer; and what was told of another one, if of any.
async fn offsets(
    context: &Context,
    partitions: &[TopicPartition],
    spec: OffsetSpec,
) -> anyhow::Result<(BTreeMap<TopicPartition, Offset>, Option<ClientError>)> {
    let (mut found, mut untold) = (BTreeMap::new(), None);
    for some in partitions.chunks(ASKED_AT_ONCE) {
        let asked: Vec<_> = some.iter().map(|at| (at.clone(), spec)).collect();
        let answers = context.client.admin().list_offsets(&asked, false).await?;
        for (at, answer) in answers {
            match answer {
                Ok(answer) => drop(found.insert(at, answer.offset)),
                Err(error) => untold = Some(error),
            }
        }
    }
    Ok((found, untold))
}
