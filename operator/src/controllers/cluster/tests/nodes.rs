//! Nodes that are gone, with the volumes that were on them.

use super::*;
use crate::controllers::fake::add_node;

const CLAIM: &str = "data-demo-main-2";
/// Looks for which a world goes on: many times longer than a node has to be gone.
const LOOKS: usize = 12;

/// What is told to people, and which volume the pod has after so many looks.
async fn after(world: &mut World) -> (String, String) {
    for _ in 0..LOOKS {
        world.look().await;
        world.step();
    }
    let cluster = world.cluster().expect("there is one");
    let conditions = cluster["status"]["conditions"].as_array().expect("a list");
    let warning = conditions.iter().find(|c| c["type"] == "Warning");
    let told = warning.map(|c| c["message"].as_str().unwrap_or_default().to_owned());
    (told.unwrap_or_default(), volume(world))
}

fn volume(world: &World) -> String {
    let claim = world
        .object("persistentvolumeclaims", CLAIM)
        .expect("there is one");
    claim["spec"]["volumeName"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

const BEFORE: &str = "data-demo-main-2-on-node-2";
const AFTER: &str = "data-demo-main-2-on-node-3";

#[tokio::test(start_paused = true)]
async fn a_broker_gets_another_volume_and_keeps_its_number() {
    let mut world = World::on_local_volumes(3, 3).await;
    let before = world.all()["clusters demo"]["status"]["pools"].clone();
    assert_eq!(volume(&world), BEFORE);
    world.lose_node("node-2", THE_POD);
    world.kube.events();
    let (told, now) = after(&mut world).await;
    assert_eq!((told.as_str(), now.as_str()), ("", AFTER));
    assert_eq!(world.all()["clusters demo"]["status"]["pools"], before);
    let reasons: Vec<_> = world
        .kube
        .events()
        .into_iter()
        .map(|(reason, _)| reason)
        .collect();
    assert_eq!(reasons, ["NodeLost", "VolumeReplaced"], "each is told once");
    assert_eq!(world.breaches(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_only_that_volume_has_is_never_given_up() {
    let mut world = World::on_local_volumes(3, 3).await;
    // One copy each: broker 2 has one of them.
    world.lose_node("node-1", "demo-main-1");
    let claim = || "data-demo-main-1";
    let (told, _) = after(&mut world).await;
    let of_pod = world
        .object("persistentvolumeclaims", claim())
        .expect("it stays");
    assert_eq!(of_pod["spec"]["volumeName"], "data-demo-main-1-on-node-1");
    assert!(
        told.contains("of 1 partitions nobody else has all records"),
        "{told}"
    );
    assert!(
        told.contains("kubectl delete pvc data-demo-main-1"),
        "{told}"
    );
    assert_eq!(world.breaches(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_replaced_before_its_time_or_after_the_node_has_come_back() {
    let mut world = World::on_local_volumes(3, 3).await;
    world.lose_node("node-2", THE_POD);
    // The pod is made anew, and no node takes it; then it is noted since when.
    world.step();
    world.look().await;
    world.look().await;
    assert_eq!(volume(&world), BEFORE);
    let mark = || {
        let claim = world
            .object("persistentvolumeclaims", CLAIM)
            .expect("there is one");
        claim["metadata"]["annotations"]["freshet.dev/node-lost-since"].clone()
    };
    assert!(mark().is_string(), "{}", mark());
    world.kube.objects(|all| add_node(all, "node-2"));
    let (told, now) = after(&mut world).await;
    assert_eq!((told.as_str(), now.as_str()), ("", BEFORE));
    let claim = world
        .object("persistentvolumeclaims", CLAIM)
        .expect("there is one");
    let marks = &claim["metadata"]["annotations"];
    assert!(marks["freshet.dev/node-lost-since"].is_null(), "{marks}");
    assert_eq!(world.breaches(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn two_nodes_at_once_are_for_a_person() {
    let mut world = World::on_local_volumes(5, 3).await;
    world.lose_node("node-2", THE_POD);
    world.lose_node("node-3", "demo-main-3");
    let (told, now) = after(&mut world).await;
    assert_eq!(now, BEFORE);
    assert!(told.contains("pod demo-main-3 is away, too"), "{told}");
    assert!(told.contains("pod demo-main-2 is away, too"), "{told}");
    assert_eq!(world.breaches(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn who_says_keep_and_who_gives_no_rights_keeps_the_volume() {
    let mut start = World::on_local_volumes(3, 3).await;
    let mut hidden = start.fork();
    hidden.kube.hide_kind("nodes");
    hidden.lose_node("node-2", THE_POD);
    let (told, now) = after(&mut hidden).await;
    assert_eq!(now, BEFORE);
    assert!(told.contains("the operator may not look"), "{told}");

    let storage =
        json!({ "size": "1Gi", "onDeletion": "Delete", "lostNode": { "volume": "Keep" } });
    start.change(&json!({ "pools": [{ "name": "main", "storage": storage }] }));
    start.lose_node("node-2", THE_POD);
    let (told, now) = after(&mut start).await;
    assert_eq!(now, BEFORE);
    assert!(told.contains("says Keep"), "{told}");
    let waits = json!({ "afterMinutes": 600 });
    let storage = json!({ "size": "1Gi", "onDeletion": "Delete", "lostNode": waits });
    start.change(&json!({ "pools": [{ "name": "main", "storage": storage }] }));
    let (told, now) = after(&mut start).await;
    assert_eq!(now, BEFORE);
    assert!(told.contains("it is replaced at 2026-01-01T"), "{told}");
    assert_eq!(start.breaches(), Vec::<String>::new());
}
