//! Somebody who reads from the beginning again and again, and asks for records by time, while things
//! break and most records are in a bucket. What they are told is for the checker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::{PARTITIONS, TOPIC};
use crate::bits::Bits;
use crate::cluster::{fetch_once, partitions, records};
use crate::history::{History, Lookup, Read};
use crate::load::Acked;
use crate::raw::Raw;

/// Between two questions: others want the machine, too.
const PAUSE: Duration = Duration::from_millis(100);
/// Whoever stands still is not waited for.
const PATIENCE: Duration = Duration::from_secs(6);
/// A replay ends after so many records, and after so long.
const REPLAYED: usize = 5_000;
const REPLAY: Duration = Duration::from_secs(6);
/// Offset by which a consumer is sent elsewhere, storage or leadership that is not there now: unknown topic,
/// leader not available, not the leader, timeout, replica not available, storage, offset not available.
const PASSING: &[i16] = &[3, 5, 6, 7, 9, 56, 78];

/// What was found while things broke.
#[derive(Debug, Default)]
pub(super) struct Found {
    replays: Vec<Vec<Read>>,
    lookups: Vec<Lookup>,
    /// Whether there was no bucket for a while.
    pub(super) stays_hot: bool,
    /// Records that were shown, and those of them that were on no disk of the leader.
    shown: usize,
    cold: usize,
    /// Lookups whose answer was on no disk of the leader.
    cold_lookups: usize,
    /// How often which code was told.
    refused: BTreeMap<i16, u32>,
    /// Questions that nobody answered.
    unanswered: u32,
}

impl Found {
    /// Gives the checker what was found, and says how much that was. Some of what was read must have been cold,
    /// unless nothing could leave the disks for a while.
    pub(super) fn judge_by(self, history: &mut History) -> Result<String> {
        let told = format!(
            "{} replays showed {} records, {} of them cold; {} lookups, {} of them cold; refused {:?}, unanswered {}",
            self.replays.len(),
            self.shown,
            self.cold,
            self.lookups.len(),
            self.cold_lookups,
            self.refused,
            self.unanswered
        );
        ensure!(self.cold > 0 || self.stays_hot, "no read was cold: {told}");
        ensure!(self.cold_lookups > 0, "no lookup was cold: {told}");
        history.replays.extend(self.replays);
        history.lookups.extend(self.lookups);
        Ok(told)
    }

    /// Adds what another one found.
    pub(super) fn add(&mut self, other: Self) {
        self.replays.extend(other.replays);
        self.lookups.extend(other.lookups);
        self.shown += other.shown;
        self.cold += other.cold;
        self.cold_lookups += other.cold_lookups;
        self.unanswered += other.unanswered;
        for (code, count) in other.refused {
            *self.refused.entry(code).or_default() += count;
        }
    }
}

/// Two threads that ask.
pub(super) struct Probe {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<Found>>>,
}

impl Probe {
    /// Begins to ask brokers at these addresses.
    pub(super) fn start(brokers: BTreeMap<i32, String>, acked: Acked, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asker = |seed| Asker {
            brokers: brokers.clone(),
            acked: acked.clone(),
            bits: Bits::new(seed),
            found: Found::default(),
        };
        let run = |mut asker: Asker, ask: fn(&mut Asker) -> Result<()>| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    ask(&mut asker)?;
                    thread::sleep(PAUSE);
                }
                Ok(asker.found)
            })
        };
        let threads = vec![
            run(asker(seed), Asker::replay),
            run(asker(!seed), Asker::look_up),
        ];
        Self { stop, threads }
    }

    /// Ends it.
    pub(super) fn finish(mut self) -> Result<Found> {
        self.stop.store(true, Ordering::Relaxed);
        let mut found = Found::default();
        for thread in std::mem::take(&mut self.threads) {
            let told = thread.join().ok().context("a probe panicked")?;
            found.add(told.context("a probe")?);
        }
        Ok(found)
    }
}

impl Drop for Probe {
    /// It would meet the cluster of the next trial at the same addresses.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in std::mem::take(&mut self.threads) {
            let _ = thread.join();
        }
    }
}

struct Asker {
    brokers: BTreeMap<i32, String>,
    acked: Acked,
    bits: Bits,
    found: Found,
}

impl Asker {
    /// One of the brokers, picked by chance, says who leads; a broker that was cut off may believe what was.
    fn leader(&mut self, partition: i32) -> Option<Raw> {
        let all: Vec<&String> = self.brokers.values().collect();
        let asked = (*self.bits.pick(&all)).clone();
        let views = Raw::impatient(&asked, PATIENCE)
            .and_then(|mut raw| partitions(&mut raw, TOPIC))
            .ok();
        let leader = views.and_then(|views| {
            let view = views.into_iter().find(|view| view.index == partition)?;
            let address = self.brokers.get(&view.leader)?;
            Raw::impatient(address, PATIENCE).ok()
        });
        self.found.unanswered += u32::from(leader.is_none());
        leader
    }

    /// Whether there was an answer; an error that nobody should be told is one of the trial.
    fn passes(&mut self, code: Result<i16>, what: &str) -> Result<bool> {
        match code {
            Ok(0) => Ok(true),
            Ok(code) if PASSING.contains(&code) => {
                *self.found.refused.entry(code).or_default() += 1;
                Ok(false)
            }
            Ok(code) => bail!("{what}: error {code}"),
            Err(_) => {
                self.found.unanswered += 1;
                Ok(false)
            }
        }
    }

    /// An offset that a number below 0 names.
    fn named(&mut self, raw: &mut Raw, partition: i32, timestamp: i64) -> Result<Option<i64>> {
        let told = raw.offset_of((TOPIC, partition), timestamp);
        let offset = told.as_ref().map_or(0, |(_, _, offset)| *offset);
        let what = format!("ListOffsets {timestamp} of {partition}");
        let passes = self.passes(told.map(|(code, ..)| code), &what)?;
        Ok(passes.then_some(offset))
    }

    /// Reads one partition from its beginning as far as that goes.
    fn replay(&mut self) -> Result<()> {
        let partition = self.bits.below(PARTITIONS as u64) as i32;
        let Some(mut raw) = self.leader(partition) else {
            return Ok(());
        };
        let Some(local) = self.named(&mut raw, partition, Raw::EARLIEST_LOCAL)? else {
            return Ok(());
        };
        let (began, mut from, mut shown) = (Instant::now(), 0, Vec::new());
        while shown.len() < REPLAYED && began.elapsed() < REPLAY {
            let told = fetch_once(&mut raw, TOPIC, partition, from);
            let code = told.as_ref().map(|told| told.error_code);
            let what = format!("fetching {partition} from {from}");
            let code = code.map_err(|why| anyhow::anyhow!("{why}"));
            if !self.passes(code, &what)? {
                break;
            }
            let told = told?;
            let high = told.high_watermark;
            let (more, next) = records(told, partition, from).context(what)?;
            shown.extend(more);
            from = next;
            if from >= high {
                break;
            }
        }
        self.found.shown += shown.len();
        self.found.cold += shown.iter().filter(|read| read.offset < local).count();
        if !shown.is_empty() {
            self.found.replays.push(shown);
        }
        Ok(())
    }

    /// Asks for the time of something that was acknowledged, or for a moment beside it.
    fn look_up(&mut self) -> Result<()> {
        let Some((write, time)) = self.acked.pick(&mut self.bits) else {
            return Ok(());
        };
        let partition = write.partition;
        let Some(mut raw) = self.leader(partition) else {
            return Ok(());
        };
        let ends = [Raw::EARLIEST_LOCAL, Raw::LATEST]
            .map(|timestamp| self.named(&mut raw, partition, timestamp).transpose());
        let [Some(local), Some(end)] = ends else {
            return Ok(());
        };
        let (local, end) = (local?, end?);
        let asked = time - 1 + self.bits.below(3) as i64;
        let told = raw.offset_of((TOPIC, partition), asked);
        let found = told.as_ref().map_or((-1, -1), |(_, time, at)| (*at, *time));
        let code = told.map(|(code, ..)| code);
        if !self.passes(code, &format!("the offset of {asked} in {partition}"))? {
            return Ok(());
        }
        self.found.cold_lookups += usize::from((0..local).contains(&found.0));
        self.found.lookups.push(Lookup {
            partition,
            asked,
            end,
            found: (found.0 >= 0).then_some(found),
        });
        Ok(())
    }
}

/// So many lookups must be answered once nothing is broken, in so long.
const SETTLED: usize = 20;

/// Asks by time after everything was healed, when everybody must answer.
pub(super) fn settled(
    brokers: BTreeMap<i32, String>,
    acked: Acked,
    (seed, limit): (u64, Duration),
) -> Result<Found> {
    let mut asker = Asker {
        brokers,
        acked,
        bits: Bits::new(seed),
        found: Found::default(),
    };
    let began = Instant::now();
    while asker.found.lookups.len() < SETTLED {
        asker.look_up()?;
        ensure!(
            began.elapsed() < limit,
            "{} of {SETTLED} lookups were answered within {limit:?}: {:?}",
            asker.found.lookups.len(),
            asker.found
        );
    }
    Ok(asker.found)
}
