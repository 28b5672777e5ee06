//! `Cluster`.

use std::sync::Arc;

use crate::context::Context;

/// Looks after the Clusters of a namespace, or of all, until nothing is watched any more.
pub(crate) async fn run(_context: &Arc<Context>, _namespace: Option<&str>) {
    std::future::pending::<()>().await;
}
