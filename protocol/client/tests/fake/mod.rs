//! A cluster of a few lines: real sockets, logs in memory, and faults from a seed.
//!
//! It keeps Kafka's rules for producer sequences to the letter, because those are what the producer
//! is tested against: the last five batches of a session are remembered, anything else out of order
//! is refused.

mod log;
mod serve;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use freshet_client::ClientConfig;
use freshet_types::TopicId;
use tokio::net::TcpListener;

pub(crate) use log::Log;

/// How often something goes wrong: once in so many produce requests; 0 for never.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// The connection breaks before anything is written.
    pub(crate) break_before: u64,
    /// The connection breaks after the records are written.
    pub(crate) break_after: u64,
    /// The leader moves to another broker, and the old one says so.
    pub(crate) move_leader: u64,
    /// The broker asks to try again.
    pub(crate) refuse: u64,
    /// The broker forgets all sessions.
    pub(crate) forget: u64,
    /// The leader of this partition knows no offsets yet.
    pub(crate) unknown: Option<i32>,
}

/// The cluster.
#[derive(Clone)]
pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
}

pub(crate) struct State {
    addresses: Vec<String>,
    topic_id: TopicId,
    /// Leader, epoch and log of each partition of the topic "t".
    pub(crate) partitions: BTreeMap<i32, (i32, i32, Log)>,
    pub(crate) faults: Faults,
    random: u64,
    next_producer: i64,
}

impl State {
    /// Whether a fault that comes once in `n` times comes now.
    fn strikes(&mut self, n: u64) -> bool {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        n > 0 && (self.random >> 33).is_multiple_of(n)
    }
}

impl Fake {
    /// Starts `brokers` brokers; partition `p` of topic "t" is led by broker `p % brokers`.
    pub(crate) async fn start(brokers: i32, partitions: i32, seed: u64) -> Self {
        let mut listeners = Vec::new();
        for _ in 0..brokers {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.expect("a free port"));
        }
        let address = |l: &TcpListener| l.local_addr().expect("it is bound").to_string();
        let state = State {
            addresses: listeners.iter().map(address).collect(),
            topic_id: TopicId([7; 16]),
            partitions: (0..partitions)
                .map(|p| (p, (p % brokers, 0, Log::default())))
                .collect(),
            faults: Faults::default(),
            random: seed,
            next_producer: 100,
        };
        let fake = Self {
            state: Arc::new(Mutex::new(state)),
        };
        for (node, listener) in listeners.into_iter().enumerate() {
            tokio::spawn(serve::broker(fake.clone(), node as i32, listener));
        }
        fake
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no test panics while it holds the lock")
    }

    /// Settings of a client of this cluster that retries quickly.
    pub(crate) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new(self.state().addresses.iter().take(1).cloned());
        config.backoff_min = Duration::from_millis(1);
        config.backoff_max = Duration::from_millis(20);
        config
    }

    /// All values of a partition in the order of its log.
    pub(crate) fn values(&self, partition: i32) -> Vec<String> {
        self.state().partitions[&partition].2.values()
    }
}
