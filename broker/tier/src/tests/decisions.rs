//! One question, one answer.

use freshet_types::{ErrorKind, Machine, Retry};

use super::support::{HERE, Shard, epochs, id, log, stored};
use crate::machine::{Answer, Ask, Change, Claim, Limits, Manifests, Purpose, Refusal, Stored};

const HOUR: u64 = 3_600_000;

#[test]
fn an_upload_is_begun_and_committed() {
    let shard = Shard::with(&[(0, 100), (100, 250)]);
    assert_eq!(shard.shown(), [(1, 0, 100), (2, 100, 250)]);
    assert_eq!(shard.manifest().remote_end(), 250);
    assert!(shard.manifest().open().is_empty());
}

#[test]
fn who_led_before_is_fenced_and_its_uploads_are_given_up() {
    let mut shard = Shard::with(&[(0, 100)]);
    let late = stored(9, 100, 200);
    shard.begin(1, &late, Purpose::Append).unwrap();
    shard.ask(2, Ask::Claim(log(0, 0, 1000))).unwrap();
    let fenced = Refusal::Fenced {
        asked: 1,
        current: 2,
    };
    for ask in [
        Ask::Commit(late.clone()),
        Ask::Claim(log(0, 0, 1000)),
        Ask::MoveStart { log_start: 5 },
        Ask::Collect,
    ] {
        assert_eq!(shard.ask(1, ask), Err(fenced.clone()));
    }
    assert_eq!(fenced.kind(), ErrorKind::Fenced);
    assert_eq!(
        shard.ask(2, Ask::Commit(late)),
        Err(Refusal::NotOpen(id(9)))
    );
    let early = shard.ask(3, Ask::Collect);
    assert_eq!(early, Err(Refusal::NotClaimed { asked: 3 }));
}

#[test]
fn a_request_whose_answer_was_lost_is_answered_again_and_writes_nothing() {
    let mut shard = Shard::claimed();
    let segment = stored(1, 0, 100);
    let rewritten = stored(2, 0, 100);
    let asks = [
        Ask::Begin {
            id: id(1),
            start: 0,
            end: 100,
            purpose: Purpose::Append,
        },
        Ask::Commit(segment),
        Ask::Begin {
            id: id(2),
            start: 0,
            end: 100,
            purpose: Purpose::Rewrite,
        },
        Ask::Replace {
            removed: vec![id(1)],
            added: vec![rewritten],
        },
        Ask::MoveStart { log_start: 10 },
    ];
    for ask in asks {
        let first = shard.ask(1, ask.clone()).unwrap();
        let written = shard.records.len();
        assert_eq!(shard.ask(1, ask).unwrap(), first);
        assert_eq!(shard.records.len(), written);
    }
    assert_eq!(shard.shown(), [(2, 0, 100)]);
}

#[test]
fn an_id_is_used_once_whatever_became_of_it() {
    let mut shard = Shard::with(&[(0, 100)]);
    let used = Err(Refusal::IdInUse(id(1)));
    assert_eq!(shard.begin(1, &stored(1, 100, 200), Purpose::Append), used);
    shard
        .begin(1, &stored(2, 100, 200), Purpose::Append)
        .unwrap();
    let other = shard.begin(1, &stored(2, 100, 300), Purpose::Append);
    assert_eq!(other, Err(Refusal::IdInUse(id(2))));
    shard.ask(1, Ask::Abandon { ids: vec![id(2)] }).unwrap();
    let again = shard.begin(1, &stored(2, 100, 200), Purpose::Append);
    assert_eq!(again, Err(Refusal::IdInUse(id(2))));
}

#[test]
fn commits_follow_one_another() {
    let mut shard = Shard::with(&[(0, 100)]);
    let (next, after) = (stored(3, 100, 200), stored(4, 200, 300));
    shard.begin(1, &next, Purpose::Append).unwrap();
    shard.begin(1, &after, Purpose::Append).unwrap();
    let early = shard.ask(1, Ask::Commit(after.clone())).unwrap_err();
    assert_eq!(early, Refusal::NotContiguous { remote_end: 100 });
    assert_eq!(early.retry(), Retry::After);
    shard.ask(1, Ask::Commit(next)).unwrap();
    shard.ask(1, Ask::Commit(after)).unwrap();
    assert_eq!(shard.manifest().remote_end(), 300);
    let nothing_new = shard.begin(1, &stored(5, 100, 300), Purpose::Append);
    assert_eq!(nothing_new, Err(Refusal::NotContiguous { remote_end: 300 }));
}

#[test]
fn an_overlap_is_shown_once() {
    let mut shard = Shard::with(&[(0, 100)]);
    let mut wide = stored(2, 40, 200);
    wide.epochs = epochs(&[(1, 40)]);
    shard.append(1, wide).unwrap();
    assert_eq!(shard.shown(), [(1, 0, 100), (2, 100, 200)]);
    assert_eq!(shard.manifest().segments()[1].object_start, 40);
}

#[test]
fn what_is_committed_is_what_was_begun() {
    let mut shard = Shard::claimed();
    shard.begin(1, &stored(1, 0, 100), Purpose::Append).unwrap();
    for wrong in [stored(1, 0, 101), stored(2, 0, 100)] {
        let id = wrong.id;
        assert_eq!(shard.ask(1, Ask::Commit(wrong)), Err(Refusal::NotOpen(id)));
    }
    for bad in [
        &[][..],
        &[(1, 5)],
        &[(1, 0), (1, 7)],
        &[(2, 0)],
        &[(1, 0), (2, 100)],
    ] {
        let mut stored = stored(1, 0, 100);
        stored.epochs = epochs(bad);
        let refused = shard.ask(1, Ask::Commit(stored)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{bad:?}");
    }
}

#[test]
fn an_upload_that_takes_too_long_is_given_up() {
    let mut shard = Shard::claimed();
    shard.begin(1, &stored(1, 0, 100), Purpose::Append).unwrap();
    assert!(shard.doomed().is_empty());
    shard.now += HOUR / 2;
    assert!(shard.doomed().is_empty());
    let late = shard.ask(1, Ask::Commit(stored(1, 0, 100)));
    assert_eq!(late, Err(Refusal::NotOpen(id(1))));
    // Its grace age begins when it is first seen to be given up.
    shard.doomed();
    shard.now += HOUR - 1;
    assert!(shard.doomed().is_empty());
    shard.now += 1;
    assert_eq!(shard.doomed(), [1]);
}

#[test]
fn retention_drops_whole_segments_and_never_goes_back() {
    let mut shard = Shard::with(&[(0, 100), (100, 200), (200, 300)]);
    shard.ask(1, Ask::MoveStart { log_start: 150 }).unwrap();
    assert_eq!(shard.shown(), [(2, 100, 200), (3, 200, 300)]);
    assert_eq!(shard.manifest().log_start(), 150);
    assert!(shard.manifest().at(149).is_none());
    assert_eq!(shard.manifest().at(150).unwrap().id, id(2));
    shard.ask(1, Ask::MoveStart { log_start: 20 }).unwrap();
    assert_eq!(shard.manifest().log_start(), 150);
    // DeleteRecords of what is not in the bucket yet: the next segment begins there.
    shard.ask(1, Ask::MoveStart { log_start: 400 }).unwrap();
    assert_eq!(shard.manifest().remote_end(), 400);
    shard.append(1, stored(4, 390, 500)).unwrap();
    assert_eq!(shard.shown(), [(4, 400, 500)]);
}

#[test]
fn garbage_goes_after_an_export_and_a_grace_age() {
    let mut shard = Shard::with(&[(0, 100), (100, 200)]);
    shard.ask(1, Ask::MoveStart { log_start: 100 }).unwrap();
    assert!(shard.doomed().is_empty());
    shard.now += 2 * HOUR;
    assert!(
        shard.doomed().is_empty(),
        "a manifest in the bucket names it"
    );
    shard.export();
    assert_eq!(shard.doomed(), [1]);
    assert_eq!(shard.doomed(), [1], "until it is said to be gone");
    shard
        .ask(
            1,
            Ask::Collected {
                ids: vec![id(1), id(2)],
            },
        )
        .unwrap();
    assert!(shard.doomed().is_empty());
    assert_eq!(shard.shown(), [(2, 100, 200)]);
}

#[test]
fn a_new_host_waits_a_grace_age_again() {
    let mut shard = Shard::with(&[(0, 100)]);
    shard.ask(1, Ask::MoveStart { log_start: 100 }).unwrap();
    shard.export();
    shard.doomed();
    shard.now += HOUR - 1;
    let mut machine = Manifests::new(Limits::default());
    shard
        .machine
        .snapshot()
        .iter()
        .for_each(|r| machine.apply(r));
    assert_eq!(machine.get(HERE), shard.machine.get(HERE));
    shard.machine = machine;
    shard.now += 1;
    assert!(shard.doomed().is_empty());
    shard.now += HOUR;
    assert_eq!(shard.doomed(), [1]);
}

#[test]
fn strangers_in_a_listing_go_after_a_grace_age() {
    let mut shard = Shard::with(&[(0, 100)]);
    shard
        .begin(1, &stored(2, 100, 200), Purpose::Append)
        .unwrap();
    let listed = vec![(id(1), 0), (id(2), 100), (id(3), 50)];
    let sweep = |shard: &mut Shard| match shard.ask(
        1,
        Ask::Sweep {
            listed: listed.clone(),
        },
    ) {
        Ok(Answer::Doomed { objects, .. }) => objects,
        other => panic!("{other:?}"),
    };
    assert!(sweep(&mut shard).is_empty());
    shard.now += HOUR;
    assert_eq!(sweep(&mut shard), [(id(3), 50)]);
    let taken = shard.begin(1, &stored(3, 100, 200), Purpose::Append);
    assert_eq!(taken, Err(Refusal::IdInUse(id(3))));
}

#[test]
fn strangers_are_those_that_were_never_begun() {
    let mut shard = Shard::with(&[(0, 100), (100, 200)]);
    shard.ask(1, Ask::MoveStart { log_start: 100 }).unwrap();
    shard
        .begin(1, &stored(3, 200, 300), Purpose::Append)
        .unwrap();
    let listed = (0..6).map(|n| (id(n), i64::from(n) * 10));
    let strangers = shard.manifest().strangers(listed);
    assert_eq!(strangers, [(id(0), 0), (id(4), 40), (id(5), 50)]);
}

#[test]
fn a_generation_takes_the_place_of_another_at_once() {
    let mut shard = Shard::with(&[(0, 100), (100, 200), (200, 300)]);
    let added = [stored(4, 0, 150), stored(5, 150, 200)];
    shard.rewrite(&added, &[1, 2]).unwrap();
    assert_eq!(shard.shown(), [(4, 0, 150), (5, 150, 200), (3, 200, 300)]);
    let generations = shard.manifest().segments().iter().map(|s| s.generation);
    assert_eq!(generations.collect::<Vec<_>>(), [1, 1, 0]);
    let one = matches!(
        shard.records.last().unwrap().change,
        Change::Replaced { .. }
    );
    assert!(one, "one record, which cannot be torn");
    // What was prepared from the old generation comes too late.
    let late = shard.rewrite(&[stored(6, 0, 100)], &[1]);
    assert_eq!(late, Err(Refusal::NotCurrent));
}

#[test]
fn a_replacement_covers_what_it_replaces() {
    let mut shard = Shard::with(&[(0, 100), (100, 200), (200, 300)]);
    let cases: [(&[_], &[u8]); 5] = [
        (&[stored(11, 0, 199)], &[1, 2]),
        (&[stored(12, 1, 200)], &[1, 2]),
        (&[stored(13, 0, 90), stored(14, 91, 200)], &[1, 2]),
        (&[stored(15, 0, 300)], &[1, 3]),
        (&[stored(16, 0, 200)], &[2, 1]),
    ];
    for (added, removed) in cases {
        let refused = shard.rewrite(added, removed).unwrap_err();
        let right = matches!(refused, Refusal::NotCovering | Refusal::NotCurrent);
        assert!(right, "{refused:?}");
        assert_eq!(shard.shown().len(), 3);
    }
    shard.ask(1, Ask::MoveStart { log_start: 150 }).unwrap();
    // The first segment is half below the log start: it is still replaced as a whole.
    shard.rewrite(&[stored(17, 100, 300)], &[2, 3]).unwrap();
    assert_eq!(shard.shown(), [(17, 100, 300)]);
}

fn departing(log_end: i64, history: &[(i32, i64)], unclean: Option<i32>) -> Claim {
    Claim {
        log_start: 0,
        local_start: 0,
        log_end,
        epochs: epochs(history),
        unclean,
    }
}

#[test]
fn a_claim_finds_where_the_bucket_departs() {
    // The bucket: epoch 1 from 0, 3 from 100, to 200.
    let mut shard = Shard::with(&[(0, 100)]);
    shard.ask(3, Ask::Claim(log(0, 0, 1000))).unwrap();
    let mut second = stored(2, 100, 200);
    second.epochs = epochs(&[(3, 100)]);
    shard.append(3, second).unwrap();
    type Row<'a> = (i64, &'a [(i32, i64)], Option<i64>);
    let table: [Row<'_>; 7] = [
        (300, &[(1, 0), (3, 100)], None),
        (300, &[(1, 0), (3, 100), (4, 200)], None),
        (300, &[(1, 0), (3, 120)], Some(100)),
        (300, &[(1, 0), (2, 50), (3, 100)], Some(50)),
        (150, &[(1, 0), (3, 100)], Some(150)),
        (80, &[(1, 0)], Some(80)),
        (300, &[(1, 0), (3, 100), (4, 150)], Some(150)),
    ];
    for (log_end, history, at) in table {
        let found = shard.ask(5, Ask::Claim(departing(log_end, history, None)));
        let remote_end = 200;
        match at {
            Some(at) => assert_eq!(found, Err(Refusal::Departs { at, remote_end })),
            None => assert!(found.is_ok(), "{history:?}"),
        }
    }
}

#[test]
fn an_unclean_election_cuts_once() {
    let mut shard = Shard::with(&[(0, 100), (100, 200)]);
    let unclean = departing(150, &[(1, 0)], Some(4));
    shard.ask(5, Ask::Claim(unclean.clone())).unwrap();
    assert_eq!(shard.shown(), [(1, 0, 100), (2, 100, 150)]);
    let mut next = stored(3, 150, 300);
    next.epochs = epochs(&[(5, 150)]);
    shard.append(5, next).unwrap();
    // A late copy of the claim would cut what came since.
    let late = shard.ask(5, Ask::Claim(unclean));
    assert_eq!(late.unwrap_err().kind(), ErrorKind::Conflict);
    let same = departing(150, &[(1, 0)], Some(4));
    let refused = shard.ask(6, Ask::Claim(same)).unwrap_err();
    let (at, remote_end) = (150, 300);
    assert_eq!(refused, Refusal::Departs { at, remote_end });
}

#[test]
fn a_hole_between_the_tiers_is_found() {
    let mut shard = Shard::with(&[(0, 100)]);
    let hole = shard.ask(2, Ask::Claim(log(0, 130, 1000)));
    assert_eq!(hole, Err(Refusal::Hole { from: 100, to: 130 }));
    assert_eq!(shard.manifest().leader_epoch(), 1, "nothing has changed");
    let last = &shard.records.last().unwrap().change;
    assert_eq!(*last, Change::Confirmed, "who lost the shard cannot say so");
    let deleted = shard.ask(2, Ask::Claim(log(130, 130, 1000)));
    assert!(deleted.is_ok(), "somebody has deleted what is between");
}

#[test]
fn a_deleted_topic_is_collected_and_forgotten() {
    let mut shard = Shard::with(&[(0, 100)]);
    let keep_objects = false;
    shard.ask(-1, Ask::Delete { keep_objects }).unwrap();
    assert!(shard.shown().is_empty());
    let gone = shard.append(1, stored(2, 100, 200));
    assert_eq!(gone, Err(Refusal::Deleted));
    assert_eq!(
        shard.ask(9, Ask::Claim(log(0, 0, 9))),
        Err(Refusal::Deleted)
    );
    shard.export();
    shard.doomed();
    shard.now += HOUR;
    assert_eq!(shard.doomed(), [1]);
    shard.ask(1, Ask::Collected { ids: vec![id(1)] }).unwrap();
    assert!(shard.machine.get(HERE).is_none());
    assert!(shard.machine.snapshot().is_empty());
}

#[test]
fn objects_are_kept_when_the_bucket_says_what_they_are() {
    let keep = |shard: &mut Shard| shard.ask(-1, Ask::Delete { keep_objects: true });
    let mut shard = Shard::with(&[(0, 100), (100, 200)]);
    assert_eq!(
        keep(&mut shard),
        Err(Refusal::NotWhole),
        "no manifest is there"
    );
    shard.export();
    shard.ask(1, Ask::MoveStart { log_start: 150 }).unwrap();
    shard.export();
    assert_eq!(
        keep(&mut shard),
        Err(Refusal::NotWhole),
        "one object is garbage"
    );
    shard.doomed();
    shard.now += HOUR;
    assert_eq!(shard.doomed(), [1]);
    shard.ask(1, Ask::Collected { ids: vec![id(1)] }).unwrap();
    shard
        .begin(1, &stored(3, 200, 300), Purpose::Append)
        .unwrap();
    assert_eq!(
        keep(&mut shard),
        Err(Refusal::NotWhole),
        "one is on its way"
    );
    shard.ask(1, Ask::Commit(stored(3, 200, 300))).unwrap();
    assert_eq!(
        keep(&mut shard),
        Err(Refusal::NotWhole),
        "the manifest is an old one"
    );
    assert!(!shard.manifest().is_deleted());
    shard.export();
    let kept = shard.manifest().export(HERE);
    keep(&mut shard).expect("all of it is there");
    assert!(shard.machine.get(HERE).is_none());
    assert!(shard.machine.snapshot().is_empty());
    keep(&mut shard).expect("it has happened");
    // Whoever leads its next life has it back from there.
    shard.ask(9, Ask::Claim(log(0, 0, 0))).unwrap();
    let (exported, newest) = (kept.bytes, kept.version);
    shard.ask(9, Ask::Adopt { exported, newest }).unwrap();
    assert_eq!(shard.manifest().remote_end(), 300);
    // Where nothing ever was there is nothing to keep.
    let mut shard = Shard::claimed();
    keep(&mut shard).unwrap();
    assert!(shard.machine.get(HERE).is_none());
}

#[test]
fn limits_hold() {
    let mut shard = Shard::claimed();
    for n in 0..64 {
        let at = i64::from(n) * 10;
        shard
            .begin(1, &stored(n, at, at + 10), Purpose::Append)
            .unwrap();
    }
    let full = shard.begin(1, &stored(99, 640, 650), Purpose::Append);
    assert_eq!(full.unwrap_err().kind(), ErrorKind::Busy);
    let many: Vec<_> = (0..1001).map(|at| stored(1, at, at + 1)).collect();
    let removed = vec![id(1)];
    let full = shard.ask(
        1,
        Ask::Replace {
            removed,
            added: many,
        },
    );
    assert_eq!(full.unwrap_err().kind(), ErrorKind::Busy);
}

/// As many epochs of one record each.
fn many(epochs: usize) -> Vec<(i32, i64)> {
    (0..).map(|at| (at, i64::from(at))).take(epochs).collect()
}

#[test]
fn a_log_of_many_leaders_is_claimed_and_copied() {
    let end = |epochs: usize| i64::try_from(epochs).unwrap();
    let claim = |epochs| {
        let claim = departing(end(epochs), &many(epochs), None);
        Shard::new().ask(1, Ask::Claim(claim))
    };
    assert!(claim(100_000).is_ok());
    assert_eq!(claim(100_001).unwrap_err().kind(), ErrorKind::Busy);
    let commit = |count| {
        let mut shard = Shard::new();
        let claim = departing(end(count), &many(count), None);
        shard.ask(9_999, Ask::Claim(claim)).unwrap();
        let stored = Stored {
            epochs: epochs(&many(count)),
            ..stored(1, 0, end(count))
        };
        shard.append(9_999, stored)
    };
    assert!(commit(4_000).is_ok());
    assert_eq!(commit(4_001).unwrap_err().kind(), ErrorKind::Busy);
}

#[test]
fn a_claim_that_contradicts_itself_is_refused() {
    for claim in [log(-1, 0, 5), log(3, 2, 5), log(0, 6, 5)] {
        let refused = Shard::new().ask(1, Ask::Claim(claim)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
    }
    for history in [&[][..], &[(1, 3)], &[(2, 0), (1, 4)]] {
        let claim = departing(5, history, None);
        let refused = Shard::new().ask(1, Ask::Claim(claim)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
    }
    let empty = Shard::new().ask(1, Ask::Claim(departing(0, &[], None)));
    assert!(empty.is_ok());
}

#[test]
fn a_copy_follows_and_notices_what_it_has_missed() {
    let mut shard = Shard::with(&[(0, 100)]);
    let mut copy = shard.manifest().clone();
    let heard = |answer: Result<Answer, Refusal>| match answer {
        Ok(Answer::Changed(changed)) => changed,
        other => panic!("{other:?}"),
    };
    let commit = heard(shard.append(1, stored(2, 100, 200)));
    assert!(copy.follow(&commit));
    assert!(copy.follow(&commit), "heard twice, done once");
    assert_eq!(copy.segments(), shard.manifest().segments());
    assert_eq!(copy.version(), shard.manifest().version());
    heard(shard.append(1, stored(3, 200, 300)));
    let later = heard(shard.ask(1, Ask::MoveStart { log_start: 50 }));
    let before = copy.clone();
    assert!(!copy.follow(&later), "it has missed the commit");
    assert_eq!(copy, before);
}

#[test]
fn what_is_told_twice_does_not_hide_what_was_missed() {
    let mut shard = Shard::with(&[(0, 100)]);
    shard.ask(1, Ask::MoveStart { log_start: 10 }).unwrap();
    let mut copy = shard.manifest().clone();
    shard.append(1, stored(2, 100, 200)).unwrap();
    let Ok(Answer::Changed(again)) = shard.ask(1, Ask::MoveStart { log_start: 10 }) else {
        panic!("it is answered again");
    };
    assert_eq!(again.version, copy.version() + 1, "as if it were the next");
    assert!(!copy.follow(&again), "it has missed the commit");
}
