//! The rules of a leader, one by one.

use super::*;

const ME: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);
const LAG: Millis = Millis(10_000);

fn term(partition_epoch: i32, isr: &[NodeId]) -> Term {
    Term {
        leader_epoch: 5,
        partition_epoch,
        replicas: vec![ME, B, C],
        isr: isr.to_vec(),
        min_in_sync: 2,
    }
}

fn leader(isr: &[NodeId]) -> Leader {
    let start = LeaderStart {
        me: ME,
        log_end: 10,
        flushed: 10,
        high_watermark: 8,
        now: Millis(0),
        lag_max: LAG,
    };
    Leader::new(term(0, isr), start)
}

fn alive(_: NodeId) -> Option<BrokerEpoch> {
    Some(7)
}

fn fetch(leader: &mut Leader, node: NodeId, end: Offset, now: u64) -> Moved {
    let fetch = Fetched {
        node,
        broker_epoch: 7,
        log_start: 0,
        end,
        leader_start: 0,
        now: Millis(now),
    };
    leader.fetched(fetch, alive).expect("a replica")
}

#[test]
fn nothing_is_committed_before_every_member_has_shown_itself() {
    let mut leader = leader(&[ME, B, C]);
    assert_eq!(fetch(&mut leader, B, 10, 1).high_watermark, None);
    assert_eq!(fetch(&mut leader, C, 9, 1).high_watermark, Some(9));
    assert_eq!(fetch(&mut leader, C, 10, 2).high_watermark, Some(10));
    leader.appended(12, Millis(2));
    assert_eq!(fetch(&mut leader, B, 12, 3).high_watermark, None);
    assert_eq!(
        fetch(&mut leader, C, 12, 3).high_watermark,
        None,
        "we have not flushed"
    );
    assert_eq!(leader.flushed(12, Millis(4)).high_watermark, Some(12));
}

#[test]
fn too_few_in_sync_commit_nothing() {
    let mut leader = leader(&[ME]);
    assert!(!leader.has_quorum());
    assert_eq!(leader.flushed(11, Millis(1)).high_watermark, None);
    let moved = fetch(&mut leader, B, 11, 2);
    assert_eq!(moved.high_watermark, None, "proposed is not committed");
    let change = moved.propose.expect("it has everything");
    assert_eq!(change.isr, [(ME, -1), (B, 7)]);
    let moved = leader.renew(term(1, &[ME, B]), Millis(3));
    assert_eq!(moved.high_watermark, Some(11));
}

#[test]
fn what_waited_is_committed_when_fewer_are_needed() {
    let needs = |min_in_sync| Term {
        min_in_sync,
        ..term(0, &[ME, B])
    };
    let mut leader = leader(&[ME, B]);
    fetch(&mut leader, B, 10, 1);
    assert_eq!(leader.renew(needs(3), Millis(2)).high_watermark, None);
    leader.flushed(12, Millis(3));
    assert_eq!(fetch(&mut leader, B, 12, 3).high_watermark, None);
    // No epoch moves with the setting, and nothing else may ever happen.
    let moved = leader.renew(needs(2), Millis(4));
    assert_eq!(moved.high_watermark, Some(12));
}

#[test]
fn a_proposed_member_counts_at_once_and_a_proposed_leaver_still_does() {
    let mut joining = leader(&[ME, B]);
    fetch(&mut joining, B, 10, 1);
    let moved = fetch(&mut joining, C, 10, 1);
    assert_eq!(moved.propose.expect("joins").isr.len(), 3);
    joining.flushed(20, Millis(2));
    assert_eq!(
        fetch(&mut joining, B, 20, 2).high_watermark,
        None,
        "C has 10 only"
    );
    let mut leaving = leader(&[ME, B, C]);
    fetch(&mut leaving, B, 10, 1);
    leaving.flushed(20, Millis(2));
    fetch(&mut leaving, B, 20, 20_000);
    let change = leaving
        .look_for_laggards(Millis(20_000))
        .expect("C is late");
    assert_eq!(change.isr, [(ME, -1), (B, 7)]);
    assert_eq!(
        fetch(&mut leaving, B, 20, 20_001).high_watermark,
        None,
        "not answered yet"
    );
    leaving.refused(&change);
    let again = leaving.look_for_laggards(Millis(20_002));
    assert_eq!(again, Some(change), "asked again");
    let moved = leaving.renew(term(1, &[ME, B]), Millis(20_003));
    assert_eq!(moved.high_watermark, Some(20));
}

/// The fetch by which it joins is also the one that shows that it has been behind for too long.
#[test]
fn nothing_passes_who_joins_by_the_same_fetch() {
    let mut leader = leader(&[ME, B]);
    fetch(&mut leader, B, 10, 1);
    let fenced = Fetched {
        node: C,
        broker_epoch: 7,
        log_start: 0,
        end: 10,
        leader_start: 0,
        now: Millis(1),
    };
    leader.fetched(fenced, |_| None).expect("a replica");
    leader.flushed(12, Millis(2));
    assert_eq!(fetch(&mut leader, B, 12, 2).high_watermark, Some(12));
    assert_eq!(fetch(&mut leader, C, 11, 3).propose, None, "it lacks one");
    leader.flushed(20, Millis(4));
    let moved = fetch(&mut leader, B, 20, 4);
    assert_eq!(
        moved.high_watermark, None,
        "C has just had all, and is waited for"
    );
    let moved = fetch(&mut leader, C, 13, LAG.0 + 10);
    assert_eq!(
        moved.propose.expect("it has what is committed").isr.len(),
        3
    );
    assert_eq!(moved.high_watermark, Some(13), "no more than it has");
}

#[test]
fn who_lacks_something_or_is_not_alive_does_not_join() {
    let mut leader = leader(&[ME, B]);
    assert_eq!(
        fetch(&mut leader, C, 9, 1).propose,
        None,
        "below the epoch's start"
    );
    let fetch = |end, broker_epoch| Fetched {
        node: C,
        broker_epoch,
        log_start: 0,
        end,
        leader_start: 0,
        now: Millis(2),
    };
    let fenced = leader.fetched(fetch(10, 7), |_| None).expect("a replica");
    assert_eq!(fenced.propose, None);
    let restarted = leader
        .fetched(fetch(10, 7), |_| Some(8))
        .expect("a replica");
    assert_eq!(restarted.propose, None, "its registration is an old one");
    let old = leader
        .fetched(fetch(10, 6), alive)
        .expect_err("an earlier life");
    assert!(matches!(
        old,
        FetchRefusal::OldBroker {
            given: 6,
            known: 7,
            ..
        }
    ));
    let stranger = Fetched {
        node: NodeId(9),
        ..fetch(10, 7)
    };
    let refused = leader.fetched(stranger, alive).expect_err("no replica");
    assert_eq!(refused, FetchRefusal::NotAReplica(NodeId(9)));
}

#[test]
fn who_has_what_was_deleted_does_not_join() {
    let mut leader = leader(&[ME, B]);
    let fetch = |log_start| Fetched {
        node: C,
        broker_epoch: 7,
        log_start,
        end: 10,
        leader_start: 5,
        now: Millis(1),
    };
    let mut joins = |log_start| {
        let moved = leader.fetched(fetch(log_start), alive);
        moved.expect("a replica").propose.is_some()
    };
    assert!(!joins(0) && !joins(4));
    assert!(joins(5));
    assert_eq!(leader.renew(term(1, &[ME, B]), Millis(2)).propose, None);
    let later = leader.look_for_joiners(6, Millis(3), alive);
    assert_eq!(later.propose, None, "more was deleted since it asked");
    assert!(
        leader
            .look_for_joiners(5, Millis(3), alive)
            .propose
            .is_some()
    );
}

#[test]
fn a_follower_that_keeps_pace_is_never_late() {
    let mut leader = leader(&[ME, B, C]);
    for step in 1..100 {
        // Always one append behind, as a follower under load is.
        let end = 10 + 5 * i64::try_from(step).expect("small");
        leader.flushed(end, Millis(step * 1000));
        fetch(&mut leader, B, end - 5, step * 1000);
        fetch(&mut leader, C, end - 5, step * 1000);
        assert_eq!(
            leader.look_for_laggards(Millis(step * 1000)),
            None,
            "step {step}"
        );
    }
}

#[test]
fn an_older_term_is_ignored() {
    let mut leader = leader(&[ME, B, C]);
    leader.renew(term(4, &[ME, B]), Millis(1));
    leader.renew(term(3, &[ME]), Millis(2));
    assert_eq!(leader.term().isr, [ME, B]);
}

#[test]
fn nobody_waits_for_a_follower_that_was_put_out() {
    let mut leader = leader(&[ME, B, C]);
    fetch(&mut leader, B, 10, 1);
    fetch(&mut leader, C, 10, 1);
    // C dies, and the controller says so long before its time is over.
    leader.renew(term(1, &[ME, B]), Millis(2));
    leader.flushed(20, Millis(3));
    assert_eq!(fetch(&mut leader, B, 20, 4).high_watermark, Some(20));
    // One that is fenced and follows all the same.
    let zombie = Fetched {
        node: C,
        broker_epoch: 7,
        log_start: 0,
        end: 20,
        leader_start: 0,
        now: Millis(5),
    };
    leader.fetched(zombie, |_| None).expect("a replica");
    leader.flushed(30, Millis(6));
    assert_eq!(fetch(&mut leader, B, 30, 7).high_watermark, Some(30));
    // It is let in again: from now on it has its time.
    leader.fetched(zombie, alive).expect("a replica");
    leader.renew(term(2, &[ME, B, C]), Millis(8));
    assert_eq!(leader.look_for_laggards(Millis(9)), None);
}

#[test]
fn who_has_everything_need_not_say_so_again() {
    let mut leader = leader(&[ME, B, C]);
    fetch(&mut leader, B, 10, 1);
    fetch(&mut leader, C, 9, 1);
    // Nobody writes for an hour, and nobody asks.
    let hour = 3_600_000;
    leader.appended(11, Millis(hour));
    let change = leader.look_for_laggards(Millis(hour + 1)).expect("C lags");
    assert_eq!(change.isr, [(ME, -1), (B, 7)]);
    leader.refused(&change);
    leader.renew(term(1, &[ME, B]), Millis(hour + 2));
    let late = Millis(hour + LAG.0 + 1);
    let change = leader.look_for_laggards(late).expect("and B by now");
    assert_eq!(change.isr, [(ME, -1)]);
}

#[test]
fn a_reader_is_sent_where_its_records_are() {
    let mut leader = leader(&[ME, B, C]);
    assert_eq!(leader.with(0), [], "nobody has fetched");
    fetch(&mut leader, B, 9, 1);
    fetch(&mut leader, C, 10, 1);
    assert_eq!(leader.with(9), [C, B]);
    assert_eq!(leader.with(10), [C]);
    assert_eq!(leader.most_behind(), 1);
    leader.renew(term(1, &[ME, B]), Millis(2));
    assert_eq!(leader.with(9), [B], "who is not in sync may miss records");
}

#[test]
fn records_are_gone_when_all_who_live_have_dropped_them() {
    let mut leader = leader(&[ME, B]);
    let tell = |leader: &mut Leader, node, log_start| {
        let fetch = Fetched {
            node,
            broker_epoch: 7,
            log_start,
            end: 10,
            leader_start: 0,
            now: Millis(1),
        };
        leader.fetched(fetch, alive).expect("a replica").log_start
    };
    assert!(tell(&mut leader, B, 5));
    assert!(!tell(&mut leader, B, 5), "no news");
    assert_eq!(leader.low_watermark(7, |_| true), -1, "C has not told");
    assert_eq!(leader.low_watermark(7, |node| node == B), 5);
    assert!(tell(&mut leader, C, 3));
    assert_eq!(leader.low_watermark(7, |_| true), 3);
    assert_eq!(leader.low_watermark(2, |_| true), 2);
    leader.renew(term(1, &[ME]), Millis(2));
    let low = leader.low_watermark(7, |node| node == ME);
    assert_eq!(
        low, -1,
        "who is eligible may lead next, and has dropped nothing"
    );
}
