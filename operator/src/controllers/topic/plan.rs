//! What to create and change, from what is wanted and what is seen. Pure.

use std::collections::BTreeMap;

use freshet_client::{ConfigChange, NewTopic};

use super::brokers::Seen;
use super::validate::{Objection, REMOTE, Wanted};
use super::values;

/// Settings that whoever moves partitions writes for the time of the move.
const THROTTLES: [&str; 2] = [
    "leader.replication.throttled.replicas",
    "follower.replication.throttled.replicas",
];
/// How drift of the number of copies is called.
const REPLICAS: &str = "replicas";

/// What is known from the look before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Before<'a> {
    /// All was as this very spec asks for: what differs now was changed by somebody else.
    pub(super) settled: bool,
    /// The topic's id.
    pub(super) id: Option<&'a str>,
    /// A change of the number of copies was under way.
    pub(super) moving: bool,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    /// There is no such topic.
    Create(NewTopic),
    /// There is one.
    Change(Changes),
    /// Nothing.
    Object(Objection),
}

/// What to change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Changes {
    /// Settings.
    pub(super) configure: Vec<ConfigChange>,
    /// Partitions there shall be.
    pub(super) widen: Option<i32>,
    /// Copies that each shall have.
    pub(super) replicate: Option<i32>,
    /// What of this somebody else has changed.
    pub(super) drift: Vec<String>,
    /// What is not as asked, and stays so for a reason.
    pub(super) left: Option<String>,
}

impl Changes {
    /// Whether all is as it was asked to be.
    pub(super) fn is_empty(&self) -> bool {
        self.configure.is_empty() && self.widen.is_none() && self.replicate.is_none()
    }

    /// What differs, in words.
    pub(super) fn words(&self) -> String {
        let settings = self.configure.iter().map(|change| change.name.as_str());
        let partitions = self.widen.map(|_| "partitions");
        let copies = self.replicate.map(|_| REPLICAS);
        let all: Vec<_> = settings.chain(partitions).chain(copies).collect();
        all.join(", ")
    }
}

/// What to do, so that there is what is wanted.
pub(super) fn plan(wanted: &Wanted, seen: Option<&Seen>, before: Before<'_>) -> Plan {
    match seen {
        None if wanted.is_internal() => Plan::Object(Objection::wait(
            "InternalTopic",
            "brokers make this topic themselves when they need it; it is looked after from then on",
        )),
        None => Plan::Create(NewTopic {
            name: wanted.name.clone(),
            partitions: wanted.partitions,
            // The schema has no more than a thousand.
            replication: wanted.replicas.and_then(|n| i16::try_from(n).ok()),
            configs: wanted.config.clone().into_iter().collect(),
        }),
        Some(seen) => match partitions(wanted, seen) {
            Ok(widen) => Plan::Change(changes(wanted, seen, before, widen)),
            Err(objection) => Plan::Object(objection),
        },
    }
}

/// How many partitions there shall be, if more than there are.
fn partitions(wanted: &Wanted, seen: &Seen) -> Result<Option<i32>, Objection> {
    let there = seen.count();
    match wanted.partitions {
        Some(count) if count != there && wanted.is_internal() => Err(Objection::spec(
            "InternalTopic",
            format!(
                "the topic {:?} belongs to the brokers, who find their records by its {there} \
                 partitions: their number cannot be changed",
                wanted.name
            ),
        )),
        Some(count) if count < there => Err(Objection::spec(
            "PartitionsCannotShrink",
            format!(
                "the topic has {there} partitions and spec.partitions asks for {count}: records of \
                 those that go would be lost. Nothing is changed until it asks for {there} or more"
            ),
        )),
        Some(count) if count > there => Ok(Some(count)),
        _ => Ok(None),
    }
}

fn changes(wanted: &Wanted, seen: &Seen, before: Before<'_>, widen: Option<i32>) -> Changes {
    let is_same_topic = before.id.is_some() && before.id == seen.id.as_deref();
    let is_drift = before.settled && is_same_topic;
    let (configure, left) = settings(wanted, &seen.overrides);
    let differs = |n: &i32| seen.partitions.iter().any(|p| p.count != *n);
    let replicate = wanted.replicas.filter(differs);
    let mut drift = Vec::new();
    if is_drift {
        // The Cluster's word may be new; it is nobody's drift.
        let drifted = configure.iter().map(|change| &change.name);
        let drifted = drifted.filter(|name| wanted.assumed != Some(name.as_str()));
        drift.extend(drifted.cloned());
        if replicate.is_some() && !before.moving {
            drift.push(REPLICAS.to_owned());
        }
    }
    Changes {
        configure,
        widen,
        replicate,
        drift,
        left,
    }
}

fn settings(
    wanted: &Wanted,
    there: &BTreeMap<String, String>,
) -> (Vec<ConfigChange>, Option<String>) {
    let mut changes = Vec::new();
    let mut left = None;
    for (name, value) in &wanted.config {
        let is = there.get(name);
        if !is.is_some_and(|is| values::same(name, is, value)) {
            changes.push(ConfigChange::set(name, value));
        }
    }
    for (name, value) in there {
        if wanted.config.contains_key(name) || THROTTLES.contains(&name.as_str()) {
            continue;
        }
        if name == REMOTE && value == "true" {
            // To unset it is to give up what is in object storage; that takes a person's word.
            left = Some(format!(
                "{REMOTE} is true on the topic and spec.config does not name it: it stays, since records \
                 in object storage would be lost. Name it, as true or as false"
            ));
            continue;
        }
        changes.push(ConfigChange::unset(name));
    }
    (changes, left)
}

#[cfg(test)]
mod tests;
