//! A real S3 server behind a proxy that breaks what it is told to, and trials of brokers that use it.
//!
//! ```text
//! writer, reader ──▶ broker ──▶ proxy (refuses, hangs, cuts, flips, ...) ──▶ versitygw ──▶ files
//!        └─────────────────────── looks at the files ──────────────────────────────────────▲
//! ```

mod book;
mod fault;
mod gateway;
mod identity;
mod message;
mod proxy;
mod rows;
mod stage;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use book::{Along, Book, Look};
use fault::{Asked, Fault, Rule, Seen, Wants};
use gateway::{BUCKET, Gateway, REGION, SECRET, USER};
use proxy::Proxy;
pub use rows::{BucketNeeds, BucketTrial, bucket_trials};
use stage::Stage;

use crate::cluster::HUB;

/// What the broker puts before all names.
const PREFIX: &str = "tier";

/// Why trials of a bucket cannot run here.
pub fn missing_for_buckets() -> Option<String> {
    gateway::missing()
}

/// A bucket, and what stands before it.
struct Store {
    gateway: Gateway,
    proxy: Proxy,
}

/// A real S3 server with an empty bucket, which brokers of a [`Cluster`](crate::Cluster) reach.
pub struct S3Server(Store);

impl S3Server {
    /// Starts one.
    pub fn start() -> Result<Self> {
        Store::start().map(Self)
    }

    /// What `remote.log.storage.url` is to be.
    pub fn url() -> String {
        format!("s3://{BUCKET}/{PREFIX}")
    }

    /// What has to be in the environment of whoever uses it, by name.
    pub fn environment(&self) -> Vec<(String, String)> {
        self.0.environment(HUB, None)
    }

    /// The same for a broker that is on this machine, and in no namespace of its own.
    pub fn environment_here(&self) -> Vec<(String, String)> {
        self.0.environment("127.0.0.1", None)
    }

    /// Below this folder each object is a file of its name.
    pub(crate) fn root(&self) -> PathBuf {
        self.0.gateway.bucket().join(PREFIX)
    }

    /// Takes the bucket away, or brings it back as it was.
    pub(crate) fn hide(&mut self, hidden: bool) -> Result<()> {
        self.0.gateway.hide_bucket(hidden)
    }

    /// Where it is listened to.
    pub(crate) fn port(&self) -> u16 {
        self.0.proxy.port()
    }

    /// How often anything was asked of it so far.
    pub(crate) fn asked(&self) -> usize {
        self.0.proxy.seen(|_| true).len()
    }

    /// Ends it with SIGKILL; what it has stored stays.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.0.gateway.kill()
    }

    /// Starts it again, unless it is running.
    pub(crate) fn heal(&mut self) -> Result<()> {
        self.0.gateway.heal()
    }
}

/// A segment's object as a file.
#[derive(Debug, Clone)]
struct Object {
    /// Its name in the bucket.
    key: String,
    path: PathBuf,
    /// Its first offset.
    start: i64,
    id: Vec<u8>,
}

/// What of one partition is in the bucket.
#[derive(Debug, Default)]
struct Shelf {
    /// By their names, so by their offsets.
    segments: Vec<Object>,
    /// By their versions.
    manifests: Vec<PathBuf>,
}

impl Object {
    /// The last part of its name: brokers do not tell their own prefix.
    fn name(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or_default()
    }
}

impl Store {
    fn start() -> Result<Self> {
        let gateway = Gateway::start()?;
        let proxy = Proxy::start(gateway.address())?;
        Ok(Self { gateway, proxy })
    }

    /// What a broker has to be told that finds this machine at `host`, and waits so long for an answer;
    /// a minute if nothing is said.
    fn environment(&self, host: &str, patience: Option<Duration>) -> Vec<(String, String)> {
        let mut all = vec![
            ("AWS_ACCESS_KEY_ID", USER.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            (
                "AWS_ENDPOINT_URL",
                format!("http://{host}:{}", self.proxy.port()),
            ),
        ];
        all.extend(patience.map(|limit| ("AWS_TIMEOUT", format!("{}ms", limit.as_millis()))));
        let owned = |(name, value): (&str, String)| (name.to_owned(), value);
        all.into_iter().map(owned).collect()
    }

    /// What is in the bucket of each partition, by the folder of its topic.
    fn shelves(&self) -> Result<BTreeMap<String, Shelf>> {
        let bucket = self.gateway.bucket();
        let mut shelves: BTreeMap<String, Shelf> = BTreeMap::new();
        for path in files(&bucket.join(PREFIX))? {
            let key = path.strip_prefix(&bucket)?.to_string_lossy().into_owned();
            let mut parts = key.rsplit('/');
            let (name, kind) = (parts.next(), parts.next());
            // A cluster's claim is no topic's.
            let Some(topic) = parts.nth(1) else { continue };
            let shelf = shelves.entry(topic.to_owned()).or_default();
            let name = name.context("a name")?;
            if kind == Some("manifests") {
                shelf.manifests.push(path);
            } else if kind == Some("segments") {
                let (start, id) = name.split_once('-').context("a segment's name")?;
                let (start, id) = (start.parse()?, bytes_of(id)?);
                shelf.segments.push(Object {
                    key,
                    path,
                    start,
                    id,
                });
            }
        }
        for shelf in shelves.values_mut() {
            shelf.segments.sort_by(|a, b| a.key.cmp(&b.key));
            shelf.manifests.sort();
        }
        Ok(shelves)
    }

    /// Puts an object beside a segment that no manifest ever named. Gives its path.
    fn plant(&self) -> Result<PathBuf> {
        let shelves = self.shelves()?;
        let object = shelves.values().find_map(|shelf| shelf.segments.first());
        let object = object.context("no segment is there")?;
        let name = format!("{:020}-{}", object.start, "5a".repeat(object.id.len()));
        let stranger = object.path.with_file_name(name);
        fs::copy(&object.path, &stranger)?;
        Ok(stranger)
    }

    /// Of all partitions: the objects that the newest manifest does not name.
    fn unnamed(&self) -> Result<Vec<Object>> {
        let mut unnamed = Vec::new();
        for shelf in self.shelves()?.into_values() {
            unnamed.extend(shelf.unnamed()?);
        }
        Ok(unnamed)
    }
}

impl Shelf {
    /// The objects that the newest manifest does not name: it has the ids of those that it does.
    fn unnamed(&self) -> Result<Vec<Object>> {
        let newest = self.manifests.last().map(fs::read).transpose()?;
        let newest = newest.unwrap_or_default();
        let is_named = |object: &Object| newest.windows(object.id.len()).any(|id| id == object.id);
        let unnamed = self.segments.iter().filter(|object| !is_named(object));
        Ok(unnamed.cloned().collect())
    }
}

fn bytes_of(hex: &str) -> Result<Vec<u8>> {
    let pairs = (0..hex.len()).step_by(2);
    let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2).unwrap_or("?"), 16);
    pairs
        .map(|at| byte(at).with_context(|| format!("{hex} is no id")))
        .collect()
}

/// The files below a folder, but for those that the server hides.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // Nothing was put there yet.
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry?.path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    Ok(found)
}
