//! Brokers whose partitions are the real ones. Some are registered and no more: the test speaks for
//! them.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::Bytes;
use freshet_log::{LogDir, Origin, Writers, WritersOptions};
use freshet_metadata::{
    Ask, CreateTopics, Heartbeat, MetadataImage, MetadataMachine, MetadataOptions, NewTopic,
    PastLife, RegisterBroker, SessionOptions,
};
use freshet_partition::replication::{Answer, Divergence};
use freshet_partition::{
    Acks, Directory, DirectoryParts, DirectoryThread, FetchPoint, Follow, Isolation, NoProposals,
    Partition, Produce, ProduceDone, ProduceError, ReadError, ReplicaFetch, ReplicaFetchError,
};
use freshet_records::{BatchBuilder, Codec, NewRecord};
use freshet_settings::{StaticSettings, StaticSettingsBuilder};
use freshet_sim::{FakeClock, FakeDisk};
use freshet_types::{
    LeaderEpoch, Machine, Millis, NodeId, Now, Offset, Position, Published, Ticket, Timestamp,
    TopicId, TopicPartition,
};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

const START: Timestamp = Timestamp(1_700_000_000_000);
/// Of which the first ones are real.
const BROKERS: i32 = 3;
/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(20);
/// Copying ends after fewer rounds than this.
const ROUNDS: usize = 20;

struct Broker {
    disk: FakeDisk,
    image: watch::Sender<Arc<MetadataImage>>,
    directory: Arc<Directory>,
    thread: Option<DirectoryThread>,
    writers: Arc<Writers>,
}

/// What became of a produce.
pub(crate) type Told = Receiver<Result<Offset, ProduceError>>;

/// What a leader answered to one fetch.
pub(crate) struct Answered {
    pub(crate) point: FetchPoint,
    pub(crate) answer: Answer,
    pub(crate) records: Bytes,
}

/// Three brokers, and a controller that decides at once.
pub(crate) struct Stage {
    machine: MetadataMachine,
    decided: i64,
    /// Registrations, in order of the brokers.
    epochs: Vec<i64>,
    real: Vec<Broker>,
    pub(crate) runtime: Runtime,
}

impl Stage {
    /// Brokers 1 to `real` have partitions.
    pub(crate) fn new(real: usize) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let statics = StaticSettingsBuilder::default().finish().unwrap().0;
        let statics = Arc::new(statics);
        let options = MetadataOptions::of_cluster(Arc::clone(&statics), SessionOptions::default());
        let mut stage = Self {
            machine: MetadataMachine::new(options),
            decided: 0,
            epochs: Vec::new(),
            real: Vec::new(),
            runtime,
        };
        for node in 1..=BROKERS {
            let epoch = stage.ask(registration(NodeId(node))).unwrap();
            stage.epochs.push(epoch);
            stage.beat(node, false);
        }
        for node in (1..=BROKERS).take(real) {
            let broker = stage.start(NodeId(node), &statics);
            stage.real.push(broker);
        }
        stage
    }

    fn start(&self, node: NodeId, statics: &Arc<StaticSettings>) -> Broker {
        let _entered = self.runtime.enter();
        let clock = Arc::new(FakeClock::new(START));
        let disk = FakeDisk::new(0);
        let dir = LogDir::open(Arc::new(disk.clone()), Path::new("/data")).unwrap();
        let options = WritersOptions {
            append_threads: 1,
            read_threads: 1,
            reserve_bytes: 0,
            ..WritersOptions::default()
        };
        let writers = Writers::start(vec![dir], Arc::<FakeClock>::clone(&clock), options).unwrap();
        let (image, watched) = watch::channel(self.image());
        let (directory, thread) = Directory::start(DirectoryParts {
            node,
            writers: Arc::clone(&writers),
            directory_ids: Vec::new(),
            statics: Arc::clone(statics),
            image: watched,
            clock,
            proposals: Arc::new(NoProposals),
            past_readers: None,
            neighbours: Vec::new(),
        })
        .unwrap();
        Broker {
            disk,
            image,
            directory,
            thread: Some(thread),
            writers,
        }
    }

    fn image(&self) -> Arc<MetadataImage> {
        self.machine.publish(Position {
            offset: self.decided,
            epoch: 1,
        })
    }

    /// Has the controller decide; all brokers have done what it says when this ends.
    fn ask<A: Ask>(&mut self, request: A) -> A::Answer {
        let now = Now {
            monotonic: Millis(1),
            wall: START,
        };
        let mut decision = self.machine.decide(now, Ticket(0), request.into());
        for record in &decision.records {
            self.machine.apply(record);
        }
        self.decided += 1;
        let image = self.image();
        for broker in &self.real {
            broker.image.send_replace(Arc::clone(&image));
            let applied = broker.directory.applied(image.position());
            self.wait("the image is applied", applied);
        }
        A::answer(decision.replies.remove(0).1)
    }

    /// A broker says that it lives, and whether others should lead.
    pub(crate) fn beat(&mut self, node: i32, wants_fence: bool) {
        let beat = Heartbeat {
            node: NodeId(node),
            epoch: self.registration(node),
            version: self.image().version(),
            wants_fence,
            wants_shutdown: false,
            offline_directories: Vec::new(),
            cordoned_directories: Vec::new(),
            slow_directories: Vec::new(),
            full_directories: Vec::new(),
        };
        self.ask(beat).unwrap();
    }

    fn registration(&self, node: i32) -> i64 {
        self.epochs[index(node)]
    }

    /// A topic with one partition, of which two copies must be in sync. The first of its replicas
    /// leads.
    pub(crate) fn create(&mut self, replicas: &[i32]) -> TopicPartition {
        let replicas = replicas.iter().copied().map(NodeId).collect();
        let topic = NewTopic {
            name: "t".to_owned(),
            id: TopicId([1; 16]),
            partitions: -1,
            replication_factor: -1,
            assignments: vec![(0, replicas)],
            configs: vec![("min.insync.replicas".to_owned(), Some("2".to_owned()))],
        };
        let mut created = self.ask(CreateTopics {
            topics: vec![topic],
            validate_only: false,
        });
        TopicPartition {
            topic: created.remove(0).unwrap().id,
            partition: 0,
        }
    }

    /// The same, but its first leader is gone at once: `next` leads in epoch 1.
    pub(crate) fn create_for_second(&mut self, replicas: &[i32]) -> TopicPartition {
        let at = self.create(replicas);
        self.beat(replicas[0], true);
        assert_eq!(self.leads(at), (NodeId(replicas[1]), 1));
        at
    }

    /// Who leads, and in which epoch.
    pub(crate) fn leads(&self, at: TopicPartition) -> (NodeId, LeaderEpoch) {
        let image = self.image();
        let state = image.partition(at).unwrap();
        (state.leader.unwrap(), state.leader_epoch)
    }

    pub(crate) fn partition(&self, node: i32, at: TopicPartition) -> Arc<Partition> {
        self.real[index(node)].directory.get(at).unwrap()
    }

    pub(crate) fn disk(&self, node: i32) -> &FakeDisk {
        &self.real[index(node)].disk
    }

    pub(crate) fn wait<T>(&self, what: &str, until: impl Future<Output = T>) -> T {
        let waited = self
            .runtime
            .block_on(async { timeout(PATIENCE, until).await });
        waited.expect(what)
    }

    pub(crate) fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let looks = async {
            while !holds() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        self.wait(what, looks);
    }

    /// Begins to store a record.
    pub(crate) fn produce(
        &self,
        (node, at): (i32, TopicPartition),
        value: &str,
        acks: Acks,
        leader_epoch: Option<LeaderEpoch>,
    ) -> Told {
        let (tell, told) = channel();
        let done: ProduceDone = Box::new(move |result| {
            // A test that has failed listens no more.
            let _ = tell.send(result.map(|appended| appended.last_offset));
        });
        let batch = batch(value);
        self.partition(node, at).produce(Produce {
            frame_bytes: batch.len(),
            batch,
            origin: Origin::Client,
            acks,
            leader_epoch,
            done,
        });
        told
    }

    /// Has a leader write and flush a record that nobody else has.
    pub(crate) fn write(&self, node: i32, at: TopicPartition, value: &str) -> Offset {
        let told = self.produce((node, at), value, Acks::Leader, None);
        let offset = told.recv_timeout(PATIENCE).unwrap().unwrap();
        let partition = self.partition(node, at);
        self.until("it is flushed", || partition.view().flushed() > offset);
        offset
    }

    /// The same with two: once the second is flushed, the leader has heard that of the first.
    pub(crate) fn write_two(&self, node: i32, at: TopicPartition) {
        self.write(node, at, "a");
        self.write(node, at, "b");
    }

    /// A follower says what it has, in the epoch of the leader that it follows.
    pub(crate) fn report(
        &self,
        leader: i32,
        at: TopicPartition,
        (follower, leader_epoch): (i32, LeaderEpoch),
        end: Offset,
    ) -> Result<(), ReplicaFetchError> {
        let fetch = ReplicaFetch {
            node: NodeId(follower),
            broker_epoch: self.registration(follower),
            leader_epoch,
            log_start: 0,
            end,
        };
        self.partition(leader, at)
            .replica_fetched(fetch, &self.image())
    }

    /// One fetch of a follower, as the leader's door answers it.
    pub(crate) fn fetch(&self, leader: i32, at: TopicPartition, follower: i32) -> Answered {
        let point = self.partition(follower, at).fetch_point().unwrap();
        let (answer, records) = self.answer(leader, at, follower, point);
        Answered {
            point,
            answer,
            records,
        }
    }

    fn answer(
        &self,
        leader: i32,
        at: TopicPartition,
        follower: i32,
        point: FetchPoint,
    ) -> (Answer, Bytes) {
        let partition = self.partition(leader, at);
        let without_records = |answer| (answer, Bytes::new());
        match partition.check_epoch(point.leader_epoch) {
            Ok(()) => {}
            Err(ReadError::FencedEpoch { .. }) => return without_records(Answer::Fenced),
            Err(_) => return without_records(Answer::NotLeader),
        }
        let from = point.fetch_offset;
        let node = Some(NodeId(follower));
        if let Some(end) = partition.departs(node, point.last_epoch, from).unwrap() {
            return without_records(Answer::Diverged(Divergence {
                epoch: end.epoch,
                end: end.end_offset,
            }));
        }
        let follows = (follower, point.leader_epoch);
        if self.report(leader, at, follows, from).is_err() {
            return without_records(Answer::NotLeader);
        }
        let read = partition.read(from, 1 << 20, Isolation::LogEnd, true);
        let slice = self.wait("it is read", read).unwrap();
        let answer = Answer::Records {
            any: slice.fetched.bytes > 0,
            high_watermark: slice.ends.high_watermark,
            log_start: slice.ends.log_start,
        };
        (answer, slice.fetched.chunks.concat().into())
    }

    /// A follower hears the answer to a fetch.
    pub(crate) fn hear(&self, node: i32, at: TopicPartition, answered: &Answered) -> Follow {
        let partition = self.partition(node, at);
        let Answered {
            point,
            answer,
            records,
        } = answered;
        let follow = partition.follow(point.leader_epoch, *answer, records.clone(), false);
        self.wait("it follows", follow)
    }

    /// Copies until there is nothing new.
    pub(crate) fn copy(&self, leader: i32, at: TopicPartition, follower: i32) {
        for _ in 0..ROUNDS {
            let answered = self.fetch(leader, at, follower);
            self.hear(follower, at, &answered);
        }
    }

    /// All that is written.
    pub(crate) fn bytes(&self, node: i32, at: TopicPartition) -> Vec<u8> {
        let partition = self.partition(node, at);
        let read = partition.read(0, 1 << 20, Isolation::LogEnd, true);
        self.wait("it is read", read)
            .unwrap()
            .fetched
            .chunks
            .concat()
    }
}

impl Drop for Stage {
    /// Also after a panic, with calls that the disk has held.
    fn drop(&mut self) {
        for broker in &mut self.real {
            broker.disk.heal();
            broker.disk.resume();
            if let Some(thread) = broker.thread.take() {
                thread.stop();
            }
            let stopped = broker.writers.stop();
            assert!(stopped.is_ok() || std::thread::panicking(), "{stopped:?}");
        }
    }
}

fn index(node: i32) -> usize {
    usize::try_from(node - 1).unwrap()
}

fn registration(node: NodeId) -> RegisterBroker {
    RegisterBroker {
        node,
        incarnation: [1; 16],
        listeners: Vec::new(),
        rack: None,
        directories: Vec::new(),
        features: Vec::new(),
        past: PastLife::None,
    }
}

fn batch(value: &str) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    let record = NewRecord {
        timestamp: START,
        value: Some(value.as_bytes()),
        ..NewRecord::default()
    };
    builder.push(&record).unwrap();
    builder.finish().unwrap().bytes().clone()
}
