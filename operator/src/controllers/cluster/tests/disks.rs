//! Brokers whose disk is slow or full.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_roll_begins_with_them_and_goes_on_when_they_are_well() {
    let mut world = World::settled(3, 3).await;
    let before = world.pods();
    // The active controller is 1; 2 would be the first one to go.
    world.kafka.0.lock().unwell.insert(3);
    world.step();
    world.change(&json!({ "image": "freshet.dev/broker:2" }));
    for _ in 0..20 {
        world.look().await;
        world.step();
    }
    let restarted = |world: &World| {
        let now = world.pods();
        let is_other = |(pod, uid): (String, String)| (before[&pod] != uid).then_some(pod);
        now.into_iter().filter_map(is_other).collect::<Vec<_>>()
    };
    assert_eq!(restarted(&world), ["demo-main-2"]);
    world.kafka.0.lock().unwell.clear();
    world.converge().await;
    assert_eq!(restarted(&world).len(), 3);
    assert_eq!(world.breaches(), Vec::<String>::new());
}
