//! `freshet topic list`.

use clap::Args;
use serde::Serialize;

use crate::Context;
use crate::output::Rows;

#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  freshet topic list
  freshet topic list --internal
  freshet topic list --prefix orders. --output json")]
pub(crate) struct List {
    /// Also show the brokers' own topics.
    #[arg(long)]
    internal: bool,
    /// Only names that start like this.
    #[arg(long, default_value = "", hide_default_value = true)]
    prefix: String,
}

#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    partitions: usize,
    replication: usize,
    internal: bool,
    id: String,
}

pub(super) async fn run(context: &Context, args: List) -> anyhow::Result<()> {
    let view = context
        .patience
        .with("listing topics", context.client.all_topics())
        .await?;
    let mut topics: Vec<_> = view
        .topics
        .iter()
        .filter(|(name, t)| name.starts_with(&args.prefix) && (args.internal || !t.is_internal))
        .map(|(name, topic)| Listed {
            name: name.clone(),
            partitions: topic.partitions.len(),
            replication: topic.partitions.first().map_or(0, |p| p.replicas.len()),
            internal: topic.is_internal,
            id: topic.id.to_string(),
        })
        .collect();
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    context.output.show(&topics, table)
}

fn table(topics: &Vec<Listed>) -> Rows {
    let mut rows = Rows::new(
        &["TOPIC", ">PARTITIONS", ">REPLICATION", "ID"],
        "no topics; `freshet topic create NAME` makes one",
    );
    for topic in topics {
        rows.push([
            topic.name.clone(),
            topic.partitions.to_string(),
            topic.replication.to_string(),
            topic.id.clone(),
        ]);
    }
    rows
}
