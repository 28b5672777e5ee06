//! What goes wrong, and how much of it at once: no more than what the cluster promises to survive.

use std::sync::Arc;

use freshet_log::LastLife;
use freshet_metadata::{
    AlterConfigs, AlterResource, ConfigChange, ConfigEdit, ConfigOp, ConfigTarget, ElectLeaders,
    PartitionName, Reassign, Reassignment, Request,
};
use freshet_sim::{Throws, Weather};
use freshet_types::TopicPartition;

use crate::broker::{Replica, topic_rules};
use crate::council::VOTERS;
use crate::disk::{Disk, Log, offset};
use crate::invariants::Truth;
use crate::message::{Message, Produce};
use crate::network::Host;
use crate::rules::Duty;
use crate::world::{Alarm, World, host_of, node_id};

/// What a topic is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TopicKind {
    /// Nothing acknowledged may go.
    Strict,
    /// `unclean.leader.election.enable`
    Unclean,
    /// Page-cache durability.
    Cached,
    /// What groups write; it may be led by who lacks some of it.
    Offsets { unclean: bool },
}

/// A blow that is still to come.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Plan {
    /// Controllers hear a host late by so many ms, or it hears them late.
    Hold(Host, u64),
    Delay(Host, u64),
    /// A host stands still.
    Stall(Host, u64),
    /// A host loses its disk or its power.
    Again(Host),
    /// When it joins again, what it asked before comes once more; until then.
    Haunt(Host, TopicPartition, u64),
}

/// The weather of a whole life.
#[derive(Debug, Clone)]
pub(crate) struct Climate {
    pub(crate) nodes: usize,
    pub(crate) topics: Vec<TopicKind>,
    pub(crate) min_in_sync: u64,
    /// How late the partitions of a broker follow its image, ms.
    pub(crate) apply_ms: (u64, u64),
    pub(crate) storm_ms: u64,
    /// From one blow to the next, ms.
    pub(crate) pause_ms: (u64, u64),
    /// `replica.lag.time.max.ms`
    pub(crate) lag_ms: u64,
    /// Questions that come a second time, much later, percent.
    pub(crate) ghosts: u64,
    loses_disks: bool,
    /// What happens more often than the rest.
    favourites: [u64; 2],
}

impl Climate {
    pub(crate) fn of(throws: &mut Throws) -> Self {
        let second = match throws.below(6) {
            0 => TopicKind::Unclean,
            1 | 2 => TopicKind::Cached,
            _ => TopicKind::Strict,
        };
        let mut topics = vec![TopicKind::Strict, second];
        if throws.chance(35) {
            let unclean = throws.below(8) == 0;
            topics.push(TopicKind::Offsets { unclean });
        }
        let apply_ms = [(0, 5), (0, 100), (0, 900)];
        let pauses = [(20, 150), (50, 400), (200, 900)];
        let min_in_sync = if throws.chance(75) { 2 } else { 1 };
        Self {
            nodes: if throws.chance(60) { 4 } else { 3 },
            topics,
            min_in_sync,
            apply_ms: throws.pick(&apply_ms).unwrap(),
            storm_ms: throws.between(2_500, 4_500),
            pause_ms: throws.pick(&pauses).unwrap(),
            lag_ms: throws.pick(&[600, 600, 150]).unwrap(),
            ghosts: throws.pick(&[0, 2, 12]).unwrap(),
            loses_disks: min_in_sync == 2 && throws.chance(70),
            favourites: [throws.below(BLOWS), throws.below(BLOWS)],
        }
    }

    /// Nothing goes wrong by itself: for lives that are staged.
    pub(crate) fn staged(lag_ms: u64) -> Self {
        Self {
            nodes: 6,
            topics: vec![TopicKind::Strict],
            min_in_sync: 2,
            apply_ms: (0, 5),
            storm_ms: 0,
            pause_ms: (1, 1),
            lag_ms,
            ghosts: 0,
            loses_disks: false,
            favourites: [0, 0],
        }
    }
}

/// Kinds of blows.
const BLOWS: u64 = 28;

impl World {
    fn any_node(&mut self) -> Host {
        self.throws.index(self.nodes.len())
    }

    fn any_up(&mut self) -> Option<Host> {
        let all: Vec<_> = (0..self.nodes.len()).filter(|h| self.is_up(*h)).collect();
        self.throws.pick(&all)
    }

    fn any_leader(&mut self) -> Option<Host> {
        let image = Arc::clone(self.agreed.newest());
        let leaders = image.topics().flat_map(|t| t.partitions.clone());
        let all: Vec<_> = leaders.filter_map(|p| p.leader.map(host_of)).collect();
        self.throws.pick(&all).filter(|host| self.is_up(*host))
    }

    pub(crate) fn any_partition(&mut self) -> Option<TopicPartition> {
        let all: Vec<_> = self.agreed.newest().topics().map(|t| t.id).collect();
        let topic = self.throws.pick(&all)?;
        Some(TopicPartition {
            topic,
            partition: 0,
        })
    }

    pub(crate) fn active_controller(&self) -> Option<Host> {
        let active =
            (0..VOTERS).filter(|host| self.is_up(*host) && self.nodes[*host].seat.is_active());
        active.max_by_key(|host| self.nodes[*host].seat.term())
    }

    /// Breaks something.
    pub(crate) fn strike(&mut self) {
        let own = self.climate.favourites;
        let kind = match self.throws.below(3) {
            0 => own[0],
            1 if self.throws.chance(50) => own[1],
            _ => self.throws.below(BLOWS),
        };
        match kind {
            0..=5 => self.strike_network(kind),
            6..=12 => self.strike_processes(kind),
            13..=15 => self.strike_disks(kind),
            16..=21 => self.administer(kind),
            22..=25 => self.strike_slyly(kind),
            _ => self.delete(),
        }
    }

    fn strike_network(&mut self, kind: u64) {
        let all = self.nodes.len() + self.clients.len();
        match kind {
            0 => {
                let host = self.any_node();
                self.note(|| format!("*** {host} is cut off"));
                self.network.isolate(host, all);
            }
            1 => {
                if let Some(host) = self.any_leader() {
                    // From brokers, or from clients only.
                    let (nodes, brokers) = (self.nodes.len(), self.throws.chance(70));
                    self.note(|| format!("*** leader {host} is cut off, from brokers: {brokers}"));
                    let others = if brokers { 0..nodes } else { nodes..all };
                    for other in others.filter(|other| *other != host) {
                        self.network.cut(host, other);
                        self.network.cut(other, host);
                    }
                }
            }
            2 => {
                if let Some(host) = self.active_controller() {
                    self.note(|| format!("*** controller {host} is cut off"));
                    self.network.isolate(host, all);
                }
            }
            3 => {
                let (from, to) = (self.any_node(), self.any_node());
                self.note(|| format!("*** {from} is not heard by {to}"));
                if from != to {
                    self.network.cut(from, to);
                }
            }
            4 => {
                let weather = Weather {
                    loss_percent: self.throws.below(25),
                    double_percent: self.throws.below(25),
                    delay_ms: (0, self.throws.between(1, 60)),
                };
                self.note(|| format!("*** {weather:?}"));
                self.network.weather = weather;
            }
            _ => {
                self.note(|| "*** lines are whole".to_owned());
                self.network.heal();
                self.network.weather = Weather::FINE;
            }
        }
    }

    fn strike_processes(&mut self, kind: u64) {
        let target = match kind {
            6 | 8 => self.any_leader(),
            _ => self.any_up(),
        };
        let Some(host) = target else {
            return;
        };
        match kind {
            6 | 7 => {
                self.note(|| format!("*** {host} is killed"));
                self.end_badly(host);
            }
            8 | 9 => self.cut_power(host),
            10 => {
                if self.throws.chance(50) {
                    for host in 0..self.nodes.len() {
                        self.cut_power(host);
                    }
                }
            }
            11 => {
                let ms = self.throws.between(100, 3_000);
                self.stall(host, ms);
            }
            _ => self.disturb_clock(host),
        }
    }

    /// What waits for its end goes on then, and no sooner.
    fn stall(&mut self, host: Host, ms: u64) {
        self.note(|| format!("*** {host} stands still for {ms} ms"));
        let until = &mut self.nodes[host].stalled_until;
        *until = (*until).max(self.now + ms);
    }

    fn disturb_clock(&mut self, host: Host) {
        let ahead = match self.throws.chance(50) {
            true => self.throws.between(0, 4_000),
            false => 0,
        };
        let rate = self.throws.between(800, 1_250);
        let wall = i64::try_from(self.throws.below(8_000_000)).unwrap() - 4_000_000;
        self.note(|| format!("*** clock of {host}: {ahead} ms ahead, {rate} / 1000"));
        let now = self.now;
        self.nodes[host].clock.disturb(now, rate, ahead);
        self.nodes[host].clock.set_wall(wall);
        self.wake_in(host, 0, Alarm::Heart);
    }

    pub(crate) fn end_badly(&mut self, host: Host) {
        self.kill(host);
        for at in self.partitions() {
            self.witness.forget(host, at);
        }
        let back = self.now + self.throws.between(20, 2_500);
        self.nodes[host].returns_at = Some(back);
    }

    fn cut_power(&mut self, host: Host) {
        if !self.is_up(host) {
            return;
        }
        self.note(|| format!("*** {host} loses its power"));
        self.end_badly(host);
        let node = &mut self.nodes[host];
        node.disk.lose_power(node.life, &mut self.throws);
    }

    fn strike_disks(&mut self, kind: u64) {
        let host = self.any_node();
        match kind {
            13 => {
                let pace = match self.throws.below(3) {
                    0 => (100, 900),
                    1 => (10, 80),
                    _ => (1, 8),
                };
                self.note(|| format!("*** flushes of {host} take {pace:?} ms"));
                self.nodes[host].disk.pace = pace;
            }
            14 if self.is_up(host) => {
                self.note(|| format!("*** a flush of {host} fails"));
                self.nodes[host].disk.has_failed = true;
                let back = self.throws.between(100, 2_000);
                self.nodes[host].returns_at = Some(self.now + back);
            }
            14 => {}
            _ if self.climate.loses_disks => self.lose_disk(host),
            _ => {}
        }
    }

    /// Whether everybody else who counts as clean has everything, and there is somebody: then one disk
    /// may go, and no other until the controller knows. That is what `min.insync.replicas` of 2
    /// promises.
    fn may_lose(&self, host: Host) -> bool {
        let image = self.agreed.newest();
        self.partitions().iter().all(|at| {
            let partition = image.partition(*at).unwrap();
            let unknown = Truth::default();
            let truth = self.witness.truths.get(at).unwrap_or(&unknown);
            let others = partition
                .clean()
                .map(host_of)
                .filter(|other| *other != host);
            let whole = |other: Host| {
                let log = self.nodes[other].disk.logs.get(at);
                let all = truth.rows.len();
                let has = |log: &Log| log.flushed >= all && log.common(&truth.rows) == all;
                log.map_or(truth.rows.is_empty(), has) && !self.is_harmed(other, *at)
            };
            let min = topic_rules(image, *at).0.min(partition.replicas.len());
            let mut others = others.into_iter().peekable();
            min >= 2 && truth.is_settled() && others.peek().is_some() && others.all(whole)
        })
    }

    fn lose_disk(&mut self, host: Host) {
        if self.throws.chance(40) {
            return self.save_disk(host);
        }
        if !self.may_lose(host) {
            return;
        }
        self.end_badly(host);
        let ghosts = std::mem::take(&mut self.nodes[host].fetched);
        for (to, fetch) in ghosts.values() {
            let ms = self.throws.between(100, 1_500);
            self.replay(host, *to, ms, Message::Fetch(*fetch));
        }
        self.nodes[host].ghost = ghosts;
        let old = self.old_disk(host);
        self.note(|| format!("*** {host} loses its disk; an old one: {}", old.is_some()));
        let fresh = self.new_disk();
        self.put_disk(host, old.unwrap_or(fresh));
    }

    /// Another disk takes the place of the one that a dead process had.
    pub(crate) fn put_disk(&mut self, host: Host, mut disk: Disk) {
        let life = self.nodes[host].life;
        let harmed = self.partitions().into_iter().map(|at| (at, life));
        disk.harmed = harmed.collect();
        self.nodes[host].disk = disk;
    }

    /// Yesterday's disk, if the broker has served under another epoch since: what is of the same
    /// epoch nobody could tell from a crash.
    fn old_disk(&mut self, host: Host) -> Option<Disk> {
        let served = self.agreed.newest().broker(node_id(host))?.served_epoch;
        let saved = self.nodes[host].saved.take()?;
        let is_older = match saved.last_life() {
            LastLife::New | LastLife::Unknown => true,
            LastLife::Crashed(epoch) | LastLife::Clean(epoch) => epoch < served,
        };
        is_older.then_some(saved)
    }

    fn save_disk(&mut self, host: Host) {
        self.note(|| format!("*** somebody copies the disk of {host}"));
        let mut saved = self.nodes[host].disk.clone();
        saved.lose_power(0, &mut self.throws);
        self.nodes[host].saved = Some(saved);
    }

    fn administer(&mut self, kind: u64) {
        let Some(at) = self.any_partition() else {
            return;
        };
        let name = self
            .agreed
            .newest()
            .topic_by_id(at.topic)
            .unwrap()
            .name
            .clone();
        let partition = PartitionName {
            topic: name.to_string(),
            partition: 0,
        };
        match kind {
            16 | 17 => {
                if let Some(host) = self.any_up() {
                    let patience = self.throws.between(200, 3_000);
                    self.ask_to_stop(host, patience);
                }
            }
            18 | 19 => self.reassign(partition),
            20 => {
                let unclean = self.throws.chance(15);
                let elect = ElectLeaders {
                    unclean,
                    partitions: Some(vec![partition]),
                };
                self.admin_asks(elect.into());
            }
            _ => {
                let least = if self.climate.loses_disks { 2 } else { 1 };
                let min = self.throws.between(least, 3);
                let edit = ConfigEdit {
                    name: "min.insync.replicas".to_owned(),
                    op: ConfigOp::Set,
                    value: Some(min.to_string()),
                };
                let resource = AlterResource {
                    target: ConfigTarget::Topic(name.to_string()),
                    change: ConfigChange::Edit(vec![edit]),
                };
                let alter = AlterConfigs {
                    resources: vec![resource],
                    validate_only: false,
                };
                self.admin_asks(alter.into());
            }
        }
    }

    /// Blows that hit where two things are under way at once.
    fn strike_slyly(&mut self, kind: u64) {
        match kind {
            22 => {
                let (from, ms) = (self.any_node(), self.throws.between(200, 1_500));
                let to = self.any_node();
                self.note(|| format!("*** the line from {from} to {to} stands still for {ms} ms"));
                self.network.hold(from, to, self.now + ms);
            }
            23 => {
                let host = self.any_node();
                self.note(|| format!("*** the agreed log does not reach {host}"));
                self.network.deaf.insert(host);
                if self.throws.chance(60) && self.is_up(host) {
                    self.end_badly(host);
                    self.nodes[host].returns_at = Some(self.now + 30);
                }
            }
            24 => self.plan_return(),
            _ => self.plan_haunting(),
        }
    }

    /// A follower dies and comes back; what its leader says of it to the controllers is late; and
    /// when it comes it is not true any more.
    fn plan_return(&mut self) {
        let Some(at) = self.any_partition() else {
            return;
        };
        let image = Arc::clone(self.agreed.newest());
        let partition = image.partition(at).unwrap();
        let Some(leader) = partition.leader.map(host_of) else {
            return;
        };
        let others = partition.replicas.iter().copied().map(host_of);
        let others: Vec<_> = others.filter(|h| *h != leader && self.is_up(*h)).collect();
        let Some(follower) = self.throws.pick(&others) else {
            return;
        };
        self.note(|| format!("*** {follower} comes back to {leader}, and again"));
        self.end_badly(follower);
        self.nodes[follower].returns_at = Some(self.now + 20);
        // Its number is its predecessor's until that one's session is over.
        let hold = self.now + self.throws.between(900, 1_500);
        let ms = self.throws.between(400, 900);
        let late = match self.throws.chance(50) {
            true => Plan::Hold(leader, ms),
            false => Plan::Delay(leader, ms),
        };
        self.plans.push((hold, late));
        let again = hold + self.throws.between(20, 300);
        self.plans.push((again, Plan::Again(follower)));
        if self.throws.chance(50) {
            let _ = self.plans.pop();
            let still = hold + ms - 20;
            self.plans.push((still, Plan::Stall(follower, 900)));
        }
    }

    /// A replica loses its disk while another one is slow; and what it asked before comes again when
    /// it has joined and has less than it had.
    fn plan_haunting(&mut self) {
        let Some(at) = self.any_partition() else {
            return;
        };
        let image = Arc::clone(self.agreed.newest());
        let partition = image.partition(at).unwrap();
        let in_sync = partition.isr.iter().copied().map(host_of);
        let leader = partition
            .leader
            .map(host_of)
            .filter(|host| self.is_up(*host));
        let others: Vec<_> = in_sync.filter(|host| Some(*host) != leader).collect();
        let (Some(leader), &[slow, follower]) = (leader, others.as_slice()) else {
            return;
        };
        self.note(|| format!("*** {slow} is slow, and {follower} will be haunted"));
        self.nodes[slow].disk.pace = (500, 900);
        self.pour(leader, at);
        let lost = self.now + self.throws.between(120, 260);
        self.plans.push((lost, Plan::Again(follower)));
        self.plans
            .push((lost + 10, Plan::Haunt(follower, at, lost + 3_000)));
    }

    /// Somebody deletes records, or they are too old. Producers know what is deleted to be stored:
    /// they are not that slow; and their last record stays, by which they are known.
    fn delete(&mut self) {
        let Some(at) = self.any_partition() else {
            return;
        };
        let image = Arc::clone(self.agreed.newest());
        let leader = image.partition(at).and_then(|p| p.leader).map(host_of);
        let Some(leader) = leader.filter(|host| !self.is_stalled(*host)) else {
            return;
        };
        if self.is_offsets(at) {
            // Its coordinator alone knows what nobody needs.
            return self.snapshot_groups(leader, at);
        }
        let careless = !self.has(Duty::DeleteCommitted);
        let kept = self.first_needed(at);
        let Some(replica) = self.replica(leader, at) else {
            return;
        };
        let committed = replica.committed;
        if replica.brain().is_none() || self.nodes[leader].disk.has_failed {
            return;
        }
        let log = &self.nodes[leader].disk.logs[&at];
        let (start, end) = (offset(log.start), log.end());
        let limit = match careless {
            true => end,
            false => committed.min(kept),
        };
        let waits = self.throws.chance(70);
        if limit > start {
            let least = u64::try_from(start).unwrap();
            let to = self.throws.between(least, u64::try_from(limit).unwrap());
            let to = if self.throws.chance(50) {
                limit
            } else {
                i64::try_from(to).unwrap()
            };
            self.delete_records(leader, at, (to, waits));
        }
    }

    /// Records that nobody waits for, all at once.
    pub(crate) fn pour(&mut self, leader: Host, at: TopicPartition) {
        for _ in 0..60 {
            let produce = Produce {
                id: self.next_id(),
                at,
                value: self.next_id(),
                sender: None,
                all: false,
                wait_ms: 0,
            };
            self.produce(leader, self.nodes.len(), produce);
        }
    }

    /// Whether it is not time yet.
    fn haunt(&mut self, host: Host, at: TopicPartition) -> bool {
        let Some((leader, fetch)) = self.nodes[host].ghost.get(&at).copied() else {
            return false;
        };
        let log = self.nodes[host].disk.logs.get(&at);
        let flushed = log.map_or(0, |log| log.end());
        let brain = self.replica(leader, at).and_then(Replica::brain);
        let proposed = brain.and_then(|brain| brain.proposed());
        let joins = proposed.is_some_and(|p| p.isr.iter().any(|(node, _)| *node == node_id(host)));
        if !joins || flushed >= fetch.end {
            return true;
        }
        self.note(|| format!("*** {host} is haunted at {flushed} by {}", fetch.end));
        self.network.cut(leader, host);
        for ms in [50, 150, 300] {
            self.replay(host, leader, ms, Message::Fetch(fetch));
        }
        false
    }

    pub(crate) fn follow_plans(&mut self) {
        let due = |(at, _): &(u64, Plan)| *at <= self.now;
        let (ready, rest) = std::mem::take(&mut self.plans).into_iter().partition(due);
        self.plans = rest;
        let ready: Vec<_> = ready;
        for (_, plan) in ready {
            match plan {
                Plan::Hold(leader, ms) => {
                    self.note(|| format!("*** controllers hear {leader} late"));
                    for to in (0..VOTERS).filter(|to| *to != leader) {
                        self.network.hold(leader, to, self.now + ms);
                    }
                }
                Plan::Delay(leader, ms) => {
                    self.note(|| format!("*** {leader} hears controllers late"));
                    for from in (0..VOTERS).filter(|from| *from != leader) {
                        self.network.hold(from, leader, self.now + ms);
                    }
                }
                Plan::Stall(host, ms) => self.stall(host, ms),
                Plan::Haunt(host, at, until) => {
                    if self.haunt(host, at) && self.now < until {
                        self.plans.push((self.now, plan));
                    }
                }
                Plan::Again(host) if self.climate.loses_disks => {
                    self.lose_disk(host);
                    self.hasten(host);
                }
                Plan::Again(host) => {
                    self.cut_power(host);
                    self.hasten(host);
                }
            }
        }
    }

    fn hasten(&mut self, host: Host) {
        if !self.is_up(host) {
            self.nodes[host].returns_at = Some(self.now + 20);
        }
    }

    fn reassign(&mut self, partition: PartitionName) {
        let all = self.nodes.len();
        let least = if self.climate.loses_disks { 2 } else { 1 };
        let count = self.throws.between(least, 3);
        let first = self.throws.index(all);
        let step = if self.throws.chance(50) { 1 } else { all - 1 };
        let mut replicas: Vec<_> = (0..)
            .map(|i| node_id((first + i * step) % all))
            .take(usize::try_from(count).unwrap())
            .collect();
        replicas.dedup();
        let replicas = (!self.throws.chance(15)).then_some(replicas);
        let change = Reassign {
            changes: vec![Reassignment {
                partition,
                replicas,
            }],
            allow_factor_change: true,
        };
        self.admin_asks(change.into());
    }

    /// Somebody asks a controller, and does not care what it says.
    pub(crate) fn admin_asks(&mut self, request: Request) {
        self.note(|| format!("*** {request:?}"));
        let to = self.active_controller().unwrap_or(0);
        let admin = self.nodes.len() + self.clients.len();
        let id = self.next_id();
        self.send(admin, to, Message::Ask { id, request });
    }
}
