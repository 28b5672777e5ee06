//! Nodes with disks, clients, and somebody who breaks things.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use freshet_env::{Clock, Disk as _};
use freshet_quorum::{
    Census, Gate, Leadership, Named, Peer, PeerId, Quorum, Raft, RaftDoors, RaftOptions, Seat,
    load_dice,
};
use freshet_sim::FakeDisk;
use freshet_types::{ClusterId, NodeId, Timestamp, TopicId};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::history::{History, Life};
use crate::lost::Lost;
use crate::machine::{Ask, Numbers};
use crate::net::{End, Link, Net, Node};

/// The simulated clock as the broker knows it: the wall's hand may be anywhere.
#[derive(Debug)]
struct SimClock {
    start: Instant,
    wall_ms: Arc<AtomicI64>,
}

impl Clock for SimClock {
    fn micros(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap()
    }

    fn wall(&self) -> Timestamp {
        let since = i64::try_from(self.start.elapsed().as_millis()).unwrap();
        Timestamp(1_700_000_000_000 + since + self.wall_ms.load(Ordering::Relaxed))
    }
}

/// One machine: its disk outlives its processes.
struct Host {
    disk: FakeDisk,
    directory: TopicId,
    cluster: ClusterId,
    life: u64,
    raft: Option<Node>,
    /// What holds the tasks of its process.
    gate: Gate,
    /// How wrong its wall clock is.
    wall_ms: Arc<AtomicI64>,
    /// Finds the quorum, as a broker does when it starts.
    settling: Option<JoinHandle<()>>,
}

pub(crate) struct Cluster {
    pub(crate) net: Net,
    pub(crate) history: History,
    pub(crate) options: RaftOptions,
    /// What nodes are told at their next start of how far they are from each other; else `options` says
    /// it.
    pub(crate) ways: BTreeMap<NodeId, Duration>,
    seed: u64,
    start: Instant,
    hosts: BTreeMap<NodeId, Host>,
}

/// Runs a simulated world to its end.
pub(crate) fn run<T>(seed: u64, world: impl AsyncFnOnce() -> T) -> T {
    load_dice(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(world())
}

pub(crate) fn options() -> RaftOptions {
    RaftOptions {
        seat: Seat::Task,
        ..RaftOptions::default()
    }
}

impl Cluster {
    /// Nodes 1 to `count`, all up, with empty disks, and no quorum yet.
    pub(crate) async fn new(seed: u64, count: i32, options: RaftOptions) -> Self {
        let (net, history) = (Net::new(seed), History::default());
        let (start, hosts) = (Instant::now(), BTreeMap::new());
        let mut cluster = Self {
            net,
            history,
            options,
            ways: BTreeMap::new(),
            seed,
            start,
            hosts,
        };
        for node in 1..=count {
            cluster.add_host(NodeId(node));
            cluster.boot(NodeId(node)).await;
        }
        cluster
    }

    /// Like [`Cluster::new`], with a quorum of all.
    pub(crate) async fn formed(seed: u64, count: i32, options: RaftOptions) -> Self {
        let cluster = Self::new(seed, count, options).await;
        let peers: Vec<_> = cluster
            .nodes()
            .into_iter()
            .map(|node| cluster.peer(node))
            .collect();
        cluster.raft(NodeId(1)).unwrap().form(&peers).await.unwrap();
        cluster.leader(Duration::from_secs(10)).await;
        cluster
    }

    pub(crate) fn add_host(&mut self, node: NodeId) {
        let disk = FakeDisk::new(self.seed ^ u64::from(node.0.unsigned_abs()));
        let directory = directory(node, 0);
        self.hosts.insert(
            node,
            Host {
                disk,
                directory,
                cluster: ClusterId("simulated".into()),
                life: 0,
                raft: None,
                gate: Gate::default(),
                wall_ms: Arc::default(),
                settling: None,
            },
        );
    }

    /// At its next start a node says that it belongs elsewhere.
    pub(crate) fn belongs_to(&mut self, node: NodeId, cluster: &str) {
        self.hosts.get_mut(&node).unwrap().cluster = ClusterId(cluster.into());
    }

    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        self.hosts.keys().copied().collect()
    }

    pub(crate) fn peer(&self, node: NodeId) -> Peer {
        let directory = self.hosts[&node].directory;
        Peer {
            id: PeerId { node, directory },
            endpoints: Vec::new(),
        }
    }

    /// The process of a node, if it is up.
    pub(crate) fn process(&self, node: NodeId) -> Option<(Life, Node)> {
        let life = (node, self.hosts[&node].life);
        Some((life, self.raft(node)?))
    }

    pub(crate) fn raft(&self, node: NodeId) -> Option<Node> {
        self.hosts[&node].raft.clone()
    }

    pub(crate) fn disk(&self, node: NodeId) -> &FakeDisk {
        &self.hosts[&node].disk
    }

    pub(crate) fn up(&self) -> Vec<NodeId> {
        let up = self.hosts.iter().filter(|(_, host)| host.raft.is_some());
        up.map(|(&node, _)| node).collect()
    }

    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub(crate) fn note(&self, what: &str) {
        self.history.note(self.now(), what);
    }

    fn options_of(&self, node: NodeId) -> RaftOptions {
        let options = self.options;
        let far = |way: &Duration| RaftOptions {
            seat: options.seat,
            snapshot_after_bytes: options.snapshot_after_bytes,
            kept_entries: options.kept_entries,
            chunk_bytes: options.chunk_bytes,
            ..RaftOptions::across(*way)
        };
        self.ways.get(&node).map_or(options, far)
    }

    /// Starts the process of a node.
    pub(crate) async fn boot(&mut self, node: NodeId) {
        let (peer, options) = (self.peer(node), self.options_of(node));
        let host = self.hosts.get_mut(&node).unwrap();
        host.life += 1;
        host.gate = Gate::default();
        let link = Link {
            net: self.net.clone(),
            me: node,
            life: host.life,
        };
        let doors = RaftDoors {
            disk: Arc::new(host.disk.clone()),
            clock: Arc::new(SimClock {
                start: self.start,
                wall_ms: Arc::clone(&host.wall_ms),
            }),
            link: Arc::new(link),
        };
        let identity = (host.cluster.clone(), peer);
        let (dir, blank) = (Path::new("/meta"), Numbers::default);
        let started = Raft::start(doors, dir, identity, blank, options);
        let raft = match host.gate.hold(started).await {
            Ok(raft) => Arc::new(raft),
            Err(_) if !host.disk.is_on() => {
                host.disk = host.disk.crash();
                self.note(&format!("{node} lost power while it started"));
                return;
            }
            Err(error) => panic!("{node}: {error}"),
        };
        let end = End {
            life: host.life,
            node: Arc::clone(&raft),
            gate: host.gate.clone(),
        };
        self.net.plug_in(node, end);
        host.raft = Some(Arc::clone(&raft));
        self.witness(node, &raft);
        self.note(&format!("{node} is up"));
    }

    /// Writes down whatever a node shows.
    fn witness(&self, node: NodeId, raft: &Node) {
        let (mut images, history) = (raft.watch(), self.history.clone());
        let life = self.hosts[&node].life;
        tokio::spawn(async move {
            loop {
                history.shown((node, life), &images.borrow_and_update());
                if images.changed().await.is_err() {
                    return;
                }
            }
        });
        let (mut leadership, history, start) =
            (raft.leadership(), self.history.clone(), self.start);
        let images = raft.watch();
        tokio::spawn(async move {
            loop {
                let now = *leadership.borrow_and_update();
                if now != Leadership::NOBODY {
                    history.knows((node, life), now.epoch);
                }
                if now.is_mine {
                    history.led(node, now.epoch, images.borrow().numbers.len());
                    history.note(start.elapsed(), &format!("{node} leads in {}", now.epoch));
                }
                if leadership.changed().await.is_err() {
                    return;
                }
            }
        });
    }

    /// The power of a node goes off: what was not synced may be gone.
    pub(crate) fn crash(&mut self, node: NodeId) {
        let host = self.hosts.get_mut(&node).unwrap();
        // What an old process still holds answers only errors from here on.
        host.disk = host.disk.crash();
        host.gate.stop(false);
        host.gate.preempt(false);
        if let Some(settling) = host.settling.take() {
            settling.abort();
        }
        let Some(raft) = host.raft.take() else {
            return;
        };
        self.net.unplug(node);
        tokio::spawn(async move { raft.stop().await });
        self.note(&format!("{node} crashed"));
    }

    /// A node's disk is lost: it comes back empty, under another name.
    pub(crate) fn lose_disk(&mut self, node: NodeId) {
        self.crash(node);
        let host = self.hosts.get_mut(&node).unwrap();
        host.disk = FakeDisk::new(self.seed ^ 77 ^ (host.life << 8));
        host.directory = directory(node, host.life);
        self.note(&format!("{node} lost its disk"));
    }

    /// A node that is down has these files now, and no others.
    pub(crate) fn restore_disk(&mut self, node: NodeId, files: &[(String, Vec<u8>)]) {
        let disk = FakeDisk::new(self.seed ^ 78);
        for (path, bytes) in files {
            let path = Path::new(path);
            disk.create_dir_all(path.parent().unwrap()).unwrap();
            disk.replace_small(path, bytes).unwrap();
        }
        disk.sync_dir(Path::new("/")).unwrap();
        self.hosts.get_mut(&node).unwrap().disk = disk;
        self.note(&format!("{node} has an old disk"));
    }

    /// The process of a node does nothing for so long, while time and messages go on.
    pub(crate) fn stall(&self, node: NodeId, ms: u64) {
        let gate = self.hosts[&node].gate.clone();
        self.note(&format!("{node} stands still for {ms} ms"));
        gate.stop(true);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            gate.stop(false);
        });
    }

    /// Holds the thread that decides back, just before it hands over what it has decided.
    pub(crate) fn hold_decisions(&self, node: NodeId, held: bool) {
        let what = if held { "is held back" } else { "goes on" };
        self.note(&format!("what {node} decides {what}"));
        self.hosts[&node].gate.preempt(held);
    }

    /// Sets a node's wall clock.
    pub(crate) fn set_wall(&self, node: NodeId, wrong_ms: i64) {
        self.note(&format!("the clock of {node} is wrong by {wrong_ms} ms"));
        let host = &self.hosts[&node];
        host.wall_ms.store(wrong_ms, Ordering::Relaxed);
    }

    /// A task of this node's process.
    pub(crate) fn spawn(
        &self,
        node: NodeId,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        tokio::spawn(self.hosts[&node].gate.hold(task))
    }

    /// Has a node find the quorum, as brokers do when they start. These were named as voters.
    pub(crate) fn settle(&mut self, node: NodeId, named: &[NodeId], lost: &Lost) {
        let (census, is_named) = (census(node, named), named.contains(&node));
        let (raft, lost) = (self.raft(node).unwrap(), lost.clone());
        let (mine, history, start) = (self.peer(node).id, self.history.clone(), self.start);
        let task = async move {
            census.settle(&raft).await.unwrap();
            if !lost.is_in(node) {
                return;
            }
            let voters = raft.status().voters;
            let of_node = voters.iter().map(|voter| voter.peer.id);
            let of_node: Vec<_> = of_node.filter(|id| id.node == node).collect();
            if of_node == [mine] || !is_named && of_node.is_empty() {
                lost.confirm(&raft).await;
                lost.forget(node);
                history.note(
                    start.elapsed(),
                    &format!("{node} has its new disk taken in"),
                );
            }
        };
        let settling = self.spawn(node, task);
        self.hosts.get_mut(&node).unwrap().settling = Some(settling);
    }

    /// The node that decides, when there is one that a majority can hear.
    pub(crate) fn leader_now(&self) -> Option<(NodeId, i32)> {
        let mut leaders: Vec<_> = self
            .hosts
            .iter()
            .filter_map(|(&node, host)| Some((node, host.raft.as_ref()?)))
            .map(|(node, raft)| (node, *raft.leadership().borrow()))
            .filter(|(_, leadership)| leadership.is_mine)
            .collect();
        leaders.sort_by_key(|(_, leadership)| leadership.epoch);
        leaders
            .pop()
            .map(|(node, Leadership { epoch, .. })| (node, epoch))
    }

    /// Waits for a leader; panics after `within`.
    pub(crate) async fn leader(&self, within: Duration) -> (NodeId, i32) {
        let deadline = Instant::now() + within;
        loop {
            if let Some(leader) = self.leader_now() {
                return leader;
            }
            let trace = || self.history.trace().join("\n");
            assert!(
                Instant::now() < deadline,
                "no leader within {within:?}\n{}",
                trace()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Adds numbers through the leader until all are in.
    pub(crate) async fn add_all(&self, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            let deadline = Instant::now() + Duration::from_secs(20);
            loop {
                let (leader, _) = self.leader(Duration::from_secs(10)).await;
                let begin = self.now();
                let raft = self.raft(leader).unwrap();
                let added =
                    tokio::time::timeout(Duration::from_secs(2), raft.propose(Ask::Add(number)));
                if let Ok(Ok(index)) = added.await {
                    self.history
                        .shown((leader, self.hosts[&leader].life), &raft.watch().borrow());
                    self.history.added(number, index, begin, self.now());
                    break;
                }
                assert!(Instant::now() < deadline, "{number} cannot be added");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// What a node shows after all that was agreed before has reached it.
    pub(crate) async fn read(&self, node: NodeId) -> Vec<u64> {
        let raft = self.raft(node).unwrap();
        let mut refused = None;
        for _ in 0..200 {
            let barrier = tokio::time::timeout(Duration::from_secs(1), raft.barrier()).await;
            if let Ok(Ok(())) = barrier {
                return raft.watch().borrow().numbers.clone();
            }
            refused = Some(barrier);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for node in self.nodes() {
            println!("{node}: {:?}", self.raft(node).map(|raft| raft.status()));
        }
        let trace = self.history.trace().join("\n");
        panic!("{node} cannot be read: {refused:?}\n{trace}");
    }
}

/// These were named, and `me` asks them.
pub(crate) fn census(me: NodeId, named: &[NodeId]) -> Census {
    let voters = named.iter().map(|&node| (node, Vec::new())).collect();
    Census {
        me,
        endpoints: Vec::new(),
        named: Named::Voters(voters),
        pause: Duration::from_millis(50),
        patience: Duration::from_millis(50),
    }
}

pub(crate) fn directory(node: NodeId, life: u64) -> TopicId {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&node.0.to_be_bytes());
    id[8..].copy_from_slice(&life.to_be_bytes());
    TopicId(id)
}
