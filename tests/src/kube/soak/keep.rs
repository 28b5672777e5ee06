//! What a failure leaves for whoever looks for its cause.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::kube::Kubectl;

/// How often logs of new pods are looked for.
const LOOK: Duration = Duration::from_millis(500);

/// Keeps what pods write, those that are gone too, in a folder.
pub(super) struct Keeper {
    folder: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Begins; what the folder had is gone.
    pub(super) fn begin(folder: &Path) -> Result<Self> {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder.join("pods"))
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let state = env::var_os("FRESHET_KUBE_STATE")
            .context("nobody said where pods write; `cargo xtask soak kube` does")?;
        let stop = Arc::new(AtomicBool::new(false));
        let (over, from, to) = (Arc::clone(&stop), PathBuf::from(state), folder.join("pods"));
        let thread = thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                link_all(&from, &to);
                thread::sleep(LOOK);
            }
        });
        Ok(Self {
            folder: folder.to_owned(),
            stop,
            thread: Some(thread),
        })
    }

    /// Nobody will look.
    pub(super) fn forget(self) {
        let folder = self.folder.clone();
        drop(self);
        let _ = fs::remove_dir_all(folder);
    }

    /// Writes down what there is now, and says where.
    pub(super) fn keep(self, ctl: &Kubectl) {
        let objects =
            "clusters.freshet.dev,topics.freshet.dev,pods,pvc,statefulsets,services,configmaps";
        let told: BTreeMap<&str, Vec<&str>> = BTreeMap::from([
            ("objects.yaml", vec!["get", objects, "-o", "yaml"]),
            (
                "events.txt",
                vec!["get", "events", "-A", "--sort-by=.lastTimestamp"],
            ),
            ("pods.txt", vec!["get", "pods,nodes,pv", "-A", "-o", "wide"]),
        ]);
        for (name, words) in told {
            let text = ctl.ok(&words).unwrap_or_else(|why| format!("{why:#}"));
            let _ = fs::write(self.folder.join(name), text);
        }
        eprintln!(
            "objects, events and the logs of all pods there ever were are in {}",
            self.folder.display()
        );
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A second name keeps a file when its pod goes. Files that go meanwhile are none of ours.
fn link_all(state: &Path, to: &Path) {
    for node in within(state) {
        for pod in within(&node.join("pod-logs")) {
            for container in within(&pod) {
                for log in within(&container) {
                    let _ = fs::hard_link(&log, to.join(kept_as(&pod, &container, &log)));
                }
            }
        }
    }
}

/// Pod, container and count of starts; a kubelet calls a pod's folder `NAMESPACE_POD_UID`.
fn kept_as(pod: &Path, container: &Path, log: &Path) -> String {
    let name = |path: &Path| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    };
    format!("{}_{}_{}", name(pod), name(container), name(log))
}

fn within(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}
