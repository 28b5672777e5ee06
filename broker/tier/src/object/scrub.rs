//! Whether an object is still what was put there. What looks wrong is asked for once more before that is
//! said: an answer may be damaged on its way.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use freshet_env::Objects;
use freshet_records::envelope::{EnvelopeError, malformed};
use freshet_records::{Crc32c, crc32c, crc32c_joined};
use freshet_types::{ErrorKind, TopicPartition};

use super::footer::{Footer, Section, SectionKind};
use super::sums::{CHUNK_BYTES, Sums};
use super::verify::{Look, VerifyError, look};
use crate::segment::{Segment, visible};

/// Whether an object is there, has its length, and its footer says what the manifest says of the
/// `segment`. Gives the footer; two requests, a few KiB.
///
/// # Errors
/// See [`VerifyError`].
pub async fn check_named(
    objects: &dyn Objects,
    key: &str,
    partition: TopicPartition,
    segment: &Segment,
) -> Result<Footer, VerifyError> {
    twice(|| look_named(objects, key, partition, segment)).await
}

/// Looks, and looks again if something seems wrong with the object.
pub(crate) async fn twice<T, F: Future<Output = Result<T, VerifyError>>>(
    look: impl Fn() -> F,
) -> Result<T, VerifyError> {
    match look().await {
        Err(wrong) if matches!(wrong.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
            look().await
        }
        looked => looked,
    }
}

async fn look_named(
    objects: &dyn Objects,
    key: &str,
    partition: TopicPartition,
    segment: &Segment,
) -> Result<Footer, VerifyError> {
    let look = look(objects, key).await?;
    let (expected, found) = (segment.size_bytes, look.len_bytes);
    let key = || key.to_owned();
    if expected != found {
        let key = key();
        return Err(VerifyError::Length {
            key,
            expected,
            found,
        });
    }
    let footer = look.footer().await?;
    match disagreement(&footer, partition, segment) {
        Some(what) => Err(VerifyError::Disagrees { key: key(), what }),
        None => Ok(footer),
    }
}

/// What a footer and a manifest say differently of one object.
fn disagreement(
    footer: &Footer,
    partition: TopicPartition,
    segment: &Segment,
) -> Option<&'static str> {
    let (start, end) = (segment.start, segment.end);
    let shows = footer.start <= start && end <= footer.end;
    let said = [
        (footer.partition == partition, "its partition"),
        (footer.id == segment.id, "its id"),
        (footer.generation == segment.generation, "its generation"),
        (footer.start == segment.object_start && shows, "its offsets"),
        (
            footer.max_timestamp == segment.max_timestamp,
            "its largest timestamp",
        ),
        (
            visible(&footer.epochs, start, end) == segment.epochs,
            "its epochs",
        ),
    ];
    let differs = said.into_iter().find(|(is_same, _)| !is_same);
    differs.map(|(_, what)| what)
}

/// Reads an object from end to end and holds each section, and each chunk of the batches, against its
/// checksum. Memory: one chunk. What was read is added to `read` as it comes.
///
/// # Errors
/// See [`VerifyError`]; the first range that is damaged is told.
pub async fn check_bytes(
    objects: &dyn Objects,
    key: &str,
    footer: &Footer,
    read: &AtomicU64,
) -> Result<(), VerifyError> {
    // Of no meaning here: the footer says where everything is.
    let len_bytes = 0;
    let look = Look {
        objects,
        key,
        len_bytes,
    };
    let reading = Reading { look, read };
    let sums = reading.sums(footer).await?;
    for section in &footer.sections {
        match section.kind {
            SectionKind::Batches => reading.batches(section, &sums).await?,
            SectionKind::Sums => {}
            _ => reading.section(section).await?,
        }
    }
    Ok(())
}

/// The same of an object that no manifest tells of. Gives the footer, which says whose it is.
///
/// # Errors
/// See [`VerifyError`].
pub async fn check_whole(objects: &dyn Objects, key: &str) -> Result<Footer, VerifyError> {
    let footer = look(objects, key).await?.footer().await?;
    check_bytes(objects, key, &footer, &AtomicU64::new(0)).await?;
    Ok(footer)
}

struct Reading<'a> {
    look: Look<'a>,
    read: &'a AtomicU64,
}

impl Reading<'_> {
    async fn range(&self, range: Range<u64>) -> Result<Bytes, VerifyError> {
        let bytes = self.look.range(range).await?;
        self.read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes)
    }

    /// A range that has this checksum.
    async fn summed(
        &self,
        kind: SectionKind,
        range: Range<u64>,
        sum: u32,
    ) -> Result<Bytes, VerifyError> {
        for _ in 0..2 {
            if let Some(bytes) = self.whole(range.clone()).await?
                && crc32c(&bytes) == sum
            {
                return Ok(bytes);
            }
        }
        Err(self.damaged(kind, range))
    }

    /// A range, if the answer is not cut.
    async fn whole(&self, range: Range<u64>) -> Result<Option<Bytes>, VerifyError> {
        match self.range(range).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(VerifyError::Length { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn damaged(&self, kind: SectionKind, range: Range<u64>) -> VerifyError {
        VerifyError::Section {
            key: self.look.key.to_owned(),
            kind,
            range,
        }
    }

    /// What the chunks of the batches are judged by: a few KiB.
    async fn sums(&self, footer: &Footer) -> Result<Sums, VerifyError> {
        let wrong = |what: EnvelopeError| VerifyError::Footer {
            key: self.look.key.to_owned(),
            what,
        };
        let batches = footer.section(SectionKind::Batches);
        let sums = footer.section(SectionKind::Sums);
        let (Some(batches), Some(sums)) = (batches, sums) else {
            return Err(wrong(malformed("no batches, or no checksums of them")));
        };
        let covers = batches.range.end - batches.range.start;
        if sums.range.end - sums.range.start != Sums::section_bytes(covers) {
            return Err(wrong(malformed("the checksums of other batches")));
        }
        let bytes = self.summed(sums.kind, sums.range.clone(), sums.crc).await?;
        Sums::from_bytes(bytes, covers).map_err(wrong)
    }

    async fn batches(&self, section: &Section, sums: &Sums) -> Result<(), VerifyError> {
        let mut crc = 0;
        for (chunk, range) in (0..).zip(pieces(&section.range)) {
            let sum = sums.of(chunk);
            let sum = sum.ok_or_else(|| self.damaged(section.kind, range.clone()))?;
            let bytes = self.summed(section.kind, range, sum).await?;
            crc = crc32c_joined(crc, sum, bytes.len() as u64);
        }
        match crc == section.crc {
            true => Ok(()),
            false => Err(self.damaged(section.kind, section.range.clone())),
        }
    }

    /// One without sums of its own.
    async fn section(&self, section: &Section) -> Result<(), VerifyError> {
        for _ in 0..2 {
            let mut crc = Crc32c::default();
            for range in pieces(&section.range) {
                crc.add(&self.whole(range).await?.unwrap_or_default());
            }
            if crc.value() == section.crc {
                return Ok(());
            }
        }
        Err(self.damaged(section.kind, section.range.clone()))
    }
}

/// A range, a chunk at a time.
fn pieces(range: &Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
    let (mut from, end) = (range.start, range.end);
    std::iter::from_fn(move || {
        let piece = from..end.min(from.saturating_add(CHUNK_BYTES));
        from = piece.end;
        (!piece.is_empty()).then_some(piece)
    })
}
