//! What may happen to a quorum, within what it promises to survive.

use std::collections::BTreeMap;
use std::time::Duration;

use freshet_quorum::{Peer, RaftOptions};
use freshet_sim::{Throws, Weather};
use freshet_types::NodeId;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::lost::Lost;
use crate::net::Node;

const DAY_MS: i64 = 24 * 3600 * 1000;

/// A cluster that is struck: `named` voters, and a spare node that votes now and then.
///
/// What is not allowed, because then nothing is promised: that more disks are lost than a minority of
/// the voters has, and that there are ever fewer voters than were named.
pub(crate) struct Storm {
    pub(crate) cluster: Cluster,
    named: Vec<NodeId>,
    lost: Lost,
    /// Voters come and go one at a time.
    change: Option<JoinHandle<()>>,
}

impl Storm {
    pub(crate) async fn begin(seed: u64, count: i32, options: RaftOptions) -> Self {
        let mut cluster = Cluster::formed(seed, count, options).await;
        let named = cluster.nodes();
        cluster.add_host(NodeId(count + 1));
        cluster.note(&format!("seed {seed}"));
        let (lost, change) = (Lost::default(), None);
        let mut storm = Self {
            cluster,
            named,
            lost,
            change,
        };
        storm.boot_all().await;
        storm
    }

    /// Has these nodes be told another way between them, and restarts all if there are any.
    pub(crate) async fn restart_with(&mut self, ways: BTreeMap<NodeId, Duration>) {
        if ways.is_empty() {
            return;
        }
        self.cluster.ways = ways;
        for node in self.cluster.nodes() {
            self.cluster.crash(node);
        }
        self.boot_all().await;
    }

    /// Starts all that are down, and those whose disk lost power under them.
    async fn boot_all(&mut self) {
        for node in self.cluster.nodes() {
            if !self.cluster.disk(node).is_on() {
                self.cluster.crash(node);
            }
            if self.cluster.up().contains(&node) {
                continue;
            }
            self.cluster.boot(node).await;
            if self.cluster.up().contains(&node) {
                self.cluster.settle(node, &self.named, &self.lost);
            }
        }
    }

    /// Breaks something.
    pub(crate) async fn strike(&mut self, throws: &mut Throws) {
        match throws.below(20) {
            blow @ 0..4 => self.strike_lines(blow, throws),
            blow @ 4..8 => self.strike_power(blow, throws),
            8 => {
                self.cluster.note("heal");
                self.cluster.net.heal();
                self.cluster.net.set_weather(Weather::FINE);
            }
            blow @ 9..13 => self.strike_time(blow, throws),
            13 | 14 => self.lose_a_disk(throws),
            15 | 16 => self.change_voters(throws),
            _ => self.boot_all().await,
        }
    }

    fn any(&self, throws: &mut Throws) -> NodeId {
        let nodes = self.cluster.nodes();
        nodes[throws.index(nodes.len())]
    }

    /// The one that decides, or somebody.
    fn leader_or_any(&self, throws: &mut Throws) -> NodeId {
        let leader = self.cluster.leader_now().map(|(leader, _)| leader);
        leader.unwrap_or_else(|| self.any(throws))
    }

    fn strike_lines(&self, blow: u64, throws: &mut Throws) {
        let (cluster, nodes) = (&self.cluster, self.cluster.nodes());
        match blow {
            0 => {
                let node = self.any(throws);
                cluster.note(&format!("isolate {node}"));
                cluster.net.isolate(node, &nodes);
            }
            1 => {
                let leader = self.leader_or_any(throws);
                cluster.note(&format!("isolate the leader {leader}"));
                cluster.net.isolate(leader, &nodes);
            }
            2 => {
                let (from, to) = (self.any(throws), self.any(throws));
                cluster.note(&format!("cut {from} to {to}"));
                cluster.net.cut(from, to);
            }
            _ => {
                let weather = Weather {
                    loss_percent: throws.below(30),
                    double_percent: throws.below(20),
                    delay_ms: (throws.below(5), 5 + throws.below(120)),
                };
                cluster.note(&format!("{weather:?}"));
                cluster.net.set_weather(weather);
            }
        }
    }

    fn strike_power(&mut self, blow: u64, throws: &mut Throws) {
        match blow {
            4 => {
                let node = self.any(throws);
                self.cluster.crash(node);
            }
            5 => {
                let leader = self.leader_or_any(throws);
                self.cluster.crash(leader);
            }
            _ => {
                // Somewhere in the middle of what it is just writing.
                let node = self.any(throws);
                self.cluster.note(&format!("{node} will lose power"));
                let disk = self.cluster.disk(node);
                disk.power_off_during(1 + throws.below(12));
            }
        }
    }

    fn strike_time(&self, blow: u64, throws: &mut Throws) {
        match blow {
            9 => self
                .cluster
                .stall(self.any(throws), throws.between(100, 4_000)),
            10 => {
                let leader = self.leader_or_any(throws);
                self.cluster.stall(leader, throws.between(100, 4_000));
            }
            11 => {
                let leader = self.leader_or_any(throws);
                self.cluster.hold_decisions(leader, throws.chance(70));
            }
            _ => {
                let days = i64::try_from(throws.below(2_000)).unwrap() - 1_000;
                self.cluster.set_wall(self.any(throws), days * DAY_MS);
            }
        }
    }

    /// An empty disk in the place of a node's. It comes back as somebody new, and asks to be taken in.
    fn lose_a_disk(&mut self, throws: &mut Throws) {
        let node = self.any(throws);
        let most = (self.named.len() - 1) / 2;
        if self.lost.allows(node, most) {
            self.lost.add(node);
            self.cluster.lose_disk(node);
        }
    }

    /// One voter more, or one less, decided by whoever leads.
    fn change_voters(&mut self, throws: &mut Throws) {
        let is_under_way = self.change.as_ref().is_some_and(|task| !task.is_finished());
        let Some((leader, _)) = self.cluster.leader_now().filter(|_| !is_under_way) else {
            return;
        };
        let spared = self.lost.nodes();
        let others = self.cluster.up().into_iter();
        let others = others.filter(|node| !spared.contains(node));
        let others: Vec<_> = others.map(|node| self.cluster.peer(node)).collect();
        if others.is_empty() {
            return;
        }
        let who = others[throws.index(others.len())].clone();
        self.cluster
            .note(&format!("{leader} lets {} come or go", who.id.node));
        let raft = self.cluster.raft(leader).unwrap();
        let (me, least) = (self.cluster.peer(leader), self.named.len());
        let task = come_or_go(raft, me, who, least);
        self.change = Some(self.cluster.spawn(leader, task));
    }

    /// Everything is mended and everybody is up; who has lost a disk votes with another one.
    pub(crate) async fn end(&mut self) {
        if let Some(change) = self.change.take() {
            change.abort();
        }
        self.cluster.net.heal();
        self.cluster.net.set_weather(Weather::FINE);
        for node in self.cluster.nodes() {
            // A blow that is still to come does not belong here.
            self.cluster.crash(node);
        }
        self.boot_all().await;
        self.boot_all().await;
        self.cluster.note("calm");
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.lost.nodes().is_empty() {
            let left = self.lost.nodes();
            let trace = || self.cluster.history.trace().join("\n");
            assert!(
                Instant::now() < deadline,
                "{left:?} are not taken in\n{}",
                trace()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.everybody_votes_with_the_disk_that_it_has().await;
    }

    async fn everybody_votes_with_the_disk_that_it_has(&self) {
        let (leader, _) = self.cluster.leader(Duration::from_secs(5)).await;
        let raft = self.cluster.raft(leader).unwrap();
        // What an earlier leader left half-way is finished by then.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let voters = raft.status().voters;
        let ids: Vec<_> = voters.iter().map(|voter| voter.peer.id).collect();
        let trace = || self.cluster.history.trace().join("\n");
        for id in &ids {
            assert_eq!(*id, self.cluster.peer(id.node).id, "{ids:?}\n{}", trace());
        }
        assert!(ids.len() >= self.named.len(), "{ids:?}\n{}", trace());
    }
}

/// Takes somebody in as a voter when there are as few as there may be; else it leaves.
async fn come_or_go(leader: Node, me: Peer, who: Peer, least: usize) {
    // Answered when it is agreed to, and with it all that was changed before.
    if leader.add(me, true).await.is_err() {
        return;
    }
    let voters = leader.status().voters;
    let votes = voters.iter().any(|voter| voter.peer.id == who.id);
    // Refused or left half-way, it may be tried again: whoever leads next goes on.
    let _ = match (votes, voters.len() > least) {
        (true, true) => leader.remove(who.id).await,
        (false, _) => leader.add(who, true).await,
        (true, false) => Ok(()),
    };
}
