//! Object storage under Kafka's own names (`kafka.server:type=BrokerTopicMetrics`; KIP-405, KIP-963), as the JMX
//! exporter gives them with the rules that Kafka's operators commonly use: lower case, meters as counters
//! without `PerSec`. As there, each family has the broker's own series, without a label, and one for each topic:
//! whoever sums takes one kind of them (`{topic!=""}`).

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use freshet_partition::{CopyCounts, PastReaders};

use super::tier_page::Row;
use crate::metrics::exposition::{head, line, sample};
use crate::metrics::signed;

const PREFIX: &str = "kafka_server_brokertopicmetrics_";

/// One family: its name as Kafka's MBean has it, the broker's value, and a topic's, if that is known.
struct Family {
    name: &'static str,
    all: u64,
    of: Option<fn(&Row) -> u64>,
}

/// Writes all families, with the first `most` topics by name.
pub(super) fn render(
    page: &mut String,
    readers: &PastReaders,
    rows: &BTreeMap<String, Row>,
    most: usize,
) {
    for family in meters(readers.copies()) {
        let name = format!("{}_total", family.name.trim_end_matches("PerSec"));
        write(page, (&name, "counter"), &family, rows.iter().take(most));
    }
    for family in gauges(rows) {
        write(
            page,
            (family.name, "gauge"),
            &family,
            rows.iter().take(most),
        );
    }
}

fn write<'a>(
    page: &mut String,
    (name, kind): (&str, &str),
    family: &Family,
    rows: impl Iterator<Item = (&'a String, &'a Row)>,
) {
    let name = format!("{PREFIX}{}", name.to_ascii_lowercase());
    head(page, &name, &format!("Kafka's {}.", family.name), kind);
    line(page, &format!("{name} {}", family.all));
    let Some(of) = family.of else { return };
    for (topic, row) in rows {
        sample(page, &name, &[("topic", topic)], signed(of(row)));
    }
}

fn meters(counts: &CopyCounts) -> [Family; 10] {
    let meter = |name, all: &AtomicU64, of| Family {
        name,
        all: all.load(Relaxed),
        of: Some(of),
    };
    let broker = |name, all: &AtomicU64| Family {
        name,
        all: all.load(Relaxed),
        of: None,
    };
    [
        meter("RemoteCopyRequestsPerSec", &counts.copies, |row| {
            row.done.copies
        }),
        meter("RemoteCopyErrorsPerSec", &counts.failed_copies, |row| {
            row.done.failed_copies
        }),
        meter("RemoteCopyBytesPerSec", &counts.copied_bytes, |row| {
            row.done.copied_bytes
        }),
        meter("RemoteFetchRequestsPerSec", &counts.reads, |row| {
            row.done.reads
        }),
        meter("RemoteFetchErrorsPerSec", &counts.failed_reads, |row| {
            row.done.failed_reads
        }),
        meter("RemoteFetchBytesPerSec", &counts.read_bytes, |row| {
            row.done.read_bytes
        }),
        meter(
            "BuildRemoteLogAuxStateRequestsPerSec",
            &counts.beginnings,
            |row| row.done.beginnings,
        ),
        meter(
            "BuildRemoteLogAuxStateErrorsPerSec",
            &counts.failed_beginnings,
            |row| row.done.failed_beginnings,
        ),
        // Topics that are deleted have no partitions by then.
        broker("RemoteDeleteRequestsPerSec", &counts.deletions),
        broker("RemoteDeleteErrorsPerSec", &counts.failed_deletions),
    ]
}

fn gauges(rows: &BTreeMap<String, Row>) -> [Family; 5] {
    let gauge = |name, of: fn(&Row) -> u64| Family {
        name,
        all: rows.values().map(of).sum(),
        of: Some(of),
    };
    [
        gauge("RemoteCopyLagBytes", |row| row.lag_bytes),
        gauge("RemoteCopyLagSegments", |row| row.lag_segments),
        gauge("RemoteDeleteLagSegments", |row| row.delete_lag_segments),
        gauge("RemoteLogMetadataCount", |row| row.metadata_count),
        gauge("RemoteLogSizeBytes", |row| row.size_bytes),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::tier_page::Done;
    use super::*;

    fn row(n: u64) -> Row {
        Row {
            size_bytes: n,
            lag_bytes: n + 1,
            lag_segments: n + 2,
            delete_lag_segments: n + 3,
            metadata_count: n + 4,
            done: Done {
                copies: n + 5,
                failed_copies: n + 6,
                copied_bytes: n + 7,
                reads: n + 8,
                failed_reads: n + 9,
                read_bytes: n + 10,
                beginnings: n + 11,
                failed_beginnings: n + 12,
            },
        }
    }

    #[test]
    fn each_family_has_the_brokers_series_and_one_for_each_topic() {
        let counts = CopyCounts::default();
        for (value, counter) in [
            &counts.copies,
            &counts.failed_copies,
            &counts.copied_bytes,
            &counts.reads,
            &counts.failed_reads,
            &counts.beginnings,
            &counts.failed_beginnings,
            &counts.deletions,
            &counts.failed_deletions,
        ]
        .into_iter()
        .enumerate()
        {
            counter.store(1000 + value as u64, Relaxed);
        }
        let rows = [("a", row(100)), ("b", row(200)), ("c", row(300))];
        let rows: BTreeMap<_, _> = rows.map(|(topic, row)| (topic.to_owned(), row)).into();
        let mut page = String::new();
        counts.read_bytes.store(77, Relaxed);
        for family in meters(&counts) {
            write(
                &mut page,
                (family.name, "counter"),
                &family,
                rows.iter().take(2),
            );
        }
        for family in gauges(&rows) {
            write(
                &mut page,
                (family.name, "gauge"),
                &family,
                rows.iter().take(2),
            );
        }
        let values = |name: &str| -> Vec<String> {
            let name = format!("{PREFIX}{name}");
            let lines = page.lines().filter_map(|line| line.strip_prefix(&name));
            let values = lines.filter(|rest| rest.starts_with([' ', '{']));
            values.map(str::to_owned).collect()
        };
        for (name, all, topic) in [
            ("remotecopyrequestspersec", 1000, Some(105)),
            ("remotecopyerrorspersec", 1001, Some(106)),
            ("remotecopybytespersec", 1002, Some(107)),
            ("remotefetchrequestspersec", 1003, Some(108)),
            ("remotefetcherrorspersec", 1004, Some(109)),
            ("remotefetchbytespersec", 77, Some(110)),
            ("buildremotelogauxstaterequestspersec", 1005, Some(111)),
            ("buildremotelogauxstateerrorspersec", 1006, Some(112)),
            ("remotedeleterequestspersec", 1007, None),
            ("remotedeleteerrorspersec", 1008, None),
            ("remotecopylagbytes", 603, Some(101)),
            ("remotecopylagsegments", 606, Some(102)),
            ("remotedeletelagsegments", 609, Some(103)),
            ("remotelogmetadatacount", 612, Some(104)),
            ("remotelogsizebytes", 600, Some(100)),
        ] {
            let mut expected = vec![format!(" {all}")];
            if let Some(a) = topic {
                expected.push(format!("{{topic=\"a\"}} {a}"));
                expected.push(format!("{{topic=\"b\"}} {}", a + 100));
            }
            assert_eq!(values(name), expected, "{name}: {page}");
        }
    }
}
