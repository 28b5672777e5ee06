//! Others who change things: objects by hand, the spec between two looks, the whole Cluster.

use std::sync::Arc;

use super::world::{self, Looked};
use super::*;
use crate::controllers::fake::{Dice, Fault};

/// What is told of the Cluster: the condition's status and reason.
fn condition(world: &World, kind: &str) -> (String, String) {
    let status = &world.cluster().expect("there is a Cluster")["status"];
    let mut all = status["conditions"].as_array().expect("a list").iter();
    let found = all.find(|c| c["type"] == kind).expect("it is told");
    let word = |name: &str| found[name].as_str().expect("a word").to_owned();
    (word("status"), word("reason"))
}

#[tokio::test(start_paused = true)]
async fn an_object_of_somebody_else_is_left_alone() {
    for (plural, kind, name) in [
        ("services", "Service", "demo-brokers"),
        ("services", "Service", "demo-outside-2"),
        ("configmaps", "ConfigMap", "demo-main"),
        ("poddisruptionbudgets", "PodDisruptionBudget", "demo"),
    ] {
        let mut world = World::new(3);
        let theirs = json!({
            "apiVersion": "v1", "kind": kind,
            "metadata": { "name": name, "namespace": NAMESPACE, "labels": { "theirs": "yes" } },
            "spec": { "theirs": true },
        });
        let key = Key::new(plural, NAMESPACE, name);
        world.kube.objects(|all| all.put(&key, theirs));
        let before = world.object(plural, name);
        for _ in 0..6 {
            world.look().await;
            world.step();
        }
        assert_eq!(world.object(plural, name), before, "{name}");
        let told = condition(&world, "Valid");
        assert_eq!(told, ("False".to_owned(), "NameTaken".to_owned()), "{name}");
    }
}

/// What somebody may do to objects of ours: kind, name and patch.
fn meddling() -> [(&'static str, &'static str, Value); 12] {
    let none = Value::Null;
    [
        (
            "services",
            "demo-brokers",
            json!({ "spec": { "publishNotReadyAddresses": false } }),
        ),
        (
            "services",
            "demo-outside-2",
            json!({ "spec": { "ports": [{ "name": "outside", "port": 9094, "protocol": "TCP", "targetPort": "http" }] } }),
        ),
        (
            "services",
            "demo-brokers",
            json!({ "metadata": { "labels": { "freshet.dev/cluster": none } } }),
        ),
        (
            "configmaps",
            "demo-main",
            json!({ "data": { "demo-main-1.properties": "node.id=9" } }),
        ),
        (
            "configmaps",
            "demo-main",
            json!({ "metadata": { "ownerReferences": none } }),
        ),
        (
            "networkpolicies",
            "demo",
            json!({ "spec": { "ingress": none } }),
        ),
        (
            "poddisruptionbudgets",
            "demo",
            json!({ "spec": { "maxUnavailable": 3 } }),
        ),
        (
            "serviceaccounts",
            "demo-brokers",
            json!({ "automountServiceAccountToken": true }),
        ),
        (
            "statefulsets",
            "demo-main",
            json!({ "spec": { "updateStrategy": { "type": "RollingUpdate" } } }),
        ),
        (
            "statefulsets",
            "demo-main",
            json!({ "spec": { "replicas": 4 } }),
        ),
        (
            "statefulsets",
            "demo-main",
            json!({ "metadata": { "annotations": none } }),
        ),
        (
            "persistentvolumeclaims",
            "data-demo-main-1",
            json!({ "metadata": { "annotations": none } }),
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn what_was_ours_is_put_back() {
    let mut world = World::settled(3, 3).await;
    let end = world.all();
    for (plural, name, patch) in meddling() {
        world.by_hand(plural, name, &patch);
        world.look().await;
        world.converge().await;
        let all = world.all();
        for (key, expected) in &end {
            assert_eq!(all.get(key), Some(expected), "{name} after {patch}: {key}");
        }
    }
    assert_eq!(world.breaches(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_others_have_added_stays_and_costs_no_writes() {
    let mut world = World::settled(3, 3).await;
    let mut patch =
        json!({ "metadata": { "labels": { "theirs": "1" }, "annotations": { "theirs": "2" } } });
    for (plural, name) in [
        ("services", "demo-brokers"),
        ("configmaps", "demo-main"),
        ("statefulsets", "demo-main"),
        ("networkpolicies", "demo"),
    ] {
        world.by_hand(plural, name, &patch);
    }
    // A list that has keys takes more.
    let service = world.object("services", "demo-brokers").unwrap();
    let port = json!({ "name": "theirs", "port": 7, "targetPort": 7, "protocol": "TCP" });
    let owner = json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x" });
    let with = |list: &Value, more: &Value| {
        let mut all = vec![more.clone()];
        all.extend(list.as_array().unwrap().iter().cloned());
        Value::Array(all)
    };
    patch["spec"]["ports"] = with(&service["spec"]["ports"], &port);
    patch["metadata"]["ownerReferences"] = with(&service["metadata"]["ownerReferences"], &owner);
    world.by_hand("services", "demo-brokers", &patch);
    let before = world.all();
    for _ in 0..3 {
        world.kube.writes();
        let looked = world.look().await;
        assert!(matches!(looked, Looked::Ended(Ok(_))), "{looked:?}");
        assert_eq!(world.kube.writes(), Vec::<String>::new());
    }
    assert_eq!(world.all(), before);
    // It stays too when we have something to write.
    world.change(&json!({ "replicas": 4 }));
    world.change(&json!({ "config": { "log.retention.ms": 1000 } }));
    world.converge().await;
    let service = world.object("services", "demo-brokers").unwrap();
    assert_eq!(service["metadata"]["labels"]["theirs"], "1");
    let ports = service["spec"]["ports"].as_array().unwrap();
    assert_eq!(ports.len(), 4, "{ports:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_was_restarted_meanwhile_is_left_alone() {
    let story = Story::named(ROLL).await;
    let mut start = story.begin();
    start.look().await;
    start.step();
    // Pods are listed eighth; the last request of the look is the restart.
    for before in 6..24 {
        let mut world = start.fork();
        let (kube, kafka) = (world.kube.clone(), Arc::clone(&world.kafka));
        let mut requests = 0;
        world.faults.meanwhile(move |_| {
            if requests == before {
                // The next one to go: broker 1 is the active controller, and goes last.
                let pod = Key::new("pods", NAMESPACE, "demo-main-1");
                kube.objects(|all| all.delete(&pod, None));
                (0..5).for_each(|_| world::step(&kube, &kafka));
            }
            requests += 1;
        });
        let meanwhile = [Fault::Meanwhile];
        world.faults.begin(Dice::new(1), 100, &meanwhile);
        world.look().await;
        world.faults.end();
        world.converge().await;
        story.assert_ended(&world, &format!("restarted before request {before}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_set_that_was_made_again_meanwhile_is_left_alone() {
    let story = Story::named(GROWTH).await;
    let key = Key::new("statefulsets", NAMESPACE, "demo-main");
    for before in 0..16 {
        let mut world = story.begin();
        let (kube, kafka, key) = (world.kube.clone(), Arc::clone(&world.kafka), key.clone());
        let mut requests = 0;
        world.faults.meanwhile(move |_| {
            if requests == before {
                let mut set = (*kube.objects(|all| all.get(&key)).unwrap()).clone();
                kube.objects(|all| all.delete(&key, Some("orphan")));
                world::step(&kube, &kafka);
                let size = json!("2Gi");
                set["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] =
                    size;
                set["metadata"]["uid"] = json!("the new one");
                set["metadata"]["deletionTimestamp"] = Value::Null;
                set["metadata"]["finalizers"] = Value::Null;
                kube.objects(|all| all.put(&key, set));
            }
            requests += 1;
        });
        let meanwhile = [Fault::Meanwhile];
        world.faults.begin(Dice::new(1), 100, &meanwhile);
        world.look().await;
        world.faults.end();
        world.converge().await;
        let set = world.object("statefulsets", "demo-main").unwrap();
        assert_eq!(
            set["metadata"]["uid"], "the new one",
            "before request {before}"
        );
        assert_eq!(world.breaches(), Vec::<String>::new());
        assert_eq!(world.collected(), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn a_spec_that_changes_between_looks_ends_as_the_last_one() {
    let three = World::settled(3, 3).await;
    let image = json!({ "image": "freshet.dev/broker:2", "config": { "num.partitions": 4 } });
    let mut straight = three.fork();
    straight.change(&image);
    straight.converge().await;
    let end = straight.all();
    for looks in [0, 1, 2, 3, 5, 8, 12] {
        let mut world = three.fork();
        world.change(&json!({ "replicas": 5, "config": { "log.retention.ms": 1000 } }));
        for _ in 0..looks {
            world.look().await;
            world.step();
            world.kafka.make_topic(1, 3);
        }
        world.change(&image);
        world.change(&json!({ "replicas": 3, "config": { "log.retention.ms": null } }));
        for _ in 0..looks / 2 {
            world.look().await;
            world.step();
        }
        world.change(&json!({ "replicas": 4 }));
        world.look().await;
        world.change(&json!({ "replicas": 3 }));
        world.converge().await;
        assert_eq!(world.breaches(), Vec::<String>::new(), "{looks}");
        let all = world.all();
        for (key, expected) in &end {
            assert_eq!(all.get(key), Some(expected), "after {looks} looks: {key}");
        }
        let more = all.keys().filter(|key| !end.contains_key(*key));
        let more: Vec<_> = more.collect();
        let are_volumes = more.iter().all(|k| k.starts_with("persistentvolumeclaims"));
        assert!(are_volumes, "{more:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_deleted_meanwhile_leaves_nothing_but_what_shall_stay() {
    for retention in ["Retain", "Delete"] {
        let mut start = World::new(3);
        let pools =
            json!([{ "name": "main", "storage": { "size": "1Gi", "onDeletion": retention } }]);
        start.change(&json!({ "pools": pools }));
        for looks in [0, 1, 2, 4] {
            let mut world = start.fork();
            for _ in 0..looks {
                world.look().await;
                world.step();
            }
            let cluster = world.cluster().expect("there is one");
            world.look().await;
            let volumes = world.all().into_keys();
            let volumes = volumes
                .filter(|k| k.starts_with("persistentvolumeclaims"))
                .count();
            world.kube.objects(|all| all.remove(&CLUSTER_KEY.key()));
            // Whoever has seen it a moment ago looks once more, and is told that it is gone.
            world.look_again().await;
            for _ in 0..6 {
                world.step();
            }
            let left: Vec<_> = world
                .all()
                .into_keys()
                .filter(|key| key != "kafka")
                .collect();
            let expected = if retention == "Retain" { volumes } else { 0 };
            assert!(
                left.len() >= expected && (looks < 2 || expected == left.len()),
                "{retention}, {looks}: {left:?}"
            );
            assert!(
                left.iter().all(|k| k.starts_with("persistentvolumeclaims")),
                "{left:?}"
            );
            // One of the same name finds them again.
            let mut again = (*cluster).clone();
            again["metadata"] = json!({ "name": "demo", "namespace": NAMESPACE, "uid": "ffffffff-4455-6677-8899-aabbccddeeff" });
            again.as_object_mut().unwrap().remove("status");
            world.kube.objects(|all| all.put(&CLUSTER_KEY.key(), again));
            world.converge().await;
            assert_eq!(condition(&world, "Ready").0, "True", "{retention}, {looks}");
            assert_eq!(
                world.breaches(),
                Vec::<String>::new(),
                "{retention}, {looks}"
            );
        }
        start.look().await;
    }
}
