//! Who this broker is, where it listens and what it takes from the network.

use super::replication::OWN_TIMES;
use crate::endpoint;
use crate::setting::declare::{int, list, long, string, unset};
use crate::setting::{Kind, Setting, Unit, Valid};

pub(crate) static SETTINGS: &[Setting] = &[
    int("node.id", "1")
        .at_least(0)
        .high()
        .doc("The broker's number. It is bound to its directories when they are formatted."),
    int("broker.id", "-1")
        .between(-1, i32::MAX as i64)
        .doc("Older name of `node.id`, for files that have no other."),
    list("process.roles", "broker,controller")
        .list_of(&["broker", "controller"])
        .high()
        .doc(
            "What the process does: serve clients as a `broker`, keep the metadata as a \
             `controller`, or both.",
        ),
    unset("broker.rack", Kind::String)
        .doc("Where the broker stands, for rack-aware clients and placement."),
    list("listeners", "PLAINTEXT://127.0.0.1:9092")
        .valid(Valid::Checked(endpoint::listeners))
        .high()
        .doc(
            "Addresses that are bound: `NAME://host:port`. An empty host binds all interfaces, \
              port 0 takes a free one. Kafka's own default is `PLAINTEXT://:9092`.",
        ),
    unset("advertised.listeners", Kind::List)
        .valid(Valid::Checked(endpoint::listeners))
        .high()
        .doc(
            "Addresses that clients are told, one for each listener. Without it the bound \
              address is told, or the host's name where all interfaces are bound.",
        ),
    string(
        "listener.security.protocol.map",
        "PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL",
    )
    .valid(Valid::Checked(endpoint::protocol_map))
    .doc("The security protocol of each listener name: `NAME:PROTOCOL` pairs."),
    string("http.listener", "127.0.0.1:9644")
        .valid(Valid::Checked(endpoint::http))
        .high()
        .doc(
            "Address of health checks and metrics: `host:port`. Port 0 takes a free one; empty \
              switches HTTP off.",
        ),
    int("socket.request.max.bytes", "104857600")
        .bytes()
        .at_least(1)
        .high()
        .doc("Largest request frame that is read."),
    int("freshet.socket.first.request.max.bytes", "65536")
        .bytes()
        .between(1024, 104_857_600)
        .not_yet("no listener asks clients who they are yet")
        .doc("Largest request frame before a connection has proven who it is."),
    long("freshet.request.memory.bytes", "67108864")
        .bytes()
        .at_least(1_048_576)
        .high()
        .doc(
            "Bytes of requests that may be in the process at a time, over all connections. \
              Connections wait for room before they read on.",
        ),
    long("freshet.response.memory.bytes", "268435456")
        .bytes()
        .at_least(1_048_576)
        .doc(
            "Bytes of records on their way to clients, over all connections. One fetch gets an \
              eighth at most; when nothing is left, fetches get little.",
        ),
    int("freshet.connection.requests.max", "64")
        .between(1, 100_000)
        .doc(
            "Requests of one connection that may be in work at a time. They are answered in order.",
        ),
    // Kafka's default is 102400; a fixed size takes the kernel's own sizing away, which does better.
    int("socket.send.buffer.bytes", "-1")
        .bytes()
        .at_least(-1)
        .doc("Send buffer of a socket; -1 leaves it to the kernel."),
    int("socket.receive.buffer.bytes", "-1")
        .bytes()
        .at_least(-1)
        .doc("Receive buffer of a socket; -1 leaves it to the kernel."),
    int("socket.listen.backlog.size", "1024").at_least(1).doc(
        "Connections that may wait to be accepted. Kafka's default is 50: of a thousand clients \
             that come at once most would try again after seconds.",
    ),
    int("max.connections", "2147483647")
        .at_least(0)
        .doc("Connections at a time. What comes on top is closed at once."),
    int("max.connections.per.ip", "2147483647")
        .at_least(0)
        .doc("Connections from one address at a time."),
    string("max.connections.per.ip.overrides", "")
        .valid(Valid::Checked(endpoint::ip_overrides))
        .doc("Other bounds for single addresses: `address:count` pairs."),
    int("max.connection.creation.rate", "2147483647")
        .at_least(0)
        .not_yet("connection rate quotas are not built yet; new connections are not slowed down")
        .doc("New connections a second."),
    long("connections.max.idle.ms", "600000")
        .millis()
        .at_least(-1)
        .doc("A connection without a request for this long is closed; -1 keeps it."),
    int("fetch.max.bytes", "57671680")
        .bytes()
        .at_least(1024)
        .doc("Most that one fetch response carries, whatever the client asks for."),
    int("max.incremental.fetch.session.cache.slots", "1000")
        .at_least(0)
        .doc("Fetch sessions that are remembered (KIP-227)."),
    int("max.request.partition.size.limit", "2000")
        .at_least(1)
        .doc("Most partitions in one DescribeTopicPartitions response."),
    int("request.timeout.ms", "30000")
        .millis()
        .at_least(0)
        .no_meaning(OWN_TIMES)
        .doc("How long the broker waits for another part of the cluster to answer."),
    int("freshet.shutdown.timeout.ms", "5000")
        .millis()
        .at_least(0)
        .doc("How long running requests may take when the broker stops."),
    unset("freshet.cluster.id", Kind::String)
        .valid(Valid::NotEmpty)
        .doc(
            "Cluster the broker belongs to. Empty directories are formatted with it, or with a \
              random one; directories of another cluster are refused.",
        ),
    unset("freshet.idle.reason", Kind::String)
        .valid(Valid::NotEmpty)
        .doc(
            "Why the broker is stopped on purpose. With it the process opens no directory, serves no \
              clients and joins no cluster: a person can look at what it keeps, and nobody changes it \
              meanwhile. Only health checks are answered, and it is not ready.",
        ),
    int("freshet.network.threads", "0")
        .between(0, 1024)
        .unit(Unit::None)
        .doc("Threads that serve sockets; 0 takes one for every two cores."),
];
