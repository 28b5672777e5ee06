//! Brokers that are stopped on purpose.

use super::world::Looked;
use super::*;

/// The condition's status and message.
fn told(world: &World, kind: &str) -> (String, String) {
    let cluster = world.cluster().expect("there is one");
    let conditions = cluster["status"]["conditions"].as_array().expect("a list");
    let found = conditions
        .iter()
        .find(|c| c["type"] == kind)
        .expect("it is told");
    let word = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    (word("status"), word("message"))
}

fn pod(world: &World, name: &str) -> (String, bool) {
    let pod = world.object("pods", name).expect("it is there");
    let uid = pod["metadata"]["uid"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    (uid, pod["status"]["conditions"][0]["status"] == "True")
}

#[tokio::test(start_paused = true)]
async fn the_cluster_goes_on_without_it_and_says_so() {
    let mut world = World::stopped().await;
    assert!(!pod(&world, THE_POD).1);
    let sentence = "2/3 pods are ready; stopped on purpose: broker 3 (a test)";
    assert_eq!(
        told(&world, "Ready"),
        ("True".to_owned(), sentence.to_owned())
    );
    assert_eq!(told(&world, "Reconciling").0, "False");
    let pools = &world.cluster().unwrap()["status"]["pools"];
    assert_eq!(pools[0]["brokers"][2]["stopped"], "a test");

    // Nobody disturbs who is at work in it; the others are not kept from what they need.
    let before = world.pods();
    world.change(&json!({ "image": "freshet.dev/broker:2" }));
    for _ in 0..12 {
        world.look().await;
        world.step();
    }
    let now = world.pods();
    assert_eq!(now[THE_POD], before[THE_POD]);
    // Two of three copies are left: another one away would be too many, and the brokers say so.
    assert_eq!(now["demo-main-0"], before["demo-main-0"]);
    let (_, why) = told(&world, "Reconciling");
    assert!(why.contains("to be in sync elsewhere"), "{why}");
    assert!(
        why.ends_with("; stopped on purpose: broker 3 (a test)"),
        "{why}"
    );

    world.stop(THE_POD, None);
    world.converge().await;
    assert_eq!(told(&world, "Ready").1, "3/3 pods are ready");
    let now = world.pods();
    assert!(now.iter().all(|(pod, uid)| before[pod] != *uid), "{now:?}");
    assert_eq!(world.breaches(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn others_are_restarted_where_the_brokers_can_bear_it() {
    let mut world = World::new(5);
    world.converge().await;
    world.stop("demo-main-4", Some("a disk is looked at"));
    world.converge().await;
    let before = world.pods();
    world.change(&json!({ "image": "freshet.dev/broker:2" }));
    world.converge().await;
    let now = world.pods();
    let same = now.iter().filter(|(pod, uid)| before[*pod] == **uid);
    let same: Vec<_> = same.map(|(pod, _)| pod.as_str()).collect();
    assert_eq!(same, ["demo-main-4"]);
    assert_eq!(world.breaches(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_others_cannot_bear_is_waited_with() {
    let mut world = World::stopped().await;
    let before = world.pods();
    world.stop("demo-main-1", Some("another one"));
    for _ in 0..8 {
        let looked = world.look().await;
        assert!(matches!(looked, Looked::Ended(Ok(_))), "{looked:?}");
        world.step();
    }
    assert_eq!(world.pods(), before);
    let (_, why) = told(&world, "Reconciling");
    assert!(why.contains("demo-main-1 waits for"), "{why}");
    world.stop("demo-main-1", None);
    world.stop(THE_POD, None);
    world.converge().await;
    assert_eq!(told(&world, "Ready").1, "3/3 pods are ready");
    assert_eq!(world.breaches(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn brokers_that_leave_and_new_ones_wait_for_it_with_a_reason() {
    let mut world = World::settled(4, 3).await;
    world.stop("demo-main-3", Some("a test"));
    world.converge().await;
    world.change(&json!({ "replicas": 5, "balancing": { "fillNewBrokers": true } }));
    for _ in 0..8 {
        world.look().await;
        world.step();
    }
    let (_, why) = told(&world, "Reconciling");
    assert!(
        why.contains("broker 4, which is stopped on purpose"),
        "{why}"
    );
    // What only it has nobody can copy while it does nothing.
    world.change(&json!({ "replicas": 3 }));
    world.converge().await;
    assert_eq!(world.pods().len(), 4);
    let (_, why) = told(&world, "Reconciling");
    assert!(why.contains("broker 4 cannot leave: nobody leads"), "{why}");
    assert!(
        why.ends_with("; stopped on purpose: broker 4 (a test)"),
        "{why}"
    );
    world.stop("demo-main-3", None);
    world.converge().await;
    assert_eq!(world.pods().len(), 3);
    assert_eq!(world.breaches(), Vec::<String>::new());
}
