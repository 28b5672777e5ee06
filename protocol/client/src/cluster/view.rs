//! An immutable picture of the cluster.

use std::collections::{BTreeMap, HashMap};

use freshet_types::{LeaderEpoch, NodeId, PartitionId, TopicId};
use freshet_wire::metadata::{MetadataResponsePartition, MetadataResponseTopic};
use freshet_wire::{ErrorCode, MetadataResponse};
use tokio::time::Instant;

/// Brokers and topics, as one moment's metadata told.
#[derive(Debug, Clone)]
pub struct ClusterView {
    /// The cluster's id.
    pub cluster_id: Option<String>,
    /// Where to send what only the controller can do.
    pub controller: Option<NodeId>,
    /// Brokers that are alive.
    pub brokers: BTreeMap<NodeId, Broker>,
    /// Topics that were asked for, by name; those that do not exist carry their error.
    pub topics: HashMap<String, TopicView>,
    /// When it was told.
    pub(crate) at: Instant,
    /// Counts pictures, to tell a newer one.
    pub(crate) number: u64,
}

/// A broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Its id.
    pub id: NodeId,
    /// Where clients reach it.
    pub host: String,
    /// And at which port.
    pub port: i32,
    /// Where it stands.
    pub rack: Option<String>,
}

/// A topic.
#[derive(Debug, Clone)]
pub struct TopicView {
    /// Its id; zero from a broker that has none.
    pub id: TopicId,
    /// Why it cannot be used, if so.
    pub error: Option<ErrorCode>,
    /// Whether it belongs to the brokers themselves.
    pub is_internal: bool,
    /// Its partitions in order.
    pub partitions: Vec<PartitionView>,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionView {
    /// Its index.
    pub index: PartitionId,
    /// Its leader, if it has one.
    pub leader: Option<NodeId>,
    /// Counts its leaders; -1 if unknown.
    pub leader_epoch: LeaderEpoch,
    /// Brokers that hold a copy, preferred leader first.
    pub replicas: Vec<NodeId>,
    /// Those that are in sync.
    pub isr: Vec<NodeId>,
    /// Those that are away.
    pub offline: Vec<NodeId>,
}

impl Broker {
    /// `host:port`, with brackets around an IPv6 host.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl TopicView {
    /// A partition by its index.
    pub fn partition(&self, index: PartitionId) -> Option<&PartitionView> {
        let at = self
            .partitions
            .binary_search_by_key(&index, |p| p.index)
            .ok()?;
        self.partitions.get(at)
    }
}

impl ClusterView {
    /// Nothing is known yet.
    pub(crate) fn unknown() -> Self {
        Self {
            cluster_id: None,
            controller: None,
            brokers: BTreeMap::new(),
            topics: HashMap::new(),
            at: Instant::now(),
            number: 0,
        }
    }

    /// A topic that exists.
    pub fn topic(&self, name: &str) -> Option<&TopicView> {
        self.topics.get(name).filter(|t| t.error.is_none())
    }

    /// The name of a topic id.
    pub fn topic_name(&self, id: TopicId) -> Option<&str> {
        let named = self.topics.iter().find(|(_, topic)| topic.id == id);
        named
            .filter(|_| !id.is_zero())
            .map(|(name, _)| name.as_str())
    }

    /// Where a broker listens.
    pub(crate) fn address(&self, node: NodeId) -> Option<String> {
        self.brokers.get(&node).map(Broker::address)
    }

    /// The picture after a response. Topics that it does not name stay as they were when `partial`.
    pub(crate) fn next(&self, response: MetadataResponse, partial: bool) -> Self {
        let brokers: BTreeMap<_, _> = response
            .brokers
            .into_iter()
            .map(|b| {
                let id = NodeId(b.node_id);
                (
                    id,
                    Broker {
                        id,
                        host: b.host,
                        port: b.port,
                        rack: b.rack,
                    },
                )
            })
            .collect();
        let mut topics = if partial {
            self.topics.clone()
        } else {
            HashMap::new()
        };
        for told in response.topics {
            let Some(name) = told.name.clone() else {
                continue;
            };
            let topic = topic_view(told, self.topics.get(&name));
            topics.insert(name, topic);
        }
        Self {
            cluster_id: response.cluster_id,
            controller: Some(NodeId(response.controller_id)).filter(|id| brokers.contains_key(id)),
            brokers,
            topics,
            at: Instant::now(),
            number: self.number + 1,
        }
    }
}

/// A topic as it was told, with what is known better from `before`.
pub(crate) fn topic_view(told: MetadataResponseTopic, before: Option<&TopicView>) -> TopicView {
    let before = before.filter(|b| b.id == told.topic_id);
    let mut partitions: Vec<_> = told
        .partitions
        .into_iter()
        .map(|p| partition_view(p, before))
        .collect();
    partitions.sort_by_key(|p| p.index);
    TopicView {
        id: told.topic_id,
        error: ErrorCode::from_code(told.error_code).filter(|c| *c != ErrorCode::None),
        is_internal: told.is_internal,
        partitions,
    }
}

/// A broker that lags behind may still tell an old leader: the newer epoch stays (KIP-320).
fn partition_view(told: MetadataResponsePartition, before: Option<&TopicView>) -> PartitionView {
    if let Some(known) = before.and_then(|b| b.partition(told.partition_index))
        && told.leader_epoch < known.leader_epoch
        && told.leader_epoch >= 0
    {
        return known.clone();
    }
    let nodes = |ids: Vec<i32>| ids.into_iter().map(NodeId).collect();
    PartitionView {
        index: told.partition_index,
        leader: Some(NodeId(told.leader_id)).filter(|id| id.0 >= 0),
        leader_epoch: told.leader_epoch,
        replicas: nodes(told.replica_nodes),
        isr: nodes(told.isr_nodes),
        offline: nodes(told.offline_replicas),
    }
}

#[cfg(test)]
mod tests {
    use freshet_wire::metadata::MetadataResponseBroker;

    use super::*;

    fn told(leader: i32, epoch: i32, id: u8) -> MetadataResponse {
        let partition = MetadataResponsePartition {
            leader_id: leader,
            leader_epoch: epoch,
            ..Default::default()
        };
        let topic = MetadataResponseTopic {
            name: Some("t".into()),
            topic_id: TopicId([id; 16]),
            partitions: vec![partition],
            ..Default::default()
        };
        let broker = MetadataResponseBroker {
            node_id: 1,
            host: "h".into(),
            port: 9,
            rack: None,
        };
        MetadataResponse {
            brokers: vec![broker],
            controller_id: 1,
            topics: vec![topic],
            ..Default::default()
        }
    }

    fn leader(view: &ClusterView) -> Option<NodeId> {
        view.topic("t")?.partition(0)?.leader
    }

    #[test]
    fn an_older_epoch_does_not_come_back() {
        let view = ClusterView::unknown().next(told(1, 5, 1), true);
        let view = view.next(told(2, 4, 1), true);
        assert_eq!(leader(&view), Some(NodeId(1)));
        let view = view.next(told(2, 6, 1), true);
        assert_eq!(leader(&view), Some(NodeId(2)));
    }

    #[test]
    fn a_topic_created_again_starts_anew() {
        let view = ClusterView::unknown()
            .next(told(1, 5, 1), true)
            .next(told(2, 0, 2), true);
        assert_eq!(leader(&view), Some(NodeId(2)));
    }

    #[test]
    fn a_partial_answer_keeps_other_topics() {
        let view = ClusterView::unknown().next(told(1, 5, 1), true);
        let none = MetadataResponse::default();
        assert!(view.next(none.clone(), true).topic("t").is_some());
        assert!(view.next(none, false).topic("t").is_none());
    }

    #[test]
    fn an_ipv6_host_gets_brackets() {
        let broker = Broker {
            id: NodeId(1),
            host: "::1".into(),
            port: 9092,
            rack: None,
        };
        assert_eq!(broker.address(), "[::1]:9092");
    }
}
