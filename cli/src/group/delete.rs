//! `freshet group delete`.

use clap::Args;

use crate::Context;
use crate::output::outcome::Items;

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
    let mut items = Items::default();
    for group in args.groups {
        let deleting = admin.delete_group(&group);
        let outcome = context.patience.with("deleting groups", deleting).await;
        items.add(group, "deleted", outcome);
    }
    items.show(context, "group")
}
