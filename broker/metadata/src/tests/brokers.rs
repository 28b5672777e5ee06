//! The life of brokers.

use super::*;

fn another(node: i32, past: PastLife) -> RegisterBroker {
    RegisterBroker {
        incarnation: [0xee; 16],
        past,
        ..broker(node)
    }
}

fn epoch(cluster: &Cluster, node: i32) -> i64 {
    cluster.image().broker(NodeId(node)).unwrap().epoch
}

fn fenced(cluster: &Cluster, node: i32) -> bool {
    cluster.image().broker(NodeId(node)).unwrap().fenced
}

#[test]
fn a_broker_is_let_in_once_it_has_seen_its_registration() {
    let options = MetadataOptions::of_cluster(statics(&[]), SessionOptions::default());
    let mut cluster = Cluster::of_options(options);
    cluster.ask(broker(1)).unwrap();
    assert!(fenced(&cluster, 1));
    let mut early = cluster.heartbeat(1);
    early.version = 0;
    let state = cluster.ask(early).unwrap();
    assert_eq!((state.caught_up, state.fenced), (false, true));
    let waits = Heartbeat {
        wants_fence: true,
        ..cluster.heartbeat(1)
    };
    let state = cluster.ask(waits).unwrap();
    assert_eq!((state.caught_up, state.fenced), (true, true));
    let state = cluster.beat(1);
    assert_eq!(
        (state.caught_up, state.fenced, state.may_stop),
        (true, false, false)
    );
    assert_eq!(cluster.records.len(), 1);
    cluster.beat(1);
    assert!(cluster.records.is_empty(), "heartbeats are no records");
}

#[test]
fn heartbeats_of_others_are_refused() {
    let mut cluster = Cluster::watched(1);
    let mut beat = cluster.heartbeat(1);
    beat.epoch -= 1;
    let refused = cluster.ask(beat.clone()).unwrap_err();
    assert!(matches!(refused, MetadataError::StaleBroker { .. }));
    assert_eq!(refused.kind(), ErrorKind::Fenced);
    beat.node = NodeId(9);
    let refused = cluster.ask(beat).unwrap_err();
    assert_eq!(refused, MetadataError::UnknownBroker { node: NodeId(9) });
}

#[test]
fn a_silent_broker_is_fenced_within_its_session_and_not_before() {
    let mut cluster = Cluster::watched(3);
    cluster.create_on("t", &[&[1, 2, 3], &[2, 3, 1], &[1, 2, 3]]);
    cluster.set(ConfigTarget::Topic("t".into()), "min.insync.replicas", "2");
    cluster.beat_all(&[1, 2, 3]);
    // A process that stands still for half a second is not dead.
    cluster.pass(500);
    cluster.beat_all(&[1, 2, 3]);
    cluster.pass(600);
    cluster.beat_all(&[2, 3]);
    cluster.pass(399);
    assert!(cluster.records.is_empty() && !fenced(&cluster, 1));
    cluster.pass(1);
    assert!(fenced(&cluster, 1));
    // The broker, and one record for each partition that it kept.
    assert_eq!(cluster.records.len(), 4);
    for number in [0, 2] {
        let partition = cluster.partition("t", number);
        assert_eq!(
            (partition.leader, partition.leader_epoch),
            (Some(NodeId(2)), 1)
        );
        assert_eq!(partition.isr, nodes(&[2, 3]));
    }
    assert_eq!(cluster.partition("t", 1).leader_epoch, 0);
    // It comes back: let in, and leads again only when it is in sync.
    let state = cluster.beat(1);
    assert!(!state.fenced);
    assert_eq!(cluster.partition("t", 0).leader, Some(NodeId(2)));
}

#[test]
fn work_on_a_dead_broker_is_that_of_its_partitions() {
    let mut cluster = Cluster::watched(3);
    cluster.create_on("mine", &[&[1]]);
    cluster.create_on("theirs", &[&[2], &[3]]);
    cluster.create_on("both", &[&[2, 3]]);
    cluster.second(&[2, 3]);
    assert_eq!(cluster.records.len(), 2, "{:?}", cluster.records);
    let partition = cluster.partition("mine", 0);
    assert_eq!((partition.leader, &partition.isr), (None, &vec![]));
    assert_eq!(partition.eligible, nodes(&[1]));
    cluster.beat(1);
    assert_eq!(cluster.partition("mine", 0).leader, Some(NodeId(1)));
    assert_eq!(cluster.partition("mine", 0).leader_epoch, 2);
}

#[test]
fn a_controller_that_stood_still_fences_nobody() {
    let mut cluster = Cluster::watched(2);
    let due = cluster.next_timer().unwrap();
    // The timer fires three seconds late: the heartbeats are waiting to be read.
    cluster.timers.remove(&due.0);
    cluster.now.monotonic = due.1 + 3_000;
    let decision = cluster.machine.fire(cluster.now, due.0);
    assert!(decision.records.is_empty());
    cluster.absorb(decision);
    cluster.pass(999);
    assert!(cluster.records.is_empty());
    cluster.pass(1);
    assert!(fenced(&cluster, 1) && fenced(&cluster, 2));
}

#[test]
fn a_controller_that_is_always_late_still_fences() {
    let mut cluster = Cluster::watched(1);
    for fences in [false, true] {
        let (key, at) = cluster.next_timer().unwrap();
        cluster.timers.remove(&key);
        cluster.now.monotonic = at + 400;
        let decision = cluster.machine.fire(cluster.now, key);
        cluster.absorb(decision);
        assert_eq!(fenced(&cluster, 1), fences);
    }
}

#[test]
fn a_copy_in_a_lost_directory_does_not_lead_from_another() {
    let mut cluster = Cluster::watched(1);
    let (a, b) = (DirectoryId([0xa; 16]), DirectoryId([0xb; 16]));
    cluster
        .ask(RegisterBroker {
            directories: vec![a, b],
            ..broker(1)
        })
        .unwrap();
    let topic = cluster.create_on("t", &[&[1]]);
    let (kept, other) = match cluster.partition("t", 0).directories[0] == a {
        true => (a, b),
        false => (b, a),
    };
    let failed = Heartbeat {
        offline_directories: vec![kept],
        ..cluster.heartbeat(1)
    };
    cluster.ask(failed).unwrap();
    assert_eq!(cluster.partition("t", 0).eligible, nodes(&[1]));
    let at = freshet_types::TopicPartition {
        topic,
        partition: 0,
    };
    let assign = AssignDirectories {
        node: NodeId(1),
        broker_epoch: epoch(&cluster, 1),
        replicas: vec![AssignedPartition {
            at,
            directory: other,
            whole: false,
        }],
    };
    assert_eq!(cluster.ask(assign).unwrap(), [Ok(())]);
    let partition = cluster.partition("t", 0);
    assert_eq!((partition.leader, partition.eligible.len()), (None, 0));
}

#[test]
fn a_new_controller_gives_everybody_a_full_session() {
    let mut cluster = Cluster::watched(2);
    cluster.pass(900);
    cluster.timers.clear();
    let loaded = cluster.machine.loaded(cluster.now);
    cluster.absorb(loaded);
    cluster.pass(999);
    assert!(!fenced(&cluster, 1));
    cluster.pass(1);
    assert!(fenced(&cluster, 1));
}

#[test]
fn a_controller_that_fell_silent_gets_the_rest_of_its_session() {
    let mut cluster = Cluster::watched(2);
    cluster.pass(900);
    cluster.timers.clear();
    let loaded = cluster.machine.loaded(cluster.now);
    cluster.absorb(loaded);
    let before = Predecessor {
        node: NodeId(2),
        heard: Millis(cluster.now.monotonic.0 - 450),
    };
    let succeeds = cluster.machine.succeeds(cluster.now, before);
    cluster.absorb(succeeds);
    cluster.pass(549);
    assert!(!fenced(&cluster, 2));
    cluster.pass(1);
    assert!(fenced(&cluster, 2) && !fenced(&cluster, 1));
    cluster.pass(450);
    assert!(fenced(&cluster, 1));
}

#[test]
fn two_processes_are_not_one_broker() {
    let mut cluster = Cluster::watched(2);
    let first = epoch(&cluster, 1);
    let second = another(1, PastLife::Clean(first));
    let refused = cluster.ask(second.clone()).unwrap_err();
    assert_eq!(refused, MetadataError::DuplicateBroker { node: NodeId(1) });
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    // The same process may say it again.
    assert_eq!(cluster.ask(broker(1)), Ok(first));
    cluster.second(&[2]);
    let next = cluster.ask(second).unwrap();
    assert!(next > first);
    let old = Heartbeat {
        epoch: first,
        ..cluster.heartbeat(1)
    };
    assert!(matches!(
        cluster.ask(old),
        Err(MetadataError::StaleBroker { .. })
    ));
}

#[test]
fn one_that_has_just_begun_keeps_its_number() {
    let mut cluster = Cluster::watched(1);
    let options = cluster.machine.options.sessions.unwrap();
    cluster.pass(options.timeout_ms);
    let began = cluster.ask(another(1, PastLife::Crashed(1))).unwrap();
    assert!(fenced(&cluster, 1));
    let refused = cluster.ask(broker(1)).unwrap_err();
    assert_eq!(refused, MetadataError::DuplicateBroker { node: NodeId(1) });
    cluster.pass(options.timeout_ms);
    let third = RegisterBroker {
        incarnation: [3; 16],
        ..broker(1)
    };
    assert!(cluster.ask(third).unwrap() > began);
}

#[test]
fn who_was_replaced_is_refused_for_good() {
    let mut cluster = Cluster::watched(1);
    let options = cluster.machine.options.sessions.unwrap();
    let process = |number| RegisterBroker {
        incarnation: [number; 16],
        ..broker(1)
    };
    let last = 0x2f;
    for number in 0x20..=last {
        cluster.pass(options.timeout_ms);
        cluster.ask(process(number)).unwrap();
    }
    cluster.pass(options.timeout_ms);
    for number in last - 8..last {
        let refused = cluster.ask(process(number)).unwrap_err();
        assert_eq!(refused, MetadataError::DuplicateBroker { node: NodeId(1) });
    }
    let known = cluster.image().broker(NodeId(1)).unwrap().replaced.len();
    assert_eq!(known, 8, "no more are remembered");
    assert!(cluster.ask(process(last)).is_ok(), "nobody has replaced it");
}

#[test]
fn who_is_known_to_be_dead_is_fenced_at_once() {
    let mut cluster = Cluster::watched(3);
    cluster.create_on("t", &[&[1, 2, 3]]);
    let dead = FenceBroker {
        node: NodeId(1),
        epoch: epoch(&cluster, 1),
    };
    let other = FenceBroker { epoch: 0, ..dead };
    assert!(matches!(
        cluster.ask(other),
        Err(MetadataError::StaleBroker { .. })
    ));
    assert!(!fenced(&cluster, 1), "it is another process that has died");
    cluster.ask(dead).unwrap();
    assert!(fenced(&cluster, 1));
    let state = cluster.partition("t", 0);
    assert_eq!(state.leader, Some(NodeId(2)));
    assert!(!state.isr.contains(&NodeId(1)));
    cluster.ask(dead).unwrap();
    assert!(cluster.records.is_empty(), "once is enough");
    // Its next process need not wait for the session to end.
    cluster
        .ask(another(1, PastLife::Crashed(dead.epoch)))
        .unwrap();
}

#[test]
fn what_a_broker_lost_does_not_lead() {
    // How it comes back, and whether it may lead what it alone kept: flushed, or in the cache.
    let cases = [
        ("clean", true, true),
        ("crashed", true, true),
        ("old disk", false, false),
        ("new disk", false, false),
    ];
    for (past, fsync, cache) in cases {
        let mut cluster = Cluster::watched(2);
        cluster.create_on("fsync", &[&[1]]);
        cluster.create_on("cache", &[&[1]]);
        let of_cache = ConfigTarget::Topic("cache".into());
        cluster.set(of_cache, "freshet.durability", "page-cache");
        let last = epoch(&cluster, 1);
        cluster.second(&[2]);
        let past = match past {
            "clean" => PastLife::Clean(last),
            "crashed" => PastLife::Crashed(last),
            "old disk" => PastLife::Crashed(last - 1),
            _ => PastLife::None,
        };
        cluster.ask(another(1, past)).unwrap();
        cluster.beat(1);
        let leads = |topic| cluster.partition(topic, 0).leader == Some(NodeId(1));
        assert_eq!((leads("fsync"), leads("cache")), (fsync, cache), "{past:?}");
        // A crash may have cost what was only in the cache: that is told.
        let crashed = past == PastLife::Crashed(last);
        let told: Vec<_> = cluster
            .image()
            .unclean_elections()
            .map(|e| e.cause)
            .collect();
        let expected = if crashed {
            vec![UncleanCause::LastKnown]
        } else {
            vec![]
        };
        assert_eq!(told, expected, "{past:?}");
    }
}

#[test]
fn all_unclean_elections_are_counted_and_the_latest_are_kept() {
    let mut cluster = Cluster::watched(2);
    cluster.create_on("cache", &[[1].as_slice(); 150]);
    let of_cache = ConfigTarget::Topic("cache".into());
    cluster.set(of_cache, "freshet.durability", "page-cache");
    let last = epoch(&cluster, 1);
    cluster.second(&[2]);
    cluster.ask(another(1, PastLife::Crashed(last))).unwrap();
    cluster.beat(1);
    let image = cluster.image();
    assert_eq!(image.unclean_elections().count(), 100);
    assert_eq!(image.unclean_applied(), 150);
}

#[test]
fn an_unclean_leader_that_comes_to_nothing_takes_nobody_along() {
    let mut cluster = Cluster::watched(3);
    cluster.create_on("t", &[&[1, 2, 3]]);
    cluster.second(&[1, 2]);
    assert_eq!(cluster.partition("t", 0).isr, nodes(&[1, 2]));
    let last = epoch(&cluster, 1);
    cluster.second(&[3]);
    assert_eq!(cluster.partition("t", 0).eligible, nodes(&[1, 2]));
    cluster.beat(3);
    let unclean = ElectLeaders {
        unclean: true,
        partitions: None,
    };
    let elected = cluster.ask(unclean);
    assert_eq!(elected[0].outcome, Ok(NodeId(3)));
    // It dies before anybody has joined it, and its disk with it: nothing was acknowledged by it.
    cluster.second(&[]);
    cluster.ask(another(3, PastLife::None)).unwrap();
    cluster.beat(3);
    assert_eq!(cluster.partition("t", 0).leader, None);
    cluster.ask(another(1, PastLife::Crashed(last))).unwrap();
    cluster.beat(1);
    assert_eq!(cluster.partition("t", 0).leader, Some(NodeId(1)));
    assert_eq!(cluster.image().unclean_elections().count(), 1);
}

#[test]
fn a_stop_moves_leaders_first_and_waits_until_everybody_knows() {
    let mut cluster = Cluster::watched(3);
    cluster.create_on("t", &[&[1, 2, 3], &[2, 1, 3]]);
    cluster.create_on("alone", &[&[1]]);
    let stop = |cluster: &Cluster| Heartbeat {
        wants_shutdown: true,
        ..cluster.heartbeat(1)
    };
    let before = cluster.image().version();
    let request = stop(&cluster);
    let state = cluster.ask(request).unwrap();
    assert_eq!((state.fenced, state.may_stop), (false, false));
    assert_eq!(cluster.partition("t", 0).leader, Some(NodeId(2)));
    assert_eq!(cluster.partition("t", 1).isr, nodes(&[2, 3]));
    // Nobody else can lead this one: it does so to the end.
    assert_eq!(cluster.partition("alone", 0).leader, Some(NodeId(1)));
    // 2 has seen the move, 3 has not.
    cluster.beat(2);
    let behind = Heartbeat {
        version: before,
        ..cluster.heartbeat(3)
    };
    cluster.ask(behind).unwrap();
    let request = stop(&cluster);
    assert!(!cluster.ask(request).unwrap().may_stop);
    cluster.beat(3);
    let request = stop(&cluster);
    let state = cluster.ask(request).unwrap();
    assert_eq!((state.fenced, state.may_stop), (true, true));
    assert_eq!(cluster.partition("alone", 0).leader, None);
    // The answer may be lost: it is given again.
    let request = stop(&cluster);
    assert!(cluster.ask(request).unwrap().may_stop);
    // Its next process need not wait for the session to end.
    let last = epoch(&cluster, 1);
    cluster.ask(another(1, PastLife::Clean(last))).unwrap();
    assert!(!cluster.beat(1).fenced);
    assert_eq!(cluster.partition("alone", 0).leader, Some(NodeId(1)));
}

#[test]
fn replicas_in_a_failed_directory_are_out_of_reach() {
    let mut cluster = Cluster::watched(2);
    let (a, b) = (DirectoryId([0xa; 16]), DirectoryId([0xb; 16]));
    let two = RegisterBroker {
        directories: vec![a, b],
        ..broker(1)
    };
    cluster.ask(two).unwrap();
    cluster.create_on("t", &[&[1, 2], &[1, 2]]);
    let id = cluster.image().topic("t").unwrap().id;
    let at = |partition| freshet_types::TopicPartition {
        topic: id,
        partition,
    };
    let assign = |partition, directory, cluster: &Cluster| AssignDirectories {
        node: NodeId(1),
        broker_epoch: epoch(cluster, 1),
        replicas: vec![AssignedPartition {
            at: at(partition),
            directory,
            whole: false,
        }],
    };
    for (partition, directory) in [(0, a), (1, b)] {
        let request = assign(partition, directory, &cluster);
        assert_eq!(cluster.ask(request).unwrap(), [Ok(())]);
    }
    let failed = Heartbeat {
        offline_directories: vec![a],
        ..cluster.heartbeat(1)
    };
    assert!(!cluster.ask(failed.clone()).unwrap().fenced);
    assert_eq!(cluster.partition("t", 0).leader, Some(NodeId(2)));
    assert_eq!(cluster.partition("t", 0).isr, nodes(&[2]));
    assert_eq!(cluster.partition("t", 1).leader, Some(NodeId(1)));
    // It begins again in the other directory: the old copy counts no more.
    let request = assign(0, b, &cluster);
    assert_eq!(cluster.ask(request).unwrap(), [Ok(())]);
    assert_eq!(cluster.partition("t", 0).directories[0], b);
    // Without any directory a broker is of no use.
    let failed = Heartbeat {
        offline_directories: vec![a, b],
        ..failed
    };
    assert!(cluster.ask(failed).unwrap().fenced);
}

/// One broker with two directories and a partition: its cluster, where the partition is, and the other.
fn two_directories() -> (Cluster, DirectoryId, DirectoryId) {
    let mut cluster = Cluster::watched(1);
    let (a, b) = (DirectoryId([0xa; 16]), DirectoryId([0xb; 16]));
    let two = RegisterBroker {
        directories: vec![a, b],
        ..broker(1)
    };
    cluster.ask(two).unwrap();
    cluster.create_on("t", &[&[1]]);
    match cluster.partition("t", 0).directories[0] == a {
        true => (cluster, a, b),
        false => (cluster, b, a),
    }
}

/// A directory of broker 1 fails.
fn fail(cluster: &mut Cluster, directory: DirectoryId) {
    let failed = Heartbeat {
        offline_directories: vec![directory],
        ..cluster.heartbeat(1)
    };
    cluster.ask(failed).unwrap();
}

/// Broker 1 says where partition 0 is.
fn tell_place(cluster: &mut Cluster, directory: DirectoryId, whole: bool) {
    let topic = cluster.image().topic("t").unwrap().id;
    let at = freshet_types::TopicPartition {
        topic,
        partition: 0,
    };
    let assign = AssignDirectories {
        node: NodeId(1),
        broker_epoch: epoch(cluster, 1),
        replicas: vec![AssignedPartition {
            at,
            directory,
            whole,
        }],
    };
    assert_eq!(cluster.ask(assign).unwrap(), [Ok(())]);
    assert_eq!(cluster.partition("t", 0).directories, [directory]);
}

#[test]
fn a_replica_whose_new_directory_has_failed_is_out_of_reach() {
    // Where it was before may be unknown as well.
    for known in [true, false] {
        let (mut cluster, from, to) = two_directories();
        if !known {
            tell_place(&mut cluster, DirectoryId::UNASSIGNED, false);
        }
        assert_eq!(cluster.partition("t", 0).leader, Some(NodeId(1)));
        fail(&mut cluster, to);
        assert_eq!(cluster.partition("t", 0).leader, Some(NodeId(1)));
        tell_place(&mut cluster, to, true);
        let partition = Arc::clone(cluster.partition("t", 0));
        assert_eq!(
            (partition.leader, &partition.eligible),
            (None, &nodes(&[1])),
            "it leads again when the directory is back"
        );
        tell_place(&mut cluster, from, false);
        assert_eq!(cluster.partition("t", 0).leader, None, "this one is empty");
    }
}

#[test]
fn a_replica_has_lost_nothing_with_a_directory_that_it_had_left() {
    let (mut cluster, from, to) = two_directories();
    fail(&mut cluster, from);
    assert_eq!(cluster.partition("t", 0).leader, None);
    tell_place(&mut cluster, to, true);
    assert_eq!(cluster.partition("t", 0).leader, Some(NodeId(1)));
    assert_eq!(cluster.partition("t", 0).isr, nodes(&[1]));
}

#[test]
fn a_lost_copy_leads_nothing_until_it_begins_anew() {
    let mut cluster = Cluster::watched(3);
    cluster.set(ConfigTarget::Cluster, "min.insync.replicas", "2");
    let home = DirectoryId([0xa; 16]);
    for node in 1..=3 {
        let with_home = RegisterBroker {
            directories: vec![home],
            ..broker(node)
        };
        cluster.ask(with_home).unwrap();
    }
    let topic = cluster.create_on("t", &[&[1, 2, 3]]);
    let at = freshet_types::TopicPartition {
        topic,
        partition: 0,
    };
    let put = |cluster: &mut Cluster, node, directory| {
        let request = AssignDirectories {
            node: NodeId(node),
            broker_epoch: epoch(cluster, node),
            replicas: vec![AssignedPartition {
                at,
                directory,
                whole: false,
            }],
        };
        cluster.ask(request).unwrap().remove(0)
    };
    put(&mut cluster, 1, home).unwrap();
    put(&mut cluster, 1, DirectoryId::LOST).unwrap();
    let lost = Arc::clone(cluster.partition("t", 0));
    assert_eq!((lost.leader, &lost.isr), (Some(NodeId(2)), &nodes(&[2, 3])));
    // Said again it changes nothing; and the last who has everything must keep it.
    put(&mut cluster, 1, DirectoryId::LOST).unwrap();
    assert_eq!(cluster.partition("t", 0), &lost);
    cluster.second(&[1, 2]);
    assert_eq!(cluster.partition("t", 0).isr, nodes(&[2]));
    let refused = put(&mut cluster, 2, DirectoryId::LOST);
    assert!(refused.is_err(), "nobody else is up: {refused:?}");
    assert_eq!(cluster.partition("t", 0).leader, Some(NodeId(2)));
    // It is a replica again, and has nothing.
    put(&mut cluster, 1, home).unwrap();
    cluster.second(&[1]);
    let empty = cluster.partition("t", 0);
    assert_eq!(empty.leader, None, "it never leads: {empty:?}");
}

#[test]
fn a_broker_without_a_disk_is_not_let_in_by_its_next_heartbeat() {
    let mut cluster = Cluster::watched(2);
    let served = cluster.image().broker(NodeId(1)).unwrap().served_epoch;
    let failed = |cluster: &Cluster| Heartbeat {
        offline_directories: broker(1).directories,
        ..cluster.heartbeat(1)
    };
    for _ in 0..3 {
        let beat = failed(&cluster);
        assert!(cluster.ask(beat).unwrap().fenced);
    }
    // Nor does another process that has found its only directory offline.
    cluster.second(&[2]);
    let without = RegisterBroker {
        incarnation: [9; 16],
        directories: Vec::new(),
        past: PastLife::Crashed(served),
        ..broker(1)
    };
    cluster.ask(without).unwrap();
    let beat = failed(&cluster);
    assert!(cluster.ask(beat).unwrap().fenced);
    let known = cluster.image().broker(NodeId(1)).unwrap();
    assert_eq!(known.served_epoch, served, "its disk would not know");
}

#[test]
fn a_process_that_cannot_read_a_directory_leads_nothing_that_is_in_it() {
    let mut cluster = Cluster::watched(2);
    let (a, b) = (DirectoryId([0xa; 16]), DirectoryId([0xb; 16]));
    let process = |incarnation, directories, past| RegisterBroker {
        incarnation: [incarnation; 16],
        directories,
        ..another(1, past)
    };
    cluster.second(&[2]);
    let both = process(50, vec![a, b], PastLife::None);
    cluster.ask(both).unwrap();
    cluster.beat_all(&[1, 2]);
    cluster.create_on("t", &[&[1], &[1]]);
    let topic = cluster.image().topic("t").unwrap().id;
    let assign = [(0, a), (1, b)].map(|(partition, directory)| AssignedPartition {
        whole: false,
        at: freshet_types::TopicPartition { topic, partition },
        directory,
    });
    let request = AssignDirectories {
        node: NodeId(1),
        broker_epoch: epoch(&cluster, 1),
        replicas: assign.to_vec(),
    };
    assert_eq!(cluster.ask(request).unwrap(), [Ok(()), Ok(())]);
    let leaders = |cluster: &Cluster| [0, 1].map(|n| cluster.partition("t", n).leader);
    let mut restart = |incarnation, directories| {
        let past = PastLife::Clean(epoch(&cluster, 1));
        cluster.second(&[2]);
        let request = process(incarnation, directories, past);
        cluster.ask(request).unwrap();
        cluster.beat_all(&[1, 2]);
        leaders(&cluster)
    };
    assert_eq!(restart(51, vec![a]), [Some(NodeId(1)), None]);
    assert_eq!(restart(52, vec![a, b]), [Some(NodeId(1)); 2]);
}

#[test]
fn a_broker_goes_when_it_is_silent_and_empty() {
    let mut cluster = Cluster::watched(3);
    cluster.create_on("t", &[&[1, 2]]);
    let unregister = |node| UnregisterBroker { node: NodeId(node) };
    let in_use = |e: Outcome<()>| matches!(e, Err(MetadataError::BrokerInUse { .. }));
    assert!(in_use(cluster.ask(unregister(3))), "it is alive");
    cluster.second(&[2]);
    assert!(in_use(cluster.ask(unregister(1))), "it keeps a replica");
    assert_eq!(cluster.ask(unregister(3)), Ok(()));
    assert_eq!(cluster.image().broker(NodeId(3)), None);
    assert!(matches!(
        cluster.ask(unregister(3)),
        Err(MetadataError::UnknownBroker { .. })
    ));
    let epoch = cluster.ask(broker(3)).unwrap();
    assert!(epoch > 3, "epochs are never used again");
}

#[test]
fn a_broker_must_know_the_features_in_use() {
    let mut cluster = Cluster::watched(1);
    cluster.machine.apply(&Record::Feature {
        name: "f".into(),
        level: 2,
    });
    let knows = |max| RegisterBroker {
        features: vec![FeatureRange {
            name: "f".into(),
            min: 0,
            max,
        }],
        ..broker(2)
    };
    let refused = cluster.ask(knows(1)).unwrap_err();
    assert!(matches!(
        refused,
        MetadataError::BrokerFeature { level: 2, .. }
    ));
    assert!(cluster.ask(knows(2)).is_ok());
}

#[test]
fn levels_rise_only_as_far_as_every_broker_knows() {
    let mut options = MetadataOptions::of(statics(&[]));
    options.features = vec![Feature {
        name: "f",
        min: 0,
        max: 3,
    }];
    let mut cluster = Cluster::of_options(options);
    cluster
        .ask(RegisterBroker {
            features: vec![FeatureRange {
                name: "f".into(),
                min: 1,
                max: 2,
            }],
            ..broker(1)
        })
        .unwrap();
    let mut to = |level| {
        let updates = vec![FeatureUpdate {
            name: "f".into(),
            level,
            allow_downgrade: true,
        }];
        cluster.ask(UpdateFeatures {
            updates,
            validate_only: false,
        })
    };
    assert!(matches!(
        to(3),
        Err(MetadataError::BrokerFeature {
            node: NodeId(1),
            ..
        })
    ));
    assert_eq!(to(2), Ok(()));
    assert_eq!(to(0), Ok(()), "a feature can be taken away");
}
