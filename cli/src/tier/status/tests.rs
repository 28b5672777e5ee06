//! What is shown of what leaders tell.

use super::*;

fn placed(partition: i32) -> Placed {
    Placed {
        topic: "t".to_owned(),
        partition,
        state: COPIES,
        start: Some(2),
        local_start: Some(5),
        tiered_end: Some(7),
        end: Some(9),
        objects: Some(3),
        object_bytes: Some(100),
        disk_bytes: Some(30),
        leader_disk_bytes: Some(10),
        lag_segments: Some(1),
        lag_bytes: Some(5),
        lag_ms: Some(90_000),
        ..Placed::default()
    }
}

#[test]
fn what_is_not_copied_is_counted_where_it_is_known() {
    let known = placed(0);
    assert_eq!((known.uncopied(), known.records()), (Some(2), Some(7)));
    // The answers are of two moments.
    let earlier = Placed {
        end: Some(6),
        ..known.clone()
    };
    assert_eq!(earlier.uncopied(), Some(0));
    let unknown = Placed {
        tiered_end: None,
        ..known
    };
    assert_eq!(unknown.uncopied(), None);
}

#[test]
fn partitions_are_summed_and_the_worst_of_them_is_the_topics_state() {
    let failing = Placed {
        state: FAILING,
        paused: true,
        lag_ms: Some(120_000),
        last_error: Some("it refuses".to_owned()),
        last_error_ms: Some(10),
        ..placed(1)
    };
    let earlier = Placed {
        last_error: Some("it was away".to_owned()),
        last_error_ms: Some(5000),
        ..placed(2)
    };
    let unknown = Placed {
        topic: "t".to_owned(),
        partition: 3,
        state: UNKNOWN,
        error: Some("nobody leads it".to_owned()),
        disk_bytes: Some(30),
        ..Placed::default()
    };
    let all = [placed(0), failing, earlier, unknown];
    let summed = Summed::of("t", &all);
    let expected = Summed {
        topic: "t".to_owned(),
        state: FAILING,
        paused: true,
        error: Some("nobody leads it".to_owned()),
        partitions: 4,
        unknown_partitions: 1,
        objects: 9,
        object_bytes: 300,
        disk_bytes: Some(120),
        records: 21,
        uncopied_records: 6,
        lag_segments: 3,
        lag_bytes: 15,
        lag_ms: Some(120_000),
        last_error: Some("it refuses".to_owned()),
        last_error_ms: Some(10),
    };
    assert_eq!(summed, expected);
    let told = sentences(&[summed], &all);
    assert_eq!(
        told,
        [
            "t-1: it refuses (0s ago)",
            "t-2: it was away (5s ago; it goes on since)",
            "t-3: nobody leads it",
        ]
    );
}

#[test]
fn what_a_leader_tells_stands_in_its_place() {
    let standing = TierStanding {
        state: TierState::Copies,
        log_start: Some(2),
        local_start: Some(5),
        remote_end: Some(7),
        end: Some(9),
        objects: Some(3),
        object_bytes: Some(100),
        local_bytes: Some(10),
        lag_segments: Some(1),
        lag_bytes: Some(5),
        lag_ms: Some(90_000),
        error: None,
        error_ms: None,
        fails: false,
    };
    let at = || ("t".to_owned(), 0);
    assert_eq!(place(at(), Ok(standing.clone()), Some(30)), placed(0));
    let state = |state, fails| {
        let standing = TierStanding {
            state,
            fails,
            ..standing.clone()
        };
        let placed = place(at(), Ok(standing), None);
        assert_eq!(placed.paused, state == TierState::Paused);
        placed.state
    };
    assert_eq!(state(TierState::Copies, true), FAILING);
    assert_eq!(state(TierState::Paused, true), FAILING);
    assert_eq!(state(TierState::Paused, false), PAUSED);
    assert_eq!(state(TierState::Off, true), OFF);
    let refused = ClientError::Invalid("it is away".to_owned());
    assert_eq!(place(at(), Err(refused), None).state, UNKNOWN);
}

#[test]
fn of_many_errors_a_few_are_told() {
    let many: Vec<Placed> = (0..30)
        .map(|partition| Placed {
            state: UNKNOWN,
            error: Some("nobody leads it".to_owned()),
            topic: "t".to_owned(),
            partition,
            ..Placed::default()
        })
        .collect();
    let told = sentences(&[], &many);
    assert_eq!(told.len(), 21, "a few of them");
    assert!(told[20].contains("10 more"), "{}", told[20]);
}
