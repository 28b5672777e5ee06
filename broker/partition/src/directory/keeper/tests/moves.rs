//! Replicas that move between directories, with a keeper that is driven by hand.

use freshet_log::Replaced;
use freshet_records::{BatchBuilder, Codec, NewRecord};
use freshet_types::NodeId;

use super::*;
use crate::directory::moves::MoveError;
use crate::partition::{Acks, Isolation, Produce};

/// Hears of moves.
#[derive(Debug, Default)]
struct Hearsay(Mutex<Vec<String>>);

impl crate::Neighbour for Hearsay {
    fn stands(&self, _: &Arc<Partition>, _: crate::Stand) {}
    fn moved(&self, partition: &Arc<Partition>) {
        let place = partition.view().dir().path().to_owned();
        let place = place
            .file_name()
            .and_then(|name| name.to_str().map(str::to_owned));
        self.0.lock().push(place.unwrap_or_default());
    }
    fn closed(&self, _: &Partition) {}
    fn deleted(&self, _: &Topic) {}
}

fn batch(value: &[u8]) -> bytes::Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    let record = NewRecord {
        timestamp: Timestamp(1_700_000_000_000),
        value: Some(value),
        ..NewRecord::default()
    };
    builder.push(&record).expect("it fits");
    builder.finish().expect("a batch").bytes().clone()
}

/// Produces with acks=all; the answer comes through the receiver.
fn produce(partition: &Partition, bytes: usize) -> std::sync::mpsc::Receiver<Offset> {
    let (tell, told) = channel();
    partition.produce(Produce {
        batch: batch(&vec![7; bytes]),
        frame_bytes: bytes,
        origin: freshet_log::Origin::Client,
        acks: Acks::All,
        leader_epoch: None,
        done: Box::new(move |result| {
            let _ = tell.send(result.expect("it is stored").base_offset);
        }),
    });
    told
}

fn offsets(rig: &Rig, partition: &Partition) -> Vec<Offset> {
    let mut found = Vec::new();
    let ends = partition.ends();
    let mut at = ends.log_start;
    while at < ends.high_watermark {
        let read = partition.read(at, 1, Isolation::ReadUncommitted, true);
        let slice = rig.runtime.block_on(read).expect("it is read");
        found.push(at);
        at = slice.fetched.next_offset;
    }
    found
}

impl Rig {
    fn dir(&self, at: usize) -> Arc<LogDir> {
        Arc::clone(&self.keeper.parts.writers.dirs()[at])
    }

    /// The other of the two directories.
    fn other(&self, partition: &Partition) -> Arc<LogDir> {
        let is_first = Arc::ptr_eq(partition.view().dir(), &self.dir(0));
        self.dir(usize::from(is_first))
    }

    /// Waits until a move is over, and takes that in.
    fn await_move(&mut self) {
        let ended = async {
            tokio::time::timeout(Duration::from_secs(20), self.keeper.moving.ended.recv()).await
        };
        let runtime = self.runtime.handle().clone();
        let ended = runtime.block_on(ended).expect("in time").expect("a move");
        self.keeper.end_move(&ended);
    }

    fn futures(&self) -> usize {
        self.keeper.directory.futures().len()
    }

    /// Moves are slowed down so much that none ends.
    fn hold_moves(&self) {
        self.keeper.moving.pace.set(0);
    }

    fn release_moves(&self) {
        self.keeper.moving.pace.set(u64::MAX);
    }

    /// A partition with one record that is about to move, and copies nothing yet.
    fn held_move(&mut self) -> Held {
        let id = self.create("t", 1);
        let partition = self.get(id).expect("open");
        produce(&partition, 100).recv().expect("answered");
        let (from, to) = (Arc::clone(partition.view().dir()), self.other(&partition));
        self.hold_moves();
        assert_eq!(self.keeper.move_replica(id, &to), Ok(()));
        Held {
            id,
            partition,
            from,
            to,
        }
    }
}

/// See [`Rig::held_move`].
struct Held {
    id: TopicPartition,
    partition: Arc<Partition>,
    from: Arc<LogDir>,
    to: Arc<LogDir>,
}

/// A write to a directory fails, which takes it offline.
fn fail(dir: &LogDir) {
    let in_the_way = dir.path().join("high-watermarks.tmp");
    SystemDisk.create_dir_all(&in_the_way).expect("in the way");
    dir.keep_committed(&[]).expect_err("it cannot be written");
    assert!(dir.failure().is_some());
}

#[test]
fn a_replica_that_is_led_moves_while_it_is_written_and_read() {
    let mut rig = Rig::new();
    let heard = Arc::<Hearsay>::default();
    let neighbour = Arc::clone(&heard) as Arc<dyn crate::Neighbour>;
    rig.keeper.parts.neighbours.push(neighbour);
    let id = rig.create("t", 1);
    let partition = rig.get(id).expect("open");
    for _ in 0..20 {
        produce(&partition, 300_000).recv().expect("answered");
    }
    let to = rig.other(&partition);
    let from = Arc::clone(partition.view().dir());
    // Slow enough for more to be written meanwhile.
    rig.keeper.moving.pace.set(4_000_000);
    assert_eq!(rig.keeper.move_replica(id, &to), Ok(()));
    assert_eq!(rig.futures(), 1);
    let mut written = 20;
    while !Arc::ptr_eq(partition.view().dir(), &to) {
        assert!(written < 20_000, "it does not end");
        let writes = [0, 1].map(|_| produce(&partition, 1000));
        for write in writes {
            assert_eq!(write.recv(), Ok(written), "each is answered once");
            written += 1;
        }
        if written == 60 {
            // A fast disk writes more than the rate lets be copied.
            rig.release_moves();
        }
    }
    assert!(written > 22, "it was not meanwhile");
    rig.await_move();
    produce(&partition, 10).recv().expect("it leads on");
    let view = partition.view();
    assert!(
        Arc::ptr_eq(view.dir(), &to),
        "it is the same partition still"
    );
    assert_eq!(offsets(&rig, &partition), (0..=written).collect::<Vec<_>>());
    assert!(partition.has_moved_from(&from) && !partition.has_moved_from(&to));
    assert_eq!(rig.futures(), 0);
    assert!(!from.holds(partition.name()) && !to.holds(&partition.name().future()));
    let expected = to.path().file_name().and_then(|name| name.to_str());
    assert_eq!(*heard.0.lock(), [expected.expect("a name")]);
}

#[test]
fn moves_keep_to_their_rate() {
    let mut rig = Rig::new();
    let id = rig.create("t", 1);
    let partition = rig.get(id).expect("open");
    for _ in 0..3 {
        produce(&partition, 500_000).recv().expect("answered");
    }
    let to = rig.other(&partition);
    rig.hold_moves();
    assert_eq!(rig.keeper.move_replica(id, &to), Ok(()));
    std::thread::park_timeout(Duration::from_millis(300));
    let copies = rig.keeper.directory.futures();
    assert_eq!(copies[0].1.log_end(), 0, "nothing may be copied");
    rig.release_moves();
    rig.await_move();
    assert!(Arc::ptr_eq(partition.view().dir(), &to));
}

#[test]
fn the_directory_where_it_is_calls_a_move_off() {
    let mut rig = Rig::new();
    let Held {
        id,
        partition,
        from,
        to,
    } = rig.held_move();
    assert_eq!(rig.keeper.move_replica(id, &to), Ok(()), "asked twice");
    assert!(to.holds(&partition.name().future()));
    assert_eq!(rig.keeper.move_replica(id, &from), Ok(()));
    assert!(!to.holds(&partition.name().future()));
    assert_eq!(rig.futures(), 0);
    rig.release_moves();
    assert_eq!(rig.keeper.move_replica(id, &to), Ok(()), "and on again");
    rig.await_move();
    assert!(Arc::ptr_eq(partition.view().dir(), &to));
    assert_eq!(offsets(&rig, &partition), [0]);
}

#[test]
fn a_deleted_topic_takes_its_copies_with_it() {
    let mut rig = Rig::new();
    let Held { partition, to, .. } = rig.held_move();
    rig.delete("t");
    assert_eq!(rig.futures(), 0);
    assert!(!to.holds(&partition.name().future()));
    let again = rig.create("t", 1);
    let partition = rig.get(again).expect("open");
    rig.release_moves();
    let to = rig.other(&partition);
    assert_eq!(rig.keeper.move_replica(again, &to), Ok(()));
    // The end of the first move may still be told.
    while !Arc::ptr_eq(partition.view().dir(), &to) {
        rig.await_move();
    }
}

#[test]
fn a_replica_moves_on_while_its_leader_epoch_changes() {
    let mut rig = Rig::new();
    let Held {
        id, partition, to, ..
    } = rig.held_move();
    let image = rig.machine.image().clone();
    let state = image.partition(id).expect("it is there");
    // Follows for a while, then leads again.
    let follows = freshet_metadata::Partition {
        leader: Some(NodeId(2)),
        leader_epoch: 4,
        ..freshet_metadata::Partition::clone(state)
    };
    let leads = freshet_metadata::Partition {
        leader: Some(NODE),
        leader_epoch: 5,
        ..follows.clone()
    };
    for state in [follows, leads] {
        let turn = partition.begin(&state, 1).expect("room");
        partition.finish(turn.expect("a new place"));
    }
    rig.release_moves();
    rig.await_move();
    assert!(partition.leads() && partition.leader_epoch() == 5);
    assert_eq!(produce(&partition, 100).recv(), Ok(1));
    let view = partition.view();
    assert!(Arc::ptr_eq(view.dir(), &to));
    assert_eq!((view.epoch_at(0), view.epoch_at(1)), (Some(0), Some(5)));
}

#[test]
fn a_wish_for_a_replica_that_is_not_here_is_kept() {
    let mut rig = Rig::new();
    // The next life of `rig.create`.
    let id = TopicPartition {
        topic: TopicId([2; 16]),
        partition: 0,
    };
    // Where it would not go by itself.
    rig.create("u", 1);
    let crowded = rig.get(TopicPartition {
        topic: TopicId([1; 16]),
        partition: 0,
    });
    let crowded = Arc::clone(crowded.expect("open").view().dir());
    assert_eq!(
        rig.keeper.move_replica(id, &crowded),
        Err(MoveError::NotHere)
    );
    assert_eq!(rig.create("t", 1), id);
    let partition = rig.get(id).expect("open");
    assert!(Arc::ptr_eq(partition.view().dir(), &crowded));
}

#[test]
fn a_name_that_is_too_long_for_a_copy_stays_where_it_is() {
    let mut rig = Rig::new();
    let longest = "t".repeat(249);
    let id = rig.create(&longest, 1);
    let partition = rig.get(id).expect("open");
    let to = rig.other(&partition);
    let refused = rig.keeper.move_replica(id, &to);
    assert_eq!(refused, Err(MoveError::NameTooLong));
    assert_eq!(rig.futures(), 0);
    produce(&partition, 100).recv().expect("it goes on");
}

#[test]
fn a_failed_directory_takes_nothing_and_ends_the_moves_to_it() {
    let mut rig = Rig::new();
    let Held {
        id,
        partition,
        from,
        to,
    } = rig.held_move();
    fail(&to);
    rig.release_moves();
    rig.await_move();
    assert!(Arc::ptr_eq(partition.view().dir(), &from));
    assert_eq!(rig.futures(), 0);
    produce(&partition, 100).recv().expect("it goes on");
    let refused = rig.keeper.move_replica(id, &to);
    assert!(matches!(refused, Err(MoveError::Offline(_))), "{refused:?}");
}

#[test]
fn a_copy_of_a_log_that_fails_stays() {
    let mut rig = Rig::new();
    let Held {
        id,
        partition,
        from,
        to,
    } = rig.held_move();
    fail(&from);
    rig.release_moves();
    rig.await_move();
    assert!(to.holds(&partition.name().future()));
    let refused = rig.keeper.move_replica(id, &to);
    assert!(matches!(refused, Err(MoveError::Offline(_))), "{refused:?}");
}

#[test]
fn a_failed_directory_does_not_keep_the_name_of_a_deleted_topic() {
    let mut rig = Rig::new();
    let id = rig.create("t", 1);
    let failed = Arc::clone(rig.get(id).expect("open").view().dir());
    fail(&failed);
    let log = failed.path().join("t-0");
    SystemDisk.remove_dir_all(&log).expect("it was there");
    rig.delete("t");
    assert!(failed.holds(&LogName::parse("t-0").expect("a name")));
    let again = rig.create("t", 1);
    let partition = rig.get(again).expect("open");
    assert!(!Arc::ptr_eq(partition.view().dir(), &failed));
    produce(&partition, 100).recv().expect("it leads");
}

#[test]
fn settings_that_came_during_the_swap_are_not_lost() {
    let mut rig = Rig::new();
    let Held {
        id, partition, to, ..
    } = rig.held_move();
    let wanted = partition.view().config();
    // What the log had before is what its copy got.
    let before = LogConfig {
        segment_bytes: 12345,
        ..LogConfig::clone(&wanted)
    };
    partition.configure(Arc::new(before));
    rig.release_moves();
    rig.await_move();
    let partition = rig.get(id).expect("open");
    assert!(Arc::ptr_eq(partition.view().dir(), &to));
    assert_eq!(partition.view().config().segment_bytes, 12345);
    rig.keeper.finish();
    assert_eq!(partition.view().config(), wanted);
    assert!(rig.keeper.unfinished.is_empty());
}

#[test]
fn a_move_whose_end_finds_no_room_is_told_of_later() {
    let mut rig = Rig::new();
    let heard = Arc::<Hearsay>::default();
    let neighbour = Arc::clone(&heard) as Arc<dyn crate::Neighbour>;
    rig.keeper.parts.neighbours.push(neighbour);
    let Held {
        id, partition, to, ..
    } = rig.held_move();
    let copy = rig.keeper.moving.copy_of(id).expect("it moves");
    let hold = stop_thread_of(&partition);
    let (moved, reporter) = (Arc::clone(&partition), partition.another_reporter());
    let progress = Arc::clone(&reporter) as Arc<dyn Progress>;
    let taken = move |replaced: Result<Replaced, LogError>| {
        if let Ok(Replaced::By(log)) = replaced {
            moved.replace_log(log, reporter);
        }
    };
    let log = partition.log();
    log.replace_by(&copy, progress, Box::new(taken))
        .expect("room");
    fill_queue_of(&partition);
    rig.keeper.stop_move(id);
    assert!(heard.0.lock().is_empty(), "nobody knows yet how it ends");
    let_go(hold, &partition);
    assert!(Arc::ptr_eq(partition.view().dir(), &to));
    rig.keeper.finish();
    assert_eq!(heard.0.lock().len(), 1);
}

#[test]
fn a_move_that_meets_damage_says_so_and_keeps_nobody_waiting() {
    let mut rig = Rig::new();
    let other = rig.create("u", 1);
    let id = rig.create_shared("t");
    for at in [id, other] {
        let partition = rig.get(at).expect("open");
        partition.produce(Produce {
            batch: batch(&[7; 500]),
            frame_bytes: 600,
            origin: freshet_log::Origin::Client,
            acks: Acks::None,
            leader_epoch: None,
            done: Box::new(|_| {}),
        });
    }
    let partition = rig.get(id).expect("open");
    let log = partition.view().dir().path().join("t-0");
    drop(partition);
    let mut rig = restart(rig);
    let segment = log.join("00000000000000000000.log");
    let mut bytes = SystemDisk
        .read_small(&segment, 1 << 30)
        .expect("the segment");
    bytes[200] ^= 1;
    SystemDisk.replace_small(&segment, &bytes).expect("damaged");
    rig.keeper.follow();
    rig.keeper.moving.places = Arc::new(tokio::sync::Semaphore::new(1));
    for at in [id, other] {
        let partition = rig.get(at).expect("open");
        let to = rig.other(&partition);
        assert_eq!(rig.keeper.move_replica(at, &to), Ok(()));
        if at == id {
            for tries in 0.. {
                if rig.keeper.around.damage.take().contains_key(&id) {
                    break;
                }
                assert!(tries < 2000, "nobody is told");
                std::thread::park_timeout(Duration::from_millis(5));
            }
        }
    }
    rig.await_move();
    let futures = rig.keeper.directory.futures();
    let waits: Vec<_> = futures.iter().map(|(at, _)| *at).collect();
    assert_eq!(waits, [id], "the other one has moved");
}

#[test]
fn a_move_leaves_the_reserve_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let space = SystemDisk.space(folder.path()).expect("known");
    // Producers are refused, replicas are not.
    let mut rig = Rig::with_reserve(folder, space.available_bytes / 2 * 3);
    let id = rig.create("t", 1);
    let partition = rig.get(id).expect("open");
    let (tell, told) = channel();
    partition.produce(Produce {
        batch: batch(&[7; 500]),
        frame_bytes: 600,
        origin: freshet_log::Origin::Coordinator,
        acks: Acks::All,
        leader_epoch: None,
        done: Box::new(move |result| drop(tell.send(result))),
    });
    told.recv().expect("answered").expect("stored");
    let to = rig.other(&partition);
    assert_eq!(rig.keeper.move_replica(id, &to), Ok(()));
    std::thread::park_timeout(Duration::from_millis(300));
    assert_eq!(rig.keeper.directory.futures()[0].1.log_end(), 0);
}

/// Closes all threads cleanly and starts again in the same folder.
fn restart(rig: Rig) -> Rig {
    restart_while(rig, |_| {})
}

/// The same, and something is agreed meanwhile.
pub(super) fn restart_while(rig: Rig, change: impl FnOnce(&mut MetadataMachine)) -> Rig {
    let Rig {
        keeper,
        folder,
        mut machine,
        lives,
        runtime,
        ..
    } = rig;
    keeper.parts.writers.stop().expect("a clean stop");
    drop(keeper);
    runtime.shutdown_timeout(Duration::from_secs(5));
    let mut rig = Rig::in_folder(folder);
    rig.lives = lives;
    change(&mut machine);
    rig.machine = machine;
    rig.publish();
    rig
}

#[test]
fn a_restart_goes_on_with_a_move() {
    let mut rig = Rig::new();
    let id = rig.create("t", 1);
    let partition = rig.get(id).expect("open");
    for _ in 0..5 {
        produce(&partition, 400_000).recv().expect("answered");
    }
    let to = rig.other(&partition).path().to_owned();
    rig.keeper.moving.pace.set(1_500_000);
    let dir = rig.other(&partition);
    assert_eq!(rig.keeper.move_replica(id, &dir), Ok(()));
    for tries in 0.. {
        if rig.keeper.directory.futures()[0].1.log_end() > 0 {
            break;
        }
        assert!(tries < 2000, "nothing is copied");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    drop((partition, dir));
    let mut rig = restart(rig);
    rig.hold_moves();
    rig.keeper.follow();
    rig.hold_moves();
    rig.keeper.resume_moves();
    let partition = rig.get(id).expect("open");
    assert_ne!(partition.view().dir().path(), to);
    let copies = rig.keeper.directory.futures();
    assert!(copies[0].1.log_end() > 0, "what was copied is kept");
    rig.release_moves();
    rig.await_move();
    assert_eq!(partition.view().dir().path(), to);
    assert_eq!(offsets(&rig, &partition), (0..5).collect::<Vec<_>>());
}

#[test]
fn a_copy_is_left_alone_when_its_log_has_begun_anew() {
    let mut rig = Rig::new();
    let id = rig.create("t", 1);
    let partition = rig.get(id).expect("open");
    for _ in 0..5 {
        produce(&partition, 400_000).recv().expect("answered");
    }
    let dir = rig.other(&partition);
    rig.keeper.moving.pace.set(1_500_000);
    assert_eq!(rig.keeper.move_replica(id, &dir), Ok(()));
    for tries in 0.. {
        if rig.keeper.directory.futures()[0].1.log_end() > 1 {
            break;
        }
        assert!(tries < 2000, "nothing is copied");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let log = partition.view().dir().path().join("t-0");
    let to = dir.path().to_owned();
    drop((partition, dir));
    let mut rig = restart_while(rig, |_| {});
    SystemDisk.remove_dir_all(&log).expect("it was there");
    rig.keeper.follow();
    rig.keeper.resume_moves();
    let partition = rig.get(id).expect("open");
    assert_eq!(rig.futures(), 0, "it is empty");
    produce(&partition, 100).recv().expect("answered");
    rig.keeper.resume_moves();
    assert_eq!(rig.futures(), 0, "it has other records");
    let dir = rig.other(&partition);
    let name = partition.name().future();
    assert!(dir.path() == to && dir.closed_logs().contains(&name));
    assert_eq!(rig.keeper.move_replica(id, &dir), Ok(()), "an order");
    rig.await_move();
    assert_eq!(partition.view().dir().path(), to);
    assert_eq!(offsets(&rig, &partition), [0]);
}
