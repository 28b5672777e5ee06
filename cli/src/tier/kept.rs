//! `freshet tier kept`.

use clap::Args;
use freshet_tier::ExportedTopic;
use freshet_types::{PartitionId, TopicPartition};
use serde::Serialize;

use super::source::Source;
use crate::output::patience::Patience;
use crate::output::{Output, Rows};
use crate::text;

#[derive(Debug, Args)]
#[command(after_help = "\
Topics whose freshet.remote.delete.on.topic.delete is false leave their objects behind. `freshet cluster
restore --deleted NAME` brings one back, with what was in object storage when it was deleted.

EXAMPLES:
  freshet tier kept --from s3://bucket/prefix
  freshet tier kept --from file:///mnt/objects --cluster-id Zm9yIGV4YW1wbGUgMTI --output json")]
pub(crate) struct Kept {
    /// The object storage, as in remote.log.storage.url.
    #[arg(long, value_name = "URL")]
    from: String,
    /// Whose part of it; need not be said if it is of one cluster only.
    #[arg(long, value_name = "ID")]
    cluster_id: Option<String>,
}

/// A deleted topic.
#[derive(Debug, Serialize)]
struct Row {
    topic: String,
    id: String,
    partitions: usize,
    segments: usize,
    bytes: u64,
    /// Offsets that can be read once it is back.
    offsets: i64,
}

pub(super) async fn run(output: Output, patience: Patience, args: Kept) -> anyhow::Result<()> {
    let source = Source::find(&args.from, args.cluster_id.as_deref()).await?;
    let reading = patience.with("reading the bucket", read(&source));
    let (rows, damaged) = reading.await?;
    output.show(&rows, table)?;
    for what in damaged {
        output.heading(&format!("damaged: {what}"))?;
    }
    Ok(())
}

async fn read(source: &Source) -> anyhow::Result<(Vec<Row>, Vec<String>)> {
    let mut damaged = Vec::new();
    let cluster = source.cluster(&mut damaged).await?;
    let kept = source.kept(&cluster, &mut damaged).await?;
    let held = source.held(&kept, &mut damaged).await?;
    let row = |topic: ExportedTopic| {
        let at = |partition| TopicPartition {
            topic: topic.id,
            partition,
        };
        let held = || held.range(at(0)..=at(PartitionId::MAX)).map(|(_, it)| it);
        Row {
            topic: topic.name,
            id: topic.id.to_string(),
            partitions: topic.leader_epochs.len(),
            segments: held().map(|it| it.segments).sum(),
            bytes: held().map(|it| it.bytes).sum(),
            offsets: held().map(|it| it.end - it.start).sum(),
        }
    };
    Ok((kept.into_iter().map(row).collect(), damaged))
}

fn table(rows: &Vec<Row>) -> Rows {
    let headings = [
        "TOPIC",
        "ID",
        ">PARTITIONS",
        ">SEGMENTS",
        ">BYTES",
        ">OFFSETS",
    ];
    let mut table = Rows::new(&headings, "no deleted topic has left anything");
    for row in rows {
        table.push([
            row.topic.clone(),
            row.id.clone(),
            row.partitions.to_string(),
            row.segments.to_string(),
            text::bytes(row.bytes),
            row.offsets.to_string(),
        ]);
    }
    table
}
