//! What is watched, and whom it wakes.
//!
//! A Topic is looked at when its spec changes or it is being deleted, when its Cluster changes in a way
//! that topics feel, when a name that it waits for is free, and every few minutes. Its own status and
//! finalizer, which the controller writes itself, wake nobody.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use freshet_api::{Cluster, READY, Topic};
use futures_util::{Stream, StreamExt, stream};
use kube::core::{DeserializeGuard, NamespaceResourceScope};
use kube::runtime::reflector::{self, ObjectRef, Store, store::Writer};
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{Config, Controller, PredicateConfig, WatchStreamExt};
use kube::{Client, Resource, ResourceExt};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::sync::broadcast;

use super::index::{self, ClusterKey, Id, Index};
use super::{Guarded, Topics};
use crate::controllers;

/// Objects in one answer of the API server, when all are listed.
const PAGE: u32 = 500;
/// Reconciles at the same time. They mostly wait for brokers, who are asked about so many at once.
const AT_ONCE: u16 = 500;
/// How long a change waits for others of the same object.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// Changes of Clusters and names that may wait to be heard. Who misses one looks at the next round.
const WAKES: usize = 1_024;

type GuardedCluster = DeserializeGuard<Cluster>;

/// Whom to wake.
#[derive(Debug, Clone)]
enum Wake {
    Topics(Vec<Id>),
    Cluster(Id),
}

/// A namespace, or all, and what is in it.
pub(super) struct Scope {
    namespace: Option<String>,
    pub(super) topics: Store<Guarded>,
    pub(super) clusters: Store<GuardedCluster>,
}

impl Scope {
    /// Whether a namespace is in it.
    pub(super) fn covers(&self, namespace: &str) -> bool {
        self.namespace.as_deref().is_none_or(|own| own == namespace)
    }
}

/// The ends that watches write to.
pub(super) struct Writers {
    topics: Writer<Guarded>,
    clusters: Writer<GuardedCluster>,
}

/// All that is watched.
pub(super) struct Watched {
    pub(super) scopes: Vec<Scope>,
    pub(super) index: Mutex<Index>,
    wakes: broadcast::Sender<Wake>,
}

impl Watched {
    /// What will be watched, and where watches write it.
    pub(super) fn new(namespaces: &[Option<String>]) -> (Self, Vec<Writers>) {
        let ends = namespaces.iter().map(|namespace| {
            let (topics, topic_writer) = reflector::store();
            let (clusters, cluster_writer) = reflector::store();
            let scope = Scope {
                namespace: namespace.clone(),
                topics,
                clusters,
            };
            let writers = Writers {
                topics: topic_writer,
                clusters: cluster_writer,
            };
            (scope, writers)
        });
        let (scopes, writers) = ends.unzip();
        let watched = Self {
            scopes,
            index: Mutex::default(),
            wakes: broadcast::channel(WAKES).0,
        };
        (watched, writers)
    }

    /// Waits until everything was listed once: before that nobody knows who is the oldest.
    pub(super) async fn listed(&self) {
        for scope in &self.scopes {
            // A writer that is gone ends the process soon.
            let _ = scope.topics.wait_until_ready().await;
            let _ = scope.clusters.wait_until_ready().await;
        }
    }

    fn hear(&self, scope: &Scope, event: &Event<Guarded>) -> (usize, usize) {
        let mut index = self.index.lock();
        let woken = match event {
            Event::Apply(topic) | Event::InitApply(topic) => index.put(topic),
            Event::Delete(topic) => index.remove(&index::id(topic)),
            Event::Init => Vec::new(),
            Event::InitDone => {
                let there: HashSet<_> = scope.topics.state().iter().map(|t| index::id(t)).collect();
                index.retain(scope.namespace.as_deref(), &there)
            }
        };
        let counts = index.counts();
        drop(index);
        if !woken.is_empty() {
            self.wake(Wake::Topics(woken));
        }
        counts
    }

    fn wake(&self, wake: Wake) {
        // Nobody listens before the first controller runs, and then all are looked at anyway.
        let _ = self.wakes.send(wake);
    }

    /// Topics of a scope whose turn it is.
    fn woken(self: &Arc<Self>, number: usize) -> impl Stream<Item = ObjectRef<Guarded>> + use<> {
        let heard = self.wakes.subscribe();
        let watched = Arc::clone(self);
        let wakes = stream::unfold(heard, |mut heard| async move {
            loop {
                match heard.recv().await {
                    Ok(wake) => return Some((wake, heard)),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        });
        wakes.flat_map(move |wake| {
            let ids = match wake {
                Wake::Topics(ids) => ids,
                Wake::Cluster(id) => watched.index.lock().of_cluster(&ClusterKey::Object(id)),
            };
            let scope = &watched.scopes[number];
            let own = ids.into_iter().filter(|id| scope.covers(&id.0));
            stream::iter(own.map(|id| index::reference(&id)).collect::<Vec<_>>())
        })
    }
}

/// Watches one scope and looks after its Topics, until nothing is watched any more.
pub(super) async fn look_after(topics: Arc<Topics>, number: usize, writers: Writers) {
    tokio::join!(
        controller(Arc::clone(&topics), number, writers.topics),
        clusters(topics, number, writers.clusters),
    );
}

async fn controller(topics: Arc<Topics>, number: usize, writer: Writer<Guarded>) {
    let watched = Arc::clone(&topics.watched);
    let scope = &watched.scopes[number];
    let (ears, context) = (Arc::clone(&watched), Arc::clone(&topics.context));
    let events = events(&topics.context.client, scope.namespace.as_deref(), writer);
    let changes = events
        .inspect(move |event| {
            if let Ok(event) = event {
                let (ready, other) = ears.hear(&ears.scopes[number], event);
                context.metrics.resources(&Topic::kind(&()), ready, other);
            }
        })
        .applied_objects()
        .predicate_filter(feels, PredicateConfig::default());
    let config = Config::default().debounce(DEBOUNCE).concurrency(AT_ONCE);
    Controller::for_stream(changes, scope.topics.clone())
        .with_config(config)
        .trigger_backoff(controllers::Steady)
        .reconcile_on(watched.woken(number))
        .run(super::reconcile, super::again, Arc::clone(&topics))
        .for_each(|_| std::future::ready(()))
        .await;
}

async fn clusters(topics: Arc<Topics>, number: usize, writer: Writer<GuardedCluster>) {
    let watched = &topics.watched;
    let namespace = watched.scopes[number].namespace.as_deref();
    let mut felt = Felt::default();
    events(&topics.context.client, namespace, writer)
        .for_each(|event| {
            let changed = event.map(|event| felt.hear(&event)).unwrap_or_default();
            for id in changed {
                watched.wake(Wake::Cluster(id));
            }
            std::future::ready(())
        })
        .await;
}

/// What topics have felt of Clusters. The runtime's own filter would not tell of one that is gone: it
/// looks then as it did before.
#[derive(Default)]
struct Felt {
    known: HashMap<Id, Option<u64>>,
    /// Those that a list under way has named.
    listed: HashSet<Id>,
}

impl Felt {
    /// Clusters that are others than before, or gone.
    fn hear(&mut self, event: &Event<GuardedCluster>) -> Vec<Id> {
        let id = |cluster: &GuardedCluster| {
            let namespace = cluster.namespace().unwrap_or_default();
            (namespace, cluster.name_any())
        };
        match event {
            Event::Apply(cluster) | Event::InitApply(cluster) => {
                let (id, now) = (id(cluster), topics_feel(cluster));
                self.listed.insert(id.clone());
                let before = self.known.insert(id.clone(), now);
                if before == Some(now) {
                    Vec::new()
                } else {
                    vec![id]
                }
            }
            Event::Delete(cluster) => {
                let id = id(cluster);
                self.known.remove(&id);
                vec![id]
            }
            Event::Init => {
                self.listed.clear();
                Vec::new()
            }
            Event::InitDone => {
                let is_gone = |id: &&Id| !self.listed.contains(*id);
                let gone: Vec<_> = self.known.keys().filter(is_gone).cloned().collect();
                for id in &gone {
                    self.known.remove(id);
                }
                gone
            }
        }
    }
}

/// What happens to the objects of a kind, kept in a store without what nobody reads.
fn events<K>(
    client: &Client,
    namespace: Option<&str>,
    writer: Writer<DeserializeGuard<K>>,
) -> impl Stream<Item = watcher::Result<Event<DeserializeGuard<K>>>> + Send + use<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let api = controllers::api::<DeserializeGuard<K>>(client, namespace);
    watcher(api, watcher::Config::default().page_size(PAGE))
        .backoff(controllers::Steady)
        .modify(|object| object.meta_mut().managed_fields = None)
        .reflect(writer)
}

/// What of a Topic is worth a look.
fn feels(topic: &Guarded) -> Option<u64> {
    let meta = topic.meta();
    Some(hash((
        meta.generation,
        meta.deletion_timestamp.is_some(),
        // Whoever annotates an object wants it to be looked at now.
        meta.annotations.as_ref(),
        topic.0.is_err(),
    )))
}

/// What of a Cluster its topics feel.
fn topics_feel(guard: &GuardedCluster) -> Option<u64> {
    let meta = guard.meta();
    let leaving = meta.deletion_timestamp.is_some();
    let Ok(cluster) = &guard.0 else {
        return Some(hash((meta.generation, leaving)));
    };
    let status = cluster.status.as_ref();
    let conditions = status.map(|s| s.conditions.as_slice()).unwrap_or_default();
    let ready = conditions.iter().find(|c| c.type_ == READY);
    let spec = &cluster.spec;
    let words = (
        serde_json::to_string(&spec.allowed_topics).ok(),
        serde_json::to_string(&spec.tiering).ok(),
        spec.config
            .get("remote.log.storage.system.enable")
            .map(|v| v.text().into_owned()),
    );
    Some(hash((
        leaving,
        words,
        status.and_then(|s| s.bootstrap_servers.as_deref()),
        ready.map(|c| &c.status),
    )))
}

fn hash(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::super::samples::{ready, topic};
    use super::*;

    #[test]
    fn what_the_controller_writes_wakes_nobody() {
        let plain = topic("orders");
        let look = |topic: &Topic| feels(&DeserializeGuard(Ok(topic.clone())));
        let mut shown = ready(plain.clone());
        shown.metadata.finalizers = Some(vec!["freshet.dev/topic".into()]);
        shown.metadata.resource_version = Some("9".into());
        assert_eq!(look(&plain), look(&shown));
        let mut changed = plain.clone();
        changed.metadata.generation = Some(2);
        assert_ne!(look(&plain), look(&changed));
        let mut leaving = plain.clone();
        leaving.metadata.deletion_timestamp = plain.metadata.creation_timestamp.clone();
        assert_ne!(look(&plain), look(&leaving));
    }

    #[test]
    fn a_cluster_that_is_gone_is_felt() {
        let cluster = |name: &str| {
            let object = serde_json::json!({
                "apiVersion": "freshet.dev/v1", "kind": "Cluster",
                "metadata": { "name": name, "namespace": "prod" },
                "spec": { "pools": [] },
            });
            serde_json::from_value::<GuardedCluster>(object).unwrap()
        };
        let key = |name: &str| ("prod".to_owned(), name.to_owned());
        let mut felt = Felt::default();
        let told = [
            (Event::Init, vec![]),
            (Event::InitApply(cluster("a")), vec![key("a")]),
            (Event::InitApply(cluster("b")), vec![key("b")]),
            (Event::InitDone, vec![]),
            (Event::Apply(cluster("a")), vec![]),
            (Event::Delete(cluster("a")), vec![key("a")]),
            (Event::Apply(cluster("a")), vec![key("a")]),
            // Gone while nobody watched.
            (Event::Init, vec![]),
            (Event::InitApply(cluster("a")), vec![]),
            (Event::InitDone, vec![key("b")]),
        ];
        for (number, (event, expected)) in told.into_iter().enumerate() {
            assert_eq!(felt.hear(&event), expected, "{number}");
        }
    }

    #[test]
    fn topics_feel_what_decides_about_them() {
        let cluster = |status: serde_json::Value, allowed: serde_json::Value| {
            let object = serde_json::json!({
                "apiVersion": "freshet.dev/v1", "kind": "Cluster",
                "metadata": { "name": "main", "namespace": "prod" },
                "spec": { "pools": [], "allowedTopics": allowed },
                "status": status,
            });
            topics_feel(&serde_json::from_value(object).unwrap())
        };
        let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        let none = || json("null");
        let before = cluster(json("{}"), none());
        assert_eq!(cluster(json(r#"{"brokers": "2/3"}"#), none()), before);
        assert_ne!(
            cluster(json(r#"{"bootstrapServers": "a:1"}"#), none()),
            before
        );
        assert_ne!(cluster(json("{}"), json(r#"{"from": "All"}"#)), before);
    }
}
