//! `freshet tier verify`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use freshet_tier::{ExportedTopic, Segment, VerifyError, check_bytes, check_named};
use freshet_types::{ErrorKind, Offset, PartitionId, TopicPartition};
use serde::Serialize;
use tokio::task::JoinSet;

use super::source::Source;
use crate::output::patience::Patience;
use crate::output::{Output, Rows};
use crate::text;

/// Objects that are looked at at a time.
const AT_ONCE: usize = 32;
const FIRST_WORD: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
#[command(after_help = "\
Of each segment that the newest manifest of its partition names this asks whether it is there, has its
length, and says of itself what the manifest says; with --read all of it is read back and held against its
checksums. The bucket is found as brokers find it, by AWS_*, GOOGLE_* or AZURE_* of the environment.

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
    damaged: Vec<Damaged>,
    /// Exports and manifests that cannot be read.
    damaged_books: Vec<String>,
    /// Ids of topics that no export names.
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
    /// Its objects were kept when it was deleted.
    deleted: bool,
}

/// A segment that is not what it should be.
#[derive(Debug, Serialize)]
struct Damaged {
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
    let source = match &args.cluster_id {
        Some(id) => Source::open(&args.from, id)?,
        None => Source::open_only(&args.from).await?,
    };
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
    match verified.damaged.len() + verified.damaged_books.len() {
        0 => Ok(()),
        damaged => anyhow::bail!(
            "damaged or missing: {}; brokers that still have the records on their disks store them anew \
             (freshet.remote.scrub.interval.ms)",
            text::count(damaged as u64, "object")
        ),
    }
}

async fn verify(
    source: &Source,
    args: &Verify,
    progress: &Arc<Progress>,
) -> anyhow::Result<Verified> {
    let mut damaged_books = Vec::new();
    let cluster = source.cluster(&mut damaged_books).await?;
    let (groups, _) = source.groups(&mut damaged_books).await?;
    let kept = source.kept(&cluster, &mut damaged_books).await?;
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
        unnamed_topics: source.unnamed(&cluster, &kept).await?,
        damaged_books,
    };
    let mut checks = Checks {
        source,
        is_deep: args.read,
        progress,
        running: JoinSet::new(),
        damaged: Vec::new(),
    };
    let is_wanted = |name: &String| args.topics.is_empty() || args.topics.contains(name);
    let mut names = BTreeMap::new();
    for exported in all().filter(|it| is_wanted(&it.name)) {
        names.insert(exported.id, exported.name.clone());
        let topic = checks.topic(exported, &mut verified.damaged_books).await?;
        verified.topics.push(Topic {
            deleted: kept.iter().any(|kept| kept.id == exported.id),
            ..topic
        });
    }
    for (at, segment, why) in checks.end().await? {
        let topic = names.get(&at.topic).cloned().unwrap_or_default();
        let id = at.topic.to_string();
        if let Some(row) = verified.topics.iter_mut().find(|row| row.id == id) {
            row.damaged += 1;
        }
        verified.damaged.push(Damaged {
            topic,
            partition: at.partition,
            start: segment.start,
            end: segment.end,
            why,
        });
    }
    verified.topics.sort_by(|a, b| a.topic.cmp(&b.topic));
    verified
        .damaged
        .sort_by(|a, b| (&a.topic, a.partition, a.start).cmp(&(&b.topic, b.partition, b.start)));
    Ok(verified)
}

type Finding = (TopicPartition, Segment, String);

/// Segments that are looked at, some at a time.
struct Checks<'a> {
    source: &'a Source,
    /// To read them, too.
    is_deep: bool,
    progress: &'a Arc<Progress>,
    running: JoinSet<anyhow::Result<Option<Finding>>>,
    damaged: Vec<Finding>,
}

impl Checks<'_> {
    /// Begins to look at all segments of a topic.
    async fn topic(
        &mut self,
        exported: &ExportedTopic,
        damaged_books: &mut Vec<String>,
    ) -> anyhow::Result<Topic> {
        let mut topic = Topic {
            topic: exported.name.clone(),
            id: exported.id.to_string(),
            partitions: exported.leader_epochs.len(),
            segments: 0,
            bytes: 0,
            offsets: 0,
            damaged: 0,
            deleted: false,
        };
        for partition in (0..).take(topic.partitions) {
            let at = TopicPartition {
                topic: exported.id,
                partition,
            };
            let (manifest, complaints) = self.source.manifest(at).await?;
            damaged_books.extend(complaints);
            let Some(manifest) = manifest else { continue };
            topic.segments += manifest.segments().len();
            topic.bytes += manifest.size_bytes();
            topic.offsets += manifest.remote_end() - manifest.log_start();
            for segment in manifest.segments() {
                self.begin(at, segment).await?;
            }
        }
        Ok(topic)
    }

    async fn begin(&mut self, at: TopicPartition, segment: &Segment) -> anyhow::Result<()> {
        if self.running.len() >= AT_ONCE {
            self.next().await?;
        }
        let (objects, segment) = (Arc::clone(self.source.objects()), segment.clone());
        let key = self
            .source
            .layout()
            .segment(at, segment.object_start, segment.id);
        let (progress, is_deep) = (Arc::clone(self.progress), self.is_deep);
        self.running.spawn(async move {
            let check = async {
                let footer = check_named(&*objects, &key, at, &segment).await?;
                if is_deep {
                    check_bytes(&*objects, &key, &footer, &progress.bytes).await?;
                }
                Ok::<(), VerifyError>(())
            };
            match check.await {
                Ok(()) => {
                    progress.segments.fetch_add(1, Ordering::Relaxed);
                    Ok(None)
                }
                // Nothing is known of what a store does not tell.
                Err(VerifyError::Store(error)) if error.kind() != ErrorKind::NotFound => {
                    Err(error.into())
                }
                Err(wrong) => Ok(Some((at, segment, wrong.to_string()))),
            }
        });
        Ok(())
    }

    async fn next(&mut self) -> anyhow::Result<()> {
        if let Some(checked) = self.running.join_next().await {
            self.damaged.extend(checked??);
        }
        Ok(())
    }

    async fn end(mut self) -> anyhow::Result<Vec<Finding>> {
        while !self.running.is_empty() {
            self.next().await?;
        }
        Ok(self.damaged)
    }
}

fn sentences(verified: &Verified) -> Vec<String> {
    let mut sentences = vec![format!(
        "{} of {}",
        text::count(verified.positions as u64, "position"),
        text::count(verified.groups as u64, "group"),
    )];
    for damaged in &verified.damaged {
        let Damaged {
            topic,
            partition,
            start,
            end,
            why,
        } = damaged;
        sentences.push(format!(
            "damaged: {topic}-{partition}, offsets {start} to {end}: {why}"
        ));
    }
    let books = verified.damaged_books.iter();
    sentences.extend(books.map(|book| format!("damaged: {book}")));
    if !verified.unnamed_topics.is_empty() {
        sentences.push(format!(
            "note: no export names the topics {}: they were deleted, or are younger than the export",
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
        ]);
    }
    rows
}
