//! Topics of clusters that ask for a password.

use parking_lot::Mutex as Lock;

use super::*;
use crate::clusters::Way;
use crate::controllers::fake::Key;

/// Longer than a Secret is believed to be as it was.
const LATER: Duration = Duration::from_secs(6);

struct Outside {
    kube: Kube,
    kafka: Arc<Kafka>,
    topics: Arc<Topics>,
    /// The ways that were taken to the cluster.
    ways: Arc<Lock<Vec<Way>>>,
}

fn key(namespace: &str, name: &str) -> Key {
    Key::new("topics", namespace, name)
}

impl Outside {
    fn new() -> Self {
        let (kube, kafka) = (Kube::default(), Arc::new(Kafka::default()));
        let ways = Arc::new(Lock::new(Vec::new()));
        let (door, taken) = (Arc::clone(&kafka), Arc::clone(&ways));
        let desk = Desk::new(Box::new(move |way| {
            taken.lock().push(way.clone());
            Arc::<Kafka>::clone(&door)
        }));
        let topics = topics(&kube, |_| desk);
        Self {
            kube,
            kafka,
            topics,
            ways,
        }
    }

    fn secret(&self, namespace: &str, password: &str) {
        let module = "org.apache.kafka.common.security.plain.PlainLoginModule";
        let text = format!(
            "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config={module} required \
             username=\"a\" password=\"{password}\";\n"
        );
        let data = k8s_openapi::ByteString(text.into_bytes());
        let path = format!("/api/v1/namespaces/{namespace}/secrets/kafka");
        let object = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": "kafka", "namespace": namespace },
            "data": { "client.properties": data },
        });
        self.kube.put(&path, object);
    }

    /// Stores a Topic of the cluster outside.
    fn put(&self, namespace: &str, name: &str, secret: Option<&str>) {
        let external = json!({
            "bootstrapServers": ["kafka:9093"],
            "secret": secret.map(|name| json!({ "name": name })),
        });
        let mut topic = topic(name);
        topic.metadata.namespace = Some(namespace.to_owned());
        topic.spec.cluster_ref = None;
        topic.spec.external = Some(serde_json::from_value(external).expect("a cluster"));
        let object = serde_json::to_value(topic).expect("it can be written");
        let at = key(namespace, name);
        self.kube.objects(|objects| objects.put(&at, object));
    }

    /// Looks after a Topic, and gives why it is as it is.
    async fn tend(&self, namespace: &str, name: &str) -> (String, String) {
        let read = || -> Topic {
            let at = key(namespace, name);
            let stored = self.kube.objects(|objects| objects.get(&at));
            serde_json::from_value((*stored.expect("it is there")).clone()).expect("a Topic")
        };
        let tended = tend(Arc::clone(&self.topics), read()).await;
        tended.expect("it goes well");
        let conditions = read().status.expect("a status").conditions;
        let ready = conditions.into_iter().find(|c| c.type_ == "Ready");
        ready.map(|c| (c.reason, c.message)).expect("it is said")
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_lets_in_and_its_changes_count() {
    let world = Outside::new();
    world.put("shop", "orders", Some("kafka"));
    let (reason, message) = world.tend("shop", "orders").await;
    assert_eq!(reason, "SecretMissing");
    assert!(
        message.contains("no Secret kafka in the namespace shop"),
        "{message}"
    );
    assert_eq!(world.kafka.looks(), 0, "nobody is asked without it");

    world.secret("shop", "");
    tokio::time::sleep(LATER).await;
    let (reason, message) = world.tend("shop", "orders").await;
    assert_eq!(reason, "SecretInvalid");
    assert!(
        message.contains("sasl.jaas.config: has no password"),
        "{message}"
    );

    world.secret("shop", "hunter2");
    tokio::time::sleep(LATER).await;
    assert_eq!(world.tend("shop", "orders").await.0, "Serving");
    assert_eq!(world.kafka.writes(), ["create orders"]);
    // The same again: the same way, and nothing to write.
    world.kube.writes();
    tokio::time::sleep(LATER).await;
    assert_eq!(world.tend("shop", "orders").await.0, "Serving");
    assert_eq!(world.kube.writes(), Vec::<String>::new());
    assert_eq!(world.ways.lock().len(), 1);
    // Another password is another way.
    world.secret("shop", "hunter3");
    tokio::time::sleep(LATER).await;
    assert_eq!(world.tend("shop", "orders").await.0, "Serving");
    let ways = world.ways.lock().clone();
    assert_eq!(ways.len(), 2);
    assert_ne!(ways[0], ways[1]);
}

#[tokio::test(start_paused = true)]
async fn nobody_gets_in_with_the_secret_of_another_namespace() {
    let world = Outside::new();
    world.secret("shop", "hunter2");
    world.secret("bank", "hunter3");
    for (namespace, name, secret) in [
        ("shop", "a", Some("kafka")),
        ("bank", "b", Some("kafka")),
        ("park", "c", None),
    ] {
        world.put(namespace, name, secret);
        assert_eq!(
            world.tend(namespace, name).await.0,
            "Serving",
            "{namespace}"
        );
    }
    let ways = world.ways.lock().clone();
    let of = |way: &Way| way.pass.as_ref().map(|pass| pass.of.namespace.clone());
    let whose: Vec<_> = ways.iter().map(of).collect();
    assert_eq!(
        whose,
        [Some("shop".to_owned()), Some("bank".to_owned()), None]
    );
    // A name alone opens nothing.
    world.put("park", "d", Some("kafka"));
    assert_eq!(world.tend("park", "d").await.0, "SecretMissing");
    assert_eq!(world.ways.lock().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_object_whose_secret_is_gone_goes_in_time() {
    let world = Outside::new();
    world.secret("shop", "hunter2");
    world.put("shop", "orders", Some("kafka"));
    assert_eq!(world.tend("shop", "orders").await.0, "Serving");
    let lost = Key::new("secrets", "shop", "kafka");
    world.kube.objects(|objects| objects.remove(&lost));
    tokio::time::sleep(LATER).await;
    world
        .kube
        .delete_topic("orders", &world.topics.context.now().to_string());
    assert_eq!(world.tend("shop", "orders").await.0, "SecretMissing");
    // Long ago.
    world.kube.delete_topic("orders", "2026-01-02T00:00:00Z");
    let topic = world.kube.topic("orders").expect("it waits");
    tend(Arc::clone(&world.topics), topic)
        .await
        .expect("it goes well");
    assert!(world.kube.topic("orders").is_none());
    let (reason, note) = world.kube.events().pop().expect("it is told");
    assert_eq!(reason, "TopicLeftBehind");
    assert!(note.contains("no Secret kafka"), "{note}");
}
