//! Logs that nobody has any more, found at a start.

use super::moves::restart_while;
use super::*;

fn log_of(rig: &Rig, id: TopicPartition) -> std::path::PathBuf {
    let partition = rig.get(id).expect("open");
    let dir = partition.view().dir().path().to_owned();
    dir.join(partition.name().to_string())
}

fn start(rig: &mut Rig) {
    rig.keeper.follow();
    rig.keeper.resume_moves();
    rig.keeper.clear_strays();
}

#[test]
fn the_log_of_a_topic_that_was_deleted_meanwhile_goes() {
    let mut rig = Rig::new();
    let (gone, stays) = (rig.create("gone", 1), rig.create("stays", 1));
    let logs = [log_of(&rig, gone), log_of(&rig, stays)];
    let mut rig = restart_while(rig, |machine| {
        let topics = vec![TopicRef::Name("gone".to_owned())];
        Rig::ask_of(machine, DeleteTopics { topics })
            .remove(0)
            .expect("deleted");
    });
    start(&mut rig);
    assert!(!logs[0].exists() && logs[1].exists());
    assert!(rig.get(stays).is_some());
}

#[test]
fn a_log_that_the_metadata_never_heard_of_stays() {
    let mut rig = Rig::new();
    let id = rig.create("t", 1);
    let log = log_of(&rig, id);
    let statics = Arc::clone(&rig.keeper.parts.statics);
    let mut rig = restart_while(rig, |machine| {
        // Begun anew, or restored from before the topic was there.
        *machine = MetadataMachine::new(MetadataOptions::of(statics));
        Rig::register(machine, NODE);
    });
    start(&mut rig);
    assert!(log.exists(), "absence is no evidence");
}

#[test]
fn nothing_goes_while_this_broker_is_not_in_the_metadata() {
    let mut rig = Rig::new();
    let id = rig.create("t", 1);
    let log = log_of(&rig, id);
    let statics = Arc::clone(&rig.keeper.parts.statics);
    let mut rig = restart_while(rig, |machine| {
        *machine = MetadataMachine::new(MetadataOptions::of(statics));
        machine.apply(&freshet_metadata::Record::TopicDeleted {
            id: id.topic,
            kept: None,
        });
    });
    start(&mut rig);
    assert!(log.exists());
}

#[test]
fn the_log_of_a_replica_that_moved_to_another_broker_goes() {
    let mut rig = Rig::new();
    let id = rig.create("t", 2);
    let log = log_of(&rig, id);
    let mut rig = restart_while(rig, |machine| {
        let state = machine.image().partition(id).expect("it is there");
        let moved = freshet_metadata::Partition {
            replicas: vec![NodeId(2)],
            directories: vec![freshet_metadata::DirectoryId::UNASSIGNED],
            isr: vec![NodeId(2)],
            leader: Some(NodeId(2)),
            ..freshet_metadata::Partition::clone(state)
        };
        let partition = Arc::new(moved);
        machine.apply(&freshet_metadata::Record::Partition { at: id, partition });
    });
    start(&mut rig);
    assert!(!log.exists());
    let other = TopicPartition { partition: 1, ..id };
    assert!(rig.get(other).is_some());
}

#[test]
fn a_log_whose_partition_could_not_be_opened_is_left_alone() {
    let mut rig = Rig::new();
    let id = rig.create("t", 1);
    let log = log_of(&rig, id);
    let mut rig = restart_while(rig, |machine| {
        let topics = vec![TopicRef::Name("t".to_owned())];
        Rig::ask_of(machine, DeleteTopics { topics })
            .remove(0)
            .expect("deleted");
    });
    let next_life = NewTopic {
        name: "t".to_owned(),
        id: TopicId([9; 16]),
        partitions: 1,
        replication_factor: 1,
        ..NewTopic::default()
    };
    let topics = vec![next_life];
    rig.ask(CreateTopics {
        topics,
        validate_only: false,
    })
    .remove(0)
    .expect("created");
    // Its open has failed, and the disk may lie about whose log this is for the same reason.
    let again = TopicPartition {
        topic: TopicId([9; 16]),
        partition: 0,
    };
    let broken = &rig.keeper.directory.broken;
    broken.write().insert(again, "too many open files".into());
    rig.keeper.seen = Arc::new(rig.machine.image().clone());
    rig.keeper.clear_strays();
    assert!(log.exists());
    rig.keeper.directory.broken.write().clear();
    rig.keeper.clear_strays();
    assert!(!log.exists(), "it is of the life before");
}
