//! New brokers get their share of partitions, if the spec asks for it.
//!
//! A broker's volume says that it is to be filled: `asked` from the look at which it gets its number, `begun` from
//! the first move on, nothing any more when it is full. No moves begin while something else is under way that
//! moves partitions, or while a broker is away.

use std::collections::{BTreeMap, BTreeSet};

use freshet_client::{Fill, Held, Move, Reassignment, Survey};
use freshet_types::NodeId;
use kube::ResourceExt;
use serde_json::json;

use super::super::door::Brokers;
use super::super::fetch::Observed;
use super::super::names::{FILLING, NODE_ID};
use super::super::plan::{Node, Plan};
use super::super::status::is_ready;
use super::super::validate::Wanted;
use super::drain::{reassign, write_marks};
use super::roll::Rolled;
use crate::context::{Context, Word};
use crate::failure::Failure;

/// Partitions that move to new brokers at a time.
const AT_ONCE: usize = 50;
/// On a volume: its broker is to be filled. Any word but the other one means the same.
pub(super) const ASKED: &str = "asked";
/// On a volume: moves to its broker have begun.
const BEGUN: &str = "begun";

/// What this step looks at.
pub(crate) struct Scene<'a> {
    pub(crate) wanted: &'a Wanted,
    pub(crate) plan: &'a Plan,
    pub(crate) observed: &'a Observed,
    pub(crate) client: Option<&'a dyn Brokers>,
    /// How far restarts are; `None` if nobody has looked yet.
    pub(crate) rolled: Option<&'a Rolled>,
}

/// How far new brokers are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filled {
    /// Those that have not their share yet.
    pub(crate) brokers: BTreeSet<i32>,
    /// Replicas that have yet to come; `None` while that is not known.
    pub(crate) left: Option<usize>,
    /// What it waits for.
    pub(crate) waits_for: Option<String>,
    /// Those to which moves begin now.
    begun: BTreeSet<i32>,
    /// Those that are full now.
    ended: BTreeMap<i32, End>,
}

/// Why nothing more moves to a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    HasItsShare,
    HasNoRoom,
    /// The spec wants it no more, or the broker leaves.
    CalledOff,
}

impl Filled {
    /// What people are told.
    pub(crate) fn words(&self) -> Vec<Word> {
        let word = |warning, reason, note| Word {
            warning,
            reason,
            action: "Move",
            note,
        };
        let mut words = Vec::new();
        if !self.begun.is_empty() {
            let left = self.left.unwrap_or_default();
            let note = format!("about {left} replicas move to new {}", named(&self.begun));
            words.push(word(false, "FillingBrokers", note));
        }
        for end in [End::HasItsShare, End::HasNoRoom, End::CalledOff] {
            let ended = self.ended.iter().filter(|(_, how)| **how == end);
            let ended: BTreeSet<_> = ended.map(|(id, _)| *id).collect();
            if ended.is_empty() {
                continue;
            }
            let (warning, reason, note) = match end {
                End::HasItsShare => (false, "BrokersFilled", "they have their share"),
                End::HasNoRoom => (
                    true,
                    "BrokersFilled",
                    "their disks have no room for all of their share",
                ),
                End::CalledOff => (false, "FillingCalledOff", "no more moves begin"),
            };
            words.push(word(warning, reason, format!("{}: {note}", named(&ended))));
        }
        words
    }
}

/// `brokers 4, 5`.
pub(crate) fn named(brokers: &BTreeSet<i32>) -> String {
    let ids: Vec<_> = brokers.iter().map(ToString::to_string).collect();
    let word = if ids.len() == 1 { "broker" } else { "brokers" };
    format!("{word} {}", ids.join(", "))
}

/// What is to be done next.
#[derive(Debug, Default)]
struct Next {
    moves: Vec<Reassignment>,
    filled: Filled,
}

/// Does the next step of filling new brokers.
pub(crate) async fn fill(context: &Context, scene: &Scene<'_>) -> Result<Filled, Failure> {
    let marks = Marks::read(scene);
    let mut next = Next::default();
    if !marks.new.is_empty() {
        next.filled.brokers = marks.new.keys().copied().collect();
        next.filled.waits_for = busy(scene);
        if let (None, Some(client)) = (&next.filled.waits_for, scene.client) {
            let survey = client
                .survey()
                .await
                .map_err(Failure::brokers("the cluster cannot be looked at"))?;
            next = self::next(&survey, &marks.new);
        }
    }
    for (claim, id, begun) in marks.stale {
        write_marks(context, scene.wanted, &claim, &json!({ FILLING: null })).await?;
        if begun {
            next.filled.ended.insert(id, End::CalledOff);
        }
    }
    let claim = |id: &i32| scene.claim_of(*id);
    for claim in next.filled.begun.iter().filter_map(claim) {
        write_marks(context, scene.wanted, &claim, &json!({ FILLING: BEGUN })).await?;
    }
    for claim in next.filled.ended.keys().filter_map(claim) {
        write_marks(context, scene.wanted, &claim, &json!({ FILLING: null })).await?;
    }
    // Nobody has to hear of one that had its share from the first.
    let had_begun = |id: &i32, _: &mut End| marks.new.get(id).copied().unwrap_or(true);
    next.filled.ended.retain(had_begun);
    if let Some(client) = scene.client.filter(|_| !next.moves.is_empty()) {
        let what = "partitions cannot be moved to new brokers";
        reassign(client, scene.wanted, &next.moves, what).await?;
    }
    Ok(next.filled)
}

/// What volumes say of brokers that are to be filled.
#[derive(Debug, Default, PartialEq, Eq)]
struct Marks {
    /// By id, whether moves have begun.
    new: BTreeMap<i32, bool>,
    /// Volumes whose marks count no more, with their brokers, and whether moves had begun.
    stale: Vec<(String, i32, bool)>,
}

impl Marks {
    fn read(scene: &Scene<'_>) -> Self {
        let mut marks = Self::default();
        for claim in &scene.observed.claims {
            let Some(word) = claim.annotations().get(FILLING) else {
                continue;
            };
            let (name, begun) = (claim.name_any(), word == BEGUN);
            let node = scene.stays().find(|node| scene.claim(node) == name);
            match node {
                Some(node) if scene.wanted.fill_new_brokers => _ = marks.new.insert(node.id, begun),
                _ => {
                    let id = claim.annotations().get(NODE_ID);
                    let id = id.and_then(|id| id.parse().ok()).unwrap_or_default();
                    marks.stale.push((name, id, begun));
                }
            }
        }
        marks
    }
}

impl Scene<'_> {
    /// Brokers that are to stay.
    fn stays(&self) -> impl Iterator<Item = &Node> {
        let leaves = |node: &Node| self.plan.leaving().any(|other| other.id == node.id);
        self.plan
            .nodes()
            .filter(move |node| node.broker && !leaves(node))
    }

    fn claim(&self, node: &Node) -> String {
        self.wanted.names.claim(&node.pod)
    }

    fn claim_of(&self, id: i32) -> Option<String> {
        let node = self.stays().find(|node| node.id == id)?;
        Some(self.claim(node))
    }
}

/// What else is under way.
fn busy(scene: &Scene<'_>) -> Option<String> {
    if scene.plan.leaving().next().is_some() {
        return Some("brokers that leave".to_owned());
    }
    let Some(rolled) = scene.rolled else {
        return Some("what was changed just now".to_owned());
    };
    if rolled.left > 0 {
        return Some("the rolling restart".to_owned());
    }
    let is_away = |node: &&Node| !scene.observed.pod(&node.pod).is_some_and(is_ready);
    if let Some(away) = scene.plan.nodes().find(is_away) {
        if scene.plan.stopped.contains_key(&away.id) {
            return Some(format!("broker {}, which is stopped on purpose", away.id));
        }
        return Some(format!("pod {} to be ready", away.pod));
    }
    scene
        .client
        .is_none()
        .then(|| "brokers that answer".to_owned())
}

/// The moves of `new` brokers; of each it is known whether moves had begun.
fn next(survey: &Survey, new: &BTreeMap<i32, bool>) -> Next {
    let mut next = Next::default();
    next.filled.brokers = new.keys().copied().collect();
    next.filled.waits_for = away(survey, new);
    if next.filled.waits_for.is_some() {
        return next;
    }
    let ids: BTreeSet<_> = new.keys().copied().map(NodeId).collect();
    let is_coming = |held: &&Held| held.adding.iter().any(|id| ids.contains(id));
    let coming = survey.partitions.iter().filter(is_coming).count();
    let plan = Fill::of_brokers(survey, &ids, AT_ONCE.saturating_sub(coming));
    next.filled.left = Some(plan.lacking + coming);
    for id in &plan.full {
        let end = if plan.roomless.contains(id) {
            End::HasNoRoom
        } else {
            End::HasItsShare
        };
        next.filled.brokers.remove(&id.0);
        next.filled.ended.insert(id.0, end);
    }
    let gets = |id: &&i32| plan.moves.iter().any(|m| m.then.contains(&NodeId(**id)));
    let waiting = new.iter().filter(|(_, begun)| !**begun).map(|(id, _)| id);
    next.filled.begun = waiting.filter(gets).copied().collect();
    if plan.moves.is_empty() && coming == 0 && !next.filled.brokers.is_empty() {
        let left = named(&next.filled.brokers);
        next.filled.waits_for = Some(format!("{left} to be uncordoned"));
    }
    next.moves = plan.moves.iter().map(Move::reassignment).collect();
    next
}

/// A broker that is away: what it keeps has too few copies to move around.
fn away(survey: &Survey, new: &BTreeMap<i32, bool>) -> Option<String> {
    let unknown = |id: &&i32| !survey.brokers.contains_key(&NodeId(**id));
    if let Some(id) = new.keys().find(unknown) {
        return Some(format!("broker {id} to register"));
    }
    let mut seen = survey.brokers.values();
    let bad = seen.find(|seen| !matches!(seen.status(), "ok" | "cordoned"))?;
    Some(format!("broker {} ({})", bad.node.id, bad.status()))
}

#[cfg(test)]
mod tests;
