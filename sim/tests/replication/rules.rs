//! The rules that partitions keep around those decisions, each in a story in which it is all that
//! stands between a fault and a broken promise. `guards.rs` takes the rules away.

use std::sync::mpsc::TryRecvError;
use std::time::Duration;

use freshet_partition::replication::{Answer, Divergence};
use freshet_partition::{Acks, Follow, Isolation, ProduceError, ReadError, ReplicaFetchError};
use freshet_sim::{Effect, Fault, Op};
use freshet_types::TopicPartition;

use crate::stage::{Answered, Stage};

const PATIENCE: Duration = Duration::from_secs(20);

/// The power may go off between the write and the sync.
#[test]
pub(crate) fn a_follower_reports_nothing_that_it_could_lose() {
    let mut stage = Stage::new(2);
    let at = stage.create(&[1, 2]);
    stage.write(1, at, "a");
    let answered = stage.fetch(1, at, 2);
    let disk = stage.disk(2);
    disk.inject(Fault::on(Op::Sync).at(".log").with(Effect::Stall));
    let follower = stage.partition(2, at);
    let copying = stage.runtime.spawn({
        let follower = stage.partition(2, at);
        let Answered {
            point,
            answer,
            records,
        } = answered;
        async move {
            follower
                .follow(point.leader_epoch, answer, records, false)
                .await
        }
    });
    disk.wait_stalled(1);
    assert_eq!(follower.view().log_end(), 1);
    assert_eq!(follower.fetch_point(), None, "offset 0 is on no disk");
    disk.resume();
    let followed = stage.wait("it follows", copying);
    assert_eq!(followed.unwrap(), Follow::Fetch);
    assert_eq!(follower.fetch_point().unwrap().fetch_offset, 1);
}

/// A leader's log may start behind the place where a follower's departs from it: then nobody finds
/// that out, and what is here was never committed.
#[test]
fn what_a_leader_has_dropped_is_not_shown_by_its_follower() {
    let mut stage = Stage::new(2);
    let at = stage.create(&[1, 2]);
    stage.write(1, at, "a");
    let answered = stage.fetch(1, at, 2);
    assert_eq!(stage.hear(2, at, &answered), Follow::Fetch);
    let follower = stage.partition(2, at);
    assert_eq!(follower.ends().high_watermark, 0);
    let Answered { point, records, .. } = stage.fetch(1, at, 2);
    let answer = Answer::Records {
        any: false,
        high_watermark: 1,
        log_start: 1,
    };
    let disk = stage.disk(2);
    disk.inject(Fault::on(Op::Sync).with(Effect::Stall));
    let hears = stage.runtime.spawn({
        let follower = stage.partition(2, at);
        async move {
            follower
                .follow(point.leader_epoch, answer, records, false)
                .await
        }
    });
    disk.wait_stalled(1);
    assert_eq!(follower.ends().high_watermark, 0, "it drops it first");
    disk.resume();
    let followed = stage.wait("it follows", hears);
    assert_eq!(followed.unwrap(), Follow::Fetch);
    let shown = follower.ends();
    assert_eq!((shown.log_start, shown.high_watermark), (1, 1));
}

#[test]
pub(crate) fn who_knows_another_leader_is_told_so() {
    let mut stage = Stage::new(1);
    let at = stage.create_for_second(&[2, 1, 3]);
    let leader = stage.partition(1, at);
    let told = |epoch| leader.check_epoch(epoch);
    assert!(matches!(told(0), Err(ReadError::FencedEpoch { .. })));
    assert!(matches!(told(2), Err(ReadError::UnknownEpoch { .. })));
    assert!(told(1).is_ok());
    assert!(told(-1).is_ok(), "it knows none");
}

/// Broker 3 has a record of broker 2, which led before, where broker 1 has its own.
#[test]
pub(crate) fn a_copy_of_another_leaders_records_does_not_count() {
    let mut stage = Stage::new(1);
    let at = stage.create_for_second(&[2, 1, 3]);
    stage.write_two(1, at);
    let told = stage.report(1, at, (3, 0), 1);
    let leader = stage.partition(1, at);
    assert_eq!(leader.ends().high_watermark, 0, "its own is nowhere else");
    assert_eq!(told, Err(ReplicaFetchError::NotLeader));
    assert_eq!(stage.report(1, at, (3, 1), 1), Ok(()));
    assert_eq!(leader.ends().high_watermark, 1);
}

/// What broker 2 has at offset 0 is not what its leader will write there.
#[test]
pub(crate) fn nobody_has_flushed_what_its_leader_has_not_got() {
    let mut stage = Stage::new(1);
    let at = stage.create(&[1, 2]);
    let told = stage.report(1, at, (2, 0), 1);
    stage.write_two(1, at);
    let leader = stage.partition(1, at);
    assert_eq!(leader.ends().high_watermark, 0, "its own is nowhere else");
    assert_eq!(told, Err(ReplicaFetchError::Outside(1)));
}

/// Broker 1 leads, and writes "a" to both brokers and "lost" to itself; then broker 2 leads and writes
/// "b". Broker 1 follows it.
fn deposed(stage: &mut Stage) -> TopicPartition {
    let at = stage.create(&[1, 2]);
    stage.write(1, at, "a");
    stage.copy(1, at, 2);
    let leader = stage.partition(1, at);
    stage.until("it is committed", || leader.ends().high_watermark == 1);
    stage.write(1, at, "lost");
    stage.beat(1, true);
    stage.beat(1, false);
    stage.write(2, at, "b");
    at
}

#[test]
pub(crate) fn a_deposed_leader_cuts_what_only_it_has() {
    let mut stage = Stage::new(2);
    let at = deposed(&mut stage);
    assert_ne!(stage.bytes(1, at), stage.bytes(2, at));
    stage.copy(2, at, 1);
    assert_eq!(stage.bytes(1, at), stage.bytes(2, at));
}

#[test]
pub(crate) fn an_answer_that_comes_twice_cuts_once() {
    let mut stage = Stage::new(2);
    let at = deposed(&mut stage);
    let answered = stage.fetch(2, at, 1);
    let end = Divergence { epoch: 0, end: 1 };
    assert_eq!(answered.answer, Answer::Diverged(end));
    stage.copy(2, at, 1);
    let follower = stage.partition(1, at);
    assert_eq!(follower.view().flushed(), 2);
    // As those who fetch do with each answer.
    if follower.goes_on_at(answered.point) {
        stage.hear(1, at, &answered);
    }
    assert_eq!(follower.view().flushed(), 2, "it has reported \"b\"");
}

/// Broker 2 has copied a record of broker 1, and follows broker 3 by now. Gives what broker 1 said
/// last, as answer to its next fetch.
fn moved_on(stage: &mut Stage) -> (TopicPartition, Answered) {
    let at = stage.create(&[1, 3, 2]);
    stage.write(1, at, "a");
    stage.copy(1, at, 2);
    stage.write(1, at, "b");
    let answered = stage.fetch(1, at, 2);
    stage.beat(1, true);
    assert_eq!(stage.leads(at).0.0, 3);
    (at, answered)
}

#[test]
pub(crate) fn records_of_an_earlier_leader_are_not_stored() {
    let mut stage = Stage::new(2);
    let (at, answered) = moved_on(&mut stage);
    assert!(!answered.records.is_empty());
    let followed = stage.hear(2, at, &answered);
    assert_eq!(stage.partition(2, at).view().log_end(), 1);
    assert_eq!(followed, Follow::AwaitLeader);
}

#[test]
pub(crate) fn an_earlier_leader_cuts_nothing() {
    let mut stage = Stage::new(2);
    let (at, answered) = moved_on(&mut stage);
    let cut = Answered {
        answer: Answer::Diverged(Divergence { epoch: 0, end: 0 }),
        records: bytes::Bytes::new(),
        ..answered
    };
    let followed = stage.hear(2, at, &cut);
    assert_eq!(stage.partition(2, at).view().log_end(), 1);
    assert_eq!(followed, Follow::AwaitLeader);
}

/// It led a moment ago.
#[test]
pub(crate) fn a_follower_takes_nothing_from_producers() {
    let mut stage = Stage::new(1);
    let at = stage.create(&[1, 2]);
    stage.beat(1, true);
    let told = stage.produce((1, at), "a", Acks::Leader, None);
    let told = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(stage.partition(1, at).view().log_end(), 0);
    assert_eq!(told, Err(ProduceError::NotLeader));
}

#[test]
pub(crate) fn a_produce_for_an_earlier_leader_is_refused() {
    let mut stage = Stage::new(1);
    let at = stage.create_for_second(&[2, 1, 3]);
    let told = stage.produce((1, at), "a", Acks::Leader, Some(0));
    let told = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(stage.partition(1, at).view().log_end(), 0);
    assert_eq!(told, Err(ProduceError::NotLeader));
}

#[test]
pub(crate) fn acks_all_is_refused_while_too_few_are_in_sync() {
    let mut stage = Stage::new(1);
    let at = stage.create(&[1, 2]);
    stage.beat(2, true);
    let told = stage.produce((1, at), "a", Acks::All, None);
    let refused = ProduceError::NotEnoughReplicas {
        in_sync: 1,
        needed: 2,
    };
    assert_eq!(told.try_recv(), Ok(Err(refused)));
    assert_eq!(stage.partition(1, at).view().log_end(), 0);
}

#[test]
pub(crate) fn acks_all_is_answered_when_all_in_sync_have_the_record() {
    let mut stage = Stage::new(1);
    let at = stage.create(&[1, 2]);
    let told = stage.produce((1, at), "a", Acks::All, None);
    // Written after it, so it is written and flushed here.
    stage.write(1, at, "b");
    assert_eq!(told.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(stage.report(1, at, (2, 0), 1), Ok(()));
    assert_eq!(told.recv_timeout(PATIENCE), Ok(Ok(0)));
}

/// It may lead again, with another record at that offset.
#[test]
pub(crate) fn who_waits_for_a_deposed_leader_is_sent_away() {
    let mut stage = Stage::new(1);
    let at = stage.create(&[1, 2]);
    let told = stage.produce((1, at), "a", Acks::All, None);
    stage.write(1, at, "b");
    stage.beat(1, true);
    assert_eq!(told.try_recv(), Ok(Err(ProduceError::NotLeader)));
}

#[test]
pub(crate) fn consumers_see_what_is_committed() {
    let mut stage = Stage::new(1);
    let at = stage.create(&[1, 2]);
    stage.write(1, at, "a");
    let leader = stage.partition(1, at);
    let read = || {
        let read = leader.read(0, 1 << 20, Isolation::ReadUncommitted, true);
        stage.wait("it is read", read).unwrap().fetched.bytes
    };
    assert_eq!(read(), 0, "the next leader may not have it");
    assert_eq!(stage.report(1, at, (2, 0), 1), Ok(()));
    stage.until("it is committed", || leader.ends().high_watermark == 1);
    assert!(read() > 0);
}

#[test]
pub(crate) fn what_is_not_committed_is_not_deleted() {
    let mut stage = Stage::new(1);
    let at = stage.create(&[1, 2]);
    stage.write_two(1, at);
    let leader = stage.partition(1, at);
    assert_eq!(leader.trimmed_start(Some(1)), None);
    assert_eq!(leader.trimmed_start(None), Some(0));
    assert_eq!(stage.report(1, at, (2, 0), 1), Ok(()));
    assert_eq!(leader.trimmed_start(Some(1)), Some(1));
    assert_eq!(leader.trimmed_start(Some(2)), None);
    assert_eq!(leader.trimmed_start(Some(-1)), None);
}

/// Broker 2 has "a", and has not heard that it is committed when it begins to lead.
#[test]
pub(crate) fn a_new_leader_names_no_end_that_is_too_low() {
    let mut stage = Stage::new(2);
    let at = stage.create(&[1, 2, 3]);
    stage.write(1, at, "a");
    let answered = stage.fetch(1, at, 2);
    stage.hear(2, at, &answered);
    stage.beat(1, true);
    let leader = stage.partition(2, at);
    assert_eq!(leader.end(Isolation::ReadUncommitted), 0);
    assert!(!leader.is_settled(), "a consumer has seen the end at 1");
    assert_eq!(stage.report(2, at, (3, 1), 1), Ok(()));
    stage.until("it is settled", || leader.is_settled());
    assert_eq!(leader.end(Isolation::ReadUncommitted), 1);
}
