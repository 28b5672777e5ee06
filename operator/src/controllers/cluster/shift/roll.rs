//! Rolling restarts: one pod at a time, when the brokers say that it may go.
//!
//! Nothing is remembered between two looks. Which pods are old is seen on the pods; whether the last
//! one is back is asked of all brokers before the next one goes. So an operator that is restarted at
//! any step goes on with the next.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Preconditions};
use kube::{Resource, ResourceExt};

use super::super::brokers;
use super::super::fetch::Observed;
use super::super::names::{RESTART, SETTINGS};
use super::super::plan::{Node, Plan};
use super::super::validate::Wanted;
use super::windows;
use crate::context::Context;
use crate::failure::Failure;

/// Words of a container that will not start as it is.
const BROKEN: &[&str] = &[
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

/// One pod, as a restart sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    node: Node,
    /// What makes it old; `None` if it is as it shall be.
    old: Option<&'static str>,
    state: State,
    ip: Option<String>,
    uid: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// It serves.
    Ready,
    /// It is not there, or on its way.
    Coming,
    /// It will not start as it is, or no node takes it.
    Broken(String),
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Next {
    /// All is as it shall be.
    Nothing,
    /// Something has to come back first.
    Wait(String),
    /// This one, without asking: it serves nobody.
    Mend(Seen),
    /// This one, if the brokers say yes.
    Ask(Seen),
}

/// How far a rolling restart is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rolled {
    /// Pods that are old still.
    pub(crate) left: usize,
    /// The one that was restarted now, or will be next, and why.
    pub(crate) pod: Option<(String, &'static str)>,
    /// What it waits for.
    pub(crate) waits_for: Option<String>,
    /// Whether it was restarted now.
    pub(crate) restarted: bool,
}

/// Does the next step of a rolling restart, if there is one to do.
pub(crate) async fn roll(
    context: &Context,
    wanted: &Wanted,
    plan: &Plan,
    observed: &Observed,
    active: Option<i32>,
) -> Result<Rolled, Failure> {
    let seen = look(wanted, plan, observed);
    let mut rolled = Rolled {
        left: seen.iter().filter(|seen| seen.old.is_some()).count(),
        ..Rolled::default()
    };
    let (chosen, asked) = match next(&seen, active) {
        Next::Nothing => return Ok(rolled),
        Next::Wait(why) => {
            rolled.waits_for = Some(why);
            return Ok(rolled);
        }
        Next::Mend(chosen) => (chosen, false),
        Next::Ask(chosen) => (chosen, true),
    };
    let reason = chosen.old.unwrap_or("Changed");
    rolled.pod = Some((chosen.node.pod.clone(), reason));
    if asked {
        rolled.waits_for = obstacle(wanted, &seen, &chosen, context.now()).await;
        if rolled.waits_for.is_some() {
            return Ok(rolled);
        }
    }
    restart(context, wanted, &chosen).await?;
    context.metrics.restarted(reason);
    tracing::info!(
        cluster = wanted.names.cluster,
        namespace = wanted.names.namespace,
        pod = chosen.node.pod,
        broker = chosen.node.id,
        reason,
        "restarted"
    );
    rolled.restarted = true;
    Ok(rolled)
}

/// What keeps the chosen pod from going.
async fn obstacle(
    wanted: &Wanted,
    seen: &[Seen],
    chosen: &Seen,
    now: k8s_openapi::jiff::Timestamp,
) -> Option<String> {
    if !windows::open(&wanted.windows, now) {
        return Some("the next maintenance window".to_owned());
    }
    for other in seen.iter().filter(|seen| seen.node.broker) {
        let ip = other.ip.as_deref().unwrap_or_default();
        match brokers::after_restart(ip).await {
            Ok(after) if after.in_sync => {}
            Ok(after) => {
                return Some(format!(
                    "broker {} to be in sync with {} partitions",
                    other.node.id, after.count
                ));
            }
            Err(why) => return Some(format!("an answer of broker {} ({why})", other.node.id)),
        }
    }
    let ip = chosen.ip.as_deref().unwrap_or_default();
    match brokers::before_restart(ip).await {
        Ok(before) => before.waits_for(),
        Err(why) => Some(format!("an answer of broker {} ({why})", chosen.node.id)),
    }
}

async fn restart(context: &Context, wanted: &Wanted, chosen: &Seen) -> Result<(), Failure> {
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), &wanted.names.namespace);
    // The very pod that was looked at: one of the same name may have come meanwhile.
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: chosen.uid.clone(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    match pods.delete(&chosen.node.pod, &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(Failure::kubernetes(format!(
            "pod {} cannot be deleted",
            chosen.node.pod
        ))(error)),
    }
}

/// Which pod is next. What is broken and old is mended first: it serves nobody, and may be what
/// everything waits for. The active controller goes last, so that it is elected anew but once.
fn next(seen: &[Seen], active: Option<i32>) -> Next {
    let old = || seen.iter().filter(|seen| seen.old.is_some());
    if old().next().is_none() {
        return Next::Nothing;
    }
    if let Some(broken) = old().find(|seen| matches!(seen.state, State::Broken(_))) {
        return Next::Mend(broken.clone());
    }
    for other in seen {
        match &other.state {
            State::Ready => {}
            State::Coming => return Next::Wait(format!("pod {} to be ready", other.node.pod)),
            State::Broken(why) => return Next::Wait(format!("pod {}: {why}", other.node.pod)),
        }
    }
    let order = |seen: &&Seen| {
        (
            Some(seen.node.id) == active,
            !seen.node.controller,
            seen.node.id,
        )
    };
    old()
        .min_by_key(order)
        .map_or(Next::Nothing, |chosen| Next::Ask(chosen.clone()))
}

fn look(wanted: &Wanted, plan: &Plan, observed: &Observed) -> Vec<Seen> {
    let of_pool = |pool: &super::super::plan::PlannedPool| {
        let set = observed.set(&wanted.names.pool(&pool.name));
        let there = pool
            .nodes
            .iter()
            .filter(|node| node.ordinal < pool.replicas);
        let seen = there.map(|node| seen(node, observed.pod(&node.pod), set));
        seen.collect::<Vec<_>>()
    };
    plan.pools.iter().flat_map(of_pool).collect()
}

fn seen(
    node: &Node,
    pod: Option<&Pod>,
    set: Option<&k8s_openapi::api::apps::v1::StatefulSet>,
) -> Seen {
    let Some(pod) = pod else {
        return Seen {
            node: node.clone(),
            old: None,
            state: State::Coming,
            ip: None,
            uid: None,
        };
    };
    let going = pod.meta().deletion_timestamp.is_some();
    Seen {
        node: node.clone(),
        old: set.filter(|_| !going).and_then(|set| old(pod, set)),
        state: if going { State::Coming } else { state(pod) },
        ip: pod.status.as_ref().and_then(|s| s.pod_ip.clone()),
        uid: pod.uid(),
    }
}

/// Why a pod is not as its StatefulSet says; `None` if it is, or that is not known yet.
fn old(pod: &Pod, set: &k8s_openapi::api::apps::v1::StatefulSet) -> Option<&'static str> {
    let status = set.status.as_ref()?;
    if status.observed_generation != set.meta().generation {
        return None;
    }
    let template = set.spec.as_ref()?.template.clone();
    let told = |name: &str| {
        template
            .metadata
            .as_ref()
            .and_then(|m| m.annotations.as_ref()?.get(name).cloned())
    };
    let has = |name: &str| pod.annotations().get(name).cloned();
    if has(RESTART) != told(RESTART) {
        return Some("RestartAsked");
    }
    let revision = pod.labels().get("controller-revision-hash");
    if revision == status.update_revision.as_ref() {
        return None;
    }
    let image = |spec: Option<&k8s_openapi::api::core::v1::PodSpec>| {
        spec.and_then(|s| s.containers.first()?.image.clone())
    };
    if image(pod.spec.as_ref()) != image(template.spec.as_ref()) {
        return Some("ImageChanged");
    }
    if has(SETTINGS) != told(SETTINGS) {
        return Some("SettingsChanged");
    }
    Some("PodChanged")
}

fn state(pod: &Pod) -> State {
    let Some(status) = &pod.status else {
        return State::Coming;
    };
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let is = |kind: &str, value: &str| {
        conditions
            .iter()
            .find(|c| c.type_ == kind && c.status == value)
    };
    if is("Ready", "True").is_some() {
        return State::Ready;
    }
    if let Some(stuck) = is("PodScheduled", "False") {
        let why = stuck.message.clone().unwrap_or_default();
        return State::Broken(format!("no node takes it: {why}"));
    }
    let containers = status.container_statuses.as_deref().unwrap_or_default();
    let waiting = containers
        .iter()
        .filter_map(|c| c.state.as_ref()?.waiting.as_ref());
    for waiting in waiting {
        let reason = waiting.reason.as_deref().unwrap_or_default();
        if BROKEN.contains(&reason) {
            let message = waiting.message.as_deref().unwrap_or_default();
            return State::Broken(format!("{reason} {message}").trim().to_owned());
        }
    }
    State::Coming
}

#[cfg(test)]
#[path = "roll/tests.rs"]
mod tests;
