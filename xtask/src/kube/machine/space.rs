//! The namespaces that a cluster lives in.
//!
//! A network of its own: no route leads out of it, and none of its ports is one of the machine's. And a view
//! of the files of its own, for the sake of what containerd, libcni and the kubelet have at fixed places:
//! there they see empty folders that end with the cluster, and the cluster's name server. A process holds
//! both open; when it and all others inside have ended, so have the namespaces and every mount in them.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::super::layout::{DNS, NODE_BRIDGE, Node, SERVICES, control};
use super::super::ledger::{Cluster, Process, Sysctl};
use super::{cgroups, daemons};
use crate::process::read;

/// Fixed places of programs that cannot be told others.
const HIDDEN: &[&str] = &[
    "/run/containerd",
    "/run/netns",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/log/containers",
];

/// Settings of the whole kernel that a kubelet would change. It finds these instead, sees that they are as it
/// wants them, and the kernel's stay as they are.
const WISHES: &[(&str, &str)] = &[
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// Each kubelet and containerd watches folders; Linux's default of 128 is used up by three nodes and a desktop.
const INOTIFY: (&str, u64) = ("/proc/sys/fs/inotify/max_user_instances", 1024);

impl Cluster {
    /// The words before a command that is to run in the cluster's namespaces.
    pub(crate) fn door(&self) -> Result<[String; 4]> {
        let holder = self.ledger.holder.filter(Process::alive);
        let holder = holder.context("the cluster's namespaces are gone")?;
        let target = format!("--target={}", holder.pid);
        Ok(["nsenter", &target, "--net", "--mount"].map(str::to_owned))
    }

    /// A command in the cluster's namespaces and in its cgroup, so that `down` finds it if we cannot wait for
    /// its end.
    pub(crate) fn enter<S: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        args: &[S],
    ) -> Result<Command> {
        let [nsenter, flags @ ..] = self.door()?;
        let mut command = Command::new(nsenter);
        command.args(flags).arg("--").arg(program).args(args);
        cgroups::join(&command)
    }

    /// Runs something inside, silently.
    fn inside(&self, words: &[&str]) -> Result<String> {
        read(&mut self.enter(words[0], &words[1..])?)
    }
}

/// Makes the namespaces and what is in them.
pub(crate) fn make(cluster: &mut Cluster) -> Result<()> {
    raise_inotify(cluster)?;
    for folder in HIDDEN {
        make_folder(cluster, Path::new(folder))?;
    }
    hold(cluster)?;
    hide(cluster)?;
    link(cluster)
}

/// Makes a folder to mount over, and notes those that were not there.
fn make_folder(cluster: &mut Cluster, folder: &Path) -> Result<()> {
    let missing = folder.ancestors().take_while(|folder| !folder.exists());
    let missing: Vec<_> = missing.map(Path::to_owned).collect();
    if missing.is_empty() {
        return Ok(());
    }
    cluster.ledger.folders.extend(missing);
    cluster.save()?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

fn raise_inotify(cluster: &mut Cluster) -> Result<()> {
    let (file, wanted) = INOTIFY;
    let before = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    let before = before.trim();
    if before.parse::<u64>().is_ok_and(|has| has >= wanted) {
        return Ok(());
    }
    let set = wanted.to_string();
    cluster.ledger.sysctls.push(Sysctl {
        file: file.into(),
        before: before.to_owned(),
        set: set.clone(),
    });
    cluster.save()?;
    fs::write(file, set).with_context(|| format!("cannot write {file}"))
}

/// Starts the process that holds the namespaces open.
fn hold(cluster: &mut Cluster) -> Result<()> {
    let pause = cluster.layout.bin().join("pause");
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--net", "--mount", "--propagation", "private"])
        .arg(&pause);
    let holder = daemons::detach(cluster, "holder", &cgroups::join(&unshare)?)?;
    cluster.ledger.holder = Some(holder);
    cluster.save()?;
    // Its namespaces are its own from the moment that it has become the program.
    let exe = format!("/proc/{}/exe", holder.pid);
    daemons::wait(
        cluster,
        "namespaces are made",
        Duration::from_secs(10),
        || Ok(fs::read_link(&exe).is_ok_and(|path| path == pause)),
    )
}

/// Mounts what the cluster sees instead of the machine's files.
fn hide(cluster: &Cluster) -> Result<()> {
    // Containers that ask for mounts to be seen by others need a tree that can tell; it tells nobody outside.
    cluster.inside(&["mount", "--make-rshared", "/"])?;
    for folder in HIDDEN {
        cluster.inside(&["mount", "-t", "tmpfs", "freshet-kube", folder])?;
    }
    let config = cluster.layout.config();
    let names = config.join("names.conf");
    let text = format!("nameserver {DNS}\nsearch svc.cluster.local cluster.local\n");
    let mut files = vec![(names, "/etc/resolv.conf".to_owned(), text)];
    files.extend(WISHES.iter().map(|(name, value)| {
        let file = config.join("sysctl").join(name.replace('/', "."));
        (file, format!("/proc/sys/{name}"), format!("{value}\n"))
    }));
    fs::create_dir_all(config.join("sysctl")).context("cannot make a folder for settings")?;
    for (file, over, text) in files {
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        let file = file.display().to_string();
        cluster.inside(&["mount", "--bind", &file, &over])?;
    }
    Ok(())
}

/// The network: loopback, a bridge that bears the nodes' addresses, and a way for the nodes to services.
fn link(cluster: &Cluster) -> Result<()> {
    let control = control();
    for words in [
        &["ip", "link", "set", "lo", "up"][..],
        &["ip", "link", "add", NODE_BRIDGE, "type", "bridge"],
        &["ip", "link", "set", NODE_BRIDGE, "up"],
        // kube-proxy turns an address of a service into that of a pod, but only once there is a route for it.
        &[
            "ip",
            "addr",
            "add",
            &format!("{control}/24"),
            "dev",
            NODE_BRIDGE,
        ],
        &["ip", "route", "add", SERVICES, "dev", NODE_BRIDGE],
        &["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"],
    ] {
        cluster.inside(words)?;
    }
    // Only there when bridges are filtered, and then a pod reaches a service on its own bridge through it.
    let filtered = "/proc/sys/net/bridge/bridge-nf-call-iptables";
    if cluster.inside(&["test", "-e", filtered]).is_ok() {
        cluster.inside(&["sh", "-c", &format!("echo 1 >{filtered}")])?;
    }
    Ok(())
}

/// Gives a node its address.
pub(crate) fn add_address(cluster: &Cluster, node: Node) -> Result<()> {
    let address = format!("{}/24", node.address());
    let words = ["ip", "addr", "replace", &address, "dev", NODE_BRIDGE];
    cluster.inside(&words).map(drop)
}

/// Takes back what was changed outside of the namespaces, as the ledger has it.
pub(crate) fn restore(cluster: &mut Cluster) -> Result<()> {
    for sysctl in &cluster.ledger.sysctls {
        let now = fs::read_to_string(&sysctl.file).unwrap_or_default();
        // Somebody who changed it since wants it so; and after a boot it is the machine's again.
        if now.trim() == sysctl.set {
            fs::write(&sysctl.file, &sysctl.before)
                .with_context(|| format!("cannot restore {}", sysctl.file.display()))?;
        }
    }
    cluster.ledger.sysctls.clear();
    for folder in &cluster.ledger.folders {
        match fs::remove_dir(folder) {
            Ok(()) => {}
            // Somebody else has come to use it, or it went with a boot.
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::DirectoryNotEmpty | std::io::ErrorKind::NotFound
                ) => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot remove {}", folder.display()));
            }
        }
    }
    cluster.ledger.folders.clear();
    cluster.ledger.holder = None;
    cluster.save()
}
