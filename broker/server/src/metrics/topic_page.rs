//! What there is once for each topic that has partitions here, as exposition text.

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_partition::{Partition, Traffic};

use crate::metrics::exposition::{head, sample};
use crate::metrics::signed;

/// One topic at one moment.
#[derive(Debug, Default)]
struct Row {
    size_bytes: u64,
    produced_bytes: u64,
    produced_records: u64,
    fetched_bytes: u64,
}

impl Row {
    fn count(&mut self, traffic: &Traffic) {
        self.produced_bytes = traffic.produced_bytes();
        self.produced_records = traffic.produced_records();
        self.fetched_bytes = traffic.fetched_bytes();
    }
}

/// Writes all families for the first `most` topics by name; tells how many were left out.
pub(super) fn render(page: &mut String, open: &[Arc<Partition>], most: usize) -> usize {
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    for partition in open {
        let row = rows.entry(partition.name().topic.as_str()).or_default();
        row.size_bytes += partition.view().size_bytes();
        // The same for all partitions of a topic.
        row.count(partition.traffic());
    }
    families(page, &rows, most);
    rows.len().saturating_sub(most)
}

fn families(page: &mut String, rows: &BTreeMap<&str, Row>, most: usize) {
    let mut family = |name: &str, help: &str, kind: &str, value: fn(&Row) -> u64| {
        let name = format!("freshet_topic_{name}");
        head(page, &name, help, kind);
        for (topic, row) in rows.iter().take(most) {
            sample(page, &name, &[("topic", topic)], signed(value(row)));
        }
    };
    family(
        "log_size_bytes",
        "Bytes of segments of a topic's partitions on this broker.",
        "gauge",
        |row| row.size_bytes,
    );
    family(
        "produced_bytes_total",
        "Bytes of batches that producers had stored in partitions led here.",
        "counter",
        |row| row.produced_bytes,
    );
    family(
        "produced_records_total",
        "Records that producers had stored in partitions led here.",
        "counter",
        |row| row.produced_records,
    );
    family(
        "fetched_bytes_total",
        "Bytes of batches that this broker sent to consumers.",
        "counter",
        |row| row.fetched_bytes,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_has_a_line_in_each_family_up_to_the_limit() {
        let row = Row {
            size_bytes: 1,
            produced_bytes: 2,
            produced_records: 3,
            fetched_bytes: 4,
        };
        let rows = BTreeMap::from([("a", row), ("b", Row::default()), ("c", Row::default())]);
        let mut page = String::new();
        families(&mut page, &rows, 2);
        let series: Vec<&str> = page.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            series,
            [
                "freshet_topic_log_size_bytes{topic=\"a\"} 1",
                "freshet_topic_log_size_bytes{topic=\"b\"} 0",
                "freshet_topic_produced_bytes_total{topic=\"a\"} 2",
                "freshet_topic_produced_bytes_total{topic=\"b\"} 0",
                "freshet_topic_produced_records_total{topic=\"a\"} 3",
                "freshet_topic_produced_records_total{topic=\"b\"} 0",
                "freshet_topic_fetched_bytes_total{topic=\"a\"} 4",
                "freshet_topic_fetched_bytes_total{topic=\"b\"} 0",
            ]
        );
    }
}
