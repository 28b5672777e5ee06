//! Volumes: whose they are is written on them, and they grow.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use super::super::apply::amount;
use super::super::fetch::Observed;
use super::super::names::{CLUSTER_ID, FILLING, NODE_ID};
use super::super::plan::{Node, Plan, PlannedPool};
use super::super::validate::Wanted;
use super::fill::ASKED;
use crate::context::Context;
use crate::failure::Failure;

/// Writes on each volume whose it is, and asks for more room where it has less than wanted. In a cluster that
/// serves already, a volume that had no number is a new broker's.
pub(crate) async fn volumes(
    context: &Context,
    wanted: &Wanted,
    plan: &Plan,
    observed: &Observed,
    serves: bool,
) -> Result<usize, Failure> {
    let api: Api<PersistentVolumeClaim> =
        Api::namespaced(context.client.clone(), &wanted.names.namespace);
    let mut written = 0;
    let fills = serves && wanted.fill_new_brokers;
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
            let fills = fills && node.broker && !pool.leaving.contains(node);
            let Some(patch) = patch(plan, pool, node, claim, fills) else {
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
    fills: bool,
) -> Option<Value> {
    let mut patch = json!({});
    let has = |name: &str| claim.annotations().get(name).map(String::as_str);
    let id = node.id.to_string();
    if has(NODE_ID) != Some(&id) || has(CLUSTER_ID) != Some(&plan.cluster_id) {
        patch["metadata"] = json!({ "annotations": { NODE_ID: id, CLUSTER_ID: plan.cluster_id } });
        if fills && has(NODE_ID).is_none() {
            patch["metadata"]["annotations"][FILLING] = ASKED.into();
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn patched(annotations: &Value, fills: bool) -> Option<Value> {
        let node = Node {
            pod: "a-main-3".to_owned(),
            ordinal: 3,
            id: 4,
            broker: true,
            controller: false,
        };
        let pool = PlannedPool {
            name: "main".to_owned(),
            wanted: None,
            replicas: 4,
            nodes: vec![node.clone()],
            leaving: Vec::new(),
        };
        let plan = Plan {
            cluster_id: "c".to_owned(),
            pools: Vec::new(),
            controllers: std::collections::BTreeMap::new(),
            voters: None,
            shall_vote: std::collections::BTreeSet::new(),
            stopped: std::collections::BTreeMap::new(),
        };
        let claim = json!({ "metadata": { "annotations": annotations } });
        let claim = serde_json::from_value(claim).expect("a volume");
        let patch = patch(&plan, &pool, &node, &claim, fills)?;
        Some(patch["metadata"]["annotations"].clone())
    }

    #[test]
    fn a_volume_is_new_when_it_gets_its_first_number() {
        let numbers = json!({ NODE_ID: "4", CLUSTER_ID: "c" });
        assert_eq!(patched(&json!({}), false), Some(numbers.clone()));
        let mut new = numbers.clone();
        new[FILLING] = ASKED.into();
        assert_eq!(patched(&json!({}), true), Some(new));
        assert_eq!(patched(&numbers, true), None, "it is known");
        let elsewhere = json!({ NODE_ID: "4" });
        assert_eq!(patched(&elsewhere, true), Some(numbers), "it has records");
    }
}
