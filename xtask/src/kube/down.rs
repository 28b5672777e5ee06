//! `cargo xtask kube down`: what `up` made goes, and nothing else.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::control;
use super::ledger::{Cluster, Phase};
use super::machine::{cgroups, daemons, space};
use crate::process::say;

/// How long the last processes may take to end once they are killed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Stops a cluster, however far it had come. `keep` leaves its objects, volumes and images for the next `up`.
pub(crate) fn run(mut cluster: Cluster, keep: bool) -> Result<()> {
    let start = Instant::now();
    let keep = keep && cluster.is_up();
    cluster.ledger.phase = Phase::Unfinished;
    cluster.save()?;
    if keep {
        // Kubelets first, or they would report that everything else falls.
        let kubelets: Vec<_> = cluster.ledger.nodes.iter().map(|n| n.kubelet()).collect();
        daemons::kill(&mut cluster, &kubelets)?;
        control::stop(&mut cluster)?;
    }
    // Containers, their shims, and whatever a list of daemons would not know.
    cgroups::kill(PATIENCE)?;
    cgroups::remove()?;
    cluster.ledger.daemons.clear();
    // The namespaces, and all mounts in them, have ended with the last process.
    space::restore(&mut cluster)?;
    let layout = &cluster.layout;
    if keep {
        for folder in [layout.run(), layout.ipam()] {
            if folder.exists() {
                fs::remove_dir_all(&folder)
                    .with_context(|| format!("cannot remove {}", folder.display()))?;
            }
        }
        cluster.ledger.phase = Phase::Kept;
        cluster.save()?;
    } else {
        let state = layout.state();
        fs::remove_dir_all(&state).with_context(|| format!("cannot remove {}", state.display()))?;
    }
    let kept = if keep { "; its state is kept" } else { "" };
    let seconds = start.elapsed().as_secs_f64();
    say(&format!("the cluster is down after {seconds:.1} s{kept}"));
    Ok(())
}
