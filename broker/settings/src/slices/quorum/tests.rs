//! What a node does in its cluster, as people set it.

use std::sync::Arc;

use super::*;
use crate::StaticSettingsBuilder;

fn layers(set: &[&str]) -> Result<Layers, String> {
    let mut builder = StaticSettingsBuilder::default();
    for argument in set {
        builder = builder.set(argument).map_err(|error| error.to_string())?;
    }
    let (settings, _) = builder.finish().map_err(|error| error.to_string())?;
    Ok(Layers::of(Arc::new(settings)))
}

const BOTH: &str = "listeners=PLAINTEXT://:1,CONTROLLER://:2";
const VOTERS: &str = "controller.quorum.voters=1@a:2,2@b:2,3@[::1]:2";
const SERVERS: &str = "controller.quorum.bootstrap.servers=a:2,b:2";
const BROKER: &str = "process.roles=broker";
const CONTROLLER: &str = "process.roles=controller";

#[test]
fn alone_nothing_is_asked_for_and_no_controller_is_opened() {
    for set in [&[][..], &[BOTH], &["listeners=EXT://:1"]] {
        let map = "listener.security.protocol.map=EXT:PLAINTEXT,PLAINTEXT:PLAINTEXT";
        let layers = layers(&[&[map], set].concat()).unwrap();
        let quorum = layers.quorum();
        assert!(!quorum.is_cluster() && quorum.listeners.is_empty());
        let first = &layers.node().listeners[0].endpoint.name;
        assert_eq!(quorum.inter_broker_listener.as_ref(), Some(first));
    }
}

#[test]
fn a_node_that_is_both_knows_the_others() {
    let quorum = layers(&[BOTH, VOTERS]).unwrap().quorum();
    assert!(quorum.is_cluster() && quorum.bootstrap.is_empty());
    let third = &quorum.voters[2];
    assert_eq!(third.0, NodeId(3));
    let Endpoint { name, host, port } = &third.1;
    assert_eq!(
        (name.as_str(), host.as_str(), *port),
        ("CONTROLLER", "::1", 2)
    );
    assert_eq!(quorum.listeners[0].endpoint.port, 2);
    assert_eq!(quorum.inter_broker_listener.as_deref(), Some("PLAINTEXT"));
    assert_eq!(quorum.balance_every_ms, Some(300_000));
    let both = layers(&[BOTH, VOTERS, SERVERS]).unwrap().quorum();
    assert!(both.bootstrap.is_empty(), "voters win");
}

#[test]
fn each_role_opens_what_is_its_own() {
    let broker = [BROKER, SERVERS, "listeners=PLAINTEXT://:1"];
    let quorum = layers(&broker).unwrap().quorum();
    assert!(quorum.listeners.is_empty() && quorum.bootstrap.len() == 2);
    assert_eq!(quorum.inter_broker_listener.as_deref(), Some("PLAINTEXT"));
    let controller = [CONTROLLER, SERVERS, "listeners=CONTROLLER://:2"];
    let layers = layers(&controller).unwrap();
    assert!(layers.node().listeners.is_empty());
    assert_eq!(layers.quorum().listeners.len(), 1);
    assert_eq!(layers.inter_broker_listener(), None);
}

#[test]
fn the_file_that_kafka_ships_makes_a_cluster_of_one() {
    let quorum = layers(&[
        "process.roles=broker,controller",
        "node.id=1",
        "controller.quorum.bootstrap.servers=localhost:9093",
        "listeners=PLAINTEXT://:9092,CONTROLLER://:9093",
        "inter.broker.listener.name=PLAINTEXT",
        "advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093",
        "controller.listener.names=CONTROLLER",
        "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    ]);
    let quorum = quorum.unwrap().quorum();
    assert_eq!(quorum.bootstrap[0].host, "localhost");
    assert!(quorum.roles.broker && quorum.roles.controller);
}

#[test]
fn what_cannot_work_is_refused_with_the_reason() {
    let plain = "listeners=PLAINTEXT://:1";
    let cases: [(&[&str], &str); 14] = [
        (&[BROKER, plain], "say where the controllers are"),
        (&[CONTROLLER, BOTH], "say where the controllers are"),
        (&[BOTH, VOTERS, "node.id=7"], "7 is not among the voters"),
        (&[BROKER, plain, VOTERS], "this node is no controller"),
        (&[plain, VOTERS], "a controller needs one of its listeners"),
        (&[BROKER, BOTH, SERVERS], "cannot open CONTROLLER"),
        (
            &[CONTROLLER, BOTH, SERVERS],
            "PLAINTEXT is no listener of the controller",
        ),
        (
            &["listeners=CONTROLLER://:2", VOTERS],
            "clients need a listener",
        ),
        (
            &["listeners=EXT://:1,CONTROLLER://:2", VOTERS],
            "listener EXT needs",
        ),
        (
            &[BOTH, VOTERS, "inter.broker.listener.name=INSIDE"],
            "by INSIDE, and no listener is called so",
        ),
        (
            &[BOTH, VOTERS, "inter.broker.listener.name=controller"],
            "CONTROLLER is the controller's",
        ),
        (
            &[
                BOTH,
                VOTERS,
                "inter.broker.listener.name=PLAINTEXT",
                "security.inter.broker.protocol=PLAINTEXT",
            ],
            "set one of them",
        ),
        (
            &[BOTH, VOTERS, "broker.heartbeat.interval.ms=800"],
            "at most half of the second",
        ),
        (
            &[
                BOTH,
                VOTERS,
                "controller.listener.names=CONTROLLER,SSL",
                "listeners=PLAINTEXT://:1,SSL://:3",
            ],
            "TLS and SASL are not built yet",
        ),
    ];
    for (set, why) in cases {
        let text = layers(set).unwrap_err();
        assert!(text.contains(why), "{set:?}: {text}");
    }
}

#[test]
fn sessions_outlast_long_ways_between_controllers_and_short_ways_ask_for_nothing() {
    let trip = "freshet.quorum.round.trip.ms";
    let session = "broker.session.timeout.ms";
    let of = |trip_ms: u64, session_ms: u64| {
        let set = [
            format!("{trip}={trip_ms}"),
            format!("{session}={session_ms}"),
        ];
        layers(&[BOTH, VOTERS, &set[0], &set[1]])
    };
    for (trip_ms, session_ms) in [(100, 900), (101, 1010), (500, 5000), (1000, 10_000)] {
        assert!(of(trip_ms, session_ms).is_ok(), "{trip_ms} {session_ms}");
    }
    for (trip_ms, session_ms) in [(101, 1009), (500, 1000), (1000, 9_999)] {
        let why = of(trip_ms, session_ms).unwrap_err();
        assert!(why.contains(trip) && why.contains(session), "{why}");
        let least = format!("at least ten times the first: {} ms", trip_ms * 10);
        assert!(why.contains(&least), "{why}");
    }
    let alone = layers(&["freshet.quorum.round.trip.ms=500"]);
    assert!(alone.is_ok(), "nobody else is there");
}

#[test]
fn addresses_of_controllers_are_checked_as_they_come_in() {
    for bad in [
        "1@a",
        "a:1",
        "1@:1",
        "1@a:0",
        "x@a:1",
        "1@a:1,1@b:1",
        "1@a:1,2@a:1",
    ] {
        let set = format!("controller.quorum.voters={bad}");
        assert!(layers(&[&set]).is_err(), "{bad}");
    }
    for bad in ["a", ":1", "a:0", "1@a:1:2"] {
        let set = format!("controller.quorum.bootstrap.servers={bad}");
        assert!(layers(&[&set]).is_err(), "{bad}");
    }
}
