//! The parts of a cluster that are no node: storage, API server, controllers, and beside them names and
//! volumes.

use std::time::Duration;

use anyhow::Result;

use super::layout::{Layout, SERVICES, control};
use super::ledger::Cluster;
use super::machine::daemons;
use crate::process::read;

impl Cluster {
    /// What kubectl answers.
    pub(crate) fn kubectl(&self, words: &[&str]) -> Result<String> {
        let program = self.layout.bin().join("kubectl");
        let mut kubectl = self.enter(program, words)?;
        read(kubectl.env("KUBECONFIG", self.layout.kubeconfig()))
    }
}

/// A program, and the arguments that it takes.
type Daemon = (&'static str, fn(&Layout) -> Vec<String>);

/// What must run before nodes can join; the order is that of starting.
const FIRST: &[Daemon] = &[("etcd", etcd), ("kube-apiserver", kube_apiserver)];
const SECOND: &[Daemon] = &[
    ("kube-controller-manager", kube_controller_manager),
    ("kube-scheduler", kube_scheduler),
    ("kube-proxy", kube_proxy),
    ("coredns", coredns),
    ("volumes", volumes),
];

/// The names of all its daemons.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    FIRST.iter().chain(SECOND).map(|(name, _)| *name)
}

/// Starts storage and the API server.
pub(crate) fn start_first(cluster: &mut Cluster) -> Result<()> {
    start(cluster, FIRST)
}

/// Starts those that call the API server, once it answers.
pub(crate) fn start_second(cluster: &mut Cluster) -> Result<()> {
    start(cluster, SECOND)
}

fn start(cluster: &mut Cluster, parts: &[Daemon]) -> Result<()> {
    for (name, args) in parts {
        let (program, args) = (cluster.layout.bin().join(name), args(&cluster.layout));
        daemons::start(cluster, name, &program, &args)?;
    }
    Ok(())
}

/// Stops all of it, storage last.
pub(crate) fn stop(cluster: &mut Cluster) -> Result<()> {
    let second: Vec<_> = SECOND.iter().map(|(name, _)| name.to_string()).collect();
    daemons::stop(cluster, &second, Duration::from_secs(3))?;
    // An API server waits a minute for its watchers; all of them have just ended.
    kill_api(cluster)?;
    daemons::stop(cluster, &["etcd".into()], Duration::from_secs(5))
}

/// Kills the API server.
pub(crate) fn kill_api(cluster: &mut Cluster) -> Result<()> {
    daemons::kill(cluster, &["kube-apiserver".into()])
}

fn owned(args: &[&str]) -> Vec<String> {
    args.iter().map(ToString::to_string).collect()
}

fn etcd(layout: &Layout) -> Vec<String> {
    let (clients, peers) = ("http://127.0.0.1:2379", "http://127.0.0.1:2380");
    let mut args = owned(&[
        "--name=freshet",
        "--log-level=warn",
        // What a crash of the machine would lose is a test's cluster.
        "--unsafe-no-fsync",
    ]);
    args.extend([
        format!("--data-dir={}", layout.state().join("etcd").display()),
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=freshet={peers}"),
    ]);
    args
}

fn kube_apiserver(layout: &Layout) -> Vec<String> {
    let pki = layout.pki();
    let pki = pki.display();
    let mut args = owned(&[
        "--secure-port=6443",
        "--etcd-servers=http://127.0.0.1:2379",
        "--allow-privileged=true",
        "--authorization-mode=Node,RBAC",
        // In addition to those on by default, Pod Security among them.
        "--enable-admission-plugins=NodeRestriction",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        "--requestheader-allowed-names=front-proxy",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        "--profiling=false",
    ]);
    args.extend([
        format!("--advertise-address={}", control()),
        format!("--bind-address={}", control()),
        format!("--service-cluster-ip-range={SERVICES}"),
        format!("--cert-dir={pki}"),
        format!("--client-ca-file={pki}/ca.crt"),
        format!("--tls-cert-file={pki}/kube-apiserver.crt"),
        format!("--tls-private-key-file={pki}/kube-apiserver.key"),
        format!("--kubelet-certificate-authority={pki}/ca.crt"),
        format!("--kubelet-client-certificate={pki}/to-kubelets.crt"),
        format!("--kubelet-client-key={pki}/to-kubelets.key"),
        format!("--service-account-key-file={pki}/accounts.pub"),
        format!("--service-account-signing-key-file={pki}/accounts.key"),
        format!("--requestheader-client-ca-file={pki}/front-proxy-ca.crt"),
        format!("--proxy-client-cert-file={pki}/front-proxy.crt"),
        format!("--proxy-client-key-file={pki}/front-proxy.key"),
    ]);
    args
}

/// What all of Kubernetes' own callers of the API server are told.
fn caller(layout: &Layout, name: &str) -> Vec<String> {
    let kubeconfig = layout.kubeconfigs().join(format!("{name}.conf"));
    let flags = [
        "kubeconfig",
        "authentication-kubeconfig",
        "authorization-kubeconfig",
    ];
    let mut args: Vec<_> = flags
        .iter()
        .map(|flag| format!("--{flag}={}", kubeconfig.display()))
        .collect();
    args.extend(owned(&[
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--profiling=false",
    ]));
    args.push(format!("--cert-dir={}", layout.pki().display()));
    args
}

fn kube_controller_manager(layout: &Layout) -> Vec<String> {
    let pki = layout.pki();
    let pki = pki.display();
    let mut args = caller(layout, "kube-controller-manager");
    args.extend(owned(&[
        "--cluster-name=freshet",
        "--use-service-account-credentials=true",
        // Kubernetes waits 50 s until it gives a silent node up. A test that stops one need not.
        "--node-monitor-grace-period=20s",
    ]));
    args.extend([
        format!("--service-cluster-ip-range={SERVICES}"),
        // Its default is a folder of the machine, which it makes.
        format!(
            "--flex-volume-plugin-dir={}",
            layout.state().join("plugins").display()
        ),
        format!("--root-ca-file={pki}/ca.crt"),
        format!("--client-ca-file={pki}/ca.crt"),
        format!("--cluster-signing-cert-file={pki}/ca.crt"),
        format!("--cluster-signing-key-file={pki}/ca.key"),
        format!("--service-account-private-key-file={pki}/accounts.key"),
        format!("--requestheader-client-ca-file={pki}/front-proxy-ca.crt"),
    ]);
    args
}

fn kube_scheduler(layout: &Layout) -> Vec<String> {
    caller(layout, "kube-scheduler")
}

fn kube_proxy(layout: &Layout) -> Vec<String> {
    let config = layout.config().join("kube-proxy.yaml");
    vec![format!("--config={}", config.display())]
}

fn coredns(layout: &Layout) -> Vec<String> {
    vec![
        "-conf".into(),
        layout.config().join("Corefile").display().to_string(),
    ]
}

fn volumes(layout: &Layout) -> Vec<String> {
    vec![
        format!("-kubeconfig={}", layout.kubeconfig().display()),
        format!("-dir={}", layout.volumes().display()),
    ]
}
