//! Addresses that clients are told: a broker tells those of its file as it was when it started.
//!
//! Load balancers and nodes may give a Service other ones. Which ones a broker tells it is asked: files
//! change without it, and a template of pods says nothing of single ones.

use std::collections::{BTreeMap, BTreeSet};

use freshet_api::ListenerType;
use freshet_types::NodeId;
use futures_util::future::join_all;
use k8s_openapi::api::core::v1::Pod;

use super::super::build::HOST_OF_NODE;
use super::super::door::Brokers;
use super::super::fetch::Observed;
use super::super::plan::{Node, Plan};
use super::super::status::is_ready;
use super::super::validate::Wanted;

/// Brokers that are asked at a time.
const AT_ONCE: usize = 16;

/// Brokers that tell clients other addresses than their files say now. One that does not answer is not among them.
pub(crate) async fn moved(
    client: Option<&dyn Brokers>,
    wanted: &Wanted,
    plan: &Plan,
    observed: &Observed,
) -> BTreeSet<i32> {
    // Addresses in the same Kubernetes are names, and stay.
    let mut listeners = wanted.listeners.iter();
    let may_move = listeners.any(|listener| listener.kind != ListenerType::Internal);
    let Some(client) = client.filter(|_| may_move) else {
        return BTreeSet::new();
    };
    let serving = |node: &Node| {
        let pod = observed
            .pod(&node.pod)
            .filter(|pod| node.broker && is_ready(pod))?;
        Some((node.id, shall(observed.file(&node.pod)?, pod)?))
    };
    let serving: Vec<_> = plan.nodes().filter_map(serving).collect();
    let mut moved = BTreeSet::new();
    for some in serving.chunks(AT_ONCE) {
        let asked = some.iter().map(|(id, _)| client.advertised(NodeId(*id)));
        for ((id, shall), told) in some.iter().zip(join_all(asked).await) {
            let Ok(Some(told)) = told else { continue };
            if pairs(&told).is_some_and(|told| Some(told) != pairs(shall)) {
                moved.insert(*id);
            }
        }
    }
    moved
}

/// The addresses of a file, as a pod would read them.
fn shall(file: &str, pod: &Pod) -> Option<String> {
    let mut lines = file.lines();
    let line = lines.find_map(|line| line.strip_prefix("advertised.listeners="))?;
    if !line.contains(HOST_OF_NODE) {
        return Some(line.to_owned());
    }
    let host = pod.status.as_ref()?.host_ip.as_ref()?;
    Some(line.replace(HOST_OF_NODE, host))
}

/// `NAME://host:port,…` by name; the order says nothing.
fn pairs(text: &str) -> Option<BTreeMap<&str, &str>> {
    let all = text.split(',').map(|one| one.trim().split_once("://"));
    all.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn addresses_are_compared_as_the_pod_reads_them() {
        let file = "node.id=1\nadvertised.listeners=A://h:1,B://${env:FRESHET_HOST}:2\n";
        let pod = |status| serde_json::from_value(json!({ "status": status })).expect("a Pod");
        let on = pod(json!({ "hostIP": "10.0.0.7" }));
        let shall = shall(file, &on).expect("addresses");
        assert_eq!(shall, "A://h:1,B://10.0.0.7:2");
        assert_eq!(
            super::shall(file, &pod(json!({}))),
            None,
            "nobody knows yet"
        );
        assert_eq!(super::shall("node.id=1\n", &on), None);
        assert_eq!(pairs(&shall), pairs("B://10.0.0.7:2, A://h:1"));
        assert_ne!(pairs(&shall), pairs("A://h:1,B://10.0.0.8:2"));
        assert_eq!(pairs("nonsense"), None);
    }
}

#[cfg(test)]
mod real {
    use super::super::quorum::real::World;
    use super::super::quorum::tests::pool;
    use super::*;

    #[tokio::test]
    #[ignore = "starts the broker that FRESHET_BROKER names: cargo xtask test runs it"]
    async fn a_broker_tells_the_addresses_that_it_was_started_with() {
        let mut world = World::new(&[pool("main", &[], 1)]);
        world.settle().await;
        let client = world.client().await;
        let told = client
            .advertised(NodeId(1))
            .await
            .expect("it answers")
            .expect("some");
        let shall = shall(&world.file("demo-main-0"), &Pod::default()).expect("some");
        assert_eq!(pairs(&told), pairs(&shall));
        assert!(pairs(&told).is_some_and(|all| all.len() == 3), "{told}");
    }
}
