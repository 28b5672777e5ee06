//! Brokers and partitions at one moment: what all of `freshet broker` looks at.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use freshet_client::{
    Admin, ClusterNode, LogDir, OngoingMove, Placement, PlacementBroker, TopicPartition,
};
use freshet_types::NodeId;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Context;

/// How long one broker may take to answer before it counts as down.
const PATIENCE: Duration = Duration::from_secs(3);

/// A partition and who keeps it.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    /// Which.
    pub(crate) partition: TopicPartition,
    /// Who leads it.
    pub(crate) leader: Option<NodeId>,
    /// Those who keep it, with those who come and go.
    pub(crate) replicas: Vec<NodeId>,
    /// Those in sync.
    pub(crate) isr: Vec<NodeId>,
    /// Those who come.
    pub(crate) adding: Vec<NodeId>,
    /// Those who go.
    pub(crate) removing: Vec<NodeId>,
}

impl Held {
    /// Who will keep it when all moves are done, in order of preference.
    pub(crate) fn target(&self) -> Vec<NodeId> {
        let stays = |node: &&NodeId| !self.removing.contains(node);
        self.replicas.iter().filter(stays).copied().collect()
    }

    /// `topic-partition`.
    pub(crate) fn name(&self) -> String {
        name(&self.partition)
    }
}

/// `topic-partition`.
pub(crate) fn name((topic, partition): &TopicPartition) -> String {
    format!("{topic}-{partition}")
}

/// A broker and what it says of its disks.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The broker.
    pub(crate) node: ClusterNode,
    /// Its directories; `None` when it does not answer.
    pub(crate) dirs: Option<Vec<LogDir>>,
}

impl Seen {
    /// Whether it takes no new partitions.
    pub(crate) fn is_cordoned(&self) -> bool {
        let dirs = self.dirs.as_deref().unwrap_or_default();
        !dirs.is_empty() && dirs.iter().all(|dir| dir.cordoned || dir.error.is_some())
    }

    /// One word for it.
    pub(crate) fn status(&self) -> &'static str {
        match &self.dirs {
            _ if self.node.fenced => "fenced",
            None => "no answer",
            Some(dirs) if dirs.iter().any(|dir| dir.error.is_some()) => "disk failed",
            Some(_) if self.is_cordoned() => "cordoned",
            Some(_) => "ok",
        }
    }

    /// Bytes of its logs.
    pub(crate) fn log_bytes(&self) -> Option<i64> {
        let dirs = self.dirs.as_ref()?;
        let logs = dirs.iter().flat_map(|dir| &dir.partitions);
        Some(logs.map(|log| log.size_bytes).sum())
    }

    /// Bytes left in its emptiest directory.
    pub(crate) fn usable_bytes(&self) -> Option<i64> {
        most_left(self.dirs.iter().flatten())
    }

    /// Bytes left for new partitions.
    fn free_bytes(&self) -> Option<u64> {
        let open = self.dirs.iter().flatten().filter(|dir| !dir.cordoned);
        most_left(open).map(i64::unsigned_abs)
    }
}

fn most_left<'a>(dirs: impl Iterator<Item = &'a LogDir>) -> Option<i64> {
    dirs.map(|dir| dir.usable_bytes).filter(|b| *b >= 0).max()
}

/// The cluster.
#[derive(Debug)]
pub(crate) struct Survey {
    /// All registered brokers.
    pub(crate) brokers: BTreeMap<NodeId, Seen>,
    /// All partitions.
    pub(crate) partitions: Vec<Held>,
}

impl Survey {
    /// Looks at everything.
    pub(crate) async fn take(context: &Context) -> anyhow::Result<Self> {
        let admin = context.client.admin();
        let nodes = admin.describe_cluster().await?.nodes;
        let asking = nodes.iter().filter(|node| !node.fenced).map(|node| node.id);
        let mut dirs = log_dirs(&admin, asking).await;
        let seen = nodes.into_iter().map(|node| {
            let dirs = dirs.remove(&node.id);
            (node.id, Seen { node, dirs })
        });
        Ok(Self {
            brokers: seen.collect(),
            partitions: partitions(context).await?,
        })
    }

    /// A broker, or a sentence that names those there are.
    pub(crate) fn broker(&self, id: NodeId) -> anyhow::Result<&Seen> {
        self.brokers.get(&id).ok_or_else(|| {
            let known: Vec<_> = self.brokers.keys().map(ToString::to_string).collect();
            anyhow::anyhow!("there is no broker {id}; brokers: {}", known.join(", "))
        })
    }

    /// What a broker keeps.
    pub(crate) fn kept_by(&self, node: NodeId) -> impl Iterator<Item = &Held> {
        let keeps = move |held: &&Held| held.replicas.contains(&node);
        self.partitions.iter().filter(keeps)
    }

    /// What a broker leads.
    pub(crate) fn led_by(&self, node: NodeId) -> usize {
        let leads = |held: &&Held| held.leader == Some(node);
        self.partitions.iter().filter(leads).count()
    }

    /// Bytes of each partition, as the largest of its copies that could be asked for.
    pub(crate) fn sizes(&self) -> BTreeMap<TopicPartition, u64> {
        let mut sizes = BTreeMap::new();
        let dirs = self.brokers.values().filter_map(|seen| seen.dirs.as_ref());
        for log in dirs.flatten().flat_map(|dir| &dir.partitions) {
            let size = sizes.entry(log.partition.clone()).or_insert(0);
            *size = (*size).max(u64::try_from(log.size_bytes).unwrap_or(0));
        }
        sizes
    }

    /// Where replicas can go, now that `leaving` shall get none.
    pub(crate) fn placement(&self, leaving: Option<NodeId>) -> Placement {
        let brokers = self.brokers.values().map(|seen| PlacementBroker {
            id: seen.node.id,
            rack: seen.node.rack.clone(),
            takes: seen.status() == "ok" && Some(seen.node.id) != leaving,
            replicas: self.kept_by(seen.node.id).count(),
            free_bytes: seen.free_bytes(),
        });
        Placement::new(brokers)
    }
}

/// What these brokers' disks hold; a broker that does not answer is left out.
pub(crate) async fn log_dirs(
    admin: &Admin,
    nodes: impl IntoIterator<Item = NodeId>,
) -> BTreeMap<NodeId, Vec<LogDir>> {
    let mut asking = JoinSet::new();
    for node in nodes {
        let admin = admin.clone();
        asking.spawn(async move {
            let told = timeout(PATIENCE, admin.describe_log_dirs(node)).await;
            Some((node, told.ok()?.ok()?))
        });
    }
    let told = asking.join_all().await;
    told.into_iter().flatten().collect()
}

/// All partitions and the moves among them.
pub(crate) async fn partitions(context: &Context) -> anyhow::Result<Vec<Held>> {
    // The moves first: one that ends in between leaves a partition that looks settled, and is.
    let moves = context.client.admin().list_reassignments().await?;
    let view = context.client.all_topics().await?;
    let mut moves: BTreeMap<TopicPartition, OngoingMove> = moves
        .into_iter()
        .map(|moving| (moving.partition.clone(), moving))
        .collect();
    let mut partitions = Vec::new();
    let names: BTreeSet<&String> = view.topics.keys().collect();
    for topic in names {
        for seen in &view.topics[topic].partitions {
            let partition = (topic.clone(), seen.index);
            let moving = moves.remove(&partition);
            let still = |nodes: Vec<NodeId>| -> Vec<NodeId> {
                let there = |node: &NodeId| seen.replicas.contains(node);
                nodes.into_iter().filter(there).collect()
            };
            let (adding, removing) =
                moving.map_or_else(Default::default, |m| (still(m.adding), still(m.removing)));
            partitions.push(Held {
                partition,
                leader: seen.leader,
                replicas: seen.replicas.clone(),
                isr: seen.isr.clone(),
                adding,
                removing,
            });
        }
    }
    Ok(partitions)
}
