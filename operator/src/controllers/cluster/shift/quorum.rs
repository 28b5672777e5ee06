//! Who votes follows who shall vote, one change at a time.
//!
//! ```text
//! those who shall vote run as controllers ─► caught up ─► added, one by one
//!     ─► those who shall not: brokers that leave are empty ─► removed, one by one, the active one last
//!         ─► their files lose the role, or their pods go
//! ```
//!
//! Each step is decided from what the quorum says of itself at that moment, so an operator that is
//! killed in between goes on with the next one. An even number of voters survives no more losses
//! than the odd one below it, so it is passed and not rested at: nobody is added before all who
//! shall come can be, and nobody removed before all who shall go can be.

use std::collections::BTreeSet;

use freshet_client::{NewVoter, QuorumDescription, QuorumReplica};
use freshet_types::{NodeId, TopicId};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;

use super::super::door::Brokers;
use super::super::fetch::Observed;
use super::super::names::{CONTROLLER_PORT, NODE_ID};
use super::super::plan::{Node, Plan};
use super::super::validate::Wanted;

/// The name that files give to the listener of controllers.
const LISTENER: &str = "CONTROLLER";
/// Who was silent for longer is not there, in milliseconds.
const SILENCE_MS: i64 = 2_000;
/// Who lacks no more records than these has caught up: while much changes nobody has the very last.
const LAG: i64 = 100;

/// What to do next about the quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Next {
    /// Those vote that shall.
    Nothing,
    /// Something has to happen first.
    Wait(String),
    /// This one votes from now on.
    Add(NewVoter),
    /// This one votes no more; it goes on listening.
    Remove(NodeId, TopicId),
    /// This one listens no more: its pod is gone.
    Forget(NodeId),
}

/// How far the quorum is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seated {
    /// What was done now, as a word and a sentence.
    pub(crate) changed: Option<(&'static str, String)>,
    /// What it waits for.
    pub(crate) waits_for: Option<String>,
}

/// What a rolling restart has to know of the quorum.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Roles {
    /// The active controller.
    pub(crate) active: Option<i32>,
    /// Those that are controllers and shall not be, or the other way round: a role changes with a start.
    pub(crate) changed: BTreeSet<i32>,
}

/// The quorum as its active controller describes it. `None` if that one does not answer: what others
/// remember may be old, and nothing is decided by it.
pub(crate) async fn describe(client: &dyn Brokers) -> Option<QuorumDescription> {
    let quorum = client.describe_quorum().await.ok()?;
    now(&quorum).is_some().then_some(quorum)
}

/// Who votes.
pub(crate) fn voters(quorum: &QuorumDescription) -> BTreeSet<i32> {
    quorum.voters.iter().map(|voter| voter.node.0).collect()
}

/// Does the next step, if there is one to do. `empty` are leaving brokers that keep nothing any more.
pub(crate) async fn seat(
    client: &dyn Brokers,
    wanted: &Wanted,
    plan: &Plan,
    quorum: &QuorumDescription,
    (observed, empty): (&Observed, &BTreeSet<i32>),
) -> Seated {
    let next = next(quorum, plan, empty, &gone(plan, observed));
    let seated = carry_out(client, next).await;
    if let Some((reason, sentence)) = &seated.changed {
        tracing::info!(
            cluster = wanted.names.cluster,
            namespace = wanted.names.namespace,
            reason,
            "{sentence}"
        );
    }
    seated
}

/// What brokers refuse is asked again at the next look: another change may be under way.
async fn carry_out(client: &dyn Brokers, next: Next) -> Seated {
    let (done, changed) = match next {
        Next::Nothing => return Seated::default(),
        Next::Wait(why) => {
            return Seated {
                waits_for: Some(why),
                ..Seated::default()
            };
        }
        Next::Add(voter) => {
            let sentence = format!("controller {} votes from now on", voter.node);
            (client.add_voter(&voter).await, ("VoterAdded", sentence))
        }
        Next::Remove(node, directory) => {
            let sentence = format!("controller {node} votes no more");
            let removed = client.remove_voter(node, directory).await;
            (removed, ("VoterRemoved", sentence))
        }
        // Until it was silent for a while the quorum refuses. Nothing else waits for that.
        Next::Forget(node) => {
            let forgotten = client.unregister(node).await;
            let sentence = format!("controller {node} is gone, and forgotten");
            return Seated {
                changed: forgotten
                    .is_ok()
                    .then_some(("ControllerForgotten", sentence)),
                waits_for: None,
            };
        }
    };
    match done {
        Ok(()) => Seated {
            changed: Some(changed),
            waits_for: None,
        },
        Err(error) => Seated {
            changed: None,
            waits_for: Some(format!("brokers to change the quorum: {error}")),
        },
    }
}

/// Whether those that have all are a majority of the voters without this one, be it a voter or not.
pub(super) fn is_majority_without(quorum: &QuorumDescription, id: i32) -> bool {
    let Some(now) = now(quorum) else {
        return false;
    };
    let table = Table { quorum, now };
    let others = quorum.voters.iter().filter(|voter| voter.node.0 != id);
    let here = others.filter(|voter| table.has_all(voter)).count();
    here * 2 > quorum.voters.len()
}

/// What a rolling restart has to know. Those that leave keep the role they have.
pub(crate) fn roles(quorum: Option<&QuorumDescription>, plan: &Plan) -> Roles {
    let Some(quorum) = quorum else {
        return Roles::default();
    };
    let leaving: BTreeSet<i32> = plan.leaving().map(|node| node.id).collect();
    let differs = |node: &&Node| {
        let replica = replicas(quorum).find(|replica| replica.node.0 == node.id);
        // Who does not say where it is does not say what it is.
        let told = replica.filter(|replica| !replica.addresses.is_empty());
        told.is_some_and(|replica| controls(replica) != node.controller)
    };
    let staying = plan.nodes().filter(|node| !leaving.contains(&node.id));
    Roles {
        active: quorum.leader.map(|leader| leader.0),
        changed: staying.filter(differs).map(|node| node.id).collect(),
    }
}

/// Numbers on volumes of this cluster whose pods are gone. Others that take part are not ours.
fn gone(plan: &Plan, observed: &Observed) -> BTreeSet<i32> {
    let is_there = |claim: &PersistentVolumeClaim| {
        let name = claim.name_any();
        let pod = name.strip_prefix("data-").unwrap_or(&name);
        observed.pod(pod).is_some()
    };
    let id = |claim: &PersistentVolumeClaim| claim.annotations().get(NODE_ID)?.parse().ok();
    let mut claims: BTreeSet<i32> = observed
        .claims
        .iter()
        .filter(|claim| !is_there(claim))
        .filter_map(id)
        .collect();
    for node in plan
        .pools
        .iter()
        .flat_map(|p| p.nodes.iter().chain(&p.leaving))
    {
        claims.remove(&node.id);
    }
    claims
}

/// The rule.
fn next(
    quorum: &QuorumDescription,
    plan: &Plan,
    empty: &BTreeSet<i32>,
    gone: &BTreeSet<i32>,
) -> Next {
    let Some(now) = now(quorum) else {
        return Next::Wait("an active controller".to_owned());
    };
    let shall = |replica: &&QuorumReplica| plan.shall_vote.contains(&replica.node.0);
    let table = Table { quorum, now };
    let voting = voters(quorum);
    let joining: Vec<i32> = plan.shall_vote.difference(&voting).copied().collect();
    let ours = |replica: &&QuorumReplica| {
        gone.contains(&replica.node.0) || node(plan, replica.node.0).is_some()
    };
    let parting: Vec<_> = quorum
        .voters
        .iter()
        .filter(|v| !shall(v) && ours(v))
        .collect();
    if joining.is_empty() && parting.is_empty() {
        // Brokers among those that are gone are forgotten when they are empty: see `drain`.
        let mut observers = quorum.observers.iter();
        let left = observers.find(|o| controls(o) && gone.contains(&o.node.0) && !table.has_all(o));
        return left.map_or(Next::Nothing, |left| Next::Forget(left.node));
    }
    let behind = quorum
        .voters
        .iter()
        .filter(shall)
        .find(|v| !table.has_all(v));
    if let Some(behind) = behind {
        return Next::Wait(format!("controller {} to catch up", behind.node));
    }
    if joining.is_empty() {
        return remove(&table, plan, &parting, (empty, gone));
    }
    let joining: Result<Vec<_>, String> =
        joining.iter().map(|id| table.newcomer(plan, *id)).collect();
    match joining {
        Err(why) => Next::Wait(why),
        Ok(all) if table.is_majority(|_| true) => {
            all.into_iter().next().map_or(Next::Nothing, Next::Add)
        }
        Ok(_) => Next::Wait("a majority of the controllers to be up".to_owned()),
    }
}

/// Those that are gone first, then those that lag: they only weigh on the majority. The active
/// controller last, so that another is elected but once.
fn remove(
    table: &Table<'_>,
    plan: &Plan,
    parting: &[&QuorumReplica],
    (empty, gone): (&BTreeSet<i32>, &BTreeSet<i32>),
) -> Next {
    let order = |voter: &&&QuorumReplica| {
        (
            Some(voter.node) == table.quorum.leader,
            !gone.contains(&voter.node.0),
            table.has_all(voter),
            voter.node,
        )
    };
    let Some(first) = parting.iter().min_by_key(order) else {
        return Next::Nothing;
    };
    let leaves = |id: i32| plan.leaving().any(|node| node.id == id);
    let filled = parting
        .iter()
        .find(|voter| leaves(voter.node.0) && !empty.contains(&voter.node.0));
    // While a broker cannot be emptied its pod stays, and its vote is worth having.
    if let Some(filled) = filled.filter(|_| !gone.contains(&first.node.0)) {
        return Next::Wait(format!("broker {} to be empty", filled.node));
    }
    if !table.is_majority(|voter| voter.node != first.node) {
        return Next::Wait("a majority of the other controllers to be up".to_owned());
    }
    Next::Remove(first.node, first.directory)
}

/// The quorum at a moment of its active controller's clock.
struct Table<'a> {
    quorum: &'a QuorumDescription,
    now: i64,
}

impl Table<'_> {
    /// Whether one was heard a moment ago, and lacks next to nothing.
    fn has_all(&self, replica: &QuorumReplica) -> bool {
        let heard = replica
            .last_fetch
            .is_some_and(|then| self.now - then.0 <= SILENCE_MS);
        let end = replica.log_end.unwrap_or_default();
        heard && self.quorum.high_watermark - end <= LAG
    }

    /// Whether those of these voters that have all are a majority of them.
    fn is_majority(&self, of: impl Fn(&QuorumReplica) -> bool) -> bool {
        let (here, away): (Vec<_>, Vec<_>) = self
            .quorum
            .voters
            .iter()
            .filter(|voter| of(voter))
            .partition(|voter| self.has_all(voter));
        here.len() > away.len()
    }

    /// A node as the voter that it shall be, or what it lacks.
    fn newcomer(&self, plan: &Plan, id: i32) -> Result<NewVoter, String> {
        let pod = node(plan, id).map_or("", |node| node.pod.as_str());
        let mut observers = self.quorum.observers.iter();
        let found = observers.find(|o| o.node.0 == id && controls(o));
        let observer = found
            .ok_or_else(|| format!("pod {pod} (id {id}) to follow the quorum as a controller"))?;
        if !self.has_all(observer) {
            return Err(format!("pod {pod} (id {id}) to catch up with the quorum"));
        }
        let mut addresses = observer.addresses.iter();
        let place = addresses.find_map(|address| controller_place(address));
        let (host, port) = place.unwrap_or_default();
        Ok(NewVoter {
            node: observer.node,
            directory: observer.directory,
            listener: LISTENER.to_owned(),
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
        })
    }
}

/// The moment of a description, by the clock of the active controller: its own word is always fresh.
/// Only that one knows, so an answer from elsewhere has none.
fn now(quorum: &QuorumDescription) -> Option<i64> {
    let leads = |voter: &&QuorumReplica| Some(voter.node) == quorum.leader;
    let leader = quorum.voters.iter().find(leads)?;
    leader.last_fetch.map(|time| time.0)
}

fn replicas(quorum: &QuorumDescription) -> impl Iterator<Item = &QuorumReplica> {
    quorum.voters.iter().chain(&quorum.observers)
}

fn node(plan: &Plan, id: i32) -> Option<&Node> {
    let mut all = plan
        .pools
        .iter()
        .flat_map(|p| p.nodes.iter().chain(&p.leaving));
    all.find(|node| node.id == id)
}

/// Whether it runs as a controller: those are reached at a port of their own.
fn controls(replica: &QuorumReplica) -> bool {
    let mut addresses = replica.addresses.iter();
    addresses.any(|address| controller_place(address).is_some())
}

fn controller_place(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    (i32::from(port) == CONTROLLER_PORT).then_some((host, port))
}

#[cfg(test)]
#[path = "quorum/tests.rs"]
pub(super) mod tests;

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "processes of real brokers need files"
)]
#[path = "quorum/real.rs"]
pub(super) mod real;
