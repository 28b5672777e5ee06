//! The shard under test, with a host made of vectors.

mod admin;
mod failover;
mod joining;
mod leaving;
mod offsets;
mod random;
mod statics;
mod syncing;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use freshet_types::{Decision, Machine, Millis, Now, Ticket, Timestamp};

use super::api::*;
use super::{Groups, Limits, Record, TimerKey};

/// Wall time of the test's start: the two clocks must not be mixed up.
const WALL_START: i64 = 1_700_000_000_000;

/// Does what a real host does: applies at once, keeps timers, and holds tickets to account.
pub(crate) struct Host {
    pub(crate) groups: Groups,
    pub(crate) log: Vec<Record>,
    limits: Limits,
    now_ms: u64,
    next_ticket: u64,
    open: BTreeMap<Ticket, &'static str>,
    replies: HashMap<Ticket, Reply>,
    timers: HashMap<TimerKey, u64>,
}

impl Host {
    pub(crate) fn new(limits: Limits) -> Self {
        let mut host = Self {
            groups: Groups::new(limits),
            log: Vec::new(),
            limits,
            now_ms: 50_000,
            next_ticket: 0,
            open: BTreeMap::new(),
            replies: HashMap::new(),
            timers: HashMap::new(),
        };
        let decision = host.groups.loaded(host.now());
        host.absorb(decision);
        host
    }

    pub(crate) fn usual() -> Self {
        Self::new(Limits::default())
    }

    fn now(&self) -> Now {
        let wall = Timestamp(WALL_START + self.now_ms as i64);
        Now {
            monotonic: Millis(self.now_ms),
            wall,
        }
    }

    fn absorb(&mut self, decision: Decision<Groups>) {
        for record in decision.records {
            let (key, value) = record.encode();
            let read = Record::decode(&key, value.as_deref()).expect("readable");
            assert_eq!(read.as_ref(), Some(&record), "stored and read back");
            self.groups.apply(&record);
            self.log.push(record);
        }
        for timer in decision.timers {
            match timer.at {
                Some(at) => self.timers.insert(timer.key, at.0),
                None => self.timers.remove(&timer.key),
            };
        }
        for (ticket, reply) in decision.replies {
            assert!(
                self.open.remove(&ticket).is_some(),
                "{ticket:?} answered twice: {reply:?}"
            );
            self.replies.insert(ticket, reply);
        }
    }

    pub(crate) fn start(&mut self, request: impl Into<Request>) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.open.insert(ticket, "open");
        let decision = self.groups.decide(self.now(), ticket, request.into());
        self.absorb(decision);
        ticket
    }

    /// Asks and expects the answer at once.
    pub(crate) fn ask<A: Ask>(&mut self, request: A) -> A::Answer {
        let ticket = self.start(request);
        self.take::<A>(ticket)
    }

    pub(crate) fn is_waiting(&self, ticket: Ticket) -> bool {
        self.open.contains_key(&ticket)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn take<A: Ask>(&mut self, ticket: Ticket) -> A::Answer {
        let reply = self.replies.remove(&ticket).expect("answered");
        A::answer(reply).expect("the right kind of answer")
    }

    pub(crate) fn joined(&mut self, ticket: Ticket) -> Joined {
        self.take::<Join>(ticket).expect("joined")
    }

    pub(crate) fn refused(&mut self, ticket: Ticket) -> GroupError {
        self.take::<Join>(ticket).expect_err("refused").error
    }

    /// Lets time pass, firing what is due on the way.
    pub(crate) fn pass(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while let Some((key, at)) = self.next_timer().filter(|(_, at)| *at <= end) {
            self.now_ms = self.now_ms.max(at);
            self.timers.remove(&key);
            let decision = self.groups.fire(self.now(), key);
            self.absorb(decision);
        }
        self.now_ms = end;
    }

    fn next_timer(&self) -> Option<(TimerKey, u64)> {
        let order = |(key, at): &(&TimerKey, &u64)| (**at, format!("{key:?}"));
        self.timers
            .iter()
            .min_by_key(order)
            .map(|(key, at)| (key.clone(), *at))
    }

    /// The broker dies and another one takes over from the log.
    pub(crate) fn fail_over(&mut self) {
        self.fail_over_from(self.log.clone());
    }

    pub(crate) fn fail_over_from(&mut self, log: Vec<Record>) {
        self.groups = Groups::new(self.limits);
        self.open.clear();
        self.timers.clear();
        self.now_ms += 1_234;
        for record in &log {
            self.groups.apply(record);
        }
        let decision = self.groups.loaded(self.now());
        self.absorb(decision);
    }

    pub(crate) fn state(&mut self, group: &str) -> Option<State> {
        let groups = vec![group.into()];
        let described = self.ask(Describe { groups }).remove(0);
        described.ok().map(|described| described.state)
    }

    /// Lets `count` new dynamic members with subscription to "t" join group "g" and become stable;
    /// gives their ids, the leader first.
    pub(crate) fn stable(&mut self, count: usize) -> Vec<Arc<str>> {
        let tickets: Vec<Ticket> = (0..count).map(|n| self.start(join(n))).collect();
        self.pass(3_000 * (count as u64 + 1));
        let joined: Vec<Joined> = tickets
            .into_iter()
            .map(|ticket| self.joined(ticket))
            .collect();
        let leader = Arc::clone(&joined[0].leader);
        let generation = joined[0].generation;
        let mut ids: Vec<Arc<str>> = joined.into_iter().map(|joined| joined.member_id).collect();
        ids.sort_by_key(|id| *id != leader);
        self.sync_all(&ids, generation);
        ids
    }

    /// The first of `ids` leads and gives each member its own id as assignment.
    pub(crate) fn sync_all(&mut self, ids: &[Arc<str>], generation: i32) {
        let followers: Vec<Ticket> = ids[1..]
            .iter()
            .map(|id| self.start(sync(id, generation)))
            .collect();
        let mut lead = sync(&ids[0], generation);
        lead.assignments = ids.iter().map(assignment).collect();
        self.ask(lead).expect("the leader is synced");
        for ticket in followers {
            self.take::<Sync>(ticket).expect("a follower is synced");
        }
    }

    /// All of `ids` join again, and sync; gives the new generation.
    pub(crate) fn rejoin_all(&mut self, ids: &[Arc<str>]) -> i32 {
        let tickets: Vec<Ticket> = ids.iter().map(|id| self.start(rejoin(id))).collect();
        let joined: Vec<Joined> = tickets
            .into_iter()
            .map(|ticket| self.joined(ticket))
            .collect();
        let mut ids: Vec<Arc<str>> = ids.to_vec();
        ids.sort_by_key(|id| *id != joined[0].leader);
        self.sync_all(&ids, joined[0].generation);
        joined[0].generation
    }
}

/// A subscription as consumers write it.
pub(crate) fn subscription(topics: &[&str]) -> Bytes {
    let mut bytes = vec![0, 1];
    bytes.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        bytes.extend((topic.len() as i16).to_be_bytes());
        bytes.extend(topic.as_bytes());
    }
    bytes.extend((-1i32).to_be_bytes()); // no user data
    bytes.extend(0i32.to_be_bytes()); // no owned partitions (version 1)
    bytes.into()
}

pub(crate) fn protocol(name: &str, metadata: Bytes) -> Protocol {
    Protocol {
        name: name.into(),
        metadata,
    }
}

/// A new consumer that needs no second join; `n` makes it unlike others.
pub(crate) fn join(n: usize) -> Join {
    Join {
        group: "g".into(),
        member_id: "".into(),
        instance_id: None,
        client_id: "c".into(),
        client_host: "/10.0.0.1".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".into(),
        protocols: vec![protocol("range", subscription(&["t"]))],
        needs_known_id: false,
        may_skip_assignment: true,
        random: [n as u8; 16],
    }
}

pub(crate) fn rejoin(id: &Arc<str>) -> Join {
    Join {
        member_id: Arc::clone(id),
        ..join(0)
    }
}

pub(crate) fn sync(id: &Arc<str>, generation: i32) -> Sync {
    Sync {
        group: "g".into(),
        member_id: Arc::clone(id),
        instance_id: None,
        generation,
        protocol_type: None,
        protocol: None,
        assignments: Vec::new(),
    }
}

pub(crate) fn assignment(id: &Arc<str>) -> Assignment {
    let assignment = Bytes::copy_from_slice(id.as_bytes());
    Assignment {
        member_id: Arc::clone(id),
        assignment,
    }
}

pub(crate) fn beat(id: &Arc<str>, generation: i32) -> Heartbeat {
    Heartbeat {
        group: "g".into(),
        member_id: Arc::clone(id),
        instance_id: None,
        generation,
    }
}

pub(crate) fn leave(ids: &[&Arc<str>]) -> Leave {
    let leaver = |id: &&Arc<str>| Leaver {
        member_id: Arc::clone(id),
        instance_id: None,
    };
    Leave {
        group: "g".into(),
        members: ids.iter().map(leaver).collect(),
    }
}
