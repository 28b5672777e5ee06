//! Whole looks at a Cluster, before a Kubernetes and brokers of this process, with whatever can go wrong.

mod addresses;
mod brokers;
mod deaths;
mod disks;
mod faults;
mod hands;
mod nodes;
mod stops;
mod world;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::controllers::fake::Key;
use world::World;

/// Where the Cluster is.
const NAMESPACE: &str = "shop";
/// The Cluster.
const CLUSTER_KEY: ClusterKey = ClusterKey;

struct ClusterKey;

impl ClusterKey {
    fn key(&self) -> Key {
        Key::new("clusters", NAMESPACE, "demo")
    }
}

const CREATION: &str = "creation";
const ROLL: &str = "roll";
const GROWTH: &str = "growth of volumes";
const OUT: &str = "3 to 5";
const IN: &str = "5 to 3";
const IN_AND_GROWTH: &str = "5 to 3, and growth of volumes";
const MORE_VOTERS: &str = "1 to 3";
const FEWER_VOTERS: &str = "3 to 1";
const LOST_NODE: &str = "a node is lost";
const STOP: &str = "a stop on purpose";
const START: &str = "the end of a stop";
/// All stories.
const STORIES: [&str; 11] = [
    CREATION,
    ROLL,
    GROWTH,
    OUT,
    IN,
    IN_AND_GROWTH,
    MORE_VOTERS,
    FEWER_VOTERS,
    LOST_NODE,
    STOP,
    START,
];
/// Stories of one pod only.
const OF_THE_POD: [&str; 3] = [LOST_NODE, STOP, START];
/// The pod that alone is concerned, where it is one.
const THE_POD: &str = "demo-main-2";

/// Something that happens to a Cluster, and what there is when it is over.
struct Story {
    name: &'static str,
    /// Before.
    start: World,
    /// What is changed in the spec.
    change: Value,
    /// What there is at the end, without any fault.
    end: BTreeMap<String, Value>,
    /// Requests that it takes without any fault.
    calls: u64,
}

impl Story {
    async fn new(name: &'static str, start: World, change: Value) -> Self {
        let mut story = Self {
            name,
            start,
            change,
            end: BTreeMap::new(),
            calls: 0,
        };
        let mut world = story.begin();
        world.converge().await;
        assert_eq!(world.breaches(), Vec::<String>::new(), "{name}");
        story.end = world.all();
        story.calls = world.faults.calls();
        story
    }

    /// The story of this name.
    async fn named(name: &'static str) -> Self {
        let larger =
            json!([{ "name": "main", "storage": { "size": "2Gi", "onDeletion": "Delete" } }]);
        let copies = match name {
            MORE_VOTERS | FEWER_VOTERS => 1,
            _ => 3,
        };
        let (before, change) = match name {
            CREATION => (0, json!({})),
            ROLL => (3, json!({ "image": "freshet.dev/broker:2" })),
            GROWTH => (3, json!({ "pools": larger })),
            OUT => (3, json!({ "replicas": 5 })),
            IN => (5, json!({ "replicas": 3 })),
            IN_AND_GROWTH => (5, json!({ "replicas": 3, "pools": larger })),
            MORE_VOTERS => (1, json!({ "replicas": 3 })),
            FEWER_VOTERS => (3, json!({ "replicas": 1 })),
            LOST_NODE | STOP | START => (3, json!({})),
            other => unreachable!("{other} is no story"),
        };
        let start = match before {
            0 => World::new(3),
            _ if name == LOST_NODE => World::on_local_volumes(before, copies).await,
            _ if name == START => World::stopped().await,
            before => World::settled(before, copies).await,
        };
        Self::new(name, start, change).await
    }

    /// It begins.
    fn begin(&self) -> World {
        let world = self.start.fork();
        world.change(&self.change);
        match self.name {
            LOST_NODE => world.lose_node("node-2", THE_POD),
            STOP => world.stop(THE_POD, Some("a test")),
            START => world.stop(THE_POD, None),
            _ => {}
        }
        world
    }

    /// It has ended as it does without faults, and nothing happened that must not.
    fn assert_ended(&self, world: &World, how: &str) {
        let name = self.name;
        assert_eq!(world.breaches(), Vec::<String>::new(), "{name}, {how}");
        assert_eq!(world.collected(), Vec::<String>::new(), "{name}, {how}");
        // How many brokers there are decides how many copies a topic has that does not say: a restart.
        if ![ROLL, MORE_VOTERS, FEWER_VOTERS].contains(&name) {
            let now = world.pods();
            let before = self.start.pods();
            let stay = before.iter().filter(|(pod, _)| {
                now.contains_key(*pod) && !(OF_THE_POD.contains(&name) && *pod == THE_POD)
            });
            let restarted: Vec<_> = stay.filter(|(pod, uid)| now[*pod] != **uid).collect();
            assert!(restarted.is_empty(), "{name}, {how}: {restarted:?}");
        }
        let all = world.all();
        for (object, expected) in &self.end {
            assert_eq!(all.get(object), Some(expected), "{name}, {how}: {object}");
        }
        let more: Vec<_> = all
            .keys()
            .filter(|key| !self.end.contains_key(*key))
            .collect();
        assert!(more.is_empty(), "{name}, {how}: {more:?}");
    }
}
