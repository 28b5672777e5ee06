//! Partitions with several replicas: this broker leads or follows, and the tests play the others.

use std::time::{Duration, Instant};

use freshet_metadata::{
    AlterConfigs, AlterPartitions, AlterResource, ConfigChange, ConfigEdit, ConfigOp, ConfigTarget,
    CreateTopics, ElectLeaders, NewTopic, PartitionName, ProposedIsr,
};
use freshet_types::{NodeId, TopicId, TopicPartition};
use freshet_wire::create_topics::{CreatableReplicaAssignment, CreatableTopic};
use freshet_wire::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use freshet_wire::fetch::{FetchPartition, FetchTopic, PartitionData, ReplicaState};
use freshet_wire::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use freshet_wire::produce::{PartitionProduceData, PartitionProduceResponse, TopicProduceData};
use freshet_wire::{
    CreateTopicsRequest, DeleteRecordsRequest, ErrorCode, FetchRequest, FetchResponse,
    FindCoordinatorRequest, HeartbeatRequest, ListOffsetsRequest, ProduceRequest, ProduceResponse,
};

use crate::rig::{NODE, Raw, Rig, Surroundings, batch, heartbeat};

const BY_NAME: i16 = 12;
const LATEST: i16 = 18;

pub(crate) fn three(set: &[(&str, &str)]) -> (Rig, Surroundings) {
    let surroundings = Surroundings {
        others: vec![2, 3],
        racks: true,
        ..Surroundings::default()
    };
    (Rig::among(set, &surroundings), surroundings)
}

/// A topic with one partition on these brokers; the first one leads.
pub(crate) fn create(raw: &mut Raw, name: &str, replicas: &[i32]) -> TopicId {
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: name.to_owned(),
            num_partitions: -1,
            replication_factor: -1,
            assignments: vec![CreatableReplicaAssignment {
                partition_index: 0,
                broker_ids: replicas.to_vec(),
            }],
            ..CreatableTopic::default()
        }],
        ..CreateTopicsRequest::default()
    };
    let told = raw.latest(&request).topics.remove(0);
    assert_eq!(told.error_code, 0, "{told:?}");
    told.topic_id
}

fn produce_request(topic: TopicId, timeout_ms: i32) -> ProduceRequest {
    ProduceRequest {
        acks: -1,
        timeout_ms,
        topic_data: vec![TopicProduceData {
            topic_id: topic,
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(batch(b"value")),
            }],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    }
}

pub(crate) fn one(mut response: ProduceResponse) -> PartitionProduceResponse {
    response.responses.remove(0).partition_responses.remove(0)
}

/// Stores a record; gives the error and the offset.
fn produce(raw: &mut Raw, topic: TopicId, timeout_ms: i32) -> (i16, i64) {
    let told = one(raw.latest(&produce_request(topic, timeout_ms)));
    (told.error_code, told.base_offset)
}

/// What a reader asks of the only partition.
#[derive(Clone, Copy)]
pub(crate) struct Ask {
    topic: TopicId,
    /// -1 for a consumer.
    replica: i32,
    broker_epoch: i64,
    offset: i64,
    leader_epoch: i32,
    last_epoch: i32,
    wait_ms: i32,
    rack: &'static str,
}

impl Ask {
    pub(crate) fn consumer(topic: TopicId, offset: i64) -> Self {
        Self {
            topic,
            replica: -1,
            broker_epoch: -1,
            offset,
            leader_epoch: -1,
            last_epoch: -1,
            wait_ms: 0,
            rack: "",
        }
    }

    pub(crate) fn replica(rig: &Rig, node: i32, topic: TopicId, offset: i64) -> Self {
        let image = rig.image();
        let broker = image.broker(NodeId(node)).expect("registered");
        Self {
            replica: node,
            broker_epoch: broker.epoch,
            leader_epoch: epoch(rig, topic),
            last_epoch: if offset == 0 { -1 } else { epoch(rig, topic) },
            ..Self::consumer(topic, offset)
        }
    }

    fn request(&self, name: &str) -> FetchRequest {
        FetchRequest {
            replica_state: ReplicaState {
                replica_id: self.replica,
                replica_epoch: self.broker_epoch,
            },
            max_wait_ms: self.wait_ms,
            min_bytes: 1,
            max_bytes: 1 << 20,
            rack_id: self.rack.to_owned(),
            topics: vec![FetchTopic {
                topic: name.to_owned(),
                topic_id: self.topic,
                partitions: vec![FetchPartition {
                    partition: 0,
                    current_leader_epoch: self.leader_epoch,
                    fetch_offset: self.offset,
                    last_fetched_epoch: self.last_epoch,
                    log_start_offset: if self.replica < 0 { -1 } else { 0 },
                    partition_max_bytes: 1 << 20,
                    ..FetchPartition::default()
                }],
            }],
            ..FetchRequest::default()
        }
    }

    pub(crate) fn of(self, raw: &mut Raw) -> PartitionData {
        only(raw.call(LATEST, &self.request("")))
    }

    fn code(self, raw: &mut Raw) -> i16 {
        self.of(raw).error_code
    }
}

fn only(mut response: FetchResponse) -> PartitionData {
    assert_eq!(response.error_code, 0);
    response.responses.remove(0).partitions.remove(0)
}

fn partition(rig: &Rig, topic: TopicId) -> std::sync::Arc<freshet_metadata::Partition> {
    let image = rig.image();
    let topic = image.topic_by_id(topic).expect("it was created");
    topic.partition(0).expect("it has one").clone()
}

fn epoch(rig: &Rig, topic: TopicId) -> i32 {
    partition(rig, topic).leader_epoch
}

/// The controller takes these as the replicas in sync.
fn set_isr(rig: &Rig, topic: TopicId, isr: &[i32]) {
    let state = partition(rig, topic);
    let leader = state.leader.expect("a leader");
    let image = rig.image();
    let answer = rig.decide(AlterPartitions {
        node: leader,
        broker_epoch: image.broker(leader).expect("registered").epoch,
        partitions: vec![ProposedIsr {
            at: TopicPartition {
                topic,
                partition: 0,
            },
            leader_epoch: state.leader_epoch,
            partition_epoch: state.partition_epoch,
            isr: isr.iter().map(|&node| (NodeId(node), -1)).collect(),
        }],
    });
    let outcome = answer.expect("it leads").remove(0);
    outcome.expect("a change that holds");
}

pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_produce_is_acknowledged_once_all_in_sync_have_flushed_it() {
    let (rig, _) = three(&[]);
    let (mut producer, mut raw) = (rig.connect(), rig.connect());
    let topic = create(&mut raw, "t", &[NODE, 2, 3]);
    std::thread::scope(|scope| {
        let waits = scope.spawn(move || produce(&mut producer, topic, 20_000));
        let mut first = Ask::replica(&rig, 2, topic, 0);
        first.wait_ms = 10_000;
        let told = first.of(&mut raw);
        assert_eq!((told.error_code, told.high_watermark), (0, 0));
        assert!(!told.records.is_empty(), "replicas read to the end");
        let told = Ask::consumer(topic, 0).of(&mut raw);
        assert!(told.records.is_empty(), "consumers do not");
        assert_eq!(
            Ask::replica(&rig, 2, topic, 1).of(&mut raw).high_watermark,
            0
        );
        assert!(!waits.is_finished());
        until("the leader has flushed", || {
            Ask::replica(&rig, 3, topic, 1).of(&mut raw).high_watermark == 1
        });
        assert_eq!(waits.join().expect("it ended"), (0, 0));
    });
    assert!(!Ask::consumer(topic, 0).of(&mut raw).records.is_empty());
    let above = Ask::consumer(topic, 1).of(&mut raw);
    assert_eq!((above.error_code, above.records.len()), (0, 0));
}

#[test]
fn a_waiting_replica_is_answered_when_the_log_grows() {
    let (rig, _) = three(&[]);
    let (mut producer, mut raw) = (rig.connect(), rig.connect());
    let topic = create(&mut raw, "t", &[NODE, 2]);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let mut waiting = Ask::replica(&rig, 2, topic, 0);
        waiting.wait_ms = 20_000;
        let told = scope.spawn(move || waiting.of(&mut raw));
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(
            produce(&mut producer, topic, 100).0,
            ErrorCode::RequestTimedOut.code()
        );
        assert!(!told.join().expect("it ended").records.is_empty());
    });
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_client_learns_in_time_that_replicas_are_missing() {
    let (rig, _) = three(&[("min.insync.replicas", "2")]);
    let mut raw = rig.connect();
    let topic = create(&mut raw, "t", &[NODE, 2, 3]);
    let late = produce(&mut raw, topic, 100);
    assert_eq!(late, (ErrorCode::RequestTimedOut.code(), -1));
    let mut producer = rig.connect();
    std::thread::scope(|scope| {
        let waits = scope.spawn(move || produce(&mut producer, topic, 1500));
        until("it is stored", || {
            !Ask::replica(&rig, 2, topic, 1)
                .of(&mut raw)
                .records
                .is_empty()
        });
        set_isr(&rig, topic, &[NODE]);
        let code = ErrorCode::NotEnoughReplicasAfterAppend.code();
        assert_eq!(waits.join().expect("it ended"), (code, -1));
    });
    let refused = produce(&mut raw, topic, 1000);
    assert_eq!(refused, (ErrorCode::NotEnoughReplicas.code(), -1));
    let told = Ask::consumer(topic, 0).of(&mut raw);
    assert_eq!(
        told.high_watermark, 0,
        "it stands below min.insync.replicas"
    );
}

#[test]
fn who_has_caught_up_is_proposed_for_the_set_in_sync() {
    let (rig, around) = three(&[]);
    let mut raw = rig.connect();
    let topic = create(&mut raw, "t", &[NODE, 2, 3]);
    set_isr(&rig, topic, &[NODE, 2]);
    until("the leader knows", || {
        Ask::replica(&rig, 3, topic, 0).code(&mut raw) == 0 && !around.proposals.take().is_empty()
    });
}

#[test]
fn a_replica_is_not_believed_before_its_log_is_a_part_of_the_leaders() {
    let (rig, _) = three(&[]);
    let (mut producer, mut raw) = (rig.connect(), rig.connect());
    let topic = create(&mut raw, "t", &[NODE, 2]);
    assert_eq!(
        produce(&mut producer, topic, 100).0,
        ErrorCode::RequestTimedOut.code()
    );
    let good = Ask::replica(&rig, 2, topic, 1);
    let code = |raw: &mut Raw, change: fn(&mut Ask)| {
        let mut ask = good;
        change(&mut ask);
        ask.code(raw)
    };
    let fenced = ErrorCode::FencedLeaderEpoch.code();
    let unknown = ErrorCode::UnknownLeaderEpoch.code();
    assert_eq!(code(&mut raw, |ask| ask.leader_epoch = -1), fenced);
    assert_eq!(code(&mut raw, |ask| ask.leader_epoch += 1), unknown);
    assert_eq!(code(&mut raw, |ask| ask.replica = 3), unknown, "no replica");
    let mut beyond = good;
    beyond.offset = 5;
    beyond.last_epoch = -1;
    let told = beyond.of(&mut raw);
    assert_eq!(told.error_code, ErrorCode::OffsetOutOfRange.code());
    let end = told.diverging_epoch.end_offset;
    assert_eq!((told.log_start_offset, end), (0, 1), "followers rely on it");
    let mut diverged = good;
    diverged.offset = 5;
    let told = diverged.of(&mut raw);
    assert_eq!((told.error_code, told.diverging_epoch.end_offset), (0, 1));
    assert_eq!(told.high_watermark, 0, "nothing of that counted");
    assert_eq!(good.of(&mut raw).high_watermark, 1);
    let mut old = good;
    old.broker_epoch -= 1;
    let not_leader = ErrorCode::NotLeaderOrFollower.code();
    assert_eq!(
        old.code(&mut raw),
        not_leader,
        "an earlier life of the broker"
    );
}

#[test]
fn who_does_not_lead_says_who_does() {
    let (rig, _) = three(&[]);
    let mut raw = rig.connect();
    let topic = create(&mut raw, "t", &[2, NODE]);
    let not_leader = ErrorCode::NotLeaderOrFollower.code();
    let told = raw.latest(&produce_request(topic, 1000));
    let endpoint = told.node_endpoints.first().expect("where to go").clone();
    assert_eq!((endpoint.node_id, endpoint.port), (2, 1));
    assert_eq!(endpoint.rack.as_deref(), Some("rack-2"));
    let told = one(told);
    assert_eq!(told.error_code, not_leader);
    let leader = (
        told.current_leader.leader_id,
        told.current_leader.leader_epoch,
    );
    assert_eq!(leader, (2, epoch(&rig, topic)));

    let copies = Ask::replica(&rig, 3, topic, 0).request("");
    let told = raw.call(LATEST, &copies);
    assert_eq!(
        told.node_endpoints.first().map(|node| node.node_id),
        Some(2)
    );
    let told = only(told);
    assert_eq!(
        told.error_code, not_leader,
        "only consumers read from followers"
    );
    assert_eq!(told.current_leader.leader_id, 2);
    let old = Ask::consumer(topic, 0).request("t");
    assert_eq!(
        only(raw.call(10, &old)).error_code,
        not_leader,
        "it knows leaders only"
    );
    let told = only(raw.call(BY_NAME, &old));
    assert_eq!((told.error_code, told.high_watermark), (0, 0));
    let mut ahead = Ask::consumer(topic, 7);
    let not_yet = ErrorCode::OffsetNotAvailable.code();
    assert_eq!(ahead.code(&mut raw), not_yet);
    ahead.last_epoch = 0;
    assert_eq!(
        ahead.code(&mut raw),
        not_yet,
        "a follower speaks of no divergence"
    );
}

#[test]
fn a_consumer_is_sent_to_the_replica_in_its_rack() {
    let (rig, _) = three(&[("replica.selector.class", "rack")]);
    let (mut producer, mut raw) = (rig.connect(), rig.connect());
    let topic = create(&mut raw, "t", &[NODE, 2]);
    assert_eq!(
        produce(&mut producer, topic, 100).0,
        ErrorCode::RequestTimedOut.code()
    );
    let mut near = Ask::consumer(topic, 0);
    let mut sent_to = |raw: &mut Raw, rack| {
        near.rack = rack;
        let told = near.of(raw);
        assert_eq!(told.error_code, 0);
        (told.preferred_read_replica, told.records.is_empty())
    };
    assert_eq!(
        sent_to(&mut raw, "rack-2"),
        (-1, true),
        "it has not fetched"
    );
    until("the leader has flushed", || {
        Ask::replica(&rig, 2, topic, 1).of(&mut raw).high_watermark == 1
    });
    assert_eq!(sent_to(&mut raw, "rack-2"), (2, true));
    for rack in ["", "rack-1", "rack-3"] {
        assert_eq!(sent_to(&mut raw, rack), (-1, false), "{rack}");
    }
    let mut ahead = Ask::consumer(topic, 2);
    ahead.rack = "rack-2";
    assert_eq!(
        ahead.of(&mut raw).preferred_read_replica,
        -1,
        "nor has it that"
    );
}

/// The end of the only partition as a consumer of this version is told it.
pub(crate) fn end(raw: &mut Raw, version: i16, name: &str, timestamp: i64) -> (i16, i64) {
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: name.to_owned(),
            partitions: vec![ListOffsetsPartition {
                partition_index: 0,
                timestamp,
                ..ListOffsetsPartition::default()
            }],
        }],
        ..ListOffsetsRequest::default()
    };
    let told = raw
        .call(version, &request)
        .topics
        .remove(0)
        .partitions
        .remove(0);
    (told.error_code, told.offset)
}

#[test]
fn a_new_leader_tells_no_end_before_it_knows_what_is_committed() {
    let (rig, _) = three(&[]);
    let (mut producer, mut raw) = (rig.connect(), rig.connect());
    let topic = create(&mut raw, "t", &[NODE, 2]);
    assert_eq!(
        produce(&mut producer, topic, 100).0,
        ErrorCode::RequestTimedOut.code()
    );
    assert_eq!(end(&mut raw, 11, "t", -1), (0, 0));
    fence_for_a_moment(&rig);
    assert_eq!(partition(&rig, topic).leader, Some(NodeId(2)));
    let not_leader = ErrorCode::NotLeaderOrFollower.code();
    until("it has stepped down", || {
        end(&mut raw, 11, "t", -1).0 == not_leader
    });
    set_isr(&rig, topic, &[NODE, 2]);
    let elected = rig.decide(ElectLeaders {
        unclean: false,
        partitions: Some(vec![PartitionName {
            topic: "t".to_owned(),
            partition: 0,
        }]),
    });
    assert_eq!(elected.len(), 1, "{elected:?}");
    until("it leads again", || {
        end(&mut raw, 11, "t", -1).0 != not_leader
    });
    assert_eq!(partition(&rig, topic).leader, Some(NodeId(NODE)));
    let not_yet = ErrorCode::OffsetNotAvailable.code();
    assert_eq!(end(&mut raw, 11, "t", -1), (not_yet, -1));
    assert_eq!(end(&mut raw, 11, "t", -3), (not_yet, -1), "the latest time");
    assert_eq!(end(&mut raw, 11, "t", 0), (not_yet, -1), "a time");
    assert_eq!(end(&mut raw, 11, "t", -2), (0, 0), "the start is known");
    assert_eq!(
        end(&mut raw, 4, "t", -1).0,
        ErrorCode::LeaderNotAvailable.code()
    );
    let mut fetch = Ask::replica(&rig, 2, topic, 1);
    fetch.last_epoch = 0;
    assert_eq!(fetch.of(&mut raw).high_watermark, 1);
    assert_eq!(end(&mut raw, 11, "t", -1), (0, 1));
}

/// The broker is fenced, loses what it led, and comes back.
fn fence_for_a_moment(rig: &Rig) {
    let image = rig.image();
    let broker = image.broker(NodeId(NODE)).expect("registered");
    for wants_fence in [true, false] {
        let mut word = heartbeat(NODE, broker.epoch, rig.image().version());
        word.wants_fence = wants_fence;
        rig.decide(word).expect("it is registered");
    }
}

#[test]
fn records_are_deleted_once_all_replicas_that_live_have_dropped_them() {
    let (rig, _) = three(&[]);
    let (mut admin, mut raw) = (rig.connect(), rig.connect());
    let topic = create(&mut raw, "t", &[NODE, 2]);
    assert_eq!(
        produce(&mut admin, topic, 100).0,
        ErrorCode::RequestTimedOut.code()
    );
    let copied = Ask::replica(&rig, 2, topic, 1);
    until("the leader has flushed", || {
        copied.of(&mut raw).high_watermark == 1
    });
    let request = |timeout_ms| DeleteRecordsRequest {
        timeout_ms,
        topics: vec![DeleteRecordsTopic {
            name: "t".to_owned(),
            partitions: vec![DeleteRecordsPartition {
                partition_index: 0,
                offset: -1,
            }],
        }],
    };
    let delete = |raw: &mut Raw, timeout_ms| {
        let told = raw
            .latest(&request(timeout_ms))
            .topics
            .remove(0)
            .partitions
            .remove(0);
        (told.error_code, told.low_watermark)
    };
    assert_eq!(
        delete(&mut admin, 50),
        (ErrorCode::RequestTimedOut.code(), 0)
    );
    std::thread::scope(|scope| {
        let waits = scope.spawn(move || delete(&mut admin, 20_000));
        assert_eq!(copied.of(&mut raw).log_start_offset, 1, "it is told");
        let mut dropped = copied.request("");
        dropped.topics[0].partitions[0].log_start_offset = 1;
        assert_eq!(only(raw.call(LATEST, &dropped)).error_code, 0);
        assert_eq!(waits.join().expect("it ended"), (0, 1));
    });
}

#[test]
fn a_replicas_session_hears_of_the_high_watermark_with_the_next_fetch() {
    let (rig, _) = three(&[]);
    let (mut producer, mut raw) = (rig.connect(), rig.connect());
    let topic = create(&mut raw, "t", &[NODE, 2, 3]);
    assert_eq!(
        produce(&mut producer, topic, 100).0,
        ErrorCode::RequestTimedOut.code()
    );
    let mut first = Ask::replica(&rig, 2, topic, 1).request("");
    first.session_epoch = 0;
    let told = raw.call(LATEST, &first);
    let session = told.session_id;
    assert_eq!((session != 0, only(told).high_watermark), (true, 0));
    let mut epoch = 0;
    let mut idle = || {
        epoch += 1;
        let mut request = first.clone();
        request.topics.clear();
        (request.session_id, request.session_epoch) = (session, epoch);
        request
    };
    assert!(raw.call(LATEST, &idle()).responses.is_empty(), "no news");
    let mut other = rig.connect();
    until("the leader has flushed", || {
        Ask::replica(&rig, 3, topic, 1)
            .of(&mut other)
            .high_watermark
            == 1
    });
    assert_eq!(only(raw.call(LATEST, &idle())).high_watermark, 1);
    assert!(
        raw.call(LATEST, &idle()).responses.is_empty(),
        "nothing new"
    );
    assert_eq!(
        produce(&mut producer, topic, 100).0,
        ErrorCode::RequestTimedOut.code()
    );
    assert!(!only(raw.call(LATEST, &idle())).records.is_empty());
}

#[test]
fn copies_that_are_missing_are_counted() {
    let (rig, _) = three(&[("min.insync.replicas", "2")]);
    let mut raw = rig.connect();
    let topic = create(&mut raw, "t", &[NODE, 2, 3]);
    create(&mut raw, "others", &[2, 3]);
    let has = |expected: &str| {
        let (_, page) = rig.page("/metrics");
        page.lines().any(|line| line == expected)
    };
    for line in [
        "freshet_leaders 1",
        "freshet_under_replicated_partitions 0",
        "freshet_active_brokers 3",
        "freshet_active_controller 1",
        "freshet_offline_partitions 0",
    ] {
        assert!(has(line), "{line}");
    }
    set_isr(&rig, topic, &[NODE, 2]);
    until("one is missing", || {
        has("freshet_under_replicated_partitions 1")
    });
    assert!(has("freshet_at_min_isr_partitions 1"));
    assert!(has("freshet_under_min_isr_partitions 0"));
    assert!(has("freshet_isr_shrinks_total 1"));
    set_isr(&rig, topic, &[NODE]);
    until("two are missing", || {
        has("freshet_under_min_isr_partitions 1")
    });
    assert_eq!(
        produce(&mut raw, topic, 100).0,
        ErrorCode::NotEnoughReplicas.code()
    );
    set_isr(&rig, topic, &[NODE, 2, 3]);
    until("all are back", || {
        has("freshet_under_replicated_partitions 0")
    });
    assert!(has("freshet_isr_expands_total 1"));
}

#[test]
fn a_throttled_leader_holds_back_replicas_out_of_sync() {
    let (rig, _) = three(&[]);
    let (mut producer, mut raw) = (rig.connect(), rig.connect());
    let topic = create(&mut raw, "t", &[NODE, 2, 3]);
    set_isr(&rig, topic, &[NODE, 2]);
    let late = ErrorCode::RequestTimedOut.code();
    assert_eq!(produce(&mut producer, topic, 100).0, late);
    let gets = |raw: &mut Raw, node| {
        let told = Ask::replica(&rig, node, topic, 0).of(raw);
        assert_eq!(told.error_code, 0);
        !told.records.is_empty()
    };
    assert!(gets(&mut raw, 3));
    let set = |target, name: &str, value: &str| {
        let edit = ConfigEdit {
            name: name.to_owned(),
            op: ConfigOp::Set,
            value: Some(value.to_owned()),
        };
        let outcome = rig.decide(AlterConfigs {
            resources: vec![AlterResource {
                target,
                change: ConfigChange::Edit(vec![edit]),
            }],
            validate_only: false,
        });
        assert!(outcome.iter().all(Result::is_ok), "{outcome:?}");
    };
    let of_topic = ConfigTarget::Topic("t".to_owned());
    set(of_topic, "leader.replication.throttled.replicas", "0:1");
    set(
        ConfigTarget::Cluster,
        "leader.replication.throttled.rate",
        "1",
    );
    gets(&mut raw, 3);
    until("the rate is used up", || !gets(&mut raw, 3));
    assert!(gets(&mut raw, 2), "who is in sync is not held");
    let end = Ask::replica(&rig, 3, topic, 1).of(&mut raw);
    assert_eq!(end.error_code, 0, "and who is held is heard");
}

#[test]
fn a_group_is_found_where_its_partition_is_led() {
    let (rig, _) = three(&[]);
    let created = rig.decide(CreateTopics {
        topics: vec![NewTopic {
            name: "__consumer_offsets".to_owned(),
            id: TopicId([9; 16]),
            partitions: -1,
            replication_factor: -1,
            assignments: vec![(0, vec![NodeId(2), NodeId(NODE)])],
            configs: Vec::new(),
        }],
        validate_only: false,
    });
    assert!(created.iter().all(Result::is_ok), "{created:?}");
    let mut raw = rig.connect();
    let found = raw.latest(&FindCoordinatorRequest {
        coordinator_keys: vec!["g".to_owned()],
        ..FindCoordinatorRequest::default()
    });
    let found = &found.coordinators[0];
    assert_eq!((found.error_code, found.node_id, found.port), (0, 2, 1));
    let beat = HeartbeatRequest {
        group_id: "g".to_owned(),
        ..HeartbeatRequest::default()
    };
    let not_here = ErrorCode::NotCoordinator.code();
    assert_eq!(raw.latest(&beat).error_code, not_here);
    let mut word = heartbeat(
        2,
        rig.image().broker(NodeId(2)).expect("registered").epoch,
        0,
    );
    (word.version, word.wants_fence) = (rig.image().version(), true);
    rig.decide(word).expect("it is registered");
    let unknown = ErrorCode::UnknownMemberId.code();
    until("the shard is loaded here", || {
        raw.latest(&beat).error_code == unknown
    });
}

#[test]
fn produces_under_way_are_answered_in_order_and_in_time() {
    let (rig, _) = three(&[]);
    let mut raw = rig.connect();
    let both = create(&mut raw, "both", &[NODE, 2]);
    let alone = create(&mut raw, "alone", &[NODE]);
    let start = Instant::now();
    let sent = [both, alone, both].map(|topic| raw.send(&produce_request(topic, 400)));
    let told = sent.map(|id| one(raw.receive::<ProduceRequest>(id)));
    let late = ErrorCode::RequestTimedOut.code();
    assert_eq!(told.map(|told| told.error_code), [late, 0, late]);
    assert!(start.elapsed() < Duration::from_secs(5));
    until("the leader has flushed", || {
        Ask::replica(&rig, 2, both, 2)
            .of(&mut rig.connect())
            .high_watermark
            == 2
    });
    assert_eq!(
        produce(&mut raw, alone, 5000).0,
        0,
        "nothing late comes in between"
    );
}
