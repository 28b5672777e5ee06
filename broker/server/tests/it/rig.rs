//! A whole broker in this process, and a bare connection to it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use freshet_codec::{Message, Reader};
use freshet_coordinators::groups::Limits;
use freshet_env::disk::SystemDisk;
use freshet_env::{Clock, Disk, Rng, SystemClock, SystemRng};
use freshet_log::{LogDir, Writers, WritersOptions};
use freshet_metadata::{
    Ask, BrokerListener, Heartbeat, MetadataImage, MetadataMachine, MetadataOptions, PastLife,
    RegisterBroker, SessionOptions,
};
use freshet_partition::replication::IsrChange;
use freshet_partition::{
    Directory, DirectoryParts, DirectoryThread, GroupShards, Neighbour, Proposals,
};
use freshet_quorum::{Quorum, Solo, SoloOptions};
use freshet_records::{BatchBuilder, Codec, NewRecord, Producer};
use freshet_server::{
    Context, Faces, Identity, Listeners, Parts, PeerDoor, QuorumFace, Stop, Stopper, serve,
};
use freshet_settings::{SecurityProtocol, StaticSettings, StaticSettingsBuilder};
use freshet_types::{ClusterId, NodeId, TopicId, TopicPartition};
use freshet_wire::create_topics::CreatableTopic;
use freshet_wire::{
    CreateTopicsRequest, ErrorCode, ProduceRequest, Request, RequestHeader, ResponseHeader,
    encode_request, produce,
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// The broker's id.
pub(crate) const NODE: i32 = 1;
/// Longer than any answer may take here.
const LIMIT: Duration = Duration::from_secs(30);

/// A broker that serves until it is dropped.
pub(crate) struct Rig {
    address: std::net::SocketAddr,
    http_address: std::net::SocketAddr,
    runtime: Runtime,
    faces: Option<Faces>,
    stopper: Stopper,
    directory_thread: Option<DirectoryThread>,
    writers: Arc<Writers>,
    quorum: Arc<Solo<MetadataMachine>>,
    _folder: TempDir,
}

impl Rig {
    /// Raises a broker with default settings but for those of `set`.
    pub(crate) fn start(set: &[(&str, &str)]) -> Self {
        Self::raise(set, &Surroundings::default())
    }

    /// Raises a broker among others that are registered and alive, but only on paper.
    pub(crate) fn among(set: &[(&str, &str)], surroundings: &Surroundings) -> Self {
        Self::raise(set, surroundings)
    }

    fn raise(set: &[(&str, &str)], surroundings: &Surroundings) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let statics = Arc::new(settings(set));
        let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let rng: Arc<dyn Rng> = Arc::new(SystemRng);
        let socket = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let socket = socket.expect("a port");
        let address = socket.local_addr().expect("it is bound");
        let http = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let http = http.expect("a port");
        let http_address = http.local_addr().expect("it is bound");
        let quorum = Solo::start(
            Arc::clone(&disk),
            &folder.path().join("metadata"),
            Arc::clone(&clock),
            MetadataMachine::new(surroundings.options(&statics)),
            SoloOptions::default(),
        );
        let quorum = Arc::new(quorum.expect("a metadata log"));
        runtime.block_on(register(&quorum, NODE, address.port(), surroundings.racks));
        for node in &surroundings.others {
            runtime.block_on(register(&quorum, *node, 1, surroundings.racks));
        }
        let dir = LogDir::open(disk, &folder.path().join("logs")).expect("a log directory");
        let options = WritersOptions {
            append_threads: 1,
            ..WritersOptions::default()
        };
        let writers = Writers::start(vec![dir], Arc::clone(&clock), options);
        let writers = writers.expect("log threads");
        let limits = Limits {
            initial_rebalance_delay_ms: 0,
            ..Limits::default()
        };
        let guard = runtime.enter();
        let groups = Arc::new(GroupShards::new(limits, Arc::clone(&clock)));
        let (partitions, directory_thread) = Directory::start(DirectoryParts {
            node: NodeId(NODE),
            writers: Arc::clone(&writers),
            directory_ids: Vec::new(),
            statics: Arc::clone(&statics),
            image: quorum.watch(),
            clock: Arc::clone(&clock),
            proposals: Arc::clone(&surroundings.proposals) as Arc<dyn Proposals>,
            past_readers: None,
            neighbours: vec![Arc::clone(&groups) as Arc<dyn Neighbour>],
        })
        .expect("a directory");
        let (stopper, stop) = Stop::new();
        let context = Context::new(Parts {
            identity: Identity {
                cluster_id: ClusterId("rig".into()),
                node_id: NodeId(NODE),
            },
            quorum: Arc::clone(&quorum) as Arc<dyn Quorum<MetadataMachine>>,
            voters: surroundings.voters.clone(),
            partitions,
            groups,
            writers: Arc::clone(&writers),
            statics,
            clock,
            rng,
            stop: stop.clone(),
            peers: surroundings.peers.clone(),
            readiness: Vec::new(),
        });
        let listeners = Listeners {
            kafka: vec![("PLAINTEXT".to_owned(), socket)],
            http: Some(http),
        };
        let faces = serve(&context, listeners, &stop, Duration::from_secs(1)).expect("threads");
        drop(guard);
        Self {
            address,
            http_address,
            runtime,
            faces: Some(faces),
            stopper,
            directory_thread: Some(directory_thread),
            writers,
            quorum,
            _folder: folder,
        }
    }

    /// Has the controller decide.
    pub(crate) fn decide<A: Ask>(&self, request: A) -> A::Answer {
        let reply = self.runtime.block_on(self.quorum.propose(request.into()));
        A::answer(reply.expect("the quorum"))
    }

    /// The cluster as it is now.
    pub(crate) fn image(&self) -> Arc<MetadataImage> {
        Arc::clone(&self.quorum.watch().borrow())
    }

    /// Status and body of a page.
    pub(crate) fn page(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.http_address).expect("HTTP is served");
        let request = format!("GET {path} HTTP/1.1\r\nHost: rig\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("a request");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("a reply");
        let (head, body) = reply.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        (status.expect("a status"), body.to_owned())
    }

    /// Where logs are.
    pub(crate) fn log_dir(&self) -> std::path::PathBuf {
        self.writers.dirs()[0].path().to_owned()
    }

    /// The same as its broker sees it.
    pub(crate) fn disk(&self) -> &LogDir {
        &self.writers.dirs()[0]
    }

    /// What a series of `/metrics` says; none if there is no such series.
    pub(crate) fn series(&self, name: &str) -> Option<f64> {
        let (_, page) = self.page("/metrics");
        let mut values = page
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = values.next()?.parse().expect("a number");
        assert_eq!(values.next(), None, "{name} twice");
        Some(value)
    }

    /// A new connection.
    pub(crate) fn connect(&self) -> Raw {
        let stream = TcpStream::connect(self.address).expect("the broker listens");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        stream.set_nodelay(true).expect("no delay");
        Raw { stream, last_id: 0 }
    }
}

/// What is around the broker.
#[derive(Default)]
pub(crate) struct Surroundings {
    /// Other brokers: they have said that they live, and will not be missed for an hour.
    pub(crate) others: Vec<i32>,
    /// The quorum's voters.
    pub(crate) voters: Option<Arc<dyn QuorumFace>>,
    /// Hears other nodes.
    pub(crate) peers: Option<Arc<dyn PeerDoor>>,
    /// Each broker stands in a rack of its own, `rack-` and its number.
    pub(crate) racks: bool,
    /// What leaders would have the controller do; nobody tells it.
    pub(crate) proposals: Arc<Proposed>,
}

/// Proposals that were made.
#[derive(Default)]
pub(crate) struct Proposed(Mutex<Vec<IsrChange>>);

impl Proposed {
    /// All since the last time.
    pub(crate) fn take(&self) -> Vec<IsrChange> {
        std::mem::take(&mut self.0.lock().expect("no panic"))
    }
}

impl Proposals for Proposed {
    fn propose(&self, _: TopicPartition, change: IsrChange) {
        self.0.lock().expect("no panic").push(change);
    }
}

impl Surroundings {
    fn options(&self, statics: &Arc<StaticSettings>) -> MetadataOptions {
        let statics = Arc::clone(statics);
        if self.others.is_empty() {
            return MetadataOptions::of(statics);
        }
        let sessions = SessionOptions {
            timeout_ms: 3_600_000,
            balance_every_ms: None,
            ..SessionOptions::default()
        };
        MetadataOptions::of_cluster(statics, sessions)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(faces) = self.faces.take() {
            self.runtime.block_on(faces.ended());
        }
        if let Some(thread) = self.directory_thread.take() {
            thread.stop();
        }
        // The folder goes anyway.
        let _ = self.writers.stop();
        self.quorum.stop();
    }
}

fn settings(set: &[(&str, &str)]) -> StaticSettings {
    let mut builder = StaticSettingsBuilder::default();
    for (name, value) in set {
        let argument = format!("{name}={value}");
        builder = builder.set(&argument).expect("a setting");
    }
    builder.finish().expect("settings that agree").0
}

async fn register(quorum: &Solo<MetadataMachine>, node: i32, port: u16, racks: bool) {
    let request = RegisterBroker {
        node: NodeId(node),
        incarnation: [1; 16],
        listeners: vec![BrokerListener {
            name: "PLAINTEXT".to_owned(),
            host: "127.0.0.1".to_owned(),
            port,
            protocol: SecurityProtocol::Plaintext,
        }],
        rack: racks.then(|| format!("rack-{node}")),
        directories: Vec::new(),
        features: Vec::new(),
        past: PastLife::None,
    };
    let answer = quorum.propose(request.into()).await.expect("the quorum");
    let epoch = RegisterBroker::answer(answer).expect("a first broker may come");
    let version = quorum.watch().borrow().version();
    let alive = heartbeat(node, epoch, version);
    let answer = quorum.propose(alive.into()).await.expect("the quorum");
    Heartbeat::answer(answer).expect("it is registered");
}

/// What a broker says that is well.
pub(crate) fn heartbeat(node: i32, epoch: i64, version: u64) -> Heartbeat {
    Heartbeat {
        node: NodeId(node),
        epoch,
        version,
        wants_fence: false,
        wants_shutdown: false,
        offline_directories: Vec::new(),
        cordoned_directories: Vec::new(),
        slow_directories: Vec::new(),
        full_directories: Vec::new(),
    }
}

/// A connection that sends any request in any version.
pub(crate) struct Raw {
    stream: TcpStream,
    last_id: i32,
}

impl Raw {
    /// Sends a request and reads the whole reply in the same version.
    pub(crate) fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        let id = self.send_as(version, request);
        self.receive_as::<R>(version, id)
    }

    /// Sends a request in the latest version; gives its number.
    pub(crate) fn send<R: Request>(&mut self, request: &R) -> i32 {
        self.send_as(*R::VERSIONS.end(), request)
    }

    /// Reads the reply to the request of a number.
    pub(crate) fn receive<R: Request>(&mut self, id: i32) -> R::Response {
        self.receive_as::<R>(*R::VERSIONS.end(), id)
    }

    fn send_as<R: Request>(&mut self, version: i16, request: &R) -> i32 {
        let api = format!("{} version {version}", R::KEY.name());
        self.last_id += 1;
        let header = RequestHeader::of::<R>(version, self.last_id, Some("raw"));
        let frame = encode_request(&header, request).expect(&api).into_bytes();
        self.stream.write_all(&frame).expect(&api);
        self.last_id
    }

    fn receive_as<R: Request>(&mut self, version: i16, id: i32) -> R::Response {
        let api = format!("{} version {version}", R::KEY.name());
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).expect(&api);
        let length = usize::try_from(i32::from_be_bytes(length)).expect(&api);
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect(&api);
        let mut reader = Reader::new(Bytes::from(body));
        let header_version = ResponseHeader::version(R::KEY, R::FLEXIBLE, version);
        let header = ResponseHeader::decode(&mut reader, header_version).expect(&api);
        assert_eq!(header.correlation_id, id, "{api}");
        let response = R::Response::decode(&mut reader, version).expect(&api);
        assert!(reader.rest().is_empty(), "{api}: bytes behind the reply");
        response
    }

    /// Whether the broker closes the connection instead of answering.
    pub(crate) fn is_refused<R: Request>(&mut self, request: &R) -> bool {
        let header = RequestHeader::of::<R>(*R::VERSIONS.end(), 1, Some("rig"));
        let frame = encode_request(&header, request)
            .expect("a frame")
            .into_bytes();
        self.stream.write_all(&frame).expect("sent");
        matches!(self.stream.read(&mut [0]), Ok(0))
    }

    /// The same in the latest version.
    pub(crate) fn latest<R: Request>(&mut self, request: &R) -> R::Response {
        self.call(*R::VERSIONS.end(), request)
    }

    /// Creates a topic and gives its id.
    pub(crate) fn create(&mut self, topic: &str, partitions: i32) -> TopicId {
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: topic.to_owned(),
                num_partitions: partitions,
                replication_factor: -1,
                ..CreatableTopic::default()
            }],
            ..CreateTopicsRequest::default()
        };
        let told = self.latest(&request).topics.remove(0);
        assert_eq!(told.error_code, ErrorCode::None.code(), "{told:?}");
        told.topic_id
    }
    /// Stores one record; gives its offset.
    pub(crate) fn produce(&mut self, topic: TopicId, partition: i32, value: &[u8]) -> i64 {
        let partition = produce::PartitionProduceData {
            index: partition,
            records: Some(batch(value)),
        };
        let request = ProduceRequest {
            acks: -1,
            timeout_ms: 10_000,
            topic_data: vec![produce::TopicProduceData {
                topic_id: topic,
                partition_data: vec![partition],
                ..Default::default()
            }],
            ..Default::default()
        };
        let mut told = self.latest(&request).responses.remove(0);
        let told = told.partition_responses.remove(0);
        assert_eq!(told.error_code, ErrorCode::None.code(), "{told:?}");
        told.base_offset
    }
}

/// One batch with one record.
pub(crate) fn batch(value: &[u8]) -> Bytes {
    one_record(BatchBuilder::new(Codec::None), value)
}

/// A batch with one record of a producer.
pub(crate) fn batch_of(producer: Producer, value: &[u8]) -> Bytes {
    one_record(BatchBuilder::new(Codec::None).producer(producer), value)
}

fn one_record(mut builder: BatchBuilder, value: &[u8]) -> Bytes {
    let record = NewRecord {
        timestamp: SystemClock::new().wall(),
        value: Some(value),
        ..NewRecord::default()
    };
    builder.push(&record).expect("it fits");
    builder.finish().expect("not empty").bytes().clone()
}
