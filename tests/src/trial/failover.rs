//! How long clients wait when a leader goes: killed, and asked to end.
//!
//! A measurement, not a test: it asserts nothing but that all goes on. Both Freshet and Apache
//! Kafka run with their defaults, and so do the clients, but that they reconnect
//! within 200 ms and ask for metadata again after 250 ms (franz-go: 5 s by default). One of them
//! asks again at once, so that its own pauses do not hide the broker's.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::RECOVERY;
use crate::bits::Bits;
use crate::broker::Kind;
use crate::client::Client;
use crate::cluster::Cluster;
use crate::load::{Load, Plan, Writer};
use crate::peer::Peer;

const TOPIC: &str = "failover";
const PARTITIONS: i32 = 3;
/// Records per second: one every five milliseconds in each partition.
const RATE: u32 = 600;
/// How long is listened after work goes on everywhere.
const AFTER: Duration = Duration::from_secs(2);

/// A client, and what it is told beyond what the others are.
struct Asking {
    name: &'static str,
    client: Client,
    more: &'static [(&'static str, &'static str)],
}

const ASKING: [Asking; 4] = [
    Asking {
        name: "librdkafka",
        client: Client::Librdkafka,
        more: &[],
    },
    Asking {
        name: "librdkafka, 10 ms",
        client: Client::Librdkafka,
        more: &[("retry-ms", "10")],
    },
    Asking {
        name: "franz-go",
        client: Client::FranzGo,
        more: &[],
    },
    Asking {
        name: "Java",
        client: Client::Java,
        more: &[],
    },
];

/// Numbers of one client and one way to go.
#[derive(Debug, Clone)]
pub struct Waits {
    /// The client that produces and fetches, and how.
    pub client: &'static str,
    /// Whether the leader was asked to end; else it was killed.
    pub planned: bool,
    /// From the signal to the first produce that is accepted again; when planned, the longest time
    /// without one. In milliseconds, sorted.
    pub produce: Vec<f64>,
    /// The same until a record is shown to the consumer.
    pub fetch: Vec<f64>,
}

/// Measures both ways with each client, so many times.
pub fn failover(rounds: u32) -> Result<Vec<Waits>> {
    let mut all = Vec::new();
    for asking in ASKING {
        for planned in [false, true] {
            let waits = measure(&asking, planned, rounds);
            all.push(waits.with_context(|| format!("{} (planned: {planned})", asking.name))?);
        }
    }
    Ok(all)
}

fn measure(asking: &Asking, planned: bool, rounds: u32) -> Result<Waits> {
    let folder = tempfile::Builder::new()
        .prefix("freshet-failover-")
        .tempdir()?;
    let mut cluster = Cluster::new(3, folder.path(), false)?;
    if cluster.kind() == Kind::Kafka {
        for id in cluster.ids() {
            cluster.node(id).be_patient();
        }
    }
    cluster.start()?;
    cluster.create_topic(TOPIC, PARTITIONS, 3)?;
    let plan = Plan {
        topic: TOPIC.into(),
        partitions: PARTITIONS,
        writers: vec![Writer {
            client: asking.client,
            idempotent: true,
        }],
        readers: vec![asking.client],
        rate: RATE,
    };
    let bootstrap = cluster.bootstrap();
    let load = Load::start_by(plan, |client, role, options| {
        Peer::start(client, role, &bootstrap, &[options, asking.more].concat())
    })?;
    load.await_progress(RECOVERY)?;
    let mut waits = Waits {
        client: asking.name,
        planned,
        produce: Vec::new(),
        fetch: Vec::new(),
    };
    let mut bits = Bits::new(u64::from(rounds));
    for _ in 0..rounds {
        cluster.watch(AFTER)?;
        let partition = bits.below(PARTITIONS as u64) as i32;
        let leader = cluster.leader(TOPIC, partition)?;
        let signal = Instant::now();
        if planned {
            cluster.node(leader).stop()?;
        } else {
            cluster.node(leader).kill()?;
        }
        load.await_progress(RECOVERY * 2)?;
        load.await_shown(partition, Instant::now(), RECOVERY * 2)?;
        std::thread::sleep(AFTER);
        let wait = |times: &[Instant]| silence(times, signal, planned).as_secs_f64() * 1e3;
        waits.produce.push(wait(&load.ack_times(partition)));
        waits.fetch.push(wait(&load.shown_times(partition)));
        cluster.node(leader).start()?;
        cluster.await_whole(TOPIC, RECOVERY * 2)?;
    }
    waits.produce.sort_by(f64::total_cmp);
    waits.fetch.sort_by(f64::total_cmp);
    Ok(waits)
}

/// The longest time between two neighbours that ends after the signal: its length, or, when not
/// `whole`, from the signal on.
fn silence(times: &[Instant], signal: Instant, whole: bool) -> Duration {
    let pairs = times.iter().zip(times.iter().skip(1));
    let longest = pairs
        .filter(|(_, to)| **to > signal)
        .max_by_key(|(from, to)| **to - **from);
    match longest {
        Some((from, to)) if whole => *to - *from,
        Some((_, to)) => *to - signal,
        None => Duration::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_is_told_from_the_signal_or_whole() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let times = [at(0), at(500), at(510), at(900), at(910)];
        let told = |signal, whole| silence(&times, at(signal), whole).as_millis();
        assert_eq!(told(512, false), 388);
        assert_eq!(told(512, true), 390);
        // What was before the signal does not count.
        assert_eq!(told(905, true), 10);
    }
}
