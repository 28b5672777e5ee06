//! One broker before a bucket.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Book, S3Server, Store};
use crate::broker::Broker;
use crate::cluster::{Cluster, HUB};
use crate::http::get;
use crate::raw::Raw;
use crate::scenario::eventually;

/// What was put off may take so long: pauses have grown while the bucket was away.
pub(super) const RECOVERY: Duration = Duration::from_secs(45);

/// A broker, and its bucket behind a proxy.
pub(super) struct Stage {
    pub(super) broker: Broker,
    pub(super) store: Store,
}

/// How brokers of all trials are set.
pub(super) fn settings() -> [(&'static str, String); 6] {
    [
        ("remote.log.storage.system.enable", "true".to_owned()),
        ("remote.log.storage.url", S3Server::url()),
        ("remote.log.manager.task.interval.ms", "100".to_owned()),
        ("log.retention.check.interval.ms", "500".to_owned()),
        ("remote.list.offsets.request.timeout.ms", "3000".to_owned()),
        // One broker has enough to do without 50 of them.
        (
            "rlmm.config.remote.log.metadata.topic.num.partitions",
            "4".to_owned(),
        ),
    ]
}

/// A broker that tiers, where the environment says.
pub(super) fn broker(environment: &[(String, String)]) -> Result<Broker> {
    broker_with(environment, &[])
}

pub(super) fn broker_with(
    environment: &[(String, String)],
    more: &[(&str, &str)],
) -> Result<Broker> {
    let set = settings();
    let set = set.iter().map(|(name, value)| (*name, value.as_str()));
    let set: Vec<_> = set.chain(more.iter().copied()).collect();
    Broker::start_in(environment, &set)
}

/// Plays with three brokers before a bucket, which are yet to be started; the row needs a network.
pub(super) fn with_three(play: fn(&mut Cluster, &Store) -> Result<()>) -> Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("freshet-trial-")
        .tempdir()?;
    let store = Store::start()?;
    let mut cluster = three_before(&store, folder.path())?;
    let told = play(&mut cluster, &store);
    told.with_context(|| format!("the brokers' last words:\n{}\n", cluster.tails()))
}

fn three_before(store: &Store, folder: &Path) -> Result<Cluster> {
    let mut cluster = Cluster::new(3, folder, false)?;
    let environment = store.environment(HUB, None);
    let environment: Vec<_> = environment
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    for id in cluster.ids() {
        let node = cluster.node(id);
        settings()
            .iter()
            .for_each(|(name, value)| node.set(name, value));
        node.set_environment(&environment);
    }
    Ok(cluster)
}

impl Stage {
    /// A broker that waits so long for an answer of the bucket; a minute if nothing is said.
    pub(super) fn start(patience: Option<Duration>) -> Result<Self> {
        Self::start_with(patience, &[])
    }

    /// The same, with these settings more.
    pub(super) fn start_with(patience: Option<Duration>, more: &[(&str, &str)]) -> Result<Self> {
        let store = Store::start()?;
        let environment = store.environment("127.0.0.1", patience);
        let broker = broker_with(&environment, more)?;
        Ok(Self { broker, store })
    }

    pub(super) fn connect(&self) -> Result<Raw> {
        Raw::connect(self.broker.bootstrap())
    }

    /// These topics, with so many segments of each in the bucket.
    pub(super) fn write(&self, books: &[Book], segments: usize) -> Result<Vec<Book>> {
        let mut raw = self.connect()?;
        let mut made = Vec::new();
        for book in books {
            let mut book = book.clone().make(&mut raw)?;
            book.write(&mut raw, segments)?;
            made.push(book);
        }
        for book in &made {
            book.await_cold(&mut raw, RECOVERY)?;
        }
        Ok(made)
    }

    /// All is copied without anybody's help, and reads as it was written.
    pub(super) fn recovers(&self, books: &[Book]) -> Result<()> {
        let mut raw = self.connect()?;
        for book in books {
            book.await_cold(&mut raw, RECOVERY)?;
        }
        for book in books {
            book.read(&mut raw, &[], RECOVERY)?;
        }
        self.must_be_named()
    }

    /// What is in the bucket is named, but for what was to be brought when something was wrong.
    pub(super) fn must_be_named(&self) -> Result<()> {
        eventually(RECOVERY, || {
            let spoiled: BTreeSet<String> = self.store.proxy.spoiled();
            let unnamed = self.store.unnamed()?;
            let strange = unnamed.iter().find(|object| !spoiled.contains(&object.key));
            ensure!(strange.is_none(), "nobody names {strange:?}");
            Ok(())
        })
    }

    /// A number that the broker counts.
    pub(super) fn counted(&self, name: &str) -> Result<u64> {
        let (_, page) = get(self.broker.http()?, "/metrics")?;
        let told = |line: &str| line.strip_prefix(name)?.trim().parse().ok();
        let found = page.lines().find_map(told);
        found.with_context(|| format!("{name} is not among the metrics"))
    }

    /// Waits until the broker says such a line.
    pub(super) fn await_line(&mut self, all: &[&str], limit: Duration) -> Result<()> {
        let told = eventually(limit, || {
            let printed = self.broker.process().printed();
            let told = |line: &str| all.iter().all(|word| line.contains(word));
            ensure!(printed.lines().any(told), "the broker does not say {all:?}");
            Ok(())
        });
        told.with_context(|| format!("its last words:\n{}\n", self.broker.tail()))
    }
}
