//! What was written to a topic, held against what readers are given.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use freshet_records::{Batches, Codec, NO_PRODUCER};
use freshet_wire::FetchRequest;

use crate::bits::Bits;
use crate::raw::{Raw, batch, fetch_request};
use crate::scenario::eventually;

/// A fixed moment (2023-11-14); each record is ten milliseconds younger than the one before.
const EPOCH_MS: i64 = 1_700_000_000_000;
const STEP_MS: i64 = 10;
/// Names topics by name.
const FETCH: i16 = 12;
/// A fetch asks for so much.
const FETCH_BYTES: i32 = 1 << 20;
const RECORD_CAP_BYTES: usize = 16 << 20;
/// Between two rounds of who writes along.
const TICK: Duration = Duration::from_millis(20);

/// A topic of one partition that tiers, and keeps nothing on the disk that is in the bucket. One batch
/// has one record; what it holds follows from its offset.
#[derive(Debug, Clone)]
pub(super) struct Book {
    pub(super) topic: String,
    /// Where it begins.
    pub(super) start: i64,
    /// The offset after the last one that was acknowledged.
    pub(super) end: i64,
    /// Of a record.
    bytes: usize,
    segment_bytes: usize,
}

/// What a fetch was answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// What was written, up to this offset.
    Right(i64),
    /// Neither records nor an error.
    Nothing,
    /// An error code.
    Refused(i16),
}

impl Book {
    /// A topic whose segments have some fifteen records.
    pub(super) fn small(topic: &str) -> Self {
        Self {
            topic: topic.to_owned(),
            start: 0,
            end: 0,
            bytes: 64 << 10,
            segment_bytes: 1 << 20,
        }
    }

    /// A topic whose segments travel in two parts.
    pub(super) fn large(topic: &str) -> Self {
        Self {
            bytes: 256 << 10,
            segment_bytes: 12 << 20,
            ..Self::small(topic)
        }
    }

    /// A topic whose segments have eight records, each of which takes a while to be written.
    pub(super) fn bulky(topic: &str) -> Self {
        Self {
            bytes: 256 << 10,
            segment_bytes: 2 << 20,
            ..Self::small(topic)
        }
    }

    /// What is set for the topic.
    pub(super) fn configs(&self) -> Vec<(&'static str, String)> {
        vec![
            ("remote.storage.enable", "true".to_owned()),
            ("retention.ms", "-1".to_owned()),
            ("local.retention.bytes", "0".to_owned()),
            ("segment.bytes", self.segment_bytes.to_string()),
        ]
    }

    /// Makes the topic.
    pub(super) fn make(self, raw: &mut Raw) -> Result<Self> {
        let configs = self.configs();
        let configs: Vec<_> = configs
            .iter()
            .map(|(name, value)| (*name, &**value))
            .collect();
        raw.create_topic(&self.topic, &configs)?;
        Ok(self)
    }

    /// The time of a record.
    pub(super) fn time(offset: i64) -> i64 {
        EPOCH_MS + offset * STEP_MS
    }

    /// What a record holds.
    fn value(&self, offset: i64) -> Vec<u8> {
        let salt = self
            .topic
            .bytes()
            .fold(0, |salt, byte| salt * 31 + u64::from(byte));
        let mut bits = Bits::new(salt ^ offset.unsigned_abs().wrapping_mul(0x9E37_79B9));
        let words = (0..self.bytes / 8).map(|_| bits.draw().to_be_bytes());
        words.flatten().collect()
    }

    /// Writes one record with acks=all.
    fn write_one(&mut self, raw: &mut Raw) -> Result<()> {
        let code = self.offer(raw)?;
        ensure!(
            code == 0,
            "producing {} to {}: error {code}",
            self.end,
            self.topic
        );
        Ok(())
    }

    /// The same where it may be refused: gives the error code. What was refused is offered again by the
    /// next call.
    pub(super) fn offer(&mut self, raw: &mut Raw) -> Result<i16> {
        let value = self.value(self.end);
        let records = batch(Codec::None, NO_PRODUCER, &[(Self::time(self.end), &value)])?;
        let told = raw.produce(&self.topic, records)?;
        if told.error_code == 0 {
            let what = format!("{} of {} is stored: {told:?}", self.end, self.topic);
            ensure!(told.base_offset == self.end, what);
            self.end += 1;
        }
        Ok(told.error_code)
    }

    /// Writes so many segments.
    pub(super) fn write(&mut self, raw: &mut Raw, segments: usize) -> Result<()> {
        let count = segments * self.segment_bytes / self.bytes;
        (0..count).try_for_each(|_| self.write_one(raw))
    }

    /// Records that make a segment, at most.
    pub(super) fn per_segment(&self) -> i64 {
        (self.segment_bytes / self.bytes) as i64
    }

    /// One fetch. Whatever it gives must be what was written, from this offset on.
    pub(super) fn look(&self, raw: &mut Raw, from: i64) -> Result<Look> {
        // Who is content with nothing is not told of what fails a moment later.
        let request = FetchRequest {
            min_bytes: 1,
            ..fetch_request(&self.topic, from, FETCH_BYTES)
        };
        let mut told = raw.call(FETCH, &request)?;
        let mut told = told.responses.pop().context("one topic")?.partitions;
        let told = told.pop().context("one partition")?;
        if told.error_code != 0 {
            return Ok(Look::Refused(told.error_code));
        }
        let mut next = from;
        for found in Batches::new(told.records.into_bytes()) {
            // A response may end within a batch.
            let Ok(found) = found else { break };
            found.check_crc()?;
            for record in found.records(RECORD_CAP_BYTES)? {
                let record = record?;
                let what = format!("{} is shown at {next} of {}", record.offset, self.topic);
                ensure!(record.offset == next, "{what}");
                let right = record.value.as_deref() == Some(&*self.value(next));
                ensure!(right, "{what}, and is not what was written");
                ensure!(
                    record.timestamp.0 == Self::time(next),
                    "{what}, at another time"
                );
                next += 1;
            }
        }
        Ok(match next == from {
            true => Look::Nothing,
            false => Look::Right(next),
        })
    }

    /// Reads all of it; these errors are tried again. Gives how often there was an error or nothing.
    pub(super) fn read(&self, raw: &mut Raw, again: &[i16], limit: Duration) -> Result<usize> {
        let started = Instant::now();
        let (mut next, mut unwilling) = (self.start, 0);
        while next < self.end {
            match self.look(raw, next)? {
                Look::Right(to) => next = to,
                Look::Refused(code) if !again.contains(&code) => {
                    bail!("reading {} at {next}: error {code}", self.topic)
                }
                told => {
                    unwilling += 1;
                    let left = limit.saturating_sub(started.elapsed());
                    ensure!(
                        !left.is_zero(),
                        "{} at {next}: {told:?} for {limit:?}",
                        self.topic
                    );
                    thread::sleep(Duration::from_millis(50));
                }
            }
        }
        Ok(unwilling)
    }

    /// Where the disk begins, and where the bucket ends.
    pub(super) fn ends(&self, raw: &mut Raw) -> Result<(i64, i64)> {
        let mut at = |timestamp| -> Result<i64> {
            let (code, _, offset) = raw.offset_at(&self.topic, timestamp)?;
            ensure!(
                code == 0,
                "ListOffsets {timestamp} of {}: error {code}",
                self.topic
            );
            Ok(offset)
        };
        Ok((at(Raw::EARLIEST_LOCAL)?, at(Raw::PENDING_UPLOAD)?))
    }

    /// Waits until all that can be is in the bucket, and nothing of that on the disk.
    pub(super) fn await_cold(&self, raw: &mut Raw, limit: Duration) -> Result<()> {
        eventually(limit, || {
            let (local, pending) = self.ends(raw)?;
            let (topic, end) = (&self.topic, self.end);
            ensure!(
                local == pending && pending + self.per_segment() >= end,
                "{topic} is copied to {pending} of {end}, and its disk begins at {local}"
            );
            Ok(())
        })
    }
}

/// How long it took to write, and to read what was just written; sorted.
#[derive(Debug, Default)]
pub(super) struct Took {
    pub(super) writes: Vec<Duration>,
    pub(super) reads: Vec<Duration>,
}

impl Took {
    /// Nobody who writes or reads at the end has noticed anything.
    pub(super) fn must_be_short(&self) -> Result<String> {
        // This is about waiting for a bucket, which takes seconds; a busy machine has its hiccups.
        const MOSTLY: Duration = Duration::from_secs(1);
        const ALWAYS: Duration = Duration::from_secs(4);
        let mut told = Vec::new();
        for (what, took) in [("writes", &self.writes), ("hot reads", &self.reads)] {
            let most = took.get(took.len() * 99 / 100);
            let (most, longest) = (most.context("nothing was done")?, took[took.len() - 1]);
            let text = format!(
                "{} {what}: 99% within {most:.0?}, all within {longest:.0?}",
                took.len()
            );
            ensure!(*most < MOSTLY && longest < ALWAYS, "{text}");
            told.push(text);
        }
        Ok(told.join("; "))
    }
}

/// Somebody who writes along, and reads what is new.
pub(super) struct Along {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(Vec<Book>, Took)>>,
}

impl Along {
    /// Goes on with these topics.
    pub(super) fn start(mut raw: Raw, mut books: Vec<Book>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut took = Took::default();
            while !stopped.load(Ordering::Relaxed) {
                for book in &mut books {
                    let began = Instant::now();
                    book.write_one(&mut raw)?;
                    took.writes.push(began.elapsed());
                    let began = Instant::now();
                    let told = book.look(&mut raw, book.end - 1)?;
                    ensure!(told == Look::Right(book.end), "at the end: {told:?}");
                    took.reads.push(began.elapsed());
                }
                thread::sleep(TICK);
            }
            took.writes.sort_unstable();
            took.reads.sort_unstable();
            Ok((books, took))
        });
        Self { stop, thread }
    }

    /// Ends it; gives what was written.
    pub(super) fn finish(self) -> Result<(Vec<Book>, Took)> {
        self.stop.store(true, Ordering::Relaxed);
        let told = self
            .thread
            .join()
            .ok()
            .context("who writes along panicked")?;
        told.context("who writes along")
    }
}
