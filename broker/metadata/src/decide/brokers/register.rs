//! A broker says that it is there.

use freshet_types::{NodeId, Now};

use crate::decide::Draft;
use crate::error::{MetadataError, Outcome};
use crate::guard::{Guard, holds};
use crate::machine::MetadataMachine;
use crate::record::{ConfigResource, Record};
use crate::replicas::{Election, Loss};
use crate::request::{PastLife, RegisterBroker};
use crate::state::Broker;

/// Longest text in a registration, in bytes.
const TEXT_MAX_BYTES: usize = 32_767;
/// Most listeners, log directories and features of one broker.
const PARTS_MAX: usize = 1_000;
/// From so many brokers on, data is kept several times.
const BROKERS_FOR_REPLICATION: usize = 3;
/// Replaced processes that are remembered of one broker. A registration arrives late by seconds; a
/// broker that starts over and over does so more slowly than once a second.
const REPLACED_MAX: usize = 8;
/// What holds from then on, where nobody said otherwise.
const REPLICATED_DEFAULTS: [(&str, &str); 2] = [
    ("default.replication.factor", "3"),
    ("min.insync.replicas", "2"),
];

pub(crate) fn register_broker(
    machine: &mut MetadataMachine,
    now: Now,
    request: RegisterBroker,
    records: &mut Vec<Record>,
) -> Outcome<i64> {
    check(machine, &request)?;
    refuse_second(machine, now, &request)?;
    let known = machine.image.broker(request.node);
    let same_process = known.is_some_and(|b| b.incarnation == request.incarnation);
    let (node, past) = (request.node, request.past);
    let broker = registered(machine, request);
    let (epoch, served) = (broker.epoch, known.map_or(-1, |b| b.served_epoch));
    let joins = known.is_none();
    let mut draft = Draft::of(machine, now);
    draft.put_broker(broker);
    if machine.options.sessions.is_none() {
        if !same_process {
            lead_again(&mut draft, node);
        }
    } else if !same_process {
        give_up(&mut draft, node, Trust::of(past, served));
    }
    if joins {
        draft.records.extend(replicated_defaults(machine));
    }
    draft.records.extend(tiering_default(machine));
    records.append(&mut draft.records);
    if machine.options.sessions.is_some() {
        let catch_up = machine.image.version() + records.len() as u64;
        machine.sessions.begin(node, now.monotonic, catch_up);
    }
    Ok(epoch)
}

fn check(machine: &MetadataMachine, request: &RegisterBroker) -> Outcome<()> {
    let texts = request
        .listeners
        .iter()
        .flat_map(|l| [&l.name, &l.host])
        .chain(&request.rack)
        .chain(request.features.iter().map(|f| &f.name));
    let parts = [
        request.listeners.len(),
        request.directories.len(),
        request.features.len(),
    ];
    let too_many = parts.into_iter().any(|count| count > PARTS_MAX);
    if request.node.0 < 0 || too_many || texts.into_iter().any(|t| t.len() > TEXT_MAX_BYTES) {
        let reason = format!(
            "the registration of broker {} is out of bounds",
            request.node
        );
        return Err(MetadataError::Request { reason });
    }
    if request.features.is_empty() {
        return Ok(());
    }
    for (name, level) in machine.image.features() {
        let range = request.features.iter().find(|range| range.name == *name);
        if !range.is_some_and(|range| (range.min..=range.max).contains(level)) {
            return Err(MetadataError::BrokerFeature {
                node: request.node,
                name: name.clone(),
                level: *level,
            });
        }
    }
    Ok(())
}

/// Two processes must not be one broker. The older one keeps the number as long as it lives, be it
/// fenced: one that has just started is. One that stops needs it no more. One that was replaced does
/// not come back: what arrives is an old word of it, and would void what its successor has.
fn refuse_second(machine: &MetadataMachine, now: Now, request: &RegisterBroker) -> Outcome<()> {
    let (Some(options), Some(known)) =
        (machine.options.sessions, machine.image.broker(request.node))
    else {
        return Ok(());
    };
    let other = known.incarnation != request.incarnation;
    let sessions = &machine.sessions;
    let alive = sessions.is_alive(request.node, now.monotonic, options.timeout_ms);
    let replaced = known.replaced.contains(&request.incarnation);
    if (other && alive && !known.stopping) || (replaced && holds(Guard::ReplacedStayOut)) {
        return Err(MetadataError::DuplicateBroker { node: request.node });
    }
    Ok(())
}

fn registered(machine: &MetadataMachine, request: RegisterBroker) -> Broker {
    let known = machine.image.broker(request.node);
    let same = known.filter(|broker| broker.incarnation == request.incarnation);
    let fresh_fence = machine.options.sessions.is_some();
    Broker {
        node: request.node,
        epoch: same.map_or(machine.image.next_broker_epoch, |broker| broker.epoch),
        incarnation: request.incarnation,
        listeners: request.listeners,
        rack: request.rack,
        directories: request.directories,
        fenced: same.map_or(fresh_fence, |broker| broker.fenced),
        stopping: same.is_some_and(|broker| broker.stopping),
        cordoned: known.is_some_and(|broker| broker.cordoned),
        cordoned_directories: same.map_or_else(Vec::new, |b| b.cordoned_directories.clone()),
        slow_directories: same.map_or_else(Vec::new, |b| b.slow_directories.clone()),
        full_directories: same.map_or_else(Vec::new, |b| b.full_directories.clone()),
        features: request.features,
        served_epoch: known.map_or(-1, |broker| broker.served_epoch),
        replaced: known.map_or_else(Vec::new, |broker| replaced(broker, request.incarnation)),
    }
}

/// Who was replaced, once `present` is the broker's process.
fn replaced(known: &Broker, present: [u8; 16]) -> Vec<[u8; 16]> {
    let mut replaced = known.replaced.clone();
    if known.incarnation != present {
        replaced.retain(|old| *old != present);
        replaced.push(known.incarnation);
        let surplus = replaced.len().saturating_sub(REPLACED_MAX);
        replaced.drain(..surplus);
    }
    replaced
}

/// What can be said of the copies on a broker's disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// All there.
    Whole,
    /// What was flushed is there.
    Flushed,
    /// Nothing is known: the disks are new, or older than what the broker served with.
    Nothing,
}

impl Trust {
    fn of(past: PastLife, served_epoch: i64) -> Self {
        match past {
            PastLife::Clean(epoch) if epoch >= served_epoch => Self::Whole,
            PastLife::Crashed(epoch) if epoch >= served_epoch => Self::Flushed,
            _ if served_epoch < 0 || !holds(Guard::DiskKnowsEpoch) => Self::Whole,
            _ => Self::Nothing,
        }
    }
}

/// A new process of a broker leads nothing and is in sync with nothing, until it is let in.
fn give_up(draft: &mut Draft<'_>, node: NodeId, trust: Trust) {
    let machine = draft.machine;
    for at in machine.holdings.of(node) {
        let tail_lost = draft.rules(at.topic).crash_loses_tail && holds(Guard::TailMayBeLost);
        draft.step_each([at], |was, step| {
            let clean = was.clean().any(|n| n == node);
            let known = was.last_known_eligible.contains(&node);
            match trust {
                Trust::Nothing if clean || known => step.lose(node, Loss::All),
                Trust::Flushed if clean && tail_lost => step.lose(node, Loss::Tail),
                _ if was.isr.contains(&node) && holds(Guard::NewProcessLeaves) => step.leave(node),
                _ => return None,
            }
            Some(Election::WhenNeeded)
        });
    }
}

/// A broker that is its own controller leads what the process before it led, and what nobody leads
/// and it is in sync with, under a new epoch.
fn lead_again(draft: &mut Draft<'_>, node: NodeId) {
    let machine = draft.machine;
    draft.step_each(machine.holdings.of(node), |was, step| {
        let takes_over = match was.leader {
            Some(leader) => leader == node,
            None => was.isr.contains(&node),
        };
        step.lead_anew();
        takes_over.then_some(Election::WhenNeeded)
    });
}

/// What a file says is taken into the cluster's settings: who takes it out of the file later must not take
/// away what topics have in object storage.
fn tiering_default(machine: &MetadataMachine) -> Option<Record> {
    let layers = machine.layers();
    let (name, value) = layers.default_to_keep(&layers.cluster)?;
    Some(Record::Config {
        resource: ConfigResource::Cluster,
        name: name.to_owned(),
        value: Some(value.to_owned()),
    })
}

/// With the third broker, new topics are kept three times, and two of them must have a record.
fn replicated_defaults(machine: &MetadataMachine) -> Vec<Record> {
    if machine.image.brokers().count() + 1 != BROKERS_FOR_REPLICATION {
        return Vec::new();
    }
    let layers = machine.layers();
    let said = |name: &str| layers.cluster.contains_key(name) || layers.statics.get(name).is_some();
    let unsaid = REPLICATED_DEFAULTS.iter().filter(|(name, _)| !said(name));
    let record = |(name, value): &(&str, &str)| Record::Config {
        resource: ConfigResource::Cluster,
        name: (*name).to_owned(),
        value: Some((*value).to_owned()),
    };
    unsaid.map(record).collect()
}
