//! What is asked of every real server, and what happens to each.

use std::time::{Duration, Instant};

use bytes::Bytes;
use freshet_env::contract::objects::examine_objects;
use freshet_env::objects::ObjectFailure::*;
use freshet_env::objects::{ObjectBody, ObjectWait, Objects};
use freshet_objects::{Bucket, Limits};

use crate::cases::{self, Pattern, brief, failures, one_by_one};
use crate::process::Server;

/// A real server with a bucket that is empty at first.
pub(crate) trait Real: Send {
    /// Its process.
    fn server(&mut self) -> &mut Server;

    /// What of the bucket begins so, by someone who may.
    fn open(&self, below: &str, limits: &Limits) -> Bucket;

    /// The bucket, by someone whose key is a wrong one.
    fn stranger(&self) -> Bucket;

    /// A bucket that is not there, by someone who may.
    fn nowhere(&self) -> Bucket;

    /// Files that hold parts of uploads, where clients have to throw away those that came to nothing.
    fn parts(&self) -> Option<usize>;

    /// Why it may have forgotten what it has said to have, once it was killed. A real store may not.
    fn forgets(&self) -> Option<&'static str> {
        None
    }

    /// The bucket.
    fn bucket(&self) -> Bucket {
        self.open("", &Limits::default())
    }
}

/// What every real server is asked, as tests of the module that says this: of the server that `$start` starts, whose
/// own pages have at most `$page` names.
macro_rules! real_server {
    ($start:expr, $page:expr) => {
        #[tokio::test]
        #[ignore = "needs a real server: cargo xtask test runs it"]
        async fn passes_the_exam() {
            $crate::real::passes_the_exam(&$start).await;
        }

        #[tokio::test]
        #[ignore = "needs a real server: cargo xtask test runs it"]
        async fn answers_all_cases() {
            $crate::real::answers_all_cases(&$start, $page).await;
        }

        #[tokio::test]
        #[ignore = "needs a real server: cargo xtask test runs it"]
        async fn says_what_is_wrong() {
            $crate::real::says_what_is_wrong(&mut $start).await;
        }

        #[tokio::test]
        #[ignore = "needs a real server: cargo xtask test runs it"]
        async fn is_given_up_when_it_hangs() {
            $crate::real::is_given_up(&mut $start).await;
        }

        #[tokio::test]
        #[ignore = "needs a real server: cargo xtask test runs it"]
        async fn leaves_all_or_nothing_when_killed_in_a_put() {
            $crate::real::leaves_all_or_nothing($start).await;
        }
    };
}
pub(crate) use real_server;

/// The exam, at the top of the bucket and below a prefix.
pub(crate) async fn passes_the_exam(real: &impl Real) {
    let whole = real.bucket();
    examine_objects(&whole, "exam/").await;
    let below = real.open("below/some prefix/", &Limits::default());
    examine_objects(&below, "").await;
    let names = whole.list("below/", None, 99).await.unwrap().objects;
    let is_below = |name: &str| name.starts_with("below/some prefix/");
    assert!(!names.is_empty() && names.iter().all(|(name, _)| is_below(name)));
}

/// All that every store is asked beside it. The server's own pages have at most so many names.
pub(crate) async fn answers_all_cases(real: &impl Real, page: usize) {
    let store = real.bucket();
    let nothing_is_left = |why: &str| assert_eq!(real.parts().unwrap_or(0), 0, "{why}");
    cases::large_objects_are_whole(&store).await;
    cases::one_of_many_wins(&store).await;
    cases::broken_bodies_leave_nothing(&store).await;
    nothing_is_left("an upload that was given up is aborted");
    cases::dropped_uploads_leave_nothing(&store).await;
    nothing_is_left("one that was dropped is as well");
    cases::names_are_kept_or_refused(&store).await;
    cases::empty_ranges_are_within(&store).await;
    cases::pages_fit_together(&store, page + 203).await;
    for folder in ["", "below"] {
        cases::folders_are_told(&real.open(folder, &Limits::default())).await;
    }
}

/// A wrong key, no bucket, nobody there, and what a client makes of it when he is back.
pub(crate) async fn says_what_is_wrong(real: &mut impl Real) {
    assert_eq!(failures(&real.stranger()).await, [Some(Denied); 5]);
    assert_eq!(failures(&real.nowhere()).await, [Some(Invalid); 5]);
    let mut body = Pattern::of(cases::LARGE_BYTES);
    let large = real.nowhere().put_new("a", &mut body).await;
    assert_eq!(large.unwrap_err().failure, Invalid);
    let store = real.bucket();
    let mut one = Bytes::from_static(b"1");
    store.put_new("a/b", &mut one).await.unwrap();
    real.server().kill();
    // A connection that nobody has seen end would leave it open what became of the first request.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(failures(&store).await, [Some(Unreachable); 5]);
    real.server().start_again();
    if let Some(why) = real.forgets() {
        eprintln!("it is not asked what it still has: {why}");
        store.delete("a/b").await.unwrap();
        let mut again = Bytes::from_static(b"1");
        store.put_new("a/b", &mut again).await.unwrap();
    }
    let head = store.head("a/b").await.unwrap();
    assert_eq!(head.len_bytes, 1, "the client goes on by itself");
}

/// It hangs, and is given up.
pub(crate) async fn is_given_up(real: &mut impl Real) {
    let store = real.open("", &brief());
    let mut one = Bytes::from_static(b"1");
    real.bucket().put_new("a", &mut one).await.unwrap();
    real.server().freeze();
    let start = Instant::now();
    assert_eq!(failures(&store).await, [Some(Unanswered); 5]);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(9), "{took:?}");
}

/// Killed in a put it has all of it or nothing, and the same can be put again.
pub(crate) async fn leaves_all_or_nothing(mut real: impl Real) {
    let store = real.open("", &one_by_one());
    // The request is in its socket when it dies.
    real.server().freeze();
    let mut body = Bytes::from_static(b"whole");
    let (put, ()) = tokio::join!(store.put_new("small", &mut body), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        real.server().kill();
    });
    assert_eq!(put.unwrap_err().failure, Unanswered);
    real.server().start_again();
    match store.head("small").await {
        Ok(head) => assert_eq!(head.len_bytes, 5),
        Err(error) => assert_eq!(error.failure, NotFound, "{error}"),
    }
    let mut body = Deadly {
        body: Pattern::of(cases::LARGE_BYTES),
        real: &mut real,
    };
    let put = store.put_new("large", &mut body).await.unwrap_err();
    assert!(matches!(put.failure, Unreachable | Unanswered), "{put}");
    real.server().start_again();
    let head = store.head("large").await.unwrap_err();
    assert_eq!(head.failure, NotFound, "{head}");
    if let Some(parts) = real.parts() {
        assert!(
            parts > 0,
            "only the bucket's own rule removes what nobody could abort"
        );
    }
    let mut again = Pattern::of(cases::LARGE_BYTES);
    store.put_new("large", &mut again).await.unwrap();
    let last = again.len - 9..again.len;
    let read = store.get_range("large", last.clone()).await.unwrap();
    assert_eq!(read, Pattern::bytes(last));
}

/// A body whose third part is the server's end: one has arrived then, and one is on its way.
struct Deadly<'a, R> {
    body: Pattern,
    real: &'a mut R,
}

impl<R: Real> ObjectBody for Deadly<'_, R> {
    fn part(&mut self, bytes: u64) -> ObjectWait<'_, Vec<Bytes>> {
        if self.body.parts == 2 {
            self.real.server().kill();
        }
        self.body.part(bytes)
    }
}
