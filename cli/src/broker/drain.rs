//! `freshet broker drain`.
//!
//! All that is under way is known to the cluster and nothing else: whoever runs this again goes on
//! where it ended.

mod work;

use clap::Args;
use freshet_client::{Drain as Plan, Move, Survey};
use freshet_types::NodeId;
use serde::Serialize;
use tokio::time::Instant;

use super::broker;
use super::describe::some_of;
use crate::output::Rows;
use crate::topic::throttle::Throttle;
use crate::{Context, text};
use work::Work;

#[derive(Debug, Args)]
#[command(
    long_about = "Move everything that a broker keeps to others; the broker stays in the cluster.

First it is checked that every partition finds another broker with room for it; if not, nothing is \
done. Then the broker is cordoned, and some partitions at a time move. It may be interrupted at any \
moment: moves that have begun go on, and the same command goes on with the rest.

With --throttle brokers copy no faster than that; what is set for it on brokers and topics is taken back \
at the end, and when it is interrupted.",
    after_help = "\
EXAMPLES:
  freshet broker drain 1 --dry-run
  freshet broker drain 3
  freshet broker drain 3 --throttle 50MB
  freshet broker drain 3 --batch 10 --output json"
)]
pub(crate) struct Drain {
    /// Its number.
    #[arg(value_name = "ID")]
    id: i32,
    /// Partitions that move at the same time.
    #[arg(long, default_value_t = 50, value_name = "PARTITIONS", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// Bytes a second that each broker sends, and receives, for these moves at most, such as 50MB.
    #[arg(long, value_name = "BYTES_PER_SECOND", value_parser = text::rate)]
    throttle: Option<u64>,
    /// Only show what would move where.
    #[arg(long)]
    dry_run: bool,
}

/// What a drain has done.
#[derive(Debug, Serialize)]
pub(super) struct Drained {
    broker: i32,
    status: &'static str,
    partitions: usize,
    bytes: u64,
    seconds: u64,
}

pub(super) async fn run(context: &Context, args: Drain) -> anyhow::Result<()> {
    let node = NodeId(args.id);
    if args.dry_run {
        let survey = look(context, node).await?;
        let plan = Plan::of_broker(&survey, node);
        check(&plan, node)?;
        let moves = plan.moves.iter().map(Moved::of).collect();
        return context.output.show(&moves, table);
    }
    let drained = empty(context, node, args.batch, args.throttle).await?;
    let sentence = format!(
        "broker {node} is empty: {} ({}) went to others in {} s; it stays cordoned until \
         `freshet broker uncordon {node}`",
        text::count(drained.partitions as u64, "partition"),
        text::bytes(drained.bytes),
        drained.seconds
    );
    context.output.say(&drained, &sentence)
}

/// A move as it is shown.
#[derive(Debug, Serialize)]
struct Moved {
    topic: String,
    partition: i32,
    now: Vec<i32>,
    then: Vec<i32>,
    bytes: u64,
}

impl Moved {
    fn of(planned: &Move) -> Self {
        let ids = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect();
        Self {
            topic: planned.partition.0.clone(),
            partition: planned.partition.1,
            now: ids(&planned.now),
            then: ids(&planned.then),
            bytes: planned.bytes,
        }
    }
}

/// Refuses a drain that could not end, and says what to do.
fn check(plan: &Plan, node: NodeId) -> anyhow::Result<()> {
    let mut reasons = Vec::new();
    if !plan.leaderless.is_empty() {
        let missing: Vec<_> = plan.missing.iter().map(ToString::to_string).collect();
        reasons.push(format!(
            "nobody leads {}, so nobody could copy them; start broker {} first",
            some_of(&plan.leaderless),
            missing.join(", ")
        ));
    }
    if !plan.placeless.is_empty() {
        reasons.push(format!(
            "no other broker is left for {}; start another broker, uncordon one, or keep fewer \
             copies (`freshet topic alter NAME --replication-factor N`)",
            some_of(&plan.placeless)
        ));
    }
    if !plan.roomless.is_empty() {
        reasons.push(format!(
            "no other broker has room for {} ({}); make room, or start another broker",
            some_of(&plan.roomless),
            text::bytes(plan.roomless_bytes)
        ));
    }
    if reasons.is_empty() {
        return Ok(());
    }
    anyhow::bail!(
        "broker {node} cannot be drained, and nothing was changed:\n  {}",
        reasons.join("\n  ")
    )
}

async fn look(context: &Context, node: NodeId) -> anyhow::Result<Survey> {
    let survey = Survey::take(&context.client);
    let survey = context
        .patience
        .with("looking at the cluster", survey)
        .await?;
    broker(&survey, node)?;
    Ok(survey)
}

/// Drains a broker; it is cordoned afterwards.
pub(super) async fn empty(
    context: &Context,
    node: NodeId,
    batch: u32,
    rate: Option<u64>,
) -> anyhow::Result<Drained> {
    let start = Instant::now();
    let survey = look(context, node).await?;
    check(&Plan::of_broker(&survey, node), node)?;
    context.client.admin().cordon_broker(node, true).await?;
    let throttle = Throttle::new(context, rate);
    let mut work = Work::new(throttle, survey, node, batch as usize);
    let (partitions, bytes) = work.amount();
    let ended = tokio::select! {
        done = work.until_empty() => done,
        pressed = crate::interrupted() => {
            pressed?;
            Err(anyhow::anyhow!(
                "interrupted: moves that have begun go on, no others begin; the same command goes on \
                 with the rest, `freshet broker uncordon {node}` lets the broker take partitions again"
            ))
        }
    };
    work.lift_after(ended).await?;
    Ok(Drained {
        broker: node.0,
        status: "drained",
        partitions,
        bytes,
        seconds: start.elapsed().as_secs(),
    })
}

fn table(moves: &Vec<Moved>) -> Rows {
    let headings = ["TOPIC", ">PARTITION", "NOW", "THEN", ">SIZE"];
    let mut rows = Rows::new(&headings, "it keeps nothing that would move");
    for planned in moves {
        rows.push([
            planned.topic.clone(),
            planned.partition.to_string(),
            text::ids(&planned.now),
            text::ids(&planned.then),
            text::bytes(planned.bytes),
        ]);
    }
    rows
}
