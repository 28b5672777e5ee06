//! Nodes: a containerd and a kubelet each, both real, and the images that are loaded into them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::layout::{Layout, MOST_NODES, Node, PAUSE};
use super::ledger::Cluster;
use super::machine::{cgroups, daemons, space};
use super::{certs, config};
use crate::image::{Contents, Image, Part};
use crate::process::{read, say};

/// Archives above so many bytes may take a while to load.
const NOTEWORTHY: u64 = 16 << 20;

/// Prepares nodes and starts their containerds. They are in the ledger first.
pub(crate) fn start(cluster: &mut Cluster, nodes: &[Node]) -> Result<()> {
    for node in nodes {
        if !cluster.ledger.nodes.contains(node) {
            cluster.ledger.nodes.push(*node);
        }
    }
    cluster.save()?;
    for node in nodes.iter().copied() {
        let folder = cluster.layout.node(node);
        for part in ["", "kubelet", "pod-logs", "plugins"] {
            let folder = folder.join(part);
            fs::create_dir_all(&folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        certs::for_node(&cluster.layout, node)?;
        config::for_node(&cluster.layout, node)?;
        cgroups::for_pods(node)?;
        space::add_address(cluster, node)?;
        let file = cluster.layout.config();
        let file = file.join(format!("{}.toml", node.containerd()));
        let args = ["--config".into(), file.display().to_string()];
        daemons::start(cluster, &node.containerd(), Path::new("containerd"), &args)?;
    }
    for node in nodes.iter().copied() {
        let what = format!("containerd of {} answers", node.name());
        let answers = || Ok(read(ctr(&cluster.layout, node).arg("version")).is_ok());
        daemons::wait(cluster, &what, Duration::from_secs(30), answers)?;
    }
    load(cluster, nodes, &[pause_image(&cluster.layout)?])
}

/// Starts a node's kubelet.
pub(crate) fn start_kubelet(cluster: &mut Cluster, node: Node) -> Result<()> {
    let (layout, name) = (&cluster.layout, node.name());
    let file = |folder: PathBuf, name: String| folder.join(name).display().to_string();
    let args = [
        format!(
            "--config={}",
            file(layout.config(), format!("{}.yaml", node.kubelet()))
        ),
        format!(
            "--kubeconfig={}",
            file(layout.kubeconfigs(), format!("{name}.conf"))
        ),
        format!("--root-dir={}", layout.node(node).join("kubelet").display()),
        format!("--cert-dir={}", layout.node(node).display()),
        format!("--hostname-override={name}"),
        format!("--node-ip={}", node.address()),
        format!("--node-labels=topology.kubernetes.io/zone={}", node.zone()),
    ];
    let program = layout.bin().join("kubelet");
    daemons::start(cluster, &node.kubelet(), &program, &args)
}

/// The node that somebody named.
pub(crate) fn named(cluster: &Cluster, name: &str) -> Result<Node> {
    let nodes = &cluster.ledger.nodes;
    let found = nodes.iter().find(|node| node.name() == name);
    let names: Vec<_> = nodes.iter().map(|node| node.name()).collect();
    found
        .copied()
        .with_context(|| format!("no node is called `{name}`; there are {}", names.join(", ")))
}

/// The number of the next node.
pub(crate) fn next(cluster: &Cluster) -> Result<Node> {
    let last = cluster.ledger.nodes.iter().max().map_or(0, |node| node.0);
    if last >= MOST_NODES {
        bail!("{MOST_NODES} nodes are as many as one machine may pretend to be");
    }
    Ok(Node(last + 1))
}

/// Loads image archives into nodes, all nodes at once.
pub(crate) fn load(cluster: &Cluster, nodes: &[Node], archives: &[PathBuf]) -> Result<()> {
    for archive in archives {
        let size = fs::metadata(archive).map_or(0, |found| found.len());
        if size > NOTEWORTHY {
            let (archive, mib) = (archive.display(), size >> 20);
            say(&format!(
                "loading {archive}, {mib} MiB, into {}",
                spell(nodes)
            ));
        }
        let start = Instant::now();
        each(nodes, |node| {
            let mut import = ctr(&cluster.layout, node);
            // An archive that is not for this machine would be taken without a word, and no pod would start.
            import
                .args(["images", "import", "--digests=false"])
                .arg(archive);
            read(&mut import).map(drop)
        })?;
        say(&format!(
            "{} is loaded into {} ({:.1} s)",
            archive.display(),
            spell(nodes),
            start.elapsed().as_secs_f64()
        ));
    }
    Ok(())
}

/// Loads everything that one node has into others.
pub(crate) fn copy_images(cluster: &Cluster, from: Node, to: &[Node]) -> Result<()> {
    if to.is_empty() {
        return Ok(());
    }
    let list = read(ctr(&cluster.layout, from).args(["images", "list", "--quiet"]))?;
    let ours: Vec<_> = list.lines().filter(|name| copied(name)).collect();
    if ours.is_empty() {
        return Ok(());
    }
    say(&format!("copying {} images of {}", ours.len(), from.name()));
    let archive = cluster.layout.run().join("images.tar");
    read(
        ctr(&cluster.layout, from)
            .args(["images", "export"])
            .arg(&archive)
            .args(&ours),
    )?;
    load(cluster, to, std::slice::from_ref(&archive))?;
    fs::remove_file(&archive).with_context(|| format!("cannot remove {}", archive.display()))
}

/// Whether an image is to be copied under this name. The kubelet's view gives each a second name, its digest;
/// and the pause image is loaded anyway.
fn copied(name: &str) -> bool {
    !name.starts_with("sha256:") && !name.contains('@') && name != PAUSE
}

/// Does something for all nodes at the same time.
fn each(nodes: &[Node], what: impl Fn(Node) -> Result<()> + Sync) -> Result<()> {
    thread::scope(|scope| {
        let threads: Vec<_> = nodes
            .iter()
            .map(|node| (*node, scope.spawn(|| what(*node))))
            .collect();
        for (node, thread) in threads {
            let result = thread.join().map_err(|_| anyhow!("a thread panicked"))?;
            result.with_context(|| format!("on {}", node.name()))?;
        }
        Ok(())
    })
}

/// The names of nodes, for a person to read.
pub(crate) fn spell(nodes: &[Node]) -> String {
    let names: Vec<_> = nodes.iter().map(|node| node.name()).collect();
    names.join(", ")
}

fn ctr(layout: &Layout, node: Node) -> Command {
    let mut ctr = Command::new("ctr");
    ctr.arg("--address")
        .arg(layout.socket(node))
        .args(["--namespace", "k8s.io"]);
    ctr
}

/// The archive of the pause image, made from the program that was built.
fn pause_image(layout: &Layout) -> Result<PathBuf> {
    let program = layout.bin().join("pause");
    let bytes = fs::read(&program).with_context(|| format!("cannot read {}", program.display()))?;
    let image = Image {
        reference: PAUSE.into(),
        layers: vec![vec![Part {
            path: "pause".into(),
            contents: Contents::Program(bytes),
        }]],
        entrypoint: vec!["/pause".into()],
        user: "65535:65535".into(),
        labels: Vec::new(),
    };
    let archive = layout.run().join("pause.tar");
    image.write(&archive)?;
    Ok(archive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_copied_once_and_under_its_name() {
        assert!(copied("freshet.dev/broker:0.1.0"));
        assert!(!copied("sha256:0b1d"));
        assert!(!copied("freshet.dev/broker@sha256:0b1d"));
        assert!(!copied(PAUSE));
    }

    #[test]
    fn nodes_count_up_from_the_highest() {
        let mut cluster = Cluster::new(&Layout::at("/cache"));
        assert_eq!(next(&cluster).expect("the first"), Node(1));
        cluster.ledger.nodes = vec![Node(1), Node(4)];
        assert_eq!(next(&cluster).expect("one more"), Node(5));
        assert_eq!(named(&cluster, "node-4").expect("it is there"), Node(4));
        assert!(named(&cluster, "node-2").is_err());
        cluster.ledger.nodes.push(Node(MOST_NODES));
        assert!(next(&cluster).is_err());
    }
}
