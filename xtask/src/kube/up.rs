//! `cargo xtask kube up`: everything starts, in an order in which each thing finds what it needs.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::layout::{Layout, Node};
use super::ledger::{Cluster, Phase};
use super::machine::{cgroups, daemons, space};
use super::{certs, config, control, down, nodes, status};
use crate::process::{read, say};

/// Brings a cluster of so many nodes up, or a cluster that is up to so many nodes.
pub(crate) fn run(layout: &Layout, wanted: u8) -> Result<()> {
    let start = Instant::now();
    let mut cluster = begin(layout)?;
    let mut nodes = cluster.ledger.nodes.clone();
    for number in 1..=wanted {
        if nodes.len() < usize::from(wanted) && !nodes.contains(&Node(number)) {
            nodes.push(Node(number));
        }
    }
    if cluster.is_up() && complete(&cluster, &nodes) {
        say(&format!(
            "the cluster is up already: {}",
            nodes::spell(&nodes)
        ));
        return Ok(());
    }
    if !cluster.is_up() {
        cluster.ledger.phase = Phase::Unfinished;
        cluster.save()?;
        prepare(&mut cluster)?;
    }
    // What fell since is started again; while we wait for it, only what falls anew is an error.
    cluster.ledger.daemons.retain(|_, process| process.alive());
    let before = cluster.ledger.nodes.clone();
    control::start_first(&mut cluster)?;
    nodes::start(&mut cluster, &nodes)?;
    share_images(&cluster, &before)?;
    furnish(&cluster)?;
    control::start_second(&mut cluster)?;
    join(&mut cluster, &nodes)?;
    prove(&cluster)?;
    cluster.ledger.phase = Phase::Up;
    cluster.save()?;
    let (nodes, seconds) = (nodes::spell(&nodes), start.elapsed().as_secs_f64());
    say(&format!("the cluster is up after {seconds:.1} s: {nodes}"));
    Ok(())
}

/// Adds one node to a cluster that is up, with all images that the first one has.
pub(crate) fn add_node(cluster: &mut Cluster) -> Result<()> {
    let start = Instant::now();
    let (node, before) = (nodes::next(cluster)?, cluster.ledger.nodes.clone());
    nodes::start(cluster, &[node])?;
    share_images(cluster, &before)?;
    join(cluster, &[node])?;
    let seconds = start.elapsed().as_secs_f64();
    say(&format!("{} is there after {seconds:.1} s", node.name()));
    Ok(())
}

/// Loads all images of a node that was there before into those that were not, so that pods may go to any.
fn share_images(cluster: &Cluster, before: &[Node]) -> Result<()> {
    let Some(first) = before.first() else {
        return Ok(());
    };
    let is_new = |node: &Node| !before.contains(node);
    let new: Vec<_> = cluster
        .ledger
        .nodes
        .iter()
        .copied()
        .filter(is_new)
        .collect();
    nodes::copy_images(cluster, *first, &new)
}

/// The cluster that there is, if it is of use; otherwise what is left of it is removed.
fn begin(layout: &Layout) -> Result<Cluster> {
    match Cluster::find(layout)? {
        Some(cluster) if cluster.is_up() => return Ok(cluster),
        Some(cluster) if cluster.ledger.phase == Phase::Kept => {
            say("starting again from the state that was kept");
            return Ok(cluster);
        }
        Some(cluster) => {
            say("a cluster did not end well: cleaning up after it");
            down::run(cluster, false)?;
        }
        None => {}
    }
    let strangers = cgroups::processes()?;
    if !strangers.is_empty() {
        bail!(
            "another cluster is up on this machine, with its state in another cache: stop it there \
             (processes {strangers:?})"
        );
    }
    Ok(Cluster::new(layout))
}

/// Whether all of it runs.
fn complete(cluster: &Cluster, nodes: &[Node]) -> bool {
    let mut names: Vec<_> = control::names().map(str::to_owned).collect();
    for node in nodes {
        names.extend([node.containerd(), node.kubelet()]);
    }
    names.iter().all(|name| runs(cluster, name))
}

fn runs(cluster: &Cluster, name: &str) -> bool {
    let process = cluster.ledger.daemons.get(name);
    process.is_some_and(|process| process.alive())
}

/// Folders, namespaces, certificates, configurations.
fn prepare(cluster: &mut Cluster) -> Result<()> {
    let layout = cluster.layout.clone();
    for folder in [
        layout.config(),
        layout.logs(),
        layout.run(),
        layout.volumes(),
    ] {
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    cluster.ledger.daemons.clear();
    space::make(cluster)?;
    certs::for_control(&layout)?;
    config::for_control(&layout)
}

/// Starts kubelets and waits until their nodes are ready. A kept state says that they are, so what counts for
/// a node that spoke before is that it has spoken since.
pub(crate) fn join(cluster: &mut Cluster, nodes: &[Node]) -> Result<()> {
    let before = status::leases(cluster)?;
    for node in nodes {
        nodes::start_kubelet(cluster, *node)?;
    }
    wait_ready(cluster, nodes, &before)
}

/// Waits until nodes are ready, and have renewed the leases that they had before.
fn wait_ready(cluster: &Cluster, nodes: &[Node], before: &BTreeMap<String, String>) -> Result<()> {
    for node in nodes {
        let name = node.name();
        let what = format!("{name} is ready");
        daemons::wait(cluster, &what, Duration::from_secs(120), || {
            if !status::ready(cluster)?.contains(&name) {
                return Ok(false);
            }
            let Some(earlier) = before.get(&name) else {
                return Ok(true);
            };
            Ok(status::leases(cluster)?.get(&name) != Some(earlier))
        })?;
    }
    Ok(())
}

/// Starts what of the control plane does not run, and says so.
pub(crate) fn control(cluster: &mut Cluster) -> Result<()> {
    let fallen: Vec<_> = control::names()
        .filter(|name| !runs(cluster, name))
        .collect();
    if fallen.is_empty() {
        return Ok(());
    }
    say(&format!("starting {}", fallen.join(", ")));
    cluster.ledger.daemons.retain(|_, process| process.alive());
    control::start_first(cluster)?;
    answers(cluster)?;
    control::start_second(cluster)
}

/// Gives the cluster its default class of volumes and its names, once the API server takes objects.
fn furnish(cluster: &Cluster) -> Result<()> {
    answers(cluster)?;
    let objects = cluster.layout.config().join("cluster.yaml");
    let objects = objects.display().to_string();
    let apply = ["apply", "--server-side", "--filename", &objects];
    cluster.kubectl(&apply).map(drop)
}

fn answers(cluster: &Cluster) -> Result<()> {
    let patience = Duration::from_secs(120);
    daemons::wait(cluster, "the API server answers", patience, || {
        let ready = cluster.kubectl(&["get", "--raw=/readyz"]).is_ok();
        Ok(ready
            && cluster
                .kubectl(&["get", "namespace", "kube-system"])
                .is_ok())
    })
}

/// Asks for a name and for a volume.
fn prove(cluster: &Cluster) -> Result<()> {
    let patience = Duration::from_secs(60);
    daemons::wait(cluster, "names are answered", patience, || {
        let name = "kubernetes.default.svc.cluster.local";
        Ok(read(&mut cluster.enter("getent", &["hosts", name])?).is_ok())
    })?;
    let claim = cluster.layout.config().join("claim.yaml");
    let claim = claim.display().to_string();
    let about = |verb| [verb, "--filename", &claim];
    cluster.kubectl(&about("apply"))?;
    daemons::wait(cluster, "the default class gives volumes", patience, || {
        let phase = "--output=jsonpath={.status.phase}";
        let [get, filename, claim] = about("get");
        Ok(cluster.kubectl(&[get, filename, claim, phase])? == "Bound")
    })?;
    cluster.kubectl(&about("delete")).map(drop)
}
