//! The same before a broker that is really there: what it answers is what the plans expect.

use std::process::Stdio;

use freshet_client::{ClientConfig, ConfigChange, NewTopic};
use tokio::process::{Child, Command};

use super::*;
use crate::clusters::Way;

/// A broker of its own data, gone when it is dropped.
struct Broker {
    _folder: tempfile::TempDir,
    _process: Child,
    bootstrap: String,
}

impl Broker {
    async fn start(binary: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ready = folder.path().join("ready.json");
        let data = format!("log.dirs={}", folder.path().join("data").display());
        let process = Command::new(binary)
            .args(["--set", "listeners=PLAINTEXT://127.0.0.1:0", "--set", &data])
            .args(["--set", "http.listener=127.0.0.1:0", "--ready-file"])
            .arg(&ready)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("FRESHET_BROKER can be started");
        for _ in 0..600 {
            let told = std::fs::read_to_string(&ready).unwrap_or_default();
            if let Ok(told) = serde_json::from_str::<serde_json::Value>(&told) {
                return Self {
                    _folder: folder,
                    _process: process,
                    bootstrap: told["kafka"].as_str().expect("an address").to_owned(),
                };
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the broker was not ready within a minute");
    }
}

/// A topic, its API server and the broker.
struct Scene {
    kube: Kube,
    topics: Arc<Topics>,
    admin: freshet_client::Admin,
    bootstrap: String,
}

impl Scene {
    async fn of(broker: &Broker) -> Self {
        let kube = Kube::default();
        let client = freshet_client::Client::connect(ClientConfig::new([broker.bootstrap.clone()]));
        let bootstrap = broker.bootstrap.clone();
        kube.put(
            "/apis/freshet.dev/v1/namespaces/shop/clusters/main",
            json!({
                "apiVersion": "freshet.dev/v1", "kind": "Cluster",
                "metadata": { "name": "main", "namespace": "shop" },
                "spec": { "pools": [] },
                "status": { "bootstrapServers": bootstrap },
            }),
        );
        Self {
            topics: topics(&kube, Desk::real),
            kube,
            admin: client.await.expect("the broker is there").admin(),
            bootstrap,
        }
    }

    async fn tend(&self, name: &str) {
        let topic = self.kube.topic(name).expect("it is stored");
        let tended = tend(Arc::clone(&self.topics), topic).await;
        tended.expect("it goes well");
    }

    async fn seen(&self, name: &str) -> Option<Seen> {
        let way = Way::open(std::slice::from_ref(&self.bootstrap));
        let counter = self.topics.desk.at(&way);
        counter.look(name, None).await.expect("it can be looked at")
    }

    /// What was written is seen by the next look, and that writes nothing.
    async fn assert_calm(&self, name: &str) {
        self.kube.writes();
        let changes = |text: String| {
            let lines = text
                .lines()
                .filter(|l| l.starts_with("freshet_operator_topic_changes_total"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let before = changes(self.topics.context.metrics.render());
        self.tend(name).await;
        assert_eq!(self.kube.writes(), Vec::<String>::new(), "{name}");
        assert_eq!(
            changes(self.topics.context.metrics.render()),
            before,
            "{name}"
        );
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Topic)) {
        let mut topic = self.kube.topic(name).expect("it is stored");
        change(&mut topic);
        topic.metadata.generation = topic.metadata.generation.map(|n| n + 1);
        self.kube.put_topic(&topic);
    }
}

#[tokio::test]
#[ignore = "starts the broker that FRESHET_BROKER names: cargo xtask test runs it"]
async fn a_broker_answers_as_the_plans_expect() {
    let binary = std::env::var("FRESHET_BROKER").expect("FRESHET_BROKER names a broker's binary");
    let broker = Broker::start(&binary).await;
    let scene = Scene::of(&broker).await;

    // It is made as it is asked for.
    let mut asked = asking(3, 1);
    let values = [
        ("retention.ms", ConfigValue::Integer(1_000)),
        ("min.cleanable.dirty.ratio", ConfigValue::Integer(1)),
        (
            "cleanup.policy",
            ConfigValue::Text("compact, delete".to_owned()),
        ),
        ("preallocate", ConfigValue::Bool(false)),
    ];
    asked.spec.config = values.map(|(n, v)| (n.to_owned(), v)).into();
    scene.kube.put_topic(&asked);
    scene.tend("orders").await;
    let made = scene.seen("orders").await.expect("it is there");
    assert_eq!((made.count(), made.copies()), (3, Some(1)));
    assert_eq!(made.overrides.len(), 4, "{:?}", made.overrides);
    let status = scene.kube.topic("orders").unwrap().status.unwrap();
    assert_eq!(status.topic_id, made.id);
    scene.assert_calm("orders").await;

    // What somebody else changes is set back.
    let others = vec![
        ConfigChange::set("retention.ms", "5"),
        ConfigChange::set("segment.ms", "60000"),
        ConfigChange::unset("cleanup.policy"),
        ConfigChange::set("leader.replication.throttled.replicas", "0:1"),
    ];
    let drifting = [("orders".to_owned(), others)];
    scene.admin.alter_topic_configs(&drifting).await.unwrap();
    scene.tend("orders").await;
    let (reason, note) = scene.kube.events().pop().expect("it is told");
    assert_eq!(reason, "DriftReverted");
    assert!(
        note.ends_with("cleanup.policy, retention.ms, segment.ms"),
        "{note}"
    );
    let mut back = scene.seen("orders").await.expect("it is there");
    assert!(
        back.overrides
            .remove("leader.replication.throttled.replicas")
            .is_some()
    );
    assert_eq!(back.overrides, made.overrides);
    scene.assert_calm("orders").await;

    // It grows, and forgets a setting that is not named any more.
    scene.change("orders", |topic| {
        topic.spec.partitions = Some(5);
        topic.spec.config.remove("preallocate");
    });
    scene.tend("orders").await;
    let grown = scene.seen("orders").await.expect("it is there");
    assert_eq!((grown.count(), grown.id), (5, made.id));
    assert!(!grown.overrides.contains_key("preallocate"));
    scene.assert_calm("orders").await;

    refusals(&scene).await;
    adoption(&scene).await;

    // It goes with its object, also if somebody was faster.
    for name in ["orders", "old"] {
        scene.kube.delete_topic(name, "2026-01-02T00:00:00Z");
    }
    scene.tend("orders").await;
    assert_eq!(scene.seen("orders").await, None);
    assert!(scene.kube.topic("orders").is_none());
    let old = ["old".to_owned()];
    scene
        .admin
        .delete_topics(&old)
        .await
        .unwrap()
        .remove(0)
        .1
        .unwrap();
    scene.tend("old").await;
    assert!(scene.kube.topic("old").is_none());
}

async fn refusals(scene: &Scene) {
    // One broker cannot keep two copies, neither of a topic that is there nor of a new one.
    scene.change("orders", |topic| topic.spec.replicas = Some(2));
    scene.tend("orders").await;
    let reason = |name: &str| {
        let conditions = scene.kube.topic(name).unwrap().status.unwrap().conditions;
        let ready = conditions.into_iter().find(|c| c.type_ == "Ready");
        ready.map(|c| (c.reason, c.message)).expect("it is said")
    };
    let (word, message) = reason("orders");
    assert_eq!(word, "NotEnoughBrokers");
    assert!(message.contains("cannot have 2 copies"), "{message}");
    scene.change("orders", |topic| topic.spec.replicas = Some(1));
    scene.tend("orders").await;
    assert_eq!(reason("orders").0, "Serving");

    let mut greedy = topic("greedy");
    greedy.spec.replicas = Some(9);
    scene.kube.put_topic(&greedy);
    scene.tend("greedy").await;
    assert_eq!(reason("greedy").0, "NotEnoughBrokers");
    assert_eq!(scene.seen("greedy").await, None);
}

async fn adoption(scene: &Scene) {
    let before = NewTopic::new("old")
        .partitions(4)
        .config("retention.ms", "77");
    scene.admin.create_topic(&before).await.unwrap();
    let there = scene.seen("old").await.expect("it is there");
    let mut adopted = topic("old");
    adopted.spec.partitions = Some(4);
    scene.kube.put_topic(&adopted);
    scene.tend("old").await;
    let now = scene.seen("old").await.expect("it is there");
    assert_eq!(
        (now.count(), &now.id),
        (4, &there.id),
        "it is the same topic"
    );
    assert!(
        now.overrides.is_empty(),
        "what the spec does not name is the cluster's"
    );
    scene.assert_calm("old").await;
}
