//! Topics for tests.

use freshet_api::Topic;
use serde_json::json;

use super::fetch::Place;
use crate::clusters::Way;

/// A Topic of the Cluster `main` in the namespace `shop`.
pub(super) fn topic(name: &str) -> Topic {
    let object = json!({
        "apiVersion": "freshet.dev/v1",
        "kind": "Topic",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": { "clusterRef": { "name": "main" } },
    });
    serde_json::from_value(object).expect("a Topic")
}

/// Made at a second of the epoch.
pub(super) fn at(mut topic: Topic, second: i64, uid: &str) -> Topic {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;
    let time = Timestamp::from_second(second).expect("a time");
    topic.metadata.creation_timestamp = Some(Time(time));
    topic.metadata.uid = Some(uid.to_owned());
    topic
}

/// With a status that says it is ready.
pub(super) fn ready(mut topic: Topic) -> Topic {
    let status = json!({
        "observedGeneration": topic.metadata.generation,
        "conditions": [{
            "type": "Ready",
            "status": "True",
            "reason": "Serving",
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }],
    });
    topic.status = Some(serde_json::from_value(status).expect("a status"));
    topic
}

/// A cluster of ours, without object storage.
pub(super) fn place() -> Place {
    Place {
        is_ours: true,
        way: Some(Way::open(&["main:9092".to_owned()])),
        has_store: false,
        tiers: false,
        leaving: false,
    }
}
