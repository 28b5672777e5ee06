//! Which pods are next.

use std::collections::BTreeMap;

use freshet_api::AtOnce;

use super::pods::{Seen, State};

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// All is as it shall be.
    Nothing,
    /// Something has to come back first.
    Wait(String),
    /// This one, without asking: it serves nobody.
    Mend(Seen),
    /// These, if the brokers say that they may stop at the same time; else the first of them, if they
    /// say so of that one.
    Ask(Seen, Vec<Seen>),
}

/// Which pods are next. What is broken and old, or idle and to be started, is mended first: it serves nobody, and may be what
/// everything waits for. So is a broker whose disk is not well: its copies do not count, so its end harms
/// nobody, and until they do, that of others whose copies count would. Controllers go before brokers. The active controller goes last,
/// so that it is elected anew but once.
pub(super) fn next(seen: &[Seen], active: Option<i32>, at_once: AtOnce) -> Next {
    let old = || seen.iter().filter(|seen| seen.old.is_some());
    if old().next().is_none() {
        return Next::Nothing;
    }
    let serves_nobody = |seen: &&Seen| matches!(seen.state, State::Broken(_) | State::Idle);
    if let Some(broken) = old().find(serves_nobody) {
        return Next::Mend(broken.clone());
    }
    for other in seen {
        match &other.state {
            // Who is stopped on purpose is not waited for: the others say what they can bear.
            State::Ready | State::Idle => {}
            State::Coming => return Next::Wait(format!("pod {} to be ready", other.node.pod)),
            State::Broken(why) => return Next::Wait(format!("pod {}: {why}", other.node.pod)),
        }
    }
    let rank = |seen: &&Seen| {
        (
            !seen.unwell,
            Some(seen.node.id) == active,
            !seen.node.controller,
            seen.node.id,
        )
    };
    let rack_rank = |rack: &Vec<&Seen>| {
        let all_well = rack.iter().all(|seen| !seen.unwell);
        let has_active = rack.iter().any(|seen| Some(seen.node.id) == active);
        (all_well, has_active, rack.iter().map(rank).min())
    };
    let Some(mut rack) = racks(old(), at_once).into_iter().min_by_key(rack_rank) else {
        return Next::Nothing;
    };
    rack.sort_by_key(rank);
    let mut rack = rack.into_iter().cloned();
    match rack.next() {
        Some(first) => Next::Ask(first, rack.collect()),
        None => Next::Nothing,
    }
}

/// Pods of one zone are a rack. One whose zone is not known is a rack of its own, and so is every pod where
/// one restarts at a time. Controllers that are no brokers do not wait for brokers, so they are apart.
fn racks<'a>(pods: impl Iterator<Item = &'a Seen>, at_once: AtOnce) -> Vec<Vec<&'a Seen>> {
    let mut racks: BTreeMap<_, Vec<&Seen>> = BTreeMap::new();
    for seen in pods {
        let zone = seen.zone.as_deref().filter(|_| at_once == AtOnce::Rack);
        let own = zone.is_none().then_some(seen.node.id);
        let rack = racks.entry((zone, own, seen.node.broker)).or_default();
        rack.push(seen);
    }
    racks.into_values().collect()
}
