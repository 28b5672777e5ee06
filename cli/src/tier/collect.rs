//! `freshet tier collect`.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use freshet_types::TopicId;
use serde::Serialize;

use super::orphans::{self, Named, Orphan, Says};
use super::source::Source;
use crate::output::Rows;
use crate::output::outcome::{FAILED, Failures};
use crate::{Context, output, text};

#[derive(Debug, Args)]
#[command(after_help = "\
An orphan is a topic that the bucket has and that nobody names any more: not the cluster, no export that is
there, and no topic that was kept when it was deleted. Most were deleted so long ago that the cluster has
forgotten it. Nothing goes unless the cluster and its newest export name the same topics, and the newest object
of the orphan is old by the store's own clock. Of orphans whose manifests do not say that they were deleted, a
restore might bring records back: they go only by --topic ID or --undeleted. It looks below the cluster's own id
alone, takes one object after another, and may be said again.

EXAMPLES:
  freshet tier collect --orphans --from s3://bucket/prefix --dry-run
  freshet tier collect --orphans --from s3://bucket/prefix
  freshet tier collect --orphans --from s3://bucket/prefix --topic BwcHBwcHBwcHBwcHBwcHBw
  freshet tier collect --orphans --from s3://bucket/prefix --undeleted --older-than 30d --yes")]
pub(crate) struct Collect {
    /// What is to go: topics that nobody names any more.
    #[arg(long, required = true)]
    orphans: bool,
    /// The object storage of the cluster, as in remote.log.storage.url.
    #[arg(long, value_name = "URL")]
    from: String,
    /// Only the orphan with this id, also if its manifests do not say that it was deleted; may be repeated.
    #[arg(long = "topic", short, value_name = "ID")]
    topics: Vec<TopicId>,
    /// Also orphans whose manifests do not say that they were deleted.
    #[arg(long)]
    undeleted: bool,
    /// Only orphans that have got nothing for so long.
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = text::duration)]
    older_than: Duration,
    /// Only show what is there, and what would go. Stores a small object for a moment, to hear the store's time.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask. Needed where nobody can be asked, as in a script.
    #[arg(long, short)]
    yes: bool,
}

/// What was found, and what became of it.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    orphan: Orphan,
    status: &'static str,
    error: Option<String>,
}

const ORPHAN: &str = "orphan";

pub(super) async fn run(context: &Context, args: Collect) -> anyhow::Result<()> {
    let described = context.client.admin().describe_cluster().await?;
    let source = Source::open(&args.from, &described.cluster_id)?;
    let looking = look(context, &source);
    let (named, found) = context.patience.with("reading the bucket", looking).await?;
    let mut rows = judged(found, &args)?;
    let goes = rows.iter().filter(|row| row.status == ORPHAN).count();
    if args.dry_run || goes == 0 {
        context.output.show(&rows, table)?;
        return remark(context, &rows);
    }
    if !args.yes {
        if !std::io::stdin().is_terminal() {
            anyhow::bail!("nothing was deleted: stdin is no terminal to ask at; say --yes");
        }
        if !confirmed(&rows).await? {
            anyhow::bail!("nothing was deleted");
        }
    }
    let mut failures = Failures::default();
    for row in rows.iter_mut().filter(|row| row.status == ORPHAN) {
        let words = format!("collecting topic {}", row.orphan.id);
        let collecting = orphans::collect(&source, &named, &row.orphan);
        let gone = context.patience.with(&words, collecting).await;
        row.error = failures.note(gone.map(drop));
        row.status = if row.error.is_some() {
            FAILED
        } else {
            "collected"
        };
    }
    context.output.show(&rows, table)?;
    remark(context, &rows)?;
    failures.into_result(goes, "topic")
}

async fn look(context: &Context, source: &Source) -> anyhow::Result<(Named, Vec<Orphan>)> {
    // The bucket first: what is created meanwhile is in the cluster then, and looks like a contradiction.
    let named = orphans::named(source).await?;
    let view = context.client.all_topics().await?;
    let mut present = BTreeMap::new();
    for (name, topic) in view.topics.iter().filter(|(_, topic)| !topic.is_internal) {
        present.insert(topic.id, name.clone());
    }
    named.must_agree(&present)?;
    let now = orphans::now(source).await?;
    let found = orphans::orphans(source, (&named, &present), now).await?;
    Ok((named, found))
}

/// Which of them go, and why the others do not.
fn judged(found: Vec<Orphan>, args: &Collect) -> anyhow::Result<Vec<Row>> {
    for id in &args.topics {
        if !found.iter().any(|orphan| orphan.id == *id) {
            anyhow::bail!("{id} is no orphan: it is named, or the bucket has nothing of it");
        }
    }
    let grace_ms = u64::try_from(args.older_than.as_millis()).unwrap_or(u64::MAX);
    let is_meant = |orphan: &Orphan| args.topics.is_empty() || args.topics.contains(&orphan.id);
    let is_told = args.undeleted || !args.topics.is_empty();
    let meant = found.into_iter().filter(is_meant);
    Ok(meant
        .map(|orphan| Row {
            status: match orphan.says {
                Says::Foreign => "foreign",
                _ if orphan.age_ms < grace_ms => "young",
                Says::Undeleted if !is_told => "undeleted",
                Says::Undeleted | Says::Deleted => ORPHAN,
            },
            orphan,
            error: None,
        })
        .collect())
}

async fn confirmed(rows: &[Row]) -> anyhow::Result<bool> {
    let goes = || rows.iter().filter(|row| row.status == ORPHAN);
    for row in goes() {
        let Orphan {
            id,
            objects,
            bytes,
            offsets,
            says,
            ..
        } = &row.orphan;
        let objects = text::count(*objects as u64, "object");
        let (bytes, says) = (text::bytes(*bytes), says.word());
        eprintln!("{id}: {objects}, {bytes}, {offsets} offsets, {says}");
    }
    let count = text::count(goes().count() as u64, "topic");
    output::says_yes(&format!(
        "Delete all objects of {count}? Nothing brings them back."
    ))
    .await
}

fn remark(context: &Context, rows: &[Row]) -> anyhow::Result<()> {
    for (status, advice) in [
        ("young", "got something lately (--older-than): left alone"),
        (
            "undeleted",
            "not said to be deleted by its manifests: left, unless by --topic ID or --undeleted",
        ),
        (
            "foreign",
            "with objects below its id that no broker has stored: left for a human",
        ),
    ] {
        let count = rows.iter().filter(|row| row.status == status).count() as u64;
        if count > 0 {
            let topics = text::count(count, "topic");
            context.output.heading(&format!("{topics} {advice}"))?;
        }
    }
    Ok(())
}

fn table(rows: &Vec<Row>) -> Rows {
    let headings = [
        "TOPIC ID",
        ">PARTITIONS",
        ">OBJECTS",
        ">BYTES",
        ">OFFSETS",
        ">AGE",
        "SAYS",
        "STATUS",
        "ERROR",
    ];
    let failed = rows.iter().any(|row| row.error.is_some());
    let shown = if failed { 9 } else { 8 };
    let mut table = Rows::new(&headings[..shown], "all topics in the bucket are named");
    for row in rows {
        let orphan = &row.orphan;
        let cells = [
            orphan.id.to_string(),
            orphan.partitions.to_string(),
            orphan.objects.to_string(),
            text::bytes(orphan.bytes),
            orphan.offsets.to_string(),
            text::age(orphan.age_ms),
            orphan.says.word().to_owned(),
            row.status.to_owned(),
            row.error.clone().unwrap_or_else(|| "-".to_owned()),
        ];
        table.push(cells.into_iter().take(shown));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orphan(id: u8, says: Says, age_ms: u64) -> Orphan {
        let mut orphan = Orphan::sample(TopicId([id; 16]), says);
        orphan.age_ms = age_ms;
        orphan
    }

    fn statuses(more: &[&str]) -> anyhow::Result<Vec<&'static str>> {
        use clap::Parser;
        #[derive(Debug, Parser)]
        struct Line {
            #[command(flatten)]
            collect: Collect,
        }
        let words = ["collect", "--orphans", "--from", "file:///x"];
        let line = Line::try_parse_from(words.into_iter().chain(more.iter().copied()))?;
        const DAY_MS: u64 = 86_400_000;
        let found = vec![
            orphan(1, Says::Deleted, 8 * DAY_MS),
            orphan(2, Says::Undeleted, 8 * DAY_MS),
            orphan(3, Says::Deleted, DAY_MS),
            orphan(4, Says::Foreign, 8 * DAY_MS),
        ];
        let rows = judged(found, &line.collect)?;
        Ok(rows.into_iter().map(|row| row.status).collect())
    }

    #[test]
    fn what_may_hold_records_goes_only_when_it_is_said() {
        let told = |more: &[&str]| statuses(more).expect("orphans");
        assert_eq!(told(&[]), ["orphan", "undeleted", "young", "foreign"]);
        let wide = told(&["--undeleted"]);
        assert_eq!(wide, ["orphan", "orphan", "young", "foreign"]);
        let old = told(&["--older-than", "12h"]);
        assert_eq!(old, ["orphan", "undeleted", "orphan", "foreign"]);
        let second = TopicId([2; 16]).to_string();
        assert_eq!(told(&["--topic", &second]), ["orphan"]);
        let third = TopicId([3; 16]).to_string();
        assert_eq!(told(&["--topic", &third]), ["young"]);
        let other = TopicId([9; 16]).to_string();
        let error = statuses(&["--topic", &other]).expect_err("it is named");
        assert!(error.to_string().contains("no orphan"), "{error}");
    }
}
