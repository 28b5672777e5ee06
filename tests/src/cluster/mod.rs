//! Some brokers as one cluster, each in its own network namespace.

mod ask;
mod disk;
mod network;
mod node;
mod taken;
mod world;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

pub use ask::{Member, PartitionView, read_copy};
pub(crate) use ask::{
    commit, committed, coordinator, create_topic, delete_topic, disk_start, elect_preferred,
    fetch_once, partitions, reassign, records,
};
pub use disk::Disk;
pub(crate) use network::HUB;
pub use network::Network;
pub(crate) use network::Weather;
pub use node::Node;
use taken::Taken;
pub use world::enter;

use crate::broker::Kind;
use crate::http::get;
use crate::raw::Raw;
use crate::scenario::eventually;

/// How long a cluster may take to come up.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Three JVMs on two cores take their time.
const JVM_START_LIMIT: Duration = Duration::from_secs(90);

/// Running brokers; all of them and their network are gone when it is dropped.
pub struct Cluster {
    kind: Kind,
    folder: PathBuf,
    nodes: Vec<Node>,
    /// Those that are nothing else, if brokers are no controllers.
    controllers: Vec<Node>,
    /// The lines between them. Dropped after the nodes.
    pub network: Network,
}

impl Cluster {
    /// So many nodes, numbered from 1, with their folders in `folder`; not started. With
    /// `own_disks` each keeps its records on a [`Disk`] of its own.
    pub fn new(count: i32, folder: &Path, own_disks: bool) -> Result<Self> {
        Self::of((count, 0), folder, own_disks)
    }

    /// So many brokers that are no controllers, and after them so many controllers that are no brokers.
    pub fn apart(brokers: i32, controllers: i32, folder: &Path) -> Result<Self> {
        Self::of((brokers, controllers), folder, false)
    }

    fn of((brokers, controllers): (i32, i32), folder: &Path, own_disks: bool) -> Result<Self> {
        let kind = Kind::from_env();
        let (last, spare) = (brokers + controllers, brokers + controllers + 1);
        let network = Network::new(&(1..=spare).collect::<Vec<_>>());
        let network = network.context("making the network")?;
        let voters: Vec<i32> = match controllers {
            0 => (1..=brokers).collect(),
            _ => (brokers + 1..=last).collect(),
        };
        let node = |id: i32| {
            let here = folder.join(id.to_string());
            std::fs::create_dir_all(&here)?;
            let disk = own_disks.then(|| Disk::new(&here)).transpose()?;
            let mut node = Node::new(kind, id, &voters, (here, disk));
            if id > brokers {
                node.be_no_broker();
            } else if controllers > 0 {
                node.be_no_controller();
            }
            Ok(node)
        };
        let mut nodes = (1..=last).map(node).collect::<Result<Vec<_>>>()?;
        let controllers = nodes.split_off(usize::try_from(brokers)?);
        Ok(Self {
            kind,
            folder: folder.to_owned(),
            nodes,
            controllers,
            network,
        })
    }

    /// The id of one more machine beside the cluster.
    fn spare_id(&self) -> i32 {
        let all = self.everybody().map(|node| node.id);
        all.max().unwrap_or(0) + 1
    }

    fn everybody(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().chain(&self.controllers)
    }

    /// One more machine beside the cluster, with a broker on it that is told of the cluster's
    /// quorum. It is not started, and no part of what is asked of the cluster.
    pub fn spare(&self) -> Result<Node> {
        let voters = match self.controllers.len() {
            0 => &self.nodes,
            _ => &self.controllers,
        };
        let voters: Vec<i32> = voters.iter().map(|node| node.id).collect();
        let id = self.spare_id();
        let here = self.folder.join(id.to_string());
        std::fs::create_dir_all(&here)?;
        Ok(Node::new(self.kind, id, &voters, (here, None)))
    }

    /// Starts all nodes and waits until they know each other.
    pub fn start(&mut self) -> Result<()> {
        let down = self.everybody().filter(|node| !node.is_up());
        let down: Vec<i32> = down.map(|node| node.id).collect();
        self.start_these(&down)?;
        self.await_brokers(self.nodes.len())
    }

    /// Starts some nodes at once and does not wait.
    pub fn start_these(&mut self, ids: &[i32]) -> Result<()> {
        ids.iter().try_for_each(|id| self.node(*id).start())
    }

    /// Which broker this is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where the logs are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The ids of all brokers.
    pub fn ids(&self) -> impl Iterator<Item = i32> + use<> {
        let count = i32::try_from(self.nodes.len()).unwrap_or(i32::MAX);
        1..=count
    }

    /// The ids of the controllers that are no brokers.
    pub fn controllers(&self) -> Vec<i32> {
        self.controllers.iter().map(|node| node.id).collect()
    }

    /// All brokers but one.
    pub fn others(&self, but: i32) -> Vec<i32> {
        self.ids().filter(|id| *id != but).collect()
    }

    /// A node by its id.
    ///
    /// # Panics
    /// If there is none.
    pub fn node(&mut self, id: i32) -> &mut Node {
        let mut all = self.nodes.iter_mut().chain(&mut self.controllers);
        let found = all.find(|node| node.id == id);
        found.expect("the trial names a node of its cluster")
    }

    /// Whether a node's process should be running.
    pub fn is_up(&self, id: i32) -> bool {
        self.everybody().any(|node| node.id == id && node.is_up())
    }

    /// All addresses for clients.
    pub fn bootstrap(&self) -> String {
        let addresses: Vec<String> = self.nodes.iter().map(Node::address).collect();
        addresses.join(",")
    }

    /// The address of each broker, by its id; that of a spare one, too.
    pub fn addresses(&self) -> BTreeMap<i32, String> {
        let all = self.ids().chain([self.spare_id()]);
        all.map(|id| (id, node::address(id))).collect()
    }

    /// A number that a broker counts: a metric's name, and its labels if it has some.
    pub fn counted(&self, id: i32, name: &str) -> Result<u64> {
        let node = self.nodes.iter().find(|node| node.id == id);
        let node = node.with_context(|| format!("there is no node {id}"))?;
        let (_, page) = get(&node.http(), "/metrics")?;
        let told = |line: &str| line.strip_prefix(name)?.trim().parse().ok();
        let found = page.lines().find_map(told);
        found.with_context(|| format!("{name} is not among the metrics of broker {id}"))
    }

    /// A connection to one node.
    pub fn connect(&self, id: i32) -> Result<Raw> {
        let node = self.nodes.iter().find(|node| node.id == id);
        let address = node
            .with_context(|| format!("there is no node {id}"))?
            .address();
        Raw::connect(&address).with_context(|| format!("connecting to broker {id}"))
    }

    /// The first answer that any running node gives.
    pub fn ask<T>(&self, mut question: impl FnMut(&mut Raw) -> Result<T>) -> Result<T> {
        let mut last = None;
        for id in self.ids().filter(|id| self.is_up(*id)) {
            match self.connect(id).and_then(|mut raw| question(&mut raw)) {
                Ok(answer) => return Ok(answer),
                Err(why) => last = Some(why.context(format!("broker {id}"))),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("no broker is running")))
    }

    /// Waits until every running node says that so many brokers are there.
    pub fn await_brokers(&mut self, count: usize) -> Result<()> {
        let limit = match self.kind {
            Kind::Freshet => START_LIMIT,
            Kind::Kafka => JVM_START_LIMIT,
        };
        eventually(limit, || {
            self.must_live()?;
            for id in self.ids().filter(|id| self.is_up(*id)) {
                let known = self.brokers_at(id)?;
                ensure!(known.len() == count, "broker {id} knows of {known:?}");
            }
            Ok(())
        })
        .context("the cluster did not come together")
    }

    /// Fails if a process ended that nobody ended.
    pub fn must_live(&mut self) -> Result<()> {
        for node in self.nodes.iter_mut().chain(&mut self.controllers) {
            if let Some(status) = node.ended()? {
                let said = crate::process::tail(&node.printed());
                bail!("broker {} ended by itself: {status}\n{said}", node.id);
            }
        }
        Ok(())
    }

    /// The most that a broker has taken of the machine. Fails if that is too much: whoever keeps something
    /// of each connection, or of each try, has it after a storm.
    pub fn must_be_modest(&self) -> Result<Taken> {
        let mut most = Taken::default();
        for node in self.everybody() {
            let taken = node.taken()?.unwrap_or_default();
            ensure!(
                taken.is_within(Taken::ENOUGH) || self.kind == Kind::Kafka,
                "broker {} has taken {taken}, and {} are enough",
                node.id,
                Taken::ENOUGH
            );
            most = most.most(taken);
        }
        Ok(most)
    }

    /// The brokers that any running node knows as alive.
    pub fn brokers(&self) -> Result<Vec<Member>> {
        self.ask(ask::brokers)
    }

    /// The same as one node knows them.
    pub fn brokers_at(&self, id: i32) -> Result<Vec<Member>> {
        ask::brokers(&mut self.connect(id)?)
    }

    /// How often a broker was taken for dead, as controllers have told so far.
    pub fn fenced(&self) -> usize {
        let told = |node: &Node| node.printed().matches("broker fenced: others lead").count();
        self.everybody().map(told).sum()
    }

    /// The id of the active controller.
    pub fn controller(&self) -> Result<i32> {
        eventually(Duration::from_secs(20), || self.ask(ask::controller))
    }

    /// The active controller and its epoch, as one node knows them.
    pub fn reign(&self, id: i32) -> Result<(i32, i32)> {
        ask::reign(&mut self.connect(id)?)
    }

    /// The ids of those who vote in the quorum, in order.
    pub fn voters(&self) -> Result<Vec<i32>> {
        eventually(Duration::from_secs(20), || self.ask(ask::voters))
    }

    /// A topic's partitions, in order, as any running node sees them.
    pub fn partitions(&self, topic: &str) -> Result<Vec<PartitionView>> {
        self.ask(|raw| ask::partitions(raw, topic))
    }

    /// The same as one node sees them, which may be cut off.
    pub fn partitions_at(&self, id: i32, topic: &str) -> Result<Vec<PartitionView>> {
        ask::partitions(&mut self.connect(id)?, topic)
    }

    /// Who leads a partition, waited for.
    pub fn leader(&self, topic: &str, partition: i32) -> Result<i32> {
        eventually(Duration::from_secs(20), || {
            let all = self.partitions(topic)?;
            let found = all.iter().find(|view| view.index == partition);
            let leader = found.context("no such partition")?.leader;
            ensure!(leader >= 0, "{topic}-{partition} has no leader");
            Ok(leader)
        })
    }

    /// Kills the leader of a topic's first partition, and waits until another leads. Gives who it was.
    pub fn depose(&mut self, topic: &str) -> Result<i32> {
        let old = self.leader(topic, 0)?;
        self.node(old).kill()?;
        eventually(Duration::from_secs(60), || {
            let next = self.leader(topic, 0)?;
            ensure!(next != old, "{old} still leads");
            Ok(old)
        })
    }

    /// Creates a topic with these replicas and min.insync.replicas 2, and waits until it is whole.
    pub fn create_topic(&self, topic: &str, partitions: i32, replicas: i16) -> Result<()> {
        self.create_topic_with(topic, (partitions, replicas), &[("retention.ms", "-1")])
    }

    /// The same, with settings of the topic.
    pub fn create_topic_with(
        &self,
        topic: &str,
        (partitions, replicas): (i32, i16),
        configs: &[(&str, &str)],
    ) -> Result<()> {
        let mut all = vec![("min.insync.replicas", "2")];
        all.extend(configs);
        eventually(Duration::from_secs(20), || {
            let code = self.ask(|raw| create_topic(raw, topic, (partitions, replicas), &all))?;
            const ALREADY_THERE: i16 = 36;
            let fine = [0, ALREADY_THERE].contains(&code);
            ensure!(fine, "creating {topic}: error {code}");
            Ok(())
        })?;
        self.await_whole(topic, Duration::from_secs(30))
    }

    /// Waits until every partition of a topic has a leader and all its replicas are in sync, and all
    /// running nodes know it: one that was cut off believes what was before.
    pub fn await_whole(&self, topic: &str, limit: Duration) -> Result<()> {
        eventually(limit, || {
            let mut agreed: Option<Vec<PartitionView>> = None;
            for id in self.ids().filter(|id| self.is_up(*id)) {
                let views = ask::partitions(&mut self.connect(id)?, topic)?;
                for view in &views {
                    let whole = view.leader >= 0 && view.in_sync.len() == view.replicas.len();
                    ensure!(whole, "broker {id} says {topic} is not whole: {view:?}");
                }
                let same = agreed.as_ref().is_none_or(|agreed| {
                    let pairs = agreed.iter().zip(&views);
                    agreed.len() == views.len()
                        && pairs
                            .into_iter()
                            .all(|(a, b)| (a.leader, a.epoch) == (b.leader, b.epoch))
                });
                ensure!(same, "broker {id} says {views:?}, others say {agreed:?}");
                agreed = Some(views);
            }
            Ok(())
        })
    }

    /// Waits until every running node of ours says that a restart of it is over.
    pub fn await_restarted(&self, limit: Duration) -> Result<()> {
        let up = self.everybody().filter(|node| node.is_up());
        for node in up.filter(|_| self.kind == Kind::Freshet) {
            eventually(limit, || {
                let (status, told) = get(&node.http(), "/admin/post-restart")?;
                let is_back = status == 200 && told.contains(r#""in_sync":true"#);
                ensure!(is_back, "node {} says {status}: {told}", node.id);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Undoes all that can be undone: lines healed, everybody awake and running.
    pub fn heal(&mut self) -> Result<()> {
        self.network.heal()?;
        for node in self.nodes.iter_mut().chain(&mut self.controllers) {
            if node.is_up() {
                node.resume()?;
            } else {
                node.start()?;
            }
        }
        Ok(())
    }

    /// Sleeps, and fails early if a broker ends meanwhile.
    pub fn watch(&mut self, time: Duration) -> Result<()> {
        let step = Duration::from_millis(100);
        let mut left = time;
        while left > Duration::ZERO {
            self.must_live()?;
            thread::sleep(step.min(left));
            left = left.saturating_sub(step);
        }
        Ok(())
    }

    /// The last words of every node, for failure messages.
    pub fn tails(&self) -> String {
        let said = |node: &Node| {
            let words = crate::process::tail(&node.printed());
            format!("--- broker {}:\n{words}", node.id)
        };
        self.everybody().map(said).collect::<Vec<_>>().join("\n")
    }
}
