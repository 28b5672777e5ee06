//! The table. One file per area; every line of it says all there is to say about a setting.

mod cluster;
mod group;
mod groups;
mod node;
mod plumbing;
mod replication;
mod security;
mod storage;
mod tiering;
mod topic;
mod transactions;

use std::collections::BTreeMap;
use std::sync::OnceLock;

pub(crate) use replication::NO_CONTROLLER_LISTENER;
pub(crate) use topic::CLEANER;

use crate::setting::{Scope, Setting};

/// Starts of setting names that have a free part or that are gone, and why they do nothing.
pub(crate) static FAMILIES: &[(&str, &str)] = &[
    (
        "listener.name.",
        "settings of single listeners are not built yet",
    ),
    (
        "rsm.config.",
        "object storage is built in; there are no Java plugins",
    ),
    (
        "rlmm.config.",
        "object storage is built in; there are no Java plugins",
    ),
    (
        "config.providers.",
        "it configures Java classes, and there is no Java here",
    ),
    (
        "metrics.jmx.",
        "metrics are served for Prometheus at /metrics of http.listener",
    ),
    (
        "metrics.context.",
        "metrics are served for Prometheus at /metrics of http.listener",
    ),
    ("confluent.", "it belongs to Confluent's distribution"),
    (
        "zookeeper.",
        "there is no ZooKeeper here, nor in Kafka since 4.0",
    ),
    ("password.encoder.", GONE),
    ("inter.broker.protocol.version", GONE),
    ("log.message.format.version", GONE),
    ("log.message.downconversion.enable", GONE),
    ("log.message.timestamp.difference.max.ms", GONE),
    ("delegation.token.master.key", GONE),
    ("control.plane.listener.name", GONE),
    ("controlled.shutdown.max.retries", GONE),
    ("controlled.shutdown.retry.backoff.ms", GONE),
    ("offsets.commit.required.acks", GONE),
    ("leader.imbalance.per.broker.percentage", GONE),
    ("reserved.broker.max.id", GONE),
    ("broker.id.generation.enable", GONE),
    ("auto.include.jmx.reporter", GONE),
    ("group.coordinator.new.enable", GONE),
];

const GONE: &str = "Kafka 4.0 has removed it";

static AREAS: &[&[Setting]] = &[
    cluster::SETTINGS,
    group::SETTINGS,
    groups::SETTINGS,
    node::SETTINGS,
    plumbing::SETTINGS,
    replication::SETTINGS,
    security::SETTINGS,
    storage::SETTINGS,
    tiering::SETTINGS,
    topic::SETTINGS,
    transactions::SETTINGS,
];

type Index = BTreeMap<&'static str, &'static Setting>;

/// The settings of a scope by name.
pub(crate) fn index(scope: Scope) -> &'static Index {
    static INDEX: OnceLock<[Index; 4]> = OnceLock::new();
    let all = INDEX.get_or_init(|| {
        let mut all = <[Index; 4]>::default();
        for setting in lines() {
            all[place(setting.scope)].insert(setting.name, setting);
        }
        all
    });
    &all[place(scope)]
}

/// All lines of the table.
pub(crate) fn lines() -> impl Iterator<Item = &'static Setting> {
    AREAS.iter().copied().flatten()
}

fn place(scope: Scope) -> usize {
    match scope {
        Scope::Broker => 0,
        Scope::Topic => 1,
        Scope::Group => 2,
        Scope::ClientMetrics => 3,
    }
}
