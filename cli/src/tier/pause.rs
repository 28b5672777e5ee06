//! `freshet tier pause`, `freshet tier resume`.

use anyhow::ensure;
use clap::Args;
use freshet_client::{ConfigChange, Resource};

use super::status::{COPY_DISABLE, setting};
use crate::Context;
use crate::output::outcome::Items;

#[derive(Debug, Args)]
#[command(after_help = "\
Disks grow meanwhile: local retention takes nothing that is not in object storage, and retention.* takes
from both.

EXAMPLES:
  freshet tier pause orders
  freshet tier pause orders payments")]
pub(crate) struct Pause {
    /// Names of the topics.
    #[arg(required = true, value_name = "TOPIC")]
    names: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  freshet tier resume orders
  freshet tier resume orders payments")]
pub(crate) struct Resume {
    /// Names of the topics.
    #[arg(required = true, value_name = "TOPIC")]
    names: Vec<String>,
}

pub(super) async fn pause(context: &Context, args: Pause) -> anyhow::Result<()> {
    let change = ConfigChange::set(COPY_DISABLE, "true");
    set(context, &args.names, (change, "paused")).await
}

pub(super) async fn resume(context: &Context, args: Resume) -> anyhow::Result<()> {
    let change = ConfigChange::set(COPY_DISABLE, "false");
    set(context, &args.names, (change, "resumed")).await
}

async fn set(
    context: &Context,
    names: &[String],
    (change, done): (ConfigChange, &'static str),
) -> anyhow::Result<()> {
    let mut items = Items::default();
    for name in names {
        let changing = set_one(context, name, &change);
        let outcome = context.patience.with("changing settings", changing).await;
        items.add(name.clone(), done, outcome);
    }
    items.show(context, "topic")
}

async fn set_one(context: &Context, name: &str, change: &ConfigChange) -> anyhow::Result<()> {
    let admin = context.client.admin();
    let resource = Resource::Topic(name.to_owned());
    let configs = admin.describe_configs(&resource).await?;
    ensure!(
        setting(&configs, "remote.storage.enable"),
        "{name} does not use object storage; `freshet topic alter {name} --config \
         remote.storage.enable=true` has it do so"
    );
    let changes = std::slice::from_ref(change);
    Ok(admin.alter_configs(&resource, changes, false).await?)
}
