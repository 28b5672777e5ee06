//! `freshet tier`.

mod pause;
pub(crate) mod status;

use clap::Subcommand;

use crate::Context;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what of each partition is in object storage, on disks, and not copied yet.
    Status(status::Status),
    /// Copy nothing more of a topic; what is in object storage stays readable.
    Pause(pause::Pause),
    /// Copy a paused topic again.
    Resume(pause::Resume),
}

pub(crate) async fn run(context: &Context, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Status(args) => status::run(context, args).await,
        Command::Pause(args) => pause::pause(context, args).await,
        Command::Resume(args) => pause::resume(context, args).await,
    }
}
