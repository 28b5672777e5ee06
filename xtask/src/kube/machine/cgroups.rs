//! The cluster's branch of the cgroup tree.
//!
//! Every process that a cluster starts, and every process these start, is in this branch: the daemons in one
//! group, the pods of each node in another. So `down` finds them all without trusting any list of process
//! ids, and finds nobody else's.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::super::layout::Node;

const TREE: &str = "/sys/fs/cgroup";
const BRANCH: &str = "freshet-kube";
/// What a kubelet counts and limits.
const CONTROLLERS: &[&str] = &["cpu", "cpuset", "memory", "pids"];

/// The root of a node's pods, as its kubelet is told.
pub(crate) fn pods_of(node: Node) -> String {
    format!("/{BRANCH}/{}", node.name())
}

/// The roots of all hierarchies: one under version 2, one per controller under version 1.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let tree = Path::new(TREE);
    if tree.join("cgroup.controllers").exists() {
        return Ok(vec![tree.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(tree).with_context(|| format!("cannot list {TREE}"))? {
        let entry = entry?;
        let path = entry.path();
        // Under version 1, some names are links to others, and `unified` has no controllers.
        let real = entry.file_type()?.is_dir() && path.join("cgroup.procs").exists();
        if real && !path.join("cgroup.controllers").exists() {
            found.push(path);
        }
    }
    Ok(found)
}

/// Why a kubelet could not work with this machine's cgroups.
pub(crate) fn refusal() -> Option<String> {
    let unified = Path::new(TREE).join("cgroup.controllers");
    let missing: Vec<_> = match fs::read_to_string(unified) {
        Ok(list) => {
            let has: Vec<_> = list.split_whitespace().collect();
            let missing = CONTROLLERS.iter().filter(|name| !has.contains(name));
            missing.copied().collect()
        }
        Err(_) => {
            let mounted = |name: &&&str| !Path::new(TREE).join(name).join("cgroup.procs").exists();
            CONTROLLERS.iter().filter(mounted).copied().collect()
        }
    };
    (!missing.is_empty()).then(|| format!("no cgroup controllers {}", missing.join(", ")))
}

/// Joins the cgroup named first and becomes the rest, under the same process id.
const JOIN: &str = r#"echo $$ >"$0" && exec "$@""#;

/// A command that is in the group of the daemons from its first instruction on.
pub(crate) fn join(what: &Command) -> Result<Command> {
    let mut command = Command::new("sh");
    command
        .args(["-c", JOIN])
        .arg(for_daemons()?)
        .arg(what.get_program())
        .args(what.get_args());
    Ok(command)
}

/// Makes the group of the daemons; returns the file that a process joins it by.
fn for_daemons() -> Result<PathBuf> {
    let hierarchies = hierarchies()?;
    let pids = hierarchies.iter().find(|path| path.ends_with("pids"));
    let root = pids.or(hierarchies.first()).context("no cgroups at all")?;
    let group = root.join(BRANCH).join("daemons");
    make(&group)?;
    Ok(group.join("cgroup.procs"))
}

/// Makes the group of a node's pods.
pub(crate) fn for_pods(node: Node) -> Result<()> {
    for root in hierarchies()? {
        let branch = root.join(BRANCH);
        for group in [branch.clone(), branch.join(node.name())] {
            make(&group)?;
            open_up(&group)?;
        }
    }
    Ok(())
}

fn make(group: &Path) -> Result<()> {
    fs::create_dir_all(group).with_context(|| format!("cannot make the cgroup {}", group.display()))
}

/// Lets a new group have children that use all controllers.
fn open_up(group: &Path) -> Result<()> {
    let parent = group.parent().context("a group has a parent")?;
    for (from, file) in [
        // Version 1: a cpuset begins empty, and nothing can run in it.
        (parent.join("cpuset.cpus"), group.join("cpuset.cpus")),
        (parent.join("cpuset.mems"), group.join("cpuset.mems")),
    ] {
        if from.exists() && fs::read_to_string(&file).is_ok_and(|text| text.trim().is_empty()) {
            let text = fs::read_to_string(&from)?;
            fs::write(&file, text.trim())
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    // Version 2: children have what their parent hands down, from the root on.
    for group in [parent, group] {
        let file = group.join("cgroup.subtree_control");
        if file.exists() {
            let all: Vec<_> = CONTROLLERS.iter().map(|name| format!("+{name}")).collect();
            fs::write(&file, all.join(" "))
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    Ok(())
}

/// All groups below a part of the tree, children before parents.
fn groups(part: &str) -> Result<Vec<PathBuf>> {
    let branches = hierarchies()?.into_iter().map(|root| root.join(part));
    let mut groups: Vec<_> = branches.filter(|path| path.is_dir()).collect();
    let mut at = 0;
    while at < groups.len() {
        // A group may go while it is looked at: a kubelet or the kernel removes it.
        let children = fs::read_dir(&groups[at]).into_iter().flatten().flatten();
        let folders = children.filter(|child| child.file_type().is_ok_and(|kind| kind.is_dir()));
        let folders: Vec<_> = folders.map(|child| child.path()).collect();
        groups.extend(folders);
        at += 1;
    }
    groups.reverse();
    Ok(groups)
}

/// Everything that runs in the branch.
pub(crate) fn processes() -> Result<BTreeSet<i32>> {
    processes_in(BRANCH)
}

fn processes_in(part: &str) -> Result<BTreeSet<i32>> {
    let mut found = BTreeSet::new();
    for group in groups(part)? {
        let list = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        found.extend(list.lines().filter_map(|pid| pid.parse::<i32>().ok()));
    }
    Ok(found)
}

/// Kills everything in the branch, and what it starts meanwhile, until nothing is left.
pub(crate) fn kill(patience: Duration) -> Result<()> {
    kill_in(BRANCH, patience)
}

/// Kills a node's pods. Its kubelet must be gone, or it starts others.
pub(crate) fn kill_pods(node: Node, patience: Duration) -> Result<()> {
    kill_in(pods_of(node).trim_start_matches('/'), patience)
}

fn kill_in(part: &str, patience: Duration) -> Result<()> {
    let start = Instant::now();
    loop {
        let left = processes_in(part)?;
        if left.is_empty() {
            return Ok(());
        }
        if start.elapsed() > patience {
            bail!("these processes of the cluster do not end: {left:?}");
        }
        for pid in left.into_iter().filter_map(Pid::from_raw) {
            // It may have ended by itself; the next look tells.
            let _ = kill_process(pid, Signal::KILL);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Removes the branch, which must be empty of processes.
pub(crate) fn remove() -> Result<()> {
    for group in groups(BRANCH)? {
        // The kernel lets go of a group a moment after its last process.
        let mut tries = 0;
        while let Err(error) = fs::remove_dir(&group) {
            tries += 1;
            if tries > 100 {
                return Err(error)
                    .with_context(|| format!("cannot remove the cgroup {}", group.display()));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_do_not_share_a_root() {
        assert_eq!(pods_of(Node(2)), "/freshet-kube/node-2");
        assert_ne!(pods_of(Node(1)), pods_of(Node(2)));
    }
}
