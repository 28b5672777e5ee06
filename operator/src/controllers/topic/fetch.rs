//! What a reconcile looks at in Kubernetes: the Cluster, who may use it, and who claims the same topic.

mod pass;

use std::collections::BTreeMap;
use std::time::Duration;

use freshet_api::{Cluster, From, READY, Topic};
use k8s_openapi::api::core::v1::Namespace;
use kube::core::{DeserializeGuard, Selector, SelectorExt};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use tokio::time::Instant;

use super::Topics;
use super::index::{self, ClusterKey, Id};
use crate::clusters::Way;
use crate::controllers;
use crate::failure::Failure;

pub(super) use pass::{Fault, Passes};

/// How long a namespace's labels are believed.
const LABELS: Duration = Duration::from_secs(30);

/// Why a Topic is not let in by brokers: the reasons that its status has for it.
const BARRED: [&str; 5] = [
    "SecretMissing",
    "SecretForbidden",
    "SecretInvalid",
    "AuthenticationFailed",
    "TlsFailed",
];

/// Labels of an object.
pub(super) type Labels = BTreeMap<String, String>;

/// A cluster, as far as topics need to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Whether its brokers are ours, with the settings that we know.
    pub(super) is_ours: bool,
    /// Where it is reached, if it can be.
    pub(super) way: Option<Way>,
    /// Whether it has object storage.
    pub(super) has_store: bool,
    /// Whether topics use that which do not say.
    pub(super) tiers: bool,
    /// Whether it is being deleted.
    pub(super) leaving: bool,
}

/// The cluster of a Topic, or why it has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Home {
    Here(Place),
    NotFound(Id),
    NotAllowed(String),
    /// The object is there, and cannot be read.
    Unreadable(String),
    /// The Secret that lets us in is none.
    Barred(Fault),
}

impl Place {
    /// A cluster that no object describes.
    fn external(way: Way) -> Self {
        Self {
            is_ours: false,
            way: Some(way),
            has_store: true,
            tiers: false,
            leaving: false,
        }
    }

    fn of(cluster: &Cluster) -> Self {
        let tiering = cluster.spec.tiering.as_ref();
        let stores = cluster.spec.config.get("remote.log.storage.system.enable");
        let servers = cluster
            .status
            .as_ref()
            .and_then(|s| s.bootstrap_servers.as_deref());
        let servers: Vec<_> = servers
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .filter(|server| !server.is_empty())
            .map(str::to_owned)
            .collect();
        Self {
            is_ours: true,
            way: (!servers.is_empty()).then(|| Way::open(&servers)),
            has_store: tiering.is_some() || stores.is_some_and(|value| value.text() == "true"),
            tiers: tiering.is_some_and(|t| t.default_for_topics),
            leaving: cluster.metadata.deletion_timestamp.is_some(),
        }
    }
}

/// Whether a namespace may have Topics of a Cluster.
#[derive(Debug)]
enum Allowance {
    Yes,
    No,
    /// If its labels fit.
    Labels(Selector),
    /// The selector means nothing.
    Broken(String),
}

fn barred(topic: &Topic) -> bool {
    let conditions = topic.status.iter().flat_map(|status| &status.conditions);
    let mut ready = conditions.filter(|c| c.type_ == READY && c.status == "False");
    ready.any(|c| BARRED.contains(&c.reason.as_str()))
}

fn allowance(cluster: &Cluster, namespace: &str) -> Allowance {
    if cluster.namespace().as_deref() == Some(namespace) {
        return Allowance::Yes;
    }
    let Some(allowed) = &cluster.spec.allowed_topics else {
        return Allowance::No;
    };
    match allowed.from {
        From::Same => Allowance::No,
        From::All => Allowance::Yes,
        From::Selector => {
            // The schema wants a selector here; an empty one fits all.
            let selector = allowed.selector.clone().unwrap_or_default();
            match Selector::try_from(selector) {
                Ok(selector) => Allowance::Labels(selector),
                Err(error) => Allowance::Broken(error.to_string()),
            }
        }
    }
}

impl Topics {
    /// The cluster of a Topic.
    pub(super) async fn home(&self, topic: &Topic) -> Result<Home, Failure> {
        let id = match ClusterKey::of(topic) {
            ClusterKey::Address(servers) => return self.outside(topic, servers).await,
            ClusterKey::Object(id) => id,
        };
        let cluster = match self.cluster(&id).await? {
            None => return Ok(Home::NotFound(id)),
            Some(Err(why)) => return Ok(Home::Unreadable(why)),
            Some(Ok(cluster)) => cluster,
        };
        let namespace = topic.namespace().unwrap_or_default();
        Ok(match self.refusal(&cluster, &namespace).await? {
            Some(why) => Home::NotAllowed(why),
            None => Home::Here(Place::of(&cluster)),
        })
    }

    /// A cluster that no object describes.
    async fn outside(&self, topic: &Topic, bootstrap: Vec<String>) -> Result<Home, Failure> {
        let external = topic.spec.external.as_ref();
        let pass = match external.and_then(|external| external.secret.as_ref()) {
            None => None,
            Some(secret) => {
                let namespace = topic.namespace().unwrap_or_default();
                let client = &self.context.client;
                match self.passes.get(client, &namespace, &secret.name).await? {
                    Ok(pass) => Some(pass),
                    Err(fault) => return Ok(Home::Barred(fault)),
                }
            }
        };
        Ok(Home::Here(Place::external(Way { bootstrap, pass })))
    }

    /// The older Topic that has the name, if there is one that may have it.
    pub(super) async fn rival(&self, topic: &Topic) -> Result<Option<Id>, Failure> {
        let elders = self.watched.index.lock().elders(topic);
        let ClusterKey::Object(id) = ClusterKey::of(topic) else {
            // Who was not let in has no topic there: a name is not taken by those who only know an address.
            return Ok(elders.into_iter().find(|elder| !self.is_barred(elder)));
        };
        if elders.is_empty() {
            return Ok(None);
        }
        let Some(Ok(cluster)) = self.cluster(&id).await? else {
            return Ok(None);
        };
        for elder in elders {
            if self.refusal(&cluster, &elder.0).await?.is_none() {
                return Ok(Some(elder));
            }
        }
        Ok(None)
    }

    /// Whether a Topic has said that brokers do not let it in.
    fn is_barred(&self, id: &Id) -> bool {
        let mut scopes = self.watched.scopes.iter();
        let scope = scopes.find(|scope| scope.covers(&id.0));
        let guard = scope.and_then(|scope| scope.topics.get(&index::reference(id)));
        guard.is_some_and(|guard| guard.0.as_ref().is_ok_and(barred))
    }

    /// Why a namespace may have no Topics of a Cluster.
    async fn refusal(&self, cluster: &Cluster, namespace: &str) -> Result<Option<String>, Failure> {
        let of = cluster.namespace().unwrap_or_default();
        let name = cluster.name_any();
        Ok(match allowance(cluster, namespace) {
            Allowance::Yes => None,
            Allowance::No => Some(format!(
                "the Cluster {of}/{name} allows no Topics of the namespace {namespace}: see its \
                 spec.allowedTopics"
            )),
            Allowance::Broken(error) => Some(format!(
                "the selector in spec.allowedTopics of the Cluster {of}/{name} means nothing: {error}"
            )),
            Allowance::Labels(selector) => match self.labels(namespace).await? {
                Some(labels) if selector.matches(&labels) => None,
                Some(_) => Some(format!(
                    "the labels of the namespace {namespace} are none that the Cluster {of}/{name} \
                     allows: see its spec.allowedTopics"
                )),
                None => Some(format!(
                    "the Cluster {of}/{name} asks for labels of the namespace {namespace}, which the \
                     operator may not read"
                )),
            },
        })
    }

    /// A Cluster; what cannot be read is told.
    async fn cluster(&self, id: &Id) -> Result<Option<Result<Cluster, String>>, Failure> {
        let (namespace, name) = id;
        let unreadable =
            |error: &str| format!("the Cluster {namespace}/{name} cannot be read: {error}");
        let scopes = &self.watched.scopes;
        if let Some(scope) = scopes.iter().find(|scope| scope.covers(namespace)) {
            let key = ObjectRef::new(name).within(namespace);
            if let Some(found) = scope.clusters.get(&key) {
                let cluster = found.0.as_ref();
                return Ok(Some(cluster.cloned().map_err(|e| unreadable(&e.error))));
            }
        }
        // Not there, as far as is known, or not in a namespace that is watched.
        let what = format!("cannot read the Cluster {namespace}/{name}");
        let api =
            controllers::api::<DeserializeGuard<Cluster>>(&self.context.client, Some(namespace));
        match api.get_opt(name).await {
            Ok(found) => Ok(found.map(|guard| guard.0.map_err(|e| unreadable(&e.error)))),
            Err(kube::Error::Api(status)) if status.is_forbidden() => {
                Ok(Some(Err(unreadable("the operator may not"))))
            }
            Err(error) => Err(Failure::kubernetes(what)(error)),
        }
    }

    /// A namespace's labels; `None` where they may not be read, none where it is gone.
    async fn labels(&self, namespace: &str) -> Result<Option<Labels>, Failure> {
        if let Some((at, labels)) = self.labels.lock().get(namespace)
            && at.elapsed() < LABELS
        {
            return Ok(Some(labels.clone()));
        }
        let api: Api<Namespace> = Api::all(self.context.client.clone());
        let labels = match api.get_metadata_opt(namespace).await {
            Ok(found) => found.map(|n| n.metadata.labels.unwrap_or_default()),
            Err(kube::Error::Api(status)) if status.is_forbidden() => return Ok(None),
            Err(error) => {
                let what = format!("cannot read the labels of the namespace {namespace}");
                return Err(Failure::kubernetes(what)(error));
            }
        };
        let labels = labels.unwrap_or_default();
        let mut known = self.labels.lock();
        known.retain(|_, (at, _)| at.elapsed() < LABELS);
        known.insert(namespace.to_owned(), (Instant::now(), labels.clone()));
        Ok(Some(labels))
    }
}

#[cfg(test)]
mod tests {
    use freshet_api::{AllowedTopics, ClusterStatus};
    use serde_json::json;

    use super::*;

    fn cluster() -> Cluster {
        let object = json!({
            "apiVersion": "freshet.dev/v1",
            "kind": "Cluster",
            "metadata": { "name": "main", "namespace": "prod" },
            "spec": { "pools": [] },
        });
        serde_json::from_value(object).expect("a Cluster")
    }

    fn allowing(from: From, labels: Option<serde_json::Value>) -> Cluster {
        let mut cluster = cluster();
        cluster.spec.allowed_topics = Some(AllowedTopics {
            from,
            selector: labels.map(|l| serde_json::from_value(json!({ "matchLabels": l })).unwrap()),
        });
        cluster
    }

    #[test]
    fn a_cluster_says_whose_topics_it_takes() {
        let yes = |cluster: &Cluster, namespace: &str| {
            matches!(allowance(cluster, namespace), Allowance::Yes)
        };
        assert!(yes(&cluster(), "prod"), "its own always");
        assert!(!yes(&cluster(), "shop"));
        assert!(!yes(&allowing(From::Same, None), "shop"));
        assert!(yes(&allowing(From::All, None), "shop"));
        let picky = allowing(From::Selector, Some(json!({ "team": "shop" })));
        assert!(yes(&picky, "prod"), "its own always");
        let Allowance::Labels(selector) = allowance(&picky, "shop") else {
            panic!("labels decide");
        };
        let labels = |team: &str| Labels::from([("team".to_owned(), team.to_owned())]);
        assert!(selector.matches(&labels("shop")));
        assert!(!selector.matches(&labels("billing")));
    }

    #[test]
    fn a_place_is_what_status_and_spec_tell() {
        let mut cluster = cluster();
        let place = Place::of(&cluster);
        assert_eq!(place.way, None);
        assert!(!place.has_store && !place.tiers && !place.leaving && place.is_ours);
        cluster.status = Some(ClusterStatus {
            bootstrap_servers: Some("a:9092, b:9092,".to_owned()),
            ..ClusterStatus::default()
        });
        cluster.spec.tiering = Some(freshet_api::Tiering {
            url: "s3://bucket".to_owned(),
            credentials: None,
            default_for_topics: true,
        });
        let place = Place::of(&cluster);
        assert_eq!(place.way.unwrap().bootstrap, ["a:9092", "b:9092"]);
        assert!(place.has_store && place.tiers);
    }
}
