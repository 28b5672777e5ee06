//! Steady work on a topic while things break: other people's producers and consumers, and a note of
//! everything that they were told.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::bits::Bits;
use crate::client::Client;
use crate::history::{History, Read, WRITER, Write};
use crate::line::Line;
use crate::peer::{Peer, Role};
use crate::raw::now_ms;
use crate::sample::{Sample, encode};

/// How long the clients may take to come to their ends once nothing is broken any more.
const FINISH_LIMIT: Duration = Duration::from_secs(60);
/// A writer hands out a few records each time.
const TICK: Duration = Duration::from_millis(20);

/// A producer of the load.
#[derive(Debug, Clone, Copy)]
pub struct Writer {
    /// The library.
    pub client: Client,
    /// Whether it is an idempotent producer; the others may write twice.
    pub idempotent: bool,
}

/// What the load does.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The topic.
    pub topic: String,
    /// Its partitions.
    pub partitions: i32,
    /// Who writes, with acks=all.
    pub writers: Vec<Writer>,
    /// Who reads along.
    pub readers: Vec<Client>,
    /// Records per second of each writer.
    pub rate: u32,
}

/// One acknowledged record.
#[derive(Debug, Clone, Copy)]
struct Ack {
    write: Write,
    at: Instant,
    took: Duration,
}

/// What a writer has seen so far.
#[derive(Debug, Default)]
struct Notes {
    sent: Vec<Instant>,
    /// The time of each record, in milliseconds since 1970.
    times: Vec<i64>,
    acks: Vec<Ack>,
    given_up: Vec<(u64, String)>,
    /// Per partition: when the newest of the acknowledged records was sent.
    newest: HashMap<i32, Instant>,
}

impl Notes {
    /// Of the records from `first` on: those that nothing was said about, or more than once.
    fn open(&self, first: u64) -> Vec<u64> {
        let mut told: HashMap<u64, u32> = HashMap::new();
        let acked = self.acks.iter().map(|ack| ack.write.value);
        for number in acked.chain(self.given_up.iter().map(|(number, _)| *number)) {
            *told.entry(number).or_default() += 1;
        }
        (first..)
            .take(self.sent.len())
            .filter(|number| told.get(number) != Some(&1))
            .collect()
    }
}

type Shared = Arc<Mutex<Notes>>;
/// What a reader was shown, and when.
type Shown = Arc<Mutex<Vec<(Instant, Read)>>>;

/// What was acknowledged so far, for whoever asks brokers about it.
#[derive(Debug, Clone)]
pub(crate) struct Acked(Vec<(u64, Shared)>);

impl Acked {
    /// A record that was acknowledged with its place, picked by chance, and its time.
    pub(crate) fn pick(&self, bits: &mut Bits) -> Option<(Write, i64)> {
        let (realm, notes) = self.0.get(bits.below(self.0.len() as u64) as usize)?;
        let notes = locked(notes);
        let at = bits.below(notes.acks.len() as u64) as usize;
        let write = notes.acks.get(at)?.write;
        let number = usize::try_from(write.value - realm * WRITER).ok()?;
        let time = *notes.times.get(number)?;
        write.has_place().then_some((write, time))
    }
}

/// Work that is going on.
pub struct Load {
    plan: Plan,
    stop: Arc<AtomicBool>,
    /// The work is of no interest any more.
    abandon: Arc<AtomicBool>,
    writers: Vec<(Writer, u64, Shared, JoinHandle<Result<()>>)>,
    readers: Vec<(Shown, JoinHandle<Result<()>>)>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Seen {
    /// For the checker; the last readings are not in it yet.
    pub history: History,
    /// Records that a client gave up, and its words.
    pub given_up: Vec<(u64, String)>,
    /// How long the acknowledged records took from the hand to the ack, sorted.
    pub took: Vec<Duration>,
}

impl Load {
    /// Starts all clients of a plan on this machine.
    pub fn start(plan: Plan, bootstrap: &str) -> Result<Self> {
        Self::start_by(plan, |client, role, options| {
            Peer::start(client, role, bootstrap, options)
        })
    }

    /// Starts all clients of a plan wherever `start` does.
    pub fn start_by(
        plan: Plan,
        start: impl Fn(Client, Role, &[(&str, &str)]) -> Result<Peer>,
    ) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let abandon = Arc::new(AtomicBool::new(false));
        let tail = [("topic", plan.topic.as_str()), ("tail", "true")];
        let mut readers = Vec::new();
        for client in &plan.readers {
            let mut peer = start(*client, Role::Fetch, &tail)?;
            let shown = Shown::default();
            let (heard, abandon) = (Arc::clone(&shown), Arc::clone(&abandon));
            let thread = thread::spawn(move || listen(&mut peer, &heard, &abandon));
            readers.push((shown, thread));
        }
        let mut writers = Vec::new();
        for (writer, realm) in plan.writers.iter().zip(1..) {
            let idempotent = writer.idempotent.to_string();
            let options = [
                ("topic", plan.topic.as_str()),
                ("acks", "all"),
                ("idempotent", &idempotent),
            ];
            let peer = start(writer.client, Role::Produce, &options)?;
            let notes = Shared::default();
            let feeder = Feeder {
                peer,
                realm: realm * WRITER,
                notes: Arc::clone(&notes),
                stop: Arc::clone(&stop),
                abandon: Arc::clone(&abandon),
            };
            let (partitions, rate) = (plan.partitions, plan.rate);
            let thread = thread::spawn(move || feeder.run(partitions, rate));
            writers.push((*writer, realm, notes, thread));
        }
        Ok(Self {
            plan,
            stop,
            abandon,
            writers,
            readers,
        })
    }

    /// One more reads along, from the beginning.
    pub(crate) fn join(&mut self, client: Client, bootstrap: &str) -> Result<()> {
        let tail = [("topic", self.plan.topic.as_str()), ("tail", "true")];
        let mut peer = Peer::start(client, Role::Fetch, bootstrap, &tail)?;
        let shown = Shown::default();
        let (heard, abandon) = (Arc::clone(&shown), Arc::clone(&self.abandon));
        let thread = thread::spawn(move || listen(&mut peer, &heard, &abandon));
        self.readers.push((shown, thread));
        Ok(())
    }

    /// What was acknowledged, now and later.
    pub(crate) fn acked(&self) -> Acked {
        let notes = |(_, realm, notes, _): &(Writer, u64, Shared, _)| (*realm, Arc::clone(notes));
        Acked(self.writers.iter().map(notes).collect())
    }

    /// Who writes; the number of a writer, less one, is its place.
    pub fn clients(&self) -> Vec<Client> {
        self.plan
            .writers
            .iter()
            .map(|writer| writer.client)
            .collect()
    }

    /// The topic that is worked on.
    pub fn topic(&self) -> &str {
        &self.plan.topic
    }

    /// Waits until every partition has acknowledged a record that every writer sent after now.
    pub fn await_progress(&self, limit: Duration) -> Result<Duration> {
        let from = Instant::now();
        loop {
            let behind = self.behind(from);
            if behind.is_empty() {
                return Ok(from.elapsed());
            }
            if let Some((writer, ..)) = self.writers.iter().find(|(.., run)| run.is_finished()) {
                bail!(
                    "the producer of {} came to an early end",
                    writer.client.name()
                );
            }
            ensure!(
                from.elapsed() < limit,
                "no progress within {limit:?}: {}",
                behind.join(", ")
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The writers and partitions that have acknowledged nothing that was sent after `from`.
    fn behind(&self, from: Instant) -> Vec<String> {
        let mut behind = Vec::new();
        for (writer, _, notes, _) in &self.writers {
            let notes = locked(notes);
            let fine = |partition: &i32| notes.newest.get(partition).is_some_and(|at| *at > from);
            let waiting = (0..self.plan.partitions).filter(|partition| !fine(partition));
            behind.extend(waiting.map(|partition| format!("{}-{partition}", writer.client.name())));
        }
        behind
    }

    /// When acks of one partition came, over all writers.
    pub fn ack_times(&self, partition: i32) -> Vec<Instant> {
        let mut times = Vec::new();
        for (_, _, notes, _) in &self.writers {
            let notes = locked(notes);
            let here = notes
                .acks
                .iter()
                .filter(|ack| ack.write.partition == partition);
            times.extend(here.map(|ack| ack.at));
        }
        times.sort_unstable();
        times
    }

    /// How long what was acknowledged since then took from the hand to the ack, sorted.
    pub fn took_since(&self, from: Instant) -> Vec<Duration> {
        let mut took = Vec::new();
        for (_, _, notes, _) in &self.writers {
            let notes = locked(notes);
            let acks = notes.acks.iter().filter(|ack| ack.at > from);
            took.extend(acks.map(|ack| ack.took));
        }
        took.sort_unstable();
        took
    }

    /// When records of one partition were shown to the readers.
    pub fn shown_times(&self, partition: i32) -> Vec<Instant> {
        let mut times = Vec::new();
        for (shown, _) in &self.readers {
            let shown = locked(shown);
            let here = shown.iter().filter(|(_, read)| read.partition == partition);
            times.extend(here.map(|(at, _)| *at));
        }
        times.sort_unstable();
        times
    }

    /// Waits until a record of one partition is shown that came after `from`.
    pub fn await_shown(&self, partition: i32, from: Instant, limit: Duration) -> Result<()> {
        while self
            .shown_times(partition)
            .last()
            .is_none_or(|at| *at <= from)
        {
            ensure!(
                from.elapsed() < limit,
                "no reader was shown anything of partition {partition} within {limit:?}"
            );
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Lets the writers flush and gives all that was seen. `last_read` is read when they are done;
    /// the readers are heard up to its ends.
    pub fn finish(&mut self, last_read: impl FnOnce() -> Result<Vec<Read>>) -> Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        let mut seen = Seen::default();
        for (writer, realm, notes, thread) in std::mem::take(&mut self.writers) {
            let told = thread.join().ok().context("a feeder panicked")?;
            told.with_context(|| format!("the producer of {}", writer.client.name()))?;
            let notes = locked(&notes);
            let first = realm * WRITER;
            seen.history.sent.extend((first..).take(notes.sent.len()));
            let timed = (first..).zip(notes.times.iter().copied());
            seen.history.times.extend(timed);
            if !writer.idempotent {
                seen.history.loose.insert(realm);
            }
            seen.history
                .acked
                .extend(notes.acks.iter().map(|ack| ack.write));
            seen.took.extend(notes.acks.iter().map(|ack| ack.took));
            seen.given_up.extend(notes.given_up.iter().cloned());
        }
        seen.took.sort_unstable();
        seen.history.last_read = last_read().context("the last reading")?;
        let readers = std::mem::take(&mut self.readers);
        let heard = readers
            .iter()
            .map(|(shown, thread)| await_ends(shown, thread, &seen.history.last_read));
        // Nobody is sent away before all have come to the ends.
        let heard: Vec<Result<()>> = heard.collect();
        self.abandon.store(true, Ordering::Relaxed);
        for ((shown, thread), heard) in readers.into_iter().zip(heard) {
            let told = thread.join().ok().context("a reader panicked")?;
            told.and(heard)?;
            let shown = locked(&shown);
            seen.history
                .replays
                .push(shown.iter().map(|(_, read)| *read).collect());
        }
        Ok(seen)
    }
}

impl Drop for Load {
    /// Clients that went on would meet the cluster of the next trial at the same addresses.
    fn drop(&mut self) {
        self.abandon.store(true, Ordering::Relaxed);
        self.stop.store(true, Ordering::Relaxed);
        for (.., thread) in std::mem::take(&mut self.writers) {
            let _ = thread.join();
        }
        for (_, thread) in std::mem::take(&mut self.readers) {
            let _ = thread.join();
        }
    }
}

impl Seen {
    /// The time within which this share of the acknowledged records was acknowledged.
    pub fn percentile(&self, share: f64) -> Duration {
        let at = (self.took.len() as f64 * share) as usize;
        let at = at.min(self.took.len().saturating_sub(1));
        self.took.get(at).copied().unwrap_or_default()
    }
}

/// The thread that feeds one producer and notes what it says.
struct Feeder {
    peer: Peer,
    realm: u64,
    notes: Shared,
    stop: Arc<AtomicBool>,
    abandon: Arc<AtomicBool>,
}

impl Feeder {
    fn run(mut self, partitions: i32, rate: u32) -> Result<()> {
        let mut bits = Bits::new(self.realm);
        let started = Instant::now();
        let mut next = 0_u64;
        while !self.stop.load(Ordering::Relaxed) {
            let due = (started.elapsed().as_secs_f64() * f64::from(rate)) as u64;
            while next < due {
                let number = self.realm + next;
                next += 1;
                let sample = sample(number, partitions, &mut bits);
                let mut notes = locked(&self.notes);
                notes.sent.push(Instant::now());
                notes.times.push(sample.timestamp);
                drop(notes);
                self.peer.hand(&sample)?;
            }
            self.hear(TICK)?;
        }
        self.peer.close_input();
        let ending = Instant::now();
        loop {
            if self.abandon.load(Ordering::Relaxed) {
                return Ok(());
            }
            match self
                .peer
                .next(FINISH_LIMIT.saturating_sub(ending.elapsed()))?
            {
                Line::Done(_) => return self.accounted(),
                line => self.note(line)?,
            }
        }
    }

    /// A client that has flushed and ended has said of each record what became of it.
    fn accounted(&self) -> Result<()> {
        let notes = locked(&self.notes);
        let open = notes.open(self.realm);
        ensure!(
            open.is_empty(),
            "{} of {} records were neither acknowledged nor given up, or more than once: {:?}: {}",
            open.len(),
            notes.sent.len(),
            &open[..open.len().min(10)],
            self.peer.blame()
        );
        Ok(())
    }

    /// Notes what the producer says during the next moment.
    fn hear(&mut self, moment: Duration) -> Result<()> {
        let until = Instant::now() + moment;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.peer.at_hand(left) {
                Some(line) => self.note(line)?,
                None if left.is_zero() => return Ok(()),
                // It said nothing, or it is gone, which the next hand finds out.
                None => thread::sleep(left.min(Duration::from_millis(1))),
            }
        }
    }

    fn note(&self, line: Line) -> Result<()> {
        let now = Instant::now();
        let mut notes = locked(&self.notes);
        match line {
            Line::Acked { i, p, o } => {
                let at = usize::try_from(i - self.realm)?;
                let sent = *notes.sent.get(at).context("an ack for what was not sent")?;
                let newest = notes.newest.entry(p).or_insert(sent);
                *newest = sent.max(*newest);
                let write = Write {
                    value: i,
                    partition: p,
                    offset: o,
                };
                let took = now - sent;
                notes.acks.push(Ack {
                    write,
                    at: now,
                    took,
                });
            }
            Line::Failed { i, why } => notes.given_up.push((i, why)),
            other => bail!("a producer said {other:?}"),
        }
        Ok(())
    }
}

fn locked<T>(notes: &Mutex<T>) -> MutexGuard<'_, T> {
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A record whose key is its number.
fn sample(number: u64, partitions: i32, bits: &mut Bits) -> Sample {
    Sample {
        number,
        partition: i32::try_from(number % partitions.unsigned_abs() as u64).unwrap_or(0),
        timestamp: now_ms(),
        key: Some(encode(number.to_string().as_bytes())),
        value: Some(encode(&bits.bytes(20 + number % 100))),
        headers: Vec::new(),
    }
}

/// A record of a load, as a reader is shown it.
pub(crate) fn read(shown: &crate::line::Shown) -> Result<Read> {
    let key = shown.key.as_ref().context("a record without a key")?;
    let number = String::from_utf8(STANDARD.decode(key)?)?;
    Ok(Read {
        value: number.parse().context("a key that is no number")?,
        partition: shown.partition,
        offset: shown.offset,
    })
}

/// The thread that notes what one reader is shown.
fn listen(reader: &mut Peer, heard: &Shown, abandon: &AtomicBool) -> Result<()> {
    while !abandon.load(Ordering::Relaxed) {
        match reader.at_hand(TICK) {
            Some(Line::Record(record)) => {
                let now = Instant::now();
                locked(heard).push((now, read(&record)?));
            }
            Some(other) => bail!("a reader said {other:?}"),
            // It said nothing, or it is gone, which is found out by what it never said.
            None => thread::sleep(Duration::from_millis(1)),
        }
    }
    Ok(())
}

/// Waits until a reader was shown the last record of every partition.
fn await_ends(shown: &Shown, thread: &JoinHandle<Result<()>>, last_read: &[Read]) -> Result<()> {
    let mut ends: BTreeMap<i32, i64> = BTreeMap::new();
    for read in last_read {
        let end = ends.entry(read.partition).or_insert(read.offset);
        *end = read.offset.max(*end);
    }
    let started = Instant::now();
    let mut from = 0;
    loop {
        let heard = locked(shown);
        for (_, read) in &heard[from..] {
            if ends
                .get(&read.partition)
                .is_some_and(|end| read.offset >= *end)
            {
                ends.remove(&read.partition);
            }
        }
        from = heard.len();
        let last = heard.last().copied();
        drop(heard);
        if ends.is_empty() {
            // What comes too much must not go unseen.
            thread::sleep(Duration::from_millis(50));
            return Ok(());
        }
        let lost = thread.is_finished() || started.elapsed() > FINISH_LIMIT;
        ensure!(
            !lost,
            "a reader heard {from}, last {last:?}, and never came to {ends:?}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_its_client_says_nothing_of_is_found_and_one_told_twice_too() {
        let mut notes = Notes {
            sent: vec![Instant::now(); 4],
            ..Notes::default()
        };
        let ack = |value| Ack {
            write: Write {
                value,
                partition: 0,
                offset: 0,
            },
            at: Instant::now(),
            took: Duration::ZERO,
        };
        notes.acks = vec![ack(WRITER), ack(WRITER + 3)];
        notes.given_up = vec![(WRITER + 1, "time is up".to_owned())];
        assert_eq!(notes.open(WRITER), [WRITER + 2]);
        notes.acks.push(ack(WRITER + 1));
        notes.acks.push(ack(WRITER + 2));
        assert_eq!(notes.open(WRITER), [WRITER + 1]);
    }
}
