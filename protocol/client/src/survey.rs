//! Brokers and partitions at one moment: what whoever moves or restarts brokers looks at.

mod disks;
mod factor;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use freshet_types::NodeId;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::{
    Admin, Client, ClientError, ClusterNode, LogDir, OngoingMove, Placement, PlacementBroker,
    TopicPartition,
};

pub use disks::Disks;
pub use factor::NoCopies;

/// How long one broker may take to answer before it counts as down.
const PATIENCE: Duration = Duration::from_secs(3);

/// A partition and who keeps it.
#[derive(Debug, Clone)]
pub struct Held {
    /// Which.
    pub partition: TopicPartition,
    /// Who leads it.
    pub leader: Option<NodeId>,
    /// Those who keep it, with those who come and go.
    pub replicas: Vec<NodeId>,
    /// Those in sync.
    pub isr: Vec<NodeId>,
    /// Those who come.
    pub adding: Vec<NodeId>,
    /// Those who go.
    pub removing: Vec<NodeId>,
}

impl Held {
    /// Who will keep it when all moves are done, in order of preference.
    pub fn target(&self) -> Vec<NodeId> {
        let stays = |node: &&NodeId| !self.removing.contains(node);
        self.replicas.iter().filter(stays).copied().collect()
    }

    /// `topic-partition`.
    pub fn name(&self) -> String {
        partition_name(&self.partition)
    }
}

/// A partition as people write it, `topic-partition`.
pub fn partition_name((topic, partition): &TopicPartition) -> String {
    format!("{topic}-{partition}")
}

/// A broker and what it says of its disks.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The broker.
    pub node: ClusterNode,
    /// Its directories; `None` when it does not answer.
    pub dirs: Option<Vec<LogDir>>,
}

impl Seen {
    /// Whether it takes no new partitions.
    pub fn is_cordoned(&self) -> bool {
        let dirs = self.dirs.as_deref().unwrap_or_default();
        !dirs.is_empty() && dirs.iter().all(|dir| dir.cordoned || dir.error.is_some())
    }

    /// One word for it.
    pub fn status(&self) -> &'static str {
        match &self.dirs {
            _ if self.node.fenced => "fenced",
            None => "no answer",
            Some(dirs) if dirs.iter().any(|dir| dir.error.is_some()) => "disk failed",
            Some(_) if self.is_cordoned() => "cordoned",
            Some(_) => "ok",
        }
    }

    /// Bytes of its logs.
    pub fn log_bytes(&self) -> Option<i64> {
        let dirs = self.dirs.as_ref()?;
        let logs = dirs.iter().flat_map(|dir| &dir.partitions);
        Some(logs.map(|log| log.size_bytes).sum())
    }

    /// Whether all directories that take new partitions are full, or if that counts slow.
    fn is_unwell(&self, by_speed: bool) -> bool {
        let mut open = self.dirs.iter().flatten().filter(|dir| !dir.cordoned);
        !self.is_cordoned() && open.all(|dir| dir.full || (by_speed && dir.slow))
    }

    /// Bytes left in its emptiest directory.
    pub fn usable_bytes(&self) -> Option<i64> {
        let dirs = self.dirs.iter().flatten();
        dirs.map(|dir| dir.usable_bytes).filter(|b| *b >= 0).max()
    }

    /// Where it puts new replicas. `by_speed`: see [`Survey::slowness_counts`].
    pub(crate) fn disks(&self, by_speed: bool) -> Disks {
        Disks::of(self.dirs.iter().flatten(), by_speed)
    }
}

/// The cluster.
#[derive(Debug, Clone)]
pub struct Survey {
    /// All registered brokers.
    pub brokers: BTreeMap<NodeId, Seen>,
    /// All partitions.
    pub partitions: Vec<Held>,
}

impl Survey {
    /// Looks at everything.
    pub async fn take(client: &Client) -> Result<Self, ClientError> {
        let admin = client.admin();
        let nodes = admin.describe_cluster().await?.nodes;
        let asking = nodes.iter().filter(|node| !node.fenced).map(|node| node.id);
        let mut dirs = log_dirs(&admin, asking).await;
        let seen = nodes.into_iter().map(|node| {
            let dirs = dirs.remove(&node.id);
            (node.id, Seen { node, dirs })
        });
        Ok(Self {
            brokers: seen.collect(),
            partitions: Self::partitions(client).await?,
        })
    }

    /// All partitions and the moves among them.
    pub async fn partitions(client: &Client) -> Result<Vec<Held>, ClientError> {
        // The moves first: one that ends in between leaves a partition that looks settled, and is.
        let moves = client.admin().list_reassignments().await?;
        let view = client.all_topics().await?;
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

    /// What a broker keeps.
    pub fn kept_by(&self, node: NodeId) -> impl Iterator<Item = &Held> {
        let keeps = move |held: &&Held| held.replicas.contains(&node);
        self.partitions.iter().filter(keeps)
    }

    /// What a broker leads.
    pub fn led_by(&self, node: NodeId) -> usize {
        let leads = |held: &&Held| held.leader == Some(node);
        self.partitions.iter().filter(leads).count()
    }

    /// Bytes of each partition, as the largest of its copies that could be asked for.
    pub fn sizes(&self) -> BTreeMap<TopicPartition, u64> {
        let mut sizes = BTreeMap::new();
        let dirs = self.brokers.values().filter_map(|seen| seen.dirs.as_ref());
        for log in dirs.flatten().flat_map(|dir| &dir.partitions) {
            let size = sizes.entry(log.partition.clone()).or_insert(0);
            *size = (*size).max(u64::try_from(log.size_bytes).unwrap_or(0));
        }
        sizes
    }

    /// Whether the controller minds that a disk is slow: not while more than half of the brokers have one.
    pub(crate) fn slowness_counts(&self) -> bool {
        let active = self.brokers.values().filter(|seen| !seen.node.fenced);
        let is_slow = |seen: &&Seen| seen.dirs.iter().flatten().any(|dir| dir.slow);
        let slow = active.clone().filter(is_slow).count();
        slow * 2 <= active.count()
    }

    /// Where replicas can go, now that `leaving` shall get none.
    pub fn placement(&self, leaving: Option<NodeId>) -> Placement {
        let by_speed = self.slowness_counts();
        let brokers = self.brokers.values().map(|seen| PlacementBroker {
            id: seen.node.id,
            rack: seen.node.rack.clone(),
            takes: seen.status() == "ok" && Some(seen.node.id) != leaving,
            unwell: seen.is_unwell(by_speed),
            replicas: self.kept_by(seen.node.id).count(),
            disks: seen.disks(by_speed),
        });
        Placement::new(brokers)
    }
}

/// What these brokers' disks hold; a broker that does not answer is left out.
async fn log_dirs(
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::broker;

    fn first_of(brokers: [(NodeId, Seen); 3]) -> NodeId {
        let survey = Survey {
            brokers: brokers.into(),
            partitions: Vec::new(),
        };
        let chosen = survey.placement(None).choose(&[], 1);
        chosen.expect("there is room")
    }

    fn but(id: i32, change: impl Fn(&mut LogDir)) -> (NodeId, Seen) {
        let (id, mut seen) = broker(id, (500, 1000));
        seen.dirs.iter_mut().flatten().for_each(change);
        (id, seen)
    }

    #[test]
    fn replicas_go_to_disks_that_are_well() {
        let well = |id| but(id, |_| ());
        assert_eq!(first_of([well(1), well(2), well(3)]), NodeId(1));
        let full = but(1, |dir| dir.full = true);
        assert_eq!(first_of([full, well(2), well(3)]), NodeId(2));
        let slow = |id| but(id, |dir| dir.slow = true);
        assert_eq!(first_of([slow(1), well(2), well(3)]), NodeId(2));
        assert_eq!(
            first_of([slow(1), slow(2), well(3)]),
            NodeId(1),
            "most are slow"
        );
    }

    #[test]
    fn one_disk_that_is_well_is_enough() {
        let (id, mut seen) = but(1, |dir| dir.full = true);
        let other = but(1, |_| ()).1.dirs.expect("it answers");
        seen.dirs.as_mut().expect("it answers").extend(other);
        assert_eq!(
            first_of([(id, seen), but(2, |_| ()), but(3, |_| ())]),
            NodeId(1)
        );
    }
}
