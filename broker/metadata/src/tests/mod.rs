//! The machine as a table: state and request → records and answer.

mod golden;
mod properties;
mod requests;

use std::sync::Arc;

use freshet_settings::{SecurityProtocol, StaticSettings, StaticSettingsBuilder};
use freshet_types::{Machine, Millis, NodeId, Now, Ticket, Timestamp, TopicId};

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

/// A machine with its host: decides, applies, answers.
struct Cluster {
    machine: MetadataMachine,
    /// Of the last request.
    records: Vec<Record>,
}

impl Cluster {
    fn with(set: &[&str]) -> Self {
        let machine = MetadataMachine::new(MetadataOptions::of(statics(set)));
        Self {
            machine,
            records: Vec::new(),
        }
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
        let decision = self.machine.decide(NOW, Ticket(7), request.into());
        for record in &decision.records {
            self.machine.apply(record);
        }
        self.records = decision.records;
        let mut replies = decision.replies;
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
