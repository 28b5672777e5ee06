//! The same with a broker that is really there. Brokers have one level so far.

use serde_json::json;

use super::super::quorum::real::World;
use super::super::quorum::tests::{pool, wanted};
use super::*;

#[tokio::test]
#[ignore = "starts the broker that FRESHET_BROKER names: cargo xtask test runs it"]
async fn a_broker_tells_its_levels_and_keeps_to_them() {
    let mut world = World::new(&[pool("main", &[], 1)]);
    world.settle().await;
    let client = world.client().await;
    let at = |asked: Option<i16>| Wanted {
        metadata_version: asked,
        ..wanted(&json!([pool("main", &[], 1)]))
    };
    let plan = world.planned().await;
    let look =
        async |asked, is_calm| level(&client, &at(asked), &plan, &world.observed, is_calm).await;
    let as_it_is = Levelled {
        now: Some(1),
        ..Levelled::default()
    };
    assert_eq!(look(None, true).await, as_it_is);
    assert_eq!(look(Some(1), true).await, as_it_is, "nothing is written");
    assert_eq!(look(Some(1), false).await, as_it_is, "nor waited for");

    let waiting = look(Some(2), false).await;
    assert_eq!((waiting.now, waiting.refused), (Some(1), None));
    assert!(
        waiting
            .waits_for
            .is_some_and(|why| why.starts_with("all pods"))
    );

    let refused = look(Some(2), true).await;
    let (reason, why) = refused.refused.expect("brokers cannot work with it");
    assert_eq!(
        (reason, refused.now),
        ("MetadataVersionNotSupported", Some(1))
    );
    assert!(
        why.contains("brokers 1 cannot") && why.contains("with 1 to 1"),
        "{why}"
    );

    // What brokers themselves refuse is told in their own words.
    let mut told = as_it_is.clone();
    set(&client, &at(Some(2)), 2, false, &mut told).await;
    let (reason, why) = told.refused.expect("brokers refuse it");
    assert_eq!(reason, "MetadataVersionRefused");
    assert!(why.contains("this version knows levels 1 to 1"), "{why}");
    assert_eq!((told.now, told.changed), (Some(1), None));
}
