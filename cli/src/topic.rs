//! `freshet topic`.

mod alter;
mod create;
mod delete;
mod describe;
mod elect;
mod factor;
mod list;
mod reassign;
pub(crate) mod throttle;

use clap::Subcommand;

use crate::Context;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create topics.
    Create(create::Create),
    /// List topics.
    List(list::List),
    /// Show partitions, leaders, replicas and where each log starts and ends.
    Describe(describe::Describe),
    /// Add partitions, change settings and how many copies there are.
    Alter(alter::Alter),
    /// Say which brokers keep partitions; show and take back moves.
    Reassign(reassign::Reassign),
    /// Elect leaders.
    Elect(elect::Elect),
    /// Delete topics with all their records.
    Delete(delete::Delete),
}

pub(crate) async fn run(context: &Context, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Create(args) => create::run(context, args).await,
        Command::List(args) => list::run(context, args).await,
        Command::Describe(args) => describe::run(context, args).await,
        Command::Alter(args) => alter::run(context, args).await,
        Command::Reassign(args) => reassign::run(context, args).await,
        Command::Elect(args) => elect::run(context, args).await,
        Command::Delete(args) => delete::run(context, args).await,
    }
}
