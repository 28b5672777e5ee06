//! Who reads and copies for object storage, under Kafka's own names (`kafka.log.remote`; KIP-405, KIP-1018), as
//! lower-case names of the JMX exporter. There are no threads here: a place for a request to the store is what a
//! thread is to Kafka, and idle are places that nobody has at the moment of the scrape.

use std::sync::atomic::Ordering::Relaxed;

use freshet_partition::{CopyCounts, GateLoad};

use crate::metrics::exposition::{head, line};

const POOL: &str = "kafka_log_remote_remotestoragethreadpool_";
const MANAGER: &str = "kafka_log_remote_remotelogmanager_";

/// Writes all families.
pub(super) fn render(page: &mut String, readers: GateLoad, counts: &CopyCounts) {
    let queue = readers.waiting.to_string();
    gauge(page, (POOL, "RemoteLogReaderTaskQueueSize"), &queue);
    let idle = idle(readers.busy as u64, readers.places as u64);
    gauge(page, (POOL, "RemoteLogReaderAvgIdlePercent"), &idle);
    let copiers = &counts.copiers;
    let idle = self::idle(copiers.busy.load(Relaxed), copiers.places.load(Relaxed));
    gauge(
        page,
        (MANAGER, "RemoteLogManagerTasksAvgIdlePercent"),
        &idle,
    );
    let kafkas = "RemoteLogReaderFetchRateAndTimeMs";
    let name = format!("{MANAGER}{}", kafkas.to_ascii_lowercase());
    head(page, &name, &format!("Kafka's {kafkas}."), "summary");
    let count: u64 = counts.fetch_times.buckets().iter().sum();
    line(page, &format!("{name}_sum {}", counts.fetch_times.sum_ms()));
    line(page, &format!("{name}_count {count}"));
}

fn gauge(page: &mut String, (class, kafkas): (&str, &str), value: &str) {
    let name = format!("{class}{}", kafkas.to_ascii_lowercase());
    head(page, &name, &format!("Kafka's {kafkas}."), "gauge");
    line(page, &format!("{name} {value}"));
}

/// From 0 to 1; all are idle where there are none yet. Where there are fewer now than are taken none is.
fn idle(busy: u64, places: u64) -> String {
    let part = match places {
        0 => 1.0,
        _ => places.saturating_sub(busy) as f64 / places as f64,
    };
    part.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(readers: (usize, usize, usize), copiers: (u64, u64)) -> String {
        let counts = CopyCounts::default();
        counts.copiers.places.store(copiers.0, Relaxed);
        counts.copiers.busy.store(copiers.1, Relaxed);
        counts.fetch_times.observe(40);
        counts.fetch_times.observe(60_000);
        let (places, busy, waiting) = readers;
        let readers = GateLoad {
            places,
            busy,
            waiting,
        };
        let mut page = String::new();
        render(&mut page, readers, &counts);
        page
    }

    #[test]
    fn places_that_nobody_has_are_idle() {
        let page = page((16, 4, 3), (10, 9));
        for expected in [
            "kafka_log_remote_remotestoragethreadpool_remotelogreadertaskqueuesize 3",
            "kafka_log_remote_remotestoragethreadpool_remotelogreaderavgidlepercent 0.75",
            "kafka_log_remote_remotelogmanager_remotelogmanagertasksavgidlepercent 0.1",
            "kafka_log_remote_remotelogmanager_remotelogreaderfetchrateandtimems_sum 60040",
            "kafka_log_remote_remotelogmanager_remotelogreaderfetchrateandtimems_count 2",
        ] {
            assert!(page.lines().any(|line| line == expected), "{page}");
        }
    }

    #[test]
    fn who_has_not_begun_is_idle_and_who_has_too_many_is_not() {
        let idle = |page: String| {
            let name = "kafka_log_remote_remotelogmanager_remotelogmanagertasksavgidlepercent ";
            let mut lines = page.lines().filter_map(|line| line.strip_prefix(name));
            lines.next().map(str::to_owned)
        };
        assert_eq!(idle(page((1, 0, 0), (0, 0))).as_deref(), Some("1"));
        assert_eq!(idle(page((1, 0, 0), (2, 5))).as_deref(), Some("0"));
    }
}
