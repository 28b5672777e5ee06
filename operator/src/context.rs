//! What every reconcile has at hand.

use std::sync::Arc;

use freshet_client::WallClock;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource, ResourceExt};

use crate::clusters::Clusters;
use crate::controllers::cluster::Door;
use crate::failure::Failures;
use crate::metrics::Metrics;

/// Who writes, as server-side apply has it.
pub(crate) const MANAGER: &str = "freshet-operator";

/// What every reconcile has at hand.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) recorder: Recorder,
    /// Clients of Kafka's protocol, one for each cluster.
    pub(crate) clusters: Arc<Clusters>,
    /// The way to brokers that the controller of Clusters takes.
    pub(crate) door: Arc<dyn Door>,
    pub(crate) metrics: Metrics,
    /// How often in a row objects have failed.
    pub(crate) failures: Failures,
    /// The image of brokers whose Cluster names none.
    pub(crate) broker_image: String,
    /// The domain of Services.
    pub(crate) domain: String,
    /// The operator's own namespace.
    pub(crate) own_namespace: String,
    clock: WallClock,
}

/// What a [`Context`] is made of.
pub(crate) struct ContextParts {
    pub(crate) client: Client,
    pub(crate) identity: String,
    pub(crate) broker_image: String,
    pub(crate) domain: String,
    pub(crate) own_namespace: String,
}

impl Context {
    pub(crate) fn new(parts: ContextParts) -> Arc<Self> {
        let clusters = Arc::new(Clusters::default());
        let door = Arc::clone(&clusters);
        Self::of(parts, clusters, door, WallClock::system())
    }

    /// With another way to brokers than over the network, and another clock.
    #[cfg(test)]
    pub(crate) fn with_door(
        parts: ContextParts,
        door: Arc<dyn Door>,
        clock: WallClock,
    ) -> Arc<Self> {
        Self::of(parts, Arc::default(), door, clock)
    }

    fn of(
        parts: ContextParts,
        clusters: Arc<Clusters>,
        door: Arc<dyn Door>,
        clock: WallClock,
    ) -> Arc<Self> {
        let reporter = Reporter {
            controller: MANAGER.to_owned(),
            instance: Some(parts.identity),
        };
        Arc::new(Self {
            recorder: Recorder::new(parts.client.clone(), reporter),
            client: parts.client,
            clusters,
            door,
            metrics: Metrics::new(),
            failures: Failures::default(),
            broker_image: parts.broker_image,
            domain: parts.domain,
            own_namespace: parts.own_namespace,
            clock,
        })
    }

    /// The time now.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.clock.now().0).unwrap_or_default()
    }

    /// Tells people about an object. One that cannot be told is logged: nothing depends on it.
    pub(crate) async fn tell<K>(&self, object: &K, word: Word)
    where
        K: Resource<DynamicType = ()>,
    {
        let event = Event {
            type_: if word.warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: word.reason.to_owned(),
            note: Some(word.note),
            action: word.action.to_owned(),
            secondary: None,
        };
        let reference = object.object_ref(&());
        if let Err(error) = self.recorder.publish(&event, &reference).await {
            tracing::warn!(object = object.name_any(), %error, "an Event could not be written");
        }
    }
}

/// What is said in an Event.
pub(crate) struct Word {
    /// Whether a person should look.
    pub(crate) warning: bool,
    /// One word in CamelCase.
    pub(crate) reason: &'static str,
    /// What was done, one word in CamelCase.
    pub(crate) action: &'static str,
    /// A sentence.
    pub(crate) note: String,
}
