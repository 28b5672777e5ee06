//! What must hold at every step. Names are those of the list of faults: I1 nothing acknowledged is
//! lost, I2 copies agree below the high watermark, I3 an idempotent producer's records are there once
//! and in order, I6 work goes on after the healing, I8 clients get no error that lies (`codes`). I5, of groups: `groups/history.rs`.
//!
//! Beside them: E1 one leader in an epoch; E2 epochs tell every change; C1 what one controller
//! decided was decided on what is agreed, and on nothing else; W1 high watermarks do not go back;
//! B1 a process does not take its number back from its successor; T1 nothing goes that nobody asked to delete, nor what is not committed; T2 what was told as deleted
//! does not come back with another leader; P1 producer ids are unique; R1 a reassignment ends when all who came are in sync (KIP-455); E3
//! nobody fenced is in sync.
//!
//! The truth of a partition is what its leaders have committed. It only grows; but an audit record of
//! an unclean election is a pardon: then it is what the next leader has of it.

mod codes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freshet_metadata::{Partition, Record};
use freshet_types::{LeaderEpoch, NodeId, Offset, ProducerId, TopicPartition};

use crate::broker::{Stand, life_of};
use crate::disk::{index, offset};
use crate::groups::Histories;
use crate::message::{Entry, Place, Row};
use crate::network::Host;
use crate::told;
use crate::world::{World, host_of};
pub(crate) use codes::{Asked, Code};

/// Of one partition.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) rows: Vec<Row>,
    /// An unclean election that nobody leads by yet.
    pending: Option<LeaderEpoch>,
    /// Leaders of earlier epochs count for nothing any more.
    since: LeaderEpoch,
    pub(crate) pardons: usize,
    /// A leader after an unclean election goes on from what it has, and heard before. Who is eligible may
    /// have another history, until enough are in sync: before that nothing more is acknowledged.
    is_hinted: bool,
    /// Somebody was asked to delete what is below.
    deleted: Offset,
    /// Somebody was told that it is gone.
    told_deleted: Offset,
    sequences: BTreeMap<ProducerId, i32>,
    /// Counts cuts.
    pub(crate) age: u64,
}

impl Truth {
    /// Whether no unclean election is under way.
    pub(crate) fn is_settled(&self) -> bool {
        self.pending.is_none()
    }

    /// It is what a leader has of it.
    fn cut(&mut self, common: usize) {
        self.age += 1;
        self.told_deleted = 0;
        self.is_hinted = false;
        self.rows.truncate(common);
        let senders = self.rows.iter().filter_map(|row| row.sender);
        self.sequences = senders.collect();
    }

    fn has(&self, value: u64, place: Place) -> bool {
        let is_it = |row: &Row| row.value == value;
        match place {
            Place::At(offset) => self.rows.get(index(offset)).is_some_and(is_it),
            Place::Below(end) => self.rows.iter().take(index(end)).any(is_it),
        }
    }

    /// Whether somebody has read everything, but for what was deleted.
    fn was_seen(&self, seen: &[Row]) -> bool {
        let deleted = index(self.deleted);
        let same = |(at, (seen, row)): (usize, (&Row, &Row))| {
            seen == row || (*seen == Row::GONE && at < deleted)
        };
        seen.len() == self.rows.len() && seen.iter().zip(&self.rows).enumerate().all(same)
    }

    pub(crate) fn judges(&self, epoch: LeaderEpoch) -> bool {
        self.pending.is_none() && epoch >= self.since
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    flaw: Option<String>,
    pub(crate) truths: BTreeMap<TopicPartition, Truth>,
    leaders: BTreeMap<(TopicPartition, LeaderEpoch), (Host, u64)>,
    producers: BTreeSet<ProducerId>,
    /// How much of a log was compared already.
    compared: BTreeMap<(Host, TopicPartition), (u64, usize)>,
    pub(crate) histories: Histories,
    /// Copies of a producer's batch that nobody has refused for good.
    copies: BTreeMap<u64, i64>,
    /// Whom a leader has told that its time is over.
    told_overdue: BTreeSet<u64>,
    /// How often for want of replicas, and how often because some were late.
    pub(crate) overdue: (usize, usize),
    /// Clients finish what they have begun.
    pub(crate) is_ending: bool,
}

impl Witness {
    pub(crate) fn flaw(&mut self, what: impl FnOnce() -> String) {
        self.flaw.get_or_insert_with(what);
    }

    pub(crate) fn verdict(&mut self) -> Result<(), String> {
        self.flaw.take().map_or(Ok(()), Err)
    }

    fn truth(&mut self, at: TopicPartition) -> &mut Truth {
        self.truths.entry(at).or_default()
    }

    /// A log was cut or lost.
    pub(crate) fn forget(&mut self, host: Host, at: TopicPartition) {
        self.compared.remove(&(host, at));
    }
}

impl World {
    /// An entry is agreed to, as one node of the quorum says.
    pub(crate) fn agree(&mut self, host: Host, at: usize, entry: &Arc<Entry>) {
        if at < self.agreed.len() {
            if !Arc::ptr_eq(entry, self.agreed.entry(at)) {
                let what = format!("C1: {host} has another entry {at}");
                self.witness.flaw(|| what);
            }
            return;
        }
        if let Some(on) = entry.on
            && on != at
        {
            let what = format!("C1: what was decided on {on} entries is agreed to behind {at}");
            self.witness.flaw(|| what);
        }
        if self.trace.lines.is_some() {
            for record in &entry.records {
                let what = format!("agreed {at}: {}", told::record(record));
                self.note(|| what);
            }
        }
        let mut known = BTreeMap::new();
        for record in &entry.records {
            match record {
                Record::Partition { at, partition } => {
                    let before = self.agreed.newest().partition(*at).cloned();
                    if let Some(was) = known.insert(*at, Arc::clone(partition)).or(before) {
                        self.check_step(*at, &was, partition);
                    }
                }
                Record::Broker(broker) => self.check_process(broker.node, &broker.incarnation),
                Record::UncleanElection(election) => {
                    let truth = self.witness.truth(election.at);
                    truth.pending = Some(election.leader_epoch);
                    truth.pardons += 1;
                }
                _ => {}
            }
        }
        self.agreed.extend(entry);
        for at in known.into_keys() {
            self.check_standing(at);
            self.check_clean(at);
        }
    }

    /// E3: who is in sync is registered and not fenced, and who leads is in sync.
    fn check_standing(&mut self, at: TopicPartition) {
        let image = Arc::clone(self.agreed.newest());
        let partition = image.partition(at).unwrap();
        let stands = |node| image.broker(node).is_some_and(|broker| !broker.fenced);
        let leads = partition
            .leader
            .is_none_or(|node| partition.isr.contains(&node));
        if !leads || !partition.isr.iter().all(|node| stands(*node)) {
            let what = format!("E3: {}", told::partition(&at, partition));
            self.witness.flaw(|| what);
        }
    }

    /// B1: a process does not take its number back from its successor.
    fn check_process(&mut self, node: NodeId, incarnation: &[u8; 16]) {
        let (host, life) = (host_of(node), life_of(incarnation));
        let known = self.agreed.newest().broker(node);
        let known = known.map_or(0, |broker| life_of(&broker.incarnation));
        if life < known {
            let what = format!("B1: process {life} of {host} registers after {known}");
            self.witness.flaw(|| what);
        }
    }

    /// E2, and R1.
    fn check_step(&mut self, at: TopicPartition, was: &Partition, is: &Partition) {
        let risen = is.leader_epoch - was.leader_epoch;
        let moved = is.leader != was.leader;
        let told = is.partition_epoch == was.partition_epoch + 1
            && (0..=1).contains(&risen)
            && (risen == 1 || !moved);
        let ends = was.is_moving() && !is.is_moving();
        let came = |node| is.replicas.contains(node);
        let done = ends && !was.adding.is_empty() && was.adding.iter().all(came);
        if done && !was.adding.iter().all(|node| is.isr.contains(node)) {
            let what = format!(
                "R1: {} ends as {}",
                told::partition(&at, was),
                told::partition(&at, is)
            );
            self.witness.flaw(|| what);
        }
        if !told {
            let what = format!(
                "E2: {} became {}",
                told::partition(&at, was),
                told::partition(&at, is)
            );
            self.witness.flaw(|| what);
        }
    }

    /// E1, and I1 for whoever takes the lead.
    pub(crate) fn leads_now(&mut self, host: Host, at: TopicPartition, epoch: LeaderEpoch) {
        let life = self.nodes[host].life;
        let known = self.witness.leaders.entry((at, epoch));
        let known = *known.or_insert((host, life));
        if known != (host, life) {
            let what = format!("E1: {at}: {host} leads in epoch {epoch}, and so did {known:?}");
            self.witness.flaw(|| what);
        }
        let log = &self.nodes[host].disk.logs[&at];
        let truth = self.witness.truths.entry(at).or_default();
        let common = log.common(&truth.rows);
        if let Some(since) = truth.pending.filter(|since| epoch >= *since) {
            truth.pending = None;
            truth.since = since;
            // What it has not flushed it may still lose, and tells nobody of.
            truth.cut(common.min(log.flushed));
            // Who was elected before, and led nobody, is eligible with what it has.
            truth.is_hinted = true;
        } else if truth.is_hinted && truth.judges(epoch) {
            truth.cut(common);
        }
        let present = self.agreed.newest().partition(at).map(|p| p.leader_epoch);
        if truth.judges(epoch) && present == Some(epoch) && common < truth.rows.len() {
            let row = truth.rows[common];
            let what = format!("I1: {host} leads {at} in {epoch} and lacks {row:?} at {common}");
            self.witness.flaw(|| what);
        }
        let truth = self.witness.truths.entry(at).or_default();
        let told = truth.told_deleted;
        if truth.judges(epoch) && present == Some(epoch) && offset(log.start) < told {
            let start = log.start;
            let what = format!("T2: {host} leads {at} from {start}, {told} was told as deleted");
            self.witness.flaw(|| what);
        }
    }

    /// T1: only what is committed is deleted.
    pub(crate) fn deletes(&mut self, host: Host, at: TopicPartition, to: Offset) {
        let truth = self.witness.truth(at);
        let known = truth.rows.len();
        truth.deleted = truth.deleted.max(to);
        if truth.pardons == 0 && index(to) > known {
            let what = format!("T1: {host} deletes {at} up to {to}, and {known} are committed");
            self.witness.flaw(|| what);
        }
    }

    /// T1: a log starts no later than what somebody asked to delete.
    pub(crate) fn starts_at(&mut self, host: Host, at: TopicPartition) {
        let start = offset(self.nodes[host].disk.logs[&at].start);
        let truth = self.witness.truth(at);
        let deleted = truth.deleted;
        if start > deleted {
            let what = format!("T1: {host} has {at} from {start} on, {deleted} are deleted");
            self.witness.flaw(|| what);
        }
    }

    /// Somebody hears that records are gone.
    pub(crate) fn deleted(&mut self, at: TopicPartition, epoch: LeaderEpoch, to: Offset) {
        self.note(|| format!("{at} is told to be deleted up to {to}"));
        let truth = self.witness.truth(at);
        if truth.judges(epoch) {
            truth.told_deleted = truth.told_deleted.max(to);
        }
    }

    /// Below, somebody has heard, records are gone.
    pub(crate) fn told_deleted(&mut self, at: TopicPartition) -> Offset {
        self.witness.truth(at).told_deleted
    }

    /// I2: what a new leader takes for committed was committed by one before. After a pardon it may
    /// have heard of it from a leader that counts no more.
    pub(crate) fn begins_with(&mut self, host: Host, at: TopicPartition, end: Offset) {
        let truth = self.witness.truth(at);
        let known = truth.rows.len();
        if truth.pardons == 0 && index(end) > known {
            let what =
                format!("I2: {host} begins to lead {at} at {end}, and {known} are committed");
            self.witness.flaw(|| what);
        } else if index(end) > known {
            truth.is_hinted = true;
        }
        self.check_committed(host, at, end);
    }

    /// I2: `host` believes that everything below `end` is committed.
    pub(crate) fn check_committed(&mut self, host: Host, at: TopicPartition, end: Offset) {
        let Some(replica) = self.replica(host, at) else {
            return;
        };
        let (epoch, leads) = (replica.epoch, matches!(replica.stand, Stand::Leads { .. }));
        let log = &self.nodes[host].disk.logs[&at];
        if end > log.end() {
            let what = format!("I2: {host} shows {at} up to {end}, and has {}", log.end());
            return self.witness.flaw(|| what);
        }
        let truth = self.witness.truths.entry(at).or_default();
        if !truth.judges(epoch) {
            return;
        }
        let end = index(end);
        let grows = end > truth.rows.len();
        if grows && !leads && truth.pardons > 0 {
            // What it will cut when it hears its new leader.
            return;
        }
        if grows && !leads {
            let known = truth.rows.len();
            let what = format!("I2: {host} takes {at} for committed up to {end}, it is {known}");
            return self.witness.flaw(|| what);
        }
        if grows {
            if truth.pardons > 0 {
                // It led before an unclean election, and what it had by then deleted nobody has.
                let gone = log.start.min(index(truth.deleted)).min(end);
                truth.rows.resize(truth.rows.len().max(gone), Row::GONE);
            }
            if log.start > truth.rows.len() {
                let (start, known) = (log.start, truth.rows.len());
                let what = format!("T1: {host} has {at} from {start} on, {known} are committed");
                return self.witness.flaw(|| what);
            }
            let new = &log.rows[truth.rows.len()..end];
            let unwritten = |row: &&Row| self.witness.copies.get(&row.value) == Some(&0);
            if let Some(row) = new.iter().find(unwritten) {
                let what = format!("G1a: {row:?} of {at} was refused for good");
                self.witness.flaw.get_or_insert(what);
            }
            if let Some(what) = grow(truth, at, new) {
                self.witness.flaw(|| what);
            }
            self.judge_groups(at);
        }
        if let Some(flaw) = self.differs(host, at, end) {
            self.witness.flaw(|| format!("I2: {flaw}"));
        }
        if grows {
            self.check_clean(at);
        }
    }

    /// Compares a log with the truth up to `end`; what was compared before is not again.
    fn differs(&mut self, host: Host, at: TopicPartition, end: usize) -> Option<String> {
        let log = self.nodes[host].disk.logs.get(&at)?;
        let truth = self.witness.truths.get(&at)?;
        let compared = self.witness.compared.entry((host, at)).or_default();
        if compared.0 != truth.age {
            *compared = (truth.age, 0);
        }
        let end = end.min(truth.rows.len());
        for at_row in compared.1..end {
            let (have, want) = (log.rows.get(at_row), &truth.rows[at_row]);
            if !log.agrees(at_row, want) {
                return Some(format!(
                    "{host} has {have:?} at {at_row} of {at}, not {want:?}"
                ));
            }
        }
        compared.1 = compared.1.max(end);
        None
    }

    /// I1: whoever counts as clean has everything committed, flushed.
    pub(crate) fn check_clean(&mut self, at: TopicPartition) {
        let Some(truth) = self.witness.truths.get_mut(&at) else {
            return;
        };
        let len = truth.rows.len();
        let image = Arc::clone(self.agreed.newest());
        let Some(partition) = image.partition(at).filter(|_| truth.pending.is_none()) else {
            return;
        };
        truth.is_hinted &= !partition.eligible.is_empty();
        let in_sync_only = truth.is_hinted;
        for node in partition.clean() {
            let host = host_of(node);
            if in_sync_only && !partition.isr.contains(&node) {
                continue;
            }
            if self.is_harmed(host, at) {
                continue;
            }
            let flushed = self.nodes[host].disk.logs.get(&at).map_or(0, |l| l.flushed);
            let short = || format!("{host} has flushed {flushed} of {len} rows of {at}");
            let flaw = match flushed < len {
                true => Some(short()),
                false => self.differs(host, at, len),
            };
            if let Some(flaw) = flaw {
                self.witness.flaw(|| {
                    format!(
                        "I1: {flaw}, and counts as clean: {}",
                        told::partition(&at, partition)
                    )
                });
            }
        }
    }

    /// A host has lost what its processes told of, and the controller does not know yet.
    pub(crate) fn is_harmed(&self, host: Host, at: TopicPartition) -> bool {
        let Some(harmed) = self.nodes[host].disk.harmed.get(&at) else {
            return false;
        };
        let broker = self.agreed.newest().broker(crate::world::node_id(host));
        broker.is_none_or(|broker| life_of(&broker.incarnation) <= *harmed)
    }

    /// I1: what is acknowledged is committed.
    pub(crate) fn acknowledged(
        &mut self,
        host: Host,
        at: TopicPartition,
        epoch: LeaderEpoch,
        (place, value): (Place, u64),
    ) {
        let truth = self.witness.truth(at);
        if truth.judges(epoch) && !truth.has(value, place) {
            let row = truth.rows.get(index(place.last()));
            let what = format!(
                "I1: {host} acknowledges {value} {place:?} of {at}, where {row:?} is committed"
            );
            self.witness.flaw(|| what);
        }
    }

    /// W1.
    pub(crate) fn watermark_goes_back(&mut self, host: Host, at: TopicPartition) {
        if self.witness.truth(at).pardons == 0 {
            let what = format!("W1: the high watermark of {at} goes back on {host}");
            self.witness.flaw(|| what);
        }
    }

    /// W1, as a consumer is told.
    pub(crate) fn end_went_back(&mut self, at: TopicPartition, before: Offset, end: Offset) {
        if self.witness.truth(at).pardons == 0 {
            let what = format!("W1: the end of {at} was told as {before}, then as {end}");
            self.witness.flaw(|| what);
        }
    }

    /// I2: a follower cuts below what it took for committed.
    pub(crate) fn cut_committed(&mut self, host: Host, at: TopicPartition, loses: bool) {
        self.witness.forget(host, at);
        if loses && self.witness.truth(at).pardons == 0 {
            let what = format!("I2: {host} cuts committed records of {at}");
            self.witness.flaw(|| what);
        }
    }

    /// A consumer is shown rows: they must be there for ever.
    pub(crate) fn shown(&mut self, host: Host, at: TopicPartition, from: Offset, rows: &[Row]) {
        let Some(replica) = self.replica(host, at) else {
            return;
        };
        let (epoch, leads) = (replica.epoch, matches!(replica.stand, Stand::Leads { .. }));
        let truth = self.witness.truth(at);
        // After a pardon a follower may show what it is about to cut.
        let excused = truth.pardons > 0 && !leads;
        if rows.is_empty() || !truth.judges(epoch) || excused {
            return;
        }
        let from = index(from);
        if truth.rows.get(from..from + rows.len()) != Some(rows) {
            let what =
                format!("I2: {host} shows what is not committed of {at} at {from}: {rows:?}");
            self.witness.flaw(|| what);
        }
    }

    /// P1.
    pub(crate) fn handed_out(&mut self, producer: Option<ProducerId>) {
        if let Some(producer) = producer
            && !self.witness.producers.insert(producer)
        {
            let what = format!("P1: two producers are called {producer}");
            self.witness.flaw(|| what);
        }
    }

    /// I8: a producer is told that its past is unknown.
    pub(crate) fn sequence_lost(&mut self, at: TopicPartition) {
        if self.witness.truth(at).pardons == 0 {
            let what = format!("I8: a producer's sequence is refused for good by {at}");
            self.witness.flaw(|| what);
        }
    }

    /// I1, I2 and I3 once more, when all is over.
    pub(crate) fn judge_end(&mut self) -> Result<(), String> {
        for (at, truth) in &self.witness.truths {
            let Some(partition) = self.agreed.newest().partition(*at) else {
                continue;
            };
            let leader = partition.leader.map(host_of);
            let start = leader.map_or(0, |host| self.nodes[host].disk.logs[at].start);
            for host in partition.replicas.iter().copied().map(host_of) {
                let log = &self.nodes[host].disk.logs[at];
                // It may start later: its leader was not there yet when the one before dropped them.
                if log.start < start {
                    let has = log.start;
                    return Err(format!(
                        "T1: {host} has {at} from {has} on, not from {start}"
                    ));
                }
                let same = log.rows.len() == truth.rows.len()
                    && log.common(&truth.rows) == truth.rows.len();
                if !same || log.flushed < truth.rows.len() {
                    let (has, all) = (log.end(), offset(truth.rows.len()));
                    return Err(format!(
                        "I2: {host} ends with {has} rows of {at}, not {all}"
                    ));
                }
            }
        }
        self.judge_clients()
    }

    fn judge_clients(&self) -> Result<(), String> {
        use crate::clients::Kind;
        for client in &self.clients {
            let at = client.at;
            let Some(truth) = self.witness.truths.get(&at).filter(|t| t.pardons == 0) else {
                continue;
            };
            match &client.kind {
                Kind::Producer(producer) => {
                    for (place, value) in producer.acked.iter().filter(|_| producer.is_careful()) {
                        if !truth.has(*value, *place) {
                            let row = truth.rows.get(index(place.last()));
                            return Err(format!("I1: {value} is not {place:?} of {at}: {row:?}"));
                        }
                    }
                }
                Kind::Consumer(consumer) if !truth.was_seen(&consumer.seen) => {
                    let (seen, all) = (consumer.seen.len(), truth.rows.len());
                    return Err(format!("I6: a consumer has {seen} of {all} rows of {at}"));
                }
                Kind::Consumer(_) | Kind::Member(_) => {}
            }
        }
        Ok(())
    }
}

/// More is committed. I3: the rows of a producer come once, and in order.
fn grow(truth: &mut Truth, at: TopicPartition, new: &[Row]) -> Option<String> {
    let mut flaw = None;
    for row in new {
        if let Some((producer, sequence)) = row.sender {
            let last = truth.sequences.insert(producer, sequence).unwrap_or(-1);
            let follows = match truth.pardons {
                0 => sequence == last + 1,
                _ => sequence > last,
            };
            if !follows {
                flaw = Some(format!("I3: {at}: {row:?} follows sequence {last}"));
            }
        }
        truth.rows.push(*row);
    }
    flaw
}
