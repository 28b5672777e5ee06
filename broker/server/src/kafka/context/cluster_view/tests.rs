//! What clients of one listener see, as tables.

use std::sync::Arc;

use freshet_metadata::{
    Ask, CreateTopics, DirectoryId, Heartbeat, MetadataMachine, MetadataOptions, NewTopic,
    PastLife, RegisterBroker, SessionOptions,
};
use freshet_settings::{SecurityProtocol, StaticSettings};
use freshet_types::{Machine, Millis, Now, Ticket, Timestamp, TopicId};

use super::*;

struct Cluster(MetadataMachine);

impl Cluster {
    fn ask<A: Ask>(&mut self, request: A) -> A::Answer {
        let now = Now {
            monotonic: Millis(0),
            wall: Timestamp(0),
        };
        let mut decision = self.0.decide(now, Ticket(0), request.into());
        decision.records.iter().for_each(|r| self.0.apply(r));
        A::answer(decision.replies.remove(0).1)
    }

    /// Brokers 1 to 3. The third one has no listener OUT.
    fn new() -> Self {
        let statics = Arc::new(StaticSettings::default());
        let options = MetadataOptions::of_cluster(statics, SessionOptions::default());
        let mut cluster = Self(MetadataMachine::new(options));
        for node in 1..=3 {
            let names: &[&str] = if node == 3 { &["IN"] } else { &["IN", "OUT"] };
            let listener = |name: &&str| BrokerListener {
                name: (*name).to_owned(),
                host: "h".to_owned(),
                port: 1,
                protocol: SecurityProtocol::Plaintext,
            };
            let register = RegisterBroker {
                node: NodeId(node),
                incarnation: [7; 16],
                listeners: names.iter().map(listener).collect(),
                rack: None,
                directories: vec![DirectoryId([1; 16]), DirectoryId([2; 16])],
                features: Vec::new(),
                past: PastLife::None,
            };
            cluster.ask(register).unwrap();
            cluster.beat(node, false, &[]);
        }
        cluster
    }

    fn beat(&mut self, node: i32, wants_fence: bool, failed: &[u8]) {
        let epoch = self.0.image().broker(NodeId(node)).unwrap().epoch;
        let heartbeat = Heartbeat {
            node: NodeId(node),
            epoch,
            version: self.0.image().version(),
            wants_fence,
            wants_shutdown: false,
            offline_directories: failed.iter().map(|id| DirectoryId([*id; 16])).collect(),
            cordoned_directories: Vec::new(),
            slow_directories: Vec::new(),
            full_directories: Vec::new(),
        };
        self.ask(heartbeat).unwrap();
    }

    fn create(&mut self, replicas: &[i32]) {
        let replicas = replicas.iter().map(|node| NodeId(*node)).collect();
        let topic = NewTopic {
            name: "t".to_owned(),
            id: TopicId([1; 16]),
            partitions: -1,
            replication_factor: -1,
            assignments: vec![(0, replicas)],
            ..NewTopic::default()
        };
        let topics = vec![topic];
        let validate_only = false;
        let answers = self.ask(CreateTopics {
            topics,
            validate_only,
        });
        answers.into_iter().for_each(|answer| drop(answer.unwrap()));
    }

    fn view<'a>(&'a self, listener: &'a str) -> ClusterView<'a> {
        ClusterView {
            image: self.0.image(),
            listener,
        }
    }

    fn partition(&self) -> &Partition {
        let topic = self.0.image().topic("t").unwrap();
        topic.partition(0).unwrap()
    }
}

#[test]
fn who_is_fenced_or_has_no_such_listener_is_not_live() {
    let mut cluster = Cluster::new();
    cluster.beat(2, true, &[]);
    let nodes = |view: ClusterView<'_>| -> (Vec<i32>, Vec<i32>) {
        let all = view.brokers().map(|(broker, _)| broker.node.0);
        let live = view.live().map(|(broker, _)| broker.node.0);
        (all.collect(), live.collect())
    };
    assert_eq!(nodes(cluster.view("IN")), (vec![1, 2, 3], vec![1, 3]));
    assert_eq!(nodes(cluster.view("OUT")), (vec![1, 2], vec![1]));
    assert_eq!(nodes(cluster.view("NONE")), (vec![], vec![]));
}

#[test]
fn the_controller_is_somebody_whom_clients_can_find() {
    let mut cluster = Cluster::new();
    cluster.beat(2, true, &[]);
    let table = [
        (Some(3), 1, "IN", Some(3)),
        (Some(2), 3, "IN", Some(3)),
        (Some(9), 2, "IN", Some(1)),
        (None, 3, "IN", Some(3)),
        (Some(3), 3, "OUT", Some(1)),
        (Some(1), 1, "NONE", None),
    ];
    for (active, own, listener, expected) in table {
        let controller = cluster.view(listener);
        let controller = controller.controller(active.map(NodeId), NodeId(own));
        assert_eq!(controller.map(|node| node.0), expected, "{active:?} {own}");
    }
}

#[test]
fn a_leader_without_the_listener_is_out_of_reach() {
    let mut cluster = Cluster::new();
    cluster.create(&[3, 1]);
    let leader = |cluster: &Cluster, listener| {
        let view = cluster.view(listener);
        view.leader(cluster.partition())
    };
    assert_eq!(leader(&cluster, "IN"), Leader::Here(NodeId(3)));
    assert_eq!(leader(&cluster, "OUT"), Leader::OutOfReach);
    cluster.beat(3, true, &[]);
    assert_eq!(leader(&cluster, "OUT"), Leader::Here(NodeId(1)));
    cluster.beat(1, true, &[]);
    assert_eq!(leader(&cluster, "IN"), Leader::Nobody);
}

#[test]
fn replicas_on_fenced_brokers_and_failed_directories_are_offline() {
    let mut cluster = Cluster::new();
    cluster.create(&[1, 2, 3]);
    let offline = |cluster: &Cluster, listener| {
        let view = cluster.view(listener);
        view.offline(cluster.partition())
    };
    assert_eq!(offline(&cluster, "IN"), Vec::<i32>::new());
    assert_eq!(offline(&cluster, "OUT"), [3]);
    cluster.beat(2, true, &[]);
    assert_eq!(offline(&cluster, "IN"), [2]);
    let home = cluster.partition().directory(NodeId(1)).unwrap();
    cluster.beat(1, false, &[home.0[0]]);
    assert_eq!(offline(&cluster, "IN"), [1, 2]);
}
