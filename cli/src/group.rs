//! `freshet group`.

mod delete;
mod describe;
mod list;
mod reset;

use clap::Subcommand;

use crate::Context;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List groups.
    List(list::List),
    /// Show positions, lag and members.
    Describe(describe::Describe),
    /// Delete groups without members, with their positions.
    Delete(delete::Delete),
    /// Move the positions of a group without members.
    ResetOffsets(reset::Reset),
}

pub(crate) async fn run(context: &Context, command: Command) -> anyhow::Result<()> {
    match command {
        Command::List(args) => list::run(context, args).await,
        Command::Describe(args) => describe::run(context, args).await,
        Command::Delete(args) => delete::run(context, args).await,
        Command::ResetOffsets(args) => reset::run(context, args).await,
    }
}
