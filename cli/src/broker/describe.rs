//! `freshet broker describe`.

use clap::Args;
use freshet_client::{Held, LogDir, Seen, Survey};
use freshet_types::NodeId;
use serde::Serialize;

use super::broker;
use super::list::size;
use crate::Context;
use crate::output::Rows;

/// Partitions that are named to people; programs get all.
const NAMED: usize = 10;

#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  freshet broker describe 1
  freshet broker describe 1 --output json")]
pub(crate) struct Describe {
    /// Its number.
    #[arg(value_name = "ID")]
    id: i32,
}

#[derive(Debug, Serialize)]
struct Described {
    id: i32,
    address: String,
    rack: Option<String>,
    status: &'static str,
    replicas: usize,
    leaders: usize,
    /// Replicas of it that are not in sync, as `topic-partition`.
    out_of_sync: Vec<String>,
    /// Replicas that are on their way to it, and away from it.
    coming: Vec<String>,
    going: Vec<String>,
    directories: Vec<Directory>,
}

#[derive(Debug, Serialize)]
struct Directory {
    path: String,
    status: String,
    partitions: usize,
    log_bytes: i64,
    usable_bytes: Option<i64>,
    total_bytes: Option<i64>,
}

pub(super) async fn run(context: &Context, args: Describe) -> anyhow::Result<()> {
    let survey = Survey::take(&context.client);
    let survey = context.patience.with("describing a broker", survey).await?;
    let described = describe(&survey, broker(&survey, NodeId(args.id))?);
    context.output.heading(&heading(&described))?;
    context.output.show(&described, table)
}

fn describe(survey: &Survey, seen: &Seen) -> Described {
    let node = seen.node.id;
    let named = |which: &dyn Fn(&Held) -> bool| {
        let found = survey.kept_by(node).filter(|held| which(held));
        found.map(Held::name).collect::<Vec<_>>()
    };
    Described {
        id: node.0,
        address: format!("{}:{}", seen.node.host, seen.node.port),
        rack: seen.node.rack.clone(),
        status: seen.status(),
        replicas: survey.kept_by(node).count(),
        leaders: survey.led_by(node),
        out_of_sync: named(&|held| !held.isr.contains(&node)),
        coming: named(&|held| held.adding.contains(&node)),
        going: named(&|held| held.removing.contains(&node)),
        directories: seen.dirs.iter().flatten().map(directory).collect(),
    }
}

fn directory(dir: &LogDir) -> Directory {
    let known = |bytes: i64| (bytes >= 0).then_some(bytes);
    Directory {
        path: dir.path.clone(),
        status: match &dir.error {
            Some(error) => format!("failed: {error}"),
            None => status(dir),
        },
        partitions: dir.partitions.len(),
        log_bytes: dir.partitions.iter().map(|log| log.size_bytes).sum(),
        usable_bytes: known(dir.usable_bytes),
        total_bytes: known(dir.total_bytes),
    }
}

/// In words, without reasons.
pub(super) fn status(dir: &LogDir) -> String {
    let mut words = dir.troubles();
    if dir.cordoned {
        words.push("cordoned");
    }
    if words.is_empty() {
        words.push("ok");
    }
    words.join(", ")
}

fn heading(broker: &Described) -> String {
    let rack = broker.rack.as_deref().unwrap_or("-");
    let mut text = format!(
        "broker {}  {}  rack {rack}  {}\n  keeps {} replicas and leads {} of them",
        broker.id, broker.address, broker.status, broker.replicas, broker.leaders
    );
    let lists = [
        ("not in sync", &broker.out_of_sync),
        ("on their way to it", &broker.coming),
        ("on their way to others", &broker.going),
    ];
    for (what, names) in lists.iter().filter(|(_, names)| !names.is_empty()) {
        text += &format!("\n  {}: {}", what, some_of(names));
    }
    text
}

/// The first few, and how many more there are.
pub(super) fn some_of(names: &[String]) -> String {
    let mut text = names[..names.len().min(NAMED)].join(", ");
    if names.len() > NAMED {
        text += &format!(" and {} more", names.len() - NAMED);
    }
    text
}

fn table(broker: &Described) -> Rows {
    let headings = [
        "DIRECTORY",
        "STATUS",
        ">PARTITIONS",
        ">LOGS",
        ">LEFT",
        ">TOTAL",
    ];
    let mut rows = Rows::new(&headings, "it does not tell of its directories");
    for dir in &broker.directories {
        rows.push([
            dir.path.clone(),
            dir.status.clone(),
            dir.partitions.to_string(),
            size(Some(dir.log_bytes)),
            size(dir.usable_bytes),
            size(dir.total_bytes),
        ]);
    }
    rows
}
