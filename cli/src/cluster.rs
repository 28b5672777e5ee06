//! `freshet cluster`.

pub(crate) mod feature;
pub(crate) mod quorum;
pub(crate) mod restore;
mod unclean;
mod up;

use std::time::Duration;

use clap::{Args, Subcommand};
use freshet_client::{ClusterNode, LogDir};
use serde::Serialize;
use tokio::time::timeout;

use crate::output::patience::Patience;
use crate::output::{Output, Rows};
use crate::{Context, text};

/// How long one broker may take to answer before it counts as down.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the cluster's id, its brokers and what their disks hold.
    Describe(Describe),
    /// Bring topics, settings, records and positions back from object storage, when all disks are lost.
    Restore(restore::Restore),
    /// Show the latest elections that may have lost acknowledged records.
    UncleanElections(unclean::UncleanElections),
    /// Run several brokers on this machine, until Ctrl-C.
    Up(up::Up),
}

#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  freshet cluster describe
  freshet --bootstrap broker-1:9092 cluster describe --output json")]
pub(crate) struct Describe {}

#[derive(Debug, Serialize)]
struct Described {
    cluster_id: String,
    controller: Option<i32>,
    brokers: Vec<Broker>,
}

#[derive(Debug, Serialize)]
struct Broker {
    id: i32,
    address: String,
    rack: Option<String>,
    status: &'static str,
    /// `null` when the broker does not answer.
    partitions: Option<usize>,
    log_bytes: Option<i64>,
    usable_bytes: Option<i64>,
}

/// The one command that finds no cluster, because it makes one.
pub(crate) async fn run_alone(
    output: &Output,
    patience: &Patience,
    up: up::Up,
) -> anyhow::Result<()> {
    up::run(output, patience, up).await
}

pub(crate) async fn run(context: &Context, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Restore(args) => restore::run(context, args).await,
        Command::UncleanElections(_) => unclean::run(context).await,
        Command::Describe(_) | Command::Up(_) => describe_all(context).await,
    }
}

async fn describe_all(context: &Context) -> anyhow::Result<()> {
    let described = context
        .patience
        .with("describing the cluster", describe(context))
        .await?;
    let controller = described
        .controller
        .map_or_else(|| "unknown".to_owned(), |n| n.to_string());
    let heading = format!("cluster {}  controller {controller}", described.cluster_id);
    context.output.heading(&heading)?;
    context.output.show(&described, table)
}

async fn describe(context: &Context) -> anyhow::Result<Described> {
    let admin = context.client.admin();
    let cluster = admin.describe_cluster().await?;
    let mut brokers = Vec::new();
    for node in cluster.nodes {
        // A broker that is down still belongs in the list.
        let asking = timeout(PATIENCE, admin.describe_log_dirs(node.id)).await;
        let dirs = asking.ok().and_then(Result::ok);
        brokers.push(broker(&node, dirs.as_deref()));
    }
    Ok(Described {
        cluster_id: cluster.cluster_id,
        controller: cluster.controller.map(|n| n.0),
        brokers,
    })
}

fn broker(node: &ClusterNode, dirs: Option<&[LogDir]>) -> Broker {
    let known = |bytes: i64| (bytes >= 0).then_some(bytes);
    let partitions = |dirs: &[LogDir]| dirs.iter().map(|d| d.partitions.len()).sum();
    let log_bytes = |dirs: &[LogDir]| {
        dirs.iter()
            .flat_map(|d| &d.partitions)
            .map(|p| p.size_bytes)
            .sum::<i64>()
    };
    Broker {
        id: node.id.0,
        address: format!("{}:{}", node.host, node.port),
        rack: node.rack.clone(),
        status: match (node.fenced, dirs) {
            (true, _) => "fenced",
            (false, None) => "no answer",
            (false, Some(dirs)) if dirs.iter().any(|d| d.error.is_some()) => "disk failed",
            (false, Some(_)) => "ok",
        },
        partitions: dirs.map(partitions),
        log_bytes: dirs.map(log_bytes),
        usable_bytes: dirs.and_then(|d| d.iter().filter_map(|d| known(d.usable_bytes)).max()),
    }
}

fn table(described: &Described) -> Rows {
    let headings = [
        ">BROKER",
        "ADDRESS",
        "RACK",
        "STATUS",
        ">PARTITIONS",
        ">LOGS",
        ">DISK LEFT",
    ];
    let mut rows = Rows::new(&headings, "no brokers");
    for broker in &described.brokers {
        let size = |bytes: Option<i64>| {
            bytes.map_or_else(|| "-".to_owned(), |b| text::bytes(b.unsigned_abs()))
        };
        rows.push([
            broker.id.to_string(),
            broker.address.clone(),
            broker.rack.clone().unwrap_or_else(|| "-".to_owned()),
            broker.status.to_owned(),
            broker
                .partitions
                .map_or_else(|| "-".to_owned(), |n| n.to_string()),
            size(broker.log_bytes),
            size(broker.usable_bytes),
        ]);
    }
    rows
}
