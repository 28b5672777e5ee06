//! `freshet topic reassign`.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use freshet_client::{OngoingMove, Outcomes, Reassignment, Survey, TopicPartition};
use freshet_types::NodeId;
use serde::Serialize;
use tokio::time::sleep;

use super::elect::partitions;
use super::throttle::Throttle;
use crate::output::Rows;
use crate::output::outcome::Items;
use crate::{Context, text};
use freshet_client::partition_name as named;

/// How often it is looked whether moves are over.
const TICK: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
#[command(
    long_about = "Say which brokers keep partitions, the preferred leader first.

The old ones keep a partition until the new ones have all of it. To empty a broker use `freshet broker \
drain`; to change how many copies there are, `freshet topic alter NAME --replication-factor N`.

With --throttle the command waits for the end of the moves, or until it is interrupted, and takes back \
what it has set for that on brokers and topics.",
    after_help = "\
EXAMPLES:
  freshet topic reassign --list
  freshet topic reassign orders:0 --to 1
  freshet topic reassign orders:0,1 --to 3,1,2
  freshet topic reassign orders --to 3,1,2 --throttle 50MB
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
    /// Bytes a second that each broker sends, and receives, for these moves at most, such as 50MB. Waits
    /// until they are over.
    #[arg(long, value_name = "BYTES_PER_SECOND", value_parser = text::rate, requires = "to")]
    throttle: Option<u64>,
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
    let done = match (args.cancel, args.throttle) {
        (true, _) => "taken back",
        (false, None) => "moving",
        (false, Some(_)) => "moved",
    };
    let outcomes = match args.throttle {
        None => begin(context, &changes).await?,
        Some(rate) => finish(context, &changes, rate).await?,
    };
    let mut items = Items::default();
    for (partition, outcome) in outcomes {
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

/// Asks for changes that copy no faster than `rate` bytes a second, and waits for their end.
pub(super) async fn finish(
    context: &Context,
    changes: &[Reassignment],
    rate: u64,
) -> anyhow::Result<Outcomes<TopicPartition, ()>> {
    let looking = Survey::take(&context.client);
    let survey = context.patience.with("looking at the cluster", looking);
    let survey = survey.await?;
    let mut throttle = Throttle::new(context, Some(rate));
    let moving = async {
        throttle.cover(&survey, changes).await?;
        let outcomes = begin(context, changes).await?;
        let begun = outcomes.iter().filter(|(_, outcome)| outcome.is_ok());
        until_over(context, &begun.map(|(partition, _)| partition).collect()).await?;
        Ok(outcomes)
    };
    let ended = tokio::select! {
        done = moving => done,
        pressed = crate::interrupted() => {
            pressed?;
            Err(anyhow::anyhow!(
                "interrupted: moves that have begun go on, and nothing holds them back any more; \
                 `freshet topic reassign --list` shows them"
            ))
        }
    };
    throttle.lift_after(ended).await
}

async fn until_over(context: &Context, begun: &BTreeSet<&TopicPartition>) -> anyhow::Result<()> {
    let admin = context.client.admin();
    let over = async {
        loop {
            let moves = admin.list_reassignments().await?;
            if !moves.iter().any(|moving| begun.contains(&moving.partition)) {
                return Ok(());
            }
            sleep(TICK).await;
        }
    };
    context.patience.with("moving partitions", over).await
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
