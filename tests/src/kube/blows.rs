//! What befalls a cluster: pods die, volumes are lost, nodes are drained.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::pid::Pid;
use super::{KubeCluster, PROGRESS};

/// How long a volume may take to have everything again.
const COPIED: Duration = Duration::from_secs(120);
/// How long it may take until a volume is there in the place of another: that of a node that is gone is
/// waited for, for a minute after its pod has been struck off.
const REPLACED: Duration = Duration::from_secs(240);
/// What is written on the volume of a broker that is to be stopped.
const STOPPED: &str = "freshet.dev/stopped";

impl KubeCluster {
    /// A pod is taken off the books without a farewell.
    pub fn kill_pod(&self, pod: &str) -> Result<()> {
        // It may be between two lives.
        let force = ["--grace-period=0", "--force", "--ignore-not-found"];
        self.ctl
            .ok(&[&["delete", "pod", pod], &force[..]].concat())?;
        Ok(())
    }

    /// The broker of a pod, to be killed at once; a pod that is just restarted is waited for.
    pub(super) fn process(&self, pod: &str) -> Result<Pid> {
        let look = || Pid::in_pod(&self.ctl, pod, "freshet-broker").map(Some);
        Ok(self.ctl.until("there is a broker", PROGRESS, look)?.0)
    }

    /// A pod's volume goes with all that is on it, and the pod comes back with an empty one.
    pub fn lose_volume(&self, pod: &str) -> Result<()> {
        let before = self.volume(pod)?;
        self.ctl.ok(&["delete", &claim(pod), "--wait=false"])?;
        self.ctl.ok(&["delete", "pod", pod, "--ignore-not-found"])?;
        self.new_volume(pod, &before)
    }

    /// The id of a pod's volume.
    pub(super) fn volume(&self, pod: &str) -> Result<String> {
        let claim = self.ctl.get(&[&claim(pod)])?;
        let uid = claim["metadata"]["uid"].as_str();
        Ok(uid.context("a volume without an id")?.to_owned())
    }

    /// Waits until a pod has another volume.
    pub(super) fn new_volume(&self, pod: &str, before: &str) -> Result<()> {
        let look = || Ok((self.volume(pod)? != before).then_some(()));
        self.ctl.until("there is a new volume", REPLACED, look)?;
        Ok(())
    }

    /// Stops a broker on purpose, and waits until its process does nothing.
    pub fn stop_broker(&self, pod: &str) -> Result<()> {
        let why = format!("{STOPPED}=a disk is looked at");
        self.ctl.ok(&["annotate", &claim(pod), &why])?;
        let look = || {
            let told = self.ctl.get(&[&self.object()])?["status"].clone();
            let brokers = told["pools"].as_array().into_iter().flatten();
            let mut brokers =
                brokers.flat_map(|pool| pool["brokers"].as_array().into_iter().flatten());
            let stopped = brokers.any(|b| b["pod"] == pod && b["stopped"] == "a disk is looked at");
            // The status says what is asked for; the process itself says what it is.
            let idle =
                self.ctl.get(&["pod", pod])?["status"]["containerStatuses"][0]["ready"] == false;
            let brokers = self.brokers()?;
            let serving = brokers.iter().filter(|b| b["status"] == "ok").count();
            ensure!(
                stopped && idle && serving + 1 == brokers.len(),
                "{serving} of {} brokers serve, {pod} is not ready: {idle}; {told}",
                brokers.len()
            );
            Ok(Some(()))
        };
        self.ctl.until("the broker is stopped", PROGRESS, look)?;
        Ok(())
    }

    /// Starts it again.
    pub fn start_broker(&self, pod: &str) -> Result<()> {
        let none = format!("{STOPPED}-");
        self.ctl.ok(&["annotate", &claim(pod), &none]).map(drop)
    }

    /// A node with one pod of the cluster, and that pod; others can do without it.
    pub(super) fn node_of_one_broker(&self, spared: &str, which: u64) -> Result<(String, String)> {
        let pods = self.pods()?;
        let alone = |node: &str| pods.values().filter(|pod| pod.node == node).count() == 1;
        let all: Vec<_> = pods
            .iter()
            .filter(|(_, pod)| pod.node != spared && alone(&pod.node))
            .collect();
        let at = usize::try_from(which % all.len().max(1) as u64)?;
        let (name, pod) = all.get(at).context("no broker is alone on its node")?;
        Ok((pod.node.clone(), (*name).clone()))
    }

    /// Waits until every broker has everything that it keeps copies of.
    pub fn in_sync(&self) -> Result<()> {
        let look = || {
            for broker in self.brokers()? {
                let id = broker["id"].to_string();
                let told = self.freshet(&["broker", "describe", &id, "--output", "json"])?;
                let told: Value = serde_json::from_str(&told)?;
                ensure!(
                    told["out_of_sync"].as_array().is_some_and(Vec::is_empty),
                    "{told}"
                );
            }
            Ok(Some(()))
        };
        self.ctl.until("all copies are complete", COPIED, look)?;
        Ok(())
    }

    /// The node of one of its pods that others can do without: those of `spared` are nobody's to bring back.
    pub fn node_of_a_broker(&self, spared: &str, which: u64) -> Result<String> {
        let pods = self.pods()?;
        let mut nodes: Vec<_> = pods.into_values().map(|pod| pod.node).collect();
        nodes.retain(|node| node != spared && !node.is_empty());
        nodes.sort();
        nodes.dedup();
        let at = which % nodes.len().max(1) as u64;
        let node = nodes.get(usize::try_from(at)?);
        Ok(node.context("all pods are on one node")?.clone())
    }

    /// All pods of a node go, under the eyes of the disruption budget; no others come.
    pub fn drain(&self, node: &str) -> Result<()> {
        self.ctl.ok(&[
            "drain",
            node,
            "--ignore-daemonsets",
            "--delete-emptydir-data",
            "--force",
            "--timeout=110s",
        ])?;
        Ok(())
    }
}

fn claim(pod: &str) -> String {
    format!("pvc/data-{pod}")
}
