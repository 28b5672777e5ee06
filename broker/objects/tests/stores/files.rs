//! Local files as a store.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use freshet_env::contract::objects::examine_objects;
use freshet_env::objects::{ObjectBody, ObjectFailure, ObjectWait, Objects};
use freshet_objects::{Bucket, Limits};
use tempfile::TempDir;

use crate::cases::{self, Pattern, open};

fn store(folder: &TempDir) -> Bucket {
    let url = format!("file://{}", folder.path().display());
    open(&url, &[], &Limits::default())
}

/// All files and folders below one.
fn entries(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        found.push(path.display().to_string());
        if path.is_dir() {
            found.extend(entries(&path));
        }
    }
    found
}

#[tokio::test]
async fn local_files_pass_the_exam() {
    let folder = tempfile::tempdir().unwrap();
    examine_objects(&store(&folder), "").await;
}

#[tokio::test]
async fn local_files_answer_all_cases() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    cases::large_objects_are_whole(&store).await;
    cases::one_of_many_wins(&store).await;
    cases::broken_bodies_leave_nothing(&store).await;
    cases::names_are_kept_or_refused(&store).await;
    cases::empty_ranges_are_within(&store).await;
    cases::pages_fit_together(&store, 100).await;
    cases::folders_are_told(&store).await;
}

/// Looks at the store whenever a part of it is read.
#[derive(Debug)]
struct Watched<'a> {
    store: &'a Bucket,
    body: Pattern,
}

impl ObjectBody for Watched<'_> {
    fn part(&mut self, bytes: u64) -> ObjectWait<'_, Vec<Bytes>> {
        Box::pin(async move {
            assert_eq!(self.store.list("", None, 9).await?.objects, []);
            let head = self.store.head("a").await.unwrap_err();
            assert_eq!(head.failure, ObjectFailure::NotFound);
            self.body.part(bytes).await
        })
    }
}

#[tokio::test]
async fn half_a_file_is_never_seen_and_never_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let mut whole = Watched {
        store: &store,
        body: Pattern::of(cases::LARGE_BYTES),
    };
    store.put_new("a", &mut whole).await.unwrap();
    assert_eq!(entries(folder.path()).len(), 1);
    store.delete("a").await.unwrap();
    let mut broken = Pattern {
        broken_from: Some(9 << 20),
        ..Pattern::of(cases::LARGE_BYTES)
    };
    store.put_new("b", &mut broken).await.unwrap_err();
    assert_eq!(entries(folder.path()), [""; 0], "what was written is gone");
    cases::dropped_uploads_leave_nothing(&store).await;
    assert_eq!(entries(folder.path()), [""; 0], "and of who went away, too");
}

#[tokio::test]
async fn a_folder_goes_with_its_last_object() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    for key in ["t/0/a", "t/0/b"] {
        store
            .put_new(key, &mut Bytes::from_static(b"1"))
            .await
            .unwrap();
    }
    store.delete("t/0/a").await.unwrap();
    assert_eq!(store.list("t/", None, 9).await.unwrap().objects.len(), 1);
    store.delete("t/0/b").await.unwrap();
    assert_eq!(entries(folder.path()), [""; 0]);
    assert!(folder.path().is_dir());
}

#[tokio::test]
async fn what_files_cannot_keep_is_invalid() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let one = Bytes::from_static(b"1");
    store.put_new("file", &mut one.clone()).await.unwrap();
    for key in ["file/below".to_owned(), "x".repeat(300)] {
        let error = store.put_new(&key, &mut one.clone()).await.unwrap_err();
        assert_eq!(error.failure, ObjectFailure::Invalid, "{error}");
    }
}
