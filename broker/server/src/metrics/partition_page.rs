//! What there is once for each partition and for each topic, as exposition text. It is written anew for each scrape:
//! kept in handles, two scrapes at a time would clear each other's series, and series of what is
//! gone would stay.

use std::sync::Arc;

use freshet_partition::Partition;

use crate::kafka::Lag;
use crate::metrics::exposition::{head, line, sample};
use crate::metrics::{signed, topic_page};

/// Partitions, topics, and lags of groups, that one scrape may show: this many of each.
pub(super) const SHOWN: usize = 10_000;

/// One partition at one moment.
struct Row {
    topic: String,
    partition: i32,
    size_bytes: i64,
    end: i64,
    start: i64,
    local_start: i64,
}

/// Reads the partitions and writes all families.
pub(super) fn render(mut open: Vec<Arc<Partition>>, lags: &[Lag]) -> String {
    open.sort_unstable_by(|a, b| a.name().cmp(b.name()));
    let hidden = open.len().saturating_sub(SHOWN);
    let rows: Vec<Row> = open
        .iter()
        .take(SHOWN)
        .map(|partition| Row {
            topic: partition.name().topic.to_string(),
            partition: partition.name().partition,
            size_bytes: signed(partition.view().size_bytes()),
            end: partition.view().log_end(),
            start: partition.ends().log_start,
            local_start: partition.ends().local_start,
        })
        .collect();
    let mut page = partition_families(&rows);
    let hidden_lags = lag_family(&mut page, lags, SHOWN);
    let hidden_topics = topic_page::render(&mut page, &open, SHOWN);
    let counts = [
        ("partitions", hidden),
        ("topics", hidden_topics),
        ("lags", hidden_lags),
    ];
    left_out(&mut page, &counts);
    page
}

fn partition_families(rows: &[Row]) -> String {
    let mut page = String::new();
    let mut family = |name: &str, help: &str, value: fn(&Row) -> i64| {
        head(&mut page, name, help, "gauge");
        for row in rows {
            let number = row.partition.to_string();
            let labels = [("partition", number.as_str()), ("topic", &row.topic)];
            sample(&mut page, name, &labels, value(row));
        }
    };
    family("freshet_log_size_bytes", "Bytes on disk.", |r| r.size_bytes);
    family(
        "freshet_log_end_offset",
        "Offset of the next record.",
        |r| r.end,
    );
    family("freshet_log_start_offset", "First readable offset.", |r| {
        r.start
    });
    family(
        "freshet_log_local_start_offset",
        "First offset on disk.",
        |r| r.local_start,
    );
    page
}

/// How many were left out.
fn lag_family(page: &mut String, lags: &[Lag], most: usize) -> usize {
    const NAME: &str = "freshet_group_lag_records";
    let mut lags: Vec<&Lag> = lags.iter().collect();
    lags.sort_unstable_by_key(|lag| (&lag.group, &lag.topic, lag.partition));
    head(
        page,
        NAME,
        "Records committed and not yet consumed.",
        "gauge",
    );
    for lag in lags.iter().take(most) {
        let number = lag.partition.to_string();
        let labels = [
            ("group", lag.group.as_str()),
            ("partition", &number),
            ("topic", &lag.topic),
        ];
        sample(page, NAME, &labels, lag.records);
    }
    lags.len().saturating_sub(most)
}

fn left_out(page: &mut String, counts: &[(&str, usize)]) {
    const NAME: &str = "freshet_series_left_out";
    let help = format!(
        "Partitions, topics and lags that this page does not show, because it shows {SHOWN} of each."
    );
    head(page, NAME, &help, "gauge");
    for (of, count) in counts {
        line(page, &format!("{NAME}{{of=\"{of}\"}} {count}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lag(group: &str, partition: i32) -> Lag {
        Lag {
            group: group.to_owned(),
            topic: "t".to_owned(),
            partition,
            records: 7,
        }
    }

    #[test]
    fn lags_are_sorted_cut_and_escaped() {
        let mut page = String::new();
        let lags = [lag("z", 0), lag("a\"\\\n", 2), lag("a\"\\\n", 1)];
        assert_eq!(lag_family(&mut page, &lags, 2), 1);
        let series: Vec<&str> = page.lines().filter(|line| !line.starts_with('#')).collect();
        let want = |partition| {
            format!(
                r#"freshet_group_lag_records{{group="a\"\\\n",partition="{partition}",topic="t"}} 7"#
            )
        };
        assert_eq!(series, [want(1), want(2)]);
    }

    #[test]
    fn a_partition_has_a_line_in_each_family() {
        let row = Row {
            topic: "t".to_owned(),
            partition: 3,
            size_bytes: 10,
            end: 9,
            start: 7,
            local_start: 8,
        };
        let page = partition_families(&[row]);
        for expected in [
            "# TYPE freshet_log_size_bytes gauge",
            "freshet_log_size_bytes{partition=\"3\",topic=\"t\"} 10",
            "freshet_log_end_offset{partition=\"3\",topic=\"t\"} 9",
            "freshet_log_start_offset{partition=\"3\",topic=\"t\"} 7",
            "freshet_log_local_start_offset{partition=\"3\",topic=\"t\"} 8",
        ] {
            assert!(page.lines().any(|line| line == expected), "{page}");
        }
    }

    #[test]
    fn what_is_left_out_is_told() {
        let mut page = String::new();
        left_out(&mut page, &[("partitions", 5), ("lags", 0)]);
        assert!(page.contains("freshet_series_left_out{of=\"partitions\"} 5\n"));
    }
}
