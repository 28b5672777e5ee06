//! Addresses that load balancers and nodes give, and take away.

use super::world::Looked;
use super::*;

/// What load balancers of these brokers say.
fn balance(world: &World, address: impl Fn(i32) -> Option<String>) {
    for id in 1..=3 {
        let ingress: Vec<_> = address(id)
            .map(|ip| json!({ "ip": ip }))
            .into_iter()
            .collect();
        let status = json!({ "status": { "loadBalancer": { "ingress": ingress } } });
        world.by_hand("services", &format!("demo-outside-{id}"), &status);
    }
}

/// Three brokers behind load balancers that have addresses.
async fn balanced() -> World {
    let mut world = World::new(3);
    world.change(&json!({ "listeners": [
        { "name": "internal", "port": 9092 },
        { "name": "outside", "port": 9094, "type": "LoadBalancer" },
    ] }));
    for _ in 0..4 {
        world.look().await;
        world.step();
    }
    assert!(world.pods().is_empty(), "nobody starts without an address");
    balance(&world, |id| Some(format!("192.0.2.{id}")));
    world.converge().await;
    world
}

fn told(world: &World, pod: &str) -> String {
    let files = world.object("configmaps", "demo-main").expect("files");
    let file = files["data"][format!("{pod}.properties")]
        .as_str()
        .expect("a file");
    let line = file
        .lines()
        .find_map(|line| line.strip_prefix("advertised.listeners="));
    line.unwrap_or_default().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_first_start_is_the_only_one() {
    let mut world = balanced().await;
    let before = world.pods();
    assert_eq!(before.len(), 3);
    world.kube.events();
    world.converge().await;
    assert_eq!(world.pods(), before);
    assert!(told(&world, "demo-main-1").ends_with("OUTSIDE://192.0.2.2:9094"));
    assert_eq!(world.kube.events(), []);
}

#[tokio::test(start_paused = true)]
async fn a_broker_whose_address_changes_is_restarted_and_no_other() {
    let mut world = balanced().await;
    let before = world.pods();
    world.kube.events();
    balance(&world, |id| {
        Some(if id == 2 {
            "198.51.100.2".to_owned()
        } else {
            format!("192.0.2.{id}")
        })
    });
    world.converge().await;
    let now = world.pods();
    let restarted: Vec<_> = now
        .iter()
        .filter(|(pod, uid)| before[*pod] != **uid)
        .collect();
    assert_eq!(
        restarted
            .iter()
            .map(|(pod, _)| pod.as_str())
            .collect::<Vec<_>>(),
        ["demo-main-1"]
    );
    assert!(told(&world, "demo-main-1").ends_with("OUTSIDE://198.51.100.2:9094"));
    let reasons: Vec<_> = world
        .kube
        .events()
        .into_iter()
        .map(|(reason, _)| reason)
        .collect();
    assert_eq!(reasons, ["AddressChanged"]);

    // All of them, one after the other.
    balance(&world, |id| Some(format!("203.0.113.{id}")));
    world.converge().await;
    let then = world.pods();
    assert!(then.iter().all(|(pod, uid)| now[pod] != *uid));
    assert_eq!(world.breaches(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_gone_for_a_moment_restarts_nobody() {
    let mut world = balanced().await;
    let (before, files) = (world.pods(), world.object("configmaps", "demo-main"));
    balance(&world, |_| None);
    for _ in 0..4 {
        world.kube.writes();
        let looked = world.look().await;
        assert!(matches!(looked, Looked::Ended(Ok(_))), "{looked:?}");
        let wrote = world.kube.writes();
        assert!(
            wrote.iter().all(|path| path.ends_with("/status")),
            "{wrote:?}"
        );
        world.step();
    }
    // Nor does it keep anybody from what else is to be done.
    world.change(&json!({ "config": { "log.retention.ms": 1000 } }));
    world.converge().await;
    assert_eq!(
        (world.pods(), world.object("configmaps", "demo-main")),
        (before, files)
    );
    balance(&world, |id| Some(format!("192.0.2.{id}")));
    world.converge().await;
    assert_eq!(world.breaches(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn another_kind_of_listener_is_another_address() {
    let mut world = World::settled(3, 3).await;
    let before = world.pods();
    world.change(&json!({ "listeners": [
        { "name": "internal", "port": 9092 },
        { "name": "outside", "port": 9094, "type": "LoadBalancer" },
    ] }));
    for _ in 0..4 {
        world.look().await;
        world.step();
    }
    assert_eq!(world.pods(), before, "they have no addresses yet");
    balance(&world, |id| Some(format!("192.0.2.{id}")));
    world.converge().await;
    let now = world.pods();
    assert!(now.iter().all(|(pod, uid)| before[pod] != *uid));
    assert!(told(&world, "demo-main-0").ends_with("OUTSIDE://192.0.2.1:9094"));
    assert_eq!(world.breaches(), Vec::<String>::new());
}
