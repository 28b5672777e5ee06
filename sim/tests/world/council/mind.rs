//! The active controller's mind: the machine, and one round of decisions at a time.

use std::collections::VecDeque;

use freshet_metadata::{MetadataMachine, MetadataTimer, Record, Reply, Request};
use freshet_types::{Decision, Machine, Millis, Now, Predecessor, Ticket};

use super::{CONTENT_MS, Role, majority};
use crate::message::Message;
use crate::network::Host;
use crate::rules::Duty;
use crate::world::{World, node_id};

/// Proposals of one round at most.
const AT_ONCE: usize = 16;

type Asker = (Host, u64);

/// Decided, and not agreed to yet.
#[derive(Debug)]
struct Round {
    /// How long the log must be that is agreed to; `None` for answers without records: then a
    /// majority must have heard this leader since.
    length: Option<usize>,
    beat: u64,
    replies: Vec<(Asker, Reply)>,
}

#[derive(Debug)]
pub(crate) struct Mind {
    machine: MetadataMachine,
    timers: Vec<(Millis, MetadataTimer)>,
    waiting: VecDeque<(Asker, Request)>,
    round: Option<Round>,
}

/// What a round gathers.
#[derive(Default)]
struct Gathered {
    records: Vec<Record>,
    askers: Vec<Asker>,
    replies: Vec<(Asker, Reply)>,
}

impl Mind {
    /// Who gets no answer, when it is thrown away.
    pub(super) fn into_waiting(self) -> impl Iterator<Item = Asker> {
        let round = self.round.into_iter().flat_map(|round| round.replies);
        let waiting = self.waiting.into_iter().map(|(asker, _)| asker);
        round.map(|(asker, _)| asker).chain(waiting)
    }

    pub(crate) fn machine(&self) -> &MetadataMachine {
        &self.machine
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.round.is_none()
    }

    fn absorb(&mut self, into: &mut Gathered, decision: Decision<MetadataMachine>) {
        for record in &decision.records {
            self.machine.apply(record);
        }
        into.records.extend(decision.records);
        for timer in decision.timers {
            self.timers.retain(|(_, key)| *key != timer.key);
            self.timers.extend(timer.at.map(|at| (at, timer.key)));
        }
        for (Ticket(ticket), reply) in decision.replies {
            let asker = into.askers[usize::try_from(ticket).unwrap()];
            into.replies.push((asker, reply));
        }
    }

    fn decide(&mut self, now: Now) -> Gathered {
        let mut into = Gathered::default();
        for _ in 0..AT_ONCE {
            let Some((asker, request)) = self.waiting.pop_front() else {
                break;
            };
            let ticket = Ticket(into.askers.len() as u64);
            into.askers.push(asker);
            let decision = self.machine.decide(now, ticket, request);
            self.absorb(&mut into, decision);
        }
        while let Some(at) = self.timers.iter().position(|(at, _)| *at <= now.monotonic) {
            let (_, key) = self.timers.swap_remove(at);
            let decision = self.machine.fire(now, key);
            self.absorb(&mut into, decision);
        }
        into
    }
}

impl World {
    /// A leader whose first entry is agreed to begins to think.
    pub(super) fn think_first(&mut self, host: Host) {
        let now = self.nodes[host].clock.now(self.now);
        let seat = &mut self.nodes[host].seat;
        let whole = seat.committed == seat.log.len();
        let Role::Leads(lead) = &mut seat.role else {
            return;
        };
        if !whole || lead.mind.is_some() {
            return;
        }
        let mut mind = Mind {
            machine: self.agreed.copy(),
            timers: Vec::new(),
            waiting: VecDeque::new(),
            round: None,
        };
        let loaded = mind.machine.loaded(now);
        mind.absorb(&mut Gathered::default(), loaded);
        if let Some((leader, heard)) = seat.before.take() {
            let silent = (now.monotonic - heard).min(CONTENT_MS);
            let before = Predecessor {
                node: node_id(leader),
                heard: Millis(now.monotonic.0 - silent),
            };
            let succeeds = mind.machine.succeeds(now, before);
            mind.absorb(&mut Gathered::default(), succeeds);
        }
        lead.mind = Some(mind);
        self.note(|| format!("controller {host} is active"));
    }

    pub(crate) fn asked(&mut self, host: Host, from: Host, id: u64, request: Request) {
        let seat = &mut self.nodes[host].seat;
        let hint = match &mut seat.role {
            Role::Leads(lead) => match &mut lead.mind {
                Some(mind) => {
                    mind.waiting.push_back(((from, id), request));
                    return self.deliberate(host);
                }
                None => None,
            },
            Role::Follows(leader) => *leader,
            Role::Stands(_) => None,
        };
        let told = Err(hint);
        self.send(host, from, Message::Told { id, told });
    }

    /// Decides what waits and what is due, unless a round is under way.
    pub(super) fn deliberate(&mut self, host: Host) {
        let now = self.nodes[host].clock.now(self.now);
        let seat = &mut self.nodes[host].seat;
        let (len, next_beat) = match &mut seat.role {
            Role::Leads(lead) => (seat.log.len(), lead.beat + 1),
            Role::Follows(_) | Role::Stands(_) => return,
        };
        let Some(mind) = seat.lead().and_then(|lead| lead.mind.as_mut()) else {
            return;
        };
        if mind.round.is_some() {
            return;
        }
        let Gathered {
            records, replies, ..
        } = mind.decide(now);
        if records.is_empty() && replies.is_empty() {
            return;
        }
        let length = (!records.is_empty()).then_some(len + 1);
        let (now_said, later) = match self.has(Duty::AgreedReplies) {
            true => (Vec::new(), replies),
            false => (replies, Vec::new()),
        };
        self.put_round(host, length, next_beat, later);
        match length {
            Some(_) => drop(self.push_entry(host, Some(len), records)),
            None => self.broadcast(host),
        }
        self.answer(host, now_said, len);
    }

    fn put_round(
        &mut self,
        host: Host,
        length: Option<usize>,
        beat: u64,
        replies: Vec<(Asker, Reply)>,
    ) {
        let mind = self.nodes[host].seat.lead().and_then(|l| l.mind.as_mut());
        if let Some(mind) = mind {
            mind.round = Some(Round {
                length,
                beat,
                replies,
            });
        }
    }

    /// Answers a round that is agreed to, and begins the next one.
    pub(super) fn settle_round(&mut self, host: Host) {
        let seat = &mut self.nodes[host].seat;
        let committed = seat.committed;
        let Role::Leads(lead) = &mut seat.role else {
            return;
        };
        let echoed = &lead.echoed;
        let Some(mind) = &mut lead.mind else {
            return;
        };
        let done = |round: &mut Round| match round.length {
            Some(length) => committed >= length,
            None => majority(|host| echoed[host] >= round.beat),
        };
        if let Some(round) = mind.round.take_if(done) {
            self.answer(host, round.replies, committed);
            self.deliberate(host);
        }
    }

    fn answer(&mut self, host: Host, replies: Vec<(Asker, Reply)>, committed: usize) {
        for ((to, id), reply) in replies {
            let told = Ok((reply, committed));
            self.send(host, to, Message::Told { id, told });
        }
    }
}
