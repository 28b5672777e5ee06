//! The files that the parts of a cluster are configured by: the templates of `xtask/kube/config`, filled in.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::certs;
use super::layout::{DNS, Layout, NODES, Node, PAUSE, POD_BRIDGE, PODS, control};
use super::machine::cgroups;

const CLAIM: &str = include_str!("../../kube/config/claim.yaml");
const CLUSTER: &str = include_str!("../../kube/config/cluster.yaml");
const CNI: &str = include_str!("../../kube/config/cni.json");
const CONTAINERD: &str = include_str!("../../kube/config/containerd.toml");
const COREFILE: &str = include_str!("../../kube/config/Corefile");
const KUBECONFIG: &str = include_str!("../../kube/config/kubeconfig.yaml");
const KUBELET: &str = include_str!("../../kube/config/kubelet.yaml");
const KUBE_PROXY: &str = include_str!("../../kube/config/kube-proxy.yaml");

/// Replaces each `@name@` by its value. A name without a value is an error, and so is a value without a name.
fn fill(template: &str, values: &[(&str, &str)]) -> Result<String> {
    let mut text = template.to_owned();
    for (name, value) in values {
        let place = format!("@{name}@");
        if !text.contains(&place) {
            bail!("the template has no {place}");
        }
        text = text.replace(&place, value);
    }
    match left(&text) {
        Some(place) => bail!("the template wants a value for @{place}@"),
        None => Ok(text),
    }
}

/// The first `@name@` that is left in a text.
fn left(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('@') {
        let name = after
            .split('@')
            .next()
            .filter(|name| name.len() < after.len());
        let is_name =
            |name: &&str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase());
        if let Some(name) = name.filter(is_name) {
            return Some(name);
        }
        rest = after;
    }
    None
}

/// A file's name below the folder of configurations, and what is in it.
type Rendered = (String, String);

fn text(path: &Path) -> Result<&str> {
    path.to_str()
        .with_context(|| format!("{} is no text", path.display()))
}

/// What the control plane is configured by.
fn render_control(layout: &Layout) -> Result<Vec<Rendered>> {
    let (kubeconfigs, ipam) = (layout.kubeconfigs(), layout.ipam());
    let (kubeconfigs, control) = (text(&kubeconfigs)?, control());
    let first = Node(1).name();
    let cni = [
        ("bridge", POD_BRIDGE),
        ("ipam", text(&ipam)?),
        ("pods", PODS),
    ];
    let proxy = [
        ("kubeconfigs", kubeconfigs),
        ("node", &first),
        ("pods", PODS),
        ("address", &control),
        ("nodes", NODES),
    ];
    let cluster = [("dns", DNS), ("address", control.as_str())];
    Ok(vec![
        ("no-names.conf".into(), String::new()),
        ("cni/10-freshet.conflist".into(), fill(CNI, &cni)?),
        ("kube-proxy.yaml".into(), fill(KUBE_PROXY, &proxy)?),
        (
            "Corefile".into(),
            fill(COREFILE, &[("kubeconfigs", kubeconfigs)])?,
        ),
        ("cluster.yaml".into(), fill(CLUSTER, &cluster)?),
        ("claim.yaml".into(), fill(CLAIM, &[("node", &first)])?),
    ])
}

/// What a node is configured by.
fn render_node(layout: &Layout, node: Node) -> Result<Vec<Rendered>> {
    let (folder, socket) = (layout.node(node), layout.socket(node));
    let (run, config, pki) = (layout.run(), layout.config(), layout.pki());
    let (folder, socket, config) = (text(&folder)?, text(&socket)?, text(&config)?);
    let (name, number, address) = (node.name(), node.0.to_string(), node.address());
    let (healthz, cgroup) = (node.healthz().to_string(), cgroups::pods_of(node));
    let containerd = [
        ("folder", folder),
        ("run", text(&run)?),
        ("node", &number),
        ("socket", socket),
        ("pause", PAUSE),
        ("config", config),
    ];
    let kubelet = [
        ("address", address.as_str()),
        ("healthz", &healthz),
        ("pki", text(&pki)?),
        ("node", &name),
        ("dns", DNS),
        ("config", config),
        ("socket", socket),
        ("cgroup", &cgroup),
        ("folder", folder),
    ];
    Ok(vec![
        (
            format!("{}.toml", node.containerd()),
            fill(CONTAINERD, &containerd)?,
        ),
        (format!("{}.yaml", node.kubelet()), fill(KUBELET, &kubelet)?),
    ])
}

fn render_kubeconfig(layout: &Layout, user: &str) -> Result<String> {
    let (pki, control) = (layout.pki(), control());
    let values = [
        ("address", control.as_str()),
        ("pki", text(&pki)?),
        ("user", user),
    ];
    fill(KUBECONFIG, &values)
}

/// Writes what the control plane is configured by.
pub(crate) fn for_control(layout: &Layout) -> Result<()> {
    for (name, text) in render_control(layout)? {
        write(&layout.config().join(name), &text)?;
    }
    for (user, _) in certs::CALLERS {
        let file = layout.kubeconfigs().join(format!("{user}.conf"));
        write(&file, &render_kubeconfig(layout, user)?)?;
    }
    Ok(())
}

/// Writes what a node is configured by.
pub(crate) fn for_node(layout: &Layout, node: Node) -> Result<()> {
    for (name, text) in render_node(layout, node)? {
        write(&layout.config().join(name), &text)?;
    }
    let name = node.name();
    let file = layout.kubeconfigs().join(format!("{name}.conf"));
    write(&file, &render_kubeconfig(layout, &name)?)
}

fn write(file: &Path, text: &str) -> Result<()> {
    let folder = file.parent().context("a file is in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_gets_all_its_values_and_no_others() {
        assert_eq!(
            fill("a: @x@/@x@, @y@", &[("x", "1"), ("y", "2")]).expect("filled"),
            "a: 1/1, 2"
        );
        assert!(fill("@x@ @y@", &[("x", "1")]).is_err());
        assert!(fill("@x@", &[("x", "1"), ("y", "2")]).is_err());
        assert_eq!(
            fill("me@there.org, @you", &[]).expect("nothing to fill"),
            "me@there.org, @you"
        );
    }

    #[test]
    fn every_template_is_filled() {
        let layout = Layout::at("/cache");
        let control = render_control(&layout).expect("the control plane's");
        let node = render_node(&layout, Node(2)).expect("a node's");
        assert_eq!((control.len(), node.len()), (6, 2));
        let kubeconfig = render_kubeconfig(&layout, "admin").expect("a kubeconfig");
        assert!(kubeconfig.contains("client-key: /cache/state/pki/admin.key"));
    }

    #[test]
    fn cni_and_containerd_read_what_is_written_for_them() {
        let layout = Layout::at("/cache");
        let control = render_control(&layout).expect("the control plane's");
        let of = |rendered: &[Rendered], name: &str| {
            let found = rendered.iter().find(|(file, _)| file == name);
            found.expect("it is rendered").1.clone()
        };
        let cni: serde_json::Value =
            serde_json::from_str(&of(&control, "cni/10-freshet.conflist")).expect("JSON");
        assert_eq!(cni["plugins"][0]["ipam"]["ranges"][0][0]["subnet"], PODS);
        let node = render_node(&layout, Node(2)).expect("a node's");
        let containerd: toml::Table = of(&node, "containerd-2.toml").parse().expect("TOML");
        assert_eq!(
            containerd["grpc"]["address"].as_str(),
            Some("/cache/state/run/containerd-2.sock")
        );
    }

    #[test]
    fn two_nodes_share_no_folder_socket_port_or_cgroup() {
        let layout = Layout::at("/cache");
        let own = |node| {
            let kubelet = render_node(&layout, node).expect("rendered").remove(1).1;
            let keys = [
                "address:",
                "healthzPort:",
                "containerRuntimeEndpoint:",
                "cgroupRoot:",
                "podLogsDir:",
                "tlsCertFile:",
            ];
            keys.map(|key| {
                let line = kubelet.lines().find(|line| line.starts_with(key));
                line.expect("the key is set").to_owned()
            })
        };
        for (one, other) in own(Node(1)).iter().zip(&own(Node(2))) {
            assert_ne!(one, other);
        }
    }
}
