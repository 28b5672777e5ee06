//! `freshet tier verify`.

mod checks;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use freshet_types::{Offset, PartitionId, TopicId};
use serde::Serialize;

use self::checks::{Checks, Fault, Finding};
use super::source::Source;
use crate::output::patience::Patience;
use crate::output::{Output, Rows};
use crate::text;

/// Before the store is asked a second time; each pause after it is twice as long.
const PAUSE: Duration = Duration::from_secs(1);
const FIRST_WORD: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
#[command(after_help = "\
The newest manifest of each partition is read back. Of each segment that it names this asks whether it is
there, has its length, and says of itself what the manifest says; with --read all of it is read back and held
against its checksums. The bucket is found as brokers find it, by AWS_*, GOOGLE_* or AZURE_* of the
environment. What the store refuses is counted as unread, and the others are looked at. Succeeds if all are
there, whole and read.

EXAMPLES:
  freshet tier verify --from s3://bucket/prefix
  freshet tier verify --from s3://bucket/prefix --read --topic orders
  freshet tier verify --from file:///mnt/objects --cluster-id Zm9yIGV4YW1wbGUgMTI --output json")]
pub(crate) struct Verify {
    /// The object storage, as in remote.log.storage.url.
    #[arg(long, value_name = "URL")]
    from: String,
    /// Whose part of it; need not be said if it is of one cluster only.
    #[arg(long, value_name = "ID")]
    cluster_id: Option<String>,
    /// Only this topic; may be repeated.
    #[arg(long = "topic", short, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Read all segments back.
    #[arg(long)]
    read: bool,
}

/// What a bucket has of a cluster.
#[derive(Debug, Serialize)]
struct Verified {
    cluster_id: String,
    topics: Vec<Topic>,
    /// Groups that have positions.
    groups: usize,
    positions: usize,
    damaged: Vec<Faulty>,
    /// What the store refuses or does not answer: nothing is known of it.
    unread: Vec<Faulty>,
    /// Exports and manifests that are damaged.
    damaged_books: Vec<String>,
    /// Those that the store refuses or does not answer.
    unread_books: Vec<String>,
    /// Ids of topics that the newest export does not name, and that were not kept.
    unnamed_topics: Vec<String>,
}

/// What it has of a topic.
#[derive(Debug, Serialize)]
struct Topic {
    topic: String,
    id: String,
    partitions: usize,
    segments: usize,
    bytes: u64,
    /// Offsets that can be read.
    offsets: i64,
    damaged: usize,
    unread: usize,
    /// Its objects were kept when it was deleted.
    deleted: bool,
}

/// A segment that is not what it should be, or cannot be read.
#[derive(Debug, Serialize)]
struct Faulty {
    topic: String,
    partition: PartitionId,
    start: Offset,
    end: Offset,
    why: String,
}

/// What is looked at, and how far that has come.
#[derive(Debug, Default)]
struct Progress {
    segments: AtomicU64,
    bytes: AtomicU64,
}

pub(super) async fn run(output: Output, patience: Patience, args: Verify) -> anyhow::Result<()> {
    let source = Source::find(&args.from, args.cluster_id.as_deref()).await?;
    let progress = Arc::new(Progress::default());
    let words = |waited: Duration| {
        let segments = progress.segments.load(Ordering::Relaxed);
        let bytes = text::bytes(progress.bytes.load(Ordering::Relaxed));
        format!(
            "{segments} segments are sound, {bytes} read ({} s) …",
            waited.as_secs()
        )
    };
    let verifying = verify(&source, &args, &progress);
    let verified = patience.after(FIRST_WORD, words, verifying).await?;
    output.heading(&format!("cluster {}", verified.cluster_id))?;
    output.show(&verified, table)?;
    for sentence in sentences(&verified) {
        output.heading(&sentence)?;
    }
    verdict(&verified)
}

/// Fails if anything is not as it should be, or not known to be.
fn verdict(verified: &Verified) -> anyhow::Result<()> {
    let damaged = (verified.damaged.len() + verified.damaged_books.len()) as u64;
    let unread = (verified.unread.len() + verified.unread_books.len()) as u64;
    let mut told = Vec::new();
    if damaged > 0 {
        told.push(format!(
            "damaged or missing: {}; brokers that still have the records on their disks store them anew \
             (freshet.remote.scrub.interval.ms)",
            text::count(damaged, "object")
        ));
    }
    if unread > 0 {
        told.push(format!(
            "could not be read: {}, of which nothing is known; look at the store's answers, and verify again",
            text::count(unread, "object")
        ));
    }
    match told.is_empty() {
        true => Ok(()),
        false => anyhow::bail!("{}", told.join(". ")),
    }
}

async fn verify(
    source: &Source,
    args: &Verify,
    progress: &Arc<Progress>,
) -> anyhow::Result<Verified> {
    let (mut damaged_books, mut unread_books) = (Vec::new(), Vec::new());
    let cluster = source.cluster(&mut damaged_books).await?;
    let groups = source.groups(&mut damaged_books).await;
    let groups = groups.map(|(groups, _)| groups).unwrap_or_else(|error| {
        unread_books.push(format!("positions of groups: {error:#}"));
        Vec::new()
    });
    let kept = source.kept(&cluster, &mut damaged_books).await;
    let kept = kept.unwrap_or_else(|error| {
        unread_books.push(format!("deleted topics that were kept: {error:#}"));
        Vec::new()
    });
    let all = || cluster.topics.iter().chain(&kept);
    let known: Vec<&str> = all().map(|it| it.name.as_str()).collect();
    if let Some(strange) = args
        .topics
        .iter()
        .find(|name| !known.contains(&name.as_str()))
    {
        anyhow::bail!(
            "the bucket has no topic {strange:?}; it has {}",
            known.join(", ")
        );
    }
    let positions = groups.iter().flat_map(|group| &group.topics);
    let mut verified = Verified {
        cluster_id: source.cluster_id().to_owned(),
        topics: Vec::new(),
        groups: groups.len(),
        positions: positions.map(|of| of.positions.len()).sum(),
        damaged: Vec::new(),
        unread: Vec::new(),
        unnamed_topics: source.unnamed(&cluster, &kept).await?,
        damaged_books,
        unread_books,
    };
    let mut checks = Checks::new(source, args.read, PAUSE, progress);
    let is_wanted = |name: &String| args.topics.is_empty() || args.topics.contains(name);
    let mut names = BTreeMap::new();
    for exported in all().filter(|it| is_wanted(&it.name)) {
        names.insert(exported.id, exported.name.clone());
        let topic = checks.topic(exported, &mut verified).await?;
        verified.topics.push(Topic {
            deleted: kept.iter().any(|kept| kept.id == exported.id),
            ..topic
        });
    }
    for finding in checks.end().await? {
        verified.note(&names, finding);
    }
    verified.sort();
    Ok(verified)
}

impl Verified {
    fn note(&mut self, names: &BTreeMap<TopicId, String>, (at, segment, fault): Finding) {
        let topic = names.get(&at.topic).cloned().unwrap_or_default();
        let id = at.topic.to_string();
        let row = self.topics.iter_mut().find(|row| row.id == id);
        let (faulty, why) = match fault {
            Fault::Damaged(why) => {
                row.into_iter().for_each(|row| row.damaged += 1);
                (&mut self.damaged, why)
            }
            Fault::Unread(why) => {
                row.into_iter().for_each(|row| row.unread += 1);
                (&mut self.unread, why)
            }
        };
        faulty.push(Faulty {
            topic,
            partition: at.partition,
            start: segment.start,
            end: segment.end,
            why,
        });
    }

    fn sort(&mut self) {
        self.topics.sort_by(|a, b| a.topic.cmp(&b.topic));
        for faulty in [&mut self.damaged, &mut self.unread] {
            faulty.sort_by(|a, b| {
                (&a.topic, a.partition, a.start).cmp(&(&b.topic, b.partition, b.start))
            });
        }
    }
}

fn sentences(verified: &Verified) -> Vec<String> {
    let mut sentences = vec![format!(
        "{} of {}",
        text::count(verified.positions as u64, "position"),
        text::count(verified.groups as u64, "group"),
    )];
    for (word, faulty, books) in [
        ("damaged", &verified.damaged, &verified.damaged_books),
        ("unread", &verified.unread, &verified.unread_books),
    ] {
        for Faulty {
            topic,
            partition,
            start,
            end,
            why,
        } in faulty
        {
            sentences.push(format!(
                "{word}: {topic}-{partition}, offsets {start} to {end}: {why}"
            ));
        }
        sentences.extend(books.iter().map(|book| format!("{word}: {book}")));
    }
    if !verified.unnamed_topics.is_empty() {
        sentences.push(format!(
            "note: nobody names the topics {}: they were deleted, or are younger than the newest export; \
             `freshet tier collect --orphans --dry-run` shows what they have left",
            verified.unnamed_topics.join(", ")
        ));
    }
    sentences
}

fn table(verified: &Verified) -> Rows {
    let headings = [
        "TOPIC",
        ">PARTITIONS",
        ">SEGMENTS",
        ">BYTES",
        ">OFFSETS",
        ">DAMAGED",
        ">UNREAD",
    ];
    let mut rows = Rows::new(&headings, "the cluster has no topics");
    for topic in &verified.topics {
        rows.push([
            match topic.deleted {
                true => format!("{} (deleted, kept)", topic.topic),
                false => topic.topic.clone(),
            },
            topic.partitions.to_string(),
            topic.segments.to_string(),
            text::bytes(topic.bytes),
            topic.offsets.to_string(),
            topic.damaged.to_string(),
            topic.unread.to_string(),
        ]);
    }
    rows
}
