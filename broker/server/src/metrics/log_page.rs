//! The log threads' own counters as exposition text. They are plain atomics, so that the log knows
//! nothing of Prometheus; this is the only place that gives them names.

use std::sync::atomic::Ordering::Relaxed;

use freshet_log::{LATENCY_BOUNDS_MICROS, Latency, LogMetrics};

use crate::metrics::exposition::{head, line};

/// Writes all of them.
pub(super) fn render(log: &LogMetrics) -> String {
    let mut page = String::new();
    let counters = [
        ("batches", "Batches written.", &log.batches),
        ("records", "Records written.", &log.records),
        ("bytes", "Bytes of batches written.", &log.bytes),
        (
            "duplicates",
            "Retries of idempotent producers answered from memory.",
            &log.duplicates,
        ),
        ("refused", "Appends refused.", &log.refused),
        (
            "hot_read_bytes",
            "Bytes served from memory.",
            &log.hot_read_bytes,
        ),
        (
            "file_read_bytes",
            "Bytes served from files.",
            &log.file_read_bytes,
        ),
        (
            "cold_reads",
            "Reads that waited for the device.",
            &log.cold_reads,
        ),
        (
            "corrupt_reads",
            "Stored batches that failed their checksum.",
            &log.corrupt_reads,
        ),
        (
            "segments_deleted",
            "Segments deleted by retention or trimming.",
            &log.segments_deleted,
        ),
    ];
    for (name, help, value) in counters {
        head(
            &mut page,
            &format!("freshet_log_{name}_total"),
            help,
            "counter",
        );
        line(
            &mut page,
            &format!("freshet_log_{name}_total {}", value.load(Relaxed)),
        );
    }
    histogram(
        &mut page,
        "freshet_log_write_seconds",
        "Vectored writes.",
        &log.writes,
    );
    histogram(
        &mut page,
        "freshet_log_fsync_seconds",
        "fdatasync calls.",
        &log.fsyncs,
    );
    page
}

fn histogram(page: &mut String, name: &str, help: &str, latency: &Latency) {
    head(page, name, help, "histogram");
    let mut below = 0;
    let buckets = latency.buckets();
    for (count, bound) in buckets.iter().zip(LATENCY_BOUNDS_MICROS) {
        below += count;
        let seconds = bound as f64 / 1e6;
        line(page, &format!("{name}_bucket{{le=\"{seconds}\"}} {below}"));
    }
    let all: u64 = buckets.iter().sum();
    line(page, &format!("{name}_bucket{{le=\"+Inf\"}} {all}"));
    line(
        page,
        &format!("{name}_sum {}", latency.sum_micros() as f64 / 1e6),
    );
    line(page, &format!("{name}_count {all}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_are_cumulative_and_in_seconds() {
        let log = LogMetrics::default();
        log.fsyncs.observe(60);
        log.fsyncs.observe(3_000_000);
        let page = render(&log);
        for expected in [
            "# TYPE freshet_log_fsync_seconds histogram",
            "freshet_log_fsync_seconds_bucket{le=\"0.00005\"} 0",
            "freshet_log_fsync_seconds_bucket{le=\"0.0001\"} 1",
            "freshet_log_fsync_seconds_bucket{le=\"+Inf\"} 2",
            "freshet_log_fsync_seconds_sum 3.00006",
            "freshet_log_fsync_seconds_count 2",
        ] {
            assert!(
                page.lines().any(|line| line == expected),
                "{expected} is missing in\n{page}"
            );
        }
    }
}
