//! `freshet quorum`.

use clap::{Args, Subcommand};
use freshet_client::{NewVoter, QuorumDescription, QuorumReplica};
use freshet_types::{NodeId, TopicId};
use serde::Serialize;
use serde_json::json;

use crate::output::Rows;
use crate::{Context, text};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the controllers: who decides, who votes, how far each is.
    Describe(Describe),
    /// Make a controller that follows the quorum one of its voters.
    AddVoter(AddVoter),
    /// Take a voter out of the quorum.
    RemoveVoter(RemoveVoter),
}

#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  freshet quorum describe
  freshet quorum describe --output json")]
pub(crate) struct Describe {}

#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  freshet quorum add-voter 4 Zm9vYmFyYmF6cXV4MTIzNA controller-4:9093
  freshet quorum add-voter 4 Zm9vYmFyYmF6cXV4MTIzNA controller-4:9093 --listener INTERNAL")]
pub(crate) struct AddVoter {
    /// Its number.
    #[arg(value_name = "ID")]
    id: i32,
    /// The id of its metadata directory, as `freshet quorum describe` shows it.
    #[arg(value_name = "DIRECTORY-ID")]
    directory: TopicId,
    /// Where the other controllers reach it.
    #[arg(value_name = "HOST:PORT", value_parser = text::address)]
    address: String,
    /// The name of its controller listener.
    #[arg(long, default_value = "CONTROLLER", value_name = "NAME")]
    listener: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  freshet quorum remove-voter 4 Zm9vYmFyYmF6cXV4MTIzNA")]
pub(crate) struct RemoveVoter {
    /// Its number.
    #[arg(value_name = "ID")]
    id: i32,
    /// The id of its metadata directory, as `freshet quorum describe` shows it.
    #[arg(value_name = "DIRECTORY-ID")]
    directory: TopicId,
}

#[derive(Debug, Serialize)]
struct Described {
    leader: Option<i32>,
    epoch: i32,
    high_watermark: i64,
    replicas: Vec<Replica>,
}

#[derive(Debug, Serialize)]
struct Replica {
    node: i32,
    role: &'static str,
    directory: String,
    addresses: Vec<String>,
    /// `null` when the controller that was asked does not know.
    log_end: Option<i64>,
    behind: Option<i64>,
    last_fetch_ms: Option<i64>,
    last_caught_up_ms: Option<i64>,
}

pub(crate) async fn run(context: &Context, command: Command) -> anyhow::Result<()> {
    let admin = context.client.admin();
    match command {
        Command::Describe(_) => {
            let asking = admin.describe_quorum();
            let quorum = context
                .patience
                .with("describing the quorum", asking)
                .await?;
            let described = described(&quorum);
            context.output.heading(&heading(&described))?;
            context.output.show(&described, table)
        }
        Command::AddVoter(args) => {
            let voter = voter(args)?;
            let adding = admin.add_voter(&voter);
            context.patience.with("adding a voter", adding).await?;
            said(context, voter.node, "added", "votes from now on")
        }
        Command::RemoveVoter(args) => {
            let removing = admin.remove_voter(NodeId(args.id), args.directory);
            context.patience.with("removing a voter", removing).await?;
            said(context, NodeId(args.id), "removed", "votes no more")
        }
    }
}

fn voter(args: AddVoter) -> anyhow::Result<NewVoter> {
    let (host, port) = args.address.rsplit_once(':').unwrap_or_default();
    Ok(NewVoter {
        node: NodeId(args.id),
        directory: args.directory,
        listener: args.listener,
        host: host.trim_matches(['[', ']']).to_owned(),
        port: port.parse()?,
    })
}

fn said(context: &Context, node: NodeId, status: &str, words: &str) -> anyhow::Result<()> {
    let result = json!({ "voter": node.0, "status": status });
    context
        .output
        .say(&result, &format!("controller {node} {words}"))
}

fn described(quorum: &QuorumDescription) -> Described {
    let replica = |replica: &QuorumReplica, role| Replica {
        node: replica.node.0,
        role: if Some(replica.node) == quorum.leader {
            "leader"
        } else {
            role
        },
        directory: replica.directory.to_string(),
        addresses: replica.addresses.clone(),
        log_end: replica.log_end,
        behind: replica
            .log_end
            .map(|end| (quorum.high_watermark - end).max(0)),
        last_fetch_ms: replica.last_fetch.map(|time| time.0),
        last_caught_up_ms: replica.last_caught_up.map(|time| time.0),
    };
    let voters = quorum.voters.iter().map(|r| replica(r, "voter"));
    let observers = quorum.observers.iter().map(|r| replica(r, "observer"));
    Described {
        leader: quorum.leader.map(|node| node.0),
        epoch: quorum.epoch,
        high_watermark: quorum.high_watermark,
        replicas: voters.chain(observers).collect(),
    }
}

fn heading(quorum: &Described) -> String {
    let leader = quorum.leader;
    let leader = leader.map_or_else(|| "nobody".to_owned(), |node| format!("controller {node}"));
    format!(
        "{leader} leads in epoch {}, agreed up to offset {}",
        quorum.epoch, quorum.high_watermark
    )
}

fn table(quorum: &Described) -> Rows {
    let headings = [
        ">NODE",
        "ROLE",
        "DIRECTORY",
        "ADDRESS",
        ">LOG END",
        ">BEHIND",
    ];
    let mut rows = Rows::new(&headings, "no controllers");
    for replica in &quorum.replicas {
        let number = |n: Option<i64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let address = replica.addresses.first();
        rows.push([
            replica.node.to_string(),
            replica.role.to_owned(),
            replica.directory.clone(),
            address.cloned().unwrap_or_else(|| "-".to_owned()),
            number(replica.log_end),
            number(replica.behind),
        ]);
    }
    rows
}
