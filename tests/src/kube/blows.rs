//! What befalls a cluster: pods die, volumes are lost, nodes are drained.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::pid::Pid;
use super::{KubeCluster, PROGRESS};

/// How long a volume may take to have everything again.
const COPIED: Duration = Duration::from_secs(120);

impl KubeCluster {
    /// A pod is taken off the books without a farewell.
    pub fn kill_pod(&self, pod: &str) -> Result<()> {
        self.ctl
            .ok(&["delete", "pod", pod, "--grace-period=0", "--force"])?;
        Ok(())
    }

    /// The broker of a pod, to be killed at once.
    pub fn process(&self, pod: &str) -> Result<Pid> {
        Pid::in_pod(&self.ctl, pod, "freshet-broker")
    }

    /// A pod's volume goes with all that is on it, and the pod comes back with an empty one.
    pub fn lose_volume(&self, pod: &str) -> Result<()> {
        let claim = format!("pvc/data-{pod}");
        let id = || -> Result<String> {
            let claim = self.ctl.get(&[&claim])?;
            let uid = claim["metadata"]["uid"].as_str();
            Ok(uid.context("a volume without an id")?.to_owned())
        };
        let before = id()?;
        self.ctl.ok(&["delete", &claim, "--wait=false"])?;
        self.ctl.ok(&["delete", "pod", pod])?;
        let look = || Ok((id()? != before).then_some(()));
        self.ctl.until("there is a new volume", PROGRESS, look)?;
        Ok(())
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
