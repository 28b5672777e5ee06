//! The host of a shard of groups, as the product's is: it decides at once, applies, appends, and
//! answers when what was decided up to then is committed.

use std::collections::{BTreeMap, VecDeque};

use freshet_coordinators::groups::api::{Reply, Request};
use freshet_coordinators::groups::{Groups, Limits, TimerKey};
use freshet_types::{Decision, LeaderEpoch, Machine, Millis, Offset, Ticket, TopicPartition};

use super::{Ask, Committing, Outcome, Unheard, Written, committed};
use crate::broker::Stand;
use crate::disk::index;
use crate::faults::TopicKind;
use crate::message::{Message, Row};
use crate::network::Host;
use crate::rules::Duty;
use crate::world::{Alarm, World};

/// Rows after which the state is written anew, and those before are dropped.
const SNAPSHOT_ROWS: usize = 40;
/// Pause before timers that find no room look again, ms.
const ROOM_PAUSE_MS: u64 = 100;
/// Pause before a machine whose append failed is loaded again, ms.
const RELOAD_MS: u64 = 200;

const LIMITS: fn() -> Limits = || Limits {
    session_timeout_min_ms: 1,
    initial_rebalance_delay_ms: 50,
    new_member_join_timeout_ms: 2_000,
    ..Limits::default()
};

/// A shard where its partition is led.
pub(crate) struct Coordinator {
    pub(crate) epoch: LeaderEpoch,
    /// `None` while it is loaded.
    life: Option<Box<Life>>,
    is_due: bool,
}

impl Coordinator {
    pub(crate) fn is_loaded(&self) -> bool {
        self.life.is_some()
    }

    pub(super) fn machine(&mut self) -> Option<&mut Groups> {
        self.life.as_mut().map(|life| &mut life.machine)
    }
}

/// A loaded machine, and all that hangs on it.
struct Life {
    machine: Groups,
    timers: Vec<(Millis, TimerKey)>,
    waiting: BTreeMap<Ticket, (Host, Ask)>,
    tickets: u64,
    in_flight: VecDeque<InFlight>,
    rows: usize,
}

/// A row that is not committed yet, and the answers that become true with it.
struct InFlight {
    at: Offset,
    value: u64,
    replies: Vec<(Ticket, Reply)>,
    is_snapshot: bool,
}

/// Whether records may come of it.
fn may_write(request: &Request) -> bool {
    !matches!(
        request,
        Request::Fetch(_) | Request::Heartbeat(_) | Request::Describe(_)
    )
}

impl World {
    pub(crate) fn is_offsets(&self, at: TopicPartition) -> bool {
        let number = usize::from(at.topic.0[0]) - 1;
        matches!(
            self.climate.topics.get(number),
            Some(TopicKind::Offsets { .. })
        )
    }

    pub(crate) fn coordinator(
        &mut self,
        host: Host,
        at: TopicPartition,
    ) -> Option<&mut Coordinator> {
        let process = self.nodes.get_mut(host)?.process.as_mut()?;
        process.coordinators.get_mut(&at)
    }

    fn life_at(&mut self, host: Host, at: TopicPartition) -> Option<&mut Life> {
        self.coordinator(host, at)?.life.as_deref_mut()
    }

    /// A shard lives where its partition is led, and is loaded in each epoch anew.
    pub(crate) fn begin_to_coordinate(
        &mut self,
        host: Host,
        at: TopicPartition,
        epoch: LeaderEpoch,
    ) {
        if !self.is_offsets(at) {
            return;
        }
        let fresh = || Coordinator {
            epoch,
            life: None,
            is_due: false,
        };
        let process = self.process(host);
        process.coordinators.entry(at).or_insert_with(fresh).epoch = epoch;
        self.look_to_load(host, at);
    }

    /// It leads no more: who waits is sent away.
    pub(crate) fn end_to_coordinate(&mut self, host: Host, at: TopicPartition) {
        if !self.has(Duty::CoordinatorEnds) {
            return;
        }
        let gone = self.process(host).coordinators.remove(&at);
        if let Some(life) = gone.and_then(|coordinator| coordinator.life) {
            for (to, ask) in life.waiting.into_values() {
                self.tell_member(host, at, (to, ask.id), Err(Unheard::NotCoordinator));
            }
        }
    }

    /// What earlier leaders have written must be committed or gone.
    pub(crate) fn look_to_load(&mut self, host: Host, at: TopicPartition) {
        let waits = self.has(Duty::CoordinatorSettles);
        let Some(replica) = self.replica(host, at) else {
            return;
        };
        let Stand::Leads { start, .. } = &replica.stand else {
            return;
        };
        let settled = replica.committed >= *start || !waits;
        let Some(coordinator) = self.coordinator(host, at) else {
            return;
        };
        if settled && !coordinator.is_due && !coordinator.is_loaded() {
            coordinator.is_due = true;
            let epoch = coordinator.epoch;
            let ms = self.throws.between(0, 30);
            self.wake_in(host, ms, Alarm::Load(at, epoch));
        }
    }

    pub(crate) fn load(&mut self, host: Host, at: TopicPartition, epoch: LeaderEpoch) {
        let loads = self.has(Duty::CoordinatorLoads);
        let now = self.nodes[host].clock.now(self.now);
        let committed = self.replica(host, at).map_or(0, |r| r.committed);
        let failed = self.nodes[host].disk.has_failed;
        let leads = self.leads_in(host, at) == Some(epoch);
        let coordinator = self.coordinator(host, at);
        let due = coordinator.filter(|c| c.epoch == epoch && !c.is_loaded());
        let Some(due) = due else {
            return;
        };
        due.is_due = false;
        if !leads || failed {
            return;
        }
        let mut machine = Groups::new(LIMITS());
        let log = &self.nodes[host].disk.logs[&at];
        for row in &log.rows[log.start..index(committed)] {
            let written = self.journal.get(&row.value).filter(|_| loads);
            for record in written.into_iter().flat_map(Written::records) {
                machine.apply(&record);
            }
        }
        let loaded = machine.loaded(now);
        let life = Box::new(Life {
            machine,
            timers: Vec::new(),
            waiting: BTreeMap::new(),
            tickets: 0,
            in_flight: VecDeque::new(),
            rows: 0,
        });
        if let Some(coordinator) = self.coordinator(host, at) {
            coordinator.life = Some(life);
        }
        self.coordinates(host, at, epoch);
        self.absorb_groups(host, at, loaded, None);
    }

    pub(super) fn leads_in(&mut self, host: Host, at: TopicPartition) -> Option<LeaderEpoch> {
        let replica = self.replica(host, at)?;
        matches!(replica.stand, Stand::Leads { .. }).then_some(replica.epoch)
    }

    /// Whether the log takes a record of the leader that the coordinator belongs to.
    pub(crate) fn has_room(&mut self, host: Host, at: TopicPartition) -> bool {
        let epoch = self.coordinator(host, at).map(|c| c.epoch);
        self.may_produce(host, at, true)
            .is_ok_and(|present| Some(present) == epoch)
    }

    pub(crate) fn group_asked(&mut self, host: Host, from: Host, ask: Ask) {
        let (at, id) = (ask.at, ask.id);
        // What a connection delivers comes in order, and once.
        let heard = self.process(host).heard.insert(from, id);
        if heard.is_some_and(|heard| heard >= id) {
            self.process(host).heard.extend(heard.map(|id| (from, id)));
            return;
        }
        let loaded = self.coordinator(host, at).map(|c| c.is_loaded());
        let refusal = match loaded {
            None => Some(Unheard::NotCoordinator),
            Some(false) => Some(Unheard::Loading),
            Some(true) if may_write(&ask.request) && !self.has_room(host, at) => {
                Some(Unheard::NotAvailable)
            }
            Some(true) => None,
        };
        if let Some(refusal) = refusal {
            return self.tell_member(host, at, (from, id), Err(refusal));
        }
        let commit = match &ask.request {
            Request::Commit(commit) => Some(Committing {
                client: from,
                member: commit.member_id.clone(),
                generation: commit.generation,
                is_late: self.is_late(from, committed(commit)),
            }),
            _ => None,
        };
        self.group_hears(host, &ask);
        let now = self.nodes[host].clock.now(self.now);
        let Some(life) = self.life_at(host, at) else {
            return;
        };
        let ticket = Ticket(life.tickets);
        life.tickets += 1;
        let request = ask.request.clone();
        life.waiting.insert(ticket, (from, ask));
        let decision = life.machine.decide(now, ticket, request);
        self.absorb_groups(host, at, decision, commit);
    }

    pub(crate) fn fire_groups(&mut self, host: Host, at: TopicPartition) {
        let now = self.nodes[host].clock.now(self.now);
        let room = self.has_room(host, at);
        let Some(life) = self.life_at(host, at) else {
            return;
        };
        let due = |(at, _): &(Millis, TimerKey)| *at <= now.monotonic;
        let Some(place) = life.timers.iter().position(due) else {
            return;
        };
        if !room {
            return self.wake_in(host, ROOM_PAUSE_MS, Alarm::Groups(at));
        }
        let (_, key) = life.timers.swap_remove(place);
        let decision = life.machine.fire(now, key);
        self.absorb_groups(host, at, decision, None);
        self.fire_groups(host, at);
    }

    fn absorb_groups(
        &mut self,
        host: Host,
        at: TopicPartition,
        decision: Decision<Groups>,
        commit: Option<Committing>,
    ) {
        let Some(life) = self.life_at(host, at) else {
            return;
        };
        for record in &decision.records {
            life.machine.apply(record);
        }
        let mut alarms = Vec::new();
        for timer in decision.timers {
            life.timers.retain(|(_, key)| *key != timer.key);
            alarms.extend(timer.at);
            life.timers.extend(timer.at.map(|at| (at, timer.key)));
        }
        for due in alarms {
            self.wake_at(host, due, Alarm::Groups(at));
        }
        self.groups_decide(host, at, &decision.records, &decision.replies);
        if decision.records.is_empty() {
            return self.answer_groups(host, at, decision.replies);
        }
        let written = Written::of(&decision.records, commit);
        let replies = match self.has(Duty::CommitsWait) {
            true => decision.replies,
            false => {
                self.release_groups(host, at, decision.replies);
                Vec::new()
            }
        };
        self.append_groups(host, at, written, (replies, false));
    }

    /// Answers that nothing was written for.
    fn answer_groups(&mut self, host: Host, at: TopicPartition, replies: Vec<(Ticket, Reply)>) {
        let waits = self.has(Duty::FetchesWait);
        let last = self
            .life_at(host, at)
            .and_then(|life| life.in_flight.back_mut());
        match last.filter(|_| waits) {
            Some(last) => last.replies.extend(replies),
            None => self.release_groups(host, at, replies),
        }
    }

    fn append_groups(
        &mut self,
        host: Host,
        at: TopicPartition,
        written: Written,
        (replies, is_snapshot): (Vec<(Ticket, Reply)>, bool),
    ) {
        if !self.has_room(host, at) {
            // Without a snapshot the log only stays longer.
            return match is_snapshot {
                true => (),
                false => self.fail_groups(host, at),
            };
        }
        let (value, now) = (self.next_id(), self.local(host));
        let Some(epoch) = self.coordinator(host, at).map(|c| c.epoch) else {
            return;
        };
        self.journal.insert(value, written);
        let log = self.log(host, at);
        let place = log.end();
        log.push(Row {
            epoch,
            value,
            sender: None,
        });
        let Some(life) = self.life_at(host, at) else {
            return;
        };
        life.rows += 1;
        life.in_flight.push_back(InFlight {
            at: place,
            value,
            replies,
            is_snapshot,
        });
        if let Some(brain) = self.replica(host, at).and_then(|r| r.brain()) {
            brain.appended(place + 1, now);
        }
        self.begin_flush(host, at);
        let grown = self.life_at(host, at).map_or(0, |life| life.rows) >= SNAPSHOT_ROWS;
        if grown && !is_snapshot {
            self.snapshot_groups(host, at);
        }
    }

    /// Writes the whole state, so that all before it may go.
    pub(crate) fn snapshot_groups(&mut self, host: Host, at: TopicPartition) {
        let Some(life) = self.life_at(host, at) else {
            return;
        };
        life.rows = 0;
        let records = life.machine.snapshot();
        if !records.is_empty() {
            let written = Written::of(&records, None);
            self.append_groups(host, at, written, (Vec::new(), true));
        }
    }

    /// What was decided may not come to be: the machine is thrown away.
    fn fail_groups(&mut self, host: Host, at: TopicPartition) {
        let Some(coordinator) = self.coordinator(host, at) else {
            return;
        };
        coordinator.is_due = true;
        let epoch = coordinator.epoch;
        let life = coordinator.life.take();
        self.wake_in(host, RELOAD_MS, Alarm::Load(at, epoch));
        for (to, ask) in life.into_iter().flat_map(|life| life.waiting.into_values()) {
            self.tell_member(host, at, (to, ask.id), Err(Unheard::NotAvailable));
        }
    }

    /// More is committed.
    pub(crate) fn groups_committed(&mut self, host: Host, at: TopicPartition, end: Offset) {
        self.look_to_load(host, at);
        while let Some(done) = self.life_at(host, at).and_then(|life| {
            let first = life.in_flight.front()?;
            (first.at < end).then(|| life.in_flight.pop_front())?
        }) {
            if let Some(epoch) = self.leads_in(host, at) {
                let place = crate::message::Place::At(done.at);
                self.acknowledged(host, at, epoch, (place, done.value));
            }
            self.release_groups(host, at, done.replies);
            if done.is_snapshot {
                self.delete_records(host, at, (done.at, false));
            }
        }
    }

    fn release_groups(&mut self, host: Host, at: TopicPartition, replies: Vec<(Ticket, Reply)>) {
        for (ticket, reply) in replies {
            let waiting = self
                .life_at(host, at)
                .and_then(|life| life.waiting.remove(&ticket));
            if let Some((to, ask)) = waiting {
                let lie = self.lie_to_member(&ask.request);
                if let Some(lie) = &lie {
                    self.judge_member_error(host, &ask, lie);
                }
                let reply = lie.unwrap_or(reply);
                self.group_answered(host, at, (to, &ask), &reply);
                self.tell_member(host, at, (to, ask.id), Ok(reply));
            }
        }
    }

    /// What a ticket stands for.
    pub(super) fn asked_by(
        &mut self,
        host: Host,
        at: TopicPartition,
        ticket: Ticket,
    ) -> Option<(Host, Ask)> {
        self.life_at(host, at)?.waiting.get(&ticket).cloned()
    }

    fn tell_member(
        &mut self,
        host: Host,
        at: TopicPartition,
        (to, id): (Host, u64),
        outcome: Outcome,
    ) {
        let outcome = self.lie_of_coordinator().map_or(outcome, Err);
        if let Err(unheard) = outcome {
            self.judge_unheard(host, at, unheard);
        }
        self.send(host, to, Message::GroupTold { id, outcome });
    }
}
