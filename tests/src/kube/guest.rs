//! Other people's programs in pods: clients, an S3 server.
//!
//! They are the same programs that run beside the other tests, seen through mounts of this machine's folders.

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::ctl::{Kubectl, json as manifest};
use super::pid::Pid;
use crate::client::{Client, built, peers, sources};
use crate::peer::{Peer, Role};
use crate::process::run;

/// Where they are.
const NAMESPACE: &str = "guests";
/// How long a pod of them may take to run.
const START: Duration = Duration::from_secs(60);
/// How long a node may take to go or to come.
const NODE: Duration = Duration::from_secs(60);

const BUCKET: &str = "records";
const BUCKET_PORT: u16 = 7070;
const USER: &str = "freshet";
const SECRET: &str = "a-secret-of-this-story";

/// A pod with programs of this machine.
pub struct Guest {
    ctl: Kubectl,
    name: String,
}

impl Guest {
    /// A pod on this node that waits to be told what to run.
    pub fn clients(node: &str, image: &str) -> Result<Self> {
        // What has to be compiled is compiled before its folder is looked for.
        for client in [Client::Java, Client::FranzGo] {
            client.command()?;
        }
        let wait = json!([
            "/bin/sh",
            "-c",
            "mkdir -p /tmp; trap 'exit 0' TERM; while :; do sleep 1; done"
        ]);
        Self::start("clients", node, image, &wait)
    }

    /// A real S3 server with one bucket; the cluster's namespace gets a Secret to reach it by. Gives the URL of
    /// a place in the bucket.
    pub fn bucket(node: &str, image: &str, cluster: &Kubectl) -> Result<(Self, String)> {
        let program = peers().join("s3/bin/versitygw");
        let serve = format!(
            "mkdir -p /scratch/data/{BUCKET} /scratch/meta/{BUCKET} && exec {} --port 0.0.0.0:{BUCKET_PORT} \
             --region us-east-1 posix --sidecar /scratch/meta /scratch/data",
            program.display()
        );
        let guest = Self::start("bucket", node, image, &json!(["/bin/sh", "-c", serve]))?;
        guest.ctl.apply(&manifest(&json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": "bucket" },
            "spec": { "selector": { "app": "bucket" }, "ports": [{ "port": BUCKET_PORT }] },
        })))?;
        cluster.apply(&manifest(&json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "bucket" },
            "stringData": {
                "AWS_ACCESS_KEY_ID": USER,
                "AWS_SECRET_ACCESS_KEY": SECRET,
                "AWS_REGION": "us-east-1",
                "AWS_ENDPOINT_URL": format!("http://bucket.{NAMESPACE}.svc:{BUCKET_PORT}"),
            },
        })))?;
        Ok((guest, format!("s3://{BUCKET}/demo")))
    }

    fn start(name: &str, node: &str, image: &str, command: &Value) -> Result<Self> {
        let guest = Self {
            ctl: Kubectl::in_guarded(NAMESPACE, "privileged")?,
            name: name.to_owned(),
        };
        let (mut mounts, mut volumes): (Vec<_>, Vec<_>) = folders()?
            .iter()
            .enumerate()
            .map(|(at, folder)| {
                let volume = format!("folder-{at}");
                (
                    json!({ "name": volume, "mountPath": folder, "readOnly": true }),
                    json!({ "name": volume, "hostPath": { "path": folder, "type": "Directory" } }),
                )
            })
            .unzip();
        mounts.push(json!({ "name": "scratch", "mountPath": "/scratch" }));
        volumes.push(json!({ "name": "scratch", "emptyDir": {} }));
        guest.ctl.apply(&manifest(&json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "labels": { "app": name } },
            "spec": {
                "nodeName": node,
                "terminationGracePeriodSeconds": 1,
                "automountServiceAccountToken": false,
                "containers": [{
                    "name": "programs", "image": image, "imagePullPolicy": "Never",
                    "command": command,
                    // Folders of this machine's user are its user's only.
                    "securityContext": { "runAsUser": 0, "runAsGroup": 0 },
                    "env": [
                        { "name": "PATH", "value": env::var("PATH").unwrap_or_default() },
                        { "name": "ROOT_ACCESS_KEY", "value": USER },
                        { "name": "ROOT_SECRET_KEY", "value": SECRET },
                    ],
                    "volumeMounts": mounts,
                }],
                "volumes": volumes,
            },
        })))?;
        let look = || {
            let pod = guest.ctl.get(&["pod", name])?;
            let seen = &pod["status"]["containerStatuses"][0];
            ensure!(seen["ready"] == true, "{}", pod["status"]);
            Ok(Some(()))
        };
        guest.ctl.until(&format!("pod {name} runs"), START, look)?;
        Ok(guest)
    }

    /// Where it is.
    pub fn node(&self) -> Result<String> {
        let pod = self.ctl.get(&["pod", &self.name])?;
        let node = pod["spec"]["nodeName"].as_str();
        Ok(node.context("it is nowhere")?.to_owned())
    }

    /// Starts a client in the pod.
    pub fn peer(
        &self,
        client: Client,
        role: Role,
        bootstrap: &str,
        options: &[(&str, &str)],
    ) -> Result<Peer> {
        let inside = Pid::in_pod(&self.ctl, &self.name, "sh")?;
        Peer::start_as(client, role, bootstrap, options, |here| {
            within(inside, &here)
        })
    }

    /// All of them go.
    pub fn all_go() -> Result<()> {
        let ctl = Kubectl::in_guarded(NAMESPACE, "privileged")?;
        ctl.ok(&["delete", "namespace", NAMESPACE, "--timeout=60s"])?;
        Ok(())
    }
}

/// A command of this machine, run in a pod. Not by `kubectl exec`: that ends when the API server does.
fn within(pod: Pid, here: &Command) -> Command {
    let mut command = Command::new("nsenter");
    command
        .args(["--target", &pod.to_string(), "--all", "--", "env", "-i"])
        .arg(format!("PATH={}", env::var("PATH").unwrap_or_default()));
    for (name, value) in here.get_envs() {
        let value = value.unwrap_or_default().to_string_lossy();
        command.arg(format!("{}={value}", name.to_string_lossy()));
    }
    command.arg(here.get_program()).args(here.get_args());
    command
}

/// The folders that hold the programs, and what those are linked with.
fn folders() -> Result<BTreeSet<PathBuf>> {
    let compiled = built("go-peer")?;
    let compiled = compiled.parent().context("a program is in a folder")?;
    let system = ["/usr", "/bin", "/lib", "/lib64", "/etc/alternatives"].map(PathBuf::from);
    // Where Debian keeps settings of its Java; the name has its version.
    let java = std::fs::read_dir("/etc")?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().contains("java-"));
    // The clients' own Python is links into the one that made it.
    let python = peers().join("python/bin/python").canonicalize()?;
    let python = python.ancestors().nth(2).map(Path::to_owned);
    let ours = [peers(), sources(), compiled.to_owned()];
    let all = system.into_iter().chain(java).chain(python).chain(ours);
    Ok(all.filter(|folder| folder.is_dir()).collect())
}

/// A node loses its kubelet and all its pods; gives up when Kubernetes does not notice.
pub fn end_node(ctl: &Kubectl, name: &str) -> Result<Duration> {
    xtask(&["kube", "stop-node", name, "--pods"])?;
    let look = || {
        let ready = ready(ctl, name)?;
        ensure!(ready != "True", "it is ready still");
        Ok(Some(()))
    };
    Ok(ctl.until(&format!("{name} is given up"), NODE, look)?.1)
}

/// A node comes back.
pub fn start_node(ctl: &Kubectl, name: &str) -> Result<()> {
    xtask(&["kube", "start-node", name])?;
    let look = || {
        let ready = ready(ctl, name)?;
        ensure!(ready == "True", "it is {ready}");
        Ok(Some(()))
    };
    ctl.until(&format!("{name} is ready"), NODE, look)?;
    Ok(())
}

/// The API server dies.
pub(super) fn end_api() -> Result<()> {
    xtask(&["kube", "stop-api"]).map(drop)
}

/// The API server comes back, and what else of the control plane fell; says what did.
pub(super) fn start_api() -> Result<String> {
    xtask(&["kube", "start-api"])
}

fn ready(ctl: &Kubectl, node: &str) -> Result<String> {
    let path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}";
    ctl.ok(&["get", "node", node, "--output", path])
}

fn xtask(arguments: &[&str]) -> Result<String> {
    let program = env::var_os("FRESHET_XTASK")
        .context("nobody said which program stops nodes; `cargo xtask kube exec` does")?;
    let mut command = Command::new(program);
    command.args(arguments);
    let ended = run(command, "", NODE)?;
    let said = ended.stderr.clone();
    ended.success().with_context(|| arguments.join(" "))?;
    Ok(said)
}
