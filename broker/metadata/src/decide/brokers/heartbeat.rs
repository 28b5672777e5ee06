//! A broker says that it lives. Most heartbeats change nothing that is agreed.

use freshet_types::{NodeId, Now};

use super::fence::{leave_all, return_all};
use super::relieve::relieve;
use crate::decide::Draft;
use crate::error::{MetadataError, Outcome};
use crate::machine::MetadataMachine;
use crate::record::Record;
use crate::replicas::{Election, Rules, Transition};
use crate::request::{BrokerState, Heartbeat};
use crate::state::Broker;

/// Checks that whoever asks is the broker's present process.
pub(crate) fn present(machine: &MetadataMachine, node: NodeId, epoch: i64) -> Outcome<&Broker> {
    let unknown = MetadataError::UnknownBroker { node };
    let broker = machine.image.broker(node).ok_or(unknown)?;
    if broker.epoch == epoch {
        Ok(broker)
    } else {
        Err(MetadataError::StaleBroker {
            node,
            epoch,
            present: broker.epoch,
        })
    }
}

pub(crate) fn heartbeat(
    machine: &mut MetadataMachine,
    now: Now,
    request: &Heartbeat,
    records: &mut Vec<Record>,
) -> Outcome<BrokerState> {
    let node = request.node;
    let before = present(machine, node, request.epoch)?.clone();
    if machine.options.sessions.is_none() {
        return Ok(BrokerState {
            caught_up: true,
            fenced: before.fenced,
            may_stop: request.wants_shutdown,
        });
    }
    hear(machine, now, request);
    let caught_up = machine
        .sessions
        .get(node)
        .is_some_and(|s| s.version >= s.catch_up);
    let stop = Stop::of(machine, request, &before);
    let after = next(request, &before, caught_up, stop);
    let mut draft = Draft::of(machine, now);
    draft.put_broker(after.clone());
    let failed = before.directories.len() != after.directories.len();
    if after.fenced && !before.fenced {
        leave_all(&mut draft, &[node]);
    } else if failed {
        leave_failed(&mut draft, &after);
    }
    if after.stopping && !after.fenced {
        move_away(&mut draft, node);
    }
    if before.fenced && !after.fenced {
        return_all(&mut draft, node);
    }
    if after.is_active() && after.is_unwell() {
        relieve(&mut draft, node);
    }
    records.append(&mut draft.records);
    if after.stopping {
        let version = machine.image.version() + records.len() as u64;
        await_others(machine, node, version, !records.is_empty());
    }
    Ok(BrokerState {
        caught_up,
        fenced: after.fenced,
        may_stop: request.wants_shutdown && after.fenced,
    })
}

fn hear(machine: &mut MetadataMachine, now: Now, request: &Heartbeat) {
    if machine.sessions.get(request.node).is_none() {
        let version = machine.image.version();
        machine.sessions.begin(request.node, now.monotonic, version);
    }
    if let Some(session) = machine.sessions.get_mut(request.node) {
        session.heard = now.monotonic;
        session.version = session.version.max(request.version);
    }
}

/// How far a stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Unwanted,
    Wanted,
    /// All active brokers know that others lead now.
    Known,
}

impl Stop {
    fn of(machine: &MetadataMachine, request: &Heartbeat, broker: &Broker) -> Self {
        if !request.wants_shutdown {
            return Self::Unwanted;
        }
        let session = machine.sessions.get(request.node);
        let Some(leaves_at) = session
            .and_then(|s| s.leaves_at)
            .filter(|_| broker.stopping)
        else {
            return Self::Wanted;
        };
        let mut others = machine.image.brokers().filter(|b| b.is_active());
        let knows = |other: NodeId| {
            let session = machine.sessions.get(other);
            session.is_some_and(|session| session.version >= leaves_at)
        };
        if others.all(|other| knows(other.node)) {
            Self::Known
        } else {
            Self::Wanted
        }
    }
}

fn next(request: &Heartbeat, before: &Broker, caught_up: bool, stop: Stop) -> Broker {
    let mut after = before.clone();
    let failed = &request.offline_directories;
    after.directories.retain(|id| !failed.contains(id));
    after
        .cordoned_directories
        .clone_from(&request.cordoned_directories);
    after.slow_directories.clone_from(&request.slow_directories);
    after.full_directories.clone_from(&request.full_directories);
    // Failed directories are told of in every heartbeat, so it stays out with the next one too.
    let no_disk = after.directories.is_empty() && !failed.is_empty();
    if request.wants_fence || no_disk || stop == Stop::Known {
        after.fenced = true;
    } else if stop == Stop::Unwanted && caught_up {
        after.fenced = false;
    }
    // A stop cannot be taken back: the broker's leaders have moved. Its next process starts over.
    after.stopping = before.stopping || (stop != Stop::Unwanted && !before.fenced);
    if after.is_active() {
        after.served_epoch = after.epoch;
    }
    after
}

/// Replicas in directories that failed are out of reach.
fn leave_failed(draft: &mut Draft<'_>, broker: &Broker) {
    let (machine, node) = (draft.machine, broker.node);
    draft.step_each(machine.holdings.of(node), |was, step| {
        let directory = was.directory(node)?;
        if !was.isr.contains(&node) || broker.has_online(directory) {
            return None;
        }
        step.leave(node);
        Some(Election::WhenNeeded)
    });
}

/// What a stopping broker leads goes to others, and it leaves the sets in sync; but where nobody
/// else can lead it stays to the end.
fn move_away(draft: &mut Draft<'_>, node: NodeId) {
    let machine = draft.machine;
    for at in machine.holdings.of(node) {
        let Some(was) = draft.partition(at) else {
            continue;
        };
        if !was.isr.contains(&node) {
            continue;
        }
        let rules = Rules {
            // It would be absurd to lose records to a planned stop.
            unclean: false,
            ..draft.rules(at.topic)
        };
        let mut step = Transition::of(&was, rules);
        step.leave(node);
        let moved = draft.finish(step, Election::WhenNeeded);
        if let Some(changed) = moved.filter(|m| m.partition.leader.is_some()) {
            draft.push(at, changed);
        }
    }
}

/// Others must have heard of the last move before the broker goes.
fn await_others(machine: &mut MetadataMachine, node: NodeId, version: u64, moved: bool) {
    if let Some(session) = machine.sessions.get_mut(node)
        && (moved || session.leaves_at.is_none())
    {
        session.leaves_at = Some(version);
    }
}
