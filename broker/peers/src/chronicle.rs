//! What the active controller tells the people who read its log: which brokers come, go out of
//! service and come back, and who leads although acknowledged records may be missing.
//!
//! Only the controller that decides tells it, so it stands in one log of the cluster. It is read off
//! the images; so after a change of controllers what the old one decided last may be in neither's.

use std::sync::Arc;

use freshet_metadata::{Broker, MetadataImage, MetadataMachine, UncleanElection};
use freshet_quorum::Quorum;
use freshet_types::{NodeId, TopicId};

/// Why a broker is out of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// No heartbeat came for a whole session, or the failure detector found its process gone.
    Unheard,
    /// It asked for it, and what it led has moved.
    Stopped,
    /// Another process registered with its number.
    Replaced,
    /// None of its log directories is online.
    NoDisk,
}

impl Why {
    fn words(self) -> &'static str {
        match self {
            Self::Unheard => {
                "its process is gone, or no heartbeat came for broker.session.timeout.ms"
            }
            Self::Stopped => "it stops, as it was asked to",
            Self::Replaced => "a new process of it has registered",
            Self::NoDisk => "none of its log directories is online",
        }
    }
}

/// One thing to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
enum News {
    /// A process is known; it serves once it is unfenced.
    Registered(NodeId, i64),
    Fenced(NodeId, Why),
    Unfenced(NodeId),
    Unregistered(NodeId),
    /// How many of its disks are slow, and how many full.
    Disks(NodeId, usize, usize),
    /// And what its topic is called; its id if it is gone already.
    Unclean(Arc<UncleanElection>, String),
}

fn news(before: &MetadataImage, after: &MetadataImage) -> Vec<News> {
    let changes = after.changes_since(before);
    let mut all = Vec::new();
    if changes.brokers {
        for broker in after.brokers() {
            all.extend(of_broker(before.broker(broker.node).map(|b| &**b), broker));
        }
        let gone = before.brokers().map(|broker| broker.node);
        let gone = gone.filter(|node| after.broker(*node).is_none());
        all.extend(gone.map(News::Unregistered));
    }
    let name = |id: TopicId| after.topic_name(id).or_else(|| before.topic_name(id));
    all.extend(changes.unclean.into_iter().map(|election| {
        let id = election.at.topic;
        let topic = name(id).map_or_else(|| id.to_string(), ToString::to_string);
        News::Unclean(election, topic)
    }));
    all
}

fn of_broker(before: Option<&Broker>, after: &Broker) -> Vec<News> {
    let node = after.node;
    let is_new = before.is_none_or(|before| before.epoch != after.epoch);
    let served = before.is_some_and(|before| !before.fenced);
    let mut all = Vec::new();
    if served && (after.fenced || is_new) {
        let why = match before {
            _ if is_new => Why::Replaced,
            Some(before) if before.stopping || after.stopping => Why::Stopped,
            Some(before) if after.directories.is_empty() && !before.directories.is_empty() => {
                Why::NoDisk
            }
            _ => Why::Unheard,
        };
        all.push(News::Fenced(node, why));
    }
    if is_new {
        all.push(News::Registered(node, after.epoch));
    }
    if !after.fenced && (is_new || !served) {
        all.push(News::Unfenced(node));
    }
    let unwell = |broker: &Broker| {
        let (slow, full) = (&broker.slow_directories, &broker.full_directories);
        (slow.len(), full.len())
    };
    let (was, is) = (before.map_or((0, 0), unwell), unwell(after));
    if was != is {
        all.push(News::Disks(node, is.0, is.1));
    }
    all
}

fn tell(news: News) {
    match news {
        News::Registered(broker, epoch) => tracing::info!(%broker, epoch, "broker registered"),
        News::Fenced(broker, why @ (Why::Stopped | Why::Replaced)) => {
            tracing::info!(%broker, reason = why.words(), "broker fenced");
        }
        News::Fenced(broker, why) => {
            tracing::warn!(%broker, reason = why.words(), "broker fenced: others lead for it");
        }
        News::Unfenced(broker) => tracing::info!(%broker, "broker unfenced: it may lead"),
        News::Disks(broker, 0, 0) => {
            tracing::info!(%broker, "the broker's disks are well: it may lead again");
        }
        News::Disks(broker, slow, full) => tracing::warn!(
            %broker, slow, full,
            "disks of the broker are slow or full: others lead what is on them, where they can"
        ),
        News::Unregistered(broker) => tracing::info!(%broker, "broker unregistered"),
        News::Unclean(election, topic) => tracing::error!(
            topic,
            partition = election.at.partition,
            leader = %election.leader,
            epoch = election.leader_epoch,
            cause = ?election.cause,
            "unclean election: acknowledged records may be lost"
        ),
    }
}

/// Tells what happens, while this node decides; for ever.
pub async fn chronicle(quorum: Arc<dyn Quorum<MetadataMachine>>) {
    let (mut image, leadership) = (quorum.watch(), quorum.leadership());
    let mut seen = Arc::clone(&image.borrow_and_update());
    while image.changed().await.is_ok() {
        let now = Arc::clone(&image.borrow_and_update());
        if leadership.borrow().is_mine {
            news(&seen, &now).into_iter().for_each(tell);
        }
        seen = now;
    }
}

#[cfg(test)]
mod tests {
    use freshet_metadata::{MetadataOptions, Record, UncleanCause};
    use freshet_types::{Machine, Timestamp, TopicName, TopicPartition};

    use super::*;

    fn broker(epoch: i64, fenced: bool) -> Broker {
        Broker {
            node: NodeId(3),
            epoch,
            incarnation: [0; 16],
            listeners: Vec::new(),
            rack: None,
            directories: vec![freshet_metadata::DirectoryId([7; 16])],
            fenced,
            stopping: false,
            cordoned: false,
            cordoned_directories: Vec::new(),
            slow_directories: Vec::new(),
            full_directories: Vec::new(),
            features: Vec::new(),
            served_epoch: -1,
            replaced: Vec::new(),
        }
    }

    #[test]
    fn fencing_is_told_with_its_reason_and_only_once() {
        let node = NodeId(3);
        let serving = broker(1, false);
        let stopping = Broker {
            stopping: true,
            ..serving.clone()
        };
        let stopped = Broker {
            fenced: true,
            ..stopping.clone()
        };
        let diskless = Broker {
            directories: Vec::new(),
            ..broker(1, true)
        };
        let told = |before: &Broker, after: &Broker| of_broker(Some(before), after);
        let fenced = |why| vec![News::Fenced(node, why)];
        assert_eq!(told(&serving, &broker(1, true)), fenced(Why::Unheard));
        assert_eq!(told(&serving, &stopping), []);
        assert_eq!(told(&stopping, &stopped), fenced(Why::Stopped));
        assert_eq!(told(&serving, &diskless), fenced(Why::NoDisk));
        assert_eq!(told(&broker(1, true), &serving), [News::Unfenced(node)]);
        assert_eq!(told(&broker(1, true), &broker(1, true)), []);
        assert_eq!(told(&serving, &serving), []);
        let slow = Broker {
            slow_directories: serving.directories.clone(),
            ..serving.clone()
        };
        assert_eq!(told(&serving, &slow), [News::Disks(node, 1, 0)]);
        assert_eq!(told(&slow, &slow), []);
        assert_eq!(told(&slow, &serving), [News::Disks(node, 0, 0)]);
    }

    #[test]
    fn an_unclean_election_is_told_by_the_name_of_its_topic() {
        let (id, stranger) = (TopicId([7; 16]), TopicId([8; 16]));
        let options = MetadataOptions::of(Arc::default());
        let mut machine = MetadataMachine::new(options);
        let name = TopicName::new("orders").expect("a name");
        machine.apply(&Record::Topic { id, name });
        let told = |machine: &mut MetadataMachine, topic: TopicId, leader_epoch| {
            let before = machine.image().clone();
            let election = Arc::new(UncleanElection {
                at: TopicPartition {
                    topic,
                    partition: 3,
                },
                leader: NodeId(1),
                leader_epoch,
                cause: UncleanCause::Request,
                time: Timestamp(5),
            });
            machine.apply(&Record::UncleanElection(Arc::clone(&election)));
            // Images may be skipped: it is gone in this one.
            machine.apply(&Record::TopicDeleted { id, kept: None });
            let news = news(&before, machine.image());
            let [News::Unclean(about, name)] = news.as_slice() else {
                panic!("{news:?}");
            };
            assert_eq!(*about, election);
            name.clone()
        };
        assert_eq!(told(&mut machine, id, 1), "orders");
        assert_eq!(told(&mut machine, stranger, 2), stranger.to_string());
    }

    #[test]
    fn another_process_of_a_broker_is_told_as_such() {
        let node = NodeId(3);
        let both = [News::Fenced(node, Why::Replaced), News::Registered(node, 2)];
        assert_eq!(of_broker(Some(&broker(1, false)), &broker(2, true)), both);
        let first = of_broker(None, &broker(1, true));
        assert_eq!(first, [News::Registered(node, 1)]);
        // Images may be skipped: it was let in meanwhile.
        let late = of_broker(Some(&broker(1, true)), &broker(2, false));
        assert_eq!(late, [News::Registered(node, 2), News::Unfenced(node)]);
    }
}
