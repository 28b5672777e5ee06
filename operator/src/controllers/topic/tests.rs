//! Whole reconciles, before an API server and brokers that only remember.

mod kafka;
mod kube;
mod real;
mod secrets;

use freshet_api::{ConfigValue, ReplicasChange};
use serde_json::json;

use super::samples::{at, topic};
use super::*;
use crate::context::ContextParts;
use crate::controllers::fake::Kube;
use kafka::Kafka;

/// The condition of what is under way.
const PROGRESSING: &str = freshet_api::ConditionType::Progressing.name();

struct World {
    kube: Kube,
    kafka: Arc<Kafka>,
    topics: Arc<Topics>,
}

fn context(kube: &Kube) -> Arc<Context> {
    Context::new(ContextParts {
        client: kube.client(),
        identity: "test".to_owned(),
        broker_image: String::new(),
        domain: "cluster.local".to_owned(),
        own_namespace: "operator".to_owned(),
    })
}

fn topics(kube: &Kube, desk: impl FnOnce(&Arc<Context>) -> Desk) -> Arc<Topics> {
    let context = context(kube);
    Arc::new(Topics {
        desk: desk(&context),
        context,
        watched: Arc::new(Watched::new(&[]).0),
        pens: Semaphore::new(PENS),
        labels: Mutex::default(),
        passes: Passes::default(),
    })
}

impl World {
    /// A cluster that answers, with its Cluster.
    fn new() -> Self {
        let (kube, kafka) = (Kube::default(), Arc::new(Kafka::default()));
        kube.put(
            "/apis/freshet.dev/v1/namespaces/shop/clusters/main",
            json!({
                "apiVersion": "freshet.dev/v1", "kind": "Cluster",
                "metadata": { "name": "main", "namespace": "shop" },
                "spec": { "pools": [] },
                "status": { "bootstrapServers": "main:9092" },
            }),
        );
        let door = Arc::clone(&kafka);
        let desk = |_: &Arc<Context>| Desk::new(Box::new(move |_| Arc::<Kafka>::clone(&door)));
        let topics = topics(&kube, desk);
        Self {
            kube,
            kafka,
            topics,
        }
    }

    /// Looks after a Topic as it is stored.
    async fn tend(&self, name: &str) -> Result<Action, Failure> {
        let topic = self.kube.topic(name).expect("it is stored");
        self.topics
            .watched
            .index
            .lock()
            .put(&DeserializeGuard(Ok(topic.clone())));
        tend(Arc::clone(&self.topics), topic).await
    }

    /// Stores a Topic and looks after it once.
    async fn make(&self, topic: &Topic) {
        self.kube.put_topic(topic);
        self.tend(&topic.name_any()).await.expect("it goes well");
    }

    /// The status of a condition and its reason.
    fn word(&self, name: &str, kind: &str) -> Option<(String, String)> {
        let conditions = self.kube.topic(name)?.status?.conditions;
        let found = conditions.into_iter().find(|c| c.type_ == kind)?;
        Some((found.status, found.reason))
    }

    /// Nothing is written by another look.
    async fn assert_calm(&self, name: &str) {
        self.kube.writes();
        self.kafka.writes();
        self.kube.events();
        let _ = self.tend(name).await;
        assert_eq!(self.kube.writes(), Vec::<String>::new(), "{name}");
        assert_eq!(self.kafka.writes(), Vec::<String>::new(), "{name}");
        assert_eq!(self.kube.events(), [], "{name}");
    }
}

fn pair(status: &str, reason: &str) -> Option<(String, String)> {
    Some((status.to_owned(), reason.to_owned()))
}

fn asking(partitions: i32, replicas: i32) -> Topic {
    let mut topic = topic("orders");
    topic.spec.partitions = Some(partitions);
    topic.spec.replicas = Some(replicas);
    topic.spec.config = [("retention.ms".to_owned(), ConfigValue::Integer(1_000))].into();
    topic
}

#[tokio::test(start_paused = true)]
async fn a_topic_is_made_and_then_left_in_peace() {
    let world = World::new();
    world.make(&asking(3, 1)).await;
    assert_eq!(world.kafka.writes(), ["create orders"]);
    assert_eq!(world.kube.writes().len(), 2, "the finalizer and the status");
    assert_eq!(world.word("orders", "Ready"), pair("True", "Serving"));
    let status = world.kube.topic("orders").unwrap().status.unwrap();
    assert_eq!((status.partitions, status.replicas), (Some(3), Some(1)));
    assert_eq!(status.topic_name.as_deref(), Some("orders"));
    assert!(status.topic_id.is_some());
    world.assert_calm("orders").await;
    world.assert_calm("orders").await;
}

#[tokio::test(start_paused = true)]
async fn five_thousand_that_are_as_asked_cost_a_few_requests_and_no_write() {
    const COUNT: usize = 5_000;
    let world = World::new();
    let names: Vec<_> = (0..COUNT).map(|i| format!("t{i:04}")).collect();
    for name in &names {
        world.kube.put_topic(&topic(name));
    }
    let all = || join_all(names.iter().map(|name| world.tend(name)));
    assert!(all().await.iter().all(Result::is_ok));
    assert_eq!(world.kafka.writes().len(), COUNT);
    assert_eq!(world.kube.writes().len(), 2 * COUNT);
    world.kafka.looks();
    assert!(all().await.iter().all(Result::is_ok));
    assert_eq!(world.kafka.writes(), Vec::<String>::new());
    assert_eq!(world.kube.writes(), Vec::<String>::new());
    let looks = world.kafka.looks();
    assert!((10..=60).contains(&looks), "{looks} requests");
}

#[tokio::test(start_paused = true)]
async fn drift_is_set_back_and_told() {
    let world = World::new();
    world.make(&asking(3, 1)).await;
    world.kube.events();
    {
        let mut state = world.kafka.0.lock();
        let overrides = &mut state.topics.get_mut("orders").unwrap().overrides;
        overrides.insert("retention.ms".to_owned(), "5".to_owned());
        overrides.insert("segment.ms".to_owned(), "9".to_owned());
    }
    world.tend("orders").await.unwrap();
    let events = world.kube.events();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].0, "DriftReverted");
    assert!(
        events[0].1.contains("retention.ms, segment.ms"),
        "{events:?}"
    );
    let overrides = world.kafka.0.lock().topics["orders"].overrides.clone();
    assert_eq!(
        overrides,
        [("retention.ms".to_owned(), "1000".to_owned())].into()
    );
    let metrics = world.topics.context.metrics.render();
    assert!(
        metrics.contains("freshet_operator_topic_drift_reverted_total 1"),
        "{metrics}"
    );
    world.assert_calm("orders").await;
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_went_away_is_made_again_with_a_warning() {
    let world = World::new();
    world.make(&asking(3, 1)).await;
    world.kafka.0.lock().topics.clear();
    world.tend("orders").await.unwrap();
    assert_eq!(world.kafka.writes(), ["create orders", "create orders"]);
    assert_eq!(world.kube.events()[0].0, "TopicRecreated");
}

#[tokio::test(start_paused = true)]
async fn copies_move_and_the_status_tells_how_far() {
    let world = World::new();
    world.make(&asking(3, 1)).await;
    let mut more = world.kube.topic("orders").unwrap();
    more.spec.replicas = Some(2);
    more.metadata.generation = Some(2);
    world.kube.put_topic(&more);
    let next = world.tend("orders").await.unwrap();
    assert_eq!(next, Action::requeue(MOVING));
    assert_eq!(world.kafka.writes(), ["create orders", "replicate orders"]);
    assert_eq!(
        world.word("orders", PROGRESSING),
        pair("True", "ReplicasMoving")
    );
    let change = world
        .kube
        .topic("orders")
        .unwrap()
        .status
        .unwrap()
        .replicas_change;
    let expected = ReplicasChange {
        target_replicas: 2,
        partitions_left: 3,
    };
    assert_eq!(change, Some(expected));
    for partition in &mut world
        .kafka
        .0
        .lock()
        .topics
        .get_mut("orders")
        .unwrap()
        .partitions
    {
        partition.moving = false;
    }
    world.tend("orders").await.unwrap();
    assert_eq!(world.word("orders", PROGRESSING), None);
    let status = world.kube.topic("orders").unwrap().status.unwrap();
    assert_eq!((status.replicas, status.replicas_change), (Some(2), None));
    world.assert_calm("orders").await;
}

#[tokio::test(start_paused = true)]
async fn the_younger_of_two_waits_for_the_name() {
    let world = World::new();
    let mut young = at(topic("young"), 20, "2");
    young.spec.topic_name = Some("orders".to_owned());
    world.make(&at(asking(3, 1), 10, "1")).await;
    world.make(&young).await;
    assert_eq!(world.word("young", "Ready"), pair("False", "NameTaken"));
    assert!(world.kube.topic("young").unwrap().finalizers().is_empty());
    assert_eq!(world.kube.events()[0].0, "NameTaken");
    world.assert_calm("young").await;
    // It is deleted, and the topic of the other one stays.
    let elder = ("shop".to_owned(), "orders".to_owned());
    let woken = world.topics.watched.index.lock().remove(&elder);
    assert_eq!(woken, [("shop".to_owned(), "young".to_owned())]);
    world.tend("young").await.unwrap();
    assert_eq!(world.word("young", "Ready"), pair("True", "Serving"));
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_told_once_and_nothing_is_done() {
    let world = World::new();
    let mut wrong = asking(3, 1);
    wrong.spec.config = [("retention.m".to_owned(), ConfigValue::Integer(1))].into();
    world.make(&wrong).await;
    assert_eq!(
        world.word("orders", "Valid"),
        pair("False", "InvalidConfig")
    );
    assert_eq!(world.kafka.writes(), Vec::<String>::new());
    assert!(world.kube.topic("orders").unwrap().finalizers().is_empty());
    let events = world.kube.events();
    assert_eq!((events.len(), events[0].0.as_str()), (1, "InvalidConfig"));
    world.assert_calm("orders").await;
}

#[tokio::test(start_paused = true)]
async fn a_topic_with_more_partitions_is_left_as_it_is() {
    let world = World::new();
    world.make(&asking(5, 1)).await;
    world.kafka.writes();
    let mut less = asking(3, 1);
    less.metadata.name = Some("less".to_owned());
    less.spec.topic_name = Some("orders".to_owned());
    world
        .topics
        .watched
        .index
        .lock()
        .remove(&("shop".to_owned(), "orders".to_owned()));
    world.make(&less).await;
    assert_eq!(
        world.word("less", "Valid"),
        pair("False", "PartitionsCannotShrink")
    );
    assert_eq!(world.kafka.writes(), Vec::<String>::new());
    let adopted = world.kube.topic("less").unwrap();
    assert!(
        adopted.finalizers().is_empty(),
        "to delete the object deletes nothing"
    );
    assert_eq!(adopted.status.unwrap().partitions, Some(5));
    world.assert_calm("less").await;
}

#[tokio::test(start_paused = true)]
async fn brokers_that_refuse_are_quoted() {
    let world = World::new();
    world.kafka.0.lock().refused = Some(ErrorCode::InvalidReplicationFactor);
    world.kube.put_topic(&asking(3, 7));
    let next = world.tend("orders").await.unwrap();
    assert_eq!(next, Action::requeue(REFUSED));
    assert_eq!(
        world.word("orders", "Ready"),
        pair("False", "NotEnoughBrokers")
    );
    let events = world.kube.events();
    assert!(events[0].1.contains("the broker's own words"), "{events:?}");
    world.assert_calm("orders").await;
    world.kafka.0.lock().refused = None;
    world.tend("orders").await.unwrap();
    assert_eq!(world.word("orders", "Ready"), pair("True", "Serving"));
}

#[tokio::test(start_paused = true)]
async fn brokers_that_are_away_are_tried_again() {
    let world = World::new();
    world.make(&asking(3, 1)).await;
    world.kafka.0.lock().is_away = true;
    world.kube.events();
    let failure = world.tend("orders").await.unwrap_err();
    assert_eq!(failure.word(), "brokers");
    assert_eq!(
        world.word("orders", "Ready"),
        pair("False", "ClusterUnreachable")
    );
    let status = world.kube.topic("orders").unwrap().status.unwrap();
    assert_eq!(status.partitions, Some(3), "what was seen last stays");
    world.assert_calm("orders").await;
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_not_there_is_waited_for() {
    let world = World::new();
    let mut lost = asking(3, 1);
    lost.spec.cluster_ref.as_mut().unwrap().name = "other".to_owned();
    world.make(&lost).await;
    assert_eq!(
        world.word("orders", "Ready"),
        pair("False", "ClusterNotFound")
    );
    world.assert_calm("orders").await;
}

#[tokio::test(start_paused = true)]
async fn a_stranger_is_told_that_it_is_not_allowed() {
    let world = World::new();
    let of = |path: &str, allowed: serde_json::Value| {
        let object = json!({
            "apiVersion": "freshet.dev/v1", "kind": "Cluster",
            "metadata": { "name": "main", "namespace": "prod" },
            "spec": { "pools": [], "allowedTopics": allowed },
            "status": { "bootstrapServers": "main:9092" },
        });
        world.kube.put(path, object);
    };
    let path = "/apis/freshet.dev/v1/namespaces/prod/clusters/main";
    let mut stranger = asking(3, 1);
    stranger.spec.cluster_ref.as_mut().unwrap().namespace = Some("prod".to_owned());
    of(path, json!({ "from": "Same" }));
    world.make(&stranger).await;
    assert_eq!(
        world.word("orders", "Ready"),
        pair("False", "ClusterNotAllowed")
    );
    assert_eq!(world.kafka.writes(), Vec::<String>::new());
    // By the labels of its namespace.
    let selector = json!({ "from": "Selector", "selector": { "matchLabels": { "team": "shop" } } });
    of(path, selector);
    let namespace = |team: &str| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop", "labels": { "team": team } } });
    world
        .kube
        .put("/api/v1/namespaces/shop", namespace("billing"));
    world.tend("orders").await.unwrap();
    assert_eq!(
        world.word("orders", "Ready"),
        pair("False", "ClusterNotAllowed")
    );
    world.kube.put("/api/v1/namespaces/shop", namespace("shop"));
    tokio::time::advance(Duration::from_secs(60)).await;
    world.tend("orders").await.unwrap();
    assert_eq!(world.word("orders", "Ready"), pair("True", "Serving"));
}

#[tokio::test(start_paused = true)]
async fn a_paused_topic_is_looked_at_and_not_touched() {
    let world = World::new();
    let mut paused = asking(3, 1);
    paused.spec.paused = true;
    world.make(&paused).await;
    assert_eq!(world.word("orders", "Paused"), pair("True", "Asked"));
    assert_eq!(world.word("orders", "Ready"), pair("False", "Paused"));
    assert_eq!(world.kafka.writes(), Vec::<String>::new());
    world.assert_calm("orders").await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_object_takes_its_topic_along() {
    let world = World::new();
    world.make(&asking(3, 1)).await;
    world.kafka.writes();
    world.kube.delete_topic("orders", "2026-01-02T00:00:00Z");
    world.tend("orders").await.unwrap();
    assert_eq!(world.kafka.writes(), ["delete orders"]);
    assert!(world.kube.topic("orders").is_none(), "nothing holds it");
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_shall_be_kept_is_kept() {
    let world = World::new();
    let mut kept = asking(3, 1);
    kept.spec.deletion_policy = freshet_api::DeletionPolicy::Retain;
    world.make(&kept).await;
    assert!(world.kube.topic("orders").unwrap().finalizers().is_empty());
    world.assert_calm("orders").await;
    // The policy was another one before.
    let mut held = world.kube.topic("orders").unwrap();
    held.metadata.finalizers = Some(vec!["freshet.dev/topic".to_owned()]);
    world.kube.put_topic(&held);
    world.tend("orders").await.unwrap();
    assert!(world.kube.topic("orders").unwrap().finalizers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_namespace_is_not_held_by_a_cluster_that_is_gone() {
    let world = World::new();
    world.make(&asking(3, 1)).await;
    let mut orphan = world.kube.topic("orders").unwrap();
    orphan.spec.cluster_ref.as_mut().unwrap().name = "gone".to_owned();
    world.kube.put_topic(&orphan);
    world.kube.delete_topic("orders", "2026-01-02T00:00:00Z");
    world.tend("orders").await.unwrap();
    assert!(world.kube.topic("orders").is_none(), "nothing holds it");
    assert_eq!(world.kube.events().last().unwrap().0, "ClusterGone");
}

#[tokio::test(start_paused = true)]
async fn brokers_that_never_delete_hold_an_object_for_a_while_only() {
    let world = World::new();
    world.make(&asking(3, 1)).await;
    world.kafka.0.lock().refused = Some(ErrorCode::TopicDeletionDisabled);
    let now = world.topics.context.now();
    world.kube.delete_topic("orders", &now.to_string());
    world.tend("orders").await.unwrap();
    assert_eq!(
        world.word("orders", "Ready"),
        pair("False", "DeletionDisabled")
    );
    assert_eq!(world.kube.events().last().unwrap().0, "DeletionDisabled");
    world.kube.delete_topic("orders", "2026-01-02T00:00:00Z");
    world.tend("orders").await.unwrap();
    assert!(world.kube.topic("orders").is_none(), "nothing holds it");
    let (reason, note) = world.kube.events().pop().unwrap();
    assert_eq!(reason, "TopicLeftBehind");
    assert!(note.contains("the broker's own words"), "{note}");
}

#[test]
fn looks_come_round_spread_and_in_groups() {
    let now = 1_700_000_000_123;
    let dues: Vec<_> = (0..1_000)
        .map(|i| resync(now, &format!("uid-{i}")))
        .collect();
    let (least, most) = (dues.iter().min().unwrap(), dues.iter().max().unwrap());
    assert!(*least >= RESYNC.mul_f64(0.9), "{least:?}");
    assert!(
        *most <= RESYNC.mul_f64(1.1) + Duration::from_millis(TICK_MS),
        "{most:?}"
    );
    let at = dues
        .iter()
        .map(|due| now + u64::try_from(due.as_millis()).unwrap());
    let mut at: Vec<_> = at.collect();
    assert!(at.iter().all(|due| due.is_multiple_of(TICK_MS)));
    at.sort_unstable();
    at.dedup();
    assert!((4..=8).contains(&at.len()), "{} groups", at.len());
}
