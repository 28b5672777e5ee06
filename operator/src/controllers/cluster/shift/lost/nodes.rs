//! Where a volume is: the nodes that it is bound to, and whether one of them is there.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Node, NodeSelectorTerm, PersistentVolume};
use kube::api::ListParams;
use kube::{Api, Client};

use crate::failure::Failure;

/// The label of nodes that is most often their name, and by which local volumes are bound.
const HOST: &str = "kubernetes.io/hostname";
/// Labels that tell single nodes apart. A zone without nodes comes back with its next node; a node does not.
const NODE_LABELS: &[&str] = &[
    HOST,
    "openebs.io/nodename",
    "topology.hostpath.csi/node",
    "topology.topolvm.io/node",
];
/// Not a label: the name itself.
const NAME: &str = "metadata.name";

/// Where a volume is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Where {
    /// On nodes of which one is there, or not on nodes.
    Elsewhere,
    /// On these nodes, and none of them is there.
    Gone(String),
    /// We may not look.
    Hidden,
}

/// Where a volume is.
pub(super) async fn of_volume(client: &Client, volume: &str) -> Result<Where, Failure> {
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let what = format!("volume {volume} cannot be looked at");
    let Some(found) = seen(volumes.get_opt(volume).await, what)? else {
        return Ok(Where::Hidden);
    };
    let bound = found.as_ref().and_then(named).unwrap_or_default();
    if bound.is_empty() {
        return Ok(Where::Elsewhere);
    }
    for (label, value) in &bound {
        match is_there(client, label, value).await? {
            Some(false) => {}
            Some(true) => return Ok(Where::Elsewhere),
            None => return Ok(Where::Hidden),
        }
    }
    let names: BTreeSet<_> = bound.into_iter().map(|(_, value)| value).collect();
    Ok(Where::Gone(
        names.into_iter().collect::<Vec<_>>().join(", "),
    ))
}

/// The nodes that a volume is bound to, as labels and values; `None` if it may be elsewhere, too.
fn named(volume: &PersistentVolume) -> Option<BTreeSet<(String, String)>> {
    let affinity = volume.spec.as_ref()?.node_affinity.as_ref()?;
    let mut all = BTreeSet::new();
    for term in &affinity.required.as_ref()?.node_selector_terms {
        all.extend(named_by(term)?);
    }
    Some(all)
}

/// All requirements of a term hold at once: the first one that names nodes is enough.
fn named_by(term: &NodeSelectorTerm) -> Option<Vec<(String, String)>> {
    let labels = term.match_expressions.iter().flatten();
    let labels = labels.filter(|r| NODE_LABELS.contains(&r.key.as_str()));
    let fields = term.match_fields.iter().flatten().filter(|r| r.key == NAME);
    let naming = labels.chain(fields).find(|r| r.operator == "In")?;
    let values = naming.values.iter().flatten();
    Some(
        values
            .map(|value| (naming.key.clone(), value.clone()))
            .collect(),
    )
}

/// Whether such a node is there; `None` if we may not look. Only names and labels are asked for.
async fn is_there(client: &Client, label: &str, value: &str) -> Result<Option<bool>, Failure> {
    let nodes: Api<Node> = Api::all(client.clone());
    let what = format!("node {value} cannot be looked for");
    if label != NAME {
        let which = ListParams::default()
            .labels(&format!("{label}={value}"))
            .limit(1);
        match seen(nodes.list_metadata(&which).await.map(Some), what.clone())? {
            None => return Ok(None),
            Some(Some(found)) if !found.items.is_empty() => return Ok(Some(true)),
            Some(_) => {}
        }
    }
    // One that has lost its labels is there all the same.
    let found = seen(nodes.get_metadata_opt(value).await, what)?;
    Ok(found.map(|found| found.is_some()))
}

/// `None` if we may not look: an operator of some namespaces may not.
fn seen<T>(answer: kube::Result<Option<T>>, what: String) -> Result<Option<Option<T>>, Failure> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(None),
        Err(error) => Err(Failure::kubernetes(what)(error)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn bound(terms: &Value) -> Option<Vec<String>> {
        let volume =
            json!({ "spec": { "nodeAffinity": { "required": { "nodeSelectorTerms": terms } } } });
        let volume = serde_json::from_value(volume).expect("a volume");
        let all = named(&volume)?.into_iter();
        Some(
            all.map(|(label, value)| format!("{label}={value}"))
                .collect(),
        )
    }

    #[test]
    fn only_volumes_that_name_nodes_are_bound_to_them() {
        let is = |key: &str, operator: &str, values: &[&str]| json!({ "key": key, "operator": operator, "values": values });
        let host = is(HOST, "In", &["a", "b"]);
        let zone = is("topology.kubernetes.io/zone", "In", &["z"]);
        let two = vec![format!("{HOST}=a"), format!("{HOST}=b")];
        assert_eq!(
            bound(&json!([{ "matchExpressions": [zone, host] }])),
            Some(two)
        );
        let name = is(NAME, "In", &["c"]);
        let one = vec![format!("{NAME}=c")];
        assert_eq!(bound(&json!([{ "matchFields": [name] }])), Some(one));
        // A zone without a node has one again some day.
        assert_eq!(bound(&json!([{ "matchExpressions": [zone] }])), None);
        assert_eq!(
            bound(&json!([{ "matchExpressions": [host] }, { "matchExpressions": [zone] }])),
            None
        );
        assert_eq!(
            bound(&json!([{ "matchExpressions": [is(HOST, "NotIn", &["a"])] }])),
            None
        );
        assert_eq!(named(&PersistentVolume::default()), None);
    }
}
