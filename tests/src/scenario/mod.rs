//! What every client must be able to do, written once for all clients.

mod admin;
mod codecs;
mod cold;
mod group;
mod kill_loop;
mod restart;
mod static_members;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

pub use admin::administer;
pub use codecs::codecs;
pub use cold::Cold;
pub use group::group_of_two;
pub use kill_loop::kill_loop;
pub use restart::restarts;
pub use static_members::static_members;

use crate::client::Client;
use crate::line::{Line, Shown};
use crate::peer::{Answer, Peer, Role};
use crate::sample::Sample;

/// How long a bounded piece of reading or writing may take.
const WORK_LIMIT: Duration = Duration::from_secs(60);

/// Where each acknowledged record went, by its number: partition and offset.
type Acked = BTreeMap<u64, (i32, i64)>;

/// Creates a topic that keeps records of any age, and waits until it can be used.
fn create_topic(client: Client, bootstrap: &str, topic: &str, partitions: i32) -> Result<()> {
    let mut admin = Peer::start(client, Role::Admin, bootstrap, &[])?;
    let configs = json!({"retention.ms": "-1"});
    let order =
        json!({"op": "create_topic", "topic": topic, "partitions": partitions, "configs": configs});
    must(&mut admin, order)?;
    await_partitions(&mut admin, topic, partitions)
}

/// Waits until a topic has so many partitions for those who look at metadata.
fn await_partitions(admin: &mut Peer, topic: &str, partitions: i32) -> Result<()> {
    eventually(Duration::from_secs(10), || {
        let order = json!({"op": "describe_topic", "topic": topic});
        match admin.ask(&order)? {
            Answer::Reply(told) if told["partitions"] == partitions => Ok(()),
            other => bail!("{order}: {other:?}"),
        }
    })
}

/// Carries out an order that must succeed.
fn must(admin: &mut Peer, order: Value) -> Result<Value> {
    match admin.ask(&order)? {
        Answer::Reply(reply) => Ok(reply),
        other => bail!("{}: {order} was answered with {other:?}", admin.blame()),
    }
}

/// Tries until it succeeds or the time is over.
pub fn eventually<T>(limit: Duration, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    loop {
        match attempt() {
            Ok(done) => return Ok(done),
            Err(why) if started.elapsed() > limit => {
                return Err(why.context(format!("not within {limit:?}")));
            }
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// Produces all samples with one producer and gives their places.
fn produce(
    client: Client,
    bootstrap: &str,
    options: &[(&str, &str)],
    samples: &[Sample],
) -> Result<Acked> {
    let mut producer = Peer::start(client, Role::Produce, bootstrap, options)?;
    for sample in samples {
        producer.hand(sample)?;
    }
    let lines = producer.finish(WORK_LIMIT)?;
    let mut acked = Acked::new();
    for line in lines {
        note_ack(&mut acked, line).with_context(|| producer.blame())?;
    }
    ensure!(
        acked.len() == samples.len(),
        "{} of {} acknowledged",
        acked.len(),
        samples.len()
    );
    Ok(acked)
}

/// Files an acknowledgement; a record that was given up is a failure.
fn note_ack(acked: &mut Acked, line: Line) -> Result<()> {
    match line {
        Line::Acked { i, p, o } => {
            ensure!(
                acked.insert(i, (p, o)).is_none(),
                "record {i} was acknowledged twice"
            );
            Ok(())
        }
        Line::Failed { i, why } => bail!("record {i} was given up: {why}"),
        other => bail!("a producer said {other:?}"),
    }
}

/// Reads a topic from its beginning to its present end.
pub(crate) fn fetch(client: Client, bootstrap: &str, topic: &str) -> Result<Vec<Shown>> {
    fetch_by(client, bootstrap, &[("topic", topic)])
}

/// The same with all that a reader is told.
fn fetch_by(client: Client, bootstrap: &str, options: &[(&str, &str)]) -> Result<Vec<Shown>> {
    let mut reader = Peer::start(client, Role::Fetch, bootstrap, options)?;
    let started = Instant::now();
    let mut shown = Vec::new();
    loop {
        match reader.next(WORK_LIMIT.saturating_sub(started.elapsed()))? {
            Line::Record(record) => shown.push(record),
            Line::Done(_) => return Ok(shown),
            other => bail!("a reader said {other:?}"),
        }
    }
}
