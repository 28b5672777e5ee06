//! `freshet broker list`.

use clap::Args;
use freshet_client::{Seen, Survey};
use serde::Serialize;

use crate::output::Rows;
use crate::{Context, text};

#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  freshet broker list
  freshet broker list --output json")]
pub(crate) struct List {}

#[derive(Debug, Serialize)]
struct Listed {
    id: i32,
    address: String,
    rack: Option<String>,
    status: &'static str,
    replicas: usize,
    leaders: usize,
    /// `null` when the broker does not answer.
    log_bytes: Option<i64>,
    usable_bytes: Option<i64>,
}

pub(super) async fn run(context: &Context, _: List) -> anyhow::Result<()> {
    let survey = Survey::take(&context.client);
    let survey = context.patience.with("listing brokers", survey).await?;
    let listed = |seen: &Seen| Listed {
        id: seen.node.id.0,
        address: format!("{}:{}", seen.node.host, seen.node.port),
        rack: seen.node.rack.clone(),
        status: seen.status(),
        replicas: survey.kept_by(seen.node.id).count(),
        leaders: survey.led_by(seen.node.id),
        log_bytes: seen.log_bytes(),
        usable_bytes: seen.usable_bytes(),
    };
    let brokers: Vec<Listed> = survey.brokers.values().map(listed).collect();
    context.output.show(&brokers, table)
}

fn table(brokers: &Vec<Listed>) -> Rows {
    let headings = [
        ">BROKER",
        "ADDRESS",
        "RACK",
        "STATUS",
        ">REPLICAS",
        ">LEADERS",
        ">LOGS",
        ">DISK LEFT",
    ];
    let mut rows = Rows::new(&headings, "no brokers");
    for broker in brokers {
        rows.push([
            broker.id.to_string(),
            broker.address.clone(),
            broker.rack.clone().unwrap_or_else(|| "-".to_owned()),
            broker.status.to_owned(),
            broker.replicas.to_string(),
            broker.leaders.to_string(),
            size(broker.log_bytes),
            size(broker.usable_bytes),
        ]);
    }
    rows
}

/// Bytes, or a dash when they are not known.
pub(super) fn size(bytes: Option<i64>) -> String {
    bytes.map_or_else(|| "-".to_owned(), |b| text::bytes(b.unsigned_abs()))
}
