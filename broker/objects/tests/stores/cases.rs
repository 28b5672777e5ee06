//! What is asked of every store, beside the exam.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use freshet_env::objects::{ObjectBody, ObjectError, ObjectFailure, ObjectWait, Objects};
use freshet_objects::{Bucket, Limits};
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use tokio::sync::Notify;

/// Two parts and a half of what is sent at a time.
pub(crate) const LARGE_BYTES: u64 = 20 << 20;

/// Limits that a test can wait for.
pub(crate) fn brief() -> Limits {
    Limits {
        request: Duration::from_secs(1),
        connect: Duration::from_millis(500),
        ..Limits::default()
    }
}

/// Parts of which none overtakes another.
pub(crate) fn one_by_one() -> Limits {
    Limits {
        parts_at_once: 1,
        ..Limits::default()
    }
}

/// Opens a store whose endpoint and keys are said here.
pub(crate) fn open(url: &str, environment: &[(&str, &str)], limits: &Limits) -> Bucket {
    let owned = environment
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Bucket::open(url, owned, limits).unwrap()
}

/// A body whose bytes follow from their places, so that one that is misplaced is seen.
#[derive(Debug, Default)]
pub(crate) struct Pattern {
    pub(crate) len: u64,
    /// From this byte on it cannot be read.
    pub(crate) broken_from: Option<u64>,
    /// Where the next part begins.
    pub(crate) at: u64,
    /// How often a part was asked for.
    pub(crate) parts: u64,
}

impl Pattern {
    pub(crate) fn of(len: u64) -> Self {
        Self {
            len,
            ..Self::default()
        }
    }

    pub(crate) fn bytes(range: Range<u64>) -> Bytes {
        // 251 is prime, so no part and no page repeats.
        range
            .map(|at| (at % 251) as u8 ^ (at >> 16) as u8)
            .collect()
    }
}

impl ObjectBody for Pattern {
    fn part(&mut self, bytes: u64) -> ObjectWait<'_, Vec<Bytes>> {
        let range = self.at..self.len.min(self.at + bytes);
        self.at = range.end;
        self.parts += 1;
        Box::pin(async move {
            match self.broken_from {
                Some(from) if range.end > from => Err(ObjectError {
                    doing: "read a part of",
                    key: "a broken disk".to_owned(),
                    failure: ObjectFailure::Invalid,
                    why: "a test".to_owned(),
                }),
                // In two pieces, as a part is that has the end of the batches.
                _ => {
                    let middle = range.end - (range.end - range.start) / 3;
                    let pieces = [range.start..middle, middle..range.end];
                    Ok(pieces.map(Self::bytes).into())
                }
            }
        })
    }
}

/// What each operation fails with, in the order of the trait.
pub(crate) async fn failures(store: &dyn Objects) -> [Option<ObjectFailure>; 5] {
    let failure = |error: ObjectError| {
        eprintln!("{error}");
        error.failure
    };
    let mut body = Bytes::from_static(b"body");
    [
        store.put_new("a/b", &mut body).await.err().map(failure),
        store.get_range("a/b", 0..1).await.err().map(failure),
        store.head("a/b").await.err().map(failure),
        store.list("a/", None, 1).await.err().map(failure),
        store.delete("a/b").await.err().map(failure),
    ]
}

/// A large object arrives whole, is read in ranges, and is not overwritten.
pub(crate) async fn large_objects_are_whole(store: &dyn Objects) {
    let mut body = Pattern::of(LARGE_BYTES + 7);
    store.put_new("large/a", &mut body).await.unwrap();
    assert_eq!(body.parts, 3, "it travels in parts");
    assert_eq!(store.head("large/a").await.unwrap().len_bytes, body.len);
    let mut from = 0;
    while from < body.len {
        let to = body.len.min(from + (1 << 20) + 13);
        let read = store.get_range("large/a", from..to).await.unwrap();
        assert!(read == Pattern::bytes(from..to), "bytes {from}..{to}");
        from = to;
    }
    for beyond in [
        body.len - 1..body.len + 1,
        body.len..body.len + 1,
        body.len + 5..body.len + 9,
    ] {
        let error = store.get_range("large/a", beyond).await.unwrap_err();
        assert_eq!(error.failure, ObjectFailure::Invalid, "{error}");
    }
    let again = store
        .put_new("large/a", &mut Pattern::of(LARGE_BYTES))
        .await
        .unwrap_err();
    assert_eq!(again.failure, ObjectFailure::AlreadyExists);
    assert_eq!(store.head("large/a").await.unwrap().len_bytes, body.len);
    store.delete("large/a").await.unwrap();
}

/// Of all that put under one name at a time, one has it.
pub(crate) async fn one_of_many_wins(store: &dyn Objects) {
    for round in 0..5 {
        let key = format!("race/{round}");
        let bodies: Vec<_> = (0..8).map(|who| Bytes::from(vec![who; 1000])).collect();
        let mut sent = bodies.clone();
        let puts = sent.iter_mut().map(|body| store.put_new(&key, body));
        let done = join_all(puts).await;
        let winners: Vec<_> = (0..8).filter(|who| done[*who].is_ok()).collect();
        assert_eq!(winners.len(), 1, "{done:?}");
        let lost = done.iter().filter_map(|done| done.as_ref().err());
        for error in lost {
            assert_eq!(error.failure, ObjectFailure::AlreadyExists, "{error}");
        }
        let kept = store.get_range(&key, 0..1000).await.unwrap();
        assert!(kept == bodies[winners[0]], "who was told so has it");
    }
}

/// A body that cannot be read to its end leaves nothing.
pub(crate) async fn broken_bodies_leave_nothing(store: &dyn Objects) {
    let mut body = Pattern {
        broken_from: Some(17 << 20),
        ..Pattern::of(LARGE_BYTES)
    };
    let error = store.put_new("broken/a", &mut body).await.unwrap_err();
    assert_eq!(error.why, "a test");
    assert_eq!(body.parts, 3, "two parts were sent");
    let head = store.head("broken/a").await.unwrap_err();
    assert_eq!(head.failure, ObjectFailure::NotFound, "{head}");
    assert_eq!(store.list("broken/", None, 9).await.unwrap().objects, []);
}

/// A body whose third part never comes.
struct Hanging<'a> {
    body: Pattern,
    hangs: &'a Notify,
}

impl ObjectBody for Hanging<'_> {
    fn part(&mut self, bytes: u64) -> ObjectWait<'_, Vec<Bytes>> {
        if self.body.parts < 2 {
            return self.body.part(bytes);
        }
        self.hangs.notify_one();
        Box::pin(std::future::pending())
    }
}

/// An upload that is dropped half-way leaves nothing.
pub(crate) async fn dropped_uploads_leave_nothing(store: &Bucket) {
    let hangs = Notify::new();
    let mut body = Hanging {
        body: Pattern::of(LARGE_BYTES),
        hangs: &hangs,
    };
    tokio::select! {
        put = store.put_new("dropped", &mut body) => panic!("it has no end: {put:?}"),
        () = hangs.notified() => {}
    }
    store.settled().await;
    let head = store.head("dropped").await.unwrap_err();
    assert_eq!(head.failure, ObjectFailure::NotFound, "{head}");
}

/// A name is kept as it is, or refused.
pub(crate) async fn names_are_kept_or_refused(store: &dyn Objects) {
    let one = Bytes::from_static(b"1");
    let mut kept = vec![
        "a b", "ü", "100%", "a%20b", "x?y=z", "a+b", "~a", "&<\"'>", "a:b", "-", "c.d",
    ];
    for name in &kept {
        let key = format!("odd/{name}");
        store.put_new(&key, &mut one.clone()).await.unwrap();
        assert_eq!(store.get_range(&key, 0..1).await.unwrap(), one, "{name}");
    }
    kept.sort_unstable();
    let listing = store.list("odd/", None, 99).await.unwrap();
    let names: Vec<_> = listing
        .objects
        .iter()
        .map(|(name, _)| &name["odd/".len()..])
        .collect();
    assert_eq!(names, kept);
    for name in kept {
        store.delete(&format!("odd/{name}")).await.unwrap();
    }
    let long = "x".repeat(1100);
    for name in [
        "", "/a", "a/", "a//b", "a/../b", "./a", "..", "a#1", "a#b", "a\nb", &long,
    ] {
        for failure in [
            store
                .put_new(name, &mut one.clone())
                .await
                .unwrap_err()
                .failure,
            store.get_range(name, 0..1).await.unwrap_err().failure,
            store.head(name).await.unwrap_err().failure,
            store.delete(name).await.unwrap_err().failure,
        ] {
            assert_eq!(failure, ObjectFailure::Invalid, "{name}");
        }
    }
}

/// Nothing can be asked for, and only within an object.
pub(crate) async fn empty_ranges_are_within(store: &dyn Objects) {
    store
        .put_new("empty/a", &mut Bytes::from_static(b"12"))
        .await
        .unwrap();
    store
        .put_new("empty/none", &mut Bytes::new())
        .await
        .unwrap();
    assert_eq!(store.head("empty/none").await.unwrap().len_bytes, 0);
    for (key, range, failure) in [
        ("empty/a", 0..0, None),
        ("empty/a", 2..2, None),
        ("empty/none", 0..0, None),
        ("empty/a", 3..3, Some(ObjectFailure::Invalid)),
        #[expect(clippy::reversed_empty_ranges, reason = "it must be refused")]
        ("empty/a", 2..1, Some(ObjectFailure::Invalid)),
        ("empty/none", 0..1, Some(ObjectFailure::Invalid)),
        ("empty/b", 0..0, Some(ObjectFailure::NotFound)),
    ] {
        let read = store.get_range(key, range.clone()).await;
        assert_eq!(
            read.err().map(|error| error.failure),
            failure,
            "{key} {range:?}"
        );
    }
}

/// Folders are told and objects are not, also where something lies deeper, or beside.
pub(crate) async fn folders_are_told(store: &Bucket) {
    for key in ["w/one/a", "w/one/b", "w/two/deep/c", "w/file", "wide/x/y"] {
        let put = store.put_new(key, &mut Bytes::from_static(b"1")).await;
        put.unwrap();
    }
    let mut names = store.folders("w/").await.unwrap();
    names.sort();
    assert_eq!(names, ["one", "two"]);
    assert_eq!(store.folders("w/one/").await.unwrap(), [""; 0]);
    assert_eq!(store.folders("nowhere/").await.unwrap(), [""; 0]);
    let all = store.folders("").await.unwrap();
    assert!(
        ["w", "wide"]
            .iter()
            .all(|one| all.iter().any(|name| name == one)),
        "{all:?}"
    );
}

/// A prefix may end within a name, pages may begin at what is no name, and there may be many.
pub(crate) async fn pages_fit_together(store: &dyn Objects, count: usize) {
    let name = |at: usize| format!("many/{}/{at:05}", at % 3);
    let puts = (0..count).map(|at| async move {
        let mut one = Bytes::from_static(b"1");
        store.put_new(&name(at), &mut one).await.unwrap();
    });
    stream::iter(puts).buffer_unordered(16).count().await;
    let mut expected: Vec<_> = (0..count).map(name).collect();
    expected.sort_unstable();
    for at_most in [count / 5, count / 2 + 1, count, count + 1] {
        let (mut names, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = store
                .list("many/", after.as_deref(), at_most)
                .await
                .unwrap();
            assert!(
                page.objects.len() == at_most || !page.more,
                "a page is full or the last"
            );
            names.extend(page.objects.into_iter().map(|(name, _)| name));
            after = names.last().cloned();
            if !page.more {
                break;
            }
        }
        assert!(
            names == expected,
            "{at_most} at most: {} names",
            names.len()
        );
    }
    let within = store.list("many/1/000", None, 999).await.unwrap();
    let fits = expected
        .iter()
        .filter(|name| name.starts_with("many/1/000"));
    assert_eq!(within.objects.len(), fits.count());
    for (after, first) in [
        ("many/1", "many/1/00001"),
        ("many/1/", "many/1/00001"),
        ("a", "many/0/00000"),
    ] {
        let page = store.list("many/", Some(after), 1).await.unwrap();
        assert_eq!(page.objects[0].0, first, "behind {after}");
        assert!(page.more);
    }
    let none = store.list("many/", Some("many/3"), 1).await.unwrap();
    assert!(none.objects.is_empty() && !none.more);
    let none = store.list("many/", None, 0).await.unwrap();
    assert!(none.objects.is_empty() && none.more);
    let top = store.list("", None, 1).await.unwrap();
    assert_eq!(top.objects.len(), 1, "all names begin with nothing");
}
