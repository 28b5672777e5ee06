//! `freshet topic reassign`.

use clap::Args;
use freshet_client::{OngoingMove, Outcomes, Reassignment, TopicPartition};
use freshet_types::NodeId;
use serde::Serialize;

use super::elect::partitions;
use crate::output::Rows;
use crate::output::outcome::Items;
use crate::{Context, text};
use freshet_client::partition_name as named;

#[derive(Debug, Args)]
#[command(
    long_about = "Say which brokers keep partitions, the preferred leader first.

The old ones keep a partition until the new ones have all of it. To empty a broker use `freshet broker \
drain`; to change how many copies there are, `freshet topic alter NAME --replication-factor N`.",
    after_help = "\
EXAMPLES:
  freshet topic reassign --list
  freshet topic reassign orders:0 --to 1
  freshet topic reassign orders:0,1 --to 3,1,2
  freshet topic reassign orders --cancel"
)]
#[command(group(clap::ArgGroup::new("what").required(true)))]
pub(crate) struct Reassign {
    /// Topics, or some of their partitions.
    #[arg(value_name = "TOPIC[:PARTITION,..]", required_unless_present = "list", conflicts_with = "list", value_parser = text::topic_partitions)]
    topics: Vec<(String, Option<Vec<i32>>)>,
    /// The brokers that shall keep each of them, the preferred leader first.
    #[arg(long, group = "what", value_name = "ID,..", value_delimiter = ',')]
    to: Vec<i32>,
    /// Take back moves that are under way.
    #[arg(long, group = "what")]
    cancel: bool,
    /// Show the moves that are under way.
    #[arg(long, group = "what")]
    list: bool,
}

#[derive(Debug, Serialize)]
struct Moving {
    topic: String,
    partition: i32,
    replicas: Vec<i32>,
    adding: Vec<i32>,
    removing: Vec<i32>,
}

pub(super) async fn run(context: &Context, args: Reassign) -> anyhow::Result<()> {
    if args.list {
        return list(context).await;
    }
    let replicas = (!args.cancel).then(|| args.to.iter().copied().map(NodeId).collect::<Vec<_>>());
    let wanted = partitions(context, &args.topics).await?;
    let change = |partition| Reassignment {
        partition,
        replicas: replicas.clone(),
    };
    let changes: Vec<_> = wanted.into_iter().map(change).collect();
    let done = if args.cancel { "taken back" } else { "moving" };
    let mut items = Items::default();
    for (partition, outcome) in begin(context, &changes).await? {
        items.add(named(&partition), done, outcome);
    }
    items.show(context, "partition")
}

/// Asks for changes.
pub(super) async fn begin(
    context: &Context,
    changes: &[Reassignment],
) -> anyhow::Result<Outcomes<TopicPartition, ()>> {
    let admin = context.client.admin();
    let asking = admin.reassign(changes);
    let reassigning = context.patience.with("reassigning partitions", asking);
    Ok(reassigning.await?)
}

async fn list(context: &Context) -> anyhow::Result<()> {
    let admin = context.client.admin();
    let listing = admin.list_reassignments();
    let moves = context.patience.with("listing moves", listing).await?;
    let moving: Vec<Moving> = moves.into_iter().map(moving).collect();
    context.output.show(&moving, table)
}

fn moving(moving: OngoingMove) -> Moving {
    let ids = |nodes: Vec<NodeId>| nodes.into_iter().map(|node| node.0).collect();
    Moving {
        topic: moving.partition.0,
        partition: moving.partition.1,
        replicas: ids(moving.replicas),
        adding: ids(moving.adding),
        removing: ids(moving.removing),
    }
}

fn table(moves: &Vec<Moving>) -> Rows {
    let headings = ["TOPIC", ">PARTITION", "REPLICAS", "COMING", "GOING"];
    let mut rows = Rows::new(&headings, "nothing moves");
    for moving in moves {
        rows.push([
            moving.topic.clone(),
            moving.partition.to_string(),
            text::ids(&moving.replicas),
            text::ids(&moving.adding),
            text::ids(&moving.removing),
        ]);
    }
    rows
}
