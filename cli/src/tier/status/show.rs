//! Tables and sentences for people.

use super::{Placed, Summed};
use crate::output::Rows;
use crate::text;

/// Errors that are told below a table; each topic, or partition, has its own in JSON.
const TOLD: usize = 20;
const EMPTY: &str = "no topic uses object storage; `freshet topic alter NAME --config remote.storage.enable=true` \
                     has one do so";

/// A dash for what is not known.
fn shown<T>(it: Option<T>, show: fn(T) -> String) -> String {
    it.map_or_else(|| "-".to_owned(), show)
}

fn number<T: ToString>(n: Option<T>) -> String {
    shown(n, |n| n.to_string())
}

fn size(bytes: Option<u64>) -> String {
    shown(bytes, text::bytes)
}

fn age(ms: Option<u64>) -> String {
    shown(ms, text::age)
}

pub(super) fn topic_table(topics: &Vec<Summed>) -> Rows {
    let headings = [
        "TOPIC",
        "STATE",
        ">PARTITIONS",
        ">RECORDS",
        ">UNCOPIED",
        ">OBJECTS",
        ">IN STORE",
        ">ON DISKS",
        ">LAG",
        ">SEGMENTS",
        ">OLDEST",
    ];
    let mut rows = Rows::new(&headings, EMPTY);
    for it in topics {
        let is_known = it.unknown_partitions < it.partitions && it.state != super::OFF;
        let known = |n: u64| is_known.then_some(n);
        rows.push([
            it.topic.clone(),
            it.state.to_owned(),
            it.partitions.to_string(),
            number(is_known.then_some(it.records)),
            number(is_known.then_some(it.uncopied_records)),
            number(known(it.objects)),
            size(known(it.object_bytes)),
            size(it.disk_bytes),
            size(known(it.lag_bytes)),
            number(known(it.lag_segments)),
            age(it.lag_ms),
        ]);
    }
    rows
}

pub(super) fn partition_table(placed: &Vec<Placed>) -> Rows {
    let headings = [
        "TOPIC",
        ">PARTITION",
        "STATE",
        ">START",
        ">LOCAL",
        ">TIERED",
        ">END",
        ">UNCOPIED",
        ">OBJECTS",
        ">IN STORE",
        ">ON DISKS",
        ">LAG",
        ">SEGMENTS",
        ">OLDEST",
    ];
    let mut rows = Rows::new(&headings, EMPTY);
    for it in placed {
        rows.push([
            it.topic.clone(),
            it.partition.to_string(),
            it.state.to_owned(),
            number(it.start),
            number(it.local_start),
            number(it.tiered_end),
            number(it.end),
            number(it.uncopied()),
            number(it.objects),
            size(it.object_bytes),
            size(it.disk_bytes),
            size(it.lag_bytes),
            number(it.lag_segments),
            age(it.lag_ms),
        ]);
    }
    rows
}

/// What is wrong, and what was.
pub(super) fn sentences(topics: &[Summed], placed: &[Placed]) -> Vec<String> {
    let mut sentences = Vec::new();
    for it in topics.iter().filter(|it| it.state == super::FAILED) {
        let why = it.error.as_deref().unwrap_or_default();
        sentences.push(format!("{}: {why}", it.topic));
    }
    let wrong = placed.iter().filter_map(|it| {
        let at = format!("{}-{}", it.topic, it.partition);
        match (&it.error, &it.last_error) {
            (Some(error), _) => Some(format!("{at}: {error}")),
            (None, Some(error)) => {
                let over = if it.state == super::FAILING {
                    ""
                } else {
                    "; it goes on since"
                };
                Some(format!(
                    "{at}: {error} ({} ago{over})",
                    age(it.last_error_ms)
                ))
            }
            (None, None) => None,
        }
    });
    let mut wrong: Vec<String> = wrong.collect();
    let more = wrong.len().saturating_sub(TOLD);
    wrong.truncate(TOLD);
    sentences.append(&mut wrong);
    if more > 0 {
        sentences.push(format!("… and of {more} more; --output json tells of all"));
    }
    sentences
}
