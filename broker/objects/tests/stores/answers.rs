//! Every way in which a store can fail to do what it was asked, and what is made of it.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::Bytes;
use freshet_env::objects::ObjectFailure::{self, *};
use freshet_env::objects::{Objects, RequestKind};
use freshet_objects::Limits;
use tokio::net::TcpListener;

use crate::cases::{Pattern, brief, failures, open};
use crate::scripted::{Says, Scripted, s3_error};

/// Parts that all uploads may have on their way together, beyond one of each.
const WINDOW: usize = 8;

/// What all operations fail with when all requests are answered so.
async fn all(says: Says) -> [Option<ObjectFailure>; 5] {
    let server = Scripted::new(&[says]).await;
    failures(&server.bucket(&brief())).await
}

#[tokio::test]
async fn answers_mean_the_same_to_all_operations() {
    for (says, failure) in [
        (s3_error!("403 Forbidden", "InvalidAccessKeyId"), Denied),
        (s3_error!("400 Bad Request", "ExpiredToken"), Denied),
        (s3_error!("404 Not Found", "NoSuchBucket"), Invalid),
        (s3_error!("301 Moved", "PermanentRedirect"), Invalid),
        (s3_error!("503 Slow Down", "SlowDown"), Throttled),
        (
            s3_error!("500 Internal Server Error", "InternalError"),
            Unanswered,
        ),
        (Says::Answer("502 Bad Gateway", "", "<html>"), Unanswered),
        (Says::Goodbye, Unanswered),
    ] {
        let told = all(says).await;
        let head = match says {
            // The answer to a HEAD has no text. What is no mistake of ours is not asked after.
            Says::Answer("503 Slow Down", ..) => Unanswered,
            _ => failure,
        };
        let expected = [failure, failure, head, failure, failure].map(Some);
        assert_eq!(told, expected, "{says:?}");
    }
}

#[tokio::test]
async fn an_object_that_is_not_there_is_removed_already() {
    let told = all(s3_error!("404 Not Found", "NoSuchKey")).await;
    // A put that is told so has lost its bucket or its upload on the way: who knows.
    let expected = [
        Some(Unanswered),
        Some(NotFound),
        Some(NotFound),
        Some(NotFound),
        None,
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_put_that_loses_is_told_from_one_that_fights() {
    for (says, failure) in [
        (
            s3_error!("412 Precondition Failed", "PreconditionFailed"),
            AlreadyExists,
        ),
        (
            s3_error!("409 Conflict", "ConditionalRequestConflict"),
            Unanswered,
        ),
    ] {
        assert_eq!(all(says).await[0], Some(failure));
    }
}

#[tokio::test]
async fn a_silent_store_is_given_up() {
    let server = Scripted::new(&[Says::Nothing]).await;
    let store = server.bucket(&brief());
    let start = Instant::now();
    assert_eq!(failures(&store).await, [Some(Unanswered); 5]);
    let took = start.elapsed();
    assert!(
        took < Duration::from_secs(9),
        "five requests of a second each: {took:?}"
    );
    assert!(
        took > Duration::from_secs(4),
        "each is waited for: {took:?}"
    );
    assert_eq!(
        server.asked().len(),
        5,
        "and asked once: {:?}",
        server.asked()
    );
}

#[tokio::test]
async fn half_an_answer_is_none() {
    let server = Scripted::new(&[Says::Half]).await;
    let error = server
        .bucket(&brief())
        .get_range("a", 0..10)
        .await
        .unwrap_err();
    assert_eq!(error.failure, Unanswered, "{error}");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_put_is_never_sent_twice() {
    for says in [Says::Goodbye, s3_error!("503 Slow Down", "SlowDown")] {
        let server = Scripted::new(&[says]).await;
        let put = server.bucket(&brief());
        put.put_new("a", &mut Bytes::from_static(b"a"))
            .await
            .unwrap_err();
        assert_eq!(server.asked().len(), 1, "{says:?}: {:?}", server.asked());
    }
}

#[tokio::test]
async fn a_put_on_a_connection_that_breaks_is_never_sent_twice() {
    let server = Scripted::new(&[Says::Stay, Says::Goodbye, Says::Stay]).await;
    let store = server.bucket(&brief());
    let get = store.get_range("a", 0..1).await.unwrap_err();
    assert_eq!(get.failure, NotFound);
    let put = store.put_new("a", &mut Bytes::from_static(b"a")).await;
    assert_eq!(put.unwrap_err().failure, Unanswered);
    let asked = (server.asked().len(), server.connections());
    assert_eq!(asked, (2, 1), "{:?}", server.asked());
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let environment = [
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
    ];
    let store = open("s3://bucket", &environment, &brief());
    assert_eq!(failures(&store).await, [Some(Unreachable); 5]);
}

#[tokio::test]
async fn a_handshake_that_fails_is_unreachable() {
    // It speaks no TLS.
    let server = Scripted::new(&[NO_KEY]).await;
    let endpoint = server.endpoint().replace("http://", "https://");
    let environment = [
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
    ];
    let store = open("s3://bucket", &environment, &brief());
    assert_eq!(failures(&store).await, [Some(Unreachable); 5]);
    assert_eq!(server.asked().len(), 0);
}

#[tokio::test]
async fn no_credentials_are_denied() {
    let server = Scripted::new(&[Says::Goodbye]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let metadata = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let environment = [("AWS_METADATA_ENDPOINT", metadata.as_str())];
    let store = open("s3://bucket", &environment, &brief());
    assert_eq!(failures(&store).await, [Some(Denied); 5]);
    assert_eq!(server.asked().len(), 0, "the store was not asked");
}

const CREATED: Says = Says::Answer(
    "200 OK",
    "",
    "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>",
);
const PART: Says = Says::Answer("200 OK", "etag: \"e\"\r\n", "");
const DONE: Says = Says::Answer(
    "200 OK",
    "",
    "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>",
);
const NO_KEY: Says = s3_error!("404 Not Found", "NoSuchKey");
const SLOW: Says = s3_error!("503 Slow Down", "SlowDown");

/// Puts an object of two parts; gives what became of it, and which requests it took.
async fn two_parts(script: &[Says]) -> (Option<ObjectFailure>, Vec<String>) {
    let server = Scripted::new(script).await;
    let limits = Limits {
        part_bytes: 5,
        parts_at_once: 1,
        ..brief()
    };
    let store = server.bucket(&limits);
    let put = store.put_new("a", &mut Pattern::of(10)).await;
    store.settled().await;
    (put.err().map(|error| error.failure), asked(&server))
}

/// What was asked about the object.
fn asked(server: &Scripted) -> Vec<String> {
    let asked = server.asked().into_iter();
    let asked = asked.map(|line| line.trim_end_matches(" HTTP/1.1").replace("/bucket/a", ""));
    asked.collect()
}

#[tokio::test]
async fn a_part_is_sent_again_and_the_rest_is_not() {
    let script = [
        NO_KEY,
        NO_KEY,
        CREATED,
        SLOW,
        PART,
        Says::Goodbye,
        PART,
        DONE,
    ];
    let (failure, asked) = two_parts(&script).await;
    assert_eq!(failure, None);
    let first = "PUT ?partNumber=1&uploadId=u1";
    let second = "PUT ?partNumber=2&uploadId=u1";
    let expected = [
        "HEAD ",
        "GET ",
        "POST ?uploads=",
        first,
        first,
        second,
        second,
        "POST ?uploadId=u1",
    ];
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn each_request_is_counted_by_its_kind() {
    let names = "<ListBucketResult></ListBucketResult>";
    let script = [
        NO_KEY,
        NO_KEY,
        CREATED,
        SLOW,
        PART,
        PART,
        DONE,
        Says::Answer("200 OK", "", names),
        Says::Answer("204 No Content", "", ""),
    ];
    let server = Scripted::new(&script).await;
    let limits = Limits {
        part_bytes: 5,
        parts_at_once: 1,
        ..brief()
    };
    let store = server.bucket(&limits);
    store.put_new("a", &mut Pattern::of(10)).await.unwrap();
    let counts = store.counts();
    let sent = counts.sent_bytes.load(Relaxed);
    assert!(sent > 15, "three times a part, and their names: {sent}");
    let before = counts.received_bytes.load(Relaxed);
    assert!(store.list("", None, 9).await.unwrap().objects.is_empty());
    let received = counts.received_bytes.load(Relaxed) - before;
    assert_eq!(received, names.len() as u64);
    store.delete("a").await.unwrap();
    let asked = RequestKind::ALL.map(|kind| counts.requests(kind));
    assert_eq!(asked, [3, 2, 1, 1, 1, 1], "{:?}", server.asked());
    let all: u64 = asked.iter().sum();
    assert_eq!(all, server.asked().len() as u64);
}

/// Three names in two pages.
#[tokio::test]
async fn a_listing_asks_for_no_more_names_than_are_wanted() {
    const BEGIN: &str = "<ListBucketResult><NextContinuationToken>more</NextContinuationToken><Contents><Key>a/1</Key>\
        <Size>1</Size><LastModified>2026-03-01T10:00:00.000Z</LastModified></Contents></ListBucketResult>";
    const END: &str = "<ListBucketResult><Contents><Key>a/2</Key><Size>1</Size>\
        <LastModified>2026-03-01T10:00:00.000Z</LastModified></Contents><Contents><Key>a/3</Key><Size>1</Size>\
        <LastModified>2026-03-01T10:00:00.000Z</LastModified></Contents></ListBucketResult>";
    let script = [BEGIN, END].map(|page| Says::Answer("200 OK", "", page));
    let server = Scripted::new(&script).await;
    let store = server.bucket(&brief());
    let page = store.list("a/", Some("a/0"), 2).await.unwrap();
    let names: Vec<&str> = page.objects.iter().map(|(name, _)| &**name).collect();
    assert_eq!((names, page.more), (vec!["a/1", "a/2"], true));
    let march = page.objects.iter().map(|(_, head)| head.modified.0);
    assert!(march.eq([1_772_359_200_000; 2]), "{page:?}");
    store.list("a/", None, 999).await.unwrap();
    let asked = server.asked();
    assert!(
        asked[..2].iter().all(|it| it.contains("max-keys=3")),
        "{asked:?}"
    );
    assert!(asked[0].contains("start-after=a%2F0"), "{asked:?}");
    assert!(asked[1].contains("continuation-token=more"), "{asked:?}");
    assert!(
        !asked[2].contains("max-keys"),
        "as many as it likes: {asked:?}"
    );
}

#[tokio::test]
async fn a_part_that_does_not_arrive_ends_the_upload() {
    let (failure, asked) = two_parts(&[NO_KEY, NO_KEY, CREATED, SLOW]).await;
    assert_eq!(failure, Some(Throttled));
    assert_eq!(asked.len(), 7, "three tries, and it is aborted: {asked:?}");
    assert_eq!(asked[6], "DELETE ?uploadId=u1");
    let refused = s3_error!("403 Forbidden", "AccessDenied");
    let (failure, asked) = two_parts(&[NO_KEY, NO_KEY, CREATED, refused]).await;
    assert_eq!(failure, Some(Denied));
    assert_eq!(asked.len(), 5, "one try is enough: {asked:?}");
}

/// Puts an object of 40 parts, and a while later another one, to a server that takes the first part of
/// each; gives how many of each are on their way then.
async fn parts_on_their_way(parts_at_once: usize, quick: Duration) -> [usize; 2] {
    let begun = [NO_KEY, NO_KEY, CREATED, PART];
    let first = match quick.is_zero() {
        true => 1,
        false => parts_at_once.min(1 + WINDOW),
    };
    let mut script = begun.to_vec();
    script.extend(vec![Says::Nothing; first]);
    script.extend([&begun[..], &[Says::Nothing]].concat());
    let server = Scripted::new(&script).await;
    let limits = Limits {
        part_bytes: 5,
        parts_at_once,
        quick,
        ..Limits::default()
    };
    let store = server.bucket(&limits);
    let mut bodies = [Pattern::of(200), Pattern::of(200)];
    let [a, b] = &mut bodies;
    let mut a = store.put_new("a", a);
    let brief = Duration::from_millis(400);
    let heard = tokio::time::timeout(brief, &mut a).await;
    heard.expect_err("nobody has answered");
    let both = async { tokio::join!(a, store.put_new("b", b)) };
    let heard = tokio::time::timeout(brief, both).await;
    heard.expect_err("nobody has answered");
    let lines = server.asked();
    let parts = |key: &str| {
        let begin = format!("PUT /bucket/{key}?partNumber=");
        let sent = lines.iter().filter(|line| line.starts_with(&begin));
        sent.count() - 1
    };
    [parts("a"), parts("b")]
}

#[tokio::test]
async fn so_many_parts_are_on_their_way_and_each_upload_may_have_one() {
    let quick = Duration::from_secs(10);
    assert_eq!(parts_on_their_way(1, quick).await, [1, 1]);
    assert_eq!(parts_on_their_way(4, quick).await, [4, 4]);
    assert_eq!(parts_on_their_way(40, quick).await, [1 + WINDOW, 1]);
    // Whose parts take longer than that sends one after the other.
    assert_eq!(parts_on_their_way(4, Duration::ZERO).await, [1, 1]);
}

#[tokio::test]
async fn parts_that_overtake_one_another_are_put_together_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits {
        part_bytes: 5,
        ..brief()
    };
    let url = format!("file://{}", folder.path().display());
    let store = open(&url, &[], &limits);
    store.put_new("a", &mut Pattern::of(203)).await.unwrap();
    let whole = store.get_range("a", 0..203).await.unwrap();
    assert_eq!(whole, Pattern::bytes(0..203));
}

#[tokio::test]
async fn an_upload_that_is_dropped_half_way_is_thrown_away_once() {
    let limits = Limits {
        part_bytes: 5,
        parts_at_once: 1,
        ..Limits::default()
    };
    for script in [
        &[NO_KEY, NO_KEY, CREATED, Says::Nothing, PART][..],
        &[NO_KEY, NO_KEY, CREATED, PART, Says::Nothing, PART],
        &[NO_KEY, NO_KEY, CREATED, PART, PART, Says::Nothing, PART],
    ] {
        let server = Scripted::new(script).await;
        let store = server.bucket(&limits);
        let mut body = Pattern::of(10);
        let silent = async {
            while server.asked().len() < script.len() - 1 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            put = store.put_new("a", &mut body) => panic!("nobody has answered: {put:?}"),
            () = silent => {}
        }
        store.settled().await;
        let asked = asked(&server);
        assert_eq!(asked.len(), script.len(), "{asked:?}");
        assert_eq!(asked[script.len() - 1], "DELETE ?uploadId=u1");
    }
}

#[tokio::test]
async fn a_completion_whose_answer_is_lost_may_have_been_done() {
    let error = Says::Answer("200 OK", "", "<Error><Code>InternalError</Code></Error>");
    for last in [
        Says::Goodbye,
        error,
        s3_error!("404 Not Found", "NoSuchUpload"),
    ] {
        let (failure, asked) = two_parts(&[NO_KEY, NO_KEY, CREATED, PART, PART, last]).await;
        assert_eq!(failure, Some(Unanswered), "{last:?}");
        let times = asked
            .iter()
            .filter(|line| *line == "POST ?uploadId=u1")
            .count();
        assert_eq!(times, 1, "{last:?}: {asked:?}");
    }
}

#[tokio::test]
async fn a_large_object_is_not_begun_where_one_is() {
    let there = Says::Answer(
        "200 OK",
        "last-modified: Sun, 01 Mar 2026 10:00:00 GMT\r\n",
        "",
    );
    let (failure, asked) = two_parts(&[there]).await;
    assert_eq!((failure, asked.len()), (Some(AlreadyExists), 1));
}
