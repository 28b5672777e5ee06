//! `kubectl` and `helm`, as people use them.

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::{Output, run};

/// How long one command may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Why the tests of Kubernetes cannot run here; they run inside of its network.
pub fn missing_for_kube() -> Option<String> {
    if env::var_os("KUBECONFIG").is_none_or(|file| !Path::new(&file).is_file()) {
        return Some(
            "no Kubernetes is there: `cargo xtask test kube` raises one and runs these tests in it"
                .to_owned(),
        );
    }
    let works = run(command("kubectl", &["version", "--output=json"]), "", LIMIT);
    match works.and_then(Output::success) {
        Ok(_) => None,
        Err(why) => Some(format!("Kubernetes does not answer: {why:#}")),
    }
}

/// The tag of the images that were loaded.
pub fn image_tag() -> String {
    env::var("FRESHET_KUBE_TAG").unwrap_or_else(|_| env!("CARGO_PKG_VERSION").to_owned())
}

fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// `kubectl` in one namespace.
#[derive(Debug, Clone)]
pub struct Kubectl {
    namespace: String,
}

impl Kubectl {
    /// In a namespace, which is made if it is not there.
    pub fn in_namespace(namespace: &str) -> Result<Self> {
        Self::in_guarded(namespace, "restricted")
    }

    /// The same; what pods may do there is at most what this level of Kubernetes' pod security says.
    pub(super) fn in_guarded(namespace: &str, level: &str) -> Result<Self> {
        let made = json(&serde_json::json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": namespace, "labels": { "pod-security.kubernetes.io/enforce": level } },
        }));
        let own = Self {
            namespace: namespace.to_owned(),
        };
        own.apply(&made)?;
        Ok(own)
    }

    /// Its name.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Runs a command, and gives how it ended.
    pub fn run(&self, arguments: &[&str], input: &str) -> Result<Output> {
        let mut command = Command::new("kubectl");
        command
            .args(["--namespace", &self.namespace])
            .args(arguments);
        run(command, input, LIMIT)
    }

    /// Runs a command that must succeed, and gives what it printed.
    pub fn ok(&self, arguments: &[&str]) -> Result<String> {
        let ended = self.run(arguments, "")?;
        ended
            .success()
            .with_context(|| format!("kubectl {}", arguments.join(" ")))
    }

    /// Applies a manifest.
    pub fn apply(&self, manifest: &str) -> Result<()> {
        let ended = self.run(
            &["apply", "--server-side", "--force-conflicts", "-f", "-"],
            manifest,
        )?;
        ended
            .success()
            .with_context(|| format!("applying {manifest}"))?;
        Ok(())
    }

    /// Applies a manifest that must be refused, and gives the words.
    pub fn refused(&self, manifest: &str) -> Result<String> {
        let ended = self.run(&["apply", "--server-side", "-f", "-"], manifest)?;
        if ended.status.success() {
            bail!("it was accepted: {manifest}");
        }
        Ok(ended.stderr)
    }

    /// An object, or a list.
    pub fn get(&self, what: &[&str]) -> Result<Value> {
        let mut arguments = vec!["get", "--output=json"];
        arguments.extend(what);
        Ok(serde_json::from_str(&self.ok(&arguments)?)?)
    }

    /// Changes an object.
    pub fn patch(&self, what: &str, patch: &Value) -> Result<()> {
        self.ok(&["patch", what, "--type=merge", "--patch", &patch.to_string()])?;
        Ok(())
    }

    /// A condition's status, reason and message.
    pub fn condition(&self, what: &str, kind: &str) -> Result<(String, String, String)> {
        let object = self.get(&[what])?;
        let conditions = object["status"]["conditions"].as_array();
        let found = conditions.into_iter().flatten().find(|c| c["type"] == kind);
        let found = found
            .with_context(|| format!("{what} has no condition {kind}: {}", object["status"]))?;
        let word = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
        if found["observedGeneration"] != object["metadata"]["generation"] {
            bail!("{what} was not looked at since it changed");
        }
        Ok((word("status"), word("reason"), word("message")))
    }

    /// Waits for something, and says how long it took. What was seen last is told when time is up.
    pub fn until<T>(
        &self,
        what: &str,
        limit: Duration,
        mut look: impl FnMut() -> Result<Option<T>>,
    ) -> Result<(T, Duration)> {
        let began = Instant::now();
        loop {
            let why = match look() {
                Ok(Some(found)) => return Ok((found, began.elapsed())),
                Ok(None) => "not yet".to_owned(),
                Err(why) => format!("{why:#}"),
            };
            if began.elapsed() > limit {
                bail!("{what}: not within {limit:?}: {why}\n{}", self.picture());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// What there is, for whoever reads a failure.
    pub fn picture(&self) -> String {
        let told = [
            vec![
                "get",
                "clusters.freshet.dev,topics.freshet.dev,pods,pvc,statefulsets",
                "-o",
                "wide",
            ],
            vec![
                "get",
                "clusters.freshet.dev",
                "-o",
                "jsonpath={range .items[*]}{.metadata.name}{\": \"}{.status}{\"\\n\"}{end}",
            ],
            vec!["get", "events", "--sort-by=.lastTimestamp"],
            vec![
                "logs",
                "--namespace=freshet-system",
                "--selector=app.kubernetes.io/name=freshet-operator",
                "--tail=30",
            ],
        ];
        let told = told.iter().map(|arguments| match self.run(arguments, "") {
            Ok(ended) => crate::process::tail(&format!("{}{}", ended.stdout, ended.stderr)),
            Err(why) => format!("{why:#}"),
        });
        told.collect::<Vec<_>>().join("\n")
    }
}

/// A manifest; JSON is YAML.
pub(super) fn json(value: &Value) -> String {
    value.to_string()
}

/// Runs `helm`, which must succeed.
pub(super) fn helm(arguments: &[&str]) -> Result<String> {
    let ended = run(command("helm", arguments), "", LIMIT)?;
    ended
        .success()
        .with_context(|| format!("helm {}", arguments.join(" ")))
}
