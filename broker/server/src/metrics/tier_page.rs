//! Object storage as exposition text. What Kafka counts too has Kafka's word in its name (`RemoteCopy`,
//! `RemoteFetch`, `RemoteDelete`, `RemoteLogSize`; KIP-405, KIP-963), and is there once more under Kafka's own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use freshet_env::objects::{RequestCounts, RequestKind};
use freshet_partition::{
    CopierLoad, CopyCounts, Counters, Directory, DiskCounters, FETCH_BOUNDS_MS, FetchTimes,
    GateLoad, Partition, Past, PastReaders, ScrubCounts, Traffic,
};

use freshet_types::Timestamp;

use crate::metrics::exposition::{head, line, sample};
use crate::metrics::partition_page::SHOWN;
use crate::metrics::{kafka_pools_page, kafka_tier_page, signed};

/// What of one topic is in the bucket, or should be, of the partitions that are led here; and what was done for
/// all that are here.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) size_bytes: u64,
    pub(super) lag_bytes: u64,
    pub(super) lag_segments: u64,
    /// Objects that wait to be deleted.
    pub(super) delete_lag_segments: u64,
    /// Objects that manifests tell of: named, being uploaded, to be deleted.
    pub(super) metadata_count: u64,
    /// Partitions whose manifest is not known to their leader.
    pub(super) unknown_partitions: u64,
    /// Partitions whose leader has failed at its latest try.
    pub(super) failing_partitions: u64,
    /// What was done for it, since the first of its partitions came here.
    pub(super) traffic: Arc<Traffic>,
}

/// Writes all families; nothing without object storage.
pub(super) fn render(partitions: &Directory) -> String {
    let mut page = String::new();
    if let Some(readers) = partitions.past_readers() {
        counters(&mut page, readers);
        times(&mut page, readers.copies());
        load(&mut page, readers.load());
        copiers(&mut page, &readers.copies().copiers);
        let open = partitions.all();
        let looked = open.iter().filter_map(|it| it.looked_through());
        oldest_look(&mut page, looked.min());
        let rows = rows(open);
        topics(&mut page, &rows, SHOWN);
        kafka_tier_page::render(&mut page, readers.copies(), &rows, SHOWN);
        kafka_pools_page::render(&mut page, readers.load(), readers.copies());
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

fn times(page: &mut String, copies: &CopyCounts) {
    for (name, help, times) in [
        (
            "fetch",
            "From a range asked of the store for readers to its answer.",
            &copies.fetch_times,
        ),
        (
            "fetch_throttle",
            "How long such a range was held up by remote.log.manager.fetch.max.bytes.per.second.",
            &copies.fetch_throttle_times,
        ),
        (
            "copy_throttle",
            "How long a part of a segment was held up by remote.log.manager.copy.max.bytes.per.second.",
            &copies.copy_throttle_times,
        ),
    ] {
        histogram(page, &format!("freshet_remote_{name}_seconds"), help, times);
    }
}

fn histogram(page: &mut String, name: &str, help: &str, times: &FetchTimes) {
    head(page, name, help, "histogram");
    let mut count = 0;
    let bounds = FETCH_BOUNDS_MS
        .iter()
        .map(|ms| (*ms as f64 / 1e3).to_string());
    let bounds = bounds.chain(["+Inf".to_owned()]);
    for (bound, more) in bounds.zip(times.buckets()) {
        count += more;
        sample(
            page,
            &format!("{name}_bucket"),
            &[("le", &bound)],
            signed(count),
        );
    }
    line(page, &format!("{name}_sum {}", times.sum_ms() as f64 / 1e3));
    line(page, &format!("{name}_count {count}"));
}

fn load(page: &mut String, load: GateLoad) {
    let mut gauge = |name: &str, help: &str, value: usize| {
        let name = format!("freshet_remote_reader_{name}");
        head(page, &name, help, "gauge");
        line(page, &format!("{name} {value}"));
    };
    gauge(
        "places",
        "Requests that may read from the store at a time.",
        load.places,
    );
    gauge("busy", "Requests that do.", load.busy);
    gauge(
        "queue",
        "Requests of clients that wait for a place.",
        load.waiting,
    );
}

fn copiers(page: &mut String, load: &CopierLoad) {
    for (name, help, value) in [
        (
            "places",
            "Segments that may be copied at a time; 0 before any was.",
            &load.places,
        ),
        ("busy", "Segments that are.", &load.busy),
    ] {
        let name = format!("freshet_remote_copier_{name}");
        head(page, &name, help, "gauge");
        line(page, &format!("{name} {}", value.load(Relaxed)));
    }
}

fn asked(page: &mut String, counts: &RequestCounts) {
    let name = "freshet_remote_requests_total";
    let help = "Requests made to the store, each try and each part, for whatever reason.";
    head(page, name, help, "counter");
    for kind in RequestKind::ALL {
        let value = signed(counts.requests(kind));
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
fn counted<'a>(reads: &'a Counters, copies: &'a CopyCounts) -> [Counted<'a>; 24] {
    let done = &copies.traffic;
    [
        ("copy_requests", "Segments that were to be copied.", &done.copies),
        ("copy_errors", "Of these, those that failed and were tried again.", &done.failed_copies),
        ("copy_bytes", "Bytes stored in segment objects.", &done.copied_bytes),
        ("manifest_exports", "Manifests stored.", &copies.exports),
        ("cluster_exports", "Exports of topics and settings, and of positions of groups.", &copies.cluster_exports),
        ("cluster_export_errors", "Tries at that which failed.", &copies.failed_cluster_exports),
        ("delete_requests", "Objects that were to be deleted.", &done.deletions),
        ("delete_errors", "Of these, those that failed and were tried again.", &done.failed_deletions),
        ("fetch_requests", "Ranges asked of the store.", &reads.requests),
        ("fetch_errors", "Of these, those that failed.", &reads.failed),
        ("fetch_bytes", "Bytes that came from the store.", &reads.fetched_bytes),
        ("fetch_damaged", "Ranges that were not what had been stored.", &reads.damaged),
        ("read_requests", "Reads of partitions' old records.", &done.reads),
        ("read_errors", "Of these, those that failed.", &done.failed_reads),
        ("read_expired", "Reads that a fetch waited for in vain, for remote.fetch.max.wait.ms.", &done.expired_reads),
        ("lookup_expired", "Lookups that ListOffsets waited for in vain, for remote.list.offsets.request.timeout.ms.", &done.expired_lookups),
        ("aux_state_builds", "Times that a log that begins anew asked for what is before it.", &done.beginnings),
        ("aux_state_build_errors", "Of these, those that were not answered, and were asked again.", &done.failed_beginnings),
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
fn scrubbed(scrub: &ScrubCounts) -> [Counted<'_>; 11] {
    [
        ("scrub_walks", "Walks that looked at all objects of a partition.", &scrub.walks),
        ("scrub_read_walks", "Walks that read all objects of a partition back.", &scrub.read_walks),
        ("scrub_segments", "Segments whose objects were looked at.", &scrub.looks),
        ("scrub_read_segments", "Segments whose objects were read back.", &scrub.reads),
        ("scrub_bytes", "Bytes that were read back.", &scrub.read_bytes),
        ("scrub_damaged", "Objects that were found damaged or gone.", &scrub.damaged),
        ("scrub_repaired", "Of these, those that were stored anew.", &scrub.repaired),
        ("scrub_unread", "Objects that the store refused or throttled and a walk left out.", &scrub.unread),
        ("list_errors", "Listings of a partition's objects that the store refused or did not answer.", &scrub.failed_lists),
        ("swept_objects", "Objects that nobody knew and that were to be deleted.", &scrub.swept),
        ("manifest_deletes", "Old manifests deleted.", &scrub.old_manifests),
    ]
}

fn oldest_look(page: &mut String, at: Option<Timestamp>) {
    let name = "freshet_remote_scrub_oldest_look_timestamp_seconds";
    let help = "When the partition led here whose objects were not looked at for longest was looked at last, or led.";
    head(page, name, help, "gauge");
    if let Some(at) = at {
        line(page, &format!("{name} {}", at.0 / 1000));
    }
}

fn rows(open: Vec<Arc<Partition>>) -> BTreeMap<String, Row> {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for partition in open {
        let past = partition.past();
        if matches!(past, Past::None) {
            continue;
        }
        let row = rows.entry(partition.name().topic.to_string()).or_default();
        // The same for all partitions of a topic.
        row.traffic = Arc::clone(partition.traffic());
        let (segments, bytes) = partition.copy_lag();
        row.lag_segments += segments;
        row.lag_bytes += bytes;
        row.unknown_partitions += u64::from(partition.lacks_past());
        row.failing_partitions += u64::from(partition.is_past_failing());
        let Past::Known(past) = past else { continue };
        let manifest = &past.manifest;
        let unnamed = manifest.unnamed().len();
        let objects = manifest.segments().len() + manifest.open().len() + unnamed;
        row.size_bytes += manifest.size_bytes();
        row.delete_lag_segments += unnamed as u64;
        row.metadata_count += objects as u64;
    }
    rows
}

fn topics(page: &mut String, rows: &BTreeMap<String, Row>, most: usize) {
    let mut family = |name: &str, help: &str, value: fn(&Row) -> u64| {
        let name = format!("freshet_remote_{name}");
        head(page, &name, help, "gauge");
        for (topic, row) in rows.iter().take(most) {
            sample(page, &name, &[("topic", topic)], signed(value(row)));
        }
    };
    family(
        "log_size_bytes",
        "Bytes of segment objects, of partitions led here.",
        |r| r.size_bytes,
    );
    family(
        "copy_lag_bytes",
        "Bytes of closed segments that are not copied yet, as far as their leaders know.",
        |r| r.lag_bytes,
    );
    family(
        "copy_lag_segments",
        "Closed segments that are not copied yet, as far as their leaders know.",
        |r| r.lag_segments,
    );
    family(
        "delete_lag_segments",
        "Objects that nobody is sent to any more, and that are not deleted yet: for a grace age on purpose.",
        |r| r.delete_lag_segments,
    );
    family(
        "log_metadata_count",
        "Objects that manifests tell of: those with records, being uploaded, or to be deleted.",
        |r| r.metadata_count,
    );
    family(
        "unknown_partitions",
        "Partitions led here whose manifest is not known: what is in the bucket only cannot be read, and nothing is copied.",
        |r| r.unknown_partitions,
    );
    family(
        "failing_partitions",
        "Partitions led here whose latest try to claim, copy, export or collect has failed.",
        |r| r.failing_partitions,
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
    fn the_oldest_look_has_its_line_once_there_is_one() {
        let mut page = String::new();
        oldest_look(&mut page, None);
        assert!(page.lines().all(|line| line.starts_with('#')), "{page}");
        oldest_look(&mut page, Some(Timestamp(1_700_000_000_900)));
        let expected = "freshet_remote_scrub_oldest_look_timestamp_seconds 1700000000";
        assert!(page.lines().any(|line| line == expected), "{page}");
    }

    #[test]
    fn requests_that_read_have_their_lines() {
        let mut page = String::new();
        let gate = GateLoad {
            places: 16,
            busy: 3,
            waiting: 2,
        };
        load(&mut page, gate);
        let copies = CopyCounts::default();
        for ms in [40, 40, 60_000] {
            copies.fetch_times.observe(ms);
        }
        copies.fetch_throttle_times.observe(7);
        copies.copy_throttle_times.observe(2_000);
        times(&mut page, &copies);
        for expected in [
            "freshet_remote_reader_places 16",
            "freshet_remote_reader_busy 3",
            "freshet_remote_reader_queue 2",
            "freshet_remote_fetch_seconds_bucket{le=\"0.025\"} 0",
            "freshet_remote_fetch_seconds_bucket{le=\"0.05\"} 2",
            "freshet_remote_fetch_seconds_bucket{le=\"30\"} 2",
            "freshet_remote_fetch_seconds_bucket{le=\"+Inf\"} 3",
            "freshet_remote_fetch_seconds_sum 60.08",
            "freshet_remote_fetch_seconds_count 3",
            "freshet_remote_fetch_throttle_seconds_sum 0.007",
            "freshet_remote_copy_throttle_seconds_bucket{le=\"1\"} 0",
            "freshet_remote_copy_throttle_seconds_bucket{le=\"2.5\"} 1",
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
            delete_lag_segments: 4,
            metadata_count: 5,
            unknown_partitions: 6,
            failing_partitions: 7,
            ..Row::default()
        };
        let rest = || Row::default();
        let rows = [("a", row), ("b", rest()), ("c", rest())];
        let rows = rows.map(|(topic, row)| (topic.to_owned(), row)).into();
        let mut page = String::new();
        topics(&mut page, &rows, 2);
        assert!(!page.contains("\"c\""), "no more than that: {page}");
        for expected in [
            "freshet_remote_log_size_bytes{topic=\"a\"} 1",
            "freshet_remote_copy_lag_bytes{topic=\"a\"} 2",
            "freshet_remote_copy_lag_segments{topic=\"a\"} 3",
            "freshet_remote_copy_lag_segments{topic=\"b\"} 0",
            "freshet_remote_delete_lag_segments{topic=\"a\"} 4",
            "freshet_remote_log_metadata_count{topic=\"a\"} 5",
            "freshet_remote_unknown_partitions{topic=\"a\"} 6",
            "freshet_remote_failing_partitions{topic=\"a\"} 7",
        ] {
            assert!(page.lines().any(|line| line == expected), "{page}");
        }
    }
}
