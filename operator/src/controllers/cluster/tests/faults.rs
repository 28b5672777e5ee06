//! Requests that go wrong, in all ways and at any time.

use std::collections::BTreeSet;

use super::world::Looked;
use super::*;
use crate::controllers::fake::{Dice, Fault};

/// Looks while requests go wrong; afterwards they go well.
const WILD_LOOKS: usize = 7;

/// Carries a story out while every `percent`th request meets one of these faults.
async fn carry_out(story: &Story, seed: u64, percent: usize, kinds: &[Fault]) -> Vec<Fault> {
    let mut dice = Dice::new(seed);
    let mut world = story.begin();
    world.let_others_act();
    world.faults.begin(Dice::new(!seed), percent, kinds);
    for _ in 0..WILD_LOOKS {
        if dice.percent(20) {
            world
                .faults
                .die_after(1 + u64::try_from(dice.below(30)).unwrap());
        }
        match dice.below(10) {
            0 => world.look_twice().await,
            // What is watched comes late.
            1 => drop(world.look_again().await),
            _ => drop(world.look().await),
        }
        for _ in 0..dice.below(3) {
            world.step();
        }
    }
    world.faults.end();
    world.converge().await;
    story.assert_ended(&world, &format!("seed {seed}, {kinds:?}"));
    world.faults.done()
}

/// So many seeds of all faults together.
async fn all_together(name: &'static str, seeds: u64) {
    let story = Story::named(name).await;
    let mut met = BTreeSet::new();
    for seed in 0..seeds {
        let done = carry_out(&story, seed, 12, &Fault::ALL).await;
        met.extend(done.iter().map(|fault| format!("{fault:?}")));
    }
    assert_eq!(met.len(), Fault::ALL.len(), "{met:?}");
}

#[tokio::test(start_paused = true)]
async fn a_first_creation_ends_the_same_whatever_goes_wrong() {
    all_together(CREATION, 30).await;
}

#[tokio::test(start_paused = true)]
async fn a_roll_ends_the_same_whatever_goes_wrong() {
    all_together(ROLL, 20).await;
}

#[tokio::test(start_paused = true)]
async fn a_growth_of_volumes_ends_the_same_whatever_goes_wrong() {
    all_together(GROWTH, 30).await;
}

#[tokio::test(start_paused = true)]
async fn more_brokers_end_the_same_whatever_goes_wrong() {
    all_together(OUT, 40).await;
}

#[tokio::test(start_paused = true)]
async fn more_voters_end_the_same_whatever_goes_wrong() {
    all_together(MORE_VOTERS, 50).await;
}

#[tokio::test(start_paused = true)]
async fn fewer_voters_end_the_same_whatever_goes_wrong() {
    all_together(FEWER_VOTERS, 20).await;
}

#[tokio::test(start_paused = true)]
async fn fewer_brokers_end_the_same_whatever_goes_wrong() {
    all_together(IN, 30).await;
}

#[tokio::test(start_paused = true)]
async fn fewer_brokers_on_larger_volumes_end_the_same_whatever_goes_wrong() {
    all_together(IN_AND_GROWTH, 20).await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_node_ends_the_same_whatever_goes_wrong() {
    all_together(LOST_NODE, 30).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_on_purpose_and_its_end_are_the_same_whatever_goes_wrong() {
    all_together(STOP, 30).await;
    all_together(START, 30).await;
}

#[tokio::test(start_paused = true)]
async fn each_fault_alone_changes_nothing_in_the_end() {
    for name in [CREATION, IN_AND_GROWTH] {
        let story = Story::named(name).await;
        for kind in Fault::ALL {
            for seed in 1_000..1_003 {
                let done = carry_out(&story, seed, 30, &[kind]).await;
                assert!(done.contains(&kind), "{name}: no {kind:?} with seed {seed}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn brokers_that_never_answer_are_waited_for() {
    let story = Story::named(IN).await;
    let mut world = story.begin();
    world.kafka.0.lock().is_away = true;
    for _ in 0..20 {
        let looked = world.look().await;
        assert!(matches!(looked, Looked::Ended(Ok(_))), "{looked:?}");
        world.step();
    }
    let set = world.object("statefulsets", "demo-main").unwrap();
    assert_eq!(set["spec"]["replicas"], 5, "nobody says that two are empty");
    let status = &world.cluster().unwrap()["status"];
    let reasons = status["conditions"].as_array().unwrap().iter();
    let reasons: Vec<_> = reasons.map(|c| c["reason"].as_str().unwrap()).collect();
    assert!(reasons.contains(&"BrokersNotReached"), "{reasons:?}");
    world.kafka.0.lock().is_away = false;
    world.converge().await;
    story.assert_ended(&world, "brokers were away");
}
