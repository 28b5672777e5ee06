//! Object storage as exposition text. What Kafka counts too has Kafka's word in its name (`RemoteCopy`,
//! `RemoteFetch`, `RemoteDelete`, `RemoteLogSize`; KIP-405, KIP-963).

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use freshet_env::objects::{RequestCounts, RequestKind};
use freshet_partition::{
    CopyCounts, Counters, Directory, DiskCounters, Past, PastReaders, ScrubCounts,
};

use crate::metrics::exposition::{head, line, sample};

/// What of one topic's partitions that are led here is in the bucket, or should be.
#[derive(Default)]
struct Row {
    size_bytes: u64,
    lag_bytes: u64,
    lag_segments: u64,
}

/// Writes all families; nothing without object storage.
pub(super) fn render(partitions: &Directory) -> String {
    let mut page = String::new();
    if let Some(readers) = partitions.past_readers() {
        counters(&mut page, readers);
        topics(&mut page, &rows(partitions));
    }
    page
}

fn counters(page: &mut String, readers: &PastReaders) {
    for (name, help, value) in counted(readers.counters(), readers.copies()) {
        let name = format!("freshet_remote_{name}_total");
        head(page, &name, help, "counter");
        line(page, &format!("{name} {}", value.load(Relaxed)));
    }
    asked(page, &readers.copies().asked);
    if let Some((counters, held_bytes)) = readers.disk() {
        disk_cache(page, counters, held_bytes);
    }
    let scrub = &readers.copies().scrub;
    for (name, help, value) in scrubbed(scrub) {
        let name = format!("freshet_remote_{name}_total");
        head(page, &name, help, "counter");
        line(page, &format!("{name} {}", value.load(Relaxed)));
    }
    let held = "Bytes of objects that are kept in memory.";
    let damaged = "Objects that are damaged or gone, as far as the leaders here know.";
    for (name, help, value) in [
        ("cache_bytes", held, readers.held_bytes()),
        ("damaged_objects", damaged, scrub.damaged_now.load(Relaxed)),
    ] {
        let name = format!("freshet_remote_{name}");
        head(page, &name, help, "gauge");
        line(page, &format!("{name} {value}"));
    }
}

fn asked(page: &mut String, counts: &RequestCounts) {
    let name = "freshet_remote_requests_total";
    let help = "Requests made to the store, each try and each part, for whatever reason.";
    head(page, name, help, "counter");
    for kind in RequestKind::ALL {
        let value = i64::try_from(counts.requests(kind)).unwrap_or(i64::MAX);
        sample(page, name, &[("method", kind.name())], value);
    }
    let (sent, received) = (&counts.sent_bytes, &counts.received_bytes);
    for (name, help, value) in [
        ("sent_bytes", "Bytes sent with these.", sent),
        (
            "received_bytes",
            "Bytes that the store has answered.",
            received,
        ),
    ] {
        let name = format!("freshet_remote_{name}_total");
        head(page, &name, help, "counter");
        line(page, &format!("{name} {}", value.load(Relaxed)));
    }
}

fn disk_cache(page: &mut String, counters: &DiskCounters, held_bytes: u64) {
    for (name, help, value) in cached(counters) {
        let name = format!("freshet_remote_disk_cache_{name}_total");
        head(page, &name, help, "counter");
        line(page, &format!("{name} {}", value.load(Relaxed)));
    }
    let name = "freshet_remote_disk_cache_bytes";
    let help = "Bytes of chunks that the disk cache has.";
    head(page, name, help, "gauge");
    line(page, &format!("{name} {held_bytes}"));
}

type Counted<'a> = (&'static str, &'static str, &'a AtomicU64);

#[rustfmt::skip]
fn counted<'a>(reads: &'a Counters, copies: &'a CopyCounts) -> [Counted<'a>; 18] {
    [
        ("copy_requests", "Segments that were to be copied.", &copies.copies),
        ("copy_errors", "Of these, those that failed and were tried again.", &copies.failed_copies),
        ("copy_bytes", "Bytes stored in segment objects.", &copies.copied_bytes),
        ("manifest_exports", "Manifests stored.", &copies.exports),
        ("cluster_exports", "Exports of topics and settings, and of positions of groups.", &copies.cluster_exports),
        ("cluster_export_errors", "Tries at that which failed.", &copies.failed_cluster_exports),
        ("delete_requests", "Objects that were to be deleted.", &copies.deletions),
        ("delete_errors", "Of these, those that failed and were tried again.", &copies.failed_deletions),
        ("fetch_requests", "Ranges asked of the store.", &reads.requests),
        ("fetch_errors", "Of these, those that failed.", &reads.failed),
        ("fetch_bytes", "Bytes that came from the store.", &reads.fetched_bytes),
        ("fetch_damaged", "Ranges that were not what had been stored.", &reads.damaged),
        ("read_bytes", "Bytes of batches handed to readers.", &reads.read_bytes),
        ("chunks_wanted", "Chunks that readers wanted.", &reads.wanted),
        ("chunks_hit", "Of these, those that were in memory.", &reads.hits),
        ("chunks_joined", "Of these, those that somebody was fetching already.", &reads.joined),
        ("chunks_ahead", "Chunks fetched before anybody wanted them.", &reads.prefetched),
        ("chunks_ahead_hit", "Of these, those that were wanted then.", &reads.prefetch_hits),
    ]
}

#[rustfmt::skip]
fn cached(disk: &DiskCounters) -> [Counted<'_>; 7] {
    [
        ("hits", "Chunks that were not in memory and came from the disk cache.", &disk.hits),
        ("misses", "Chunks that were not in memory and had to come from the store.", &disk.misses),
        ("late", "Of these, those that the disk cache had and did not give in time.", &disk.late),
        ("damaged", "Of these, those that were not what had been written.", &disk.damaged),
        ("write_bytes", "Bytes of chunks written.", &disk.written_bytes),
        ("write_drops", "Chunks that were not written: the disk was too slow, or rested.", &disk.dropped),
        ("errors", "Times that the disk failed, was full, or could not be opened.", &disk.failed),
    ]
}

#[rustfmt::skip]
fn scrubbed(scrub: &ScrubCounts) -> [Counted<'_>; 9] {
    [
        ("scrub_walks", "Walks through all objects of a partition.", &scrub.walks),
        ("scrub_segments", "Segments whose objects were looked at.", &scrub.looks),
        ("scrub_read_segments", "Segments whose objects were read back.", &scrub.reads),
        ("scrub_bytes", "Bytes that were read back.", &scrub.read_bytes),
        ("scrub_damaged", "Objects that were found damaged or gone.", &scrub.damaged),
        ("scrub_repaired", "Of these, those that were stored anew.", &scrub.repaired),
        ("scrub_unread", "Objects that the store refused and a walk left out.", &scrub.unread),
        ("swept_objects", "Objects that nobody knew and that were to be deleted.", &scrub.swept),
        ("manifest_deletes", "Old manifests deleted.", &scrub.old_manifests),
    ]
}

fn rows(partitions: &Directory) -> BTreeMap<String, Row> {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for partition in partitions.all() {
        let Past::Known(past) = partition.past() else {
            continue;
        };
        let row = rows.entry(partition.name().topic.to_string()).or_default();
        let (segments, bytes) = partition.copy_lag();
        row.size_bytes += past.manifest.size_bytes();
        row.lag_segments += segments;
        row.lag_bytes += bytes;
    }
    rows
}

fn topics(page: &mut String, rows: &BTreeMap<String, Row>) {
    let mut family = |name: &str, help: &str, value: fn(&Row) -> u64| {
        let name = format!("freshet_remote_{name}");
        head(page, &name, help, "gauge");
        for (topic, row) in rows {
            let value = i64::try_from(value(row)).unwrap_or(i64::MAX);
            sample(page, &name, &[("topic", topic)], value);
        }
    };
    family(
        "log_size_bytes",
        "Bytes of segment objects, of partitions led here.",
        |r| r.size_bytes,
    );
    family(
        "copy_lag_bytes",
        "Bytes of closed segments that are not copied yet.",
        |r| r.lag_bytes,
    );
    family(
        "copy_lag_segments",
        "Closed segments that are not copied yet.",
        |r| r.lag_segments,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_cache_has_its_lines() {
        let counters = DiskCounters::default();
        counters.hits.store(3, Relaxed);
        counters.failed.store(2, Relaxed);
        let mut page = String::new();
        disk_cache(&mut page, &counters, 7);
        for expected in [
            "freshet_remote_disk_cache_hits_total 3",
            "freshet_remote_disk_cache_misses_total 0",
            "freshet_remote_disk_cache_errors_total 2",
            "freshet_remote_disk_cache_bytes 7",
        ] {
            assert!(page.lines().any(|line| line == expected), "{page}");
        }
    }

    #[test]
    fn each_kind_of_request_has_its_line() {
        let counts = RequestCounts::default();
        counts.asks(RequestKind::Put, 5);
        counts.asks(RequestKind::Put, 6);
        counts.asks(RequestKind::List, 0);
        counts.received_bytes.store(7, Relaxed);
        let mut page = String::new();
        asked(&mut page, &counts);
        for expected in [
            "freshet_remote_requests_total{method=\"put\"} 2",
            "freshet_remote_requests_total{method=\"post\"} 0",
            "freshet_remote_requests_total{method=\"get\"} 0",
            "freshet_remote_requests_total{method=\"head\"} 0",
            "freshet_remote_requests_total{method=\"list\"} 1",
            "freshet_remote_requests_total{method=\"delete\"} 0",
            "freshet_remote_sent_bytes_total 11",
            "freshet_remote_received_bytes_total 7",
        ] {
            assert!(page.lines().any(|line| line == expected), "{page}");
        }
    }

    #[test]
    fn a_topic_has_a_line_in_each_family() {
        let row = Row {
            size_bytes: 1,
            lag_bytes: 2,
            lag_segments: 3,
        };
        let rows = BTreeMap::from([("a".to_owned(), row), ("b".to_owned(), Row::default())]);
        let mut page = String::new();
        topics(&mut page, &rows);
        for expected in [
            "freshet_remote_log_size_bytes{topic=\"a\"} 1",
            "freshet_remote_copy_lag_bytes{topic=\"a\"} 2",
            "freshet_remote_copy_lag_segments{topic=\"a\"} 3",
            "freshet_remote_copy_lag_segments{topic=\"b\"} 0",
        ] {
            assert!(page.lines().any(|line| line == expected), "{page}");
        }
    }
}
