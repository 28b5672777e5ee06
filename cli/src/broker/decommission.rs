//! `freshet broker decommission`.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use freshet_client::{Admin, ClientError};
use freshet_types::NodeId;
use freshet_wire::ErrorCode;
use serde_json::json;
use tokio::time::sleep;

use super::drain;
use crate::{Context, text};

/// How often it is looked whether the broker is gone.
const TICK: Duration = Duration::from_secs(1);
/// Looks until a broker that is fenced may still count as alive.
const PATIENCE: u32 = 60;

#[derive(Debug, Args)]
#[command(
    long_about = "Drain a broker, wait until it is stopped, and forget it.

What it keeps moves to others, as with `freshet broker drain`. Then its process has to be stopped: by \
you, this command cannot reach it. It may be interrupted at any moment; the same command goes on.",
    after_help = "\
EXAMPLES:
  freshet broker decommission 3
  freshet broker decommission 3 --throttle 50MB
  freshet broker decommission 3 --batch 10 --output json"
)]
pub(crate) struct Decommission {
    /// Its number.
    #[arg(value_name = "ID")]
    id: i32,
    /// Partitions that move at the same time.
    #[arg(long, default_value_t = 50, value_name = "PARTITIONS", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// Bytes a second that each broker sends, and receives, for these moves at most, such as 50MB.
    #[arg(long, value_name = "BYTES_PER_SECOND", value_parser = text::rate)]
    throttle: Option<u64>,
}

pub(super) async fn run(context: &Context, args: Decommission) -> anyhow::Result<()> {
    let node = NodeId(args.id);
    let admin = context.client.admin();
    let checking = refuse_voter(&admin, node);
    context
        .patience
        .with("looking at the controllers", checking)
        .await?;
    let drained = drain::empty(context, node, args.batch, args.throttle).await?;
    tokio::select! {
        gone = forget(context, &admin, node) => gone?,
        pressed = crate::interrupted() => {
            pressed?;
            bail!(
                "interrupted: broker {node} is empty and cordoned, and still known; the same command \
                 goes on once it is stopped"
            );
        }
    }
    let result = json!({ "broker": node.0, "status": "decommissioned", "drained": drained });
    context
        .output
        .say(&result, &format!("broker {node} has left the cluster"))
}

/// A controller that went away for good would be missed in every majority.
async fn refuse_voter(admin: &Admin, node: NodeId) -> anyhow::Result<()> {
    let quorum = match admin.describe_quorum().await {
        // A cluster that does not tell of its controllers.
        Err(ClientError::Unsupported { .. }) => return Ok(()),
        told => told?,
    };
    let Some(voter) = quorum.voters.iter().find(|voter| voter.node == node) else {
        return Ok(());
    };
    if quorum.voters.len() == 1 {
        bail!(
            "broker {node} is the only controller: without it there is no cluster; add another one \
             first (`freshet quorum add-voter --help`)"
        );
    }
    bail!(
        "broker {node} is a controller that votes: take it out of the quorum first \
         (`freshet quorum remove-voter {node} {}`)",
        voter.directory
    )
}

/// Waits until the broker is gone, and has it forgotten.
async fn forget(context: &Context, admin: &Admin, node: NodeId) -> anyhow::Result<()> {
    if !is_gone(admin, node).await? {
        if !context.patience.is_quiet() {
            eprintln!("broker {node} is empty: stop its process now; waiting for that …");
        }
        while !is_gone(admin, node).await? {
            sleep(TICK).await;
        }
    }
    let mut tries = 0;
    loop {
        let Err(error) = admin.unregister_broker(node).await else {
            return Ok(());
        };
        tries += 1;
        match error.code() {
            // Somebody else was faster.
            Some(ErrorCode::BrokerIdNotRegistered) => return Ok(()),
            // Its last heartbeat was a moment ago.
            Some(ErrorCode::PolicyViolation) if tries < PATIENCE => sleep(TICK).await,
            _ => return Err(error.into()),
        }
    }
}

async fn is_gone(admin: &Admin, node: NodeId) -> anyhow::Result<bool> {
    let known = admin.describe_cluster().await?.nodes;
    Ok(known.iter().all(|known| known.id != node || known.fenced))
}
