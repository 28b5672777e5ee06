//! Who is at work, when the operator runs more than once.
//!
//! Whoever holds the Lease works; the others wait. Who loses it ends, and is started again by
//! Kubernetes: half a reconcile that goes on beside another operator would be worse than a restart.

use anyhow::{Context as _, Result};
use kube::Client;
use kube_lease_manager::LeaseManagerBuilder;
use tokio::sync::watch;

/// The Lease's name.
const NAME: &str = "freshet-operator";
/// Seconds without a word after which somebody else takes over.
const SECONDS: u64 = 15;
/// Seconds before that at which the holder says it again.
const GRACE: u64 = 5;

/// Whether this process holds the Lease. When all receivers are gone it is given back.
pub(crate) async fn hold(
    client: &Client,
    namespace: &str,
    identity: &str,
) -> Result<watch::Receiver<bool>> {
    let manager = LeaseManagerBuilder::new(client.clone(), NAME)
        .with_namespace(namespace)
        .with_identity(identity)
        .with_duration(SECONDS)
        .with_grace(GRACE)
        .build()
        .await
        .with_context(|| format!("cannot use the Lease {namespace}/{NAME}"))?;
    let (held, _) = manager.watch().await;
    Ok(held)
}

/// Waits until the Lease is held.
pub(crate) async fn won(held: &mut watch::Receiver<bool>) -> Result<()> {
    held.wait_for(|held| *held)
        .await
        .context("the Lease is watched no more")?;
    Ok(())
}

/// Waits until the Lease is lost.
pub(crate) async fn lost(held: &mut watch::Receiver<bool>) {
    // Nobody watching is the same as not holding it.
    let _ = held.wait_for(|held| !*held).await;
}
