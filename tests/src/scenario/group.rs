//! A group of two: both get records, each record once, and what is committed is not shown again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::{WORK_LIMIT, create_topic, produce};
use crate::broker::Broker;
use crate::client::Client;
use crate::line::{Line, Shown};
use crate::peer::{Peer, Role};
use crate::sample::{compare, samples};

const PARTITIONS: i32 = 4;
const FIRST: u64 = 400;
const SECOND: u64 = 200;
/// How long an unwanted record would have to show itself.
const SETTLE: Duration = Duration::from_millis(700);

/// A group of two reads, leaves, and comes back to where it was.
pub fn group_of_two(client: Client, broker: &mut Broker) -> Result<()> {
    let topic = format!("group-{}", client.name());
    let bootstrap = broker.bootstrap();
    create_topic(client, bootstrap, &topic, PARTITIONS)?;

    let mut group = start_group(client, bootstrap, &topic)?;
    await_both(&mut group)?;
    let first = samples(21, 0..FIRST, PARTITIONS);
    let acked = produce(client, bootstrap, &[("topic", &topic)], &first)?;
    let mut shown = read(&mut group, FIRST as usize)?;
    shown.extend(settle(&mut group)?);
    compare(&first, &acked, &shown)?;
    let members: BTreeSet<usize> = shown.iter().map(|record| record.member).collect();
    ensure!(members.len() == 2, "only members {members:?} got records");

    // More arrives while nobody reads; the group must come back to exactly that.
    let second = samples(22, FIRST..FIRST + SECOND, PARTITIONS);
    let acked = produce(client, bootstrap, &[("topic", &topic)], &second)?;
    let mut group = start_group(client, bootstrap, &topic)?;
    let mut shown = read(&mut group, SECOND as usize)?;
    shown.extend(settle(&mut group)?);
    // The two may join one after the other, and the rebalance may show a record to both.
    let mut seen = BTreeSet::new();
    shown.retain(|record| seen.insert((record.partition, record.offset)));
    compare(&second, &acked, &shown)
}

/// Starts both members in one program.
pub(super) fn start_group(client: Client, bootstrap: &str, topic: &str) -> Result<Peer> {
    let group = format!("{topic}-readers");
    let options = [("topic", topic), ("group", &group), ("members", "2")];
    Peer::start(client, Role::Group, bootstrap, &options)
}

/// Waits until each member holds its half of the partitions.
pub(super) fn await_both(group: &mut Peer) -> Result<()> {
    let started = Instant::now();
    let mut held: BTreeMap<usize, Vec<i32>> = BTreeMap::new();
    loop {
        match group.next(WORK_LIMIT.saturating_sub(started.elapsed()))? {
            Line::Assigned { m, p } => held.insert(m, p),
            other => bail!("before any record was produced: {other:?}"),
        };
        let all: BTreeSet<i32> = held.values().flatten().copied().collect();
        let count: usize = held.values().map(Vec::len).sum();
        let halves = held.len() == 2 && held.values().all(|part| !part.is_empty());
        if halves && all.len() == count && count == PARTITIONS.unsigned_abs() as usize {
            return Ok(());
        }
    }
}

/// Reads until `count` different places have been shown.
fn read(group: &mut Peer, count: usize) -> Result<Vec<Shown>> {
    let started = Instant::now();
    let mut shown = Vec::new();
    let mut places = BTreeSet::new();
    while places.len() < count {
        match group.next(WORK_LIMIT.saturating_sub(started.elapsed())) {
            Ok(Line::Record(record)) => {
                places.insert((record.partition, record.offset));
                shown.push(record);
            }
            Ok(Line::Assigned { .. }) => {}
            Ok(other) => bail!("a group said {other:?}"),
            Err(why) => return Err(why.context(format!("{} of {count} shown", places.len()))),
        }
    }
    Ok(shown)
}

/// Gives unwanted records a moment to show themselves, then lets the group leave.
fn settle(group: &mut Peer) -> Result<Vec<Shown>> {
    let mut shown = Vec::new();
    let started = Instant::now();
    while started.elapsed() < SETTLE {
        match group.at_hand(Duration::from_millis(50)) {
            Some(Line::Record(record)) => shown.push(record),
            Some(Line::Done(_)) => bail!("the group ended by itself"),
            Some(_) | None => {}
        }
    }
    for line in group.finish(WORK_LIMIT)? {
        if let Line::Record(record) = line {
            shown.push(record);
        }
    }
    Ok(shown)
}
