use freshet_api::Cluster;
use serde_json::{Value, json};

use super::super::validate::{Defaults, validate};
use super::*;

fn wanted(spec: Value) -> Wanted {
    let cluster: Cluster = serde_json::from_value(json!({
        "apiVersion": "freshet.dev/v1", "kind": "Cluster",
        "metadata": { "name": "demo", "namespace": "shop", "uid": "00112233-4455-6677-8899-aabbccddeeff" },
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

fn pool(name: &str, roles: &[&str], replicas: i32) -> Value {
    let mut pool = json!({ "name": name, "replicas": replicas, "storage": { "size": "1Gi" } });
    if !roles.is_empty() {
        pool["roles"] = json!(roles);
    }
    pool
}

fn combined(replicas: i32) -> Wanted {
    wanted(json!({ "pools": [pool("main", &[], replicas)] }))
}

fn set(name: &str, replicas: i32) -> k8s_openapi::api::apps::v1::StatefulSet {
    serde_json::from_value(json!({
        "metadata": { "name": name },
        "spec": { "replicas": replicas, "selector": {}, "serviceName": "s", "template": {} },
    }))
    .expect("a StatefulSet")
}

fn volume(pod: &str, id: i32, cluster: &str) -> PersistentVolumeClaim {
    serde_json::from_value(json!({ "metadata": {
        "name": format!("data-{pod}"),
        "annotations": { NODE_ID: id.to_string(), CLUSTER_ID: cluster },
    }}))
    .expect("a volume")
}

/// What the API server has after a plan was carried out.
fn carried_out(wanted: &Wanted, plan: &Plan) -> Observed {
    let mut observed = Observed::default();
    let none = BTreeMap::new();
    for object in super::super::build::objects(wanted, plan, &none, &BTreeSet::new()) {
        observed
            .objects
            .insert((object.kind, object.name), object.value);
    }
    for pool in &plan.pools {
        observed
            .sets
            .push(set(&wanted.names.pool(&pool.name), pool.replicas));
    }
    observed
}

fn planned(wanted: &Wanted, observed: &Observed) -> Plan {
    Plan::of(wanted, observed, &BTreeSet::new()).expect("a plan")
}

fn ids(plan: &Plan) -> Vec<(String, i32)> {
    plan.nodes()
        .map(|node| (node.pod.clone(), node.id))
        .collect()
}

#[test]
fn an_id_is_the_uuid_as_kafka_writes_it() {
    // As Kafka's Uuid.toString and every base64 library have it.
    assert_eq!(
        id_of("00112233-4455-6677-8899-aabbccddeeff"),
        "ABEiM0RVZneImaq7zN3u_w"
    );
    assert_eq!(
        id_of("ffffffff-ffff-ffff-ffff-ffffffffffff"),
        "_____________________w"
    );
}

#[test]
fn new_brokers_get_the_lowest_numbers() {
    let plan = planned(&combined(3), &Observed::default());
    let pods = [("demo-main-0", 1), ("demo-main-1", 2), ("demo-main-2", 3)];
    assert_eq!(ids(&plan), pods.map(|(pod, id)| (pod.to_owned(), id)));
    assert_eq!(plan.voters.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(plan.cluster_id, "ABEiM0RVZneImaq7zN3u_w");
}

#[test]
fn numbers_stay_with_files_and_volumes() {
    let wanted = combined(3);
    let plan = planned(&wanted, &Observed::default());
    let mut observed = carried_out(&wanted, &plan);
    assert_eq!(planned(&wanted, &observed), plan, "files remember");
    // Volumes count more than files, and a number on a volume is nobody else's.
    observed.claims = vec![volume("demo-main-1", 7, "ABEiM0RVZneImaq7zN3u_w")];
    assert_eq!(ids(&planned(&wanted, &observed))[1].1, 7);
    let fresh = Observed {
        claims: vec![volume("demo-main-1", 1, "ABEiM0RVZneImaq7zN3u_w")],
        ..Observed::default()
    };
    let numbers: Vec<_> = ids(&planned(&wanted, &fresh))
        .into_iter()
        .map(|(_, id)| id)
        .collect();
    assert_eq!(numbers, [2, 1, 3]);
}

#[test]
fn a_cluster_that_comes_back_has_the_id_of_its_volumes() {
    let observed = Observed {
        claims: vec![volume("demo-main-0", 1, "AAAAAAAAAAAAAAAAAAAAAA")],
        ..Observed::default()
    };
    assert_eq!(
        planned(&combined(3), &observed).cluster_id,
        "AAAAAAAAAAAAAAAAAAAAAA"
    );
    let mixed = Observed {
        claims: vec![
            volume("demo-main-0", 1, "AAAAAAAAAAAAAAAAAAAAAA"),
            volume("demo-main-1", 2, "BBBBBBBBBBBBBBBBBBBBBB"),
        ],
        ..Observed::default()
    };
    let refused = Plan::of(&combined(3), &mixed, &BTreeSet::new()).unwrap_err();
    assert_eq!(refused.reason, "VolumesOfAnotherCluster");
}

#[test]
fn who_votes_goes_on_when_there_are_more() {
    let three = combined(3);
    let plan = planned(&three, &Observed::default());
    let observed = carried_out(&three, &plan);
    let five = planned(&combined(5), &observed);
    assert_eq!(five.voters, plan.voters);
    assert_eq!(five.pools[0].replicas, 5);
    let controllers: Vec<_> = five
        .nodes()
        .filter(|n| n.controller)
        .map(|n| n.id)
        .collect();
    assert_eq!(controllers, [1, 2, 3]);
}

#[test]
fn an_even_number_votes_as_the_odd_one_below() {
    for (pods, voters) in [(1, 1), (2, 1), (3, 3), (4, 3), (9, 3)] {
        let plan = planned(&combined(pods), &Observed::default());
        assert_eq!(plan.voters.len(), voters, "{pods}");
    }
    let own =
        wanted(json!({ "pools": [pool("ctl", &["controller"], 5), pool("main", &["broker"], 4)] }));
    let plan = planned(&own, &Observed::default());
    assert_eq!(plan.voters.len(), 5);
    assert!(plan.voters.values().all(|pod| pod.starts_with("demo-ctl-")));
}

#[test]
fn whoever_leaves_stays_until_it_is_empty() {
    let five = combined(5);
    let observed = carried_out(&five, &planned(&five, &Observed::default()));
    let three = combined(3);
    let left = |empty: &[i32]| {
        let plan = Plan::of(&three, &observed, &empty.iter().copied().collect()).expect("a plan");
        let leaving: Vec<_> = plan.leaving().map(|n| n.id).collect();
        assert_eq!(leaving, [4, 5]);
        assert_eq!(
            i32::try_from(plan.pools[0].nodes.len()).unwrap(),
            plan.pools[0].replicas
        );
        plan.pools[0].replicas
    };
    assert_eq!(left(&[]), 5);
    assert_eq!(left(&[4]), 5, "ordinals go from the top");
    assert_eq!(left(&[5]), 4);
    assert_eq!(left(&[4, 5]), 3);
}

#[test]
fn a_voter_does_not_leave() {
    let three = combined(3);
    let observed = carried_out(&three, &planned(&three, &Observed::default()));
    let refused = Plan::of(&combined(2), &observed, &BTreeSet::new()).unwrap_err();
    assert_eq!(refused.reason, "QuorumWouldShrink");
    assert!(
        refused.message.contains("demo-main-2"),
        "{}",
        refused.message
    );
}

#[test]
fn a_pool_that_is_gone_is_emptied_first() {
    let two = wanted(
        json!({ "pools": [pool("ctl", &["controller"], 3), pool("main", &["broker"], 3), pool("old", &["broker"], 2)] }),
    );
    let observed = carried_out(&two, &planned(&two, &Observed::default()));
    let one =
        wanted(json!({ "pools": [pool("ctl", &["controller"], 3), pool("main", &["broker"], 3)] }));
    let plan = planned(&one, &observed);
    let old = &plan.pools[2];
    assert_eq!(
        (old.name.as_str(), old.replicas, old.leaving.len()),
        ("old", 2, 2)
    );
    let empty = old.leaving.iter().map(|n| n.id).collect();
    let plan = Plan::of(&one, &observed, &empty).expect("a plan");
    assert_eq!(plan.pools[2].replicas, 0);
}
