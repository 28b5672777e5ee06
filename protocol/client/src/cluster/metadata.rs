//! The cached picture of the cluster, and asking for it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use freshet_wire::metadata::MetadataRequestTopic;
use freshet_wire::{ErrorCode, MetadataRequest, MetadataResponse};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, sleep_until};

use super::{Attempts, Client, ClusterView};
use crate::{ClientConfig, ClientError};

/// Topics that a client follows; one that wants more asks too much of itself.
const MAX_TOPICS: usize = 100_000;
/// Times a cluster may say that it has no such topic before that is believed: a topic that was just
/// created is not known to every broker at once.
const UNKNOWN_TRIES: u32 = 3;

#[derive(Debug)]
pub(super) struct Metadata {
    view: RwLock<Arc<ClusterView>>,
    /// Topics to ask for.
    wanted: Mutex<BTreeSet<String>>,
    /// Held while asking, so that many who miss something ask once.
    asking: AsyncMutex<()>,
    /// The least time between two questions.
    pause: Duration,
    max_age: Duration,
}

impl Metadata {
    pub(super) fn new(config: &ClientConfig) -> Self {
        Self {
            view: RwLock::new(Arc::new(ClusterView::unknown())),
            wanted: Mutex::default(),
            asking: AsyncMutex::default(),
            pause: config.backoff_min,
            max_age: config.metadata_max_age,
        }
    }

    pub(super) fn current(&self) -> Arc<ClusterView> {
        self.view
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The first picture.
    pub(super) async fn bootstrap(&self, client: &Client) -> Result<(), ClientError> {
        let _asking = self.asking.lock().await;
        let limit = client.config().bootstrap_timeout;
        let mut attempts = Attempts::within(client.config(), "the first contact", limit);
        while let Err(error) = client.any_connection().await {
            attempts.pause(error).await?;
        }
        self.ask(client, Some(Vec::new())).await.map(drop)
    }

    /// A picture newer than `seen`.
    pub(super) async fn refresh(
        &self,
        client: &Client,
        seen: &ClusterView,
    ) -> Result<Arc<ClusterView>, ClientError> {
        let _asking = self.asking.lock().await;
        let current = self.current();
        if current.number > seen.number {
            return Ok(current);
        }
        sleep_until(current.at + self.pause).await;
        let wanted = self
            .wanted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        self.ask(client, Some(wanted.into_iter().collect())).await
    }

    pub(super) async fn everything(
        &self,
        client: &Client,
    ) -> Result<Arc<ClusterView>, ClientError> {
        let _asking = self.asking.lock().await;
        self.ask(client, None).await
    }

    pub(super) async fn with_topics(
        &self,
        client: &Client,
        names: &[String],
    ) -> Result<Arc<ClusterView>, ClientError> {
        self.want(names)?;
        let mut attempts = Attempts::new(client.config(), "Metadata");
        let mut unknown = 0;
        let mut seen = self.current();
        if seen.at + self.max_age < Instant::now() {
            seen = self.refresh(client, &seen).await?;
        }
        while let Some(error) = missing(&seen, names) {
            if asked(&seen, names) {
                unknown += u32::from(error.code() == Some(ErrorCode::UnknownTopicOrPartition));
                if unknown == UNKNOWN_TRIES {
                    self.unwant(names);
                    return Err(error);
                }
                attempts.pause(error).await?;
            }
            seen = self.refresh(client, &seen).await?;
        }
        Ok(seen)
    }

    /// A picture in which these topics were asked for, whether or not they exist.
    pub(super) async fn ask_topics(
        &self,
        client: &Client,
        names: &[String],
    ) -> Result<Arc<ClusterView>, ClientError> {
        self.want(names)?;
        let seen = self.current();
        let fresh = seen.at + self.max_age >= Instant::now();
        if fresh && names.iter().all(|name| seen.topic(name).is_some()) {
            return Ok(seen);
        }
        self.refresh(client, &seen).await
    }

    fn want(&self, names: &[String]) -> Result<(), ClientError> {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.extend(names.iter().cloned());
        if wanted.len() > MAX_TOPICS {
            let what = format!("a client follows at most {MAX_TOPICS} topics");
            return Err(ClientError::Invalid(what));
        }
        Ok(())
    }

    fn unwant(&self, names: &[String]) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            wanted.remove(name);
        }
    }

    /// Asks any broker for these topics, or for all. The caller holds `asking`.
    async fn ask(
        &self,
        client: &Client,
        names: Option<Vec<String>>,
    ) -> Result<Arc<ClusterView>, ClientError> {
        let partial = names.is_some();
        let topic = |name| MetadataRequestTopic {
            name: Some(name),
            ..Default::default()
        };
        let request = MetadataRequest {
            topics: names.map(|names| names.into_iter().map(topic).collect()),
            allow_auto_topic_creation: false,
            ..Default::default()
        };
        let response: MetadataResponse = client.call_any(&request).await?;
        ClientError::check(response.error_code, None, || "Metadata".to_owned())?;
        let next = Arc::new(self.current().next(response, partial));
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = next.clone();
        Ok(next)
    }
}

fn asked(view: &ClusterView, names: &[String]) -> bool {
    names.iter().all(|name| view.topics.contains_key(name))
}

/// Why a topic of `names` cannot be used yet.
fn missing(view: &ClusterView, names: &[String]) -> Option<ClientError> {
    let error = |name: &String| {
        let code = match view.topics.get(name) {
            None => ErrorCode::UnknownTopicOrPartition,
            Some(topic) => topic.error?,
        };
        Some(ClientError::Refused {
            what: format!("topic {name:?}"),
            code,
            message: None,
        })
    };
    names.iter().find_map(error)
}
