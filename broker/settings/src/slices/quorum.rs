//! What a node does in its cluster, and where the controllers are: the slice, and its rules.

use freshet_types::NodeId;

use crate::SettingError;
use crate::cross::contradiction;
use crate::endpoint::{self, Endpoint, Listener};
use crate::layers::Layers;
use crate::value::items;

/// Up to here a way between controllers asks nothing of other times; it is the default.
const NEAR_MS: u64 = 100;

/// `process.roles`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeRoles {
    /// It serves clients.
    pub broker: bool,
    /// It keeps the metadata.
    pub controller: bool,
}

/// The node's part in the cluster. Read once, at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumSettings {
    /// `process.roles`.
    pub roles: NodeRoles,
    /// `controller.quorum.voters`: numbers, and addresses under the name of the controllers' first
    /// listener.
    pub voters: Vec<(NodeId, Endpoint)>,
    /// `controller.quorum.bootstrap.servers`; empty when `voters` are given.
    pub bootstrap: Vec<Endpoint>,
    /// `controller.quorum.auto.join.enable`.
    pub auto_join: bool,
    /// Listeners of the controller that are opened here.
    pub listeners: Vec<Listener>,
    /// The listener by which brokers speak to each other; `None` for one that is no broker.
    pub inter_broker_listener: Option<String>,
    /// `leader.imbalance.check.interval.seconds` in ms; `None` without
    /// `auto.leader.rebalance.enable`.
    pub balance_every_ms: Option<u64>,
}

impl QuorumSettings {
    /// Whether the node has others to agree with, or may have. If not, it is its own controller.
    pub fn is_cluster(&self) -> bool {
        !self.voters.is_empty() || !self.bootstrap.is_empty()
    }
}

impl Layers {
    /// The node's part in the cluster.
    pub fn quorum(&self) -> QuorumSettings {
        let (roles, names) = (self.roles(), self.controller_names());
        let name = names.first().cloned().unwrap_or_default();
        let at = |host, port| Endpoint {
            name: name.clone(),
            host,
            port,
        };
        let voters = endpoint::parse_voters(self.text("controller.quorum.voters"));
        let voters = voters.unwrap_or_default().into_iter();
        let voters: Vec<_> = voters
            .map(|(id, host, port)| (NodeId(id), at(host, port)))
            .collect();
        let bootstrap = endpoint::parse_addresses(self.text("controller.quorum.bootstrap.servers"));
        let bootstrap = bootstrap.unwrap_or_default().into_iter();
        let bootstrap: Vec<_> = bootstrap
            .filter(|_| voters.is_empty())
            .map(|(host, port)| at(host, port))
            .collect();
        let is_cluster = !voters.is_empty() || !bootstrap.is_empty();
        let mut listeners = self.bound();
        listeners.retain(|listener| is_cluster && names.contains(&listener.endpoint.name));
        let balance = self.unsigned("leader.imbalance.check.interval.seconds");
        let balances = self.flag("auto.leader.rebalance.enable");
        QuorumSettings {
            roles,
            voters,
            bootstrap,
            auto_join: self.flag("controller.quorum.auto.join.enable"),
            listeners,
            inter_broker_listener: self.inter_broker_listener(),
            balance_every_ms: balances.then_some(balance.saturating_mul(1000)),
        }
    }

    fn roles(&self) -> NodeRoles {
        let has = |role| items(self.text("process.roles")).any(|word| word == role);
        NodeRoles {
            broker: has("broker"),
            controller: has("controller"),
        }
    }

    /// The listener by which brokers speak to each other: `inter.broker.listener.name`, else the
    /// one called like `security.inter.broker.protocol`, else, in a cluster of one, the first.
    /// `None` for a node that is no broker.
    pub fn inter_broker_listener(&self) -> Option<String> {
        if !self.roles().broker {
            return None;
        }
        let named = self.value("inter.broker.listener.name");
        let name = named.unwrap_or(self.text("security.inter.broker.protocol"));
        let name = name.to_ascii_uppercase();
        let ours = self.node().listeners;
        let is_there = ours.iter().any(|listener| listener.endpoint.name == name);
        let first = ours.into_iter().next();
        let first = first.filter(|_| !is_there && named.is_none());
        Some(first.map_or(name, |first| first.endpoint.name))
    }
}

/// Kafka's rules for a node's roles, listeners and controllers.
pub(crate) fn check(layers: &Layers) -> Result<(), SettingError> {
    const ROLES: &str = "process.roles";
    const VOTERS: &str = "controller.quorum.voters";
    let quorum = layers.quorum();
    let NodeRoles { broker, controller } = quorum.roles;
    if !quorum.is_cluster() {
        if broker && controller {
            return Ok(());
        }
        let expected = "say where the controllers are, there or in \
                        controller.quorum.bootstrap.servers";
        return Err(contradiction(ROLES, VOTERS, expected.to_owned()));
    }
    sessions(layers)?;
    let me = layers.node_id();
    let is_voter = quorum.voters.iter().any(|(node, _)| *node == me);
    if controller && !quorum.voters.is_empty() && !is_voter {
        let expected = format!("this node is a controller, and {me} is not among the voters");
        return Err(contradiction("node.id", VOTERS, expected));
    }
    if !controller && is_voter {
        let expected = format!("{me} is among the voters, and this node is no controller");
        return Err(contradiction("node.id", VOTERS, expected));
    }
    listeners(layers, &quorum)
}

fn sessions(layers: &Layers) -> Result<(), SettingError> {
    const SESSION: &str = "broker.session.timeout.ms";
    let life = layers.lifecycle();
    if life.heartbeat_interval_ms * 2 > life.session_timeout_ms {
        let expected = "the first must be at most half of the second".to_owned();
        return Err(contradiction(
            "broker.heartbeat.interval.ms",
            SESSION,
            expected,
        ));
    }
    // A heartbeat waits for its way, and, when the active controller is lost, for the next one.
    let round_trip_ms = layers.metadata().round_trip_ms;
    let least_ms = round_trip_ms * 10;
    if round_trip_ms > NEAR_MS && life.session_timeout_ms < least_ms {
        let expected = format!("the second must be at least ten times the first: {least_ms} ms");
        return Err(contradiction(
            "freshet.quorum.round.trip.ms",
            SESSION,
            expected,
        ));
    }
    Ok(())
}

fn listeners(layers: &Layers, quorum: &QuorumSettings) -> Result<(), SettingError> {
    const LISTENERS: &str = "listeners";
    const CONTROLLERS: &str = "controller.listener.names";
    let NodeRoles { broker, controller } = quorum.roles;
    let wrong = |expected: String| Err(contradiction(CONTROLLERS, LISTENERS, expected));
    if controller && quorum.listeners.is_empty() {
        return wrong("a controller needs one of its listeners there".to_owned());
    }
    if !controller && let Some(listener) = quorum.listeners.first() {
        let name = &listener.endpoint.name;
        return wrong(format!(
            "this node is no controller, and cannot open {name}"
        ));
    }
    if !broker && let Some(listener) = layers.node().listeners.first() {
        let name = &listener.endpoint.name;
        return wrong(format!(
            "this node is no broker, and {name} is no listener of the controller"
        ));
    }
    if broker {
        between_brokers(layers)
    } else {
        Ok(())
    }
}

fn between_brokers(layers: &Layers) -> Result<(), SettingError> {
    const NAME: &str = "inter.broker.listener.name";
    const PROTOCOL: &str = "security.inter.broker.protocol";
    let named = layers.value(NAME);
    if named.is_some() && layers.statics.get(PROTOCOL).is_some() {
        let expected = "set one of them".to_owned();
        return Err(contradiction(NAME, PROTOCOL, expected));
    }
    let wanted = named.unwrap_or(layers.text(PROTOCOL)).to_ascii_uppercase();
    let ours = layers.node().listeners;
    if ours.iter().any(|listener| listener.endpoint.name == wanted) {
        return Ok(());
    }
    let expected = if layers.controller_names().contains(&wanted) {
        format!("{wanted} is the controller's; brokers need one of their own")
    } else {
        format!("brokers are to speak to each other by {wanted}, and no listener is called so")
    };
    Err(contradiction(NAME, "listeners", expected))
}

#[cfg(test)]
mod tests;
