//! `freshet broker`.

mod cordon;
mod decommission;
mod describe;
mod drain;
mod list;

use clap::Subcommand;
use freshet_client::{Seen, Survey};
use freshet_types::NodeId;

use crate::Context;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List brokers, what they keep and what their disks hold.
    List(list::List),
    /// Show one broker: its directories, what it leads, what it is behind with.
    Describe(describe::Describe),
    /// Keep new partitions away from a broker; what it has stays.
    Cordon(cordon::Cordon),
    /// Let a broker take new partitions again.
    Uncordon(cordon::Uncordon),
    /// Move everything that a broker keeps to others; the broker stays in the cluster.
    Drain(drain::Drain),
    /// Drain a broker, wait until it is stopped, and forget it.
    Decommission(decommission::Decommission),
}

pub(crate) async fn run(context: &Context, command: Command) -> anyhow::Result<()> {
    match command {
        Command::List(args) => list::run(context, args).await,
        Command::Describe(args) => describe::run(context, args).await,
        Command::Cordon(args) => cordon::run(context, args.id(), true).await,
        Command::Uncordon(args) => cordon::run(context, args.id(), false).await,
        Command::Drain(args) => drain::run(context, args).await,
        Command::Decommission(args) => decommission::run(context, args).await,
    }
}

/// A broker, or a sentence that names those there are.
fn broker(survey: &Survey, id: NodeId) -> anyhow::Result<&Seen> {
    survey.brokers.get(&id).ok_or_else(|| {
        let known: Vec<_> = survey.brokers.keys().map(ToString::to_string).collect();
        anyhow::anyhow!("there is no broker {id}; brokers: {}", known.join(", "))
    })
}
