use super::*;
use crate::replication::{LeaderStart, Term};
use freshet_env::SystemClock;
use freshet_types::{Timestamp, TopicId, TopicName};

/// A replica that leads alone, from an empty log on.
fn alone() -> Replica {
    let around = Surroundings {
        me: NodeId(1),
        clock: Arc::new(SystemClock::new()),
        proposals: Arc::new(NoProposals),
        lag_max: Millis(30_000),
        by_rack: false,
        counts: Arc::default(),
        traffic: Arc::default(),
        damage: Arc::default(),
        past_readers: None,
    };
    let at = TopicPartition {
        topic: TopicId([1; 16]),
        partition: 0,
    };
    let replica = Replica::new(at, &Arc::new(around));
    lead(&replica, 0);
    replica
}

fn lead(replica: &Replica, epoch: i32) {
    let term = Term {
        leader_epoch: epoch,
        partition_epoch: 0,
        replicas: vec![NodeId(1)],
        isr: vec![NodeId(1)],
        min_in_sync: 1,
    };
    let start = LeaderStart {
        me: NodeId(1),
        log_end: 0,
        flushed: 0,
        high_watermark: 0,
        now: Millis(0),
        lag_max: Millis(30_000),
    };
    let turn = replica.step_down(epoch);
    replica.lead(turn, Leader::new(term, start), 0, 0);
}

fn appended(last_offset: Offset) -> Appended {
    Appended {
        base_offset: last_offset,
        last_offset,
        log_append_time: Timestamp::NONE,
        log_start: 0,
        duplicate: false,
    }
}

fn park(replica: &Replica, last_offset: Offset) -> std::sync::mpsc::Receiver<bool> {
    let (tell, told) = std::sync::mpsc::channel();
    replica.park(
        appended(last_offset),
        Box::new(move |r| tell.send(r.is_ok()).expect("heard")),
    );
    told
}

#[test]
fn an_acknowledgement_waits_for_the_flush_of_its_last_record() {
    let replica = alone();
    let (first, second) = (park(&replica, 4), park(&replica, 9));
    replica.appended(10);
    assert!(first.try_recv().is_err(), "written is not flushed");
    replica.flushed(4);
    assert!(first.try_recv().is_err(), "offset 4 is not below 4");
    replica.flushed(5);
    assert_eq!(first.try_recv(), Ok(true));
    assert!(second.try_recv().is_err());
    replica.flushed(10);
    assert_eq!(second.try_recv(), Ok(true));
    assert_eq!(park(&replica, 9).try_recv(), Ok(true), "committed already");
    replica.flushed(3);
    assert_eq!(replica.high_watermark(), 10, "never goes back");
}

#[test]
fn who_comes_to_wait_after_the_failure_is_told_at_once() {
    let replica = alone();
    replica.flushed(5);
    let dir = "d".into();
    replica.failed(&LogError::Offline {
        dir,
        reason: "EIO".into(),
    });
    assert_eq!(park(&replica, 4).try_recv(), Ok(true), "it was committed");
    assert_eq!(park(&replica, 5).try_recv(), Ok(false));
}

#[test]
fn a_failed_log_fails_what_waits_and_acknowledges_nothing() {
    let replica = alone();
    let waiting = park(&replica, 0);
    let dir = "d".into();
    replica.failed(&LogError::Offline {
        dir,
        reason: "EIO".into(),
    });
    assert_eq!(waiting.try_recv(), Ok(false));
    assert_eq!(replica.high_watermark(), 0);
}

#[test]
fn who_waits_for_a_leader_that_steps_down_is_sent_away() {
    let replica = alone();
    replica.flushed(5);
    let waiting = park(&replica, 5);
    replica.step_down(1);
    assert_eq!(waiting.try_recv(), Ok(false));
    assert_eq!(
        park(&replica, 4).try_recv(),
        Ok(false),
        "not even a duplicate"
    );
    replica.flushed(9);
    assert_eq!(
        replica.high_watermark(),
        5,
        "a follower is told by its leader"
    );
    lead(&replica, 1);
    replica.flushed(9);
    assert_eq!(replica.high_watermark(), 9);
}

#[test]
fn a_duplicate_does_not_wait_for_what_came_before_it() {
    let replica = alone();
    let later = [park(&replica, 4), park(&replica, 9)];
    let (again, old) = (park(&replica, 2), park_old(&replica, 2));
    let same = park(&replica, 4);
    replica.flushed(2);
    assert!(old.try_recv().is_ok_and(|told| told.is_ok()));
    assert!(again.try_recv().is_err());
    replica.flushed(3);
    assert_eq!(again.try_recv(), Ok(true));
    assert!(later[0].try_recv().is_err());
    replica.flushed(5);
    assert_eq!((later[0].try_recv(), same.try_recv()), (Ok(true), Ok(true)));
    assert!(later[1].try_recv().is_err());
}

/// What is told of a batch that is stored, but nobody knows any more where: all of it is below `end`.
fn park_old(
    replica: &Replica,
    end: Offset,
) -> std::sync::mpsc::Receiver<Result<Appended, ProduceError>> {
    let old = Appended {
        base_offset: -1,
        duplicate: true,
        ..appended(end - 1)
    };
    let (tell, told) = std::sync::mpsc::channel();
    replica.park(old, Box::new(move |r| tell.send(r).expect("heard")));
    told
}

#[test]
fn a_retry_of_long_ago_waits_until_all_before_what_is_remembered_is_committed() {
    let replica = alone();
    let waiting = park_old(&replica, 5);
    replica.appended(30);
    replica.flushed(4);
    assert!(waiting.try_recv().is_err(), "some of it may be at offset 4");
    replica.flushed(5);
    let told = waiting.try_recv().expect("it is committed");
    assert!(!told.expect("it is stored").is_placed());
    let told = park_old(&replica, 5).try_recv().expect("committed already");
    assert!(told.is_ok());

    let waiting = park_old(&replica, 6);
    replica.step_down(1);
    assert_eq!(waiting.try_recv(), Ok(Err(ProduceError::NotLeader)));
    let told = park_old(&replica, 5).try_recv();
    assert_eq!(
        told,
        Ok(Err(ProduceError::NotLeader)),
        "another one may lead"
    );
}

#[test]
fn a_copy_is_told_once_it_is_flushed_even_if_it_was_before_somebody_asked() {
    let replica = alone();
    replica.follow(Some(NodeId(2)));
    let ask = |flushed: Offset| {
        let (tell, told) = oneshot::channel();
        replica.when_flushed(5, || flushed, tell);
        told
    };
    assert!(matches!(ask(5).try_recv(), Ok(Ok(()))), "flushed already");
    let mut told = ask(0);
    replica.flushed(4);
    assert!(told.try_recv().is_err(), "offset 4 is not below 4");
    replica.flushed(5);
    assert!(matches!(told.try_recv(), Ok(Ok(()))));
    let mut told = ask(0);
    replica.failed(&LogError::Closed {
        log: freshet_log::LogName::new(TopicName::new("t").expect("a name"), 0),
    });
    let ended = |told: &mut oneshot::Receiver<_>| {
        matches!(told.try_recv(), Err(oneshot::error::TryRecvError::Closed))
    };
    assert!(ended(&mut told));
    assert!(ended(&mut ask(0)), "nothing will be flushed any more");
}
