//! `freshet topic elect`.

use clap::Args;
use freshet_client::{Election, TopicPartition};
use freshet_wire::ErrorCode;

use crate::output::outcome::Items;
use crate::{Context, text};
use freshet_client::partition_name as named;

#[derive(Debug, Args)]
#[command(
    long_about = "Elect leaders: the first replica of each partition, if it is in sync.

With --unclean, where nobody in sync is left, any replica that is there: records that only the others \
have are lost for good.",
    after_help = "\
EXAMPLES:
  freshet topic elect --all
  freshet topic elect orders
  freshet topic elect orders:0,2 payments --output json"
)]
pub(crate) struct Elect {
    /// Topics, or some of their partitions.
    #[arg(value_name = "TOPIC[:PARTITION,..]", required_unless_present = "all", conflicts_with = "all", value_parser = text::topic_partitions)]
    topics: Vec<(String, Option<Vec<i32>>)>,
    /// Wherever it is needed.
    #[arg(long)]
    all: bool,
    /// Take a leader that may miss records, where there is no other. Needs --accept-loss.
    #[arg(long, requires = "accept_loss")]
    unclean: bool,
    /// Records may be lost.
    #[arg(long, requires = "unclean")]
    accept_loss: bool,
}

pub(super) async fn run(context: &Context, args: Elect) -> anyhow::Result<()> {
    let election = if args.unclean {
        Election::Unclean
    } else {
        Election::Preferred
    };
    let wanted = if args.all {
        None
    } else {
        Some(partitions(context, &args.topics).await?)
    };
    let admin = context.client.admin();
    let electing = admin.elect_leaders(election, wanted.as_deref());
    let outcomes = context.patience.with("electing leaders", electing).await?;
    let mut items = Items::default();
    for (partition, outcome) in outcomes {
        match outcome {
            // That is what was wanted.
            Err(error) if error.code() == Some(ErrorCode::ElectionNotNeeded) => {
                items.add(
                    named(&partition),
                    "leads already",
                    Ok::<_, anyhow::Error>(()),
                );
            }
            outcome => items.add(named(&partition), "elected", outcome),
        }
    }
    items.show(context, "partition")
}

/// Those named, with all partitions where only the topic is.
pub(super) async fn partitions(
    context: &Context,
    topics: &[(String, Option<Vec<i32>>)],
) -> anyhow::Result<Vec<TopicPartition>> {
    let names: Vec<_> = topics.iter().map(|(topic, _)| topic.clone()).collect();
    let asking = context.client.topics(&names);
    let view = context.patience.with("finding topics", asking).await?;
    let mut all = Vec::new();
    for (topic, some) in topics {
        let known = view.topic(topic).map_or(&[][..], |t| &t.partitions);
        let known: Vec<_> = known.iter().map(|p| p.index).collect();
        let wanted = some.clone().unwrap_or_else(|| known.clone());
        if let Some(missing) = wanted.iter().find(|p| !known.contains(p)) {
            anyhow::bail!("topic {topic:?} has no partition {missing}");
        }
        all.extend(wanted.into_iter().map(|p| (topic.clone(), p)));
    }
    Ok(all)
}
