//! The index against a plain list of batches.

use std::sync::LazyLock;

use freshet_records::{BatchBuilder, BatchHeader, Codec, NewRecord};
use proptest::prelude::*;

use super::super::order::Order;
use super::*;

const BASE: Offset = 70;

#[derive(Debug, Clone, Copy)]
struct Model {
    delta: u32,
    count: u32,
    position: u32,
    size: u32,
    time: i64,
}

fn batches() -> impl Strategy<Value = Vec<Model>> {
    prop::collection::vec((1..5u32, 61..9000u32, -1..40i64), 1..300).prop_map(|steps| {
        let (mut delta, mut position) = (0, 0);
        let step = |(count, size, time)| {
            let model = Model {
                delta,
                count,
                position,
                size,
                time,
            };
            delta += count;
            position += size;
            model
        };
        steps.into_iter().map(step).collect()
    })
}

fn indexed(model: &Model) -> Indexed {
    Indexed {
        delta: model.delta,
        position: model.position,
        max_timestamp: Timestamp(model.time),
    }
}

/// An index whose first `opened` batches were there before it was opened.
fn index(list: &[Model], opened: usize) -> Index {
    let head_end = list.get(opened).map_or_else(
        || list.last().map_or(0, |m| m.position + m.size),
        |m| m.position,
    );
    let mut index = Index::new(BASE, head_end, 4096, 64 * 16);
    let mut head = index.empty_head();
    list[..opened].iter().for_each(|m| head.add(indexed(m)));
    if opened > 0 {
        assert_eq!(index.missing_head(), Some(head_end));
    }
    index.set_head(head.finish(), head_end);
    list[opened..].iter().for_each(|m| index.add(indexed(m)));
    index.grow(end(list));
    index
}

fn end(list: &[Model]) -> Border {
    let last = list.last().unwrap();
    Border {
        position: u64::from(last.position + last.size),
        offset: BASE + i64::from(last.delta + last.count),
    }
}

/// Batches from a place on are in order, as far as they go, and one that says another offset is not.
fn holds(start: &Start, list: &[Model]) -> Result<(), TestCaseError> {
    prop_assert_eq!(start.end, end(list));
    let (mut right, mut wrong) = (Order::new(start), Order::new(start));
    let behind = list
        .iter()
        .filter(|m| u64::from(m.position) >= start.position);
    for model in behind {
        prop_assert_eq!(right.take(&header(model, 0)), Ok(false));
    }
    let first = list
        .iter()
        .find(|m| u64::from(m.position) == start.position);
    let first = first.unwrap();
    prop_assert!(wrong.take(&header(first, -1)).is_err());
    let later = Order::new(start).take(&header(first, 1));
    prop_assert_eq!(later.is_err(), start.exact);
    Ok(())
}

fn header(model: &Model, shift: i64) -> BatchHeader {
    BatchHeader {
        base_offset: BASE + i64::from(model.delta) + shift,
        size_bytes: usize::try_from(model.size).unwrap(),
        last_offset_delta: i32::try_from(model.count).unwrap() - 1,
        ..*ANY_HEADER
    }
}

static ANY_HEADER: LazyLock<BatchHeader> = LazyLock::new(|| {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(&NewRecord::default()).unwrap();
    *builder.finish().unwrap().header()
});

proptest! {
    #[test]
    fn lookups_never_start_too_late(
        list in batches(),
        opened: prop::sample::Index,
        target in -1..45i64,
    ) {
        let index = index(&list, opened.index(list.len()));
        for model in &list {
            let start = index.by_offset(model.delta).unwrap();
            prop_assert!(start.position <= u64::from(model.position));
            prop_assert!(start.before.is_none_or(|b| b.position > u64::from(model.position)));
            prop_assert!(list.iter().any(|m| u64::from(m.position) == start.position));
            holds(&start, &list)?;
        }
        let first = list.iter().find(|m| m.time >= target);
        let start = index.by_time(Timestamp(target)).unwrap();
        if let Some(first) = first {
            prop_assert!(start.position <= u64::from(first.position));
        }
        let max = index.max().unwrap().unwrap();
        let expected = list.iter().map(|m| m.time).max().unwrap();
        prop_assert_eq!(max.timestamp.0, expected);
        let first_max = list.iter().find(|m| m.time == expected).unwrap();
        prop_assert_eq!(max.position, first_max.position);
    }

    #[test]
    fn memory_is_bounded(list in batches()) {
        let index = index(&list, 0);
        prop_assert!(index.tail.list.len() <= MIN_ENTRIES);
        prop_assert!(index.whole().unwrap().list.len() <= MIN_ENTRIES);
    }

    #[test]
    fn the_whole_answers_like_its_parts(
        list in batches(),
        opened: prop::sample::Index,
        target in -1..45i64,
    ) {
        let parts = index(&list, opened.index(list.len()));
        let end = list.last().map_or(0, |m| m.position + m.size);
        let mut whole = Index::new(BASE, end, 4096, 64 * 16);
        whole.set_head(Arc::new(parts.whole().unwrap()), end);
        prop_assert_eq!(whole.max(), parts.max());
        let first = list.iter().find(|m| m.time >= target);
        let start = whole.by_time(Timestamp(target)).unwrap();
        prop_assert!(first.is_none_or(|m| start.position <= u64::from(m.position)));
    }
}

#[test]
fn a_missing_head_is_asked_for_only_when_needed() {
    let mut index = Index::new(BASE, 5000, 4096, 1 << 20);
    assert_eq!(index.by_offset(0), None);
    index.add(Indexed {
        delta: 50,
        position: 5000,
        max_timestamp: Timestamp(7),
    });
    assert_eq!(index.by_offset(49), None);
    let start = index.by_offset(50).unwrap();
    assert_eq!((start.position, start.before), (5000, None));
    assert_eq!(index.by_time(Timestamp(1)), None);
    assert_eq!(index.max(), None);
    assert_eq!(index.whole(), None);

    let head = index.empty_head().finish();
    index.set_head(Arc::clone(&head), 4999);
    assert_eq!(index.missing_head(), Some(5000), "built for another length");
    index.set_head(head, 5000);
    assert_eq!(index.missing_head(), None);
    index.drop_head();
    assert_eq!(index.missing_head(), Some(5000));
}

#[test]
fn a_cut_leaves_a_head_to_rebuild() {
    let mut index = Index::new(BASE, 0, 4096, 1 << 20);
    for i in 0..3 {
        index.add(Indexed {
            delta: i,
            position: i * 5000,
            max_timestamp: Timestamp(9 - i64::from(i)),
        });
    }
    index.cut(5000, BASE + 1);
    assert_eq!(index.front().border(), index.end());
    assert_eq!(index.end().offset, BASE + 1);
    assert_eq!(index.missing_head(), Some(5000));
    index.cut(0, BASE);
    assert_eq!(index.missing_head(), None);
    assert_eq!(index.max(), Some(None));
}
