//! Rolling restarts: one pod or one rack at a time, when the brokers say that it may go.
//!
//! Nothing is remembered between two looks. Which pods are old is seen on the pods; whether the last
//! one is back is asked of all brokers before the next one goes. So an operator that is restarted at
//! any step goes on with the next.

mod order;
mod pods;

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Preconditions};

use self::order::{Next, next};
use self::pods::{Seen, State, look};
use super::super::brokers::BeforeRestart;
use super::super::fetch::Observed;
use super::super::plan::Plan;
use super::super::validate::Wanted;
use super::{Roles, windows};
use crate::context::{Context, Word};
use crate::failure::Failure;

/// How far a rolling restart is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rolled {
    /// Pods that are old still.
    pub(crate) left: usize,
    /// The one that was restarted now, or will be next, and why.
    pub(crate) pod: Option<(String, &'static str)>,
    /// What it waits for.
    pub(crate) waits_for: Option<String>,
    /// Those that were restarted now.
    pub(crate) restarted: Vec<String>,
    /// Why the others of its rack do not go with it.
    pub(crate) alone_since: Option<String>,
}

impl Rolled {
    /// What people are told of a restart.
    pub(crate) fn word(&self) -> Option<Word> {
        let (_, reason) = self.pod.as_ref().filter(|_| !self.restarted.is_empty())?;
        let which = match self.restarted.as_slice() {
            [one] => format!("pod {one} was"),
            several => format!("pods {} were", several.join(", ")),
        };
        let left = self.left.saturating_sub(self.restarted.len());
        let mut note = format!("{which} restarted; {left} more are to follow");
        if let Some(why) = &self.alone_since {
            note += &format!(". The others of its rack did not go with it: {why}");
        }
        Some(Word {
            warning: false,
            reason,
            action: "Restart",
            note,
        })
    }
}

/// What no StatefulSet says of pods.
pub(crate) struct Told<'a> {
    pub(crate) roles: &'a Roles,
    /// Those whose processes do nothing.
    pub(crate) idle: &'a BTreeSet<i32>,
    /// Those that tell clients other addresses than they shall.
    pub(crate) moved: &'a BTreeSet<i32>,
}

/// Does the next step of a rolling restart, if there is one to do.
pub(crate) async fn roll(
    context: &Context,
    wanted: &Wanted,
    plan: &Plan,
    observed: &Observed,
    told: &Told<'_>,
) -> Result<Rolled, Failure> {
    let mut seen = look(wanted, plan, observed);
    for seen in &mut seen {
        note(seen, &told.roles.changed, "RoleChanged");
        note(seen, told.moved, "AddressChanged");
        note_stop(seen, plan, told.idle);
    }
    let roles = told.roles;
    let mut rolled = Rolled {
        left: seen.iter().filter(|seen| seen.old.is_some()).count(),
        ..Rolled::default()
    };
    let mut chosen = next(&seen, roles.active, wanted.at_once);
    if matches!(chosen, Next::Ask(..)) {
        rolled.waits_for = obstacle(context, wanted, &mut seen).await;
        // Who is not well is known now.
        chosen = next(&seen, roles.active, wanted.at_once);
    }
    let (first, others, asked) = match chosen {
        Next::Nothing => {
            rolled.waits_for = trouble(&seen);
            return Ok(rolled);
        }
        Next::Wait(why) => {
            rolled.waits_for = Some(why);
            return Ok(rolled);
        }
        Next::Mend(broken) => (broken, Vec::new(), false),
        Next::Ask(first, others) => (first, others, true),
    };
    let reason = first.old.unwrap_or("Changed");
    rolled.pod = Some((first.node.pod.clone(), reason));
    let mut going = vec![first];
    if asked {
        if rolled.waits_for.is_none() {
            let verdict = verdict(context, &going[0], &others).await;
            rolled.waits_for = verdict.waits_for;
            rolled.alone_since = verdict.alone_since;
        }
        if rolled.waits_for.is_some() {
            return Ok(rolled);
        }
        if rolled.alone_since.is_none() {
            going.extend(others);
        }
    }
    rolled.restarted = restart_all(context, wanted, &going).await?;
    Ok(rolled)
}

/// A pod that is as it shall be, and does not start.
fn trouble(seen: &[Seen]) -> Option<String> {
    seen.iter().find_map(|seen| match &seen.state {
        State::Broken(why) => Some(format!("pod {}: {why}", seen.node.pod)),
        State::Ready | State::Coming | State::Idle => None,
    })
}

/// What keeps any pod from going. Notes whose disks are not well.
async fn obstacle(context: &Context, wanted: &Wanted, seen: &mut [Seen]) -> Option<String> {
    if !windows::open(&wanted.windows, context.now()) {
        return Some("the next maintenance window".to_owned());
    }
    let is_asked = |seen: &&mut Seen| seen.node.broker && seen.state != State::Idle;
    for other in seen.iter_mut().filter(is_asked) {
        let ip = other.ip.as_deref().unwrap_or_default();
        match context.door.after_restart(ip).await {
            Ok(after) if after.in_sync => other.unwell = after.unwell,
            Ok(after) => {
                return Some(format!(
                    "broker {} to be in sync with {} partitions",
                    other.node.id, after.count
                ));
            }
            Err(why) => return Some(format!("an answer of broker {} ({why})", other.node.id)),
        }
    }
    None
}

/// What the brokers say of a rack.
#[derive(Debug, Default, PartialEq, Eq)]
struct Verdict {
    /// Why not even the first one may go now.
    waits_for: Option<String>,
    /// Why the others may not go with it.
    alone_since: Option<String>,
}

/// Asks the first one what would be at risk if it stopped together with the others; if they may not, if it stopped
/// alone.
async fn verdict(context: &Context, first: &Seen, others: &[Seen]) -> Verdict {
    let ip = first.ip.as_deref().unwrap_or_default();
    let ids: Vec<_> = others.iter().map(|other| other.node.id).collect();
    let mut verdict = Verdict::default();
    if !ids.is_empty() {
        let told = context.door.before_restart(ip, &ids).await;
        verdict.alone_since = objection(first, &ids, told);
        if verdict.alone_since.is_none() {
            return verdict;
        }
    }
    let told = context.door.before_restart(ip, &[]).await;
    verdict.waits_for = objection(first, &[], told);
    verdict
}

/// What is against a stop of the first one with those of these ids, by its own answer.
fn objection(first: &Seen, ids: &[i32], told: Result<BeforeRestart, String>) -> Option<String> {
    let id = first.node.id;
    match told {
        Ok(before) if before.is_about(ids) => before.waits_for(),
        Ok(_) => Some(format!(
            "broker {id} to be of a version that judges several at once"
        )),
        Err(why) => Some(format!("an answer of broker {id} ({why})")),
    }
}

/// Restarts all of these; says which were. One that cannot be restarted now is next at the next look.
async fn restart_all(
    context: &Context,
    wanted: &Wanted,
    going: &[Seen],
) -> Result<Vec<String>, Failure> {
    let mut restarted = Vec::new();
    for chosen in going {
        match restart(context, wanted, chosen).await {
            Ok(()) => {}
            Err(error) if restarted.is_empty() => return Err(error),
            Err(error) => {
                tracing::warn!(cluster = wanted.names.cluster, %error, "not restarted with the others");
                continue;
            }
        }
        let reason = chosen.old.unwrap_or("Changed");
        context.metrics.restarted(reason);
        tracing::info!(
            cluster = wanted.names.cluster,
            namespace = wanted.names.namespace,
            pod = chosen.node.pod,
            broker = chosen.node.id,
            reason,
            "restarted"
        );
        restarted.push(chosen.node.pod.clone());
    }
    Ok(restarted)
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

/// Roles and addresses change with a start, and no template says which pod has which. One that is not ready
/// may be starting with its new ones already.
fn note(seen: &mut Seen, changed: &BTreeSet<i32>, reason: &'static str) {
    if seen.old.is_none() && seen.state == State::Ready && changed.contains(&seen.node.id) {
        seen.old = Some(reason);
    }
}

/// A stop is a start with a file that says so, and the end of it is a start with one that does not. While it
/// lasts somebody may be at work in the pod: nothing else is a reason to restart it.
fn note_stop(seen: &mut Seen, plan: &Plan, idle: &BTreeSet<i32>) {
    let shall_stop = plan.stopped.contains_key(&seen.node.id);
    if idle.contains(&seen.node.id) && seen.state == State::Coming {
        seen.state = State::Idle;
        seen.old = (!shall_stop).then_some("StartAsked");
    } else if shall_stop && seen.state != State::Coming {
        seen.old = Some("StopAsked");
    }
}

#[cfg(test)]
mod tests;
