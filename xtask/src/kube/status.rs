//! What a cluster looks like now.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};

use anyhow::{Context, Result};
use comfy_table::{Table, presets};
use serde::Serialize;
use serde_json::Value;

use super::ledger::{Cluster, Phase, Process};

/// What `status` tells.
#[derive(Serialize)]
struct Status {
    phase: Phase,
    kubeconfig: String,
    nodes: Vec<NodeStatus>,
    daemons: Vec<DaemonStatus>,
}

#[derive(Serialize)]
struct NodeStatus {
    name: String,
    zone: String,
    address: String,
    /// What the API server says, if it says something.
    ready: Option<bool>,
    kubelet: &'static str,
    pods: Option<usize>,
}

#[derive(Serialize)]
struct DaemonStatus {
    name: String,
    pid: i32,
    state: &'static str,
    resident_bytes: u64,
}

/// Prints a cluster's status, as tables or as JSON.
pub(crate) fn run(cluster: &Cluster, json: bool) -> Result<()> {
    let status = look(cluster);
    if json {
        return tell(&serde_json::to_string_pretty(&status)?);
    }
    let phase = match status.phase {
        Phase::Up if cluster.is_up() => "up",
        Phase::Up => "fallen: its namespaces are gone; `up` starts it anew",
        Phase::Kept => "down, with its state kept",
        Phase::Unfinished => "neither up nor down: `up` or `down` cleans it up",
    };
    let kubeconfig = status.kubeconfig;
    let mut nodes = table(&["NODE", "ZONE", "ADDRESS", "READY", "KUBELET", "PODS"]);
    for node in status.nodes {
        let ready = node
            .ready
            .map_or("?", |ready| if ready { "yes" } else { "no" });
        let pods = node.pods.map_or("?".into(), |pods| pods.to_string());
        let kubelet = node.kubelet.into();
        nodes.add_row([
            node.name,
            node.zone,
            node.address,
            ready.into(),
            kubelet,
            pods,
        ]);
    }
    let mut daemons = table(&["DAEMON", "PID", "STATE", "MIB"]);
    for daemon in status.daemons {
        let mib = (daemon.resident_bytes >> 20).to_string();
        daemons.add_row([
            daemon.name,
            daemon.pid.to_string(),
            daemon.state.into(),
            mib,
        ]);
    }
    tell(&format!(
        "cluster     {phase}\nkubeconfig  {kubeconfig}\n\n{nodes}\n\n{daemons}"
    ))
}

/// Prints a text; whoever reads only its beginning, as `head` does, is no reason to panic.
fn tell(text: &str) -> Result<()> {
    writeln!(io::stdout(), "{text}").context("cannot print the status")
}

fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(head.iter().copied());
    table
}

fn look(cluster: &Cluster) -> Status {
    let (ready, pods) = if cluster.is_up() {
        (ready(cluster).ok(), pods(cluster).ok())
    } else {
        (None, None)
    };
    let runs = |process: Option<&Process>| match process {
        Some(process) if process.alive() => "runs",
        Some(_) => "fallen",
        None => "stopped",
    };
    let daemons = &cluster.ledger.daemons;
    let nodes = cluster.ledger.nodes.iter().map(|node| NodeStatus {
        name: node.name(),
        zone: node.zone(),
        address: node.address(),
        ready: ready.as_ref().map(|names| names.contains(&node.name())),
        kubelet: runs(daemons.get(&node.kubelet())),
        pods: pods
            .as_ref()
            .map(|pods| pods.get(&node.name()).copied().unwrap_or(0)),
    });
    let daemons = daemons.iter().map(|(name, process)| DaemonStatus {
        name: name.clone(),
        pid: process.pid,
        state: runs(Some(process)),
        resident_bytes: resident(process.pid),
    });
    Status {
        phase: cluster.ledger.phase,
        kubeconfig: cluster.layout.kubeconfig().display().to_string(),
        nodes: nodes.collect(),
        daemons: daemons.collect(),
    }
}

/// The memory of a process that is in use now; 0 once it has ended.
fn resident(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

/// The nodes that are ready, as the API server has it.
pub(crate) fn ready(cluster: &Cluster) -> Result<BTreeSet<String>> {
    let nodes = list(cluster, &["nodes"])?;
    Ok(nodes
        .iter()
        .filter(|node| is_ready(node))
        .filter_map(name)
        .collect())
}

fn is_ready(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array();
    let ready = |c: &Value| c["type"] == "Ready" && c["status"] == "True";
    conditions.is_some_and(|conditions| conditions.iter().any(ready))
}

/// When each node has last spoken.
pub(crate) fn leases(cluster: &Cluster) -> Result<BTreeMap<String, String>> {
    let leases = list(cluster, &["leases", "--namespace=kube-node-lease"])?;
    let when = |lease: &Value| lease["spec"]["renewTime"].as_str().map(str::to_owned);
    Ok(leases
        .iter()
        .filter_map(|lease| Some((name(lease)?, when(lease)?)))
        .collect())
}

/// How many pods are on each node.
fn pods(cluster: &Cluster) -> Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    for pod in list(cluster, &["pods", "--all-namespaces"])? {
        if let Some(node) = pod["spec"]["nodeName"].as_str() {
            *counts.entry(node.to_owned()).or_default() += 1;
        }
    }
    Ok(counts)
}

fn name(object: &Value) -> Option<String> {
    object["metadata"]["name"].as_str().map(str::to_owned)
}

fn list(cluster: &Cluster, what: &[&str]) -> Result<Vec<Value>> {
    let mut words = vec!["get", "--output=json"];
    words.extend(what);
    let answer = cluster.kubectl(&words)?;
    let mut answer: Value = serde_json::from_str(&answer).context("kubectl gave no JSON")?;
    match answer["items"].take() {
        Value::Array(items) => Ok(items),
        _ => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_node_that_says_so_is_ready() {
        let node = |kind: &str, status: &str| json!({"status": {"conditions": [{"type": kind, "status": status}]}});
        assert!(is_ready(&node("Ready", "True")));
        assert!(!is_ready(&node("Ready", "Unknown")));
        assert!(!is_ready(&node("MemoryPressure", "True")));
        assert!(!is_ready(&json!({})));
    }

    #[test]
    fn memory_is_read_of_a_process_that_runs() {
        assert!(resident(std::process::id().cast_signed()) > 0);
        assert_eq!(resident(i32::MAX), 0);
    }
}
