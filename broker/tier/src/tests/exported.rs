//! The manifest object that a restore would take is held against what it should be.

use bytes::Bytes;
use freshet_env::objects::MemoryObjects;
use freshet_types::{ClusterId, ErrorKind};

use super::support::{HERE, Shard, stored};
use crate::layout::Layout;
use crate::manifest::Manifest;
use crate::newest::check_exported;

/// A manifest that was exported, and its layout.
fn exported() -> (Shard, Layout) {
    let mut shard = Shard::with(&[(0, 100), (100, 200)]);
    shard.export();
    (shard, Layout::new("", &ClusterId("c".into())))
}

/// What is said of an object under the name of the newest one.
async fn judged(layout: &Layout, manifest: &Manifest, bytes: Option<Bytes>) -> Option<ErrorKind> {
    let objects = MemoryObjects::default();
    let key = layout.manifest(HERE, manifest.exported());
    if let Some(bytes) = bytes {
        objects.damage(&key, bytes);
    }
    let checked = check_exported(&objects, layout, HERE, manifest).await;
    checked.err().map(|wrong| wrong.kind())
}

#[tokio::test]
async fn a_manifest_object_is_sound_only_if_each_bit_and_its_end_are() {
    let (shard, layout) = exported();
    let manifest = shard.manifest();
    let bytes = manifest.export(HERE).bytes;
    let whole = Some(Bytes::from(bytes.clone()));
    assert_eq!(judged(&layout, manifest, whole).await, None);
    let gone = judged(&layout, manifest, None).await;
    assert_eq!(gone, Some(ErrorKind::NotFound));
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let told = judged(&layout, manifest, Some(flipped.into())).await;
        assert_eq!(told, Some(ErrorKind::Corrupt), "bit {bit}");
    }
    for len in 0..bytes.len() {
        let cut = Bytes::from(bytes.clone()).slice(..len);
        let told = judged(&layout, manifest, Some(cut)).await;
        assert_eq!(told, Some(ErrorKind::Corrupt), "{len} bytes");
    }
}

/// As a shard that was lost would have written it, had nobody adopted.
#[tokio::test]
async fn a_whole_manifest_that_says_something_else_is_damaged_while_its_version_is_the_present_one()
{
    let (mut shard, layout) = exported();
    let (other, _) = exported();
    let mut other = other.manifest().clone();
    other.log_start += 1;
    let other = Bytes::from(other.export(HERE).bytes);
    let told = judged(&layout, shard.manifest(), Some(other.clone())).await;
    assert_eq!(told, Some(ErrorKind::Corrupt));
    // What the version before has said nobody knows by heart; the next export is on its way.
    shard.append(1, stored(3, 200, 300)).unwrap();
    let told = judged(&layout, shard.manifest(), Some(other)).await;
    assert_eq!(told, None);
    // Of another version, or another partition, it is neither.
    let earlier = Shard::with(&[(0, 100)]).manifest().export(HERE).bytes;
    let mut elsewhere = HERE;
    elsewhere.partition += 1;
    let (same, _) = exported();
    let elsewhere = same.manifest().export(elsewhere).bytes;
    for wrong in [earlier, elsewhere] {
        let told = judged(&layout, shard.manifest(), Some(wrong.into())).await;
        assert_eq!(told, Some(ErrorKind::Corrupt));
    }
}
