//! Questions about manifests between brokers.

use std::sync::atomic::{AtomicUsize, Ordering};

use freshet_metadata::NewTopic;
use freshet_partition::{HostError, MANIFESTS_TOPIC, ManifestDoor, ManifestKeeper, ManifestWait};
use freshet_tier::{
    Answer, Ask, Claim, EpochStart, Limits, Manifests, Refusal, Request, Said, shard_of,
};
use freshet_types::{Machine, Millis, Now, PartitionId, Ticket, Timestamp, TopicPartition};
use parking_lot::Mutex;

use super::*;

/// The machine of every shard, if its node leads that, without a log.
struct Keeper {
    me: NodeId,
    image: tokio::sync::watch::Receiver<Arc<MetadataImage>>,
    machine: Mutex<Manifests>,
    answered: AtomicUsize,
}

impl Keeper {
    fn of(node: &Node, me: i32) -> Arc<Self> {
        Arc::new(Self {
            me: NodeId(me),
            image: node.relay.watch(),
            machine: Mutex::new(Manifests::new(Limits::default())),
            answered: AtomicUsize::new(0),
        })
    }

    fn say(&self, shard: PartitionId, request: Request) -> Result<Said, HostError> {
        let image = self.image.borrow().clone();
        let topic = image.topic(MANIFESTS_TOPIC);
        let state = topic.and_then(|topic| topic.partition(shard));
        if state.and_then(|state| state.leader) != Some(self.me) {
            return Err(HostError::NotHere("another one's".into()));
        }
        self.answered.fetch_add(1, Ordering::Relaxed);
        let now = Now {
            monotonic: Millis(0),
            wall: Timestamp(0),
        };
        let mut machine = self.machine.lock();
        let mut decision = machine.decide(now, Ticket(1), request);
        for record in &decision.records {
            machine.apply(record);
        }
        Ok(decision.replies.remove(0).1)
    }
}

impl ManifestKeeper for Keeper {
    fn answer(&self, shard: PartitionId, request: Request) -> ManifestWait<'_, HostError> {
        Box::pin(async move { self.say(shard, request) })
    }
}

fn desk(node: &Node, me: i32, keeper: &Arc<Keeper>) -> ManifestDesk {
    ManifestDesk::new(ManifestDeskParts {
        me: NodeId(me),
        keeper: Arc::clone(keeper) as Arc<dyn ManifestKeeper>,
        relay: Some(Arc::clone(&node.relay)),
        quorum: Arc::clone(&node.relay) as Arc<dyn Quorum<MetadataMachine>>,
        topic: Box::new(|| NewTopic {
            name: MANIFESTS_TOPIC.to_owned(),
            id: TopicId([9; 16]),
            partitions: 6,
            replication_factor: 1,
            assignments: Vec::new(),
            configs: Vec::new(),
        }),
    })
}

fn at(n: i32) -> TopicPartition {
    TopicPartition {
        topic: TopicId([7; 16]),
        partition: n,
    }
}

fn asked(n: i32, leader_epoch: i32, ask: Ask) -> Request {
    Request {
        partition: at(n),
        leader_epoch,
        ask,
    }
}

fn claim(n: i32, leader_epoch: i32) -> Request {
    let claim = Claim {
        log_start: 5,
        local_start: 5,
        log_end: 100,
        epochs: vec![EpochStart {
            epoch: 1,
            offset: 5,
        }],
        unclean: None,
    };
    asked(n, leader_epoch, Ask::Claim(claim))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_leads_a_partition_hears_from_whoever_keeps_its_manifest() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let nodes = cluster_of(home.path(), 3, patient).await;
    for (node, number) in nodes.iter().zip(1..) {
        let_in(node, number, &node.endpoint).await;
    }
    let keepers: Vec<_> = nodes
        .iter()
        .zip(1..)
        .map(|(node, me)| Keeper::of(node, me))
        .collect();
    // The third one is not ready yet.
    for (node, keeper) in nodes.iter().zip(&keepers).take(2) {
        let keeper = Arc::clone(keeper);
        node.room.keep_manifests(keeper);
    }
    let late = Arc::clone(&nodes[2].room);
    let keeper = Arc::clone(&keepers[2]);
    tokio::spawn(async move {
        tokio::time::sleep(PAUSE * 30).await;
        late.keep_manifests(keeper);
    });
    // Nobody has made the topic: the first who asks does.
    let asking = desk(&nodes[0], 1, &keepers[0]);
    for n in 0..12 {
        let said = asking.ask(claim(n, 3)).await.expect("answered");
        let Ok(Answer::Claimed(manifest)) = said else {
            panic!("{said:?}");
        };
        assert_eq!((manifest.leader_epoch(), manifest.log_start()), (3, 5));
    }
    for keeper in &keepers {
        assert!(keeper.answered.load(Ordering::Relaxed) > 0);
    }
    let shards: std::collections::BTreeSet<_> = (0..12).map(|n| shard_of(at(n), 6)).collect();
    assert!(shards.len() > 3, "{shards:?}");
    // What one has claimed another one cannot have under an older epoch, and knows as it is.
    let other = desk(&nodes[1], 2, &keepers[1]);
    for n in 0..12 {
        let refused = other.ask(claim(n, 2)).await.expect("answered");
        let fenced = Refusal::Fenced {
            asked: 2,
            current: 3,
        };
        assert_eq!(refused, Err(fenced));
        let described = other.ask(asked(n, 0, Ask::Describe)).await;
        let Ok(Ok(Answer::Manifest(manifest))) = described else {
            panic!("{described:?}");
        };
        assert_eq!(manifest.remote_end(), 5);
    }
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_whoever_keeps_it_the_wait_for_a_manifest_ends() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let node = alone(home.path()).await;
    // No broker is there for the topic to be on.
    let keeper = Keeper::of(&node, 1);
    let desk = desk(&node, 1, &keeper);
    let unanswered = tokio::time::timeout(Duration::from_secs(20), desk.ask(claim(0, 1))).await;
    let unanswered = unanswered.expect("it ends");
    let why = unanswered.expect_err("nobody could answer").to_string();
    assert!(why.contains(MANIFESTS_TOPIC), "{why}");
    node.stop().await;
}
