//! `freshet topic delete`.

use std::io::{IsTerminal, Write};

use clap::Args;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::{Context, text};

#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  freshet topic delete orders
  freshet topic delete old-1 old-2 --yes")]
pub(crate) struct Delete {
    /// Names of the topics.
    #[arg(required = true, value_name = "TOPIC")]
    names: Vec<String>,
    /// Do not ask. Without a terminal nothing is asked either.
    #[arg(long, short)]
    yes: bool,
}

pub(super) async fn run(context: &Context, args: Delete) -> anyhow::Result<()> {
    if !args.yes && std::io::stdin().is_terminal() && !confirmed(&args.names).await? {
        anyhow::bail!("nothing was deleted");
    }
    let admin = context.client.admin();
    let deleting = admin.delete_topics(&args.names);
    let outcomes = context.patience.with("deleting topics", deleting).await?;
    let mut deleted = Vec::new();
    let mut failed = None;
    for (name, outcome) in outcomes {
        match outcome {
            Ok(()) => deleted.push(name),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    if !deleted.is_empty() {
        let sentence = format!("deleted {}", deleted.join(", "));
        context
            .output
            .say(&json!({ "deleted": deleted }), &sentence)?;
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}

async fn confirmed(names: &[String]) -> anyhow::Result<bool> {
    let count = text::count(names.len() as u64, "topic");
    eprint!(
        "Delete {count} with all records ({})? Type yes: ",
        names.join(", ")
    );
    std::io::stderr().flush()?;
    let mut answer = String::new();
    BufReader::new(tokio::io::stdin())
        .read_line(&mut answer)
        .await?;
    Ok(answer.trim() == "yes")
}
