//! The broker goes away and comes back under load: once asked to, once killed.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::group::{await_both, start_group};
use super::{Acked, WORK_LIMIT, create_topic, fetch, note_ack};
use crate::broker::Broker;
use crate::client::Client;
use crate::line::Line;
use crate::peer::{Peer, Role};
use crate::sample::{compare, fresh, samples};

const PARTITIONS: i32 = 4;
const COUNT: u64 = 2400;
const BURST: usize = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// One idempotent producer and one group of two work through a stop and a kill of the broker.
/// Everything must be acknowledged, be there once, and be shown to the group.
pub fn restarts(client: Client) -> Result<()> {
    let mut broker = Broker::start(&[]).context("starting the broker")?;
    load(client, &mut broker)
        .with_context(|| format!("the broker's last words:\n{}\n", broker.tail()))
}

fn load(client: Client, broker: &mut Broker) -> Result<()> {
    let topic = format!("restart-{}", client.name());
    let bootstrap = broker.bootstrap().to_owned();
    create_topic(client, &bootstrap, &topic, PARTITIONS)?;
    let mut group = start_group(client, &bootstrap, &topic)?;
    await_both(&mut group)?;
    let options = [
        ("topic", topic.as_str()),
        ("acks", "all"),
        ("idempotent", "true"),
    ];
    let mut producer = Peer::start(client, Role::Produce, &bootstrap, &options)?;

    let all = fresh(samples(31, 0..COUNT, PARTITIONS));
    let bursts = all.chunks(BURST);
    let (stop_at, kill_at) = (bursts.len() / 3, bursts.len() * 2 / 3);
    for (number, burst) in bursts.enumerate() {
        for sample in burst {
            producer.hand(sample)?;
        }
        if number == stop_at {
            let status = broker.stop()?;
            // Apache Kafka ends by the signal itself: 143 is its clean exit.
            ensure!(
                matches!(status.code(), Some(0 | 143)),
                "SIGTERM gave {status}"
            );
            broker.start_again().context("after SIGTERM")?;
        } else if number == kill_at {
            broker.kill()?;
            broker.start_again().context("after SIGKILL")?;
        }
        thread::sleep(PAUSE);
    }
    let mut acked = Acked::new();
    for line in producer
        .finish(WORK_LIMIT)
        .context("flushing after the restarts")?
    {
        note_ack(&mut acked, line).with_context(|| producer.blame())?;
    }
    ensure!(
        acked.len() == all.len(),
        "{} of {} acknowledged",
        acked.len(),
        all.len()
    );
    compare(&all, &acked, &fetch(client, &bootstrap, &topic)?)
        .context("the topic after both restarts")?;
    await_all_shown(&mut group, &acked).context("the group after both restarts")
}

/// The group may be shown a record again when a commit fell into a restart, but it must miss none.
fn await_all_shown(group: &mut Peer, acked: &Acked) -> Result<()> {
    let mut missing: BTreeSet<(i32, i64)> = acked.values().copied().collect();
    let started = Instant::now();
    while !missing.is_empty() {
        match group.next(WORK_LIMIT.saturating_sub(started.elapsed())) {
            Ok(Line::Record(record)) => drop(missing.remove(&(record.partition, record.offset))),
            Ok(Line::Assigned { .. }) => {}
            Ok(other) => bail!("the group said {other:?}"),
            Err(why) => {
                let first = missing.first();
                let count = missing.len();
                return Err(why.context(format!("{count} not shown, the first is {first:?}")));
            }
        }
    }
    group.finish(WORK_LIMIT)?;
    Ok(())
}
