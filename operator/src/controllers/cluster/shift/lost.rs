//! Volumes on nodes that are gone for good: replaced, if other brokers have all that was on them.
//!
//! ```text
//! a pod that no node takes ─► its volume is bound to nodes, and none of them is there: noted on the claim
//!     ─► so for long enough ─► all of it is elsewhere, nobody else is away ─► claim deleted ─► pod deleted
//! ```
//!
//! A node that does not answer may come back with its disks, and so may one that is down: only one whose
//! Node object is gone counts. The StatefulSet makes claim and pod anew, and the broker's number is in its
//! file, so it comes back as the one it was and copies from the others. An operator that is killed after the
//! claim was deleted finds a pod without a volume, and deletes it.

mod nodes;

use std::collections::BTreeMap;

use freshet_api::LostVolume;
use freshet_client::{Held, QuorumDescription, Survey};
use freshet_types::NodeId;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Preconditions};
use serde_json::json;

use self::nodes::Where;
use super::super::names::{NODE_LOST, STOPPED};
use super::super::plan::{Node, PlannedPool};
use super::super::status::is_ready;
use super::drain::write_marks;
use super::fill::Scene;
use super::quorum::is_majority_without;
use crate::context::{Context, Word};
use crate::failure::Failure;

/// What has become of volumes whose nodes are gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    /// What was replaced now.
    pub(crate) replaced: Option<String>,
    /// By pod, why its volume stays, or until when.
    pub(crate) stays: BTreeMap<String, String>,
}

impl Lost {
    /// What people are told. Whoever has been told in the condition `before` is not told again.
    pub(crate) fn words(&self, before: &str) -> Vec<Word> {
        let word = |reason, note: &String| Word {
            warning: true,
            reason,
            action: "Replace",
            note: note.clone(),
        };
        let new = self.stays.values().filter(|why| !before.contains(*why));
        let stays = new.map(|why| word("NodeLost", why));
        let replaced = self.replaced.iter();
        replaced
            .map(|note| word("VolumeReplaced", note))
            .chain(stays)
            .collect()
    }
}

/// Looks after pods whose volumes are on nodes that are gone; replaces one volume at most.
pub(crate) async fn lost(
    context: &Context,
    scene: &Scene<'_>,
    quorum: Option<&QuorumDescription>,
) -> Result<Lost, Failure> {
    let mut lost = Lost::default();
    for pool in &scene.plan.pools {
        // One that leaves needs no other volume.
        let stays = |node: &&Node| node.ordinal < pool.replicas && !pool.leaving.contains(node);
        for node in pool.nodes.iter().filter(stays) {
            let stuck = Stuck {
                context,
                scene,
                quorum,
                pool,
                node,
            };
            stuck.look(&mut lost).await?;
            if lost.replaced.is_some() {
                return Ok(lost);
            }
        }
    }
    Ok(lost)
}

/// What to do about one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Next {
    /// The time at which its nodes were first seen to be gone is noted.
    Note,
    Wait(Timestamp),
    /// It is not for the operator to replace it.
    Stay(String),
    Replace,
}

/// One pod, and all that is known around it.
struct Stuck<'a> {
    context: &'a Context,
    scene: &'a Scene<'a>,
    quorum: Option<&'a QuorumDescription>,
    pool: &'a PlannedPool,
    node: &'a Node,
}

impl Stuck<'_> {
    async fn look(&self, lost: &mut Lost) -> Result<(), Failure> {
        let (wanted, observed) = (self.scene.wanted, self.scene.observed);
        let name = wanted.names.claim(&self.node.pod);
        let claim = observed
            .claims
            .iter()
            .find(|claim| claim.name_any() == name);
        let stuck = observed
            .pod(&self.node.pod)
            .filter(|pod| is_stuck(pod, self.context.now()));
        let Some(pod) = stuck else {
            return self.forgive(claim).await;
        };
        let Some(claim) = claim.filter(|claim| !is_going(*claim)) else {
            return self.finish(pod, lost).await;
        };
        let bound_to = claim
            .spec
            .as_ref()
            .and_then(|spec| spec.volume_name.as_deref());
        let Some(volume) = bound_to else {
            return Ok(());
        };
        let gone = match nodes::of_volume(&self.context.client, volume).await? {
            Where::Elsewhere => return self.forgive(Some(claim)).await,
            Where::Hidden => {
                let why = format!(
                    "no node takes pod {}, and the operator may not look whether the nodes of its volume are \
                     gone (it needs get on persistentvolumes, and get and list on nodes). {}",
                    self.node.pod,
                    by_hand(self.node, &name)
                );
                lost.stays.insert(self.node.pod.clone(), why);
                return Ok(());
            }
            Where::Gone(nodes) => nodes,
        };
        let after = self
            .pool
            .wanted
            .as_ref()
            .map(|pool| pool.storage.lost_node.clone().unwrap_or_default());
        let after = after.unwrap_or_default();
        let keeps = after.volume == LostVolume::Keep;
        let limit = SignedDuration::from_mins(i64::from(after.after_minutes));
        let mut next = next(since(claim), self.context.now(), limit, keeps);
        if next == Next::Replace
            && let Some(why) = self.objection().await?
        {
            next = Next::Stay(why);
        }
        self.carry_out(&next, (pod, claim, &gone), lost).await
    }

    async fn carry_out(
        &self,
        next: &Next,
        (pod, claim, gone): (&Pod, &PersistentVolumeClaim, &str),
        lost: &mut Lost,
    ) -> Result<(), Failure> {
        let (wanted, name) = (self.scene.wanted, claim.name_any());
        let told = format!(
            "node {gone} is gone, and with it the volume of pod {}",
            self.node.pod
        );
        let why = match next {
            Next::Note => {
                let now = self.context.now().to_string();
                write_marks(self.context, wanted, &name, &json!({ NODE_LOST: now })).await?;
                return Ok(());
            }
            Next::Wait(until) => {
                format!("{told}: it is replaced at {until} if the others have all that was on it")
            }
            Next::Stay(why) => format!(
                "{told}. It is not replaced: {why}. {}",
                by_hand(self.node, &name)
            ),
            Next::Replace => {
                delete_claim(self.context, wanted.names.namespace.as_str(), claim).await?;
                self.delete(pod).await?;
                tracing::warn!(
                    cluster = wanted.names.cluster,
                    namespace = wanted.names.namespace,
                    pod = self.node.pod,
                    broker = self.node.id,
                    node = gone,
                    "its volume is replaced: its node is gone"
                );
                lost.replaced = Some(format!(
                    "{told}: it gets an empty one, and copies from the others"
                ));
                return Ok(());
            }
        };
        lost.stays.insert(self.node.pod.clone(), why);
        Ok(())
    }

    /// Its node is back, or was not what kept it.
    async fn forgive(&self, claim: Option<&PersistentVolumeClaim>) -> Result<(), Failure> {
        match claim.filter(|claim| claim.annotations().contains_key(NODE_LOST)) {
            Some(claim) => {
                let none = json!({ NODE_LOST: null });
                write_marks(self.context, self.scene.wanted, &claim.name_any(), &none).await
            }
            None => Ok(()),
        }
    }

    /// Its claim is on its way or gone: what was decided then holds. Lists may be old, so it is asked for.
    async fn finish(&self, pod: &Pod, lost: &mut Lost) -> Result<(), Failure> {
        let names = &self.scene.wanted.names;
        let name = names.claim(&self.node.pod);
        let api: Api<PersistentVolumeClaim> =
            Api::namespaced(self.context.client.clone(), &names.namespace);
        let what = format!("volume {name} cannot be looked at");
        let now = api
            .get_metadata_opt(&name)
            .await
            .map_err(Failure::kubernetes(what))?;
        if is_unscheduled(pod) && now.is_none_or(|claim| is_going(&claim)) {
            self.delete(pod).await?;
            lost.replaced = Some(format!(
                "pod {} is made anew: its volume is gone",
                self.node.pod
            ));
        }
        Ok(())
    }

    /// The very pod that was looked at, as it was then: it may have found a node since. At once, as no kubelet is
    /// there to end it.
    async fn delete(&self, pod: &Pod) -> Result<(), Failure> {
        let names = &self.scene.wanted.names;
        let pods: Api<Pod> = Api::namespaced(self.context.client.clone(), &names.namespace);
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions {
                uid: pod.uid(),
                resource_version: pod.resource_version(),
            }),
            ..DeleteParams::default()
        };
        match pods.delete(&self.node.pod, &params).await {
            Ok(_) => Ok(()),
            // One that has changed is looked at again: it may come by itself, now that its claim is gone.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(error) => Err(Failure::kubernetes(format!(
                "pod {} cannot be deleted",
                self.node.pod
            ))(error)),
        }
    }

    /// What is against it.
    async fn objection(&self) -> Result<Option<String>, Failure> {
        let scene = self.scene;
        if scene.plan.stopped.contains_key(&self.node.id) {
            return Ok(Some(format!(
                "its broker is stopped on purpose (annotation {STOPPED})"
            )));
        }
        let is_away = |node: &&Node| {
            *node != self.node && !scene.observed.pod(&node.pod).is_some_and(is_ready)
        };
        if let Some(other) = scene.plan.nodes().find(is_away) {
            return Ok(Some(format!("pod {} is away, too", other.pod)));
        }
        let number = format!("node.id={}", self.node.id);
        let file = scene.observed.file(&self.node.pod).unwrap_or_default();
        if !file.lines().any(|line| line == number) {
            return Ok(Some("its broker's number is in no file yet".to_owned()));
        }
        let Some(client) = scene.client else {
            return Ok(Some("no broker can be asked".to_owned()));
        };
        if !self
            .quorum
            .is_some_and(|quorum| is_majority_without(quorum, self.node.id))
        {
            return Ok(Some(
                "the other controllers are no majority that is up to date".to_owned(),
            ));
        }
        let survey = client.survey().await;
        let survey = survey.map_err(Failure::brokers("the cluster cannot be looked at"))?;
        Ok(risk(&survey, self.node))
    }
}

/// The rule about time.
fn next(since: Option<Timestamp>, now: Timestamp, limit: SignedDuration, keeps: bool) -> Next {
    if keeps {
        return Next::Stay("storage.lostNode.volume says Keep".to_owned());
    }
    let Some(since) = since else {
        return Next::Note;
    };
    match since.checked_add(limit) {
        Ok(until) if until <= now => Next::Replace,
        Ok(until) => Next::Wait(until),
        Err(_) => Next::Note,
    }
}

/// What would be lost with a broker's volume, or might be; `None` if brokers that serve have all of it.
fn risk(survey: &Survey, node: &Node) -> Option<String> {
    let id = NodeId(node.id);
    let mut others = survey.brokers.iter().filter(|(other, _)| **other != id);
    let is_well = |status: &str| matches!(status, "ok" | "cordoned");
    if let Some((other, seen)) = others.find(|(_, seen)| !is_well(seen.status())) {
        return Some(format!("broker {other} is away, too ({})", seen.status()));
    }
    if survey
        .brokers
        .get(&id)
        .is_some_and(|seen| !seen.node.fenced)
    {
        return Some(format!("the controller still counts on broker {id}"));
    }
    let is_elsewhere = |held: &Held| {
        let leads = held.leader.is_some_and(|leader| leader != id);
        leads && !held.isr.is_empty() && !held.isr.contains(&id)
    };
    let risky: Vec<_> = survey
        .kept_by(id)
        .filter(|held| !is_elsewhere(held))
        .collect();
    let (first, ..) = risky.split_first()?;
    let (topic, partition) = &first.partition;
    Some(format!(
        "of {} partitions nobody else has all records, such as {topic}-{partition}; they would be lost",
        risky.len()
    ))
}

fn by_hand(node: &Node, claim: &str) -> String {
    let pod = &node.pod;
    format!(
        "If the node never comes back, and what was on it may be lost: kubectl delete pvc {claim} --wait=false; \
         kubectl delete pod {pod} --force"
    )
}

/// Whether a pod cannot come by itself: no node takes it, or its node says nothing of it any more.
fn is_stuck(pod: &Pod, now: Timestamp) -> bool {
    if is_ready(pod) {
        return false;
    }
    let ended = pod.metadata.deletion_timestamp.as_ref();
    let is_late = ended.is_some_and(|time| time.0 < now);
    let is_unknown = pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Unknown");
    is_unscheduled(pod) || is_late || is_unknown
}

fn is_unscheduled(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_deref());
    let mut conditions = conditions.unwrap_or_default().iter();
    conditions.any(|c| c.type_ == "PodScheduled" && c.status == "False")
}

fn is_going<K: ResourceExt>(object: &K) -> bool {
    object.meta().deletion_timestamp.is_some()
}

/// Since when its nodes are gone, as it was noted.
fn since(claim: &PersistentVolumeClaim) -> Option<Timestamp> {
    claim.annotations().get(NODE_LOST)?.parse().ok()
}

/// The very claim that was judged, and as it was then: whoever has touched it since may have had a reason.
async fn delete_claim(
    context: &Context,
    namespace: &str,
    claim: &PersistentVolumeClaim,
) -> Result<(), Failure> {
    let name = claim.name_any();
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), namespace);
    let params = DeleteParams::default().preconditions(Preconditions {
        uid: claim.uid(),
        resource_version: claim.resource_version(),
    });
    let what = format!("volume {name} cannot be deleted");
    claims
        .delete(&name, &params)
        .await
        .map_err(Failure::kubernetes(what))?;
    context.metrics.wrote("PersistentVolumeClaim");
    Ok(())
}

#[cfg(test)]
mod tests;
