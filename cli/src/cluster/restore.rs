//! `freshet cluster restore`.

mod groups;
mod plan;
mod topics;

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use freshet_client::{ConfigChange, Floors, Resource};
use freshet_tier::ExportedTopic;
use freshet_types::{TopicId, TopicName};
use serde::Serialize;
use tokio::time::sleep;

use crate::output::Rows;
use crate::output::outcome::{FAILED, Failures};
use crate::tier::source::{Found, Source};
use crate::{Context, text};
use groups::Positions;
use plan::{Plan, PlannedTopic, Standing};

#[derive(Debug, Args)]
#[command(after_help = "\
The brokers that are to take over start with empty disks, with the cluster id of before
(freshet.cluster.id) and with the same bucket. Clients stay away until this has ended: the topics that they
might create would be in the way. With --deleted the cluster goes on meanwhile: it gets topics back that it
has deleted, whose objects were kept (freshet.remote.delete.on.topic.delete). The bucket is found as brokers
find it, by AWS_*, GOOGLE_* or AZURE_* of the environment. It may be said again: what is there already stays
as it is.

EXAMPLES:
  freshet cluster restore --from s3://bucket/prefix --dry-run
  freshet --bootstrap broker-1:9092 cluster restore --from s3://bucket/prefix
  freshet cluster restore --from s3://bucket/prefix --deleted orders
  freshet cluster restore --from s3://bucket/prefix --deleted orders --as orders-of-may
  freshet cluster restore --from file:///mnt/objects --output json")]
pub(crate) struct Restore {
    /// The object storage of the cluster, as in remote.log.storage.url.
    #[arg(long, value_name = "URL")]
    from: String,
    /// Only this topic, which was deleted and its objects kept, by name or id (`freshet tier kept`); may be
    /// repeated.
    #[arg(long = "deleted", value_name = "TOPIC")]
    deleted: Vec<String>,
    /// The name of the topic of --deleted once it is back, if it is not to be that of before.
    #[arg(long = "as", value_name = "NAME", requires = "deleted", value_parser = TopicName::new)]
    name: Option<TopicName>,
    /// Only show what would be restored.
    #[arg(long)]
    dry_run: bool,
    /// How long to look whether the cluster is still alive elsewhere: then it goes on writing to the
    /// bucket.
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = text::duration)]
    watch: Duration,
}

impl Restore {
    /// What would come back, and nothing is changed.
    pub(crate) fn planned(from: String, deleted: Vec<String>) -> Self {
        Self {
            from,
            deleted,
            name: None,
            dry_run: true,
            watch: Duration::ZERO,
        }
    }
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Restored {
    cluster_id: String,
    topics: Vec<Row>,
    /// Resources other than topics that got their settings back.
    settings: usize,
    positions: Positions,
    remarks: Vec<String>,
}

/// A topic.
#[derive(Debug, Serialize)]
struct Row {
    topic: String,
    id: String,
    partitions: usize,
    replicas: i16,
    /// Bytes of its segments in object storage.
    bytes: u64,
    /// Partitions of which nothing is there: they are empty.
    empty_partitions: usize,
    /// `missing`, `there`, `restored` or `failed`.
    status: &'static str,
    error: Option<String>,
}

/// Restores what is in the bucket, and shows what came of it.
pub(crate) async fn run(context: &Context, args: Restore) -> anyhow::Result<()> {
    let described = context.client.admin().describe_cluster().await?;
    let source = Source::open(&args.from, &described.cluster_id)?;
    let view = context.client.all_topics().await?;
    let present = view
        .topics
        .iter()
        .map(|(name, topic)| (name.clone(), topic.id));
    let present = present.collect();
    let (mut found, is_all) = read(context, &source, &args.deleted, &present).await?;
    if let Some(name) = &args.name {
        rename(&mut found.cluster.topics, name, &present)?;
    }
    if !is_all {
        must_be_away(&found.cluster.topics, &present)?;
    }
    let mut plan = Plan::of(&found, &present, described.nodes.len());
    if !is_all {
        // Its cluster lives on, and goes on counting.
        plan.floors = Floors {
            version: 0,
            producer_id: 0,
        };
    }
    refuse_taken(&plan)?;
    let mut failures = Failures::default();
    let mut restored = Restored {
        cluster_id: described.cluster_id,
        topics: plan.topics.iter().map(row).collect(),
        settings: 0,
        positions: Positions::default(),
        remarks: plan.remarks.clone(),
    };
    if args.dry_run {
        let outcomes = topics::create(context, &plan, true).await?;
        note(&mut restored.topics, outcomes, "missing", &mut failures);
        restored.settings = plan.settings.len();
        restored.positions = groups::count(&found);
    } else {
        // One that has been restored in part exports itself.
        let is_new = |it: &PlannedTopic| it.standing == Standing::Missing;
        if is_all && plan.topics.iter().all(is_new) {
            watch(context, &source, args.watch).await?;
        }
        carry_out(context, (&plan, &found), &mut restored, &mut failures).await?;
    }
    show(context, &restored, args.dry_run)?;
    failures.into_result(restored.topics.len(), "topic")
}

/// What is to be restored, and whether it is all that there is.
async fn read(
    context: &Context,
    source: &Source,
    deleted: &[String],
    present: &BTreeMap<String, TopicId>,
) -> anyhow::Result<(Found, bool)> {
    let words = "reading the bucket";
    if deleted.is_empty() {
        let found = context.patience.with(words, source.read()).await?;
        return Ok((found, true));
    }
    let reading = source.read_kept(deleted);
    let (found, alive) = context.patience.with(words, reading).await?;
    let is_there = |topic: &ExportedTopic| present.values().any(|id| *id == topic.id);
    if !alive.is_empty() && !alive.iter().any(is_there) {
        anyhow::bail!(
            "this cluster has none of the topics that the bucket knows of: restore it first, without --deleted"
        );
    }
    Ok((found, false))
}

/// Whoever is back has been given another name.
fn must_be_away(
    topics: &[ExportedTopic],
    present: &BTreeMap<String, TopicId>,
) -> anyhow::Result<()> {
    for topic in topics {
        let here = present.iter().find(|(_, id)| **id == topic.id);
        if let Some((name, _)) = here.filter(|(name, _)| **name != topic.name) {
            anyhow::bail!(
                "deleted topic {:?} is back already: it is called {name:?}",
                topic.name
            );
        }
    }
    Ok(())
}

/// Gives the only one of them another name.
fn rename(
    topics: &mut [ExportedTopic],
    name: &TopicName,
    present: &BTreeMap<String, TopicId>,
) -> anyhow::Result<()> {
    let [topic] = topics else {
        anyhow::bail!("--as names one topic, and --deleted several");
    };
    if name.is_internal() {
        anyhow::bail!("--as: topic {name:?} belongs to the brokers themselves");
    }
    let taken = |(other, id): (&String, &TopicId)| other == name.as_str() && *id != topic.id;
    if present.iter().any(taken) {
        anyhow::bail!(
            "--as: the cluster has another topic that is called {name:?}; choose another name"
        );
    }
    name.as_str().clone_into(&mut topic.name);
    Ok(())
}

fn refuse_taken(plan: &Plan) -> anyhow::Result<()> {
    let taken = plan.taken();
    if taken.is_empty() {
        return Ok(());
    }
    anyhow::bail!(
        "the cluster has other topics of the same name: {}; if nobody needs what is in them, stop the \
         clients that make them, delete them (`freshet topic delete NAME`), and try again. A single one of \
         --deleted may get another name (--as NAME)",
        taken.join(", ")
    )
}

/// Two clusters of one id would write over each other's past.
async fn watch(context: &Context, source: &Source, long: Duration) -> anyhow::Result<()> {
    if long.is_zero() {
        return Ok(());
    }
    let before = source.newest().await?;
    let what = "looking whether the cluster is alive elsewhere";
    context.patience.with(what, sleep(long)).await;
    let after = source.newest().await?;
    if let Some(new) = after.difference(&before).next() {
        anyhow::bail!(
            "a cluster of this id is alive: {new} was written just now; stop all of its brokers first"
        );
    }
    Ok(())
}

/// Gives something its settings back, one by one: what is refused keeps no other from coming. Those that
/// only files change stay as they are, as the cluster has noted them itself. Says whether that was all.
async fn set(
    context: &Context,
    resource: &Resource,
    changes: &[ConfigChange],
    remarks: &mut Vec<String>,
) -> anyhow::Result<bool> {
    let admin = context.client.admin();
    let entries = admin.describe_configs(resource).await?;
    let is_fixed = |name: &str| entries.iter().any(|it| it.name == name && it.read_only);
    let mut is_whole = true;
    for change in changes.iter().filter(|change| !is_fixed(&change.name)) {
        let one = std::slice::from_ref(change);
        if let Err(error) = admin.alter_configs(resource, one, false).await {
            remarks.push(error.to_string());
            is_whole = false;
        }
    }
    Ok(is_whole)
}

async fn carry_out(
    context: &Context,
    (plan, found): (&Plan, &Found),
    restored: &mut Restored,
    failures: &mut Failures,
) -> anyhow::Result<()> {
    for (resource, changes) in &plan.settings {
        let is_whole = set(context, resource, changes, &mut restored.remarks).await?;
        restored.settings += usize::from(is_whole);
    }
    let creating = topics::create(context, plan, false);
    let outcomes = context.patience.with("creating topics", creating).await?;
    note(&mut restored.topics, outcomes, "restored", failures);
    let made = restored.topics.iter().filter(|row| row.status != FAILED);
    let made: Vec<String> = made.map(|row| row.topic.clone()).collect();
    let ends = topics::wait(context, plan, &made, &mut restored.remarks).await?;
    let storing = groups::restore(context, found, &ends, &mut restored.remarks);
    let positions = context
        .patience
        .with("storing positions of groups", storing);
    restored.positions = positions.await?;
    Ok(())
}

fn row(planned: &PlannedTopic) -> Row {
    let restored = &planned.restored;
    let held = planned.held.iter().flatten();
    Row {
        topic: restored.topic.name.clone(),
        id: restored.id.to_string(),
        partitions: planned.held.len(),
        replicas: restored.topic.replication.unwrap_or(1),
        bytes: held.map(|held| held.bytes).sum(),
        empty_partitions: planned.held.iter().filter(|held| held.is_none()).count(),
        status: match planned.standing {
            Standing::Missing => "missing",
            Standing::There | Standing::Taken => "there",
        },
        error: None,
    }
}

fn note(rows: &mut [Row], outcomes: topics::Created, done: &'static str, failures: &mut Failures) {
    let mut outcomes: BTreeMap<_, _> = outcomes.into_iter().collect();
    for row in rows {
        if let Some(outcome) = outcomes.remove(&row.topic) {
            row.error = failures.note(outcome);
            row.status = if row.error.is_some() { FAILED } else { done };
        }
    }
}

fn show(context: &Context, restored: &Restored, is_dry: bool) -> anyhow::Result<()> {
    let output = context.output;
    if is_dry {
        output.heading("nothing was changed; this would be:")?;
    }
    output.show(restored, table)?;
    for sentence in sentences(restored, is_dry) {
        output.heading(&sentence)?;
    }
    Ok(())
}

fn sentences(restored: &Restored, is_dry: bool) -> Vec<String> {
    let Positions {
        groups,
        stored,
        kept,
        cut,
        lost_records,
    } = restored.positions;
    let mut sentences = vec![format!(
        "{} of {}, settings of {}",
        text::count(stored, "position"),
        text::count(groups, "group"),
        text::count(restored.settings as u64, "resource"),
    )];
    if kept > 0 {
        sentences.push(format!(
            "{} stayed: they were there already",
            text::count(kept, "position")
        ));
    }
    if cut > 0 {
        sentences.push(format!(
            "{} moved to where the records end or begin: groups had read at least {} that were on \
             disks only",
            text::count(cut, "position"),
            text::count(lost_records, "record"),
        ));
    }
    if is_dry {
        sentences
            .push("positions that lie behind the records will be moved to their end".to_owned());
    }
    let remarks = restored.remarks.iter();
    sentences.extend(remarks.map(|remark| format!("note: {remark}")));
    sentences
}

fn table(restored: &Restored) -> Rows {
    let headings = [
        "TOPIC",
        ">PARTITIONS",
        ">EMPTY",
        ">REPLICAS",
        ">BYTES",
        "STATUS",
        "ERROR",
    ];
    // Most often nothing fails, and then nobody misses the last column.
    let failed = restored.topics.iter().any(|row| row.error.is_some());
    let shown = if failed { 7 } else { 6 };
    let mut rows = Rows::new(&headings[..shown], "the cluster had no topics");
    for row in &restored.topics {
        let cells = [
            row.topic.clone(),
            row.partitions.to_string(),
            row.empty_partitions.to_string(),
            row.replicas.to_string(),
            text::bytes(row.bytes),
            row.status.to_owned(),
            row.error.clone().unwrap_or_else(|| "-".to_owned()),
        ];
        rows.push(cells.into_iter().take(shown));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(n: u8) -> ExportedTopic {
        ExportedTopic {
            name: format!("t{n}"),
            id: TopicId([n; 16]),
            replication_factor: 1,
            leader_epochs: vec![0],
            configs: BTreeMap::new(),
        }
    }

    fn renamed(topics: &mut [ExportedTopic], name: &str) -> Result<(), String> {
        let present = BTreeMap::from([("taken".to_owned(), TopicId([9; 16]))]);
        let name = TopicName::new(name).map_err(|error| error.to_string())?;
        rename(topics, &name, &present).map_err(|error| error.to_string())
    }

    #[test]
    fn one_topic_gets_a_name_that_nobody_has() {
        let mut one = [topic(1)];
        assert_eq!(renamed(&mut one, "other"), Ok(()));
        assert_eq!((&*one[0].name, one[0].id), ("other", TopicId([1; 16])));
        for (name, why) in [
            ("taken", "choose another name"),
            ("__consumer_offsets", "belongs to the brokers"),
            ("a b", "topic name"),
        ] {
            let told = renamed(&mut one, name).expect_err(name);
            assert!(told.contains(why), "{told}");
        }
        assert_eq!(one[0].name, "other", "what is refused changes nothing");
        let told = renamed(&mut [topic(1), topic(2)], "x").expect_err("two");
        assert!(told.contains("several"), "{told}");
    }

    #[test]
    fn what_is_back_under_another_name_is_told_so() {
        let of = |name: &str| BTreeMap::from([(name.to_owned(), TopicId([1; 16]))]);
        assert!(must_be_away(&[topic(1)], &of("t1")).is_ok());
        let told = must_be_away(&[topic(1)], &of("other")).expect_err("it is back");
        assert!(told.to_string().contains("called \"other\""), "{told}");
    }
}
