//! `freshet cluster unclean-elections`.

use clap::Args;
use freshet_client::UncleanElection;
use serde::Serialize;

use crate::Context;
use crate::output::Rows;
use crate::text::time;

#[derive(Debug, Args)]
#[command(
    long_about = "Show the latest elections that may have lost acknowledged records, the oldest first.

The cluster keeps 100 of them. CAUSE is `setting` (unclean.leader.election.enable), `request` (somebody \
asked for it, as with `freshet topic elect --unclean`), or `last-known`: nobody was left who had \
everything for sure, and the last one that did came back from a crash.",
    after_help = "\
EXAMPLES:
  freshet cluster unclean-elections
  freshet cluster unclean-elections --output json"
)]
pub(crate) struct UncleanElections {}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Listed {
    /// `null` when the topic is gone.
    topic: Option<String>,
    topic_id: String,
    partition: i32,
    leader: i32,
    leader_epoch: i32,
    cause: &'static str,
    time: String,
}

pub(super) async fn run(context: &Context) -> anyhow::Result<()> {
    let admin = context.client.admin();
    let asking = admin.unclean_elections();
    let elections = context
        .patience
        .with("asking for elections", asking)
        .await?;
    let all: Vec<_> = elections.into_iter().map(listed).collect();
    context.output.show(&all, table)
}

fn listed(election: UncleanElection) -> Listed {
    Listed {
        topic: election.topic,
        topic_id: election.topic_id.to_string(),
        partition: election.partition,
        leader: election.leader.0,
        leader_epoch: election.leader_epoch,
        cause: match election.cause {
            0 => "setting",
            1 => "request",
            2 => "last-known",
            _ => "unknown",
        },
        time: time::show(election.time),
    }
}

fn table(all: &Vec<Listed>) -> Rows {
    let headings = ["TIME", "TOPIC", ">PARTITION", ">LEADER", ">EPOCH", "CAUSE"];
    let mut rows = Rows::new(&headings, "none is on record");
    for election in all {
        let gone = || format!("{} (deleted)", election.topic_id);
        rows.push([
            election.time.clone(),
            election.topic.clone().unwrap_or_else(gone),
            election.partition.to_string(),
            election.leader.to_string(),
            election.leader_epoch.to_string(),
            election.cause.to_owned(),
        ]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use freshet_types::{NodeId, Timestamp, TopicId};

    use super::*;

    #[test]
    fn each_election_says_when_and_why() {
        let election = |topic: Option<&str>, cause| UncleanElection {
            topic: topic.map(str::to_owned),
            topic_id: TopicId([7; 16]),
            partition: 2,
            leader: NodeId(3),
            leader_epoch: 4,
            cause,
            time: Timestamp(1_000),
        };
        let shown = listed(election(Some("orders"), 2));
        assert_eq!((shown.cause, shown.leader), ("last-known", 3));
        assert_eq!(shown.time, "1970-01-01T00:00:01.000Z");
        let words = [0, 1, 9].map(|cause| listed(election(None, cause)).cause);
        assert_eq!(words, ["setting", "request", "unknown"]);
    }
}
