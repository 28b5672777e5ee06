//! Partitions on several brokers in one process, with real logs and real sockets between them. Only
//! the metadata quorum is a stand-in: it decides at once, and can be kept from single brokers.

mod council;
mod node;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use freshet_metadata::{
    AlterConfigs, AlterResource, ConfigChange, ConfigEdit, ConfigOp, ConfigTarget, CreateTopics,
    NewTopic, PartitionName, Reassign, Reassignment,
};
use freshet_partition::{Acks, Isolation};
use freshet_settings::{StaticSettings, StaticSettingsBuilder};
use freshet_types::{NodeId, TopicId, TopicPartition};
use tokio::time::{Instant, sleep, timeout};

use self::council::Council;
use self::node::Node;

/// Longer than anything may take here.
const LIMIT: Duration = Duration::from_secs(20);

struct Cluster {
    council: Arc<Council>,
    nodes: Vec<Node>,
    topics: u8,
}

impl Cluster {
    async fn start(nodes: i32) -> Self {
        Self::with(nodes, &[]).await
    }

    async fn with(nodes: i32, set: &[&str]) -> Self {
        let statics = Arc::new(settings(set));
        let council = Council::new(Arc::clone(&statics));
        let mut cluster = Self {
            council: Arc::clone(&council),
            nodes: Vec::new(),
            topics: 0,
        };
        for id in 1..=nodes {
            cluster
                .nodes
                .push(Node::start(&council, id, &statics).await);
        }
        cluster
    }

    /// Creates a topic with one partition for each list of replicas, and waits until all serve it.
    async fn create(&mut self, replicas: &[&[i32]]) -> Vec<TopicPartition> {
        self.topics += 1;
        let assignment =
            |(number, nodes): (i32, &&[i32])| (number, nodes.iter().copied().map(NodeId).collect());
        let topic = NewTopic {
            name: format!("t{}", self.topics),
            id: TopicId([self.topics; 16]),
            partitions: -1,
            replication_factor: -1,
            assignments: (0..).zip(replicas).map(assignment).collect(),
            ..NewTopic::default()
        };
        let mut created = self.council.ask(CreateTopics {
            topics: vec![topic],
            validate_only: false,
        });
        let topic = created.remove(0).expect("created").id;
        let all = (0..).zip(replicas);
        let all: Vec<_> = all
            .map(|(partition, nodes)| (TopicPartition { topic, partition }, nodes))
            .collect();
        for (at, nodes) in &all {
            let ready = || nodes.iter().all(|id| self.node(*id).get(*at).is_some());
            eventually("all replicas are open", ready).await;
            let leads = || self.node(nodes[0]).partition(*at).leads();
            eventually("it is led", leads).await;
        }
        all.into_iter().map(|(at, _)| at).collect()
    }

    fn node(&self, id: i32) -> &Node {
        let found = self.nodes.iter().find(|node| node.id == NodeId(id));
        found.expect("it is up")
    }

    fn isr(&self, at: TopicPartition) -> Vec<i32> {
        let image = self.council.image();
        let partition = image.partition(at).expect("it is there");
        let mut isr: Vec<i32> = partition.isr.iter().map(|node| node.0).collect();
        isr.sort_unstable();
        isr
    }

    fn leader(&self, at: TopicPartition) -> Option<NodeId> {
        self.council
            .image()
            .partition(at)
            .expect("it is there")
            .leader
    }

    /// Waits until these nodes have committed all that the first of them has.
    async fn agree(&self, at: TopicPartition, nodes: &[i32]) {
        let leader = self.node(nodes[0]).partition(at);
        for id in nodes {
            let ends = || self.node(*id).partition(at).ends();
            let same = || ends() == leader.ends() && ends().high_watermark == ends().log_end;
            eventually("replicas agree", same).await;
            let here = self.node(*id).bytes(at).await;
            assert_eq!(here, self.node(nodes[0]).bytes(at).await, "bytes of {id}");
        }
    }

    /// Has other brokers keep a topic's only partition.
    fn place(&self, topic: &str, nodes: &[i32]) {
        let moved = self.council.ask(Reassign {
            changes: vec![Reassignment {
                partition: PartitionName {
                    topic: topic.to_owned(),
                    partition: 0,
                },
                replicas: Some(nodes.iter().copied().map(NodeId).collect()),
            }],
            allow_factor_change: true,
        });
        assert_eq!(moved, [Ok(())]);
    }

    async fn stop(self) {
        for node in self.nodes {
            node.stop().await;
        }
    }
}

fn settings(set: &[&str]) -> StaticSettings {
    let mut builder = StaticSettingsBuilder::default();
    for setting in ["freshet.network.threads=1"].iter().chain(set) {
        builder = builder.set(setting).expect("a setting");
    }
    builder.finish().expect("settings that agree").0
}

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LIMIT, wait).await.expect(what);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_on_all_replicas_byte_for_byte() {
    let mut cluster = Cluster::start(3).await;
    let all = cluster.create(&[&[1, 2, 3], &[2, 3, 1], &[3, 1, 2]]).await;
    for round in 0..20 {
        for (leader, at) in (1..).zip(&all) {
            let value = format!("{round} of {at}").repeat(100);
            let stored = cluster.node(leader).produce(*at, &value, Acks::All).await;
            let stored = stored.expect("stored");
            for id in 1..=3 {
                let end = cluster.node(id).partition(*at).view().flushed();
                assert!(end > stored.last_offset, "acknowledged before {id} has it");
            }
        }
    }
    for (leader, at) in [[1, 2, 3], [2, 3, 1], [3, 1, 2]].iter().zip(&all) {
        cluster.agree(*at, leader).await;
    }
    assert_eq!(cluster.node(1).followers.streams(), 2);
    assert_eq!(cluster.node(1).followers.partitions(), 2);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposed_leader_cuts_what_only_it_has() {
    let mut cluster = Cluster::start(2).await;
    let at = cluster.create(&[&[1, 2]]).await[0];
    let (old, new) = (cluster.node(1), cluster.node(2));
    for value in ["a", "b", "c"] {
        old.produce(at, value, Acks::All).await.expect("stored");
    }
    // Everybody but itself knows that it leads no more.
    cluster.council.hold(old.id, true);
    old.beat(true);
    eventually("the other leads", || new.partition(at).leads()).await;
    old.produce(at, "lost", Acks::Leader)
        .await
        .expect("written");
    old.produce(at, "lost too", Acks::Leader)
        .await
        .expect("written");
    new.produce(at, "d", Acks::All).await.expect("stored");
    assert_ne!(old.bytes(at).await, new.bytes(at).await);
    cluster.council.hold(old.id, false);
    cluster.agree(at, &[2, 1]).await;
    assert_eq!(cluster.isr(at), [2], "it is fenced");
    old.beat(false);
    eventually("it is in sync", || cluster.isr(at) == [1, 2]).await;
    new.produce(at, "e", Acks::All).await.expect("stored");
    cluster.agree(at, &[2, 1]).await;
    cluster.stop().await;
}

/// Its epoch is in no record, and no part of its history.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_wrote_nothing_follows_again() {
    let mut cluster = Cluster::start(2).await;
    let at = cluster.create(&[&[1, 2]]).await[0];
    let first = cluster.node(1);
    first.produce(at, "a", Acks::All).await.expect("stored");
    for id in [1, 2, 1, 2] {
        let (old, new) = (cluster.node(id), cluster.node(3 - id));
        old.beat(true);
        eventually("the other leads", || new.partition(at).leads()).await;
        old.beat(false);
        eventually("both are in sync", || cluster.isr(at) == [1, 2]).await;
    }
    first.produce(at, "b", Acks::All).await.expect("stored");
    cluster.agree(at, &[1, 2]).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_does_not_wait_for_long_polls_of_its_followers() {
    let mut cluster = Cluster::start(3).await;
    // All follow all, so that long polls are under way everywhere.
    let all = cluster.create(&[&[1, 2, 3], &[2, 3, 1], &[3, 1, 2]]).await;
    let mut took = Vec::new();
    for _ in 0..5 {
        for at in &all {
            eventually("all are in sync", || cluster.isr(*at) == [1, 2, 3]).await;
        }
        sleep(Duration::from_millis(50)).await;
        let at = all[0];
        let old = cluster.leader(at).expect("it is led");
        let begin = Instant::now();
        cluster.node(old.0).beat(true);
        let new = cluster.leader(at).expect("it is led");
        let new = cluster.node(new.0);
        eventually("the new one leads", || new.partition(at).leads()).await;
        new.produce(at, "after", Acks::All).await.expect("stored");
        took.push(begin.elapsed());
        cluster.node(old.0).beat(false);
    }
    // Polls have most of their 500 ms before them. One in five may meet a busy machine.
    took.sort();
    assert!(took[2] < Duration::from_millis(200), "{took:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_replica_begins_where_the_leaders_log_does() {
    let mut cluster = Cluster::start(2).await;
    let at = cluster.create(&[&[1]]).await[0];
    let leader = cluster.node(1);
    for _ in 0..10 {
        leader.produce(at, "x", Acks::All).await.expect("stored");
    }
    leader.partition(at).trim(5).await.expect("trimmed");
    cluster.place("t1", &[1, 2]);
    eventually("the new one is in sync", || cluster.isr(at) == [1, 2]).await;
    cluster.agree(at, &[1, 2]).await;
    let copy = cluster.node(2).partition(at);
    assert_eq!(copy.ends().log_start, 5);
    assert_eq!(copy.end(Isolation::LogEnd), 10);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_out_of_sync_comes_back_by_itself() {
    let mut cluster = Cluster::start(3).await;
    let at = cluster.create(&[&[1, 2, 3]]).await[0];
    cluster.node(3).beat(true);
    assert_eq!(cluster.isr(at), [1, 2]);
    let leader = cluster.node(1);
    leader.produce(at, "x", Acks::All).await.expect("stored");
    // The controller changes just then: what is not decided is proposed again.
    cluster.council.undecided.store(2, Ordering::SeqCst);
    cluster.node(3).beat(false);
    eventually("it is in sync", || cluster.isr(at) == [1, 2, 3]).await;
    cluster.agree(at, &[1, 2, 3]).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_registration_is_heard_of_by_leaders_that_have_nothing_new() {
    let mut cluster = Cluster::start(2).await;
    let at = cluster.create(&[&[1, 2]]).await[0];
    let stored = cluster.node(1).produce(at, "x", Acks::All).await;
    stored.expect("stored");
    let copy = &mut cluster.nodes[1];
    copy.register_again();
    copy.beat(false);
    eventually("it is in sync", || cluster.isr(at) == [1, 2]).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_that_consumers_read_hear_at_once_what_is_committed() {
    // No poll ends by itself before the test does.
    let wait = "replica.fetch.wait.max.ms=60000";
    let patience = "replica.socket.timeout.ms=90000";
    let mut cluster = Cluster::with(3, &["replica.selector.class=rack", wait, patience]).await;
    let at = cluster.create(&[&[1, 2, 3]]).await[0];
    for value in ["x", "y"] {
        let stored = cluster.node(1).produce(at, value, Acks::All).await;
        stored.expect("stored");
        cluster.agree(at, &[1, 2, 3]).await;
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_replica_takes_its_time_and_others_do_not() {
    let rate = "follower.replication.throttled.rate=200000";
    let mut cluster = Cluster::with(2, &[rate, "replica.fetch.max.bytes=65536"]).await;
    let slow = cluster.create(&[&[1]]).await[0];
    let quick = cluster.create(&[&[1]]).await[0];
    let value = "x".repeat(10_000);
    for at in [slow, quick] {
        for _ in 0..60 {
            let stored = cluster.node(1).produce(at, &value, Acks::Leader).await;
            stored.expect("stored");
        }
    }
    let throttle = ConfigEdit {
        name: "follower.replication.throttled.replicas".to_owned(),
        op: ConfigOp::Set,
        value: Some("0:2".to_owned()),
    };
    let altered = cluster.council.ask(AlterConfigs {
        resources: vec![AlterResource {
            target: ConfigTarget::Topic("t1".to_owned()),
            change: ConfigChange::Edit(vec![throttle]),
        }],
        validate_only: false,
    });
    assert_eq!(altered, [Ok(())]);
    let begin = Instant::now();
    cluster.place("t1", &[1, 2]);
    cluster.place("t2", &[1, 2]);
    eventually("the quick one is there", || cluster.isr(quick) == [1, 2]).await;
    assert!(begin.elapsed() < Duration::from_secs(1), "it was held up");
    eventually("the slow one is there", || cluster.isr(slow) == [1, 2]).await;
    let took = begin.elapsed();
    // 600 kB, of which a second's worth and a last answer are free.
    assert!(took > Duration::from_millis(1500), "{took:?}");
    // In sync it is not held any more: its producers would wait.
    let begin = Instant::now();
    for _ in 0..60 {
        let stored = cluster.node(1).produce(slow, &value, Acks::All).await;
        stored.expect("stored");
    }
    let took = begin.elapsed();
    assert!(took < Duration::from_millis(1500), "{took:?}");
    cluster.agree(slow, &[1, 2]).await;
    cluster.stop().await;
}
