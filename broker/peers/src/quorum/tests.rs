//! Nodes in one process that speak over real sockets.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freshet_env::{SystemClock, disk::SystemDisk};
use freshet_metadata::{
    AllocateProducerIds, Ask, BrokerListener, Heartbeat, MetadataImage, MetadataMachine,
    MetadataOptions, PastLife, RegisterBroker, SessionOptions, UnregisterBroker,
};
use freshet_quorum::{
    Census, Endpoint, Named, Peer, PeerId, PeerLink, Quorum, QuorumError, Raft, RaftDoors,
    RaftOptions, ReplicaStatus, VotersError,
};
use freshet_settings::SecurityProtocol;
use freshet_types::{ClusterId, NodeId, TopicId};
use freshet_wire::{PeerRequest, RequestHeader, encode_request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

mod manifests;
mod round_trips;

const PAUSE: Duration = Duration::from_millis(10);

struct Node {
    raft: Arc<Raft<MetadataMachine>>,
    relay: Arc<Relay>,
    room: Arc<PeerRoom>,
    door: Door,
    endpoint: Endpoint,
}

fn endpoint(port: u16) -> Endpoint {
    Endpoint {
        name: "CONTROLLER".to_owned(),
        host: "127.0.0.1".to_owned(),
        port,
    }
}

async fn bind() -> (TcpListener, Endpoint) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let port = listener.local_addr().expect("it has one").port();
    (listener, endpoint(port))
}

fn machine() -> MetadataMachine {
    let options = MetadataOptions::of_cluster(Arc::default(), SessionOptions::default());
    MetadataMachine::new(options)
}

/// Silence fences nobody.
fn patient() -> MetadataMachine {
    let sessions = SessionOptions {
        timeout_ms: 3_600_000,
        ..SessionOptions::default()
    };
    MetadataMachine::new(MetadataOptions::of_cluster(Arc::default(), sessions))
}

async fn start(home: &std::path::Path, node: i32, bound: (TcpListener, Endpoint)) -> Node {
    start_with(home, node, bound, machine).await
}

async fn start_with(
    home: &std::path::Path,
    node: i32,
    bound: (TcpListener, Endpoint),
    machine: fn() -> MetadataMachine,
) -> Node {
    let (listener, endpoint) = bound;
    let (face, caller) = match node {
        ..=3 => (Face::Controller, Caller::Controller),
        _ => (Face::Early, Caller::Broker),
    };
    let link = Arc::new(TcpLink::new(NodeId(node), caller, []));
    let doors = RaftDoors {
        disk: Arc::new(SystemDisk),
        clock: Arc::new(SystemClock::new()),
        link: Arc::clone(&link) as Arc<dyn PeerLink>,
    };
    let directory = TopicId([u8::try_from(node).expect("small"); 16]);
    let node = NodeId(node);
    let me = Peer {
        id: PeerId { node, directory },
        endpoints: vec![endpoint.clone()],
    };
    let cluster = ClusterId("c".into());
    let room = PeerRoom::new();
    let door = Door::open(listener, Arc::clone(&room), face);
    let dir = home.join(node.to_string());
    let options = RaftOptions::default();
    let raft = Raft::start(doors, &dir, (cluster, me), machine, options).await;
    let raft = Arc::new(raft.expect("started"));
    room.open(&raft);
    let relay = Arc::new(Relay::new(node, Arc::clone(&raft), link));
    Node {
        raft,
        relay,
        room,
        door,
        endpoint,
    }
}

impl Node {
    async fn stop(self) {
        self.raft.stop().await;
        self.room.close();
        self.door.close().await.expect("closed");
    }
}

fn census(me: i32, voters: &[Endpoint]) -> Census {
    let voters = (1..)
        .map(NodeId)
        .zip(voters.iter().map(|e| vec![e.clone()]));
    Census {
        me: NodeId(me),
        endpoints: Vec::new(),
        named: Named::Voters(voters.collect()),
        pause: Duration::from_millis(20),
        patience: Duration::from_millis(20),
    }
}

async fn cluster(home: &std::path::Path, count: i32) -> Vec<Node> {
    cluster_of(home, count, machine).await
}

async fn cluster_of(
    home: &std::path::Path,
    count: i32,
    machine: fn() -> MetadataMachine,
) -> Vec<Node> {
    let mut nodes = Vec::new();
    for node in 1..=count {
        nodes.push(start_with(home, node, bind().await, machine).await);
    }
    let voters: Vec<_> = nodes.iter().map(|node| node.endpoint.clone()).collect();
    let settling = nodes.iter().zip(1..).map(|(node, me)| {
        let (census, raft) = (census(me, &voters), Arc::clone(&node.raft));
        tokio::spawn(async move { census.settle(&raft).await })
    });
    for settling in settling.collect::<Vec<_>>() {
        settling.await.expect("ended").expect("one cluster");
    }
    nodes
}

fn ids(count: i32) -> AllocateProducerIds {
    AllocateProducerIds { count }
}

fn broker(node: i32) -> RegisterBroker {
    RegisterBroker {
        node: NodeId(node),
        incarnation: [7; 16],
        listeners: vec![BrokerListener {
            name: "PLAINTEXT".to_owned(),
            host: "h".to_owned(),
            port: 1,
            protocol: SecurityProtocol::Plaintext,
        }],
        rack: None,
        directories: Vec::new(),
        features: Vec::new(),
        past: PastLife::None,
    }
}

async fn first_id(node: &Node) -> i64 {
    let reply = node.relay.propose(ids(10).into()).await.expect("decided");
    AllocateProducerIds::answer(reply).expect("ids").first
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_asked_the_active_controller_decides_and_the_asker_sees_it() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let nodes = cluster(home.path(), 3).await;
    let mut last = -1;
    for round in 0..3 {
        for (node, number) in nodes.iter().zip(1..) {
            let first = first_id(node).await;
            assert!(first > last, "ids are handed out once");
            last = first;
            let broker = broker(number + 10 * round);
            let request = broker.clone();
            let reply = node.relay.propose(request.into()).await.expect("decided");
            RegisterBroker::answer(reply).expect("registered");
            let image = node.relay.watch().borrow().clone();
            assert!(image.broker(broker.node).is_some(), "seen at once");
        }
    }
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proposals_go_on_when_the_leader_stops_and_when_a_majority_is_gone_they_end() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let mut nodes = cluster(home.path(), 3).await;
    let mut last = first_id(&nodes[0]).await;
    let leads = |node: &Node| node.raft.leadership().borrow().is_mine;
    let leader = nodes.iter().position(leads).expect("somebody decides");
    nodes.remove(leader).stop().await;
    for node in &nodes {
        let first = first_id(node).await;
        assert!(first > last);
        last = first;
        node.relay.barrier().await.expect("a majority is there");
    }
    nodes.remove(0).stop().await;
    let ended = nodes[0].relay.propose(ids(1).into()).await;
    let error = ended.expect_err("no majority is there");
    assert!(
        matches!(error, QuorumError::NotLeader { .. } | QuorumError::Deposed),
        "{error}"
    );
    nodes.remove(0).stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_is_reached_through_its_own_listener() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let nodes = cluster(home.path(), 3).await;
    let voters: Vec<_> = nodes.iter().map(|node| node.endpoint.clone()).collect();
    let observer = start(home.path(), 4, bind().await).await;
    let settled = census(4, &voters).settle(&observer.raft).await;
    settled.expect("one cluster");
    observer.relay.barrier().await.expect("it is told");
    let before = first_id(&nodes[0]).await;
    assert!(first_id(&observer).await > before);
    let reply = observer.relay.propose(broker(4).into()).await;
    RegisterBroker::answer(reply.expect("decided")).expect("registered");
    assert!(observer.raft.watch().borrow().broker(NodeId(4)).is_some());
    for node in nodes.iter().chain([&observer]) {
        let status = node.relay.status().await;
        assert_eq!((status.voters.len(), status.observers.len()), (3, 1));
        let heard = |replica: &ReplicaStatus| replica.last_fetch.is_some();
        assert!(status.voters.iter().all(heard), "{status:?}");
    }
    let id = observer.raft.greeting().directory.expect("it has one");
    let id = PeerId {
        node: NodeId(4),
        directory: id,
    };
    observer.relay.remove(id).await.expect("removed");
    let gone = nodes[0].relay.remove(id).await;
    assert_eq!(gone, Err(VotersError::Unknown(id)));
    observer.stop().await;
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_restarts_elsewhere_in_time_is_found_again() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let mut nodes = cluster(home.path(), 3).await;
    let before = first_id(&nodes[0]).await;
    let node = nodes.remove(1);
    let port = node.endpoint.port;
    node.stop().await;
    assert!(first_id(&nodes[0]).await > before);
    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("free");
    nodes.push(start(home.path(), 2, (listener, endpoint(port))).await);
    nodes[2].relay.barrier().await.expect("it has caught up");
    first_id(&nodes[2]).await;
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_have_moved_are_looked_for_where_they_are() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let mut nodes = cluster(home.path(), 3).await;
    let mut voters: Vec<_> = nodes.iter().map(|node| node.endpoint.clone()).collect();
    let observer = start(home.path(), 4, bind().await).await;
    let settled = census(4, &voters).settle(&observer.raft).await;
    settled.expect("one cluster");
    nodes.push(observer);
    for (place, number) in [(3, 4), (2, 3)] {
        nodes.remove(place).stop().await;
        let moved = start(home.path(), number, bind().await).await;
        if let Some(voter) = voters.get_mut(place) {
            voter.clone_from(&moved.endpoint);
        }
        let settled = census(number, &voters).settle(&moved.raft).await;
        settled.expect("one cluster");
        moved.relay.barrier().await.expect("it is reached");
        nodes.insert(place, moved);
    }
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_unregistered_is_told_nothing_more() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let nodes = cluster(home.path(), 3).await;
    let voters: Vec<_> = nodes.iter().map(|node| node.endpoint.clone()).collect();
    let observer = start(home.path(), 4, bind().await).await;
    let settled = census(4, &voters).settle(&observer.raft).await;
    settled.expect("one cluster");
    let reply = observer.relay.propose(broker(4).into()).await;
    RegisterBroker::answer(reply.expect("decided")).expect("registered");
    observer.stop().await;
    let gone = UnregisterBroker { node: NodeId(4) };
    for tries in 0.. {
        let reply = nodes[0].relay.propose(gone.into()).await.expect("decided");
        if UnregisterBroker::answer(reply).is_ok() {
            break;
        }
        assert!(tries < 50, "its session is over by now");
        tokio::time::sleep(PAUSE * 20).await;
    }
    assert!(nodes[1].relay.status().await.observers.is_empty());
    for node in nodes {
        node.stop().await;
    }
}

async fn hello(at: &Endpoint, client: &str) -> TcpStream {
    let to = (at.host.as_str(), at.port);
    let mut stream = TcpStream::connect(to).await.expect("connected");
    let header = RequestHeader::of::<PeerRequest>(0, 1, Some(client));
    let (kind, body) = (99, Bytes::new().into());
    let frame = encode_request(&header, &PeerRequest { kind, body }).expect("written");
    stream.write_all(&frame.into_bytes()).await.expect("sent");
    let mut answer = [0; 13];
    stream.read_exact(&mut answer).await.expect("answered");
    stream
}

/// One controller, which fences nobody for silence.
async fn alone(home: &std::path::Path) -> Node {
    let node = start_with(home, 1, bind().await, patient).await;
    let census = census(1, std::slice::from_ref(&node.endpoint));
    census.settle(&node.raft).await.expect("one cluster");
    node
}

/// Registers a broker that listens there, and lets it in.
async fn let_in(node: &Node, number: i32, at: &Endpoint) {
    let mut new = broker(number);
    new.listeners[0].host.clone_from(&at.host);
    new.listeners[0].port = at.port;
    let reply = node.relay.propose(new.into()).await.expect("decided");
    let epoch = RegisterBroker::answer(reply).expect("registered");
    let beat = Heartbeat {
        node: NodeId(number),
        epoch,
        version: u64::MAX,
        wants_fence: false,
        wants_shutdown: false,
        offline_directories: Vec::new(),
        cordoned_directories: Vec::new(),
        slow_directories: Vec::new(),
        full_directories: Vec::new(),
    };
    let reply = node.relay.propose(beat.into()).await.expect("decided");
    assert!(!Heartbeat::answer(reply).expect("alive").fenced);
}

fn is_fenced(image: &MetadataImage, number: i32) -> bool {
    let broker = image.broker(NodeId(number));
    broker.expect("it stays registered").fenced
}

/// Waits until a broker is fenced.
async fn fenced(node: &Node, number: i32) {
    let mut image = node.raft.watch();
    let fenced = image.wait_for(|image| is_fenced(image, number));
    let fenced = tokio::time::timeout(Duration::from_secs(60), fenced).await;
    fenced.expect("fenced").expect("the quorum lives");
}

/// Waits for a probe, and accepts it.
async fn probed(listener: &TcpListener) {
    let probe = tokio::time::timeout(Duration::from_secs(60), listener.accept()).await;
    probe.expect("a probe").expect("accepted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_whose_process_is_gone_is_fenced_at_once_and_no_other() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let node = alone(home.path()).await;
    let detector = tokio::spawn(FailureDetector::new(&node.raft, &node.room).run());
    let (listener, at) = bind().await;
    let_in(&node, 9, &at).await;
    // Lines break, and strangers come and go: whoever accepts new ones is alive.
    for client in ["node-9", "node-10", "node-", "node-9x"] {
        drop(hello(&node.endpoint, client).await);
    }
    // It may close its listener, too, as long as it has a connection.
    let line = hello(&node.endpoint, "node-9").await;
    drop(listener);
    drop(hello(&node.endpoint, "node-9").await);
    tokio::time::sleep(PAUSE * 10).await;
    assert!(!is_fenced(&node.raft.watch().borrow(), 9));
    drop(line);
    fenced(&node, 9).await;
    detector.abort();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_outlives_the_connections_of_its_process_is_looked_at_again() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let node = alone(home.path()).await;
    let detector = tokio::spawn(FailureDetector::new(&node.raft, &node.room).run());
    let (listener, at) = bind().await;
    let_in(&node, 9, &at).await;
    drop(hello(&node.endpoint, "node-9").await);
    for _ in 0..2 {
        probed(&listener).await;
    }
    assert!(!is_fenced(&node.raft.watch().borrow(), 9));
    drop(listener);
    fenced(&node, 9).await;
    detector.abort();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_let_alone_is_not_looked_at_for_ever() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let node = alone(home.path()).await;
    let (listener, at) = bind().await;
    let_in(&node, 9, &at).await;
    let detector = tokio::spawn(FailureDetector::new(&node.raft, &node.room).run());
    probed(&listener).await;
    let mut probes = 1;
    let rest = Duration::from_secs(2);
    while let Ok(probe) = tokio::time::timeout(rest, listener.accept()).await {
        probe.expect("accepted");
        probes += 1;
        assert!(probes < 30, "one in 50 ms, for a second");
    }
    detector.abort();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_takes_over_fences_a_dead_broker_that_it_never_saw_and_not_itself() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let node = alone(home.path()).await;
    let (listener, at) = bind().await;
    drop(listener);
    let_in(&node, 1, &at).await;
    let_in(&node, 9, &at).await;
    let detector = tokio::spawn(FailureDetector::new(&node.raft, &node.room).run());
    fenced(&node, 9).await;
    assert!(!is_fenced(&node.raft.watch().borrow(), 1));
    detector.abort();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_leaves_few_connections_with_the_controller_when_it_rests() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let nodes = cluster(home.path(), 1).await;
    let voters = std::slice::from_ref(&nodes[0].endpoint);
    let observer = start(home.path(), 4, bind().await).await;
    let settled = census(4, voters).settle(&observer.raft).await;
    settled.expect("one cluster");
    let relay = Arc::new(observer.relay);
    let burst = (0..64).map(|_| {
        let relay = Arc::clone(&relay);
        tokio::spawn(async move { relay.propose(ids(1).into()).await })
    });
    for proposed in burst.collect::<Vec<_>>() {
        proposed.await.expect("ended").expect("decided");
    }
    let left = async {
        while nodes[0].room.connections_of(NodeId(4)) > Caller::Broker.resting() {
            tokio::time::sleep(PAUSE).await;
        }
    };
    let left = tokio::time::timeout(Duration::from_secs(60), left).await;
    left.expect("the others are closed");
    observer.raft.stop().await;
    for node in nodes {
        node.stop().await;
    }
}

async fn is_closed(mut stream: TcpStream) -> bool {
    let mut byte = [0];
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut byte));
    matches!(read.await, Ok(Ok(0) | Err(_)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_of_strangers_close_their_connection_and_nothing_else() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let nodes = cluster(home.path(), 1).await;
    let at = ("127.0.0.1", nodes[0].endpoint.port);
    let metadata = [0, 0, 0, 10, 0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff];
    let frames: [&[u8]; 5] = [
        &[0xff; 64],
        &[0x7f, 0xff, 0xff, 0xff],
        &[0, 0, 0, 3, 1, 2, 3],
        b"GET / HTTP/1.1\r\n\r\n",
        &metadata,
    ];
    for bytes in frames {
        let mut stream = TcpStream::connect(at).await.expect("connected");
        stream.write_all(bytes).await.expect("sent");
        assert!(is_closed(stream).await, "{bytes:?}");
    }
    // Well-formed requests with nonsense inside are refused, and the connection stays.
    let mut stream = TcpStream::connect(at).await.expect("connected");
    for (kind, body) in [
        (1, &b"nonsense"[..]),
        (2, b"{\"Nothing\":[[[[]]]]}"),
        (99, b""),
    ] {
        let body = Bytes::copy_from_slice(body).into();
        let header = RequestHeader::of::<PeerRequest>(0, 1, None);
        let frame = encode_request(&header, &PeerRequest { kind, body }).expect("written");
        stream.write_all(&frame.into_bytes()).await.expect("sent");
        let mut answer = [0; 13];
        stream.read_exact(&mut answer).await.expect("answered");
        assert_eq!(answer[8..], [0; 5], "not taken, and nothing said");
    }
    first_id(&nodes[0]).await;
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn who_asks_a_controller_what_it_serves_is_told_nothing_of_us() {
    let (listener, at) = bind().await;
    let door = Door::open(listener, PeerRoom::new(), Face::Controller);
    let config = freshet_client::ClientConfig::new(["unused"]);
    let address = format!("{}:{}", at.host, at.port);
    let connection = freshet_client::Connection::open(&address, &config).await;
    let connection = connection.expect("greeted");
    assert!(connection.version::<PeerRequest>(i16::MAX).is_err());
    door.close().await.expect("closed");
}

#[tokio::test]
async fn a_door_that_closes_gives_its_socket_away_with_those_who_wait() {
    let (listener, at) = bind().await;
    let door = Door::open(listener, PeerRoom::new(), Face::Early);
    let mut early = TcpStream::connect((at.host.as_str(), at.port))
        .await
        .expect("connected");
    let hello = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
    early.write_all(&hello).await.expect("sent");
    assert!(is_closed(early).await, "clients come too early");
    let listener = door.close().await.expect("closed");
    let _late = TcpStream::connect((at.host.as_str(), at.port))
        .await
        .expect("connected");
    tokio::time::timeout(PAUSE * 100, listener.accept())
        .await
        .expect("somebody waits")
        .expect("accepted");
}
