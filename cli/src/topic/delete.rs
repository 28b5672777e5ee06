//! `freshet topic delete`.

use std::io::IsTerminal;

use clap::Args;

use crate::output::outcome::Items;
use crate::{Context, output, text};

/// Topics of the brokers themselves, whether or not a broker says so.
const INTERNAL: [&str; 4] = [
    "__cluster_metadata",
    "__consumer_offsets",
    "__share_group_state",
    "__transaction_state",
];

#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  freshet topic delete orders
  freshet topic delete old-1 old-2 --yes")]
pub(crate) struct Delete {
    /// Names of the topics.
    #[arg(required = true, value_name = "TOPIC")]
    names: Vec<String>,
    /// Do not ask. Needed where nobody can be asked, as in a script.
    #[arg(long, short)]
    yes: bool,
}

pub(super) async fn run(context: &Context, args: Delete) -> anyhow::Result<()> {
    refuse_internal(context, &args.names).await?;
    if !args.yes {
        if !std::io::stdin().is_terminal() {
            anyhow::bail!("nothing was deleted: stdin is no terminal to ask at; say --yes");
        }
        if !confirmed(&args.names).await? {
            anyhow::bail!("nothing was deleted");
        }
    }
    let admin = context.client.admin();
    let deleting = admin.delete_topics(&args.names);
    let outcomes = context.patience.with("deleting topics", deleting).await?;
    let mut items = Items::default();
    for (name, outcome) in outcomes {
        items.add(name, "deleted", outcome);
    }
    items.show(context, "topic")
}

/// Without them the brokers forget every group's positions and every transaction.
async fn refuse_internal(context: &Context, names: &[String]) -> anyhow::Result<()> {
    let asking = context.client.ask_topics(names);
    let view = context.patience.with("finding topics", asking).await?;
    let is_internal = |name: &&String| {
        INTERNAL.contains(&name.as_str()) || view.topic(name).is_some_and(|t| t.is_internal)
    };
    match names.iter().find(is_internal) {
        None => Ok(()),
        Some(name) => anyhow::bail!(
            "nothing was deleted: topic {name:?} belongs to the brokers themselves and must stay"
        ),
    }
}

async fn confirmed(names: &[String]) -> anyhow::Result<bool> {
    let count = text::count(names.len() as u64, "topic");
    let names = names.join(", ");
    output::says_yes(&format!("Delete {count} with all records ({names})?")).await
}
