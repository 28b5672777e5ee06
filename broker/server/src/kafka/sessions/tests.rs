use super::*;

const SLOTS: usize = 1000;
const NOW: Millis = Millis(1_000_000);

fn named(topic: &str) -> Named {
    Named::Name(topic.into())
}

fn at(fetch_offset: Offset) -> Position {
    Position {
        current_leader_epoch: -1,
        fetch_offset,
        last_fetched_epoch: -1,
        log_start: -1,
        max_bytes: 1,
    }
}

/// Partitions of topic t with their fetch offsets.
fn asked(partitions: &[(PartitionId, Offset)]) -> Vec<Asked> {
    let partitions = partitions.iter().map(|&(p, offset)| (p, at(offset)));
    vec![Asked {
        named: named("t"),
        partitions: partitions.collect(),
    }]
}

fn opening(session_id: i32, session_epoch: i32, topics: Vec<Asked>) -> Opening {
    Opening {
        session_id,
        session_epoch,
        by_id: false,
        isolation: Isolation::ReadUncommitted,
        topics,
        forgotten: Vec::new(),
    }
}

/// What must be looked at, as partitions and fetch offsets.
fn due(session: &mut Session) -> Vec<(PartitionId, Offset)> {
    let slots = session.agenda.take_due();
    let item = |slot| session.agenda.item(slot).expect("due items exist");
    let item = |slot| (item(slot).partition, item(slot).position.fetch_offset);
    slots.into_iter().map(item).collect()
}

fn fresh(sessions: &Sessions, topics: Vec<Asked>) -> Session {
    match sessions.open(opening(0, 0, topics), || 7, NOW) {
        Ok(Fetching::Fresh(session)) => session,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_session_remembers_updates_and_forgets() {
    let sessions = Sessions::new(SLOTS);
    let mut session = fresh(&sessions, asked(&[(0, 5), (1, 6), (3, 8)]));
    assert_eq!(due(&mut session), [(0, 5), (1, 6), (3, 8)]);
    sessions.give_back(session, NOW);
    let mut next = opening(7, 1, asked(&[(1, 60), (2, 7), (3, 8)]));
    next.forgotten = vec![(named("t"), vec![0, 9]), (named("other"), vec![0])];
    let Ok(Fetching::Incremental(mut session)) = sessions.open(next, || 8, NOW) else {
        panic!("the session is there")
    };
    assert_eq!(session.agenda.len(), 3);
    assert_eq!(due(&mut session), [(1, 60), (2, 7)], "3 is where it was");
    sessions.give_back(session, NOW);
    let mut last = opening(7, 2, asked(&[]));
    last.forgotten = vec![(named("t"), vec![1, 2, 3])];
    let Ok(Fetching::Incremental(session)) = sessions.open(last, || 8, NOW) else {
        panic!("the session is there")
    };
    assert!(session.agenda.is_empty() && session.index.is_empty());
}

#[test]
fn a_slot_is_used_again_and_due_once() {
    let mut session = fresh(&Sessions::new(SLOTS), asked(&[(0, 0), (1, 1)]));
    session.forget((named("t"), vec![0]));
    asked(&[(2, 2), (1, 5)])
        .into_iter()
        .for_each(|asked| session.set(asked));
    assert_eq!(due(&mut session), [(1, 5), (2, 2)]);
    assert_eq!(due(&mut session), []);
}

#[test]
fn another_isolation_makes_everything_due() {
    let mut session = fresh(&Sessions::new(SLOTS), asked(&[(0, 0), (1, 1)]));
    due(&mut session);
    session.isolate(Isolation::ReadUncommitted);
    assert_eq!(due(&mut session), []);
    session.isolate(Isolation::ReadCommitted);
    assert_eq!(due(&mut session), [(0, 0), (1, 1)]);
}

#[test]
fn wrong_ids_and_epochs_have_their_own_errors() {
    let sessions = Sessions::new(SLOTS);
    let open = |s: &Sessions, id, epoch| s.open(opening(id, epoch, vec![]), || 8, NOW).map(|_| ());
    assert_eq!(open(&sessions, 7, 1), Err(SessionError::NotFound));
    let session = fresh(&sessions, asked(&[(0, 0)]));
    assert_eq!(
        open(&sessions, 7, 1),
        Err(SessionError::NotFound),
        "its request still runs"
    );
    sessions.give_back(session, NOW);
    assert_eq!(open(&sessions, 7, 2), Err(SessionError::InvalidEpoch));
    let by_id = Opening {
        by_id: true,
        ..opening(7, 1, vec![])
    };
    assert_eq!(
        sessions.open(by_id, || 8, NOW).map(|_| ()),
        Err(SessionError::TopicIds)
    );
    assert_eq!(open(&sessions, 7, 1), Ok(()));
}

#[test]
fn the_epoch_wraps_to_one() {
    let sessions = Sessions::new(SLOTS);
    let mut session = fresh(&sessions, vec![]);
    session.next_epoch = i32::MAX;
    sessions.give_back(session, NOW);
    assert_eq!(sessions.cache.lock().idle[&7].session.next_epoch, 1);
}

#[test]
fn ending_a_session_frees_its_partitions() {
    let sessions = Sessions::new(SLOTS);
    let session = fresh(&sessions, asked(&[(0, 0), (1, 0)]));
    sessions.give_back(session, NOW);
    assert_eq!(sessions.cache.lock().partitions, 2);
    assert!(matches!(
        sessions.open(opening(7, -1, vec![]), || 8, NOW),
        Ok(Fetching::Full(_))
    ));
    assert_eq!(sessions.cache.lock().partitions, 0);
    assert_eq!(sessions.len(), 0);
}

#[test]
fn a_full_cache_gives_no_session_until_one_is_old() {
    let sessions = Sessions::new(SLOTS);
    for id in 1..=i32::try_from(SLOTS).expect("small") {
        let open = sessions.open(opening(0, 0, vec![]), || id, NOW);
        let session = open.expect("room").into_session().expect("a session");
        sessions.give_back(session, NOW);
    }
    let late = NOW + EVICTABLE_AFTER_MS;
    let id = i32::MAX;
    assert_eq!(
        sessions
            .open(opening(0, 0, vec![]), || id, NOW)
            .expect("full fetch")
            .id(),
        0
    );
    assert_eq!(
        sessions
            .open(opening(0, 0, vec![]), || id, late)
            .expect("session")
            .id(),
        id
    );
}

#[test]
fn sessions_at_a_request_hold_their_slots_and_none_grows_without_end() {
    let sessions = Sessions::new(1);
    let mut session = fresh(&sessions, asked(&[(0, 0)]));
    let late = NOW + EVICTABLE_AFTER_MS;
    let second = sessions.open(opening(0, 0, vec![]), || 9, late);
    assert_eq!(second.expect("full fetch").id(), 0, "the slot is taken");
    let mut grown = 1;
    for epoch in 1.. {
        let id = session.id;
        sessions.give_back(session, NOW);
        let more: Vec<_> = (grown..grown + 400_000).map(|p| (p, 0)).collect();
        grown += 400_000;
        match sessions.open(opening(id, epoch, asked(&more)), || 0, NOW) {
            Ok(Fetching::Incremental(same)) => session = same,
            refused => {
                assert!(
                    matches!(refused, Err(SessionError::NotFound)),
                    "{refused:?}"
                );
                break;
            }
        }
    }
    assert!(grown <= 1_200_001, "{grown}");
    assert_eq!(sessions.cache.lock().partitions, 0, "the session has ended");
}

#[test]
fn partitions_with_data_are_served_last_next_time() {
    let sessions = Sessions::new(SLOTS);
    let mut session = fresh(&sessions, asked(&[(0, 0), (1, 0), (2, 0)]));
    let slots = session.agenda.take_due();
    session.agenda.move_to_back(slots[0]);
    session.agenda.make_all_due();
    assert_eq!(due(&mut session), [(1, 0), (2, 0), (0, 0)]);
}
