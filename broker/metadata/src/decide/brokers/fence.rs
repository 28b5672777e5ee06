//! Brokers go out of service and come back. Costs the partitions that they keep.

use std::collections::BTreeSet;

use freshet_types::{NodeId, Now, TopicPartition};

use super::heartbeat::present;
use crate::decide::Draft;
use crate::error::Outcome;
use crate::guard::{Guard, holds};
use crate::machine::{MetadataMachine, SessionOptions};
use crate::record::Record;
use crate::replicas::Election;
use crate::request::FenceBroker;
use crate::state::Broker;

/// Fences everybody who was silent for too long.
pub(crate) fn fence_silent(
    machine: &mut MetadataMachine,
    now: Now,
    options: SessionOptions,
) -> Vec<Record> {
    let due = machine.sessions.due.take();
    // Who is late himself must not judge others: when this process stood still, heartbeats did
    // come and wait to be read. Once: who is always late must judge all the same.
    let late = due.map_or(0, |due| now.monotonic - due) > options.timeout_ms / 4;
    machine.sessions.pardoned = late && !machine.sessions.pardoned;
    if machine.sessions.pardoned {
        machine.sessions.extend_all(now.monotonic);
        return Vec::new();
    }
    let ended = machine
        .sessions
        .end_silent(now.monotonic, options.timeout_ms);
    let serving = |node: &NodeId| {
        holds(Guard::SilentAreFenced) && machine.image.broker(*node).is_some_and(|b| !b.fenced)
    };
    let silent: Vec<NodeId> = ended.into_iter().filter(serving).collect();
    let mut draft = Draft::of(machine, now);
    for node in &silent {
        fence(&mut draft, *node);
    }
    leave_all(&mut draft, &silent);
    draft.records
}

/// Fences a broker whose process is gone.
pub(crate) fn fence_broker(
    machine: &mut MetadataMachine,
    now: Now,
    request: FenceBroker,
    records: &mut Vec<Record>,
) -> Outcome<()> {
    let FenceBroker { node, epoch } = request;
    let fenced = present(machine, node, epoch)?.fenced;
    machine.sessions.remove(node);
    if !fenced {
        let mut draft = Draft::of(machine, now);
        fence(&mut draft, node);
        leave_all(&mut draft, &[node]);
        records.append(&mut draft.records);
    }
    Ok(())
}

fn fence(draft: &mut Draft<'_>, node: NodeId) {
    if let Some(broker) = draft.machine.image.broker(node) {
        draft.put_broker(Broker {
            fenced: true,
            ..Broker::clone(broker)
        });
    }
}

/// Brokers that were just fenced lead nothing and are in sync with nothing.
pub(super) fn leave_all(draft: &mut Draft<'_>, nodes: &[NodeId]) {
    if !holds(Guard::FencedLeave) {
        return;
    }
    let machine = draft.machine;
    let kept = nodes.iter().flat_map(|node| machine.holdings.of(*node));
    let kept: BTreeSet<TopicPartition> = kept.collect();
    draft.step_each(kept, |was, step| {
        let concerned = |node: &&NodeId| was.isr.contains(node) || was.leader == Some(**node);
        let leaving: Vec<NodeId> = nodes.iter().filter(concerned).copied().collect();
        leaving.iter().for_each(|node| step.leave(*node));
        (!leaving.is_empty()).then_some(Election::WhenNeeded)
    });
}

/// A broker that was just let in leads what nobody leads, if it may.
pub(super) fn return_all(draft: &mut Draft<'_>, node: NodeId) {
    let machine = draft.machine;
    draft.step_each(machine.holdings.of(node), |was, _| {
        was.leader.is_none().then_some(Election::WhenNeeded)
    });
}
