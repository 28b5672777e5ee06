//! `freshet group delete`.

use clap::Args;
use serde_json::json;

use crate::Context;

#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  freshet group delete billing
  freshet group delete old-1 old-2")]
pub(crate) struct Delete {
    /// The groups.
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
}

pub(super) async fn run(context: &Context, args: Delete) -> anyhow::Result<()> {
    let admin = context.client.admin();
    for group in &args.groups {
        context
            .patience
            .with("deleting groups", admin.delete_group(group))
            .await?;
    }
    let sentence = format!("deleted {}", args.groups.join(", "));
    context
        .output
        .say(&json!({ "deleted": args.groups }), &sentence)
}
