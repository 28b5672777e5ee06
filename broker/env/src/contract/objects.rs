//! The exam of the [`Objects`] door: every store passes it, with a prefix that is its own and empty.

use bytes::Bytes;

use crate::objects::{ObjectFailure, Objects};

/// Asks all questions.
pub async fn examine_objects(store: &dyn Objects, prefix: &str) {
    nothing_is_not_found(store, &format!("{prefix}nothing/")).await;
    what_is_put_is_read(store, &format!("{prefix}ranges/")).await;
    nothing_is_overwritten(store, &format!("{prefix}new/")).await;
    listings_are_sorted_and_paged(store, &format!("{prefix}list/")).await;
    deleting_is_done_once_or_twice(store, &format!("{prefix}delete/")).await;
}

async fn put(store: &dyn Objects, key: &str, bytes: &'static [u8]) {
    store
        .put_new(key, &mut Bytes::from_static(bytes))
        .await
        .unwrap();
}

async fn nothing_is_not_found(store: &dyn Objects, prefix: &str) {
    let key = format!("{prefix}a");
    let read = store.get_range(&key, 0..1).await.unwrap_err();
    assert_eq!(read.failure, ObjectFailure::NotFound);
    let head = store.head(&key).await.unwrap_err();
    assert_eq!(head.failure, ObjectFailure::NotFound);
    let listing = store.list(prefix, None, 10).await.unwrap();
    assert!(listing.objects.is_empty() && !listing.more);
}

async fn what_is_put_is_read(store: &dyn Objects, prefix: &str) {
    let key = format!("{prefix}a");
    put(store, &key, b"0123456789").await;
    assert_eq!(store.head(&key).await.unwrap().len_bytes, 10);
    for (range, bytes) in [
        (0..10, "0123456789"),
        (0..1, "0"),
        (3..7, "3456"),
        (9..10, "9"),
    ] {
        assert_eq!(store.get_range(&key, range).await.unwrap(), bytes);
    }
    let beyond = store.get_range(&key, 5..11).await.unwrap_err();
    assert_eq!(beyond.failure, ObjectFailure::Invalid);
    let pieces = store.get_pieces(&key, 1..9, 3).await.unwrap();
    assert_eq!(pieces, ["123", "456", "78"]);
    let beyond = store.get_pieces(&key, 5..11, 3).await.unwrap_err();
    assert_eq!(beyond.failure, ObjectFailure::Invalid);
    let missing = format!("{prefix}missing");
    let missing = store.get_pieces(&missing, 0..9, 3).await.unwrap_err();
    assert_eq!(missing.failure, ObjectFailure::NotFound);
}

async fn nothing_is_overwritten(store: &dyn Objects, prefix: &str) {
    let key = format!("{prefix}a");
    put(store, &key, b"first").await;
    let mut second = Bytes::from_static(b"second");
    let again = store.put_new(&key, &mut second).await.unwrap_err();
    assert_eq!(again.failure, ObjectFailure::AlreadyExists);
    assert_eq!(store.get_range(&key, 0..5).await.unwrap(), "first");
}

async fn listings_are_sorted_and_paged(store: &dyn Objects, prefix: &str) {
    for name in ["b/2", "b/1", "a", "b0", "c"] {
        put(store, &format!("{prefix}{name}"), b"x").await;
    }
    let mut names: Vec<String> = Vec::new();
    loop {
        let after = names.last().map(|name| format!("{prefix}{name}"));
        let page = store.list(prefix, after.as_deref(), 2).await.unwrap();
        assert!(page.objects.len() <= 2);
        let heads = page.objects.iter();
        names.extend(heads.map(|(key, head)| {
            assert_eq!(head.len_bytes, 1);
            key.strip_prefix(prefix).unwrap().to_owned()
        }));
        if !page.more {
            break;
        }
    }
    assert_eq!(names, ["a", "b/1", "b/2", "b0", "c"]);
    let below = store.list(&format!("{prefix}b/"), None, 10).await.unwrap();
    assert_eq!(below.objects.len(), 2);
}

async fn deleting_is_done_once_or_twice(store: &dyn Objects, prefix: &str) {
    let key = format!("{prefix}a");
    put(store, &key, b"x").await;
    store.delete(&key).await.unwrap();
    store.delete(&key).await.unwrap();
    let gone = store.head(&key).await.unwrap_err();
    assert_eq!(gone.failure, ObjectFailure::NotFound);
}
