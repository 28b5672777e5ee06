//! The file that each broker is started with.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::super::names::{CONTROLLER_PORT, HTTP_PORT, REPLICATION_PORT};
use super::super::plan::{Node, Plan, PlannedPool};
use super::super::validate::Wanted;
use super::Given;
use super::services::advertised;

/// Where the volume is.
pub(super) const VOLUME: &str = "/var/lib/freshet";
/// Where brokers keep what they have: a fresh volume has a `lost+found` above it.
const LOGS: &str = "/var/lib/freshet/log";

/// One file for each pod of a pool, `POD.properties`.
pub(super) fn of_pool(
    wanted: &Wanted,
    plan: &Plan,
    pool: &PlannedPool,
    given: &Given,
) -> BTreeMap<String, String> {
    let shared = shared(wanted, plan);
    let file = |node: &Node| {
        let mut text = shared.clone();
        for (name, value) in own(wanted, node, given) {
            text.insert(name, value);
        }
        if let Some(why) = plan.stopped.get(&node.id) {
            text.insert("freshet.idle.reason".to_owned(), why.clone());
        }
        let mut lines = String::new();
        for (name, value) in text {
            let _ = writeln!(lines, "{name}={}", escaped(&value));
        }
        (format!("{}.properties", node.pod), lines)
    };
    pool.nodes.iter().map(file).collect()
}

/// A digest of what a restart is needed for when it changes: what all files share, and how listeners
/// are called. What only one pod has (its number, its addresses) is not in it, so that a broker more
/// restarts no other.
pub(super) fn digest(wanted: &Wanted, plan: &Plan) -> String {
    let mut shared = shared(wanted, plan);
    // A voter that comes or goes is told to the others by the quorum itself.
    shared.remove("controller.quorum.bootstrap.servers");
    let listeners: Vec<_> = wanted
        .listeners
        .iter()
        .map(|l| (&l.name, l.port, &l.advertised_host, l.advertised_port_base))
        .collect();
    super::digest(&format!("{shared:?}{listeners:?}"))
}

fn shared(wanted: &Wanted, plan: &Plan) -> BTreeMap<String, String> {
    let mut lines: BTreeMap<String, String> = wanted
        .statics
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    let mut put = |name: &str, value: String| lines.insert(name.to_owned(), value);
    let voters = plan.controllers.values();
    let voters = voters.map(|pod| format!("{}:{CONTROLLER_PORT}", wanted.names.host(pod)));
    put(
        "controller.quorum.bootstrap.servers",
        voters.collect::<Vec<_>>().join(","),
    );
    // Who votes is said here alone: a controller that joined by itself would vote again when it
    // restarts after it was removed.
    put("controller.quorum.auto.join.enable", "false".to_owned());
    put("controller.listener.names", "CONTROLLER".to_owned());
    put("inter.broker.listener.name", "REPLICATION".to_owned());
    put("listener.security.protocol.map", protocols(wanted));
    put("freshet.cluster.id", plan.cluster_id.clone());
    put("log.dirs", LOGS.to_owned());
    put("http.listener", format!("0.0.0.0:{HTTP_PORT}"));
    put("broker.rack", "${env:FRESHET_ZONE}".to_owned());
    if let Some(tiering) = &wanted.tiering {
        put("remote.log.storage.system.enable", "true".to_owned());
        put("remote.log.storage.url", tiering.url.clone());
    }
    lines
}

fn protocols(wanted: &Wanted) -> String {
    let own = [
        "CONTROLLER:PLAINTEXT".to_owned(),
        "REPLICATION:PLAINTEXT".to_owned(),
    ];
    let listeners = wanted.listeners.iter();
    let listeners = listeners.map(|l| format!("{}:PLAINTEXT", l.name.to_ascii_uppercase()));
    own.into_iter()
        .chain(listeners)
        .collect::<Vec<_>>()
        .join(",")
}

/// What only this pod has.
fn own(wanted: &Wanted, node: &Node, given: &Given) -> Vec<(String, String)> {
    let mut roles = Vec::new();
    let mut bound = Vec::new();
    let mut told = Vec::new();
    let host = wanted.names.host(&node.pod);
    let mut open = |name: &str, port: i32| {
        bound.push(format!("{name}://:{port}"));
        told.push(format!("{name}://{host}:{port}"));
    };
    if node.controller {
        roles.push("controller");
        open("CONTROLLER", CONTROLLER_PORT);
    }
    if node.broker {
        roles.push("broker");
        open("REPLICATION", REPLICATION_PORT);
        for listener in &wanted.listeners {
            // Files are written when all addresses are known, see `lacking`.
            let Some(address) = advertised(wanted, listener, node, given) else {
                continue;
            };
            let name = listener.name.to_ascii_uppercase();
            bound.push(format!("{name}://:{}", listener.port));
            told.push(format!("{name}://{address}"));
        }
    }
    [
        ("node.id", node.id.to_string()),
        ("process.roles", roles.join(",")),
        ("listeners", bound.join(",")),
        ("advertised.listeners", told.join(",")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// A value as a line of a properties file.
fn escaped(value: &str) -> String {
    let value = value
        .replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('\r', "\\r");
    match value.strip_prefix(' ') {
        Some(rest) => format!("\\ {rest}"),
        None => value,
    }
}
