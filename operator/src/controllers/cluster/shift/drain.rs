//! Brokers that leave: they get nothing more, are emptied, and are forgotten when they are gone.

use std::collections::BTreeSet;

use freshet_client::{Client, Drain, Move, Survey};
use freshet_types::NodeId;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::super::fetch::Observed;
use super::super::names::{DRAINING, NODE_ID};
use super::super::plan::{Node, Plan};
use super::super::validate::Wanted;
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

/// Does the next step of emptying brokers. Nothing begins that could not end.
pub(crate) async fn drain(
    context: &Context,
    client: &Client,
    wanted: &Wanted,
    leaving: &[Node],
    observed: &Observed,
) -> Result<Drained, Failure> {
    let survey = Survey::take(client)
        .await
        .map_err(Failure::brokers("the cluster cannot be looked at"))?;
    let admin = client.admin();
    let mut drained = Drained::default();
    for node in leaving {
        let id = NodeId(node.id);
        let kept = survey.kept_by(id).count();
        let Some(seen) = survey.brokers.get(&id) else {
            // It never registered, or is forgotten already.
            if kept == 0 {
                drained.empty.insert(node.id);
            }
            continue;
        };
        if !seen.is_cordoned() {
            let plan = Drain::of_broker(&survey, id);
            if !plan.can_end() {
                drained.stuck = Some(why(node, &plan));
                drained.left += kept;
                continue;
            }
            mark(context, wanted, node, observed, true).await?;
            let what = format!("broker {id} cannot be cordoned");
            admin
                .cordon_broker(id, true)
                .await
                .map_err(Failure::brokers(what))?;
        }
        if kept == 0 {
            drained.empty.insert(node.id);
            continue;
        }
        drained.left += kept;
        let moving = survey
            .kept_by(id)
            .filter(|held| held.removing.contains(&id))
            .count();
        let waiting: Vec<_> = survey
            .kept_by(id)
            .filter(|held| !held.removing.contains(&id))
            .cloned()
            .collect();
        let room = AT_ONCE.saturating_sub(moving).min(waiting.len());
        let plan = Drain::of_some(&survey, id, &waiting[..room]);
        if !plan.can_end() {
            drained.stuck = Some(why(node, &plan));
        }
        let moves: Vec<_> = plan.moves.iter().map(Move::reassignment).collect();
        if !moves.is_empty() {
            let what = format!("the partitions of broker {id} cannot be moved");
            // One that is refused for a moment is asked for again at the next look.
            admin
                .reassign(&moves)
                .await
                .map_err(Failure::brokers(what))?;
        }
    }
    Ok(drained)
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

/// Forgets brokers that are gone, and lets those work again that were called back.
pub(crate) async fn settle(
    context: &Context,
    client: &Client,
    wanted: &Wanted,
    plan: &Plan,
    observed: &Observed,
) -> Result<(), Failure> {
    let marked = |claim: &&PersistentVolumeClaim| claim.annotations().contains_key(DRAINING);
    let marked: Vec<_> = observed.claims.iter().filter(marked).collect();
    if marked.is_empty() {
        return Ok(());
    }
    let admin = client.admin();
    let cluster = admin
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
                admin
                    .cordon_broker(NodeId(id), false)
                    .await
                    .map_err(Failure::brokers(what))?;
            }
            write_mark(context, wanted, &claim.name_any(), false).await?;
        } else if !leaves && registered.is_some_and(|node| node.fenced) {
            let what = format!("broker {id} cannot be forgotten");
            admin
                .unregister_broker(NodeId(id))
                .await
                .map_err(Failure::brokers(what))?;
            tracing::info!(cluster = wanted.names.cluster, broker = id, "has left");
        }
    }
    Ok(())
}

/// Says on a volume that the operator empties its broker: what people cordon is theirs.
async fn mark(
    context: &Context,
    wanted: &Wanted,
    node: &Node,
    observed: &Observed,
    draining: bool,
) -> Result<(), Failure> {
    let claim = wanted.names.claim(&node.pod);
    if observed.claims.iter().any(|c| c.name_any() == claim) {
        write_mark(context, wanted, &claim, draining).await?;
    }
    Ok(())
}

async fn write_mark(
    context: &Context,
    wanted: &Wanted,
    claim: &str,
    draining: bool,
) -> Result<(), Failure> {
    let word = draining.then_some("true");
    let patch = Patch::Merge(json!({ "metadata": { "annotations": { DRAINING: word } } }));
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
