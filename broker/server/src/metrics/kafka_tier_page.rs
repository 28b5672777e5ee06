//! Object storage under Kafka's own names (`kafka.server:type=BrokerTopicMetrics`; KIP-405, KIP-963), as the JMX
//! exporter gives them with the rules that Kafka's operators commonly use: lower case, meters as counters
//! without `PerSec`. As there, each family has the broker's own series, without a label, and one for each topic:
//! whoever sums takes one kind of them (`{topic!=""}`).

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use freshet_partition::{CopyCounts, RemoteTraffic};

use super::tier_page::Row;
use crate::metrics::exposition::{head, line, sample};
use crate::metrics::signed;

const PREFIX: &str = "kafka_server_brokertopicmetrics_";

type Counter = fn(&RemoteTraffic) -> &AtomicU64;
type Gauge = fn(&Row) -> u64;

#[rustfmt::skip]
const METERS: [(&str, Counter); 10] = [
    ("RemoteCopyRequestsPerSec", |it| &it.copies),
    ("RemoteCopyErrorsPerSec", |it| &it.failed_copies),
    ("RemoteCopyBytesPerSec", |it| &it.copied_bytes),
    ("RemoteFetchRequestsPerSec", |it| &it.reads),
    ("RemoteFetchErrorsPerSec", |it| &it.failed_reads),
    ("RemoteFetchBytesPerSec", |it| &it.read_bytes),
    ("BuildRemoteLogAuxStateRequestsPerSec", |it| &it.beginnings),
    ("BuildRemoteLogAuxStateErrorsPerSec", |it| &it.failed_beginnings),
    ("RemoteDeleteRequestsPerSec", |it| &it.deletions),
    ("RemoteDeleteErrorsPerSec", |it| &it.failed_deletions),
];

/// What nobody has got within the time it may wait (KIP-1018, KIP-1075): with a class of its own each.
const EXPIRED: [(&str, Counter); 2] = [
    ("DelayedRemoteFetchMetrics", |it| &it.expired_reads),
    ("DelayedRemoteListOffsetsMetrics", |it| &it.expired_lookups),
];

const GAUGES: [(&str, Gauge); 5] = [
    ("RemoteCopyLagBytes", |row| row.lag_bytes),
    ("RemoteCopyLagSegments", |row| row.lag_segments),
    ("RemoteDeleteLagSegments", |row| row.delete_lag_segments),
    ("RemoteLogMetadataCount", |row| row.metadata_count),
    ("RemoteLogSizeBytes", |row| row.size_bytes),
];

/// Writes all families, with the first `most` topics by name.
pub(super) fn render(
    page: &mut String,
    counts: &CopyCounts,
    rows: &BTreeMap<String, Row>,
    most: usize,
) {
    let shown = || rows.iter().take(most);
    for (name, counter) in METERS {
        let value = |traffic| counter(traffic).load(Relaxed);
        let topics = shown().map(|(topic, row)| (topic, value(row.traffic.remote())));
        meter(page, name, value(&counts.traffic), topics);
    }
    for (class, counter) in EXPIRED {
        let value = |traffic| counter(traffic).load(Relaxed);
        let topics = shown().map(|(topic, row)| (topic, value(row.traffic.remote())));
        let name = format!("kafka_server_{}_expires_total", class.to_ascii_lowercase());
        let kafkas = format!("{class}, ExpiresPerSec");
        family(
            page,
            (&name, &kafkas, "counter"),
            value(&counts.traffic),
            topics,
        );
    }
    for (name, gauge) in GAUGES {
        let all = rows.values().map(gauge).sum();
        let topics = shown().map(|(topic, row)| (topic, gauge(row)));
        let here = format!("{PREFIX}{}", name.to_ascii_lowercase());
        family(page, (&here, name, "gauge"), all, topics);
    }
}

fn meter<'a>(
    page: &mut String,
    name: &str,
    all: u64,
    topics: impl Iterator<Item = (&'a String, u64)>,
) {
    let short = name.trim_end_matches("PerSec").to_ascii_lowercase();
    let counter = format!("{PREFIX}{short}_total");
    family(page, (&counter, name, "counter"), all, topics);
}

/// One family under its name here, with that of Kafka's MBean: the broker's value, and topics'.
fn family<'a>(
    page: &mut String,
    (name, kafkas, kind): (&str, &str, &str),
    all: u64,
    topics: impl Iterator<Item = (&'a String, u64)>,
) {
    head(page, name, &format!("Kafka's {kafkas}."), kind);
    line(page, &format!("{name} {all}"));
    for (topic, value) in topics {
        sample(page, name, &[("topic", topic)], signed(value));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use freshet_partition::Traffic;

    use super::*;

    fn row(n: u64) -> Row {
        let traffic = Arc::<Traffic>::default();
        for (more, (_, counter)) in (5..).zip(METERS.into_iter().chain(EXPIRED)) {
            counter(traffic.remote()).store(n + more, Relaxed);
        }
        Row {
            size_bytes: n,
            lag_bytes: n + 1,
            lag_segments: n + 2,
            delete_lag_segments: n + 3,
            metadata_count: n + 4,
            traffic,
            ..Row::default()
        }
    }

    #[test]
    fn each_family_has_the_brokers_series_and_one_for_each_topic() {
        let counts = CopyCounts::default();
        let done = &counts.traffic;
        for (value, counter) in (1000..).zip([
            &done.copies,
            &done.failed_copies,
            &done.copied_bytes,
            &done.reads,
            &done.failed_reads,
            &done.read_bytes,
            &done.beginnings,
            &done.failed_beginnings,
            &done.deletions,
            &done.failed_deletions,
            &done.expired_reads,
            &done.expired_lookups,
        ]) {
            counter.store(value, Relaxed);
        }
        let rows = [("a", row(100)), ("b", row(200)), ("c", row(300))];
        let rows: BTreeMap<_, _> = rows.map(|(topic, row)| (topic.to_owned(), row)).into();
        let mut page = String::new();
        render(&mut page, &counts, &rows, 2);
        let values = |name: &str| -> Vec<String> {
            let name = match name.contains("metrics_") {
                true => format!("kafka_server_{name}"),
                false => format!("{PREFIX}{name}"),
            };
            let lines = page.lines().filter_map(|line| line.strip_prefix(&name));
            let values = lines.filter(|rest| rest.starts_with([' ', '{']));
            values.map(str::to_owned).collect()
        };
        for (name, all, topic) in [
            ("remotecopyrequests_total", 1000, 105),
            ("remotecopyerrors_total", 1001, 106),
            ("remotecopybytes_total", 1002, 107),
            ("remotefetchrequests_total", 1003, 108),
            ("remotefetcherrors_total", 1004, 109),
            ("remotefetchbytes_total", 1005, 110),
            ("buildremotelogauxstaterequests_total", 1006, 111),
            ("buildremotelogauxstateerrors_total", 1007, 112),
            ("remotedeleterequests_total", 1008, 113),
            ("remotedeleteerrors_total", 1009, 114),
            ("delayedremotefetchmetrics_expires_total", 1010, 115),
            ("delayedremotelistoffsetsmetrics_expires_total", 1011, 116),
            ("remotecopylagbytes", 603, 101),
            ("remotecopylagsegments", 606, 102),
            ("remotedeletelagsegments", 609, 103),
            ("remotelogmetadatacount", 612, 104),
            ("remotelogsizebytes", 600, 100),
        ] {
            let expected = [
                format!(" {all}"),
                format!("{{topic=\"a\"}} {topic}"),
                format!("{{topic=\"b\"}} {}", topic + 100),
            ];
            assert_eq!(values(name), expected, "{name}: {page}");
        }
    }
}
