//! Brokers that are stopped on purpose: their pods are there, and their processes do nothing.
//!
//! A volume says that its broker is to be stopped, and its file says so to the process: from then on the pod is
//! as old as any whose settings have changed, and goes when the brokers let it. Which process does nothing is
//! asked of it: nobody else knows with which file it was started.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::Pod;

use super::super::fetch::Observed;
use super::super::plan::{Node, Plan};
use super::super::status::is_ready;
use crate::context::Context;

/// Processes that are asked at a time.
const AT_ONCE: usize = 16;

/// Those that do nothing. Who serves is not asked, and who has not started does not answer.
pub(crate) async fn idle(context: &Context, plan: &Plan, observed: &Observed) -> BTreeSet<i32> {
    let candidate = |node: &Node| {
        let pod = observed.pod(&node.pod).filter(|pod| may_be_idle(pod))?;
        Some((node.id, pod.status.as_ref()?.pod_ip.clone()?))
    };
    let candidates: Vec<_> = plan.nodes().filter_map(candidate).collect();
    let mut idle = BTreeSet::new();
    for some in candidates.chunks(AT_ONCE) {
        let asked = some.iter().map(|(_, ip)| context.door.is_idle(ip));
        let told = join_all(asked).await;
        let does_nothing = some.iter().zip(told).filter(|(_, told)| *told == Ok(true));
        idle.extend(does_nothing.map(|((id, _), _)| *id));
    }
    idle
}

/// Its process lives, and it does not serve.
fn may_be_idle(pod: &Pod) -> bool {
    let mut containers = pod
        .status
        .iter()
        .flat_map(|s| s.container_statuses.iter().flatten());
    let has_started = containers.any(|c| c.started == Some(true));
    has_started && !is_ready(pod) && pod.metadata.deletion_timestamp.is_none()
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "what a real broker keeps is looked at"
)]
#[path = "idle/real.rs"]
mod real;
