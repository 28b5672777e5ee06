//! Looks at objects, some at a time, and walks on where the store refuses.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use freshet_env::objects::ObjectError;
use freshet_tier::{ExportedTopic, Segment, VerifyError, check_bytes, check_named};
use freshet_types::{ErrorKind, TopicPartition};
use tokio::task::JoinSet;

use super::{Progress, Topic, Verified};
use crate::text;
use crate::tier::source::Source;

/// Objects that are looked at at a time.
const AT_ONCE: usize = 32;
/// How often the store is asked for what it throttles or does not answer.
const TRIES: u32 = 3;

/// What is wrong with a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not what it should be, or not there.
    Damaged(String),
    /// The store does not give it.
    Unread(String),
}

pub(super) type Finding = (TopicPartition, Segment, Fault);

/// Segments that are looked at, some at a time.
pub(super) struct Checks<'a> {
    source: &'a Source,
    /// To read them, too.
    is_deep: bool,
    /// Before a second try.
    pause: Duration,
    progress: &'a Arc<Progress>,
    running: JoinSet<Option<Finding>>,
    findings: Vec<Finding>,
}

impl<'a> Checks<'a> {
    /// None yet.
    pub(super) fn new(
        source: &'a Source,
        is_deep: bool,
        pause: Duration,
        progress: &'a Arc<Progress>,
    ) -> Self {
        Self {
            source,
            is_deep,
            pause,
            progress,
            running: JoinSet::new(),
            findings: Vec::new(),
        }
    }
}

impl Checks<'_> {
    /// Begins to look at all segments of a topic.
    pub(super) async fn topic(
        &mut self,
        exported: &ExportedTopic,
        verified: &mut Verified,
    ) -> anyhow::Result<Topic> {
        let mut topic = Topic {
            topic: exported.name.clone(),
            id: exported.id.to_string(),
            partitions: exported.leader_epochs.len(),
            segments: 0,
            bytes: 0,
            offsets: 0,
            damaged: 0,
            unread: 0,
            deleted: false,
        };
        for partition in (0..).take(topic.partitions) {
            let at = TopicPartition {
                topic: exported.id,
                partition,
            };
            let (manifest, complaints) = match self.source.manifest(at).await {
                Ok(found) => found,
                Err(error) => {
                    self.must_answer().await?;
                    let what = format!("manifests of {}-{partition}: {error:#}", exported.name);
                    verified.unread_books.push(what);
                    topic.unread += 1;
                    continue;
                }
            };
            verified.damaged_books.extend(complaints);
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

    pub(super) async fn begin(
        &mut self,
        at: TopicPartition,
        segment: &Segment,
    ) -> anyhow::Result<()> {
        if self.running.len() >= AT_ONCE {
            self.next().await?;
        }
        let (objects, segment) = (Arc::clone(self.source.objects()), segment.clone());
        let key = self
            .source
            .layout()
            .segment(at, segment.object_start, segment.id);
        let (progress, is_deep) = (Arc::clone(self.progress), self.is_deep);
        let pause = self.pause;
        self.running.spawn(async move {
            let check = || async {
                let footer = check_named(&*objects, &key, at, &segment).await?;
                if is_deep {
                    check_bytes(&*objects, &key, &footer, &progress.bytes).await?;
                }
                Ok::<(), VerifyError>(())
            };
            let passes = |error: &VerifyError| match error {
                VerifyError::Store(error) => error.failure.passes(),
                _ => false,
            };
            let fault = match patiently(pause, check, passes).await {
                Ok(()) => {
                    progress.segments.fetch_add(1, Ordering::Relaxed);
                    return None;
                }
                // Nothing is known of what a store does not tell.
                Err(VerifyError::Store(error)) if error.kind() != ErrorKind::NotFound => {
                    Fault::Unread(error.to_string())
                }
                Err(wrong) => Fault::Damaged(wrong.to_string()),
            };
            Some((at, segment, fault))
        });
        Ok(())
    }

    async fn next(&mut self) -> anyhow::Result<()> {
        let Some(checked) = self.running.join_next().await else {
            return Ok(());
        };
        if let Some(finding) = checked? {
            if matches!(finding.2, Fault::Unread(_)) {
                self.must_answer().await?;
            }
            self.findings.push(finding);
        }
        Ok(())
    }

    /// A store that does not list either is away: whoever walked on would count all objects, and wait for each.
    async fn must_answer(&self) -> anyhow::Result<()> {
        let home = self.source.layout().home();
        let list = || self.source.objects().list(&home, None, 1);
        let passes = |error: &ObjectError| error.failure.passes();
        let listed = patiently(self.pause, list, passes).await;
        listed.map(drop).with_context(|| {
            let known = text::count(self.findings.len() as u64, "object");
            format!("the store is away; until then {known} were found damaged or unread")
        })
    }

    pub(super) async fn end(mut self) -> anyhow::Result<Vec<Finding>> {
        while !self.running.is_empty() {
            self.next().await?;
        }
        Ok(self.findings)
    }
}

/// Asks again what may pass, a few times, after pauses that grow.
async fn patiently<T, E, F: Future<Output = Result<T, E>>>(
    mut pause: Duration,
    ask: impl Fn() -> F,
    passes: impl Fn(&E) -> bool,
) -> Result<T, E> {
    for _ in 1..TRIES {
        match ask().await {
            Err(error) if passes(&error) => tokio::time::sleep(pause).await,
            told => return told,
        }
        pause *= 2;
    }
    ask().await
}
