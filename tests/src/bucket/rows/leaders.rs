//! Row 59: a leader stands still while it uploads, another one takes its place, and the first goes on.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::bucket::stage::{RECOVERY, with_three};
use crate::bucket::{Asked, Book, Fault, Rule, Seen, Store, Wants};
use crate::cluster::Cluster;
use crate::raw::Raw;
use crate::scenario::eventually;

const TOPIC: &str = "t";

pub(super) fn two() -> Result<()> {
    with_three(play)
}

fn play(cluster: &mut Cluster, store: &Store) -> Result<()> {
    cluster.start()?;
    let mut book = Book::small(TOPIC);
    let configs = book.configs();
    let configs: Vec<_> = configs
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    cluster.create_topic_with(TOPIC, (1, 3), &configs)?;
    let segment = displaced(cluster, store, &mut book, Asked::is_segment)?;
    uploaded_twice(store, &segment)?;
    let manifest = displaced(cluster, store, &mut book, Asked::is_manifest)?;
    ensure!(manifest.asked.is_manifest(), "{manifest:?}");
    let mut raw = connect(cluster)?;
    book.read(&mut raw, &[], RECOVERY)?;
    let spoiled = store.proxy.spoiled();
    let unnamed = store.unnamed()?;
    let strange = unnamed.iter().find(|object| !spoiled.contains(&object.key));
    ensure!(strange.is_none(), "nobody names {strange:?}");
    Ok(())
}

fn connect(cluster: &Cluster) -> Result<Raw> {
    cluster.connect(cluster.leader(TOPIC, 0)?)
}

/// What the leader puts is held while it stands still and another one leads, and arrives afterwards.
/// Gives what was held.
fn displaced(
    cluster: &mut Cluster,
    store: &Store,
    book: &mut Book,
    of: fn(&Asked) -> bool,
) -> Result<Seen> {
    let first = cluster.leader(TOPIC, 0)?;
    let mut raw = cluster.connect(first)?;
    book.write(&mut raw, 2)?;
    book.await_cold(&mut raw, RECOVERY)?;
    let address = cluster.node(first).address();
    let address = address.split(':').next().unwrap_or_default();
    let address: IpAddr = address.parse()?;
    let is_held =
        move |asked: &Asked| asked.from == address && asked.wants == Wants::Put && of(asked);
    store.proxy.set([Rule::new(Fault::Held, is_held)]);
    book.write(&mut raw, 2)?;
    let held = || {
        let mut held = store
            .proxy
            .seen(|seen| seen.fault == Some(Fault::Held) && of(&seen.asked));
        held.pop().context("nothing is held")
    };
    eventually(RECOVERY, held)?;
    cluster.node(first).pause()?;
    // Nobody may ask the one who stands still.
    let others = cluster.others(first);
    let second = eventually(RECOVERY, || led_by_another(cluster, &others, first))?;
    let mut raw = cluster.connect(second)?;
    eventually(RECOVERY, || book.ends(&mut raw))?;
    book.write(&mut raw, 2)?;
    book.await_cold(&mut raw, RECOVERY)?;
    store.proxy.heal();
    let arrived = eventually(RECOVERY, || {
        let held = held()?;
        ensure!(held.status.is_some(), "{held:?} has not arrived");
        Ok(held)
    })?;
    cluster.node(first).resume()?;
    cluster.await_whole(TOPIC, RECOVERY)?;
    // What it has to say about it, it says now.
    cluster.watch(Duration::from_secs(2))?;
    let mut raw = connect(cluster)?;
    book.await_cold(&mut raw, RECOVERY)?;
    book.read(&mut raw, &[], RECOVERY)?;
    Ok(arrived)
}

fn led_by_another(cluster: &Cluster, others: &[i32], first: i32) -> Result<i32> {
    let asked = others.first().context("three brokers")?;
    let views = cluster.partitions_at(*asked, TOPIC)?;
    let leader = views.first().context("one partition")?.leader;
    ensure!(leader >= 0 && leader != first, "{leader} leads");
    Ok(leader)
}

/// Both leaders have brought the same offsets; who was displaced is not named.
fn uploaded_twice(store: &Store, held: &Seen) -> Result<()> {
    let shelves = store.shelves()?;
    let objects = shelves.values().flat_map(|shelf| &shelf.segments);
    let objects: Vec<_> = objects.collect();
    let find = |object: &&&crate::bucket::Object| object.key == held.asked.key;
    let late = objects
        .iter()
        .find(find)
        .context("what was held is not there")?;
    let same = objects.iter().filter(|object| object.start == late.start);
    let same: Vec<&str> = same.map(|object| object.key.as_str()).collect();
    let unnamed = store.unnamed()?;
    let unnamed: Vec<&str> = unnamed.iter().map(|object| object.key.as_str()).collect();
    let named = same.iter().filter(|key| !unnamed.contains(key)).count();
    let fine = same.len() == 2 && named == 1 && unnamed.contains(&late.key.as_str());
    ensure!(
        fine,
        "{} arrived late; of its offsets there are {same:?}, not named are {unnamed:?}",
        late.key
    );
    Ok(())
}
