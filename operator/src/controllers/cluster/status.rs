//! What people and programs are told of a cluster.

use std::collections::BTreeSet;

use freshet_api::{
    BrokerStatus, Cluster, ClusterStatus, ConditionType, FillingStatus, ListenerStatus, PoolStatus,
    RollingStatus,
};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::apply::Applied;
use super::build::{addresses, given};
use super::fetch::Observed;
use super::plan::{Plan, PlannedPool};
use super::shift::{Drained, Filled, Levelled, Lost, Rolled, Seated, named};
use super::validate::Wanted;
use crate::conditions::{Conditions, holds};
use crate::context::{Context, MANAGER};
use crate::failure::Failure;

/// From so many pods on the loss of one harms nobody.
const MOST_SURVIVE: i32 = 3;

/// All that a look at a cluster has found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Why the spec cannot be carried out.
    pub(crate) refused: Vec<String>,
    /// Why the plan cannot be: a word and a sentence.
    pub(crate) impossible: Option<(&'static str, String)>,
    pub(crate) plan: Option<Plan>,
    pub(crate) rolled: Rolled,
    pub(crate) drained: Drained,
    pub(crate) filled: Filled,
    pub(crate) seated: Seated,
    pub(crate) levelled: Levelled,
    pub(crate) lost: Lost,
    /// Brokers whose processes do nothing.
    pub(crate) idle: BTreeSet<i32>,
    /// What a person should look at.
    pub(crate) warnings: Vec<String>,
    /// Objects that were written at this look.
    pub(crate) written: usize,
    /// Brokers that have left, and of whose end the others do not know yet.
    pub(crate) ending: usize,
    /// What has to be there before pods can be: a reason and a sentence.
    pub(crate) lacking: Option<(&'static str, String)>,
    /// Why brokers could not be asked.
    pub(crate) unreachable: Option<String>,
}

impl Found {
    /// Why something of the spec is not carried out: a word and a sentence.
    fn not_carried_out(&self) -> Option<&(&'static str, String)> {
        self.impossible.as_ref().or(self.levelled.refused.as_ref())
    }

    /// Notes what came of writing.
    pub(crate) fn note(&mut self, applied: Applied) {
        self.written += applied.written;
        if !applied.taken.is_empty() {
            let names = applied.taken.join(", ");
            let message = format!(
                "{names}: there already, and not of this cluster. Give the Cluster or its pool another name"
            );
            self.impossible = Some(("NameTaken", message));
        }
    }
}

/// The status that follows.
pub(crate) fn status(
    cluster: &Cluster,
    wanted: Option<&Wanted>,
    observed: &Observed,
    found: &Found,
    now: Timestamp,
) -> ClusterStatus {
    let before = cluster.status.clone().unwrap_or_default();
    let was_ready = holds(&before.conditions, ConditionType::Ready);
    let mut said = Conditions::new(&before.conditions, cluster.metadata.generation, now);
    let mut status = ClusterStatus {
        observed_generation: cluster.metadata.generation,
        ..ClusterStatus::default()
    };
    if let (Some(wanted), Some(plan)) = (wanted, &found.plan) {
        describe(&mut status, wanted, plan, observed);
        note_stopped(&mut status, plan, &found.idle);
        let level = found.levelled.now.map(|level| level.to_string());
        status.metadata_version = level.or(before.metadata_version);
        let brokers = || status.pools.iter().flat_map(|pool| &pool.brokers);
        let is_stopped = |pod: &String| brokers().any(|b| b.pod == *pod && b.stopped.is_some());
        let is_away = |pod: &String| !observed.pod(pod).is_some_and(is_ready) && !is_stopped(pod);
        status.rolling = rolling(&found.rolled, before.rolling, is_away);
        status.filling = filling(&found.filled);
    } else {
        // Nothing was looked at: what was known stays known.
        status = ClusterStatus {
            observed_generation: cluster.metadata.generation,
            ..before
        };
    }
    if cluster.spec.paused {
        said.say(
            ConditionType::Paused,
            true,
            "Paused",
            "spec.paused is true: nothing is changed",
        );
    }
    conditions(&mut said, &status, found, was_ready);
    status.conditions = said.finish();
    status
}

fn describe(status: &mut ClusterStatus, wanted: &Wanted, plan: &Plan, observed: &Observed) {
    status.cluster_id = Some(plan.cluster_id.clone());
    let planned = || plan.controllers.keys().copied().collect();
    let voters = plan.voters.as_ref();
    status.voters = voters.map_or_else(planned, |ids| ids.iter().copied().collect());
    status.pools = plan
        .pools
        .iter()
        .map(|pool| of_pool(wanted, pool, observed))
        .collect();
    let all = status.pools.iter();
    let (ready, has) = all.fold((0, 0), |(r, h), pool| (r + pool.ready, h + pool.replicas));
    status.brokers = Some(format!("{ready}/{has}"));
    if let Some(scaled) = &wanted.scaled {
        let pool = status.pools.iter().find(|pool| pool.name == *scaled);
        status.replicas = pool.map(|pool| pool.replicas);
        status.selector = Some(format!(
            "{}={},{}={scaled}",
            super::names::CLUSTER,
            wanted.names.cluster,
            super::names::POOL
        ));
    }
    let listeners = addresses(wanted, &given(wanted, observed));
    status.listeners = listeners
        .into_iter()
        .map(|(name, bootstrap_servers)| ListenerStatus {
            name,
            bootstrap_servers,
        })
        .collect();
    let internal = wanted
        .listeners
        .iter()
        .position(|l| l.kind == freshet_api::ListenerType::Internal);
    status.bootstrap_servers = match internal {
        Some(at) => status.listeners[at].bootstrap_servers.clone(),
        None => Some(wanted.names.replication()),
    };
    status.version = version(plan, observed);
}

fn of_pool(wanted: &Wanted, pool: &PlannedPool, observed: &Observed) -> PoolStatus {
    let set = observed.set(&wanted.names.pool(&pool.name));
    let newest = set.and_then(|set| set.status.as_ref()?.update_revision.clone());
    let there = pool
        .nodes
        .iter()
        .filter(|node| node.ordinal < pool.replicas);
    let pods: Vec<_> = there
        .clone()
        .filter_map(|node| observed.pod(&node.pod))
        .collect();
    let count = |which: &dyn Fn(&Pod) -> bool| {
        let counted = pods.iter().filter(|pod| which(pod)).count();
        i32::try_from(counted).unwrap_or(i32::MAX)
    };
    PoolStatus {
        name: pool.name.clone(),
        replicas: pool.replicas,
        ready: count(&is_ready),
        updated: count(&|pod| {
            newest.is_some() && pod.labels().get("controller-revision-hash") == newest.as_ref()
        }),
        brokers: there
            .map(|node| BrokerStatus {
                pod: node.pod.clone(),
                id: node.id,
                stopped: None,
            })
            .collect(),
    }
}

/// Says of those that do nothing why.
fn note_stopped(status: &mut ClusterStatus, plan: &Plan, idle: &BTreeSet<i32>) {
    let brokers = status.pools.iter_mut().flat_map(|pool| &mut pool.brokers);
    for broker in brokers.filter(|broker| idle.contains(&broker.id)) {
        broker.stopped = plan.stopped.get(&broker.id).cloned();
    }
}

/// Those that are stopped on purpose: how many, and which, as the end of a sentence.
fn stopped(status: &ClusterStatus) -> (i32, String) {
    let brokers = status.pools.iter().flat_map(|pool| &pool.brokers);
    let told = brokers.filter_map(|broker| {
        let why = broker.stopped.as_ref()?;
        Some(format!("broker {} ({why})", broker.id))
    });
    let told: Vec<_> = told.collect();
    let count = i32::try_from(told.len()).unwrap_or(i32::MAX);
    match count {
        0 => (0, String::new()),
        _ => (count, format!("; stopped on purpose: {}", told.join(", "))),
    }
}

/// Whether a pod serves.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_deref());
    let ready = conditions
        .unwrap_or_default()
        .iter()
        .any(|c| c.type_ == "Ready" && c.status == "True");
    ready && pod.metadata.deletion_timestamp.is_none()
}

/// The tag of the image that all pods have; `None` while they differ.
fn version(plan: &Plan, observed: &Observed) -> Option<String> {
    let mut tags = plan.nodes().filter_map(|node| {
        let image = observed
            .pod(&node.pod)?
            .spec
            .as_ref()?
            .containers
            .first()?
            .image
            .clone()?;
        let name = image.split('@').next().unwrap_or_default().to_owned();
        let tag = name.rsplit('/').next()?.split_once(':')?.1.to_owned();
        Some(tag)
    });
    let first = tags.next()?;
    tags.all(|tag| tag == first).then_some(first)
}

/// Which pods went together is known from the last status, until they are back.
fn rolling(
    rolled: &Rolled,
    before: Option<RollingStatus>,
    is_away: impl Fn(&String) -> bool,
) -> Option<RollingStatus> {
    let mut together = rolled.restarted.clone();
    let mut alone_since = rolled.alone_since.clone();
    if let Some(before) = before.filter(|_| together.is_empty()) {
        together = before.together.into_iter().filter(is_away).collect();
        alone_since = alone_since.or(before.alone_since.filter(|_| !together.is_empty()));
    }
    if rolled.left == 0 && together.is_empty() {
        return None;
    }
    Some(RollingStatus {
        left: i32::try_from(rolled.left).unwrap_or(i32::MAX),
        together,
        alone_since,
        pod: rolled.pod.as_ref().map(|(pod, _)| pod.clone()),
        reason: rolled.pod.as_ref().map(|(_, reason)| (*reason).to_owned()),
        waiting_for: rolled.waits_for.clone(),
    })
}

fn filling(filled: &Filled) -> Option<FillingStatus> {
    let count = |left| i32::try_from(left).unwrap_or(i32::MAX);
    (!filled.brokers.is_empty()).then(|| FillingStatus {
        brokers: filled.brokers.iter().copied().collect(),
        left: filled.left.map(count),
        waiting_for: filled.waits_for.clone(),
    })
}

fn conditions(said: &mut Conditions, status: &ClusterStatus, found: &Found, was_ready: bool) {
    if let Some((reason, message)) = found.not_carried_out() {
        said.say(ConditionType::Valid, false, reason, message);
    } else if found.refused.is_empty() {
        said.say(ConditionType::Valid, true, "Accepted", "");
    } else {
        said.say(
            ConditionType::Valid,
            false,
            "InvalidSpec",
            found.refused.join("; "),
        );
    }
    let (reason, mut message) = under_way(status, found);
    if reason != "AsWanted" {
        message += &stopped(status).1;
    }
    said.say(
        ConditionType::Progressing,
        reason != "AsWanted",
        reason,
        message,
    );
    if !found.warnings.is_empty() {
        said.say(
            ConditionType::Warning,
            true,
            "LookHere",
            found.warnings.join("; "),
        );
    }
    let (ready, reason, message) = ready(status, found, was_ready);
    said.say(ConditionType::Ready, ready, reason, message);
}

/// What is under way, the most telling thing first.
fn under_way(status: &ClusterStatus, found: &Found) -> (&'static str, String) {
    if let Some(lacking) = &found.lacking {
        return lacking.clone();
    }
    if let Some(stuck) = &found.drained.stuck {
        return ("CannotScaleIn", stuck.clone());
    }
    if found.drained.left > 0 {
        let left = found.drained.left;
        return (
            "ScalingIn",
            format!("{left} partitions have yet to leave brokers that go"),
        );
    }
    if found.ending > 0 {
        let message = format!("{} brokers that have left are ending", found.ending);
        return ("ScalingIn", message);
    }
    if let Some((_, sentence)) = &found.seated.changed {
        return ("QuorumChanging", sentence.clone());
    }
    if let Some(why) = &found.seated.waits_for {
        return (
            "QuorumChanging",
            format!("who votes changes: waits for {why}"),
        );
    }
    if let Some(rolling) = &status.rolling {
        return ("RollingRestart", restarting(rolling));
    }
    let missing = status
        .pools
        .iter()
        .map(|pool| pool.replicas - pool.ready)
        .sum::<i32>()
        - stopped(status).0;
    if missing > 0 {
        let message = match &found.rolled.waits_for {
            Some(why) => format!("{missing} pods are not ready: {why}"),
            None => format!("{missing} pods are not ready"),
        };
        return ("PodsComing", message);
    }
    if let Some(why) = &found.levelled.waits_for {
        let message = format!("the metadata version waits for {why}");
        return ("MetadataVersionWaits", message);
    }
    if !found.filled.brokers.is_empty() {
        return ("FillingBrokers", being_filled(&found.filled));
    }
    if found.written > 0 {
        return ("Writing", format!("{} objects were changed", found.written));
    }
    ("AsWanted", String::new())
}

fn restarting(rolling: &RollingStatus) -> String {
    let left = rolling.left;
    let pod = rolling.pod.as_deref().unwrap_or("a pod");
    let mut message = match (&rolling.waiting_for, rolling.together.as_slice()) {
        (_, [_, _, ..]) => {
            let pods = rolling.together.join(", ");
            format!("{left} pods to restart; {pods} are under way")
        }
        (Some(why), _) => format!("{left} pods to restart; {pod} waits for {why}"),
        (None, [one]) => format!("{left} pods to restart; {one} is under way"),
        (None, []) => format!("{left} pods to restart; {pod} is next"),
    };
    if let Some(why) = &rolling.alone_since {
        message += &format!(". The others of its rack do not go with it: {why}");
    }
    message
}

fn being_filled(filled: &Filled) -> String {
    let brokers = named(&filled.brokers);
    match (&filled.waits_for, filled.left) {
        (Some(why), _) => format!("new {brokers} have yet to get their share: it waits for {why}"),
        (None, left) => {
            let left = left.unwrap_or_default();
            format!("about {left} replicas have yet to move to new {brokers}")
        }
    }
}

/// A cluster that serves goes on serving while one of its pods restarts, or some of which the brokers have said that
/// they may: whoever watches is not to be alarmed.
fn ready(status: &ClusterStatus, found: &Found, was_ready: bool) -> (bool, &'static str, String) {
    if !found.refused.is_empty() || found.not_carried_out().is_some() {
        return (
            false,
            "NotCarriedOut",
            "the spec is not carried out, see condition Valid".to_owned(),
        );
    }
    let brokers = status.brokers.clone().unwrap_or_default();
    let all: i32 = status.pools.iter().map(|pool| pool.replicas).sum();
    let (on_purpose, who) = stopped(status);
    let away = all - on_purpose - status.pools.iter().map(|pool| pool.ready).sum::<i32>();
    let together = status.rolling.as_ref().map_or(0, |r| r.together.len());
    let few = i32::try_from(together.max(1)).unwrap_or(i32::MAX);
    let bearable = was_ready && away <= few && all >= MOST_SURVIVE;
    if status.pools.is_empty() || (away > 0 && !bearable) {
        let message = format!("{brokers} pods are ready{who}");
        return (false, "PodsNotReady", message);
    }
    if let Some(why) = &found.unreachable {
        return (false, "BrokersNotReached", why.clone());
    }
    (true, "Serving", format!("{brokers} pods are ready{who}"))
}

/// Writes the status, if it is another one than before.
pub(crate) async fn write(
    context: &Context,
    cluster: &Cluster,
    status: &ClusterStatus,
) -> Result<bool, Failure> {
    if cluster.status.as_ref() == Some(status) {
        return Ok(false);
    }
    let namespace = cluster.namespace().unwrap_or_default();
    let api: Api<Cluster> = Api::namespaced(context.client.clone(), &namespace);
    let name = cluster.name_any();
    let patch = json!({ "apiVersion": "freshet.dev/v1", "kind": "Cluster", "status": status });
    let params = PatchParams::apply(MANAGER).force();
    let what = format!("the status of cluster {name} cannot be written");
    api.patch_status(&name, &params, &Patch::Apply(patch))
        .await
        .map_err(Failure::kubernetes(what))?;
    context.metrics.wrote("ClusterStatus");
    Ok(true)
}

#[cfg(test)]
mod tests;
