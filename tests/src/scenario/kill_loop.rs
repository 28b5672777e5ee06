//! Kills the broker again and again under load, and checks what everybody saw.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::{WORK_LIMIT, create_topic, fetch};
use crate::broker::{Broker, Kind};
use crate::client::Client;
use crate::history::{History, WRITER, Write};
use crate::line::{Line, Shown};
use crate::peer::{Peer, Role};
use crate::sample::{Sample, fresh, samples};

const PARTITIONS: i32 = 3;
const BURST: u64 = 10;
const PAUSE: Duration = Duration::from_millis(25);
/// No run may take longer for each kill, however slowly the broker comes back.
const KILL_LIMIT: Duration = Duration::from_millis(7500);

/// Two idempotent producers of different libraries and one tailing consumer, `kills` kills.
pub fn kill_loop(kills: u32) -> Result<()> {
    let mut broker = Broker::start(&[]).context("starting the broker")?;
    work(&mut broker, kills)
        .with_context(|| format!("the broker's last words:\n{}\n", broker.tail()))
}

fn work(broker: &mut Broker, kills: u32) -> Result<()> {
    let bootstrap = broker.bootstrap().to_owned();
    let topic = "killed";
    create_topic(Client::FranzGo, &bootstrap, topic, PARTITIONS)?;
    let mut tail = Peer::start(
        Client::FranzGo,
        Role::Fetch,
        &bootstrap,
        &[("topic", topic), ("tail", "true")],
    )?;
    let stop = Arc::new(AtomicBool::new(false));
    let producers: Vec<_> = [(Client::FranzGo, "lz4"), (Client::Librdkafka, "none")]
        .into_iter()
        .zip(1..)
        .map(|((client, codec), realm)| {
            let options = [("topic", topic), ("codec", codec), ("idempotent", "true")];
            let peer = Peer::start(client, Role::Produce, &bootstrap, &options)?;
            Ok(Feeder::start(peer, realm * WRITER, Arc::clone(&stop)))
        })
        .collect::<Result<_>>()?;

    let started = Instant::now();
    let mut done = 0;
    while done < kills && started.elapsed() < KILL_LIMIT * kills {
        // Uneven waits meet the broker in different states: just up, busy, rolling.
        thread::sleep(Duration::from_millis(500 + u64::from(done * 637 % 2500)));
        broker.kill()?;
        broker
            .start_again()
            .with_context(|| format!("start after kill {done}"))?;
        done += 1;
    }
    thread::sleep(Duration::from_secs(1));
    stop.store(true, Ordering::Relaxed);

    let mut history = History::default();
    let mut given_up = 0;
    for producer in producers {
        given_up += producer.finish(&mut history)?;
    }
    let read = fetch(Client::Java, &bootstrap, topic).context("the last reading")?;
    let mut values = Values::default();
    history.last_read = values.of(&read, &history.sent)?;
    history
        .polls
        .push(values.of(&shown_until(&mut tail, &history.last_read)?, &history.sent)?);
    println!(
        "{done} kills in {:.0?}: {} sent, {} acknowledged, {given_up} given up, {} read",
        started.elapsed(),
        history.sent.len(),
        history.acked.len(),
        history.last_read.len()
    );
    judge(broker.kind(), &history, (done, kills))
}

fn judge(kind: Kind, history: &History, (done, kills): (u32, u32)) -> Result<()> {
    let anomalies = history.check();
    if let Some(first) = anomalies.first() {
        let all: Vec<String> = anomalies.iter().take(10).map(ToString::to_string).collect();
        bail!(
            "{} anomalies, the first is {first}:\n{}",
            anomalies.len(),
            all.join("\n")
        );
    }
    ensure!(
        history.acked.len() > 500,
        "only {} acknowledged: no load",
        history.acked.len()
    );
    // Apache Kafka takes its time to start; that is not what this test is about.
    let wanted = if kind == Kind::Kafka {
        kills / 4
    } else {
        kills * 3 / 4
    };
    ensure!(
        done >= wanted,
        "only {done} of {kills} kills fitted into the time"
    );
    Ok(())
}

/// A producer that is fed from a thread of its own until it is told to stop.
struct Feeder {
    peer: Arc<Mutex<Peer>>,
    thread: thread::JoinHandle<Result<u64>>,
    realm: u64,
}

impl Feeder {
    fn start(peer: Peer, realm: u64, stop: Arc<AtomicBool>) -> Self {
        let peer = Arc::new(Mutex::new(peer));
        let fed = Arc::clone(&peer);
        let thread = thread::spawn(move || {
            let mut next = realm;
            while !stop.load(Ordering::Relaxed) {
                let mut peer = fed.lock().unwrap_or_else(PoisonError::into_inner);
                for sample in load(next..next + BURST) {
                    peer.hand(&sample)?;
                }
                drop(peer);
                next += BURST;
                thread::sleep(PAUSE);
            }
            Ok(next)
        });
        Self {
            peer,
            thread,
            realm,
        }
    }

    /// Lets the producer flush, files what it said, and tells how many records it gave up.
    fn finish(self, history: &mut History) -> Result<usize> {
        let end = self.thread.join().ok().context("a feeder panicked")??;
        history.sent.extend(self.realm..end);
        let mut peer = self.peer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut given_up = 0;
        for line in peer
            .finish(WORK_LIMIT)
            .context("flushing after the last kill")?
        {
            match line {
                Line::Acked { i, p, o } => {
                    history.acked.push(Write {
                        value: i,
                        partition: p,
                        offset: o,
                    });
                }
                // Its fate is unknown: it may be in the log or not.
                Line::Failed { i, why } => {
                    given_up += 1;
                    eprintln!("record {i} was given up: {why}");
                }
                other => bail!("a producer said {other:?}"),
            }
        }
        Ok(given_up)
    }
}

/// Records whose key names their number, with values of uneven size.
fn load(numbers: std::ops::Range<u64>) -> Vec<Sample> {
    let mut made = fresh(samples(51, numbers, PARTITIONS));
    for sample in &mut made {
        sample.key = Some(crate::sample::encode(sample.number.to_string().as_bytes()));
    }
    made
}

/// Finds the number of a shown record by its key.
#[derive(Default)]
struct Values(HashMap<String, u64>);

impl Values {
    fn of(&mut self, shown: &[Shown], sent: &HashSet<u64>) -> Result<Vec<Write>> {
        if self.0.is_empty() {
            let key = |number: &u64| crate::sample::encode(number.to_string().as_bytes());
            self.0 = sent.iter().map(|number| (key(number), *number)).collect();
        }
        let write = |record: &Shown| {
            let key = record.key.as_ref().context("a record without a key")?;
            let value = *self
                .0
                .get(key)
                .with_context(|| format!("nobody sent {record:?}"))?;
            Ok(Write {
                value,
                partition: record.partition,
                offset: record.offset,
            })
        };
        shown.iter().map(write).collect()
    }
}

/// What the tailing consumer was shown, up to the end of the last reading.
fn shown_until(tail: &mut Peer, last_read: &[Write]) -> Result<Vec<Shown>> {
    let mut ends: HashMap<i32, i64> = HashMap::new();
    for read in last_read {
        let end = ends.entry(read.partition).or_insert(read.offset);
        *end = read.offset.max(*end);
    }
    let started = Instant::now();
    let mut shown = Vec::new();
    while !ends.is_empty() {
        match tail.next(WORK_LIMIT.saturating_sub(started.elapsed())) {
            Ok(Line::Record(record)) => {
                if ends
                    .get(&record.partition)
                    .is_some_and(|end| record.offset >= *end)
                {
                    ends.remove(&record.partition);
                }
                shown.push(record);
            }
            Ok(other) => bail!("the tailing consumer said {other:?}"),
            Err(why) => return Err(why.context(format!("the tail never came to {ends:?}"))),
        }
    }
    Ok(shown)
}
