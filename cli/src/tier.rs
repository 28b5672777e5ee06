//! `freshet tier`.

mod collect;
mod kept;
mod orphans;
mod pause;
mod restore_plan;
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
    /// Delete what topics have left in a bucket that nobody names any more.
    Collect(collect::Collect),
    /// Show what this cluster would have back from a bucket, and what is lost; changes nothing.
    RestorePlan(restore_plan::RestorePlan),
    #[command(flatten)]
    Alone(Alone),
}

/// What asks no broker: what it looks at outlives them.
#[derive(Debug, Subcommand)]
pub(crate) enum Alone {
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
        Command::Collect(args) => collect::run(context, args).await,
        Command::RestorePlan(args) => restore_plan::run(context, args).await,
        Command::Alone(command) => run_alone(context.output, context.patience, command).await,
    }
}

pub(crate) async fn run_alone(
    output: Output,
    patience: Patience,
    command: Alone,
) -> anyhow::Result<()> {
    match command {
        Alone::Verify(args) => verify::run(output, patience, args).await,
        Alone::Kept(args) => kept::run(output, patience, args).await,
    }
}
