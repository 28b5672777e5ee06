//! Fetch sessions (KIP-227): only what changed is answered, and nothing that changed is missed.

use std::time::{Duration, Instant};

use freshet_types::TopicId;
use freshet_wire::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use freshet_wire::delete_topics::DeleteTopicState;
use freshet_wire::fetch::{FetchPartition, FetchTopic, ForgottenTopic, PartitionData};
use freshet_wire::{
    DeleteRecordsRequest, DeleteTopicsRequest, ErrorCode, FetchRequest, FetchResponse,
};

use crate::rig::{Raw, Rig};

/// The last version that names topics by name, and the latest.
const BY_NAME: i16 = 12;
const BY_ID: i16 = 18;

/// The client's side of a session.
struct Session {
    raw: Raw,
    version: i16,
    id: i32,
    epoch: i32,
    max_bytes: i32,
}

impl Session {
    fn new(rig: &Rig, version: i16) -> Self {
        Self {
            raw: rig.connect(),
            version,
            id: 0,
            epoch: 0,
            max_bytes: 1 << 20,
        }
    }

    fn ask(&mut self, topics: Vec<FetchTopic>, wait_ms: i32) -> FetchResponse {
        self.ask_and_forget(topics, Vec::new(), wait_ms)
    }

    fn ask_and_forget(
        &mut self,
        topics: Vec<FetchTopic>,
        forgotten: Vec<ForgottenTopic>,
        wait_ms: i32,
    ) -> FetchResponse {
        let request = FetchRequest {
            max_wait_ms: wait_ms,
            min_bytes: 1,
            max_bytes: self.max_bytes,
            session_id: self.id,
            session_epoch: self.epoch,
            topics,
            forgotten_topics_data: forgotten,
            ..FetchRequest::default()
        };
        let told = self.raw.call(self.version, &request);
        assert_eq!(told.error_code, ErrorCode::None.code());
        (self.id, self.epoch) = (told.session_id, self.epoch + 1);
        told
    }
}

/// Partitions of one topic with their fetch offsets.
fn wanted(id: TopicId, name: &str, partitions: &[(i32, i64)]) -> Vec<FetchTopic> {
    let partition = |&(partition, fetch_offset): &(i32, i64)| FetchPartition {
        partition,
        fetch_offset,
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    };
    vec![FetchTopic {
        topic: name.to_owned(),
        topic_id: id,
        partitions: partitions.iter().map(partition).collect(),
    }]
}

fn partitions(told: FetchResponse) -> Vec<PartitionData> {
    let topics = told.responses.into_iter();
    topics.flat_map(|topic| topic.partitions).collect()
}

/// Who was answered, and whether with data.
fn seen(told: FetchResponse) -> Vec<(i32, bool)> {
    let has_data = |p: PartitionData| (p.partition_index, !p.records.is_empty());
    partitions(told).into_iter().map(has_data).collect()
}

#[test]
fn an_incremental_fetch_names_what_changed_and_nothing_else() {
    let rig = Rig::start(&[]);
    for version in [7, BY_NAME, BY_ID] {
        let name = format!("changes-{version}");
        let id = rig.connect().create(&name, 3);
        let mut session = Session::new(&rig, version);
        let all = wanted(id, &name, &[(0, 0), (1, 0), (2, 0)]);
        assert_eq!(
            seen(session.ask(all, 0)),
            [(0, false), (1, false), (2, false)]
        );
        assert_eq!(seen(session.ask(Vec::new(), 0)), []);
        rig.connect().produce(id, 1, b"a");
        assert_eq!(seen(session.ask(Vec::new(), 0)), [(1, true)]);
        let unread = session.ask(Vec::new(), 0);
        assert_eq!(seen(unread), [(1, true)], "its reader did not get on");
        assert_eq!(seen(session.ask(wanted(id, &name, &[(1, 1)]), 0)), []);
        rig.connect().produce(id, 0, b"b");
        rig.connect().produce(id, 1, b"c");
        assert_eq!(seen(session.ask(Vec::new(), 0)), [(0, true), (1, true)]);
        let forgotten = ForgottenTopic {
            topic: name.clone(),
            topic_id: id,
            partitions: vec![0, 1],
        };
        let told = session.ask_and_forget(Vec::new(), vec![forgotten], 0);
        assert_eq!(seen(told), []);
        rig.connect().produce(id, 0, b"d");
        rig.connect().produce(id, 2, b"e");
        assert_eq!(seen(session.ask(Vec::new(), 0)), [(2, true)]);
    }
}

#[test]
fn a_parked_session_wakes_for_a_partition_that_slept_for_long() {
    let rig = Rig::start(&[]);
    let id = rig.connect().create("parked", 50);
    let mut session = Session::new(&rig, BY_ID);
    let all: Vec<_> = (0..50).map(|partition| (partition, 0)).collect();
    session.ask(wanted(id, "", &all), 0);
    for round in 0..20 {
        assert_eq!(seen(session.ask(Vec::new(), 10)), [], "round {round}");
    }
    for round in 0..20 {
        let partition = (round * 7) % 50;
        let mut other = rig.connect();
        let started = Instant::now();
        let told = std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(Duration::from_millis(20));
                other.produce(id, partition, b"x");
            });
            session.ask(Vec::new(), 20_000)
        });
        assert_eq!(seen(told), [(partition, true)]);
        assert!(started.elapsed() < Duration::from_secs(10));
        session.ask(wanted(id, "", &[(partition, 1)]), 0);
    }
}

#[test]
fn every_record_is_seen_while_producers_race_with_the_session() {
    const PARTITIONS: i32 = 8;
    const RECORDS: i64 = 60;
    let rig = Rig::start(&[]);
    let id = rig.connect().create("race", PARTITIONS);
    let mut session = Session::new(&rig, BY_ID);
    let mut offsets: Vec<(i32, i64)> = (0..PARTITIONS).map(|partition| (partition, 0)).collect();
    let mut ask = wanted(id, "", &offsets);
    std::thread::scope(|scope| {
        for first in 0..2 {
            let mut raw = rig.connect();
            scope.spawn(move || {
                for i in 0..RECORDS * i64::from(PARTITIONS) / 2 {
                    let partition = (i32::try_from(i).expect("small") * 2 + first) % PARTITIONS;
                    raw.produce(id, partition, b"x");
                }
            });
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        while offsets.iter().any(|(_, offset)| *offset < RECORDS) {
            assert!(Instant::now() < deadline, "stuck at {offsets:?}");
            let mut moved = Vec::new();
            for told in partitions(session.ask(std::mem::take(&mut ask), 2000)) {
                let known = &mut offsets[usize::try_from(told.partition_index).expect("small")];
                if !told.records.is_empty() {
                    known.1 = told.high_watermark;
                    moved.push(*known);
                }
            }
            ask = wanted(id, "", &moved);
        }
    });
}

#[test]
fn who_has_had_data_is_served_last() {
    let rig = Rig::start(&[]);
    let id = rig.connect().create("turns", 3);
    let mut raw = rig.connect();
    for partition in 0..3 {
        raw.produce(id, partition, &[7; 600]);
    }
    let mut session = Session::new(&rig, BY_ID);
    session.max_bytes = 700;
    let with_data = |told| {
        let all = seen(told).into_iter();
        all.filter(|(_, data)| *data)
            .map(|(p, _)| p)
            .collect::<Vec<_>>()
    };
    let first = session.ask(wanted(id, "", &[(0, 0), (1, 0), (2, 0)]), 0);
    let mut order = with_data(first);
    // The client never gets on, so all three always have data.
    for _ in 0..5 {
        order.extend(with_data(session.ask(Vec::new(), 0)));
    }
    assert_eq!(order, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn a_new_log_start_is_told() {
    let rig = Rig::start(&[]);
    let id = rig.connect().create("trimmed", 2);
    let mut raw = rig.connect();
    raw.produce(id, 0, b"a");
    let mut session = Session::new(&rig, BY_ID);
    session.ask(wanted(id, "", &[(0, 1), (1, 0)]), 0);
    assert_eq!(seen(session.ask(Vec::new(), 0)), []);
    let partition = DeleteRecordsPartition {
        partition_index: 0,
        offset: 1,
    };
    raw.latest(&DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: "trimmed".to_owned(),
            partitions: vec![partition],
        }],
        timeout_ms: 10_000,
    });
    let told = partitions(session.ask(Vec::new(), 0));
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].partition_index, told[0].log_start_offset), (0, 1));
}

fn delete(raw: &mut Raw, topic: TopicId) {
    let state = DeleteTopicState {
        name: None,
        topic_id: topic,
    };
    let told = raw.latest(&DeleteTopicsRequest {
        topics: vec![state],
        timeout_ms: 10_000,
        ..DeleteTopicsRequest::default()
    });
    assert_eq!(told.responses[0].error_code, ErrorCode::None.code());
}

#[test]
fn a_deleted_topic_is_an_error_until_it_is_back_under_its_name() {
    let rig = Rig::start(&[]);
    let mut raw = rig.connect();
    let id = raw.create("again", 1);
    let mut by_name = Session::new(&rig, BY_NAME);
    let mut by_id = Session::new(&rig, BY_ID);
    for session in [&mut by_name, &mut by_id] {
        session.ask(wanted(id, "again", &[(0, 0)]), 0);
        assert_eq!(seen(session.ask(Vec::new(), 0)), []);
    }
    let told = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(50));
            delete(&mut raw, id);
        });
        by_name.ask(Vec::new(), 20_000)
    });
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    assert_eq!(partitions(told)[0].error_code, unknown, "told at once");
    for _ in 0..2 {
        let code = partitions(by_id.ask(Vec::new(), 20_000))[0].error_code;
        assert_eq!(code, ErrorCode::UnknownTopicId.code());
    }
    let id = raw.create("again", 1);
    let told = partitions(by_name.ask(Vec::new(), 0));
    assert_eq!((told[0].error_code, told[0].high_watermark), (0, 0));
    raw.produce(id, 0, b"x");
    assert_eq!(seen(by_name.ask(Vec::new(), 20_000)), [(0, true)]);
}

/// Not a test of behaviour: prints what a fetch of a session costs by the size of the session.
#[test]
#[ignore = "a measurement, best made in release"]
fn cost_by_size() {
    const FETCHES: u32 = 2000;
    let rig = Rig::start(&[]);
    for count in [1, 5000] {
        let name = format!("cost-{count}");
        let mut raw = rig.connect();
        let id = raw.create(&name, count);
        raw.produce(id, 0, b"x");
        for version in [BY_NAME, BY_ID] {
            let mut session = Session::new(&rig, version);
            let all: Vec<_> = (0..count).map(|partition| (partition, 0)).collect();
            session.ask(wanted(id, &name, &all), 0);
            let started = Instant::now();
            (0..FETCHES).for_each(|_| drop(session.ask(Vec::new(), 0)));
            let active = started.elapsed() / FETCHES;
            session.ask(wanted(id, &name, &[(0, 1)]), 0);
            let started = Instant::now();
            (0..FETCHES).for_each(|_| drop(session.ask(Vec::new(), 0)));
            let idle = started.elapsed() / FETCHES;
            println!("{count} partitions, version {version}: one active {active:?}, idle {idle:?}");
        }
    }
}

#[test]
fn a_client_that_waited_long_for_its_answer_may_go_on() {
    let rig = Rig::start(&[("connections.max.idle.ms", "1000")]);
    let id = rig.connect().create("quiet", 1);
    let mut session = Session::new(&rig, BY_ID);
    session.ask(wanted(id, "", &[(0, 0)]), 0);
    for _ in 0..2 {
        // Longer than the connection may be idle, and not idle.
        assert_eq!(seen(session.ask(Vec::new(), 1500)), []);
    }
}
