//! Rows 13 and 58: what the leader's disk has of a segment is damaged, when it is to be copied, and when an object is
//! to be stored anew. Other brokers have it whole.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::bucket::stage::{RECOVERY, with_three};
use crate::bucket::{Asked, Book, Fault, Object, Rule, Store};
use crate::cluster::Cluster;
use crate::raw::Raw;
use crate::scenario::eventually;
use crate::trial::flip;

const TOPIC: &str = "t";
const LOCAL: &str = "local.retention.bytes";
const DAMAGED: &str = "the copy is damaged: asking others to take over";
const MENDED: &str = "a damaged object is replaced by what the disk has";

pub(super) fn elsewhere() -> Result<()> {
    with_three(play)
}

fn play(cluster: &mut Cluster, store: &Store) -> Result<()> {
    for id in cluster.ids() {
        let node = cluster.node(id);
        node.set("freshet.remote.scrub.interval.ms", "1000");
        node.set("freshet.remote.scrub.bytes.per.second", "104857600");
    }
    cluster.start()?;
    let mut book = Book::small(TOPIC);
    let configs = book.configs();
    let stays = |(name, _): &&(&str, String)| *name != LOCAL;
    let configs: Vec<_> = configs
        .iter()
        .filter(stays)
        .map(|(name, value)| (*name, &**value))
        .collect();
    cluster.create_topic_with(TOPIC, (1, 3), &configs)?;
    copied(cluster, &mut book, 2)?;
    before_it_is_copied(cluster, store, &mut book)?;
    cluster.await_whole(TOPIC, RECOVERY)?;
    copied(cluster, &mut book, 1)?;
    let damaged = behind_an_object(cluster, store)?;
    // Whatever any disk has is not looked at from now on.
    let mut raw = connect(cluster)?;
    let (code, said) = raw.set_config((Raw::TOPIC, TOPIC), LOCAL, "0")?;
    ensure!(code == 0, "{LOCAL}: error {code}, {said}");
    book.await_cold(&mut raw, RECOVERY)?;
    book.read(&mut raw, &[], RECOVERY)?;
    let spoiled = store.proxy.spoiled();
    let unnamed = store.unnamed()?.into_iter().map(|object| object.key);
    let mut strange = unnamed.filter(|key| !spoiled.contains(key) && *key != damaged.key);
    ensure!(strange.next().is_none(), "objects that nobody names");
    Ok(())
}

/// The leader cannot copy what it has: the next one does, and goes on.
fn before_it_is_copied(cluster: &mut Cluster, store: &Store, book: &mut Book) -> Result<()> {
    let leader = cluster.leader(TOPIC, 0)?;
    let refused = Rule::new(Fault::Refuse(503, "SlowDown"), Asked::brings);
    store.proxy.set([refused]);
    let mut raw = cluster.connect(leader)?;
    book.write(&mut raw, 3)?;
    let (_, copied) = book.ends(&mut raw)?;
    cluster.await_whole(TOPIC, RECOVERY)?;
    let local = segments(cluster, leader)?;
    let behind = local.into_iter().find(|(base, _)| *base > copied);
    let (base, path) = behind.context("a segment that is not in the bucket")?;
    flip(&path, 50)?;
    store.proxy.heal();
    is_told(cluster, leader)?;
    let copied = eventually(RECOVERY, || {
        let (_, copied) = book.ends(&mut connect(cluster)?)?;
        let all = copied + book.per_segment() >= book.end;
        ensure!(all, "copied to {copied} of {}", book.end);
        Ok(copied)
    })?;
    ensure!(copied > base, "copied to {copied}, {base} was damaged");
    Ok(())
}

/// An object is damaged, and the leader cannot mend it: the next one does. Gives the object.
fn behind_an_object(cluster: &mut Cluster, store: &Store) -> Result<Object> {
    let leader = cluster.leader(TOPIC, 0)?;
    let shelves = store.shelves()?.into_values();
    let objects: Vec<_> = shelves.flat_map(|shelf| shelf.segments).collect();
    let local = segments(cluster, leader)?;
    let both = objects.into_iter().find_map(|object| {
        let (_, path) = local.iter().find(|(base, _)| *base == object.start)?;
        Some((object, path))
    });
    let (object, path) = both.context("a segment that is in both places")?;
    flip(path, 50)?;
    flip(&object.path, 50)?;
    is_told(cluster, leader)?;
    let others = cluster.others(leader);
    eventually(RECOVERY, || {
        let unnamed = store.unnamed()?;
        let is_replaced = unnamed.iter().any(|it| it.key == object.key);
        ensure!(is_replaced, "{} is still named", object.key);
        Ok(())
    })?;
    let mut said = others.iter().map(|id| cluster.node(*id).printed());
    let mended = said.any(|said| said.contains(MENDED));
    ensure!(mended, "none of {others:?} has said so");
    Ok(object)
}

fn connect(cluster: &Cluster) -> Result<Raw> {
    cluster.connect(cluster.leader(TOPIC, 0)?)
}

/// Writes so many segments, and waits until they are in the bucket.
fn copied(cluster: &Cluster, book: &mut Book, more: usize) -> Result<()> {
    let mut raw = connect(cluster)?;
    book.write(&mut raw, more)?;
    eventually(RECOVERY, || {
        let (_, copied) = book.ends(&mut raw)?;
        let all = copied + book.per_segment() >= book.end;
        ensure!(all, "copied to {copied} of {}", book.end);
        Ok(())
    })
}

/// The segments on a broker's disk, with their first offsets.
fn segments(cluster: &mut Cluster, id: i32) -> Result<Vec<(i64, PathBuf)>> {
    let mut found = cluster.node(id).segments(&format!("{TOPIC}-0"))?;
    // The last one is not closed.
    found.pop();
    let with_base = |path: PathBuf| {
        let base = path.file_stem().and_then(|stem| stem.to_str());
        Ok((base.context("a name")?.parse()?, path))
    };
    found.into_iter().map(with_base).collect()
}

/// Nobody reads it, so it is found where it was to be copied.
fn is_told(cluster: &mut Cluster, leader: i32) -> Result<()> {
    eventually(RECOVERY, || {
        let said = cluster.node(leader).printed();
        ensure!(
            said.contains(DAMAGED),
            "{leader} does not say that it is damaged"
        );
        let now = cluster.leader(TOPIC, 0)?;
        ensure!(now != leader, "{leader} leads still");
        Ok(())
    })
}
