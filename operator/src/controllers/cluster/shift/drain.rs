//! Brokers that leave: they get nothing more, are emptied, and are forgotten when they are gone.

use std::collections::BTreeSet;

use freshet_client::{Drain, Held, Move, Reassignment, Survey};
use freshet_types::NodeId;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use super::super::door::Brokers;
use super::super::fetch::Observed;
use super::super::names::{DRAINING, FILLING, NODE_ID};
use super::super::plan::{Node, Plan};
use super::super::validate::Wanted;
use super::fill::ASKED;
use crate::context::Context;
use crate::failure::Failure;

/// Partitions of one broker that move at a time.
const AT_ONCE: usize = 50;

/// How far brokers that leave are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Drained {
    /// Those that keep nothing any more.
    pub(crate) empty: BTreeSet<i32>,
    /// Partitions that the others keep still.
    pub(crate) left: usize,
    /// Why one cannot be emptied.
    pub(crate) stuck: Option<String>,
}

/// What to do next about brokers that leave.
#[derive(Debug, Default)]
struct Next {
    /// Volumes that are to say that their broker is being emptied.
    mark: Vec<Node>,
    /// Brokers that are to get nothing more.
    cordon: Vec<NodeId>,
    moves: Vec<Reassignment>,
    drained: Drained,
}

/// Does the next step of emptying brokers.
pub(crate) async fn drain(
    context: &Context,
    client: &dyn Brokers,
    wanted: &Wanted,
    leaving: &[Node],
    observed: &Observed,
) -> Result<Drained, Failure> {
    let survey = client
        .survey()
        .await
        .map_err(Failure::brokers("the cluster cannot be looked at"))?;
    let marked = |node: &&Node| is_marked(wanted, node, observed);
    let marked = leaving.iter().filter(marked).map(|node| node.id).collect();
    let next = next(&survey, leaving, &marked);
    for node in &next.mark {
        mark(context, wanted, node, observed).await?;
    }
    for id in &next.cordon {
        let what = format!("broker {id} cannot be cordoned");
        client
            .cordon(*id, true)
            .await
            .map_err(Failure::brokers(what))?;
    }
    if !next.moves.is_empty() {
        let what = "the partitions of brokers that leave cannot be moved";
        reassign(client, wanted, &next.moves, what).await?;
    }
    Ok(next.drained)
}

/// Has partitions moved; `what` is said if brokers take none of it. A move that is refused is asked for again at
/// the next look.
pub(super) async fn reassign(
    client: &dyn Brokers,
    wanted: &Wanted,
    moves: &[Reassignment],
    what: &'static str,
) -> Result<(), Failure> {
    let outcomes = client.reassign(moves).await;
    for (partition, outcome) in outcomes.map_err(Failure::brokers(what))? {
        if let Err(error) = outcome {
            tracing::warn!(cluster = wanted.names.cluster, ?partition, %error, "does not move yet");
        }
    }
    Ok(())
}

/// Marked, cordoned, emptied: one after the other, since between two looks others make topics. A broker
/// counts as empty only when it was cordoned before it was looked at. Nothing begins that could not end.
fn next(survey: &Survey, leaving: &[Node], marked: &BTreeSet<i32>) -> Next {
    let staying = cordoned(survey, leaving);
    let mut next = Next::default();
    for node in leaving {
        let id = NodeId(node.id);
        let kept = survey.kept_by(id).count();
        let Some(seen) = survey.brokers.get(&id) else {
            // It never registered, or is forgotten already.
            next.count(node, kept);
            continue;
        };
        let is_marked = marked.contains(&node.id);
        if !is_marked {
            let plan = Drain::of_broker(&staying, id);
            if !plan.can_end() {
                next.drained.stuck = Some(why(node, &plan));
                next.drained.left += kept.max(1);
                continue;
            }
            next.mark.push(node.clone());
        }
        // One that does not answer does not say whether it is cordoned; it is told once.
        if !seen.is_cordoned() && (seen.dirs.is_some() || !is_marked) {
            next.cordon.push(id);
            next.drained.left += kept.max(1);
            continue;
        }
        next.count(node, kept);
        let (moving, waiting): (Vec<_>, Vec<_>) = survey
            .kept_by(id)
            .cloned()
            .partition(|held| held.removing.contains(&id));
        // One that two of them keep moves away from one now, and from the other at the next look: a
        // partition has one move.
        let planned = |held: &Held| next.moves.iter().any(|m| m.partition == held.partition);
        let waiting: Vec<_> = waiting.into_iter().filter(|held| !planned(held)).collect();
        let room = AT_ONCE.saturating_sub(moving.len()).min(waiting.len());
        let plan = Drain::of_some(&staying, id, &waiting[..room]);
        if !plan.can_end() {
            next.drained.stuck = Some(why(node, &plan));
        }
        next.moves.extend(plan.moves.iter().map(Move::reassignment));
    }
    next
}

impl Next {
    fn count(&mut self, node: &Node, kept: usize) {
        self.drained.left += kept;
        if kept == 0 {
            self.drained.empty.insert(node.id);
        }
    }
}

/// The cluster as if all that leave were cordoned: none of them takes what another one has.
fn cordoned(survey: &Survey, leaving: &[Node]) -> Survey {
    let mut survey = survey.clone();
    for node in leaving {
        let dirs = survey
            .brokers
            .get_mut(&NodeId(node.id))
            .and_then(|seen| seen.dirs.as_mut());
        for dir in dirs.into_iter().flatten() {
            dir.cordoned = true;
        }
    }
    survey
}

fn why(node: &Node, plan: &Drain) -> String {
    let some = |names: &[String]| {
        let shown = names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        match names.len() {
            0..=3 => shown,
            all => format!("{shown} and {} more", all - 3),
        }
    };
    let id = node.id;
    if !plan.leaderless.is_empty() {
        return format!(
            "broker {id} cannot leave: nobody leads {}, so nobody could copy them",
            some(&plan.leaderless)
        );
    }
    if !plan.placeless.is_empty() {
        return format!(
            "broker {id} cannot leave: no other broker is left for {}; keep more brokers, or fewer copies",
            some(&plan.placeless)
        );
    }
    format!(
        "broker {id} cannot leave: no other broker has room for {}",
        some(&plan.roomless)
    )
}

/// Forgets brokers that are gone, and lets those work again that were called back. Says how many are gone
/// and still end: nobody tells when the cluster has seen that.
pub(crate) async fn settle(
    context: &Context,
    client: &dyn Brokers,
    wanted: &Wanted,
    plan: &Plan,
    observed: &Observed,
) -> Result<usize, Failure> {
    let marked = |claim: &&PersistentVolumeClaim| claim.annotations().contains_key(DRAINING);
    let marked: Vec<_> = observed.claims.iter().filter(marked).collect();
    if marked.is_empty() {
        return Ok(0);
    }
    let mut ending = 0;
    let cluster = client
        .describe_cluster()
        .await
        .map_err(Failure::brokers("the brokers cannot be listed"))?;
    for claim in marked {
        let Some(id) = claim
            .annotations()
            .get(NODE_ID)
            .and_then(|id| id.parse().ok())
        else {
            continue;
        };
        let registered = cluster.nodes.iter().find(|node| node.id == NodeId(id));
        let leaves = plan.leaving().any(|node| node.id == id);
        let stays = plan.nodes().any(|node| node.id == id) && !leaves;
        if stays {
            if registered.is_some() {
                let what = format!("broker {id} cannot be uncordoned");
                client
                    .cordon(NodeId(id), false)
                    .await
                    .map_err(Failure::brokers(what))?;
            }
            // What it kept it has given away: it comes back as a new one.
            let mut marks = json!({ DRAINING: null });
            if wanted.fill_new_brokers {
                marks[FILLING] = ASKED.into();
            }
            write_marks(context, wanted, &claim.name_any(), &marks).await?;
        } else if let Some(node) = registered.filter(|_| !leaves) {
            if !node.fenced {
                ending += 1;
                continue;
            }
            let what = format!("broker {id} cannot be forgotten");
            client
                .unregister(NodeId(id))
                .await
                .map_err(Failure::brokers(what))?;
            tracing::info!(cluster = wanted.names.cluster, broker = id, "has left");
        }
    }
    Ok(ending)
}

fn is_marked(wanted: &Wanted, node: &Node, observed: &Observed) -> bool {
    let claim = wanted.names.claim(&node.pod);
    let mut claims = observed.claims.iter();
    claims.any(|c| c.name_any() == claim && c.annotations().contains_key(DRAINING))
}

/// Says on a volume that the operator empties its broker: what people cordon is theirs.
async fn mark(
    context: &Context,
    wanted: &Wanted,
    node: &Node,
    observed: &Observed,
) -> Result<(), Failure> {
    let claim = wanted.names.claim(&node.pod);
    if observed.claims.iter().any(|c| c.name_any() == claim) {
        write_marks(context, wanted, &claim, &json!({ DRAINING: "true" })).await?;
    }
    Ok(())
}

/// Writes annotations on a volume; those that are null are taken away.
pub(super) async fn write_marks(
    context: &Context,
    wanted: &Wanted,
    claim: &str,
    marks: &Value,
) -> Result<(), Failure> {
    let patch = Patch::Merge(json!({ "metadata": { "annotations": marks } }));
    let claims: Api<PersistentVolumeClaim> =
        Api::namespaced(context.client.clone(), &wanted.names.namespace);
    let what = format!("volume {claim} cannot be marked");
    claims
        .patch(claim, &PatchParams::default(), &patch)
        .await
        .map_err(Failure::kubernetes(what))?;
    context.metrics.wrote("PersistentVolumeClaim");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::samples::broker;
    use super::*;

    fn node(id: i32) -> Node {
        Node {
            pod: format!("a-main-{id}"),
            ordinal: id,
            id,
            broker: true,
            controller: false,
        }
    }

    fn held(partition: i32, replicas: &[i32]) -> Held {
        let replicas: Vec<_> = replicas.iter().copied().map(NodeId).collect();
        Held {
            partition: ("t".to_owned(), partition),
            leader: replicas.first().copied(),
            isr: replicas.clone(),
            replicas,
            adding: Vec::new(),
            removing: Vec::new(),
        }
    }

    fn survey(cordoned: &[i32], partitions: Vec<Held>) -> Survey {
        Survey {
            brokers: (1..=5)
                .map(|id| broker(id, cordoned.contains(&id)))
                .collect(),
            partitions,
        }
    }

    const MARKED: [i32; 2] = [4, 5];

    #[test]
    fn a_broker_is_not_empty_before_it_was_cordoned() {
        let leaving = [node(4), node(5)];
        let first = next(&survey(&[], vec![]), &leaving, &BTreeSet::new());
        assert_eq!(first.mark, leaving);
        assert_eq!(first.cordon, [NodeId(4), NodeId(5)]);
        assert!(
            first.drained.empty.is_empty() && first.drained.left > 0,
            "a topic may be made meanwhile"
        );
        let then = next(&survey(&[4, 5], vec![]), &leaving, &MARKED.into());
        assert_eq!(then.drained.empty, MARKED.into());
        assert!(then.mark.is_empty() && then.cordon.is_empty());
        assert_eq!(then.drained.left, 0);
    }

    #[test]
    fn those_that_leave_take_nothing_from_each_other() {
        let all = (0..20).map(|at| held(at, &[4, 1])).collect();
        let leaving = [node(4), node(5)];
        let then = next(&survey(&[4], all), &leaving, &BTreeSet::from([4]));
        assert_eq!(then.moves.len(), 20);
        let heirs = then
            .moves
            .iter()
            .filter_map(|m| m.replicas.as_ref())
            .map(|r| r[0].0);
        assert!(
            heirs.clone().all(|id| id == 2 || id == 3),
            "{:?}",
            heirs.collect::<Vec<_>>()
        );
        assert_eq!(then.drained.left, 21);
    }

    #[test]
    fn what_two_of_them_keep_has_one_move_at_a_time() {
        let all = vec![held(0, &[5, 4, 1])];
        let leaving = [node(4), node(5)];
        let first = next(&survey(&[4, 5], all), &leaving, &MARKED.into());
        let replicas: Vec<_> = first
            .moves
            .iter()
            .filter_map(|m| m.replicas.clone())
            .collect();
        assert_eq!(replicas.len(), 1, "{replicas:?}");
        let mut moving = held(0, &[5, 2, 1, 4]);
        moving.adding = vec![NodeId(2)];
        moving.removing = vec![NodeId(4)];
        let then = next(&survey(&[4, 5], vec![moving]), &leaving, &MARKED.into());
        let replicas: Vec<_> = then
            .moves
            .iter()
            .filter_map(|m| m.replicas.clone())
            .collect();
        assert_eq!(replicas, [vec![NodeId(3), NodeId(2), NodeId(1)]]);
        assert_eq!(then.drained.left, 2);
    }

    #[test]
    fn what_could_not_end_does_not_begin() {
        let all = vec![held(0, &[1, 2, 3, 4])];
        let stuck = next(&survey(&[], all), &[node(4), node(5)], &BTreeSet::new());
        assert!(
            stuck
                .drained
                .stuck
                .is_some_and(|why| why.contains("broker 4 cannot leave"))
        );
        assert_eq!(stuck.mark, [node(5)], "the other one can");
        assert!(!stuck.cordon.contains(&NodeId(4)));
        assert!(!stuck.drained.empty.contains(&4));
    }

    #[test]
    fn a_broker_that_does_not_answer_is_cordoned_once() {
        let mut away = survey(&[], vec![]);
        let silent = away.brokers.get_mut(&NodeId(5)).expect("broker 5");
        silent.dirs = None;
        silent.node.fenced = true;
        let first = next(&away, &[node(5)], &BTreeSet::new());
        assert_eq!(first.cordon, [NodeId(5)]);
        let then = next(&away, &[node(5)], &BTreeSet::from([5]));
        assert!(then.cordon.is_empty());
        assert_eq!(then.drained.empty, BTreeSet::from([5]));
    }
}
