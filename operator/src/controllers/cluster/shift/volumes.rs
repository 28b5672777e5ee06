//! Volumes: whose they are is written on them, and they grow.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use super::super::apply::amount;
use super::super::fetch::Observed;
use super::super::names::{CLUSTER_ID, NODE_ID};
use super::super::plan::{Node, Plan, PlannedPool};
use super::super::validate::Wanted;
use crate::context::Context;
use crate::failure::Failure;

/// Writes on each volume whose it is, and asks for more room where it has less than wanted.
pub(crate) async fn volumes(
    context: &Context,
    wanted: &Wanted,
    plan: &Plan,
    observed: &Observed,
) -> Result<usize, Failure> {
    let api: Api<PersistentVolumeClaim> =
        Api::namespaced(context.client.clone(), &wanted.names.namespace);
    let mut written = 0;
    for pool in &plan.pools {
        for node in &pool.nodes {
            let name = wanted.names.claim(&node.pod);
            let Some(claim) = observed
                .claims
                .iter()
                .find(|claim| claim.name_any() == name)
            else {
                continue;
            };
            let Some(patch) = patch(plan, pool, node, claim) else {
                continue;
            };
            let what = format!("volume {name} cannot be written");
            let patch = Patch::Merge(patch);
            api.patch(&name, &PatchParams::default(), &patch)
                .await
                .map_err(Failure::kubernetes(what))?;
            context.metrics.wrote("PersistentVolumeClaim");
            written += 1;
        }
    }
    Ok(written)
}

/// What has to change on a volume.
fn patch(
    plan: &Plan,
    pool: &PlannedPool,
    node: &Node,
    claim: &PersistentVolumeClaim,
) -> Option<Value> {
    let mut patch = json!({});
    let has = |name: &str| claim.annotations().get(name).map(String::as_str);
    let id = node.id.to_string();
    if has(NODE_ID) != Some(&id) || has(CLUSTER_ID) != Some(&plan.cluster_id) {
        patch["metadata"] = json!({ "annotations": { NODE_ID: id, CLUSTER_ID: plan.cluster_id } });
    }
    let wanted = pool
        .wanted
        .as_ref()
        .map(|pool| pool.storage.size.0.as_str());
    let requests = || {
        claim
            .spec
            .as_ref()?
            .resources
            .as_ref()?
            .requests
            .as_ref()?
            .get("storage")
    };
    let requested = requests().map(|size| size.0.as_str());
    if let (Some(wanted), Some(requested)) = (wanted, requested)
        && amount(requested) < amount(wanted)
    {
        patch["spec"] = json!({ "resources": { "requests": { "storage": wanted } } });
    }
    (patch != json!({})).then_some(patch)
}
