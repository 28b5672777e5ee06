//! What people and programs are told of a cluster.

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
use super::shift::{Drained, Filled, Levelled, Rolled, Seated, named};
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
        let level = found.levelled.now.map(|level| level.to_string());
        status.metadata_version = level.or(before.metadata_version);
        let is_away = |pod: &String| !observed.pod(pod).is_some_and(is_ready);
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
    let listeners = addresses(wanted, &given(observed));
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
            })
            .collect(),
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
    let (reason, message) = under_way(status, found);
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
        .sum::<i32>();
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
    let away = all - status.pools.iter().map(|pool| pool.ready).sum::<i32>();
    let together = status.rolling.as_ref().map_or(0, |r| r.together.len());
    let few = i32::try_from(together.max(1)).unwrap_or(i32::MAX);
    let bearable = was_ready && away <= few && all >= MOST_SURVIVE;
    if status.pools.is_empty() || (away > 0 && !bearable) {
        return (false, "PodsNotReady", format!("{brokers} pods are ready"));
    }
    if let Some(why) = &found.unreachable {
        return (false, "BrokersNotReached", why.clone());
    }
    (true, "Serving", format!("{brokers} pods are ready"))
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
mod tests {
    use super::*;

    fn pools(ready: &[(i32, i32)]) -> ClusterStatus {
        let pool = |(at, (ready, replicas)): (usize, &(i32, i32))| PoolStatus {
            name: format!("p{at}"),
            replicas: *replicas,
            ready: *ready,
            updated: 0,
            brokers: Vec::new(),
        };
        ClusterStatus {
            pools: ready.iter().enumerate().map(pool).collect(),
            ..ClusterStatus::default()
        }
    }

    fn is_ready(counts: &[(i32, i32)], found: &Found, was_ready: bool) -> bool {
        ready(&pools(counts), found, was_ready).0
    }

    #[test]
    fn one_pod_away_alarms_nobody_once_the_cluster_has_served() {
        let well = Found::default();
        assert!(is_ready(&[(3, 3)], &well, false));
        assert!(!is_ready(&[(2, 3)], &well, false), "it has never served");
        assert!(is_ready(&[(2, 3)], &well, true));
        assert!(!is_ready(&[(1, 3)], &well, true));
        assert!(
            !is_ready(&[(2, 3), (2, 3)], &well, true),
            "one of each pool are two"
        );
        assert!(!is_ready(&[(0, 1)], &well, true), "the only one");
        assert!(!is_ready(&[], &well, true));
    }

    #[test]
    fn a_spec_that_is_not_carried_out_is_not_ready() {
        let refused = Found {
            refused: vec!["config.x: unknown".to_owned()],
            ..Found::default()
        };
        assert!(!is_ready(&[(3, 3)], &refused, true));
        let mut taken = Found::default();
        taken.note(Applied {
            written: 1,
            taken: vec!["StatefulSet a-b-c".to_owned()],
        });
        assert_eq!(
            taken.impossible.as_ref().map(|(reason, _)| *reason),
            Some("NameTaken")
        );
        assert!(!is_ready(&[(3, 3)], &taken, true));
        let away = Found {
            unreachable: Some("no broker serves".to_owned()),
            ..Found::default()
        };
        assert!(!is_ready(&[(3, 3)], &away, true));
    }

    #[test]
    fn a_level_that_cannot_be_is_told_and_one_that_waits_is_no_fault() {
        let mut found = Found::default();
        found.levelled.waits_for = Some("all pods to be restarted and ready".to_owned());
        assert!(is_ready(&[(3, 3)], &found, true));
        assert_eq!(
            under_way(&pools(&[(3, 3)]), &found).0,
            "MetadataVersionWaits"
        );
        found.levelled.refused = Some(("MetadataVersionNotSupported", "1 to 1".to_owned()));
        assert!(!is_ready(&[(3, 3)], &found, true));
        assert_eq!(
            found.not_carried_out().map(|(reason, _)| *reason),
            Some("MetadataVersionNotSupported")
        );
    }

    #[test]
    fn what_is_under_way_is_told_by_the_most_telling_thing() {
        let mut found = Found::default();
        assert_eq!(under_way(&pools(&[(3, 3)]), &found).0, "AsWanted");
        assert_eq!(under_way(&pools(&[(2, 3)]), &found).0, "PodsComing");
        found.rolled.waits_for = Some("pod a-main-0: CrashLoopBackOff".to_owned());
        let (_, message) = under_way(&pools(&[(2, 3)]), &found);
        assert!(message.ends_with("a-main-0: CrashLoopBackOff"), "{message}");
        found.seated.waits_for = Some("broker 2 to be empty".to_owned());
        let (reason, message) = under_way(&pools(&[(3, 3)]), &found);
        assert_eq!(reason, "QuorumChanging");
        assert!(
            message.ends_with("waits for broker 2 to be empty"),
            "{message}"
        );
        found.drained.left = 4;
        assert_eq!(under_way(&pools(&[(2, 3)]), &found).0, "ScalingIn");
        found.drained.stuck = Some("broker 4 cannot leave".to_owned());
        assert_eq!(under_way(&pools(&[(3, 3)]), &found).0, "CannotScaleIn");
    }

    #[test]
    fn pods_that_went_together_are_known_until_they_are_back() {
        let names = |ids: &[i32]| -> Vec<_> { ids.iter().map(|id| format!("a-{id}")).collect() };
        let went = Rolled {
            left: 6,
            pod: Some(("a-1".to_owned(), "ImageChanged")),
            restarted: names(&[1, 4, 7]),
            ..Rolled::default()
        };
        let all_there = |_: &String| false;
        let first = rolling(&went, None, all_there).expect("it is under way");
        assert_eq!(first.together, names(&[1, 4, 7]));
        let waits = Rolled {
            left: 3,
            waits_for: Some("pod a-4 to be ready".to_owned()),
            ..Rolled::default()
        };
        let then = rolling(&waits, Some(first), |pod| pod != "a-1").expect("it goes on");
        assert_eq!(then.together, names(&[4, 7]));
        let mut status = pools(&[(7, 9)]);
        status.rolling = Some(then.clone());
        assert!(ready(&status, &Found::default(), true).0);
        assert!(
            restarting(&then).contains("a-4, a-7 are under way"),
            "{}",
            restarting(&then)
        );
        // One more is away than was sent away.
        let mut less = pools(&[(6, 9)]);
        less.rolling.clone_from(&status.rolling);
        assert!(!ready(&less, &Found::default(), true).0);
        let last = rolling(&Rolled::default(), Some(then.clone()), |_| true);
        assert_eq!(last.map(|last| last.left), Some(0), "two are coming");
        assert_eq!(rolling(&Rolled::default(), Some(then), all_there), None);
    }

    #[test]
    fn why_a_pod_went_alone_is_told_until_it_is_back() {
        let went = Rolled {
            left: 2,
            restarted: vec!["a-1".to_owned()],
            alone_since: Some("3 partitions".to_owned()),
            ..Rolled::default()
        };
        let first = rolling(&went, None, |_| false).expect("it is under way");
        let waits = Rolled {
            left: 1,
            ..Rolled::default()
        };
        let then = rolling(&waits, Some(first), |_| true).expect("it goes on");
        assert!(restarting(&then).ends_with("do not go with it: 3 partitions"));
        let back = rolling(&waits, Some(then), |_| false).expect("it goes on");
        assert_eq!((back.together.len(), back.alone_since), (0, None));
    }

    #[test]
    fn new_brokers_are_told_of_when_nothing_more_telling_is_under_way() {
        let mut found = Found::default();
        found.filled.brokers = [4, 5].into();
        found.filled.left = Some(7);
        let (reason, message) = under_way(&pools(&[(3, 3)]), &found);
        assert_eq!(reason, "FillingBrokers");
        assert_eq!(
            message,
            "about 7 replicas have yet to move to new brokers 4, 5"
        );
        found.filled.waits_for = Some("the rolling restart".to_owned());
        let (_, message) = under_way(&pools(&[(3, 3)]), &found);
        assert!(message.ends_with("it waits for the rolling restart"));
        assert_eq!(under_way(&pools(&[(2, 3)]), &found).0, "PodsComing");
        let told = filling(&found.filled).map(|filling| (filling.brokers, filling.left));
        assert_eq!(told, Some((vec![4, 5], Some(7))));
        assert_eq!(filling(&Filled::default()), None);
    }
}
