use std::path::Path;
use std::sync::mpsc::Sender;

use freshet_env::{Clock, Disk, SystemClock, SystemDisk};
use freshet_log::{Writers, WritersOptions};
use freshet_metadata::{
    Ask, AssignDirectories, AssignedPartition, CreateTopics, DeleteTopics, DirectoryId,
    MetadataError, MetadataMachine, MetadataOptions, NewTopic, RegisterBroker, TopicRef,
};
use freshet_settings::{Overrides, StaticSettingsBuilder};
use freshet_types::{Machine, NodeId, Now, Ticket, Timestamp};
use tokio::sync::watch;

use super::*;
use crate::replica::NoProposals;

mod moves;
mod strays;

const NODE: NodeId = NodeId(1);
const OTHER: NodeId = NodeId(2);

/// Hears which copies are given up.
#[derive(Default)]
struct Losses(Mutex<Vec<TopicPartition>>);

impl crate::Neighbour for Losses {
    fn stands(&self, _: &Arc<Partition>, _: crate::Stand) {}
    fn lost(&self, at: TopicPartition) {
        self.0.lock().push(at);
    }
    fn closed(&self, _: &Partition) {}
    fn deleted(&self, _: &Topic) {}
}

/// A keeper that is driven by hand, with the metadata that it follows.
struct Rig {
    keeper: Keeper,
    machine: MetadataMachine,
    image: watch::Sender<Arc<MetadataImage>>,
    folder: tempfile::TempDir,
    lives: u8,
    losses: Arc<Losses>,
    /// For moves.
    runtime: tokio::runtime::Runtime,
}

impl Rig {
    fn new() -> Self {
        Self::in_folder(tempfile::tempdir().expect("a folder"))
    }

    fn in_folder(folder: tempfile::TempDir) -> Self {
        Self::with_reserve(folder, 0)
    }

    /// So much of the disk is kept free.
    fn with_reserve(folder: tempfile::TempDir, reserve_bytes: u64) -> Self {
        let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        // An empty one beside it.
        let beside = folder.path().join("beside");
        let dirs = [folder.path(), &beside].map(|path| LogDir::open(Arc::clone(&disk), path));
        let dirs = dirs.map(|dir| dir.expect("a log directory"));
        let options = WritersOptions {
            append_threads: 2,
            queue_len: 4,
            reserve_bytes,
            ..WritersOptions::default()
        };
        let writers = Writers::start(dirs.into(), Arc::clone(&clock), options).expect("threads");
        let statics = StaticSettingsBuilder::default().finish();
        let statics = Arc::new(statics.expect("settings that agree").0);
        let machine = MetadataMachine::new(MetadataOptions::of(Arc::clone(&statics)));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (image, watched) = watch::channel(Arc::new(MetadataImage::default()));
        let losses = Arc::new(Losses::default());
        let neighbours = vec![Arc::clone(&losses) as Arc<dyn crate::Neighbour>];
        let keeper = Keeper::new(
            Directory::new(None),
            DirectoryParts {
                node: NODE,
                writers,
                directory_ids: Vec::new(),
                statics,
                image: watched,
                clock,
                proposals: Arc::new(NoProposals),
                past_readers: None,
                neighbours,
            },
            runtime.handle().clone(),
        );
        let mut rig = Self {
            keeper,
            machine,
            image,
            folder,
            lives: 0,
            losses,
            runtime,
        };
        Self::register(&mut rig.machine, NODE);
        rig.publish();
        rig
    }

    fn register(machine: &mut MetadataMachine, node: NodeId) {
        let request = RegisterBroker {
            node,
            incarnation: [1; 16],
            listeners: Vec::new(),
            rack: None,
            directories: Vec::new(),
            features: Vec::new(),
            past: freshet_metadata::PastLife::None,
        };
        Self::ask_of(machine, request).expect("the broker is registered");
    }

    fn ask_of<A: Ask>(machine: &mut MetadataMachine, request: A) -> A::Answer {
        let now = Now {
            monotonic: Millis(1),
            wall: Timestamp(1_700_000_000_000),
        };
        let mut decision = machine.decide(now, Ticket(0), request.into());
        for record in &decision.records {
            machine.apply(record);
        }
        A::answer(decision.replies.remove(0).1)
    }

    fn ask<A: Ask>(&mut self, request: A) -> A::Answer {
        let answer = Self::ask_of(&mut self.machine, request);
        self.publish();
        answer
    }

    fn publish(&self) {
        let image = Arc::new(self.machine.image().clone());
        self.image.send_replace(image);
    }

    /// Creates a topic and follows.
    fn create(&mut self, name: &str, partitions: i32) -> TopicPartition {
        self.create_so(NewTopic {
            name: name.to_owned(),
            partitions,
            replication_factor: 1,
            ..NewTopic::default()
        })
    }

    /// Creates a topic whose partition this broker leads and another follows.
    fn create_shared(&mut self, name: &str) -> TopicPartition {
        self.create_shared_so(name, Vec::new())
    }

    fn create_shared_so(
        &mut self,
        name: &str,
        configs: Vec<(String, Option<String>)>,
    ) -> TopicPartition {
        Self::register(&mut self.machine, OTHER);
        self.publish();
        self.create_so(NewTopic {
            name: name.to_owned(),
            partitions: -1,
            replication_factor: -1,
            assignments: vec![(0, vec![NODE, OTHER])],
            configs,
            ..NewTopic::default()
        })
    }

    fn create_so(&mut self, topic: NewTopic) -> TopicPartition {
        self.lives += 1;
        let topic = NewTopic {
            id: TopicId([self.lives; 16]),
            ..topic
        };
        let mut created = self.ask(CreateTopics {
            topics: vec![topic],
            validate_only: false,
        });
        let topic = created.remove(0).expect("created").id;
        self.keeper.follow();
        TopicPartition {
            topic,
            partition: 0,
        }
    }

    /// Deletes a topic and follows.
    fn delete(&mut self, name: &str) {
        let topics = vec![TopicRef::Name(name.to_owned())];
        let mut deleted = self.ask(DeleteTopics { topics });
        deleted.remove(0).expect("deleted");
        self.keeper.follow();
    }

    /// The controller writes this broker's copy off, and it follows.
    fn write_off(&mut self, at: TopicPartition) -> Result<(), MetadataError> {
        let epoch = self.machine.image().broker(NODE).map_or(-1, |b| b.epoch);
        let directory = DirectoryId::LOST;
        let written_off = self.ask(AssignDirectories {
            node: NODE,
            broker_epoch: epoch,
            replicas: vec![AssignedPartition {
                at,
                directory,
                whole: false,
            }],
        });
        self.keeper.follow();
        written_off.expect("it is known").remove(0)
    }

    fn get(&self, id: TopicPartition) -> Option<Arc<Partition>> {
        self.keeper.directory.get(id)
    }
}

/// A log whose state is not even a file.
fn make_unopenable(log: &Path) {
    let made = SystemDisk.create_dir_all(&log.join("state"));
    made.expect("a directory");
}

/// Holds a partition's append thread until the sender is dropped, with a queue that is full.
fn hold_thread_of(partition: &Partition) -> Sender<()> {
    let hold = stop_thread_of(partition);
    fill_queue_of(partition);
    hold
}

fn fill_queue_of(partition: &Partition) {
    while partition.log().roll(Box::new(drop)).is_ok() {}
}

/// Holds a partition's append thread until the sender is dropped.
fn stop_thread_of(partition: &Partition) -> Sender<()> {
    let (hold, held) = channel::<()>();
    let (begin, begun) = channel();
    let wait = move |_| {
        begin.send(()).expect("heard");
        held.recv().unwrap_or(());
    };
    partition.log().roll(Box::new(wait)).expect("room");
    begun.recv().expect("it begins");
    hold
}

/// Lets a held thread go on, and waits until it has done all that was queued.
fn let_go(hold: Sender<()>, partition: &Partition) {
    drop(hold);
    let (tell, told) = channel();
    let idle = |tell: Sender<()>| Box::new(move |_| tell.send(()).expect("heard"));
    while partition.log().roll(idle(tell.clone())).is_err() {
        std::thread::yield_now();
    }
    told.recv().expect("it is answered");
}

#[tokio::test]
async fn retention_keeps_its_time_however_often_the_image_changes() {
    let mut ticks = every(Duration::from_millis(20)).await;
    let mut changes = 0;
    let until_due = async {
        loop {
            tokio::select! {
                biased;
                _ = ticks.tick() => break,
                () = tokio::task::yield_now() => changes += 1,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), until_due)
        .await
        .expect("it ticks");
    assert!(changes > 0, "the first tick is one period away");
}

#[test]
fn a_deletion_that_finds_no_room_is_tried_again() {
    let mut rig = Rig::new();
    let id = rig.create("t", 1);
    let old = rig.get(id).expect("open");
    let hold = hold_thread_of(&old);
    rig.delete("t");
    assert!(rig.get(id).is_none(), "nobody finds it any more");
    assert!(!rig.keeper.finish(), "there is no room still");
    let again = rig.create("t", 1);
    assert!(rig.get(again).is_none(), "the name is taken");
    let_go(hold, &old);
    assert!(rig.keeper.finish());
    assert!(rig.keeper.unfinished.is_empty());
    rig.keeper.open_broken();
    assert!(rig.get(again).is_some(), "the name is free");
    assert_eq!(rig.keeper.directory.broken_count(), 0);
}

#[test]
fn a_place_that_finds_no_room_is_taken_later() {
    let mut rig = Rig::new();
    let id = rig.create("t", 1);
    let open = rig.get(id).expect("open");
    let topic = rig.keeper.seen.topic_by_id(id.topic).cloned();
    let was = Arc::clone(topic.expect("created").iter().next().expect("one").1);
    let leaderless = freshet_metadata::Partition {
        leader: None,
        leader_epoch: was.leader_epoch + 1,
        ..freshet_metadata::Partition::clone(&was)
    };
    let hold = hold_thread_of(&open);
    for _ in 0..2 {
        assert!(open.begin(&leaderless, 1).is_err(), "there is no room");
        assert!(!open.leads());
    }
    let_go(hold, &open);
    let turn = open.begin(&leaderless, 1).expect("room");
    open.finish(turn.expect("its log was told nothing yet"));
    let settled = open.begin(&leaderless, 1).expect("room");
    assert!(settled.is_none(), "once");
}

#[test]
fn a_partition_that_could_not_be_opened_is_opened_once_it_can_be() {
    let mut rig = Rig::new();
    let log = rig.folder.path().join("t-0");
    make_unopenable(&log);
    let id = rig.create("t", 1);
    assert!(rig.keeper.directory.broken(id).is_some());
    // Now the other directory has fewer logs.
    rig.create("u", 1);
    SystemDisk.remove_dir_all(&log).expect("it was there");
    rig.keeper.open_broken();
    let open = rig.get(id).expect("open");
    assert_eq!(open.view().dir().path(), rig.folder.path(), "where it was");
    assert!(rig.keeper.directory.broken(id).is_none());
}

#[test]
fn a_topic_deleted_while_its_log_cannot_be_opened_leaves_no_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("t-0");
    make_unopenable(&log);
    let mut rig = Rig::in_folder(folder);
    let id = rig.create("t", 1);
    assert!(rig.keeper.directory.broken(id).is_some());
    rig.delete("t");
    assert!(!log.exists());
    assert!(rig.keeper.unfinished.is_empty());
    let again = rig.create("t", 1);
    assert!(rig.get(again).is_some());
}

#[test]
fn retention_of_a_thread_without_room_holds_up_no_other_and_is_tried_again() {
    let mut rig = Rig::new();
    rig.create("t", 6);
    let all = rig.keeper.directory.all();
    let hold = hold_thread_of(&all[0]);
    rig.keeper.retain(&all);
    // Logs take turns on the threads.
    assert_eq!(rig.keeper.unfinished.retention.len(), 3);
    let_go(hold, &all[0]);
    assert!(!rig.keeper.finish(), "no deletion was due");
    assert!(rig.keeper.unfinished.is_empty());
}

#[test]
fn a_copy_that_was_written_off_begins_anew_once() {
    let mut rig = Rig::new();
    let id = rig.create_shared("t");
    let damaged = rig.get(id).expect("open");
    let mark = rig.folder.path().join("t-0/mark");
    let write = |path: &Path| SystemDisk.replace_small(path, b"old").expect("written");
    write(&mark);
    assert_eq!(rig.write_off(id), Ok(()));
    let anew = rig.get(id).expect("open again");
    assert!(!Arc::ptr_eq(&damaged, &anew));
    assert!(!mark.exists(), "of the old log nothing is left");
    // The controller does not know yet; what was copied since must stay.
    write(&mark);
    rig.create("u", 1);
    rig.keeper.follow();
    assert!(mark.exists());
    assert!(Arc::ptr_eq(&anew, &rig.get(id).expect("open")));
}

#[test]
fn a_copy_that_was_written_off_is_closed_however_much_its_thread_has_to_do() {
    let mut rig = Rig::new();
    let two = ("min.insync.replicas".to_owned(), Some("2".to_owned()));
    let id = rig.create_shared_so("t", vec![two]);
    let open = rig.get(id).expect("open");
    let hold = hold_thread_of(&open);
    let later = freshet_env::tasks::spawn_thread("later", move || {
        std::thread::park_timeout(Duration::from_millis(200));
        drop(hold);
    });
    let later = later.expect("a thread");
    assert_eq!(rig.write_off(id), Ok(()));
    later.join().expect("it ends");
    assert!(rig.get(id).is_none(), "too few others have everything");
    let dir = Arc::clone(open.view().dir());
    assert_eq!(dir.closed_logs(), [open.name().clone()]);
}

#[test]
fn nothing_is_kept_of_the_damage_of_a_replica_that_is_gone() {
    let mut rig = Rig::new();
    let id = rig.create_shared("t");
    rig.keeper.around.damage.report(id, "a bit flipped".into());
    rig.keeper.look_for_damage();
    assert_eq!(rig.losses.0.lock().len(), 1);
    rig.delete("t");
    assert!(rig.keeper.damaged.is_empty());
}

#[test]
fn damage_is_told_and_nothing_is_removed_before_the_controller_agrees() {
    let mut rig = Rig::new();
    // Before there is another broker.
    let alone = rig.create("alone", 1);
    let id = rig.create_shared("t");
    let open = rig.get(id).expect("open");
    for at in [id, alone] {
        rig.keeper.around.damage.report(at, "a bit flipped".into());
    }
    rig.keeper.look_for_damage();
    assert_eq!(rig.losses.0.lock().len(), 2);
    assert!(Arc::ptr_eq(&open, &rig.get(id).expect("it serves on")));
    let refused = rig.write_off(alone);
    assert!(refused.is_err(), "nobody else has it: {refused:?}");
    assert!(rig.get(alone).is_some());
    // It may have been too early: it is told again.
    rig.keeper.look_for_damage();
    assert_eq!(rig.losses.0.lock().len(), 4);
    assert_eq!(rig.write_off(id), Ok(()));
    rig.keeper.look_for_damage();
    assert_eq!(rig.losses.0.lock().len(), 5, "only of the other one");
}

#[test]
fn a_log_that_ends_below_what_was_committed_is_not_opened() {
    let mut rig = Rig::new();
    let id = rig.create_shared("t");
    let dirs = rig.keeper.parts.writers.dirs();
    dirs[0].keep_committed(&[(id, 5)]).expect("kept");
    rig.keeper.parts.writers.stop().expect("stopped");
    let Rig { folder, keeper, .. } = rig;
    drop(keeper);
    let mut rig = Rig::in_folder(folder);
    assert_eq!(rig.create_shared("t"), id, "the same life of the topic");
    let why = rig.keeper.directory.broken(id).expect("not open");
    assert!(why.contains("5 was committed"), "{why}");
    assert_eq!(*rig.losses.0.lock(), [id]);
    // It is not forgotten by the next checkpoint, nor by another try.
    rig.keeper.keep_committed();
    rig.keeper.open_broken();
    assert!(rig.get(id).is_none());
    assert_eq!(rig.write_off(id), Ok(()));
    assert!(rig.get(id).is_some(), "it begins anew");
}

#[test]
fn a_change_in_one_partition_is_no_news_of_the_others() {
    let mut rig = Rig::new();
    let id = rig.create("wide", 3);
    let before = Arc::clone(&rig.keeper.seen);
    let before = before.topic_by_id(id.topic).expect("it was created");
    let mut after = Topic::clone(before);
    Arc::make_mut(&mut after.partitions[1]).partition_epoch += 1;
    let news = |after: &Arc<Topic>| -> Vec<i32> {
        let layers = rig.keeper.layers(&rig.keeper.seen);
        let wanted = rig.keeper.wanted(after, &layers, &layers.logs());
        let news = wanted.filter(|wanted| wanted.is_news_since(before));
        news.map(|wanted| wanted.id.partition).collect()
    };
    assert_eq!(news(&Arc::new(after.clone())), [1]);
    after.configs = Arc::new(Overrides::clone(&after.configs));
    assert_eq!(news(&Arc::new(after)), [0, 1, 2], "settings are of all");
}
