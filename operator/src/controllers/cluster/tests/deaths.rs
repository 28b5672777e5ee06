//! An operator that is killed after any of its requests.

use super::world::Looked;
use super::*;

/// Kills the operator after its N-th request, for every N that there is.
async fn die_anywhere(name: &'static str) {
    let story = Story::named(name).await;
    let mut course = story.begin();
    let mut before = 0;
    // Look by look, as it goes without faults.
    while before < story.calls {
        let mut last = None;
        for calls in 1.. {
            let mut world = course.fork();
            world.faults.die_after(calls);
            if !matches!(world.look().await, Looked::Died) {
                break;
            }
            // Nothing is remembered but what was written: after a request that only reads the rest is the same.
            let now = Some(world.written());
            if now != last {
                last = now;
                world.step();
                world.converge().await;
                let calls = before + calls;
                story.assert_ended(&world, &format!("killed after {calls} requests"));
            }
        }
        course.look().await;
        course.step();
        before = course.faults.calls();
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_creation_survives_any_death() {
    die_anywhere(CREATION).await;
}

#[tokio::test(start_paused = true)]
async fn a_roll_survives_any_death() {
    die_anywhere(ROLL).await;
}

#[tokio::test(start_paused = true)]
async fn a_growth_of_volumes_survives_any_death() {
    die_anywhere(GROWTH).await;
}

#[tokio::test(start_paused = true)]
async fn more_brokers_survive_any_death() {
    die_anywhere(OUT).await;
}

#[tokio::test(start_paused = true)]
async fn fewer_brokers_survive_any_death() {
    die_anywhere(IN).await;
}

#[tokio::test(start_paused = true)]
async fn fewer_brokers_on_larger_volumes_survive_any_death() {
    die_anywhere(IN_AND_GROWTH).await;
}

#[tokio::test(start_paused = true)]
async fn more_voters_survive_any_death() {
    die_anywhere(MORE_VOTERS).await;
}

#[tokio::test(start_paused = true)]
async fn fewer_voters_survive_any_death() {
    die_anywhere(FEWER_VOTERS).await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_node_survives_any_death() {
    die_anywhere(LOST_NODE).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_on_purpose_and_its_end_survive_any_death() {
    die_anywhere(STOP).await;
    die_anywhere(START).await;
}

#[tokio::test(start_paused = true)]
async fn stories_are_what_they_are_called() {
    for name in STORIES {
        let story = Story::named(name).await;
        let before = story.start.all();
        let expected: &[&str] = match name {
            CREATION => &["statefulsets demo-main", "pods demo-main-2", "kafka"],
            ROLL => &["pods demo-main-0", "pods demo-main-1", "pods demo-main-2"],
            GROWTH => &[
                "statefulsets demo-main",
                "persistentvolumeclaims data-demo-main-1",
            ],
            MORE_VOTERS | FEWER_VOTERS => &["pods demo-main-1", "kafka"],
            STOP | START => &["pods demo-main-2", "configmaps demo-main", "clusters demo"],
            LOST_NODE => &["persistentvolumeclaims data-demo-main-2"],
            _ => &["pods demo-main-4", "services demo-outside-5", "kafka"],
        };
        for key in expected {
            assert_ne!(before.get(*key), story.end.get(*key), "{name}: {key}");
        }
        assert!(story.calls > 50, "{name}: {} requests", story.calls);
        let files = story.end["configmaps demo-main"]["data"].as_object();
        let pods = story.end.keys().filter(|key| key.starts_with("pods "));
        assert_eq!(files.map(|files| files.len()), Some(pods.count()), "{name}");
        let conditions = &story.end["clusters demo"]["status"]["conditions"];
        let is_ready = |c: &Value| c["type"] == "Ready" && c["status"] == "True";
        let mut conditions = conditions.as_array().into_iter().flatten();
        assert!(conditions.any(is_ready), "{name}");
    }
}
