//! Copies the partitions that others lead, and tells the controller who is in sync.
//!
//! ```text
//! directory ── stands ──▶ Followers ── one stream for each leader ──▶ fetch ──▶ Partition::follow
//! leaders ── propose ──▶ IsrProposals ── one request at a time ──▶ quorum
//! ```
//!
//! A stream is a task with one connection. It lives while there is something to copy from its leader,
//! and rests in a long poll while there is nothing new. All that a stream does happens on one of a few
//! threads that do nothing else: a lone record that is copied wakes no thread to look for more work.

mod answer;
mod brakes;
mod inbox;
mod isr;
mod roster;
mod session;
mod span;
mod stream;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use freshet_env::Reactors;
use freshet_metadata::{MetadataImage, Topic};
use freshet_partition::{Neighbour, Partition, Stand};
use freshet_settings::{ReplicationSettings, StaticSettings};
use freshet_types::{NodeId, TopicPartition};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::brakes::Brakes;
use self::inbox::Inbox;
pub use self::isr::{IsrProposals, IsrProposalsParts, Verdict, verdict};
use self::stream::Stream;

/// What followers work with.
#[derive(Debug)]
pub struct FollowersParts {
    /// This broker.
    pub node: NodeId,
    /// Name of the listener by which brokers speak to each other, in upper case.
    pub listener: String,
    /// File and command line.
    pub statics: Arc<StaticSettings>,
    /// Where leaders are.
    pub image: watch::Receiver<Arc<MetadataImage>>,
    /// This broker's registration; below 0 while it has none, and then nothing is copied.
    pub broker_epoch: watch::Receiver<i64>,
}

/// What all streams have around them.
#[derive(Debug)]
struct Surroundings {
    node: NodeId,
    listener: String,
    settings: ReplicationSettings,
    image: watch::Receiver<Arc<MetadataImage>>,
    broker_epoch: watch::Receiver<i64>,
    brakes: Brakes,
}

/// A leader, and which of the streams from it: there are `num.replica.fetchers`.
type StreamName = (NodeId, usize);

#[derive(Debug)]
struct Running {
    inbox: Arc<Inbox>,
    task: JoinHandle<()>,
    partitions: usize,
}

#[derive(Debug, Default)]
struct State {
    homes: HashMap<TopicPartition, StreamName>,
    streams: HashMap<StreamName, Running>,
    stopped: bool,
}

/// All copying from other brokers.
#[derive(Debug)]
pub struct Followers {
    around: Arc<Surroundings>,
    reactors: Reactors,
    state: Mutex<State>,
}

impl Followers {
    /// Starts its threads. Copies nothing yet: the directory tells what.
    pub fn new(parts: FollowersParts) -> io::Result<Arc<Self>> {
        let layers = parts.image.borrow().layers(&parts.statics, parts.node);
        let around = Surroundings {
            node: parts.node,
            listener: parts.listener,
            settings: layers.replicas(),
            brakes: Brakes::new(parts.node, parts.statics),
            image: parts.image,
            broker_epoch: parts.broker_epoch,
        };
        Ok(Arc::new(Self {
            around: Arc::new(around),
            reactors: Reactors::start("copy", 0)?,
            state: Mutex::default(),
        }))
    }

    /// Ends all copying. Afterwards the logs are left alone, so this comes before their threads stop.
    pub async fn stop(&self) {
        let streams = {
            let mut state = self.state.lock();
            state.stopped = true;
            state.homes.clear();
            std::mem::take(&mut state.streams)
        };
        for stream in streams.values() {
            stream.task.abort();
        }
        for (_, stream) in streams {
            // An error says that it was aborted.
            let _ = stream.task.await;
        }
    }

    /// How many partitions are copied from others.
    pub fn partitions(&self) -> usize {
        self.state.lock().homes.len()
    }

    /// How many streams there are.
    pub fn streams(&self) -> usize {
        self.state.lock().streams.len()
    }

    fn copy(&self, partition: &Arc<Partition>, leader: NodeId) {
        let at = partition.id();
        let name = (leader, number(at, self.around.settings.fetchers));
        let mut state = self.state.lock();
        if state.stopped {
            return;
        }
        if state.homes.get(&at) != Some(&name) {
            leave(&mut state, at);
            state.homes.insert(at, name);
            let stream = state.streams.entry(name);
            stream.or_insert_with(|| self.start(name)).partitions += 1;
        }
        if let Some(stream) = state.streams.get(&name) {
            stream.inbox.take(partition);
        }
    }

    fn start(&self, (leader, number): StreamName) -> Running {
        let inbox = Arc::new(Inbox::default());
        let stream = Stream::new(&self.around, leader, number, &inbox);
        Running {
            inbox,
            task: self.reactors.next().spawn(stream.run()),
            partitions: 0,
        }
    }
}

impl Neighbour for Followers {
    fn stands(&self, partition: &Arc<Partition>, stand: Stand) {
        match stand {
            Stand::Follows(leader) => self.copy(partition, leader),
            Stand::Leads | Stand::Waits => leave(&mut self.state.lock(), partition.id()),
        }
    }

    fn closed(&self, partition: &Partition) {
        leave(&mut self.state.lock(), partition.id());
    }

    fn deleted(&self, _: &Topic) {}
}

/// A stream without partitions ends, in whatever it is: nobody is there whose copying it could cut.
fn leave(state: &mut State, at: TopicPartition) {
    let Some(name) = state.homes.remove(&at) else {
        return;
    };
    if let Some(stream) = state.streams.get_mut(&name) {
        stream.inbox.leave(at);
        stream.partitions -= 1;
        if stream.partitions == 0 {
            stream.task.abort();
            state.streams.remove(&name);
        }
    }
}

/// Which of a leader's streams a partition belongs to.
fn number(at: TopicPartition, streams: usize) -> usize {
    let topic = at.topic.0.iter().fold(0_usize, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(usize::from(*byte))
    });
    let partition = usize::try_from(at.partition).unwrap_or(0);
    topic.wrapping_add(partition) % streams.max(1)
}

impl Surroundings {
    /// Where a broker can be reached, as far as it is known.
    fn address(&self, node: NodeId, image: &MetadataImage) -> Option<String> {
        let listener = image.broker(node)?.listener(&self.listener)?;
        Some(format!("{}:{}", listener.host, listener.port))
    }

    /// Waits until a broker can be reached.
    async fn address_of(&self, node: NodeId) -> String {
        let mut image = self.image.clone();
        loop {
            let address = self.address(node, &image.borrow_and_update());
            match address {
                Some(address) => return address,
                None => changed(&mut image).await,
            }
        }
    }

    /// Ends once a broker is reached elsewhere than at `address`.
    async fn moved(&self, node: NodeId, address: &str) {
        let mut image = self.image.clone();
        while self.address(node, &image.borrow_and_update()).as_deref() == Some(address) {
            changed(&mut image).await;
        }
    }

    /// Waits until this broker is registered.
    async fn registered(&self) -> i64 {
        let mut epoch = self.broker_epoch.clone();
        loop {
            let now = *epoch.borrow_and_update();
            if now >= 0 {
                return now;
            }
            changed(&mut epoch).await;
        }
    }
}

/// Waits for a change; for ever when nobody makes any more.
async fn changed<T>(watched: &mut watch::Receiver<T>) {
    if watched.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
