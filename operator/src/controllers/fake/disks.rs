//! Local volumes: each is on one node, and gone with it. Only where there are nodes: else volumes are anywhere.

use std::sync::Arc;

use serde_json::{Value, json};

use super::merge::text;
use super::objects::{Key, Objects};

/// The label by which volumes are bound to nodes.
const HOST: &str = "kubernetes.io/hostname";

/// A node that is there from now on.
pub(crate) fn add_node(objects: &mut Objects, name: &str) {
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": { "name": name, "labels": { HOST: name } },
    });
    objects.put(&Key::new("nodes", "", name), node);
}

/// Puts a new claim on the node that has the fewest volumes.
pub(super) fn bind(objects: &mut Objects, claim: &Key, value: &mut Value) {
    let nodes = objects.of_kind("nodes", 0).into_keys();
    let volumes = objects.of_kind("persistentvolumes", 0);
    let count = |node: &str| {
        volumes
            .values()
            .filter(|volume| node_of(volume) == node)
            .count()
    };
    let Some(node) = nodes.min_by_key(|node| (count(&node.name), node.name.clone())) else {
        return;
    };
    let name = format!("{}-on-{}", claim.name, node.name);
    let on =
        json!([{ "matchExpressions": [{ "key": HOST, "operator": "In", "values": [node.name] }] }]);
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": name },
        "spec": {
            "claimRef": { "namespace": claim.namespace, "name": claim.name },
            "nodeAffinity": { "required": { "nodeSelectorTerms": on } },
        },
    });
    objects.put(&Key::new("persistentvolumes", "", &name), volume);
    value["spec"]["volumeName"] = name.into();
}

fn node_of(volume: &Value) -> &str {
    let term = &volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0];
    text(&term["matchExpressions"][0]["values"][0])
}

fn volume_of(objects: &Objects, claim: &Value) -> Option<Arc<Value>> {
    objects.get(&Key::new(
        "persistentvolumes",
        "",
        text(&claim["spec"]["volumeName"]),
    ))
}

/// Whether a claim is bound to a node that is gone.
pub(super) fn is_lost(objects: &Objects, claim: &Key) -> bool {
    let volume = objects
        .get(claim)
        .and_then(|claim| volume_of(objects, &claim));
    volume.is_some_and(|volume| {
        objects
            .get(&Key::new("nodes", "", node_of(&volume)))
            .is_none()
    })
}

/// Volumes go with their claims.
pub(super) fn release(objects: &mut Objects) {
    for (key, volume) in objects.of_kind("persistentvolumes", 0) {
        let of = &volume["spec"]["claimRef"];
        let claim = Key::new(
            "persistentvolumeclaims",
            text(&of["namespace"]),
            text(&of["name"]),
        );
        let claim = objects.get(&claim);
        if claim.is_none_or(|claim| text(&claim["spec"]["volumeName"]) != key.name) {
            objects.remove(&key);
        }
    }
}
