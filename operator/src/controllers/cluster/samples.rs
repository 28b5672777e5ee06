//! What several tests begin with.

use freshet_api::Cluster;
use freshet_client::{ClusterNode, LogDir, Seen};
use freshet_types::NodeId;
use serde_json::{Value, json};

use super::validate::{Defaults, Wanted, validate};

/// A sound Cluster of this name.
pub(super) fn wanted(name: &str, spec: &Value) -> Wanted {
    let cluster: Cluster = serde_json::from_value(json!({
        "apiVersion": "freshet.dev/v1", "kind": "Cluster",
        "metadata": { "name": name, "namespace": "shop", "uid": "00112233-4455-6677-8899-aabbccddeeff" },
        "spec": spec,
    }))
    .expect("a Cluster");
    let defaults = Defaults {
        image: "freshet.dev/broker:1",
        domain: "cluster.local",
        operator_namespace: "freshet-system",
    };
    validate(&cluster, &defaults).expect("a sound spec")
}

/// A broker that is well, as a survey sees it.
pub(super) fn broker(id: i32, cordoned: bool) -> (NodeId, Seen) {
    let dir = LogDir {
        path: "/d".to_owned(),
        error: None,
        total_bytes: 1000,
        usable_bytes: 500,
        cordoned,
        slow: false,
        full: false,
        reserve_bytes: 0,
        partitions: Vec::new(),
    };
    let node = ClusterNode {
        id: NodeId(id),
        host: "h".to_owned(),
        port: 1,
        rack: None,
        fenced: false,
    };
    let dirs = Some(vec![dir]);
    (NodeId(id), Seen { node, dirs })
}
