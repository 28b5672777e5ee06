//! A cluster of three as its administrators see it. The other two are there only on paper: they are
//! registered and alive, and copy nothing, so that what waits for them goes on waiting.

use std::sync::Arc;
use std::time::Duration;

use freshet_metadata::{AlterPartitions, DirectoryId, Heartbeat, ProposedIsr};
use freshet_quorum::{Endpoint, Peer, PeerId, QuorumStatus, ReplicaStatus, VotersError};
use freshet_server::{QuorumFace, RoundTrips, VotersAnswer};
use freshet_types::{NodeId, Timestamp, TopicId, TopicPartition};
use freshet_wire::alter_partition_reassignments::{ReassignablePartition, ReassignableTopic};
use freshet_wire::create_topics::{CreatableReplicaAssignment, CreatableTopic};
use freshet_wire::delete_topics::DeleteTopicState;
use freshet_wire::elect_leaders::TopicPartitions;
use freshet_wire::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use freshet_wire::list_partition_reassignments::OngoingPartitionReassignment;
use freshet_wire::{
    AddRaftVoterRequest, AlterPartitionReassignmentsRequest, ApiVersionsRequest,
    CreateTopicsRequest, DeleteTopicsRequest, DescribeClusterRequest, DescribeLogDirsRequest,
    DescribeQuorumRequest, ElectLeadersRequest, ErrorCode, IncrementalAlterConfigsRequest,
    ListPartitionReassignmentsRequest, RemoveRaftVoterRequest, UnregisterBrokerRequest,
    add_raft_voter, describe_quorum,
};
use parking_lot::Mutex;

use crate::replicas::until;
use crate::rig::{NODE, Raw, Rig, Surroundings, heartbeat};

fn three() -> Rig {
    let surroundings = Surroundings {
        others: vec![2, 3],
        ..Surroundings::default()
    };
    // So that who leaves the set in sync does not stay eligible.
    Rig::among(&[("min.insync.replicas", "1")], &surroundings)
}

#[track_caller]
fn expect(told: i16, wanted: ErrorCode) {
    assert_eq!(ErrorCode::from_code(told), Some(wanted));
}

/// Creates a topic with one partition on these brokers.
fn create_on(raw: &mut Raw, topic: &str, replicas: &[i32]) -> TopicPartition {
    let assignment = CreatableReplicaAssignment {
        partition_index: 0,
        broker_ids: replicas.to_vec(),
    };
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: topic.to_owned(),
            num_partitions: -1,
            replication_factor: -1,
            assignments: vec![assignment],
            ..CreatableTopic::default()
        }],
        ..CreateTopicsRequest::default()
    };
    let told = raw.latest(&request).topics.remove(0);
    expect(told.error_code, ErrorCode::None);
    TopicPartition {
        topic: told.topic_id,
        partition: 0,
    }
}

/// As `freshet cluster restore` asks: by tags that no other client sends.
#[test]
fn topics_come_back_as_they_were() {
    let rig = Rig::start(&[]);
    let mut raw = rig.connect();
    let id = TopicId([7; 16]);
    let before = rig.image().version();
    let floor = before + 1_000_000;
    let topic = |name: &str, restored_id, restored_epoch| CreatableTopic {
        name: name.to_owned(),
        num_partitions: 2,
        replication_factor: 1,
        restored_id,
        restored_epoch,
        ..CreatableTopic::default()
    };
    let ask = |validate_only| CreateTopicsRequest {
        topics: vec![topic("was", id, 41), topic("new", TopicId::ZERO, 0)],
        validate_only,
        restored_version: i64::try_from(floor).unwrap(),
        restored_producer_id: 9_000,
        ..CreateTopicsRequest::default()
    };
    let told = raw.latest(&ask(true));
    assert!(
        told.topics.iter().all(|topic| topic.error_code == 0),
        "{told:?}"
    );
    assert_eq!(rig.image().version(), before);
    let told = raw.latest(&ask(false));
    assert_eq!(told.topics[0].topic_id, id, "{told:?}");
    let image = rig.image();
    let epochs = |name: &str| -> Vec<i32> {
        let topic = image.topic(name).unwrap();
        topic.partitions.iter().map(|it| it.leader_epoch).collect()
    };
    assert_eq!((epochs("was"), epochs("new")), (vec![41, 41], vec![0, 0]));
    assert!(image.version() > floor && image.next_producer_id() >= 9_000);
    let told = raw.latest(&ask(false));
    expect(told.topics[0].error_code, ErrorCode::TopicAlreadyExists);
}

fn reassign(raw: &mut Raw, topic: &str, replicas: Option<&[i32]>, allow: bool) -> i16 {
    let partition = ReassignablePartition {
        partition_index: 0,
        replicas: replicas.map(<[i32]>::to_vec),
    };
    let request = AlterPartitionReassignmentsRequest {
        allow_replication_factor_change: allow,
        topics: vec![ReassignableTopic {
            name: topic.to_owned(),
            partitions: vec![partition],
        }],
        ..AlterPartitionReassignmentsRequest::default()
    };
    let told = raw.latest(&request);
    expect(told.error_code, ErrorCode::None);
    assert_eq!(told.allow_replication_factor_change, allow);
    told.responses[0].partitions[0].error_code
}

fn moving(raw: &mut Raw) -> Vec<OngoingPartitionReassignment> {
    let request = ListPartitionReassignmentsRequest {
        topics: None,
        ..ListPartitionReassignmentsRequest::default()
    };
    let told = raw.latest(&request);
    expect(told.error_code, ErrorCode::None);
    told.topics.into_iter().flat_map(|t| t.partitions).collect()
}

/// Says for the leader that these are in sync.
fn in_sync(rig: &Rig, at: TopicPartition, isr: &[i32]) {
    let image = rig.image();
    let partition = image.partition(at).expect("it is there");
    let leader = partition.leader.expect("it has a leader");
    let outcome = rig.decide(AlterPartitions {
        node: leader,
        broker_epoch: image.broker(leader).expect("it is registered").epoch,
        partitions: vec![ProposedIsr {
            at,
            leader_epoch: partition.leader_epoch,
            partition_epoch: partition.partition_epoch,
            isr: isr.iter().map(|node| (NodeId(*node), -1)).collect(),
        }],
    });
    for outcome in outcome.expect("the leader may ask") {
        outcome.expect("they may be in sync");
    }
}

/// Says for a broker that it is well, or that it is not ready.
fn beat(rig: &Rig, node: i32, wants_fence: bool) {
    let image = rig.image();
    let epoch = image.broker(NodeId(node)).expect("it is registered").epoch;
    let state = rig.decide(Heartbeat {
        wants_fence,
        ..heartbeat(node, epoch, image.version())
    });
    assert_eq!(state.expect("it is registered").fenced, wants_fence);
}

#[test]
fn a_partition_moves_and_the_move_is_listed_until_it_is_done() {
    let rig = three();
    let mut raw = rig.connect();
    let at = create_on(&mut raw, "t", &[1]);
    expect(reassign(&mut raw, "t", Some(&[2]), false), ErrorCode::None);
    let expected = OngoingPartitionReassignment {
        partition_index: 0,
        replicas: vec![2, 1],
        adding_replicas: vec![2],
        removing_replicas: vec![1],
    };
    assert_eq!(moving(&mut raw), [expected]);
    in_sync(&rig, at, &[1, 2]);
    assert_eq!(moving(&mut raw), []);
    assert_eq!(rig.image().partition(at).unwrap().replicas, [NodeId(2)]);
}

#[test]
fn a_move_can_be_cancelled_and_the_factor_held() {
    let rig = three();
    let mut raw = rig.connect();
    create_on(&mut raw, "t", &[1, 2]);
    let told = reassign(&mut raw, "t", Some(&[1, 2, 3]), false);
    expect(told, ErrorCode::InvalidReplicationFactor);
    let told = reassign(&mut raw, "t", Some(&[1, 1]), true);
    expect(told, ErrorCode::InvalidReplicaAssignment);
    let told = reassign(&mut raw, "t", Some(&[]), true);
    expect(told, ErrorCode::InvalidReplicaAssignment);
    expect(
        reassign(&mut raw, "t", Some(&[1, 2, 3]), true),
        ErrorCode::None,
    );
    assert_eq!(moving(&mut raw).len(), 1);
    expect(reassign(&mut raw, "t", None, true), ErrorCode::None);
    assert_eq!(moving(&mut raw), []);
}

#[test]
fn the_preferred_leader_comes_back_on_request() {
    let rig = three();
    let mut raw = rig.connect();
    let at = create_on(&mut raw, "t", &[2, 1]);
    let leader = |rig: &Rig| rig.image().partition(at).unwrap().leader;
    let elect = |raw: &mut Raw, election_type| {
        let named = TopicPartitions {
            topic: "t".to_owned(),
            partitions: vec![0],
        };
        let request = ElectLeadersRequest {
            election_type,
            topic_partitions: Some(vec![named]),
            ..ElectLeadersRequest::default()
        };
        let told = raw.latest(&request);
        expect(told.error_code, ErrorCode::None);
        told.replica_election_results[0].partition_result[0].error_code
    };
    assert_eq!(leader(&rig), Some(NodeId(2)));
    beat(&rig, 2, true);
    assert_eq!(leader(&rig), Some(NodeId(1)));
    expect(elect(&mut raw, 0), ErrorCode::PreferredLeaderNotAvailable);
    beat(&rig, 2, false);
    in_sync(&rig, at, &[1, 2]);
    expect(elect(&mut raw, 0), ErrorCode::None);
    assert_eq!(leader(&rig), Some(NodeId(2)));
    expect(elect(&mut raw, 0), ErrorCode::ElectionNotNeeded);
}

#[test]
fn an_unclean_election_is_only_for_those_without_a_leader() {
    let rig = three();
    let mut raw = rig.connect();
    let at = create_on(&mut raw, "t", &[2, 1]);
    in_sync(&rig, at, &[2]);
    beat(&rig, 2, true);
    assert_eq!(rig.image().partition(at).unwrap().leader, None);
    let request = ElectLeadersRequest {
        election_type: 1,
        topic_partitions: None,
        ..ElectLeadersRequest::default()
    };
    let told = raw.latest(&request).replica_election_results;
    assert_eq!(told.len(), 1, "only one needs it");
    expect(told[0].partition_result[0].error_code, ErrorCode::None);
    assert_eq!(
        rig.image().unclean_elections().count(),
        1,
        "it is on record"
    );
    until("it is counted", || {
        let (_, page) = rig.page("/metrics");
        page.contains("\nfreshet_unclean_leader_elections_total 1\n")
    });
}

#[test]
fn what_may_have_been_lost_is_told_by_name() {
    let rig = three();
    let mut raw = rig.connect();
    let at = create_on(&mut raw, "t", &[2, 1]);
    let page = || -> serde_json::Value {
        let (status, body) = rig.page("/admin/unclean-elections");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("JSON")
    };
    let none = serde_json::json!({ "count": 0, "elections": [] });
    assert_eq!(page(), none);
    in_sync(&rig, at, &[2]);
    beat(&rig, 2, true);
    let elect = ElectLeadersRequest {
        election_type: 1,
        topic_partitions: None,
        ..ElectLeadersRequest::default()
    };
    raw.latest(&elect);
    let partition = rig.image().partition(at).cloned().expect("it is there");
    let told = page();
    let election = &told["elections"][0];
    let expected = serde_json::json!({
        "topic": "t",
        "topic_id": at.topic.to_string(),
        "partition": 0,
        "leader": 1,
        "leader_epoch": partition.leader_epoch,
        "cause": "request",
        "timestamp_ms": election["timestamp_ms"],
    });
    assert_eq!((&told["count"], election), (&1.into(), &expected));
    let request = DescribeClusterRequest {
        include_unclean_elections: true,
        ..DescribeClusterRequest::default()
    };
    let told = raw.latest(&request).unclean_elections.remove(0);
    assert_eq!((told.topic.as_deref(), told.leader_id), (Some("t"), 1));
    assert_eq!(told.cause, 1);
    assert_eq!(
        serde_json::json!(told.timestamp_ms),
        election["timestamp_ms"]
    );
    let others = raw.latest(&DescribeClusterRequest::default());
    assert_eq!(others.unclean_elections, [], "nobody asked");
    // The topic goes, the record stays.
    let delete = DeleteTopicsRequest {
        topics: vec![DeleteTopicState {
            name: Some("t".to_owned()),
            ..DeleteTopicState::default()
        }],
        timeout_ms: 10_000,
        ..DeleteTopicsRequest::default()
    };
    expect(raw.latest(&delete).responses[0].error_code, ErrorCode::None);
    let election = &page()["elections"][0];
    assert_eq!(election["topic"], serde_json::Value::Null);
    assert_eq!(election["topic_id"], at.topic.to_string());
}

#[test]
fn a_broker_that_lives_cannot_be_unregistered() {
    let rig = three();
    let mut raw = rig.connect();
    let mut unregister = |node| {
        let request = UnregisterBrokerRequest { broker_id: node };
        raw.latest(&request).error_code
    };
    expect(unregister(3), ErrorCode::PolicyViolation);
    expect(unregister(9), ErrorCode::BrokerIdNotRegistered);
    assert!(rig.image().broker(NodeId(3)).is_some());
}

#[test]
fn a_broker_is_cordoned_by_a_setting_that_kafkas_tools_know() {
    let rig = three();
    let mut raw = rig.connect();
    let mut set = |node: i32, operation, value: &str| {
        let config = AlterableConfig {
            name: "cordoned.log.dirs".to_owned(),
            config_operation: operation,
            value: Some(value.to_owned()),
        };
        let request = IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type: 4,
                resource_name: node.to_string(),
                configs: vec![config],
            }],
            validate_only: false,
        };
        expect(
            raw.latest(&request).responses[0].error_code,
            ErrorCode::None,
        );
        rig.image().broker(NodeId(node)).unwrap().cordoned
    };
    assert!(set(2, 0, "*"));
    assert!(set(NODE, 0, "*"));
    let mut raw_dirs = rig.connect();
    let mut shown = || {
        let request = DescribeLogDirsRequest { topics: None };
        raw_dirs.latest(&request).results[0].is_cordoned
    };
    assert!(shown());
    assert!(!set(NODE, 1, ""));
    assert!(!shown());
    // With two that take replicas, three replicas are too many.
    let mut raw = rig.connect();
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: "t".to_owned(),
            num_partitions: 1,
            replication_factor: 3,
            ..CreatableTopic::default()
        }],
        ..CreateTopicsRequest::default()
    };
    let told = raw.latest(&request).topics.remove(0);
    expect(told.error_code, ErrorCode::InvalidReplicationFactor);
}

#[test]
fn only_features_that_are_true_are_told() {
    let told = |rig: &Rig| {
        let request = ApiVersionsRequest {
            client_software_name: "test".to_owned(),
            client_software_version: "1".to_owned(),
            ..ApiVersionsRequest::default()
        };
        let told = rig.connect().call(4, &request);
        let names = |name: &String| name.clone();
        let finalized: Vec<_> = told
            .finalized_features
            .iter()
            .map(|f| names(&f.name))
            .collect();
        let supported: Vec<_> = told
            .supported_features
            .iter()
            .map(|f| names(&f.name))
            .collect();
        assert_eq!(finalized, supported);
        assert!(told.finalized_features_epoch >= 0);
        finalized
    };
    let alone = [
        "eligible.leader.replicas.version",
        "freshet.metadata.version",
    ];
    assert_eq!(told(&Rig::start(&[])), alone);
    let surroundings = Surroundings {
        voters: Some(Arc::new(Voters::default())),
        ..Surroundings::default()
    };
    let rig = Rig::among(&[], &surroundings);
    assert_eq!(told(&rig), [alone[0], alone[1], "kraft.version"]);
}

#[test]
fn a_restart_says_what_it_risks_and_when_it_is_over() {
    let rig = three();
    let mut raw = rig.connect();
    let state = |path| {
        let (status, body) = rig.page(path);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<serde_json::Value>(&body).expect("JSON")
    };
    assert_eq!(state("/admin/pre-restart")["safe"], true);
    let at = create_on(&mut raw, "shared", &[1, 2]);
    assert_eq!(state("/admin/pre-restart")["safe"], true);
    create_on(&mut raw, "alone", &[1]);
    let told = state("/admin/pre-restart");
    assert_eq!(told["safe"], false);
    assert_eq!(told["counts"]["last-copy"], 1);
    assert_eq!(told["risks"][0]["topic"], "alone");
    assert_eq!(told["risks"][0]["risk"], "last-copy");
    assert_eq!(state("/admin/post-restart")["in_sync"], true);
    beat(&rig, NODE, true);
    let told = state("/admin/post-restart");
    assert_eq!(
        (&told["in_sync"], &told["fenced"]),
        (&false.into(), &true.into())
    );
    beat(&rig, NODE, false);
    let told = state("/admin/post-restart");
    assert_eq!(
        (&told["count"], &told["lagging"][0]["topic"]),
        (&1.into(), &"shared".into())
    );
    in_sync(&rig, at, &[1, 2]);
    let told = state("/admin/post-restart");
    assert_eq!(
        (&told["in_sync"], &told["unwell"]),
        (&true.into(), &false.into())
    );
    let image = rig.image();
    let me = image.broker(NodeId(NODE)).expect("it is registered");
    let full = rig.decide(Heartbeat {
        full_directories: vec![DirectoryId([7; 16])],
        ..heartbeat(NODE, me.epoch, image.version())
    });
    full.expect("it is registered");
    assert_eq!(state("/admin/post-restart")["unwell"], true);
    assert_eq!(rig.page("/admin/nothing").0, 404);
}

#[test]
fn several_that_stop_together_are_judged_together() {
    let rig = three();
    let mut raw = rig.connect();
    let ask = |with: &str| {
        let (status, body) = rig.page(&format!("/admin/pre-restart?{with}"));
        let told: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        (status, told)
    };
    create_on(&mut raw, "pair", &[1, 2]);
    let (status, told) = ask("with=3");
    assert_eq!((status, &told["safe"]), (200, &true.into()));
    assert_eq!(told["with"], serde_json::json!([3]));
    let (_, told) = ask("with=3,2,1");
    assert_eq!(told["safe"], false);
    assert_eq!(told["counts"]["last-copy"], 1);
    assert_eq!(told["lasting"], 0, "one by one they may");
    assert_eq!(told["with"], serde_json::json!([1, 2, 3]));
    for bad in ["with=9", "with=two", "with=", "when=2", "with=2&with=3"] {
        let (status, told) = ask(bad);
        assert_eq!(status, 400, "{bad}");
        assert!(told["error"].is_string(), "{bad}: {told}");
    }
}

#[test]
fn a_cluster_of_many_partitions_is_counted_and_not_listed() {
    let rig = three();
    let mut raw = rig.connect();
    let assignments = (0..300).map(|partition_index| CreatableReplicaAssignment {
        partition_index,
        broker_ids: vec![1],
    });
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: "many".to_owned(),
            num_partitions: -1,
            replication_factor: -1,
            assignments: assignments.collect(),
            ..CreatableTopic::default()
        }],
        ..CreateTopicsRequest::default()
    };
    expect(raw.latest(&request).topics[0].error_code, ErrorCode::None);
    let (_, body) = rig.page("/admin/pre-restart");
    let told: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(told["counts"]["last-copy"], 300);
    assert_eq!(told["risks"].as_array().map(Vec::len), Some(100));
}

/// A quorum that does what it is told.
#[derive(Default)]
struct Voters {
    all: Mutex<Vec<Peer>>,
    /// Those who listen, and when they were heard, in the milliseconds of the leader's clock.
    listeners: Mutex<Vec<(Peer, i64)>>,
}

/// What the leader of [`Voters`] takes for now.
const NOW: i64 = 50_000;

impl QuorumFace for Voters {
    fn status(&self) -> VotersAnswer<'_, QuorumStatus> {
        let replica = |(peer, heard): (&Peer, i64)| ReplicaStatus {
            peer: peer.clone(),
            log_end_offset: 7,
            last_fetch: Some(Timestamp(heard)),
            last_caught_up: None,
        };
        let all = self.all.lock();
        let listeners = self.listeners.lock();
        let status = QuorumStatus {
            leader: Some(NodeId(1)),
            epoch: 3,
            high_watermark: 7,
            voters: all.iter().map(|peer| replica((peer, NOW))).collect(),
            observers: listeners
                .iter()
                .map(|(peer, heard)| replica((peer, *heard)))
                .collect(),
        };
        Box::pin(std::future::ready(Ok(status)))
    }

    fn round_trips(&self) -> Option<RoundTrips> {
        let far = (NodeId(3), Duration::from_millis(130));
        Some(RoundTrips {
            limit: Duration::from_millis(100),
            usual: vec![far],
        })
    }

    fn add(&self, peer: Peer, _: bool) -> VotersAnswer<'_, ()> {
        self.all.lock().push(peer);
        Box::pin(std::future::ready(Ok(())))
    }

    fn remove(&self, id: PeerId) -> VotersAnswer<'_, ()> {
        let mut all = self.all.lock();
        let mut listeners = self.listeners.lock();
        let outcome = if listeners.iter().any(|(peer, _)| peer.id == id) {
            listeners.retain(|(peer, _)| peer.id != id);
            Ok(())
        } else if all.len() == 1 {
            Err(VotersError::OnlyVoter(id))
        } else {
            all.retain(|peer| peer.id != id);
            Ok(())
        };
        Box::pin(std::future::ready(outcome))
    }
}

#[test]
fn a_controller_that_is_no_broker_is_forgotten_when_it_is_silent() {
    let peer = |node| Peer {
        id: PeerId {
            node: NodeId(node),
            directory: TopicId([7; 16]),
        },
        endpoints: Vec::new(),
    };
    let voters = Arc::new(Voters::default());
    voters.all.lock().push(peer(1));
    let (silent, heard) = ((peer(8), NOW - 10_000), (peer(9), NOW - 9_999));
    *voters.listeners.lock() = vec![silent, heard.clone()];
    let surroundings = Surroundings {
        voters: Some(voters.clone()),
        ..Surroundings::default()
    };
    let rig = Rig::among(&[], &surroundings);
    let mut raw = rig.connect();
    let mut unregister = |broker_id| {
        let request = UnregisterBrokerRequest { broker_id };
        raw.latest(&request).error_code
    };
    expect(unregister(8), ErrorCode::None);
    expect(unregister(8), ErrorCode::BrokerIdNotRegistered);
    expect(unregister(9), ErrorCode::PolicyViolation);
    assert_eq!(*voters.listeners.lock(), [heard]);
}

#[test]
fn how_far_controllers_are_from_each_other_is_told() {
    let surroundings = Surroundings {
        voters: Some(Arc::new(Voters::default())),
        ..Surroundings::default()
    };
    let far = Rig::among(&[], &surroundings).page("/metrics").1;
    let samples = far
        .lines()
        .filter(|line| line.starts_with("freshet_quorum_"));
    let told = [
        "freshet_quorum_round_trip_limit_seconds 0.1",
        "freshet_quorum_round_trip_seconds{peer=\"3\"} 0.13",
    ];
    assert_eq!(samples.collect::<Vec<_>>(), told);
    let alone = Rig::among(&[], &Surroundings::default()).page("/metrics").1;
    assert!(!alone.contains("freshet_quorum_"), "{alone}");
}

#[test]
fn voters_come_and_go() {
    let voters = Arc::new(Voters::default());
    let surroundings = Surroundings {
        voters: Some(voters.clone()),
        ..Surroundings::default()
    };
    let rig = Rig::among(&[], &surroundings);
    let mut raw = rig.connect();
    let mut add = |voter_id| {
        let listener = add_raft_voter::Listener {
            name: "CONTROLLER".to_owned(),
            host: "h".to_owned(),
            port: 9093,
        };
        let request = AddRaftVoterRequest {
            timeout_ms: 1_000,
            voter_id,
            voter_directory_id: [9; 16],
            listeners: vec![listener],
            ..AddRaftVoterRequest::default()
        };
        raw.latest(&request).error_code
    };
    expect(add(1), ErrorCode::None);
    expect(add(2), ErrorCode::None);
    expect(add(2), ErrorCode::DuplicateVoter);
    let endpoint = Endpoint {
        name: "CONTROLLER".to_owned(),
        host: "h".to_owned(),
        port: 9093,
    };
    assert_eq!(voters.all.lock()[1].endpoints, [endpoint]);
    let request = DescribeQuorumRequest {
        topics: vec![describe_quorum::TopicData {
            topic_name: "__cluster_metadata".to_owned(),
            partitions: vec![describe_quorum::PartitionData { partition_index: 0 }],
        }],
    };
    let told = raw.latest(&request);
    assert_eq!(told.nodes[1].listeners[0].port, 9093);
    let quorum = &told.topics[0].partitions[0];
    assert_eq!((quorum.leader_epoch, quorum.high_watermark), (3, 7));
    assert_eq!(quorum.current_voters[1].replica_directory_id, [9; 16]);
    assert_eq!(quorum.current_voters[1].last_caught_up_timestamp, -1);
    let mut remove = |voter_id, directory| {
        let request = RemoveRaftVoterRequest {
            voter_id,
            voter_directory_id: directory,
            ..RemoveRaftVoterRequest::default()
        };
        raw.latest(&request).error_code
    };
    expect(remove(2, TopicId::ZERO.0), ErrorCode::VoterNotFound);
    expect(remove(2, [9; 16]), ErrorCode::None);
    expect(remove(1, [9; 16]), ErrorCode::InvalidRequest);
}
