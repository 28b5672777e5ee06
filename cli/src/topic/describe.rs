//! `freshet topic describe`.

use std::collections::HashMap;

use clap::Args;
use freshet_client::{ConfigSource, OffsetSpec, Resource, TopicPartition, TopicView};
use freshet_types::NodeId;
use serde::Serialize;

use crate::Context;
use crate::output::Rows;

#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  freshet topic describe orders
  freshet topic describe orders payments --output json")]
pub(crate) struct Describe {
    /// Names of the topics.
    #[arg(required = true, value_name = "TOPIC")]
    names: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Described {
    name: String,
    id: String,
    /// Settings that differ from the broker's defaults.
    configs: Vec<(String, Option<String>)>,
    partitions: Vec<Partition>,
}

#[derive(Debug, Serialize)]
struct Partition {
    partition: i32,
    leader: Option<i32>,
    leader_epoch: i32,
    replicas: Vec<i32>,
    isr: Vec<i32>,
    offline: Vec<i32>,
    /// `null` when the leader does not answer.
    start: Option<i64>,
    end: Option<i64>,
}

pub(super) async fn run(context: &Context, args: Describe) -> anyhow::Result<()> {
    let described = context
        .patience
        .with("describing topics", describe(context, &args.names))
        .await?;
    if context.output.is_json() {
        return context.output.show(&described, |_| unreachable_table());
    }
    for (i, topic) in described.iter().enumerate() {
        if i > 0 {
            context.output.heading("")?;
        }
        context.output.heading(&heading(topic))?;
        context.output.show(&topic.partitions, table)?;
    }
    Ok(())
}

async fn describe(context: &Context, names: &[String]) -> anyhow::Result<Vec<Described>> {
    let view = context.client.topics(names).await?;
    let mut described = Vec::new();
    for name in names {
        let Some(topic) = view.topic(name) else {
            continue;
        };
        let ends = ends(context, name, topic).await;
        let partition = |p: &freshet_client::PartitionView| {
            let ids = |nodes: &[NodeId]| nodes.iter().map(|n| n.0).collect();
            let found = ends.get(&p.index).copied().unwrap_or_default();
            Partition {
                partition: p.index,
                leader: p.leader.map(|n| n.0),
                leader_epoch: p.leader_epoch,
                replicas: ids(&p.replicas),
                isr: ids(&p.isr),
                offline: ids(&p.offline),
                start: found.0,
                end: found.1,
            }
        };
        described.push(Described {
            name: name.clone(),
            id: topic.id.to_string(),
            configs: overrides(context, name).await?,
            partitions: topic.partitions.iter().map(partition).collect(),
        });
    }
    Ok(described)
}

/// Starts and ends of the partitions that have a leader.
async fn ends(
    context: &Context,
    name: &str,
    topic: &TopicView,
) -> HashMap<i32, (Option<i64>, Option<i64>)> {
    let led = topic.partitions.iter().filter(|p| p.leader.is_some());
    let all: Vec<TopicPartition> = led.map(|p| (name.to_owned(), p.index)).collect();
    let mut found = HashMap::<i32, (Option<i64>, Option<i64>)>::new();
    for spec in [OffsetSpec::Earliest, OffsetSpec::Latest] {
        let asked: Vec<_> = all.iter().map(|p| (p.clone(), spec)).collect();
        let Ok(outcomes) = context.client.admin().list_offsets(&asked, false).await else {
            continue;
        };
        for ((_, partition), outcome) in outcomes {
            let offset = outcome.ok().map(|o| o.offset);
            let entry = found.entry(partition).or_default();
            if spec == OffsetSpec::Earliest {
                entry.0 = offset
            } else {
                entry.1 = offset
            }
        }
    }
    found
}

async fn overrides(context: &Context, name: &str) -> anyhow::Result<Vec<(String, Option<String>)>> {
    let resource = Resource::Topic(name.to_owned());
    let entries = context.client.admin().describe_configs(&resource).await?;
    let own = entries
        .into_iter()
        .filter(|e| e.source == ConfigSource::Topic);
    Ok(own.map(|e| (e.name, e.value)).collect())
}

fn heading(topic: &Described) -> String {
    let mut text = format!("{}  id {}", topic.name, topic.id);
    for (name, value) in &topic.configs {
        text += &format!("\n  {name}={}", value.as_deref().unwrap_or("(hidden)"));
    }
    text
}

fn table(partitions: &Vec<Partition>) -> Rows {
    let headings = [
        ">PARTITION",
        ">LEADER",
        ">EPOCH",
        "REPLICAS",
        "ISR",
        "OFFLINE",
        ">START",
        ">END",
    ];
    let mut rows = Rows::new(&headings, "no partitions");
    for p in partitions {
        let number = |n: Option<i64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        rows.push([
            p.partition.to_string(),
            p.leader
                .map_or_else(|| "none".to_owned(), |n| n.to_string()),
            p.leader_epoch.to_string(),
            join(&p.replicas),
            join(&p.isr),
            join(&p.offline),
            number(p.start),
            number(p.end),
        ]);
    }
    rows
}

fn join(ids: &[i32]) -> String {
    if ids.is_empty() {
        return "-".to_owned();
    }
    ids.iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(",")
}

/// JSON shows all topics at once; the tables are shown one by one.
fn unreachable_table() -> Rows {
    Rows::new(&[], "")
}
