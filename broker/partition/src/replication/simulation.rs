//! Three replicas and a controller under a seeded scheduler: messages are late, lost and doubled,
//! brokers crash and lose what they had not flushed, one that is out of sync may lose its disk, and
//! leaders do not know that they are leaders no more. What was acknowledged must survive.
//!
//! Each guard of the protocol can be taken away; then the same checks must find a loss, or they
//! would prove nothing.

use std::collections::BTreeMap;

use freshet_types::{LeaderEpoch, Millis, NodeId, Offset};

use super::{
    Answer, BrokerEpoch, Divergence, Fetched, IsrChange, Leader, LeaderStart, Local, Moved, Step,
    Term, next_step,
};

const NODES: usize = 3;
const STEPS: usize = 2500;
const SEEDS: u64 = 400;
const LAG: Millis = Millis(60);

/// A rule that may be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guard {
    /// Followers report what they have flushed, not what they have.
    FlushBeforeReport,
    /// The controller takes an ISR change only from what it has committed last.
    CompareAndSet,
    /// The controller takes a member only with its present registration.
    BrokerEpochs,
    /// Leader and follower talk only within one epoch.
    LeaderEpochs,
    /// A follower learns where its log departs from the leader's.
    Divergence,
    /// A proposal that came too late counts as open until the leader hears what is committed.
    StaleIsOpen,
    /// Only members of the ISR are elected.
    CleanElection,
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % below as u64).expect("small")
    }
}

type Record = (LeaderEpoch, u64);

enum Role {
    Idle,
    Lead {
        brain: Box<Leader>,
        waiting: BTreeMap<Offset, u64>,
    },
    Follow {
        leader: usize,
        epoch: LeaderEpoch,
    },
}

struct Node {
    up: bool,
    broker_epoch: BrokerEpoch,
    log: Vec<Record>,
    flushed: usize,
    high_watermark: Offset,
    role: Role,
}

impl Node {
    fn end(&self) -> Offset {
        offset(self.log.len())
    }

    fn end_of_epoch(&self, epoch: LeaderEpoch) -> Divergence {
        let end = self.log.partition_point(|(e, _)| *e <= epoch);
        let found = end.checked_sub(1).map_or(-1, |at| self.log[at].0);
        Divergence {
            epoch: found,
            end: offset(end),
        }
    }
}

#[derive(Clone)]
enum Message {
    Fetch {
        from: usize,
        to: usize,
        leader_epoch: LeaderEpoch,
        broker_epoch: BrokerEpoch,
        end: Offset,
        last_epoch: LeaderEpoch,
    },
    Reply {
        to: usize,
        leader_epoch: LeaderEpoch,
        asked: Offset,
        answer: Answer,
        records: Vec<Record>,
    },
    Change(usize, IsrChange),
    Refused(usize, IsrChange),
}

/// What the controller has committed.
struct Controller {
    term: Term,
    leader: Option<usize>,
    registered: [(BrokerEpoch, bool); NODES],
    next_broker_epoch: BrokerEpoch,
}

struct World {
    dice: Dice,
    now: Millis,
    without: Option<Guard>,
    nodes: Vec<Node>,
    controller: Controller,
    net: Vec<Message>,
    acked: BTreeMap<Offset, u64>,
    next_value: u64,
    violation: Option<String>,
}

fn offset(len: usize) -> Offset {
    i64::try_from(len).expect("small")
}

fn index(offset: Offset) -> usize {
    usize::try_from(offset).expect("not negative")
}

fn node_id(node: usize) -> NodeId {
    NodeId(i32::try_from(node).expect("small"))
}

fn node_of(id: NodeId) -> usize {
    usize::try_from(id.0).expect("not negative")
}

impl World {
    fn new(seed: u64, without: Option<Guard>) -> Self {
        let all: Vec<NodeId> = (0..NODES).map(node_id).collect();
        let node = |broker_epoch| Node {
            up: true,
            broker_epoch,
            log: Vec::new(),
            flushed: 0,
            high_watermark: 0,
            role: Role::Idle,
        };
        Self {
            dice: Dice(seed),
            now: Millis(0),
            without,
            nodes: (0..3).map(node).collect(),
            controller: Controller {
                term: Term {
                    leader_epoch: 0,
                    partition_epoch: 0,
                    replicas: all.clone(),
                    isr: all,
                    min_in_sync: 2,
                },
                leader: Some(0),
                registered: [(0, true), (1, true), (2, true)],
                next_broker_epoch: 3,
            },
            net: Vec::new(),
            acked: BTreeMap::new(),
            next_value: 0,
            violation: None,
        }
    }

    fn has(&self, guard: Guard) -> bool {
        self.without != Some(guard)
    }

    fn run(mut self) -> Result<usize, String> {
        for _ in 0..STEPS {
            self.now.0 += 1;
            let node = self.dice.roll(NODES);
            match self.dice.roll(1000) {
                0..150 => self.produce(node),
                150..350 => self.flush(node),
                350..550 => self.fetch(node),
                550..840 => self.deliver(),
                840..900 => self.learn(node),
                900..905 => self.crash(node),
                905..910 => self.lose_disk(node),
                910..940 => self.restart(node),
                940..943 => self.fence(node),
                943..970 => self.unfence(node),
                970..980 => self.move_leader(node),
                _ => self.look_for_laggards(node),
            }
            self.agree();
            if let Some(what) = self.violation.take() {
                return Err(format!("{what} at {}", self.now.0));
            }
        }
        Ok(self.acked.len())
    }

    fn produce(&mut self, at: usize) {
        let value = self.next_value;
        let node = &mut self.nodes[at];
        let end = node.end();
        if let Role::Lead { brain, waiting } = &mut node.role
            && brain.has_quorum()
        {
            self.next_value += 1;
            node.log.push((brain.term().leader_epoch, value));
            brain.appended(end + 1, self.now);
            waiting.insert(end, value);
        }
    }

    fn flush(&mut self, at: usize) {
        let now = self.now;
        let node = &mut self.nodes[at];
        if !node.up {
            return;
        }
        node.flushed = node.log.len();
        let end = node.end();
        if let Role::Lead { brain, .. } = &mut node.role {
            let moved = brain.flushed(end, now);
            self.moved(at, moved);
        }
    }

    fn fetch(&mut self, from: usize) {
        let patience = self.dice.roll(8);
        let node = &self.nodes[from];
        let Role::Follow { leader, epoch } = node.role else {
            return;
        };
        if self.has(Guard::FlushBeforeReport) && node.flushed < node.log.len() {
            return;
        }
        let waits = |message: &Message| match message {
            Message::Fetch { from: node, .. } | Message::Reply { to: node, .. } => *node == from,
            _ => false,
        };
        // One at a time, unless the answer takes too long.
        if self.net.iter().any(waits) && patience > 0 {
            return;
        }
        self.net.push(Message::Fetch {
            from,
            to: leader,
            leader_epoch: epoch,
            broker_epoch: node.broker_epoch,
            end: node.end(),
            last_epoch: node.log.last().map_or(-1, |(epoch, _)| *epoch),
        });
    }

    fn deliver(&mut self) {
        if self.net.is_empty() {
            return;
        }
        let at = self.dice.roll(self.net.len());
        let message = match self.dice.roll(12) {
            0 => self.net[at].clone(),
            _ => self.net.swap_remove(at),
        };
        if self.dice.roll(12) == 0 {
            return;
        }
        match message {
            Message::Fetch { to, .. } if self.nodes[to].up => self.answer(message),
            Message::Reply { to, .. } if self.nodes[to].up => self.follow(message),
            Message::Change(from, change) => self.change(from, &change),
            Message::Refused(to, change) => {
                if let Role::Lead { brain, .. } = &mut self.nodes[to].role {
                    brain.refused(&change);
                }
            }
            _ => {}
        }
    }

    fn answer(&mut self, fetch: Message) {
        let Message::Fetch {
            from,
            to,
            leader_epoch,
            broker_epoch,
            end,
            last_epoch,
        } = fetch
        else {
            return;
        };
        let (same_epoch, diverge) = (self.has(Guard::LeaderEpochs), self.has(Guard::Divergence));
        let node = &mut self.nodes[to];
        let departs = node.end_of_epoch(last_epoch);
        let (log_end, mine) = (node.end(), &mut node.role);
        let Role::Lead { brain, .. } = mine else {
            return;
        };
        if same_epoch && brain.term().leader_epoch != leader_epoch {
            return;
        }
        let mut records = Vec::new();
        let differs = end > 0 && (departs.epoch != last_epoch || departs.end < end);
        let answer = if differs && diverge {
            Answer::Diverged(departs)
        } else if end > log_end {
            Answer::OutOfRange {
                log_start: 0,
                log_end,
            }
        } else {
            let registered = self.controller.registered;
            let alive = |id: NodeId| {
                let (epoch, unfenced) = registered[node_of(id)];
                unfenced.then_some(epoch)
            };
            let fetched = Fetched {
                node: node_id(from),
                broker_epoch,
                log_start: 0,
                end,
                leader_start: 0,
                now: self.now,
            };
            let Ok(moved) = brain.fetched(fetched, alive) else {
                return;
            };
            let high_watermark = brain.high_watermark();
            let until = (index(end) + 3).min(node.log.len());
            records.extend_from_slice(&node.log[index(end)..until]);
            self.moved(to, moved);
            Answer::Records {
                any: !records.is_empty(),
                high_watermark,
                log_start: 0,
            }
        };
        self.net.push(Message::Reply {
            to: from,
            leader_epoch,
            asked: end,
            answer,
            records,
        });
    }

    fn follow(&mut self, reply: Message) {
        let Message::Reply {
            to,
            leader_epoch,
            asked,
            answer,
            records,
        } = reply
        else {
            return;
        };
        let same_epoch = self.has(Guard::LeaderEpochs);
        let node = &mut self.nodes[to];
        let current = match node.role {
            Role::Follow { epoch, .. } => epoch == leader_epoch || !same_epoch,
            Role::Idle | Role::Lead { .. } => false,
        };
        // One fetch is under way at a time: an answer to another one is none.
        if !current || asked != node.end() {
            return;
        }
        let local = Local {
            log_start: 0,
            log_end: node.end(),
            high_watermark: node.high_watermark,
        };
        match next_step(answer, local, |epoch| node.end_of_epoch(epoch)) {
            Step::Append { high_watermark, .. } => {
                node.high_watermark = high_watermark;
                node.log.extend(records);
            }
            Step::Truncate {
                to: end,
                loses_committed,
            } => {
                if loses_committed {
                    self.violation = Some(format!("{to} cuts committed records at {end}"));
                }
                node.log.truncate(index(end));
                node.flushed = node.flushed.min(node.log.len());
                node.high_watermark = node.high_watermark.min(end);
            }
            Step::RestartAt(_) | Step::Pause | Step::AwaitLeader => {}
        }
    }

    fn change(&mut self, from: usize, change: &IsrChange) {
        let term = &self.controller.term;
        let registered = |&(id, epoch): &(NodeId, BrokerEpoch)| {
            let (known, unfenced) = self.controller.registered[node_of(id)];
            let same = epoch == known || id == node_id(from);
            unfenced && (same || !self.has(Guard::BrokerEpochs))
        };
        let same = change.partition_epoch == term.partition_epoch
            && change.leader_epoch == term.leader_epoch;
        let from_leader = self.controller.leader == Some(from);
        let in_time = (same || !self.has(Guard::CompareAndSet)) && from_leader;
        let eligible = change.isr.iter().all(registered);
        if in_time && eligible {
            self.controller.term.isr = change.isr.iter().map(|(id, _)| *id).collect();
            self.controller.term.partition_epoch += 1;
        } else if in_time || !self.has(Guard::StaleIsOpen) {
            self.net.push(Message::Refused(from, change.clone()));
        }
    }

    /// A broker hears what is committed.
    fn learn(&mut self, at: usize) {
        let (term, now) = (self.controller.term.clone(), self.now);
        let (leader, node) = (self.controller.leader, &mut self.nodes[at]);
        if !node.up {
            return;
        }
        let known = match &node.role {
            Role::Idle => -1,
            Role::Lead { brain, .. } => brain.term().leader_epoch,
            Role::Follow { epoch, .. } => *epoch,
        };
        if leader == Some(at) {
            if let Role::Lead { brain, .. } = &mut node.role
                && known == term.leader_epoch
            {
                let moved = brain.renew(term, now);
                self.moved(at, moved);
            } else if known < term.leader_epoch {
                let start = LeaderStart {
                    me: node_id(at),
                    log_end: node.end(),
                    flushed: offset(node.flushed),
                    high_watermark: node.high_watermark,
                    now,
                    lag_max: LAG,
                };
                node.role = Role::Lead {
                    brain: Box::new(Leader::new(term, start)),
                    waiting: BTreeMap::new(),
                };
            }
        } else if let Some(leader) = leader
            && known < term.leader_epoch
        {
            let epoch = term.leader_epoch;
            node.role = Role::Follow { leader, epoch };
        }
    }

    fn crash(&mut self, at: usize) {
        let keep = self.dice.roll(3);
        let node = &mut self.nodes[at];
        if !node.up {
            return;
        }
        node.up = false;
        // Some of what was not flushed may be there all the same.
        let kept = (node.flushed + keep).min(node.log.len());
        node.log.truncate(kept);
        node.flushed = kept;
        node.high_watermark = 0;
        node.role = Role::Idle;
    }

    /// A broker that nobody counts on comes back with an empty disk.
    fn lose_disk(&mut self, at: usize) {
        let in_sync = self.controller.term.isr.contains(&node_id(at));
        if in_sync || self.dice.roll(3) > 0 {
            return;
        }
        self.crash(at);
        self.nodes[at].log.clear();
        self.nodes[at].flushed = 0;
        self.restart(at);
    }

    fn restart(&mut self, at: usize) {
        if self.nodes[at].up {
            return;
        }
        self.fence(at);
        let epoch = self.controller.next_broker_epoch;
        self.controller.next_broker_epoch += 1;
        self.controller.registered[at] = (epoch, true);
        self.nodes[at].up = true;
        self.nodes[at].broker_epoch = epoch;
        self.elect_if_needed();
    }

    fn fence(&mut self, at: usize) {
        let Controller {
            term,
            leader,
            registered,
            ..
        } = &mut self.controller;
        registered[at].1 = false;
        let was_in = term.isr.contains(&node_id(at));
        if term.isr.len() > 1 && was_in {
            term.isr.retain(|id| *id != node_id(at));
            term.partition_epoch += 1;
        }
        if *leader == Some(at) {
            *leader = None;
        }
        self.elect_if_needed();
    }

    fn unfence(&mut self, at: usize) {
        if self.nodes[at].up {
            self.controller.registered[at].1 = true;
            self.elect_if_needed();
        }
    }

    /// A planned move: the old leader stays in the ISR.
    fn move_leader(&mut self, to: usize) {
        let in_sync = self.controller.term.isr.contains(&node_id(to));
        if in_sync && self.controller.registered[to].1 && self.controller.leader != Some(to) {
            self.elect(to);
        }
    }

    fn elect_if_needed(&mut self) {
        if self.controller.leader.is_some() {
            return;
        }
        let clean = self.has(Guard::CleanElection);
        let may_lead = |node: &usize| {
            let in_sync = self.controller.term.isr.contains(&node_id(*node));
            self.controller.registered[*node].1 && (in_sync || !clean)
        };
        let candidates: Vec<usize> = (0..NODES).filter(may_lead).collect();
        if candidates.is_empty() {
            return;
        }
        let chosen = candidates[self.dice.roll(candidates.len())];
        self.elect(chosen);
    }

    fn elect(&mut self, leader: usize) {
        let term = &mut self.controller.term;
        self.controller.leader = Some(leader);
        term.leader_epoch += 1;
        term.partition_epoch += 1;
        if !term.isr.contains(&node_id(leader)) {
            term.isr = vec![node_id(leader)];
        }
        let log = &self.nodes[leader].log;
        let lost = self
            .acked
            .iter()
            .find(|(offset, value)| log.get(index(**offset)).map(|r| r.1) != Some(**value));
        if let Some((offset, value)) = lost {
            let what = format!("{value}, acknowledged at {offset}, is not with leader {leader}");
            self.violation = Some(what);
        }
    }

    fn look_for_laggards(&mut self, at: usize) {
        let now = self.now;
        if let Role::Lead { brain, .. } = &mut self.nodes[at].role {
            let change = brain.look_for_laggards(now);
            let again = brain.proposed().cloned();
            let change = change.or(again).map(|change| Message::Change(at, change));
            self.net.extend(change);
        }
    }

    /// Acknowledges what a leader has committed.
    fn moved(&mut self, at: usize, moved: Moved) {
        if let Some(change) = moved.propose {
            self.net.push(Message::Change(at, change));
        }
        let Some(end) = moved.high_watermark else {
            return;
        };
        self.nodes[at].high_watermark = end;
        let Role::Lead { waiting, .. } = &mut self.nodes[at].role else {
            return;
        };
        let later = waiting.split_off(&end);
        for (offset, value) in std::mem::replace(waiting, later) {
            if self.acked.insert(offset, value).is_some_and(|v| v != value) {
                self.violation = Some(format!("two values acknowledged at {offset}"));
            }
        }
    }

    /// Below both their high watermarks, any two replicas have the same.
    fn agree(&mut self) {
        for a in 0..NODES {
            for b in 0..a {
                let (a, b) = (&self.nodes[a], &self.nodes[b]);
                let both = index(a.high_watermark.min(b.high_watermark));
                if a.log.get(..both) != b.log.get(..both) {
                    self.violation = Some(format!("replicas differ below {both}"));
                }
            }
        }
    }
}

#[test]
fn what_was_acknowledged_survives() {
    let mut acked = 0;
    for seed in 0..SEEDS {
        match World::new(seed, None).run() {
            Ok(count) => acked += count,
            Err(what) => panic!("seed {seed}: {what}"),
        }
    }
    let enough = usize::try_from(SEEDS).expect("small") * 20;
    assert!(
        acked > enough,
        "only {acked} acknowledged: the faults stop everything"
    );
}

#[test]
fn a_seed_replays() {
    for seed in 0..20 {
        assert_eq!(World::new(seed, None).run(), World::new(seed, None).run());
    }
}

#[test]
fn no_guard_is_idle() {
    let guards = [
        Guard::FlushBeforeReport,
        Guard::CompareAndSet,
        Guard::BrokerEpochs,
        Guard::LeaderEpochs,
        Guard::Divergence,
        Guard::StaleIsOpen,
        Guard::CleanElection,
    ];
    for guard in guards {
        let caught = (0..20 * SEEDS).find(|seed| World::new(*seed, Some(guard)).run().is_err());
        assert!(caught.is_some(), "nothing is lost without {guard:?}");
    }
}
