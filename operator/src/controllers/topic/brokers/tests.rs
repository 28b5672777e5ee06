//! The desk before a cluster that only remembers what it was asked.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use freshet_client::{ClientError, ErrorCode};
use futures_util::FutureExt;
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::actor::{AWAY, IDLE, LINGER, MOST};
use super::*;
use crate::clusters::{Pass, PassKey};

/// How long a request takes.
const TRIP: Duration = Duration::from_millis(5);

#[derive(Default)]
struct Fake {
    /// Each request: its kind, and the topics in it.
    asked: Mutex<Vec<(&'static str, Vec<String>)>>,
    /// Topics that are refused, each alone.
    bad: HashSet<String>,
    /// A topic for which the whole request is refused.
    poison: Option<String>,
    /// Nobody answers.
    away: bool,
    /// Nobody is let in.
    barred: bool,
    rests: Mutex<u32>,
}

impl Fake {
    fn answer<Q, A: Send + 'static>(
        &self,
        kind: &'static str,
        topics: &[(String, Q)],
        answer: impl Fn(&Q) -> A,
    ) -> Answers<'static, A> {
        let names: Vec<_> = topics.iter().map(|(name, _)| name.clone()).collect();
        let outcomes: Outcomes<String, A> = topics
            .iter()
            .map(|(name, question)| {
                let is_bad = self.bad.contains(name);
                let refused = ClientError::Refused {
                    what: name.clone(),
                    code: ErrorCode::PolicyViolation,
                    message: None,
                };
                let outcome = if is_bad {
                    Err(refused)
                } else {
                    Ok(answer(question))
                };
                (name.clone(), outcome)
            })
            .collect();
        let is_poisoned = self.poison.as_ref().is_some_and(|p| names.contains(p));
        let (away, barred) = (self.away, self.barred);
        self.asked.lock().push((kind, names));
        async move {
            sleep(TRIP).await;
            if away {
                let (address, cause) = ("a:1".to_owned(), "refused".to_owned());
                return Err(ClientError::Unreachable { address, cause });
            }
            if barred {
                return Err(ClientError::Authentication {
                    address: "a:1".to_owned(),
                    mechanism: "PLAIN",
                    cause: "SASL_AUTHENTICATION_FAILED".to_owned(),
                });
            }
            if is_poisoned {
                return Err(ClientError::Invalid(
                    "a request that makes no sense".to_owned(),
                ));
            }
            Ok(outcomes)
        }
        .boxed()
    }
}

impl Brokers for Fake {
    fn look<'a>(&'a self, topics: &'a [(String, Option<i32>)]) -> Answers<'a, Option<Seen>> {
        self.answer("look", topics, |_| None)
    }

    fn create<'a>(&'a self, topics: &'a [(String, NewTopic)]) -> Answers<'a, CreatedTopic> {
        self.answer("create", topics, |new| CreatedTopic {
            id: freshet_types::TopicId([1; 16]),
            partitions: new.partitions.unwrap_or(1),
            replication: new.replication.unwrap_or(1),
        })
    }

    fn configure<'a>(&'a self, topics: &'a [(String, Vec<ConfigChange>)]) -> Answers<'a, ()> {
        self.answer("configure", topics, |_| ())
    }

    fn widen<'a>(&'a self, topics: &'a [(String, i32)]) -> Answers<'a, ()> {
        self.answer("widen", topics, |_| ())
    }

    fn replicate<'a>(&'a self, topics: &'a [(String, i32)]) -> Answers<'a, i32> {
        self.answer("replicate", topics, |copies| *copies)
    }

    fn delete<'a>(&'a self, topics: &'a [(String, ())]) -> Answers<'a, ()> {
        self.answer("delete", topics, |()| ())
    }

    fn rest(&self) {
        *self.rests.lock() += 1;
    }
}

struct Office {
    fake: Arc<Fake>,
    desk: Desk,
    way: Way,
}

impl Office {
    fn of(fake: Fake) -> Self {
        let fake = Arc::new(fake);
        let door = Arc::clone(&fake);
        Self {
            fake,
            desk: Desk::new(Box::new(move |_| Arc::<Fake>::clone(&door))),
            way: Way::open(&["a:1".to_owned()]),
        }
    }

    fn counter(&self) -> Counter<'_> {
        self.desk.at(&self.way)
    }

    /// Sizes of the requests so far.
    fn sizes(&self) -> Vec<(&'static str, usize)> {
        let asked = self.fake.asked.lock();
        asked
            .iter()
            .map(|(kind, names)| (*kind, names.len()))
            .collect()
    }

    async fn look_at(&self, count: usize) -> Vec<Result<Option<Seen>, ClientError>> {
        let counter = self.counter();
        let looks = (0..count).map(|i| async move { counter.look(&name(i), None).await });
        join_all(looks).await
    }
}

fn name(number: usize) -> String {
    format!("t{number:04}")
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_at_one_time_is_one_request() {
    let office = Office::of(Fake::default());
    let start = Instant::now();
    let answers = office.look_at(100).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(office.sizes(), [("look", 100)]);
    assert!(start.elapsed() < LINGER + 2 * TRIP, "{:?}", start.elapsed());
    // In the order in which they came.
    let names: Vec<_> = (0..100).map(name).collect();
    assert_eq!(office.fake.asked.lock()[0].1, names);
}

#[tokio::test(start_paused = true)]
async fn a_request_has_a_bound_and_the_queue_too() {
    let office = Office::of(Fake::default());
    let count = 3 * QUEUE + 7;
    let answers = office.look_at(count).await;
    assert_eq!(answers.len(), count);
    assert!(answers.iter().all(Result::is_ok));
    let sizes = office.sizes();
    assert!(sizes.iter().all(|(_, size)| *size <= MOST), "{sizes:?}");
    assert_eq!(sizes.iter().map(|(_, size)| size).sum::<usize>(), count);
    assert!(sizes.len() <= count.div_ceil(MOST) + 2, "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_refused_is_refused_alone() {
    let office = Office::of(Fake {
        bad: HashSet::from([name(3)]),
        ..Fake::default()
    });
    let answers = office.look_at(10).await;
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer.is_err(), number == 3, "{number}");
    }
    assert_eq!(office.sizes(), [("look", 10)]);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_spoils_the_request_is_found() {
    let office = Office::of(Fake {
        poison: Some(name(5)),
        ..Fake::default()
    });
    let answers = office.look_at(16).await;
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer.is_err(), number == 5, "{number}");
    }
    // One more for each halving, twice.
    assert!(office.sizes().len() <= 9, "{:?}", office.sizes());
}

#[tokio::test(start_paused = true)]
async fn different_questions_go_at_the_same_time() {
    let office = Office::of(Fake::default());
    let counter = office.counter();
    let (topic, start) = (name(1), Instant::now());
    let (looked, created, moved, deleted) = tokio::join!(
        counter.look(&topic, Some(1)),
        counter.create(NewTopic::new("new").partitions(4)),
        counter.replicate(&topic, 3),
        counter.delete("old"),
    );
    assert_eq!(created.unwrap().partitions, 4);
    assert_eq!(moved.unwrap(), 3);
    assert!(looked.is_ok() && deleted.is_ok());
    assert_eq!(office.sizes().len(), 4);
    assert!(start.elapsed() < LINGER + 2 * TRIP);
}

#[tokio::test(start_paused = true)]
async fn a_topic_is_named_once_in_a_request() {
    let office = Office::of(Fake::default());
    let counter = office.counter();
    let (one, two) = tokio::join!(counter.widen("t", 3), counter.widen("t", 5));
    assert!(one.is_ok() && two.is_ok());
    assert_eq!(office.sizes(), [("widen", 1), ("widen", 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_away_costs_one_patience() {
    let office = Office::of(Fake {
        away: true,
        ..Fake::default()
    });
    let answers = office.look_at(2 * MOST).await;
    assert!(answers.iter().all(Result::is_err));
    assert_eq!(
        office.sizes(),
        [("look", MOST)],
        "the others were told the same"
    );
    sleep(AWAY).await;
    assert!(office.counter().look("t", None).await.is_err());
    assert_eq!(office.sizes().len(), 2, "and then it is tried again");
    // Who comes while it is tried does not wait.
    sleep(2 * AWAY).await;
    let counter = office.counter();
    let (tried, start) = (counter.look("t", None), Instant::now());
    let late = async {
        sleep(LINGER + TRIP / 2).await;
        (counter.look("late", None).await, start.elapsed())
    };
    let (tried, (late, waited)) = tokio::join!(tried, late);
    assert!(tried.is_err() && late.is_err());
    assert!(waited < LINGER + TRIP, "{waited:?}");
    assert_eq!(office.sizes().len(), 3);
}

/// Many wrong passwords in a row lock an account.
#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_tried_once_for_all() {
    let office = Office::of(Fake {
        barred: true,
        ..Fake::default()
    });
    let answers = office.look_at(100).await;
    assert!(answers.iter().all(Result::is_err));
    assert_eq!(office.sizes(), [("look", 100)], "not in halves");
    assert!(office.counter().look("t", None).await.is_err());
    assert_eq!(office.sizes().len(), 1, "who asks soon is told the same");
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_nobody_asks_goes_away() {
    let office = Office::of(Fake::default());
    assert!(office.counter().look("t", None).await.is_ok());
    assert_eq!(office.desk.actors.lock().len(), 1);
    sleep(IDLE + TRIP).await;
    assert_eq!(office.desk.actors.lock().len(), 0);
    assert_eq!(*office.fake.rests.lock(), 1);
    assert!(office.counter().look("t", None).await.is_ok());
    assert_eq!(office.sizes().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn those_who_come_with_different_secrets_share_nothing() {
    let office = Office::of(Fake::default());
    let with = |namespace: &str, version: &str| Way {
        pass: Some(pass(namespace, version)),
        ..office.way.clone()
    };
    let ways = [
        office.way.clone(),
        with("shop", "1"),
        with("billing", "1"),
        with("shop", "2"),
        with("shop", "1"),
    ];
    let counters = ways.iter().map(|way| office.desk.at(way));
    let asked = join_all(counters.map(|counter| async move { counter.look("t", None).await }));
    assert!(asked.await.iter().all(Result::is_ok));
    assert_eq!(
        office.desk.actors.lock().len(),
        4,
        "only the last is one that was there"
    );
}

fn pass(namespace: &str, version: &str) -> Pass {
    let of = PassKey {
        namespace: namespace.to_owned(),
        name: "kafka".to_owned(),
        uid: "u".to_owned(),
        version: version.to_owned(),
    };
    Pass {
        of,
        security: freshet_client::Security::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn each_cluster_has_its_own_queue() {
    let office = Office::of(Fake::default());
    let way = |address: &str| Way::open(&[address.to_owned()]);
    let (one, other) = (way("a:1"), way("b:1"));
    let (first, second) = (office.desk.at(&one), office.desk.at(&other));
    let asked = tokio::join!(first.look("t", None), second.look("t", None));
    assert!(asked.0.is_ok() && asked.1.is_ok());
    assert_eq!(office.desk.actors.lock().len(), 2);
    assert_eq!(office.sizes(), [("look", 1), ("look", 1)]);
}
