//! `freshet tier`.

mod kept;
mod pause;
pub(crate) mod source;
pub(crate) mod status;
mod verify;

use crate::output::Output;
use crate::output::patience::Patience;
use clap::Subcommand;

use crate::Context;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what of topics is in object storage, on disks, and not copied yet; and what goes wrong.
    Status(status::Status),
    /// Copy nothing more of a topic; what is in object storage stays readable.
    Pause(pause::Pause),
    /// Copy a paused topic again.
    Resume(pause::Resume),
    /// Check whether what a bucket has of a cluster is all there and undamaged; asks no broker.
    Verify(verify::Verify),
    /// Show deleted topics whose objects were kept; asks no broker.
    Kept(kept::Kept),
}

pub(crate) async fn run(context: &Context, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Status(args) => status::run(context, args).await,
        Command::Pause(args) => pause::pause(context, args).await,
        Command::Resume(args) => pause::resume(context, args).await,
        Command::Verify(args) => verify(context.output, context.patience, args).await,
        Command::Kept(args) => kept(context.output, context.patience, args).await,
    }
}

/// Asks no broker: what it looks at outlives them.
pub(crate) async fn verify(
    output: Output,
    patience: Patience,
    args: verify::Verify,
) -> anyhow::Result<()> {
    verify::run(output, patience, args).await
}

/// Asks no broker either.
pub(crate) async fn kept(
    output: Output,
    patience: Patience,
    args: kept::Kept,
) -> anyhow::Result<()> {
    kept::run(output, patience, args).await
}
