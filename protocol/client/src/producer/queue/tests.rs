use std::time::Duration;

use freshet_types::Timestamp;
use freshet_wire::ErrorCode;
use tokio::sync::Semaphore;

use super::*;

const SESSION: Session = Session { id: 7, epoch: 0 };

struct Bench {
    queue: Queue,
    config: ProducerConfig,
    memory: Arc<Semaphore>,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        // Every record fills a batch.
        let config = ProducerConfig {
            batch_bytes: 80,
            linger: Duration::ZERO,
            ..Default::default()
        };
        Self {
            queue: Queue::new(&config, Some(SESSION)),
            config,
            memory: Arc::new(Semaphore::new(10_000)),
            now: Instant::now(),
        }
    }

    fn push(&mut self, value: &str) -> Arc<Fate> {
        let permit = Arc::clone(&self.memory)
            .try_acquire_many_owned(20)
            .expect("the budget is large");
        let record = NewRecord {
            timestamp: Timestamp(1),
            value: Some(value.as_bytes()),
            ..NewRecord::default()
        };
        self.queue
            .push(&record, (20, permit), self.now)
            .expect("it fits")
            .1
    }

    fn take(&mut self) -> SealedBatch {
        match self.queue.next(self.now, &self.config) {
            Next::Send(batch) => *batch,
            other => panic!("nothing to send: {other:?}"),
        }
    }

    /// Takes batches, each after the one before is written.
    fn one_by_one(&mut self, count: usize) -> Vec<i32> {
        let mut order = Vec::new();
        for _ in 0..count {
            let batch = self.take();
            order.push(sequence(&batch));
            self.queue.done(batch, written());
        }
        order
    }

    fn is_waiting(&mut self) -> bool {
        matches!(self.queue.next(self.now, &self.config), Next::Wait(_))
    }

    fn again(&self, perhaps_written: bool) -> Outcome {
        let error = ClientError::Closed("test");
        Outcome::Again {
            perhaps_written,
            at: self.now,
            error,
        }
    }

    fn out_of_step(&self, lost_session: bool) -> Outcome {
        Outcome::OutOfStep {
            lost_session,
            at: self.now,
            error: ClientError::Closed("test"),
        }
    }
}

fn written() -> Outcome {
    Outcome::Written(Delivery {
        partition: 0,
        offset: 10,
        log_append_time: Timestamp::NONE,
    })
}

fn sequence(batch: &SealedBatch) -> i32 {
    batch.base_sequence()
}

#[tokio::test]
async fn batches_are_numbered_in_order() {
    let mut bench = Bench::new();
    for value in [
        "one..............",
        "two..............",
        "three............",
    ] {
        bench.push(value);
    }
    let taken: Vec<_> = (0..3).map(|_| bench.take()).collect();
    assert_eq!(taken.iter().map(sequence).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(taken[0].batch.header().producer_id, 7);
    assert!(taken[0].batch.check_crc().is_ok());
}

#[tokio::test]
async fn a_retry_keeps_its_number_and_holds_back_what_follows() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        bench.push("filler...........");
    }
    let (first, second) = (bench.take(), bench.take());
    bench.queue.done(first, bench.again(true));
    assert!(bench.is_waiting(), "the second is still under way");
    bench.queue.done(second, bench.out_of_step(false));
    assert_eq!(bench.one_by_one(3), [0, 1, 2]);
}

#[tokio::test]
async fn batches_that_come_back_in_any_order_go_out_in_theirs() {
    let mut bench = Bench::new();
    for _ in 0..4 {
        bench.push("filler...........");
    }
    let mut taken: Vec<_> = (0..4).map(|_| bench.take()).collect();
    for i in [2, 0, 1, 0] {
        let batch = taken.remove(i);
        bench.queue.done(batch, bench.again(false));
    }
    assert_eq!(bench.one_by_one(4), [0, 1, 2, 3]);
}

#[tokio::test]
async fn a_lost_number_asks_for_a_new_session_and_starts_from_zero() {
    let mut bench = Bench::new();
    let failed = bench.push("too large........");
    bench.push("next.............");
    let (first, second) = (bench.take(), bench.take());
    bench
        .queue
        .done(first, Outcome::Failed(ClientError::Closed("test")));
    assert!(bench.is_waiting());
    // The broker misses the first and so refuses the second, which is certainly not written.
    bench.queue.done(second, bench.out_of_step(false));
    assert!(matches!(
        bench.queue.next(bench.now, &bench.config),
        Next::Session
    ));
    bench.queue.rebase(Session { id: 8, epoch: 0 });
    let again = bench.take();
    assert_eq!((sequence(&again), again.batch.header().producer_id), (0, 8));
    assert!(again.batch.check_crc().is_ok());
    assert!(failed.wait().await.is_err());
}

#[tokio::test]
async fn what_may_be_written_is_not_sent_under_another_session() {
    let mut bench = Bench::new();
    bench.push("too large........");
    let unsure = bench.push("unsure...........");
    let (first, second) = (bench.take(), bench.take());
    bench.queue.done(second, bench.again(true));
    bench
        .queue
        .done(first, Outcome::Failed(ClientError::Closed("test")));
    assert!(matches!(
        bench.queue.next(bench.now, &bench.config),
        Next::Session
    ));
    bench.queue.rebase(Session { id: 8, epoch: 0 });
    assert!(unsure.wait().await.is_err());
    assert!(matches!(
        bench.queue.next(bench.now, &bench.config),
        Next::Idle
    ));
}

#[tokio::test]
async fn an_unknown_session_is_replaced_and_the_batch_goes_out_again() {
    let mut bench = Bench::new();
    let fate = bench.push("lone.............");
    let batch = bench.take();
    bench.queue.done(batch, bench.out_of_step(true));
    assert!(matches!(
        bench.queue.next(bench.now, &bench.config),
        Next::Session
    ));
    bench.queue.rebase(Session { id: 9, epoch: 0 });
    let batch = bench.take();
    bench.queue.done(batch, written());
    assert_eq!(fate.wait().await.expect("written").offset, 10);
}

#[tokio::test]
async fn what_waits_too_long_fails() {
    let mut bench = Bench::new();
    let fate = bench.push("late.............");
    bench.queue.seal();
    bench.now += bench.config.delivery_timeout;
    assert!(!matches!(
        bench.queue.next(bench.now, &bench.config),
        Next::Send(_)
    ));
    assert!(matches!(
        fate.wait().await,
        Err(ClientError::TimedOut { .. })
    ));
}

#[tokio::test]
async fn an_open_batch_waits_for_its_linger() {
    let mut bench = Bench::new();
    bench.config.linger = Duration::from_millis(5);
    bench.queue = Queue::new(&ProducerConfig::default(), Some(SESSION));
    bench.push("a");
    bench.push("b");
    assert!(bench.is_waiting());
    bench.now += Duration::from_millis(5);
    assert_eq!(bench.take().count, 2);
}

#[tokio::test]
async fn memory_comes_back_with_the_batch() {
    let mut bench = Bench::new();
    bench.push("filler...........");
    assert_eq!(bench.memory.available_permits(), 10_000 - 20);
    let batch = bench.take();
    bench.queue.done(batch, written());
    assert_eq!(bench.memory.available_permits(), 10_000);
}

#[test]
fn order_survives_the_wrap() {
    assert!(follows(0, i32::MAX));
    assert!(!follows(i32::MAX, 0));
    assert!(!follows(5, 5));
}

#[tokio::test]
async fn a_retry_goes_alone() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        bench.push("filler...........");
    }
    let first = bench.take();
    bench.queue.done(first, bench.again(true));
    let first = bench.take();
    assert!(
        bench.is_waiting(),
        "a broker knows duplicates only among the last five"
    );
    bench.queue.done(first, written());
    let pair = [bench.take(), bench.take()];
    assert_eq!(pair.map(|b| sequence(&b)), [1, 2]);
}

#[tokio::test]
async fn a_batch_that_runs_out_of_time_tells_why_it_was_put_off() {
    let mut bench = Bench::new();
    let fate = bench.push("filler...........");
    let batch = bench.take();
    let error = ClientError::Refused {
        what: "a batch for t-0 was not written".into(),
        code: ErrorCode::NotEnoughReplicas,
        message: None,
    };
    let outcome = Outcome::Again {
        perhaps_written: false,
        at: bench.now,
        error,
    };
    bench.queue.done(batch, outcome);
    bench.now += bench.config.delivery_timeout;
    let _ = bench.queue.next(bench.now, &bench.config);
    let failure = fate.wait().await.expect_err("its time is up");
    assert_eq!(failure.code(), Some(ErrorCode::NotEnoughReplicas));
}
