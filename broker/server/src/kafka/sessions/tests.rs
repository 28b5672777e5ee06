use super::*;

const SLOTS: usize = 1000;
const NOW: Millis = Millis(1_000_000);

fn entry(partition: PartitionId, fetch_offset: Offset) -> (Wanted, Position) {
    let wanted = Wanted {
        topic_id: TopicId::ZERO,
        topic: "t".into(),
        partition,
    };
    let position = Position {
        current_leader_epoch: -1,
        fetch_offset,
        last_fetched_epoch: -1,
        max_bytes: 1,
        told: Told::NOTHING,
    };
    (wanted, position)
}

fn opening(session_id: i32, session_epoch: i32, partitions: Vec<(Wanted, Position)>) -> Opening {
    Opening {
        session_id,
        session_epoch,
        by_id: false,
        partitions,
        forgotten: Vec::new(),
    }
}

fn fresh(sessions: &mut Sessions, partitions: Vec<(Wanted, Position)>) -> Session {
    match sessions.open(opening(0, 0, partitions), 7, NOW) {
        Ok(Fetching::Fresh(session)) => session,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_session_remembers_updates_and_forgets() {
    let mut sessions = Sessions::new(SLOTS);
    let session = fresh(&mut sessions, vec![entry(0, 5), entry(1, 6)]);
    sessions.give_back(session, NOW);
    let mut next = opening(7, 1, vec![entry(1, 60), entry(2, 7)]);
    next.forgotten = vec![entry(0, 0).0];
    let Ok(Fetching::Incremental(session)) = sessions.open(next, 8, NOW) else {
        panic!("the session is there")
    };
    let seen: Vec<_> = session
        .partitions
        .iter()
        .map(|(w, p)| (w.partition, p.fetch_offset))
        .collect();
    assert_eq!(seen, [(1, 60), (2, 7)]);
}

#[test]
fn wrong_ids_and_epochs_have_their_own_errors() {
    let mut sessions = Sessions::new(SLOTS);
    let open = |s: &mut Sessions, id, epoch| s.open(opening(id, epoch, vec![]), 8, NOW).map(|_| ());
    assert_eq!(open(&mut sessions, 7, 1), Err(SessionError::NotFound));
    let session = fresh(&mut sessions, vec![entry(0, 0)]);
    assert_eq!(
        open(&mut sessions, 7, 1),
        Err(SessionError::NotFound),
        "its request still runs"
    );
    sessions.give_back(session, NOW);
    assert_eq!(open(&mut sessions, 7, 2), Err(SessionError::InvalidEpoch));
    let by_id = Opening {
        by_id: true,
        ..opening(7, 1, vec![])
    };
    assert_eq!(
        sessions.open(by_id, 8, NOW).map(|_| ()),
        Err(SessionError::TopicIds)
    );
    assert_eq!(open(&mut sessions, 7, 1), Ok(()));
}

#[test]
fn the_epoch_wraps_to_one() {
    let mut sessions = Sessions::new(SLOTS);
    let mut session = fresh(&mut sessions, vec![]);
    session.next_epoch = i32::MAX;
    sessions.give_back(session, NOW);
    assert_eq!(sessions.idle[&7].session.next_epoch, 1);
}

#[test]
fn ending_a_session_frees_its_partitions() {
    let mut sessions = Sessions::new(SLOTS);
    let session = fresh(&mut sessions, vec![entry(0, 0), entry(1, 0)]);
    sessions.give_back(session, NOW);
    assert_eq!(sessions.partitions, 2);
    assert!(matches!(
        sessions.open(opening(7, -1, vec![]), 8, NOW),
        Ok(Fetching::Full(_))
    ));
    assert_eq!((sessions.partitions, sessions.len()), (0, 0));
}

#[test]
fn a_full_cache_gives_no_session_until_one_is_old() {
    let mut sessions = Sessions::new(SLOTS);
    for id in 1..=i32::try_from(SLOTS).expect("small") {
        sessions.give_back(Session::new(id, false), NOW);
    }
    let late = NOW + EVICTABLE_AFTER_MS;
    let id = i32::MAX;
    assert_eq!(
        sessions
            .open(opening(0, 0, vec![]), id, NOW)
            .expect("full fetch")
            .id(),
        0
    );
    assert_eq!(
        sessions
            .open(opening(0, 0, vec![]), id, late)
            .expect("session")
            .id(),
        id
    );
}

#[test]
fn partitions_with_data_are_served_last_next_time() {
    let mut sessions = Sessions::new(SLOTS);
    let mut session = fresh(&mut sessions, vec![entry(0, 0), entry(1, 0), entry(2, 0)]);
    session.rotate(&[true, false, false]);
    let order: Vec<_> = session
        .partitions
        .iter()
        .map(|(w, _)| w.partition)
        .collect();
    assert_eq!(order, [1, 2, 0]);
    assert_eq!(session.index[&entry(0, 0).0], 2);
}
