//! A real S3 server as a store, and what happens to it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use freshet_env::contract::objects::examine_objects;
use freshet_env::objects::ObjectFailure::*;
use freshet_env::objects::{ObjectBody, ObjectWait, Objects};
use freshet_objects::Limits;

use crate::cases::{self, Pattern, brief, failures, one_by_one};
use crate::gateway::{BUCKET, Gateway};

#[tokio::test]
#[ignore = "needs an S3 server: cargo xtask test runs it"]
async fn an_s3_server_passes_the_exam() {
    let gateway = Gateway::start();
    let whole = gateway.bucket();
    examine_objects(&whole, "exam/").await;
    let url = format!("s3://{BUCKET}/below/some prefix/");
    let below = gateway.open(&url, "a secret of this test", &Limits::default());
    examine_objects(&below, "").await;
    let names = whole.list("below/", None, 99).await.unwrap().objects;
    assert!(
        !names.is_empty()
            && names
                .iter()
                .all(|(name, _)| name.starts_with("below/some prefix/"))
    );
}

#[tokio::test]
#[ignore = "needs an S3 server: cargo xtask test runs it"]
async fn an_s3_server_answers_all_cases() {
    let gateway = Gateway::start();
    let store = gateway.bucket();
    cases::large_objects_are_whole(&store).await;
    cases::one_of_many_wins(&store).await;
    cases::broken_bodies_leave_nothing(&store).await;
    assert_eq!(gateway.parts(), 0, "an upload that was given up is aborted");
    cases::dropped_uploads_leave_nothing(&store).await;
    assert_eq!(gateway.parts(), 0, "one that was dropped is as well");
    cases::names_are_kept_or_refused(&store).await;
    cases::empty_ranges_are_within(&store).await;
    // The server's own pages are 1,000 long.
    cases::pages_fit_together(&store, 1203).await;
    cases::folders_are_told(&store).await;
    let below = gateway.open(
        &format!("s3://{BUCKET}/below"),
        "a secret of this test",
        &Limits::default(),
    );
    cases::folders_are_told(&below).await;
}

#[tokio::test]
#[ignore = "needs an S3 server: cargo xtask test runs it"]
async fn an_s3_server_says_what_is_wrong() {
    let mut gateway = Gateway::start();
    let stranger = gateway.open("s3://exam", "another secret", &Limits::default());
    assert_eq!(failures(&stranger).await, [Some(Denied); 5]);
    assert_eq!(failures(&gateway.no_bucket()).await, [Some(Invalid); 5]);
    let large = gateway.no_bucket();
    let large = large
        .put_new("a", &mut Pattern::of(cases::LARGE_BYTES))
        .await;
    assert_eq!(large.unwrap_err().failure, Invalid);
    let store = gateway.bucket();
    store
        .put_new("a/b", &mut Bytes::from_static(b"1"))
        .await
        .unwrap();
    gateway.kill();
    assert_eq!(failures(&store).await, [Some(Unreachable); 5]);
    gateway.start_again();
    assert_eq!(
        store.head("a/b").await.unwrap().len_bytes,
        1,
        "the client goes on by itself"
    );
}

/// Without TLS nobody but the server sees that, and only if it is told a sum of what was sent.
#[tokio::test]
#[ignore = "needs an S3 server: cargo xtask test runs it"]
async fn a_bit_that_flips_on_the_way_is_sent_again() {
    let gateway = Gateway::start();
    let len = cases::LARGE_BYTES;
    for (more, is_seen) in [
        (&[][..], true),
        (&[("AWS_UNSIGNED_PAYLOAD", "false")], true),
        (&[("AWS_UNSIGNED_PAYLOAD", "true")], false),
    ] {
        let line = gateway.line(3 << 20);
        let store = gateway.behind(&line, more);
        let key = format!("flipped/{}", line.port);
        store.put_new(&key, &mut Pattern::of(len)).await.unwrap();
        let stored = gateway.bucket().get_range(&key, 0..len).await.unwrap();
        let is_right = stored == Pattern::bytes(0..len);
        assert_eq!(is_right, is_seen, "{more:?}");
        assert_eq!(line.sent() > len + (8 << 20), is_seen, "{more:?}");
    }
}

#[tokio::test]
#[ignore = "needs an S3 server: cargo xtask test runs it"]
async fn an_s3_server_that_hangs_is_given_up() {
    let gateway = Gateway::start();
    let store = gateway.bucket_within(&brief());
    let patient = gateway.bucket();
    patient
        .put_new("a", &mut Bytes::from_static(b"1"))
        .await
        .unwrap();
    gateway.freeze();
    let start = Instant::now();
    assert_eq!(failures(&store).await, [Some(Unanswered); 5]);
    assert!(
        start.elapsed() < Duration::from_secs(9),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
#[ignore = "needs an S3 server: cargo xtask test runs it"]
async fn an_s3_server_killed_in_a_put_leaves_all_or_nothing() {
    let mut gateway = Gateway::start();
    let store = gateway.bucket_within(&one_by_one());
    // The request is in its socket when it dies.
    gateway.freeze();
    let mut body = Bytes::from_static(b"whole");
    let (put, ()) = tokio::join!(store.put_new("small", &mut body), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        gateway.kill();
    });
    assert_eq!(put.unwrap_err().failure, Unanswered);
    gateway.start_again();
    match store.head("small").await {
        Ok(head) => assert_eq!(head.len_bytes, 5),
        Err(error) => assert_eq!(error.failure, NotFound, "{error}"),
    }
    let mut body = Deadly {
        body: Pattern::of(cases::LARGE_BYTES),
        gateway,
    };
    let put = store.put_new("large", &mut body).await.unwrap_err();
    assert!(matches!(put.failure, Unreachable | Unanswered), "{put}");
    let mut gateway = body.gateway;
    gateway.start_again();
    let head = store.head("large").await.unwrap_err();
    assert_eq!(head.failure, NotFound, "{head}");
    assert!(
        gateway.parts() > 0,
        "only the bucket's own rule removes what nobody could abort"
    );
    let mut again = Pattern::of(cases::LARGE_BYTES);
    store.put_new("large", &mut again).await.unwrap();
    let last = store
        .get_range("large", again.len - 9..again.len)
        .await
        .unwrap();
    assert_eq!(last, Pattern::bytes(again.len - 9..again.len));
}

/// A body whose third part is the server's end: one has arrived then, and one is on its way.
struct Deadly {
    body: Pattern,
    gateway: Gateway,
}

impl ObjectBody for Deadly {
    fn part(&mut self, bytes: u64) -> ObjectWait<'_, Vec<Bytes>> {
        if self.body.parts == 2 {
            self.gateway.kill();
        }
        self.body.part(bytes)
    }
}
