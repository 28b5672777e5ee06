//! Services: names for pods, and ways in for clients.

use std::collections::BTreeSet;

use freshet_api::{Listener, ListenerType};
use serde_json::{Value, json};

use super::super::fetch::{Kind, Observed};
use super::super::names::{CONTROLLER_PORT, HTTP_PORT, LIVE, REPLICATION_PORT};
use super::super::plan::{Node, Plan};
use super::super::validate::Wanted;
use super::{Given, Object, merge, object};

/// How a Service is reached from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reached {
    /// Its load balancer.
    host: Option<String>,
    /// Its port on every node.
    node_port: Option<i32>,
}

#[cfg(test)]
impl Reached {
    /// By a port of every node.
    pub(super) fn of_node(port: i32) -> Self {
        Self {
            host: None,
            node_port: Some(port),
        }
    }
}

/// The address of a pod's node, which only the pod knows.
pub(crate) const HOST_OF_NODE: &str = "${env:FRESHET_HOST}";

/// What Services have been given. An address that is gone for a moment is the one that it was last: files say it.
pub(crate) fn given(wanted: &Wanted, observed: &Observed) -> Given {
    let mut given = given_now(observed);
    for (_, file) in observed.files() {
        for (service, last) in given_last(wanted, file) {
            let now = given.entry(service).or_insert(Reached {
                host: None,
                node_port: None,
            });
            now.host = now.host.take().or(last.host);
            now.node_port = now.node_port.or(last.node_port);
        }
    }
    given
}

/// What the Services of a broker had been given when its file was written.
fn given_last(wanted: &Wanted, file: &str) -> Vec<(String, Reached)> {
    let line = |name: &str| {
        let mut lines = file.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    };
    let id = line("node.id").and_then(|id| id.parse().ok());
    let (Some(id), Some(told)) = (id, line("advertised.listeners")) else {
        return Vec::new();
    };
    let last = |listener: &Listener| {
        let name = listener.name.to_ascii_uppercase();
        let mut all = told.split(',').filter_map(|one| one.split_once("://"));
        let (_, address) = all.find(|(other, _)| *other == name)?;
        let (host, port) = address.rsplit_once(':')?;
        let port = port.parse().ok()?;
        // The kind of a listener may have been another one.
        let is_of_node = host == HOST_OF_NODE;
        let reached = match listener.kind {
            ListenerType::LoadBalancer if !is_of_node => Reached {
                host: Some(host.to_owned()),
                node_port: None,
            },
            ListenerType::NodePort if port != listener.port => Reached {
                host: None,
                node_port: Some(port),
            },
            _ => return None,
        };
        Some((wanted.names.of_broker(&listener.name, id), reached))
    };
    wanted.listeners.iter().filter_map(last).collect()
}

fn given_now(observed: &Observed) -> Given {
    let services = observed
        .objects
        .iter()
        .filter(|((kind, _), _)| *kind == Kind::Service);
    let reached = services.map(|((_, name), service)| {
        let ingress = &service["status"]["loadBalancer"]["ingress"][0];
        let host = ingress["hostname"]
            .as_str()
            .or_else(|| ingress["ip"].as_str());
        let port = service["spec"]["ports"][0]["nodePort"].as_i64();
        let reached = Reached {
            host: host.map(str::to_owned),
            node_port: port.and_then(|port| i32::try_from(port).ok()),
        };
        (name.clone(), reached)
    });
    reached.collect()
}

/// All Services.
pub(super) fn all(wanted: &Wanted, plan: &Plan, live: &BTreeSet<String>) -> Vec<Object> {
    let mut services = vec![headless(wanted, live)];
    for listener in &wanted.listeners {
        services.push(bootstrap(wanted, listener));
        if listener.kind != ListenerType::Internal {
            let brokers = plan.nodes().filter(|node| node.broker);
            services.extend(brokers.map(|node| of_broker(wanted, listener, node)));
        }
    }
    services
}

/// Names for pods, from their first moment on: brokers look for each other before they are ready.
fn headless(wanted: &Wanted, live: &BTreeSet<String>) -> Object {
    let ports = [
        ("controller", CONTROLLER_PORT),
        ("replication", REPLICATION_PORT),
        ("http", HTTP_PORT),
    ];
    let ports = ports.map(|(name, port)| port_of(name, port)).to_vec();
    let live = live.iter().cloned().collect::<Vec<_>>().join(",");
    let spec = json!({ "metadata": { "annotations": { LIVE: live } }, "spec": {
        "clusterIP": "None",
        "publishNotReadyAddresses": true,
        "selector": wanted.names.selector(),
        "ports": ports,
    }});
    object(wanted, Kind::Service, wanted.names.headless(), spec)
}

fn port_of(name: &str, port: i32) -> Value {
    json!({ "name": name, "port": port, "targetPort": name, "protocol": "TCP" })
}

/// Where clients of a listener begin: any broker that serves.
fn bootstrap(wanted: &Wanted, listener: &Listener) -> Object {
    let mut port = port_of(&listener.name, listener.port);
    if let Some(node_port) = listener.node_port {
        port["nodePort"] = node_port.into();
    }
    let spec = json!({ "spec": {
        "type": kind(listener),
        "selector": wanted.names.selector(),
        "ports": [port],
    }});
    let mut made = object(
        wanted,
        Kind::Service,
        wanted.names.bootstrap(&listener.name),
        spec,
    );
    annotate(&mut made, listener);
    made
}

/// One broker, also when it is not ready: who leads a partition must be reached, not somebody else.
fn of_broker(wanted: &Wanted, listener: &Listener, node: &Node) -> Object {
    let spec = json!({ "spec": {
        "type": kind(listener),
        "publishNotReadyAddresses": true,
        "externalTrafficPolicy": "Cluster",
        "selector": { "statefulset.kubernetes.io/pod-name": node.pod },
        "ports": [port_of(&listener.name, listener.port)],
    }});
    let name = wanted.names.of_broker(&listener.name, node.id);
    let mut made = object(wanted, Kind::Service, name, spec);
    annotate(&mut made, listener);
    made
}

fn kind(listener: &Listener) -> &'static str {
    match listener.kind {
        ListenerType::Internal => "ClusterIP",
        ListenerType::NodePort => "NodePort",
        ListenerType::LoadBalancer => "LoadBalancer",
    }
}

fn annotate(made: &mut Object, listener: &Listener) {
    if !listener.annotations.is_empty() {
        merge(
            &mut made.value,
            json!({ "metadata": { "annotations": listener.annotations } }),
        );
    }
}

/// What clients are told of a broker, `host:port`; `None` while its Service has no address yet.
pub(super) fn advertised(
    wanted: &Wanted,
    listener: &Listener,
    node: &Node,
    given: &Given,
) -> Option<String> {
    let reached = given.get(&wanted.names.of_broker(&listener.name, node.id));
    let host = match &listener.advertised_host {
        Some(template) => filled(template, wanted, node),
        None => match listener.kind {
            ListenerType::Internal => wanted.names.host(&node.pod),
            ListenerType::NodePort => HOST_OF_NODE.to_owned(),
            ListenerType::LoadBalancer => reached?.host.clone()?,
        },
    };
    let port = match (listener.advertised_port_base, listener.kind) {
        (Some(base), _) => base.saturating_add(node.id),
        (None, ListenerType::NodePort) => reached?.node_port?,
        (None, _) => listener.port,
    };
    Some(format!("{host}:{port}"))
}

/// A listener and a broker whose address is not known yet. Until it is, no file is written: a pod that
/// was started without it would have to be started again.
pub(crate) fn lacking(wanted: &Wanted, plan: &Plan, given: &Given) -> Option<String> {
    let brokers = || plan.nodes().filter(|node| node.broker);
    let lacks = |listener: &&Listener| {
        brokers().any(|node| advertised(wanted, listener, node, given).is_none())
    };
    let listener = wanted.listeners.iter().find(lacks)?;
    let who = brokers().find(|node| advertised(wanted, listener, node, given).is_none())?;
    let service = wanted.names.of_broker(&listener.name, who.id);
    Some(match listener.kind {
        ListenerType::LoadBalancer => {
            format!("the load balancer of Service {service} has no address yet")
        }
        _ => format!("Service {service} has no port yet"),
    })
}

fn filled(template: &str, wanted: &Wanted, node: &Node) -> String {
    template
        .replace("{id}", &node.id.to_string())
        .replace("{pod}", &node.pod)
        .replace("{cluster}", &wanted.names.cluster)
        .replace("{namespace}", &wanted.names.namespace)
}

/// Where clients begin, for each listener; `None` while that is not known.
pub(crate) fn addresses(wanted: &Wanted, given: &Given) -> Vec<(String, Option<String>)> {
    let address = |listener: &Listener| {
        let service = wanted.names.bootstrap(&listener.name);
        let reached = given.get(&service);
        match listener.kind {
            ListenerType::Internal => Some(format!(
                "{}:{}",
                wanted.names.service(&service),
                listener.port
            )),
            // Any node's address will do; which ones can be reached is not for the operator to know.
            ListenerType::NodePort => reached?.node_port.map(|port| format!("<node>:{port}")),
            ListenerType::LoadBalancer => {
                let host = reached?.host.clone()?;
                Some(format!("{host}:{}", listener.port))
            }
        }
    };
    wanted
        .listeners
        .iter()
        .map(|l| (l.name.clone(), address(l)))
        .collect()
}
