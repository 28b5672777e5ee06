//! `freshet topic describe`.

use std::collections::{BTreeMap, HashMap};

use anyhow::Context as _;
use clap::Args;
use freshet_client::{ConfigSource, OffsetSpec, Resource, TopicPartition, TopicView};
use freshet_types::NodeId;
use serde::Serialize;

use crate::output::Rows;
use crate::output::outcome::Failures;
use crate::{Context, text};

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

#[derive(Debug, Default, Serialize)]
struct Described {
    name: String,
    /// Why nothing else is known.
    error: Option<String>,
    id: Option<String>,
    /// Settings that differ from the broker's defaults; a secret is `null`.
    configs: BTreeMap<String, Option<String>>,
    partitions: Vec<Partition>,
}

#[derive(Debug, Serialize)]
struct Partition {
    partition: i32,
    leader: Option<i32>,
    leader_epoch: i32,
    replicas: Vec<i32>,
    isr: Vec<i32>,
    /// Replicas out of sync that still have everything acknowledged.
    eligible: Vec<i32>,
    offline: Vec<i32>,
    /// `null` when the leader does not answer.
    start: Option<i64>,
    end: Option<i64>,
}

pub(super) async fn run(context: &Context, args: Describe) -> anyhow::Result<()> {
    let describing = describe_all(context, &args.names);
    let (described, failures) = context
        .patience
        .with("describing topics", describing)
        .await?;
    if context.output.is_json() {
        context.output.say(&described, "")?;
    } else if !failures.is_lonely(described.len()) {
        for (i, topic) in described.iter().enumerate() {
            if i > 0 {
                context.output.heading("")?;
            }
            context.output.heading(&heading(topic))?;
            if topic.error.is_none() {
                context.output.show(&topic.partitions, table)?;
            }
        }
    }
    failures.into_result(described.len(), "topic")
}

async fn describe_all(
    context: &Context,
    names: &[String],
) -> anyhow::Result<(Vec<Described>, Failures)> {
    // One question for all; what cannot be known is asked about one by one below.
    match context.client.topics(names).await {
        Ok(_) => {}
        Err(error) if error.code().is_some() => {}
        Err(error) => return Err(error.into()),
    }
    let mut all = Vec::new();
    let mut failures = Failures::default();
    for name in names {
        all.push(match describe(context, name).await {
            Ok(described) => described,
            failed => Described {
                name: name.clone(),
                error: failures.note(failed),
                ..Described::default()
            },
        });
    }
    Ok((all, failures))
}

async fn describe(context: &Context, name: &str) -> anyhow::Result<Described> {
    let view = context.client.topics(&[name.to_owned()]).await?;
    let topic = view.topic(name).context("the topic is gone")?;
    let ends = ends(context, name, topic).await;
    let eligible = eligible(context, name).await;
    let partition = |p: &freshet_client::PartitionView| {
        let ids = |nodes: &[NodeId]| nodes.iter().map(|n| n.0).collect();
        let found = ends.get(&p.index).copied().unwrap_or_default();
        Partition {
            partition: p.index,
            leader: p.leader.map(|n| n.0),
            leader_epoch: p.leader_epoch,
            replicas: ids(&p.replicas),
            isr: ids(&p.isr),
            eligible: eligible.get(&p.index).map_or_else(Vec::new, |all| ids(all)),
            offline: ids(&p.offline),
            start: found.0,
            end: found.1,
        }
    };
    Ok(Described {
        name: name.to_owned(),
        error: None,
        id: Some(topic.id.to_string()),
        configs: overrides(context, name).await?,
        partitions: topic.partitions.iter().map(partition).collect(),
    })
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

/// Who is eligible to lead though out of sync; nobody where the brokers keep no account of it.
async fn eligible(context: &Context, name: &str) -> HashMap<i32, Vec<NodeId>> {
    let told = context.client.admin().eligible_replicas(name).await;
    let copies = told.unwrap_or_default().into_iter();
    copies.map(|copy| (copy.partition, copy.eligible)).collect()
}

async fn overrides(
    context: &Context,
    name: &str,
) -> anyhow::Result<BTreeMap<String, Option<String>>> {
    let resource = Resource::Topic(name.to_owned());
    let entries = context.client.admin().describe_configs(&resource).await?;
    let own = entries
        .into_iter()
        .filter(|e| e.source == ConfigSource::Topic);
    Ok(own.map(|e| (e.name, e.value)).collect())
}

fn heading(topic: &Described) -> String {
    if let Some(error) = &topic.error {
        return format!("{}  failed: {error}", topic.name);
    }
    let mut text = format!("{}  id {}", topic.name, topic.id.as_deref().unwrap_or("-"));
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
        "ELIGIBLE",
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
            text::ids(&p.replicas),
            text::ids(&p.isr),
            text::ids(&p.eligible),
            text::ids(&p.offline),
            number(p.start),
            number(p.end),
        ]);
    }
    rows
}
