//! What `/metrics` says of what was done to a broker.

use freshet_types::TopicId;
use freshet_wire::fetch::{FetchPartition, FetchTopic};
use freshet_wire::{DeleteTopicsRequest, DescribeLogDirsRequest, FetchRequest, delete_topics};

use crate::rig::{Raw, Rig, batch};

/// All records of one partition, from the first on; gives their bytes.
fn fetch(raw: &mut Raw, topic: TopicId, partition: i32) -> usize {
    let partition = FetchPartition {
        partition,
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    };
    let request = FetchRequest {
        max_bytes: 1 << 20,
        topics: vec![FetchTopic {
            topic_id: topic,
            partitions: vec![partition],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    };
    let mut told = raw.latest(&request);
    assert_eq!(told.error_code, 0, "{told:?}");
    told.responses.remove(0).partitions.remove(0).records.len()
}

#[test]
fn what_goes_through_a_topic_is_counted_for_all_its_partitions() {
    let rig = Rig::start(&[]);
    let mut raw = rig.connect();
    let (orders, other) = (raw.create("orders", 3), raw.create("other", 1));
    let of = |name: &str, topic: &str| rig.series(&format!("{name}{{topic=\"{topic}\"}}"));
    assert_eq!(
        of("freshet_topic_produced_records_total", "orders"),
        Some(0.0)
    );
    for partition in 0..3 {
        raw.produce(orders, partition, b"value");
    }
    let bytes = batch(b"value").len();
    let expected = Some(3.0 * bytes as f64);
    assert_eq!(of("freshet_topic_produced_bytes_total", "orders"), expected);
    assert_eq!(
        of("freshet_topic_produced_records_total", "orders"),
        Some(3.0)
    );
    let size = of("freshet_topic_log_size_bytes", "orders");
    assert_eq!(size, expected, "as much as its segments");
    assert_eq!(of("freshet_topic_fetched_bytes_total", "orders"), Some(0.0));
    assert_eq!(fetch(&mut raw, orders, 1), bytes);
    assert_eq!(fetch(&mut raw, orders, 1), bytes);
    assert_eq!(fetch(&mut raw, other, 0), 0);
    let fetched = of("freshet_topic_fetched_bytes_total", "orders");
    assert_eq!(fetched, Some(2.0 * bytes as f64));
    assert_eq!(of("freshet_topic_fetched_bytes_total", "other"), Some(0.0));
    assert_eq!(of("freshet_topic_produced_bytes_total", "other"), Some(0.0));
}

#[test]
fn a_topic_that_is_gone_has_no_series() {
    let rig = Rig::start(&[]);
    let mut raw = rig.connect();
    let first = raw.create("orders", 1);
    raw.produce(first, 0, b"value");
    let series = "freshet_topic_produced_records_total{topic=\"orders\"}";
    assert_eq!(rig.series(series), Some(1.0));
    let request = DeleteTopicsRequest {
        topics: vec![delete_topics::DeleteTopicState {
            topic_id: first,
            ..Default::default()
        }],
        timeout_ms: 10_000,
        ..DeleteTopicsRequest::default()
    };
    assert_eq!(raw.latest(&request).responses[0].error_code, 0);
    assert_eq!(rig.series(series), None);
    raw.create("orders", 1);
    assert_eq!(rig.series(series), Some(0.0), "another topic of that name");
}

#[test]
fn a_log_directory_tells_what_it_holds_and_what_is_left() {
    let rig = Rig::start(&[]);
    let mut raw = rig.connect();
    let topic = raw.create("orders", 2);
    let directory = rig.log_dir().display().to_string();
    let of = |name: &str| {
        let name = format!("freshet_log_directory_{name}{{directory=\"{directory}\"}}");
        rig.series(&name).expect(&name)
    };
    let before = of("size_bytes");
    raw.produce(topic, 0, &[b'x'; 10_000]);
    raw.produce(topic, 1, &[b'x'; 10_000]);
    let bytes = 2 * batch(&[b'x'; 10_000]).len();
    assert!((of("size_bytes") - before - bytes as f64).abs() < f64::EPSILON);
    assert!(of("offline").abs() < f64::EPSILON);
    let (total, available) = (of("total_bytes"), of("available_bytes"));
    assert!(available > 0.0 && available <= total, "{available} {total}");
}

#[test]
fn a_log_directory_tells_that_it_is_full() {
    let rig = Rig::start(&[]);
    let directory = rig.log_dir().display().to_string();
    let mut raw = rig.connect();
    let mut told = || {
        let series = format!("freshet_log_directory_full{{directory=\"{directory}\"}}");
        let request = DescribeLogDirsRequest { topics: None };
        let shown = raw.latest(&request).results[0].is_full;
        (rig.series(&series), shown)
    };
    assert_eq!(told(), (Some(0.0), false));
    assert!(rig.disk().judge_room(u64::MAX));
    assert_eq!(told(), (Some(1.0), true));
}

#[test]
fn the_process_tells_what_it_uses() {
    let rig = Rig::start(&[]);
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
        "process_threads",
    ] {
        assert!(rig.series(name).expect(name) > 0.0, "{name}");
    }
}
