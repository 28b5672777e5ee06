//! The operator itself: installed, asked what it counts, taken away.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::KubeCluster;
use super::ctl::{Kubectl, helm};

/// Where the operator runs.
const OPERATOR: &str = "freshet-system";
/// Its pods, and what makes them.
const SELECTOR: &str = "--selector=app.kubernetes.io/name=freshet-operator";
/// How long it may take to have nothing more to write.
const CALM: Duration = Duration::from_secs(90);

impl KubeCluster {
    /// Installs the operator as the README says, with images that were loaded before.
    pub fn install_operator(tag: &str, values: &[&str]) -> Result<()> {
        let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/freshet-operator");
        let chart = chart.canonicalize().context("there is no chart")?;
        let image = format!("image.tag={tag}");
        let broker = format!("brokerImage=freshet.dev/broker:{tag}");
        let chart = chart.display().to_string();
        let mut arguments = vec![
            "upgrade",
            "--install",
            "freshet",
            &chart,
            "--namespace",
            OPERATOR,
            "--create-namespace",
            "--wait",
            "--timeout=100s",
            "--set",
            &image,
            "--set",
            "image.pullPolicy=Never",
            "--set",
            &broker,
        ];
        for value in values {
            arguments.extend(["--set", value]);
        }
        helm(&arguments)?;
        Ok(())
    }

    /// `helm test`, which asks the operator how it is.
    pub fn test_operator() -> Result<()> {
        helm(&["test", "freshet", "--namespace", OPERATOR, "--timeout=60s"])?;
        Ok(())
    }

    /// The operator's address and its node.
    pub fn operator_pod() -> Result<(String, String)> {
        let ctl = Kubectl::in_namespace("default")?;
        let pods = ctl.get(&["pods", "--namespace", OPERATOR, SELECTOR])?;
        let pods = pods["items"].as_array().into_iter().flatten();
        let mut staying = pods.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        let pod = staying.next().context("the operator is away")?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let found = text(&pod["status"]["podIP"]).zip(text(&pod["spec"]["nodeName"]));
        found.context("the operator has no address")
    }

    /// Takes the operator away.
    pub fn uninstall_operator() -> Result<()> {
        helm(&["uninstall", "freshet", "--namespace", OPERATOR, "--wait"])?;
        Ok(())
    }

    /// The operator's own pod is killed without a farewell.
    pub fn kill_operator() -> Result<()> {
        let ctl = Kubectl::in_namespace("default")?;
        ctl.ok(&[
            "delete",
            "pod",
            "--namespace",
            OPERATOR,
            SELECTOR,
            "--grace-period=0",
            "--force",
        ])?;
        Ok(())
    }

    /// What the operator counts, by name and labels.
    pub fn operator_metrics() -> Result<BTreeMap<String, f64>> {
        let (ip, _) = Self::operator_pod()?;
        let told = crate::http::get(&format!("{ip}:8080"), "/metrics")?;
        ensure!(told.0 == 200, "{}", told.1);
        let line = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Ok(told
            .1
            .lines()
            .filter(|l| !l.starts_with('#'))
            .filter_map(line)
            .collect())
    }

    /// How often it has written to the API server since it began.
    pub fn operator_writes() -> Result<f64> {
        let all = Self::operator_metrics()?;
        ensure!(!all.is_empty(), "the operator counts nothing");
        let writes = all
            .iter()
            .filter(|(name, _)| name.starts_with("freshet_operator_writes_total"));
        Ok(writes.map(|(_, count)| count).sum())
    }

    /// Waits until the operator has written nothing for so long; says how long that took.
    pub fn quiet(&self, still: Duration) -> Result<Duration> {
        let mut seen = (f64::NAN, Instant::now());
        let look = || {
            let writes = Self::operator_writes()?;
            // Another operator counts from 0.
            if (writes - seen.0).abs() > 0.5 || seen.0.is_nan() {
                seen = (writes, Instant::now());
            }
            ensure!(seen.1.elapsed() >= still, "{writes} writes so far");
            Ok(Some(()))
        };
        Ok(self.ctl.until("nothing is written any more", CALM, look)?.1)
    }

    /// Nobody is there to look after clusters until they are called back.
    pub fn dismiss_operator() -> Result<()> {
        let ctl = Self::deployed("0")?;
        let look = || {
            let pods = ctl.get(&["pods", SELECTOR])?;
            Ok(pods["items"]
                .as_array()
                .filter(|pods| pods.is_empty())
                .map(drop))
        };
        ctl.until("the operator is away", CALM, look)?;
        Ok(())
    }

    /// The operator comes back.
    pub fn recall_operator() -> Result<()> {
        Self::deployed("1").map(drop)
    }

    fn deployed(count: &str) -> Result<Kubectl> {
        let ctl = Kubectl::in_guarded(OPERATOR, "restricted")?;
        ctl.ok(&[
            "scale",
            "deployment",
            SELECTOR,
            &format!("--replicas={count}"),
        ])?;
        Ok(ctl)
    }
}
