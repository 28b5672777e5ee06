//! The machine as a table: state and request → records and answer.

mod brokers;
mod carried;
mod golden;
mod partitions;
mod placement;
mod properties;
mod relief;
mod requests;
mod restoring;
mod risks;
mod tiering;
mod transitions;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_settings::{SecurityProtocol, StaticSettings, StaticSettingsBuilder};
use freshet_types::{
    Decision, ErrorKind, Machine, Millis, NodeId, Now, Predecessor, Ticket, Timestamp, TopicId,
};

use crate::*;

const NOW: Now = Now {
    monotonic: Millis(1),
    wall: Timestamp(1_700_000_000_000),
};

fn statics(set: &[&str]) -> Arc<StaticSettings> {
    let builder = set
        .iter()
        .fold(StaticSettingsBuilder::default(), |builder, argument| {
            builder.set(argument).unwrap()
        });
    Arc::new(builder.finish().unwrap().0)
}

/// A machine with its host: decides, applies, answers, keeps the time.
struct Cluster {
    machine: MetadataMachine,
    now: Now,
    timers: BTreeMap<MetadataTimer, Millis>,
    /// Of the last request, or of all timers that fired.
    records: Vec<Record>,
}

impl Cluster {
    fn with(set: &[&str]) -> Self {
        Self::of_options(MetadataOptions::of(statics(set)))
    }

    fn of_options(options: MetadataOptions) -> Self {
        let mut cluster = Self {
            machine: MetadataMachine::new(options),
            now: NOW,
            timers: BTreeMap::new(),
            records: Vec::new(),
        };
        let loaded = cluster.machine.loaded(NOW);
        cluster.absorb(loaded);
        cluster
    }

    /// A controller of brokers 1..=n, who are registered and let in.
    fn watched(n: i32) -> Self {
        let options = SessionOptions::default();
        let mut cluster = Self::of_options(MetadataOptions::of_cluster(statics(&[]), options));
        for node in 1..=n {
            cluster.ask(broker(node)).unwrap();
            cluster.beat(node);
        }
        cluster
    }

    fn absorb(&mut self, decision: Decision<MetadataMachine>) -> Vec<(Ticket, Reply)> {
        for record in &decision.records {
            self.machine.apply(record);
        }
        for timer in decision.timers {
            match timer.at {
                Some(at) => self.timers.insert(timer.key, at),
                None => self.timers.remove(&timer.key),
            };
        }
        self.records.extend(decision.records);
        decision.replies
    }

    /// Lets time pass and fires what is due, in order.
    fn pass(&mut self, ms: u64) {
        self.records.clear();
        let end = self.now.monotonic + ms;
        while let Some((key, at)) = self.next_timer().filter(|(_, at)| *at <= end) {
            self.timers.remove(&key);
            self.now.monotonic = self.now.monotonic.max(at);
            let decision = self.machine.fire(self.now, key);
            self.absorb(decision);
        }
        self.now.monotonic = end;
    }

    fn next_timer(&self) -> Option<(MetadataTimer, Millis)> {
        let due = self.timers.iter().min_by_key(|(_, at)| **at);
        due.map(|(key, at)| (*key, *at))
    }

    /// A heartbeat of a broker that has seen everything.
    fn beat(&mut self, node: i32) -> BrokerState {
        let request = self.heartbeat(node);
        self.ask(request).unwrap()
    }

    fn beat_all(&mut self, all: &[i32]) {
        for node in all {
            self.beat(*node);
        }
    }

    fn heartbeat(&self, node: i32) -> Heartbeat {
        Heartbeat {
            node: NodeId(node),
            epoch: self.image().broker(NodeId(node)).map_or(-1, |b| b.epoch),
            version: self.image().version(),
            wants_fence: false,
            wants_shutdown: false,
            offline_directories: Vec::new(),
            cordoned_directories: Vec::new(),
            slow_directories: Vec::new(),
            full_directories: Vec::new(),
        }
    }

    /// Lets a whole second pass in which only `alive` are heard.
    fn second(&mut self, alive: &[i32]) {
        let mut records = Vec::new();
        for _ in 0..10 {
            for node in alive {
                self.beat(*node);
                records.append(&mut self.records);
            }
            self.pass(100);
            records.append(&mut self.records);
        }
        self.records = records;
    }

    fn partition(&self, topic: &str, number: i32) -> &Arc<Partition> {
        self.image()
            .topic(topic)
            .unwrap()
            .partition(number)
            .unwrap()
    }

    /// Creates a topic with explicit replicas.
    fn create_on(&mut self, name: &str, replicas: &[&[i32]]) -> TopicId {
        let assignments = (0..).zip(replicas.iter().map(|r| nodes(r))).collect();
        let topic = NewTopic {
            assignments,
            ..topic(name)
        };
        self.ask(create(vec![topic])).remove(0).unwrap().id
    }

    /// Settings of a topic.
    fn set(&mut self, target: ConfigTarget, name: &str, value: &str) {
        let edit = ConfigEdit {
            name: name.to_owned(),
            op: ConfigOp::Set,
            value: Some(value.to_owned()),
        };
        let change = ConfigChange::Edit(vec![edit]);
        let resources = vec![AlterResource { target, change }];
        let outcome = self.ask(AlterConfigs {
            resources,
            validate_only: false,
        });
        assert_eq!(outcome, [Ok(())], "{name}={value}");
    }

    /// With brokers 1..=n, broker n in rack "rn".
    fn of_brokers(n: i32) -> Self {
        let mut cluster = Self::with(&[]);
        for node in 1..=n {
            cluster.ask(broker(node)).unwrap();
        }
        cluster
    }

    fn ask<A: Ask>(&mut self, request: A) -> A::Answer {
        self.records.clear();
        let decision = self.machine.decide(self.now, Ticket(7), request.into());
        let mut replies = self.absorb(decision);
        assert_eq!(replies.len(), 1, "one answer");
        let (ticket, reply) = replies.remove(0);
        assert_eq!(ticket, Ticket(7));
        A::answer(reply)
    }

    fn image(&self) -> &MetadataImage {
        self.machine.image()
    }

    /// Creates a topic of one replica.
    fn create(&mut self, name: &str, partitions: i32) -> TopicId {
        let topic = NewTopic {
            partitions,
            replication_factor: 1,
            ..topic(name)
        };
        self.ask(create(vec![topic])).remove(0).unwrap().id
    }
}

fn broker(node: i32) -> RegisterBroker {
    RegisterBroker {
        node: NodeId(node),
        incarnation: [u8::try_from(node).unwrap(); 16],
        listeners: vec![BrokerListener {
            name: "PLAINTEXT".to_owned(),
            host: format!("b{node}"),
            port: 9092,
            protocol: SecurityProtocol::Plaintext,
        }],
        rack: Some(format!("r{node}")),
        directories: vec![DirectoryId([u8::try_from(node).unwrap(); 16])],
        features: Vec::new(),
        past: PastLife::None,
    }
}

/// A topic that leaves everything to defaults; its id follows from its name.
fn topic(name: &str) -> NewTopic {
    let mut id = [1_u8; 16];
    for (i, byte) in name.bytes().enumerate() {
        id[i % 16] = id[i % 16].wrapping_mul(31).wrapping_add(byte);
    }
    NewTopic {
        name: name.to_owned(),
        id: TopicId(id),
        partitions: -1,
        replication_factor: -1,
        ..NewTopic::default()
    }
}

fn create(topics: Vec<NewTopic>) -> CreateTopics {
    CreateTopics {
        topics,
        validate_only: false,
    }
}

fn nodes(numbers: &[i32]) -> Vec<NodeId> {
    numbers.iter().copied().map(NodeId).collect()
}
