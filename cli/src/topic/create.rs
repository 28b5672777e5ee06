//! `freshet topic create`.

use clap::Args;
use freshet_client::{CreatedTopic, NewTopic};
use freshet_wire::ErrorCode;
use serde::Serialize;

use crate::output::Rows;
use crate::output::outcome::{FAILED, Failures};
use crate::{Context, text};

#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  freshet topic create orders
  freshet topic create orders payments --partitions 6 --replication 3
  freshet topic create events --config retention.ms=86400000 --config cleanup.policy=compact
  freshet topic create orders --if-not-exists")]
pub(crate) struct Create {
    /// Names of the topics.
    #[arg(required = true, value_name = "TOPIC")]
    names: Vec<String>,
    /// Partitions of each; the broker's default if left out.
    #[arg(long, short, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// Copies of each partition; the broker's default if left out.
    #[arg(long, short, value_parser = clap::value_parser!(i16).range(1..))]
    replication: Option<i16>,
    /// A setting that differs from the broker's default; may be repeated.
    #[arg(long = "config", short, value_name = "NAME=VALUE", value_parser = text::name_value)]
    configs: Vec<(String, String)>,
    /// Do not mind topics that are there already.
    #[arg(long)]
    if_not_exists: bool,
    /// Only check whether they could be created.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct Created {
    name: String,
    id: Option<String>,
    partitions: Option<i32>,
    replication: Option<i16>,
    status: &'static str,
    error: Option<String>,
}

impl Created {
    /// A row of which only the outcome is known.
    fn without_topic(name: String, status: &'static str, error: Option<String>) -> Self {
        Self {
            name,
            id: None,
            partitions: None,
            replication: None,
            status,
            error,
        }
    }
}

pub(super) async fn run(context: &Context, args: Create) -> anyhow::Result<()> {
    let topics: Vec<_> = args
        .names
        .iter()
        .map(|name| NewTopic {
            name: name.clone(),
            partitions: args.partitions,
            replication: args.replication,
            configs: args.configs.clone(),
        })
        .collect();
    let admin = context.client.admin();
    let creating = admin.create_topics(&topics, args.dry_run);
    let outcomes = context.patience.with("creating topics", creating).await?;
    let mut created = Vec::new();
    let mut failures = Failures::default();
    for (name, outcome) in outcomes {
        created.push(match outcome {
            Ok(topic) => show(name, &topic, args.dry_run),
            Err(e) if args.if_not_exists && e.code() == Some(ErrorCode::TopicAlreadyExists) => {
                Created::without_topic(name, "exists", None)
            }
            refused => Created::without_topic(name, FAILED, failures.note(refused)),
        });
    }
    if !failures.is_lonely(created.len()) || context.output.is_json() {
        context.output.show(&created, table)?;
    }
    failures.into_result(created.len(), "topic")
}

fn show(name: String, topic: &CreatedTopic, dry_run: bool) -> Created {
    Created {
        name,
        id: (!dry_run && !topic.id.is_zero()).then(|| topic.id.to_string()),
        partitions: Some(topic.partitions).filter(|n| *n > 0),
        replication: Some(topic.replication).filter(|n| *n > 0),
        status: if dry_run { "valid" } else { "created" },
        error: None,
    }
}

fn table(created: &Vec<Created>) -> Rows {
    let headings = [
        "TOPIC",
        ">PARTITIONS",
        ">REPLICATION",
        "STATUS",
        "ID",
        "ERROR",
    ];
    // Most often nothing fails, and then nobody misses the last column.
    let failed = created.iter().any(|topic| topic.error.is_some());
    let shown = if failed { 6 } else { 5 };
    let mut rows = Rows::new(&headings[..shown], "nothing");
    for topic in created {
        let or_dash = |n: Option<i64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let cells = [
            topic.name.clone(),
            or_dash(topic.partitions.map(i64::from)),
            or_dash(topic.replication.map(i64::from)),
            topic.status.to_owned(),
            topic.id.clone().unwrap_or_else(|| "-".to_owned()),
            topic.error.clone().unwrap_or_else(|| "-".to_owned()),
        ];
        rows.push(cells.into_iter().take(shown));
    }
    rows
}
