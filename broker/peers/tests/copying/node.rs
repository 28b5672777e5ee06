//! One broker: logs, partitions, the real face for others, and what copies from them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freshet_coordinators::groups::Limits;
use freshet_env::{Clock, Disk, SystemClock, SystemDisk, SystemRng};
use freshet_log::{Appended, LogDir, Origin, Writers, WritersOptions};
use freshet_metadata::{BrokerListener, FenceBroker, Heartbeat, PastLife, RegisterBroker};
use freshet_partition::{
    Acks, Directory, DirectoryParts, DirectoryThread, GroupShards, Isolation, Neighbour, Partition,
    Produce, ProduceError, Proposals,
};
use freshet_peers::followers::{Followers, FollowersParts, IsrProposals, IsrProposalsParts};
use freshet_quorum::Quorum;
use freshet_records::{BatchBuilder, Codec, NewRecord};
use freshet_server::{Context, Faces, Identity, Listeners, Parts, Stop, Stopper, serve};
use freshet_settings::{SecurityProtocol, StaticSettings};
use freshet_types::{ClusterId, NodeId, TopicPartition};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::council::{Council, Seat};

const LISTENER: &str = "PLAINTEXT";

pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) epoch: i64,
    pub(crate) followers: Arc<Followers>,
    council: Arc<Council>,
    partitions: Arc<Directory>,
    proposals: JoinHandle<()>,
    faces: Faces,
    stopper: Stopper,
    directory_thread: DirectoryThread,
    writers: Arc<Writers>,
    port: u16,
    life: u8,
    broker_epoch: watch::Sender<i64>,
    _folder: TempDir,
}

impl Node {
    pub(crate) async fn start(
        council: &Arc<Council>,
        id: i32,
        statics: &Arc<StaticSettings>,
    ) -> Self {
        let id = NodeId(id);
        let folder = tempfile::tempdir().expect("a folder");
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = socket.local_addr().expect("it is bound").port();
        let seat = council.view(id);
        let epoch = council.ask(registration(id, port, 0)).expect("it may come");
        let broker_epoch = watch::Sender::new(epoch);
        let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let dir = LogDir::open(disk, folder.path()).expect("a log directory");
        let options = WritersOptions {
            append_threads: 1,
            reserve_bytes: 0,
            ..WritersOptions::default()
        };
        let writers = Writers::start(vec![dir], Arc::clone(&clock), options).expect("threads");
        let followers = Followers::new(FollowersParts {
            node: id,
            listener: LISTENER.to_owned(),
            statics: Arc::clone(statics),
            image: seat.watch(),
            broker_epoch: broker_epoch.subscribe(),
        })
        .expect("threads");
        let proposals = IsrProposals::new();
        let (partitions, directory_thread) = Directory::start(DirectoryParts {
            node: id,
            writers: Arc::clone(&writers),
            directory_ids: Vec::new(),
            statics: Arc::clone(statics),
            image: seat.watch(),
            clock: Arc::clone(&clock),
            proposals: Arc::clone(&proposals) as Arc<dyn Proposals>,
            past_readers: None,
            neighbours: vec![Arc::clone(&followers) as Arc<dyn Neighbour>],
        })
        .expect("a directory");
        let proposals = tokio::spawn(proposals.run(IsrProposalsParts {
            node: id,
            broker_epoch: broker_epoch.subscribe(),
            quorum: Arc::clone(&seat) as Arc<dyn Quorum<_>>,
            directory: Arc::clone(&partitions),
        }));
        let (stopper, stop) = Stop::new();
        let context = Context::new(parts(
            id,
            seat,
            &partitions,
            (&writers, statics),
            stop.clone(),
        ));
        let listeners = Listeners {
            kafka: vec![(LISTENER.to_owned(), socket)],
            http: None,
        };
        let faces = serve(&context, listeners, &stop, Duration::from_secs(1)).expect("threads");
        let node = Self {
            id,
            epoch,
            followers,
            council: Arc::clone(council),
            partitions,
            proposals,
            faces,
            stopper,
            directory_thread,
            writers,
            port,
            life: 0,
            broker_epoch,
            _folder: folder,
        };
        node.beat(false);
        node
    }

    /// Says that it lives, and whether it wants to be fenced.
    pub(crate) fn beat(&self, wants_fence: bool) {
        let beat = Heartbeat {
            node: self.id,
            epoch: self.epoch,
            version: self.council.image().version(),
            wants_fence,
            wants_shutdown: false,
            offline_directories: Vec::new(),
            cordoned_directories: Vec::new(),
            slow_directories: Vec::new(),
            full_directories: Vec::new(),
        };
        self.council.ask(beat).expect("it is registered");
    }

    /// The controller has struck it off: it registers as if it had just begun.
    pub(crate) fn register_again(&mut self) {
        self.life += 1;
        let (node, epoch) = (self.id, self.epoch);
        let struck_off = self.council.ask(FenceBroker { node, epoch });
        struck_off.expect("it was registered");
        let request = registration(self.id, self.port, self.life);
        self.epoch = self.council.ask(request).expect("it may come");
        self.broker_epoch.send_replace(self.epoch);
    }

    pub(crate) fn get(&self, at: TopicPartition) -> Option<Arc<Partition>> {
        self.partitions.get(at)
    }

    pub(crate) fn partition(&self, at: TopicPartition) -> Arc<Partition> {
        self.get(at).expect("it is open here")
    }

    pub(crate) async fn produce(
        &self,
        at: TopicPartition,
        value: &str,
        acks: Acks,
    ) -> Result<Appended, ProduceError> {
        let batch = batch(value.as_bytes());
        let (tell, told) = oneshot::channel();
        self.partition(at).produce(Produce {
            frame_bytes: batch.len(),
            batch,
            origin: Origin::Client,
            acks,
            leader_epoch: None,
            done: Box::new(move |result| drop(tell.send(result))),
        });
        told.await.expect("it is told")
    }

    /// All that is written, from the log's start on.
    pub(crate) async fn bytes(&self, at: TopicPartition) -> Vec<u8> {
        let partition = self.partition(at);
        let mut from = partition.ends().log_start;
        let mut all = Vec::new();
        while from < partition.ends().log_end {
            let read = partition.read(from, 1 << 20, Isolation::LogEnd, true);
            let fetched = read.await.expect("it is readable").fetched;
            all.extend(fetched.chunks.concat());
            from = fetched.next_offset;
        }
        all
    }

    pub(crate) async fn stop(self) {
        self.stopper.stop();
        self.faces.ended().await;
        self.followers.stop().await;
        self.proposals.abort();
        tokio::task::block_in_place(|| {
            self.directory_thread.stop();
            self.writers.stop().expect("a clean stop");
        });
    }
}

fn parts(
    node_id: NodeId,
    seat: Arc<Seat>,
    partitions: &Arc<Directory>,
    (writers, statics): (&Arc<Writers>, &Arc<StaticSettings>),
    stop: Stop,
) -> Parts {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    Parts {
        identity: Identity {
            cluster_id: ClusterId("copying".into()),
            node_id,
        },
        quorum: seat,
        voters: None,
        partitions: Arc::clone(partitions),
        groups: Arc::new(GroupShards::new(Limits::default(), Arc::clone(&clock))),
        writers: Arc::clone(writers),
        statics: Arc::clone(statics),
        clock,
        rng: Arc::new(SystemRng),
        stop,
        peers: None,
        readiness: Vec::new(),
    }
}

fn registration(node: NodeId, port: u16, life: u8) -> RegisterBroker {
    RegisterBroker {
        node,
        incarnation: [life + 1; 16],
        listeners: vec![BrokerListener {
            name: LISTENER.to_owned(),
            host: "127.0.0.1".to_owned(),
            port,
            protocol: SecurityProtocol::Plaintext,
        }],
        rack: None,
        directories: Vec::new(),
        features: Vec::new(),
        past: PastLife::None,
    }
}

fn batch(value: &[u8]) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    let record = NewRecord {
        timestamp: SystemClock::new().wall(),
        value: Some(value),
        ..NewRecord::default()
    };
    builder.push(&record).expect("it fits");
    builder.finish().expect("not empty").bytes().clone()
}
