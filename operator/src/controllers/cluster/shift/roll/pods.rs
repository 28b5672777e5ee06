//! Pods as a restart sees them: which are old, and which serve.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodSpec};
use kube::{Resource, ResourceExt};

use super::super::super::fetch::Observed;
use super::super::super::names::{RESTART, SETTINGS, ZONE};
use super::super::super::plan::{Node, Plan, PlannedPool};
use super::super::super::validate::Wanted;

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

/// Letters of what a process said last that are told.
const LAST_WORDS: usize = 500;

/// One pod, as a restart sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) node: Node,
    /// What makes it old; `None` if it is as it shall be.
    pub(super) old: Option<&'static str>,
    pub(super) state: State,
    pub(super) ip: Option<String>,
    /// Where its node stands.
    pub(super) zone: Option<String>,
    pub(super) uid: Option<String>,
    /// A disk of its broker is slow or full, by what the broker says.
    pub(super) unwell: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// It serves.
    Ready,
    /// It is not there, or on its way.
    Coming,
    /// It will not start as it is, or no node takes it.
    Broken(String),
    /// Its process does nothing, because its file says so.
    Idle,
}

/// All pods that there shall be.
pub(super) fn look(wanted: &Wanted, plan: &Plan, observed: &Observed) -> Vec<Seen> {
    let of_pool = |pool: &PlannedPool| {
        let set = observed.set(&wanted.names.pool(&pool.name));
        let there = pool
            .nodes
            .iter()
            .filter(|node| node.ordinal < pool.replicas);
        let see = |node: &Node| {
            let mut seen = seen(node, observed.pod(&node.pod), set);
            // One that is about to leave is not restarted for what it will never be. One that does not
            // start may have to, to give away what it keeps.
            if pool.leaving.contains(node) && !matches!(seen.state, State::Broken(_)) {
                seen.old = None;
            }
            seen
        };
        there.map(see).collect::<Vec<_>>()
    };
    plan.pools.iter().flat_map(of_pool).collect()
}

fn seen(node: &Node, pod: Option<&Pod>, set: Option<&StatefulSet>) -> Seen {
    let Some(pod) = pod else {
        return Seen {
            node: node.clone(),
            old: None,
            state: State::Coming,
            ip: None,
            zone: None,
            uid: None,
            unwell: false,
        };
    };
    let going = pod.meta().deletion_timestamp.is_some();
    Seen {
        node: node.clone(),
        old: set.filter(|_| !going).and_then(|set| old(pod, set)),
        state: if going { State::Coming } else { state(pod) },
        ip: pod.status.as_ref().and_then(|s| s.pod_ip.clone()),
        zone: pod.labels().get(ZONE).cloned(),
        uid: pod.uid(),
        unwell: false,
    }
}

/// Why a pod is not as its StatefulSet says; `None` if it is, or that is not known yet.
pub(super) fn old(pod: &Pod, set: &StatefulSet) -> Option<&'static str> {
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
    let image = |spec: Option<&PodSpec>| spec.and_then(|s| s.containers.first()?.image.clone());
    if image(pod.spec.as_ref()) != image(template.spec.as_ref()) {
        return Some("ImageChanged");
    }
    if has(SETTINGS) != told(SETTINGS) {
        return Some("SettingsChanged");
    }
    Some("PodChanged")
}

pub(super) fn state(pod: &Pod) -> State {
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
    for container in status.container_statuses.iter().flatten() {
        let waiting = container.state.as_ref().and_then(|s| s.waiting.as_ref());
        let reason = waiting
            .and_then(|w| w.reason.as_deref())
            .unwrap_or_default();
        if BROKEN.contains(&reason) {
            let message = waiting
                .and_then(|w| w.message.as_deref())
                .unwrap_or_default();
            let why = last_words(container).unwrap_or_else(|| message.to_owned());
            return State::Broken(format!("{reason} {why}").trim().to_owned());
        }
    }
    State::Coming
}

/// The last line of a process that has ended: why.
fn last_words(container: &ContainerStatus) -> Option<String> {
    let ended = container.last_state.as_ref()?.terminated.as_ref()?;
    let mut lines = ended.message.as_deref()?.lines().rev();
    let last = lines.find(|line| !line.trim().is_empty())?;
    Some(last.trim().chars().take(LAST_WORDS).collect())
}
