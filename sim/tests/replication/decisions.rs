//! The rules that leaders and followers decide by: what they are told goes in, what follows from it
//! comes out.

use freshet_metadata::MetadataError;
use freshet_partition::replication::{
    Answer, BrokerEpoch, Divergence, Fetched, Leader, LeaderStart, Local, Moved, Overdue, Step,
    Term, next_step,
};
use freshet_peers::followers::{Verdict, verdict};
use freshet_types::{Millis, NodeId, Offset};

const ME: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);
const LAG: u64 = 10_000;
/// The registration of everybody.
const EPOCH: BrokerEpoch = 7;

fn term(partition_epoch: i32, isr: &[NodeId]) -> Term {
    Term {
        leader_epoch: 5,
        partition_epoch,
        replicas: vec![ME, B, C],
        isr: isr.to_vec(),
        min_in_sync: 2,
    }
}

/// Its log ends at 10, where its epoch begins; it knows 8 of that to be committed.
fn leader_in(term: Term) -> Leader {
    let start = LeaderStart {
        me: ME,
        log_end: 10,
        flushed: 10,
        high_watermark: 8,
        now: Millis(0),
        lag_max: Millis(LAG),
    };
    Leader::new(term, start)
}

fn leader(isr: &[NodeId]) -> Leader {
    leader_in(term(0, isr))
}

fn alive(_: NodeId) -> Option<BrokerEpoch> {
    Some(EPOCH)
}

fn fetch_of(node: NodeId, end: Offset, now: u64) -> Fetched {
    Fetched {
        node,
        broker_epoch: EPOCH,
        log_start: 0,
        end,
        leader_start: 0,
        now: Millis(now),
    }
}

fn fetch(leader: &mut Leader, node: NodeId, end: Offset, now: u64) -> Moved {
    leader.fetched(fetch_of(node, end, now), alive).unwrap()
}

#[test]
pub(crate) fn too_few_in_sync_commit_nothing() {
    let mut leader = leader(&[ME]);
    leader.flushed(11, Millis(1));
    // It is proposed, and in sync once the controller says so.
    assert!(fetch(&mut leader, B, 11, 2).propose.is_some());
    assert_eq!(leader.high_watermark(), 8, "one disk has it, of two");
    leader.renew(term(1, &[ME, B]), Millis(3));
    assert_eq!(leader.high_watermark(), 11);
}

#[test]
pub(crate) fn a_leader_counts_what_it_has_flushed() {
    let mut leader = leader(&[ME, B]);
    leader.appended(12, Millis(1));
    fetch(&mut leader, B, 12, 2);
    assert_eq!(leader.high_watermark(), 10, "its own disk has 10");
    leader.flushed(12, Millis(3));
    assert_eq!(leader.high_watermark(), 12);
}

#[test]
pub(crate) fn who_is_proposed_counts_also_when_it_falls_silent() {
    let mut leader = leader(&[ME, B]);
    fetch(&mut leader, B, 10, 1);
    assert!(fetch(&mut leader, C, 10, 1).propose.is_some());
    leader.flushed(20, Millis(2));
    // No answer comes, and the controller may have said yes.
    fetch(&mut leader, B, 20, LAG + 3);
    assert_eq!(leader.high_watermark(), 10, "who may lead next has 10");
}

#[test]
pub(crate) fn a_member_that_has_not_fetched_counts() {
    let mut leader = leader(&[ME, B, C]);
    fetch(&mut leader, B, 10, 1);
    assert_eq!(leader.high_watermark(), 8, "nobody knows what C has");
    fetch(&mut leader, C, 9, 1);
    assert_eq!(leader.high_watermark(), 9);
}

#[test]
pub(crate) fn a_proposal_is_not_replaced_while_it_is_open() {
    let mut leader = leader(&[ME, B]);
    let first = fetch(&mut leader, C, 10, 1).propose.unwrap();
    // B is late. The controller may have taken C in, and a newer proposal would hide that.
    assert_eq!(leader.look_for_laggards(Millis(LAG + 1)), None);
    assert_eq!(leader.proposed(), Some(&first));
}

/// An answer was lost, so the proposal went twice. The first has been taken, the second is too old.
#[test]
pub(crate) fn a_proposal_refused_as_old_may_have_been_taken() {
    let mut leader = leader(&[ME, B]);
    fetch(&mut leader, B, 10, 1);
    let change = fetch(&mut leader, C, 10, 1).propose.unwrap();
    let refused = Err::<(), _>(MetadataError::StalePartition {
        epoch: 0,
        present: 1,
    });
    if verdict(&refused) == Verdict::Refused {
        leader.refused(&change);
    }
    leader.flushed(20, Millis(2));
    fetch(&mut leader, B, 20, LAG + 3);
    assert_eq!(leader.high_watermark(), 10, "C is in sync, and has 10");
}

#[test]
pub(crate) fn an_older_set_in_sync_comes_too_late() {
    let mut leader = leader_in(term(5, &[ME, B, C]));
    fetch(&mut leader, B, 10, 1);
    fetch(&mut leader, C, 10, 1);
    leader.flushed(20, Millis(2));
    leader.renew(term(4, &[ME, B]), Millis(3));
    fetch(&mut leader, B, 20, 4);
    assert_eq!(leader.high_watermark(), 10, "C is in sync, and has 10");
}

#[test]
pub(crate) fn who_lacks_a_record_does_not_join() {
    let mut leader = leader(&[ME, B]);
    assert_eq!(fetch(&mut leader, C, 9, 1).propose, None, "offset 9");
    assert!(fetch(&mut leader, C, 10, 2).propose.is_some());
}

#[test]
pub(crate) fn who_has_what_was_deleted_does_not_join() {
    let mut leader = leader(&[ME, B]);
    let mut joins = |log_start| {
        let fetch = Fetched {
            log_start,
            leader_start: 5,
            ..fetch_of(C, 10, 1)
        };
        leader.fetched(fetch, alive).unwrap().propose.is_some()
    };
    assert!(!joins(4), "offset 4 would be back once it leads");
    assert!(joins(5));
}

#[test]
pub(crate) fn who_is_fenced_or_another_process_does_not_join() {
    let mut leader = leader(&[ME, B]);
    let mut joins = |registered| {
        let told = leader.fetched(fetch_of(C, 10, 1), |_| registered);
        told.unwrap().propose.is_some()
    };
    assert!(!joins(None), "it may be dead");
    assert!(!joins(Some(EPOCH + 1)), "its disk may be another one");
    assert!(joins(Some(EPOCH)));
}

/// The process that sent it had records that the next one has lost with its disk.
#[test]
pub(crate) fn a_fetch_of_an_earlier_process_does_not_count() {
    let mut leader = leader(&[ME, B]);
    fetch(&mut leader, B, 9, 1);
    let late = Fetched {
        broker_epoch: EPOCH - 1,
        ..fetch_of(B, 10, 2)
    };
    let told = leader.fetched(late, alive);
    assert_eq!(leader.high_watermark(), 9, "the disk of today has 9");
    assert!(told.is_err());
}

const LOCAL: Local = Local {
    log_start: 10,
    log_end: 50,
    high_watermark: 40,
};

/// What a follower does; its log is of one epoch.
fn step(answer: Answer) -> Step {
    let all = Divergence { epoch: 0, end: 50 };
    next_step(answer, LOCAL, |_| all)
}

fn records(high_watermark: Offset, log_start: Offset) -> Answer {
    Answer::Records {
        any: true,
        high_watermark,
        log_start,
    }
}

fn append(high_watermark: Offset, log_start: Offset) -> Step {
    Step::Append {
        high_watermark,
        log_start,
    }
}

#[test]
pub(crate) fn a_follower_shows_only_what_it_has() {
    assert_eq!(step(records(90, 10)), append(50, 10));
}

#[test]
pub(crate) fn what_was_shown_stays_shown() {
    // A new leader does not know yet how far the one before was.
    assert_eq!(step(records(20, 10)), append(40, 10));
    let mut leader = leader(&[ME, B]);
    leader.flushed(20, Millis(1));
    fetch(&mut leader, B, 20, 1);
    assert_eq!(leader.high_watermark(), 20);
    // C has just caught up, and is waited for.
    fetch(&mut leader, C, 20, 2);
    fetch(&mut leader, C, 15, 3);
    assert_eq!(leader.high_watermark(), 20);
}

#[test]
pub(crate) fn a_follower_drops_what_its_leader_has_dropped() {
    assert_eq!(step(records(45, 12)), append(45, 12));
}

#[test]
pub(crate) fn a_copy_with_a_gap_begins_anew() {
    let outside = Answer::OutOfRange {
        log_start: 60,
        log_end: 90,
    };
    assert_eq!(step(outside), Step::RestartAt(60));
}

#[test]
pub(crate) fn what_one_replica_has_is_not_deleted() {
    let mut leader = leader(&[ME, B]);
    for (node, log_start) in [(B, 7), (C, 3)] {
        let fetch = Fetched {
            log_start,
            leader_start: 7,
            ..fetch_of(node, 10, 1)
        };
        leader.fetched(fetch, alive).unwrap();
    }
    assert_eq!(leader.low_watermark(7, |_| true), 3);
    assert_eq!(leader.low_watermark(7, |node| node == B), 7, "C is dead");
}

#[test]
pub(crate) fn what_one_that_is_away_has_is_not_deleted() {
    let leader = leader(&[ME]);
    let low = leader.low_watermark(7, |_| false);
    assert_eq!(low, -1, "B may be eligible, and has dropped nothing");
}

/// Its session is over, and the leader has not heard yet that it left the set in sync, nor whether
/// enough others are in it.
#[test]
pub(crate) fn what_one_in_sync_has_is_not_deleted() {
    let mut leader = leader(&[ME, B]);
    let nobody = |_: NodeId| false;
    let fetch = |node, log_start| Fetched {
        log_start,
        ..fetch_of(node, 10, 1)
    };
    leader.fetched(fetch(B, 3), alive).unwrap();
    assert_eq!(leader.low_watermark(7, nobody), 3);
    leader.fetched(fetch(B, 7), alive).unwrap();
    assert_eq!(leader.low_watermark(7, nobody), 7);
    leader.fetched(fetch(C, 5), alive).unwrap();
    assert_eq!(leader.low_watermark(7, nobody), 5, "it may be in by now");
    leader.renew(term(1, &[ME, B]), Millis(2));
    assert_eq!(leader.low_watermark(7, nobody), 7, "it is not");
}

#[test]
pub(crate) fn who_waits_in_vain_hears_that_replicas_are_missing() {
    let mut leader = leader(&[ME, B]);
    leader.renew(term(1, &[ME]), Millis(1));
    let (in_sync, needed) = (1, 2);
    assert_eq!(leader.overdue(), Overdue::TooFew { in_sync, needed });
}

#[test]
pub(crate) fn who_waits_for_the_late_is_not_told_of_the_missing() {
    assert_eq!(leader(&[ME, B]).overdue(), Overdue::Late);
}
