//! The cluster as a client sees it, and the ways to its brokers.

mod coordinators;
mod metadata;
mod pool;
mod retry;
mod view;

use std::sync::Arc;
use std::time::Duration;

use freshet_codec::Message;
use freshet_types::{NodeId, PartitionId};
use freshet_wire::{ErrorCode, Request};

use crate::connection::Connection;
use crate::{ClientConfig, ClientError};
use coordinators::Coordinators;
use metadata::Metadata;
use pool::Pool;

pub use pool::Lane;
pub(crate) use retry::{Attempts, random_bits};
pub(crate) use view::topic_view;
pub use view::{Broker, ClusterView, PartitionView, TopicView};

/// A client of one cluster. Cheap to clone; connections and the picture of the cluster are shared.
///
/// A broker that restarts or a leader that moves is retried until
/// [`ClientConfig::call_timeout`] is over; what the broker refuses for good is told at once.
#[derive(Debug, Clone)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: ClientConfig,
    pool: Arc<Pool>,
    metadata: Metadata,
    coordinators: Coordinators,
}

impl Client {
    /// Connects to any bootstrap broker and learns the cluster.
    pub async fn connect(config: ClientConfig) -> Result<Self, ClientError> {
        if config.bootstrap.is_empty() {
            return Err(ClientError::Invalid(
                "no bootstrap address was given".to_owned(),
            ));
        }
        let pool = Arc::new(Pool::new(config.clone()));
        let metadata = Metadata::new(&config);
        let client = Self(Arc::new(Inner {
            config,
            pool,
            metadata,
            coordinators: Coordinators::default(),
        }));
        client.0.metadata.bootstrap(&client).await?;
        Ok(client)
    }

    /// The settings it was made with.
    pub fn config(&self) -> &ClientConfig {
        &self.0.config
    }

    /// A set of connections of its own: replies come in order, so that a request which the broker
    /// parks (Fetch, JoinGroup) would hold up all others behind it.
    pub fn lane(&self) -> Lane {
        Lane::new(&self.0.pool)
    }

    /// The cluster as it was last seen.
    pub fn view(&self) -> Arc<ClusterView> {
        self.0.metadata.current()
    }

    /// Asks for the cluster again, unless somebody else has since `seen`.
    pub async fn refresh(&self, seen: &ClusterView) -> Result<Arc<ClusterView>, ClientError> {
        self.0.metadata.refresh(self, seen).await
    }

    /// A view that knows these topics, or the reason why one of them cannot be known. Waits while a
    /// topic is being created; never creates one.
    pub async fn topics(&self, names: &[String]) -> Result<Arc<ClusterView>, ClientError> {
        self.0.metadata.with_topics(self, names).await
    }

    /// A view in which these topics were asked for, whether or not they exist.
    pub async fn ask_topics(&self, names: &[String]) -> Result<Arc<ClusterView>, ClientError> {
        self.0.metadata.ask_topics(self, names).await
    }

    /// A view of all topics there are.
    pub async fn all_topics(&self) -> Result<Arc<ClusterView>, ClientError> {
        self.0.metadata.everything(self).await
    }

    /// Asks any broker.
    pub async fn call_any<R: Request>(&self, request: &R) -> Result<R::Response, ClientError> {
        let mut attempts = Attempts::new(&self.0.config, R::KEY.name());
        loop {
            let tried = match self.any_connection().await {
                Ok(connection) => connection.call(request, i16::MAX, Duration::ZERO).await,
                Err(error) => Err(error),
            };
            match tried {
                Ok(response) => return Ok(response),
                Err(error) => attempts.pause(error).await?,
            }
        }
    }

    /// Asks one broker. Its address is looked up again when it cannot be reached.
    pub async fn call_broker<R: Request>(
        &self,
        node: NodeId,
        request: &R,
    ) -> Result<R::Response, ClientError> {
        let mut attempts = Attempts::new(&self.0.config, R::KEY.name());
        loop {
            let seen = self.view();
            match self
                .call_once(&Lane::shared(), node, request, Call::default())
                .await
            {
                Ok(response) => return Ok(response),
                Err(error) => attempts.pause(error).await?,
            }
            self.refresh_quietly(&seen).await;
        }
    }

    /// Asks the active controller; any broker passes the request on when it cannot be told.
    /// `refused` finds the error code that says whether to try elsewhere.
    pub async fn call_controller<R: Request>(
        &self,
        request: &R,
        refused: impl Fn(&R::Response) -> i16,
    ) -> Result<R::Response, ClientError> {
        let mut attempts = Attempts::new(&self.0.config, R::KEY.name());
        loop {
            let seen = self.view();
            let tried = match seen.controller {
                Some(node) => {
                    self.call_once(&Lane::shared(), node, request, Call::default())
                        .await
                }
                None => self.call_any(request).await,
            };
            let error = match tried {
                Ok(response) => match ErrorCode::from_code(refused(&response)) {
                    Some(ErrorCode::NotController) => ClientError::Refused {
                        what: R::KEY.name().to_owned(),
                        code: ErrorCode::NotController,
                        message: None,
                    },
                    _ => return Ok(response),
                },
                Err(error) => error,
            };
            attempts.pause(error).await?;
            self.refresh_quietly(&seen).await;
        }
    }

    /// Asks a group's coordinator, wherever it moves. `refused` finds the error code of the whole
    /// response.
    pub async fn call_coordinator<R: Request>(
        &self,
        group: &str,
        request: &R,
        refused: impl Fn(&R::Response) -> i16,
    ) -> Result<R::Response, ClientError> {
        let lane = Lane::shared();
        self.call_group(
            Route {
                lane: &lane,
                group,
                call: Call::default(),
            },
            request,
            refused,
        )
        .await
    }

    /// [`Client::call_coordinator`] in a lane, with a cap or more time.
    pub(crate) async fn call_group<R: Request>(
        &self,
        route: Route<'_>,
        request: &R,
        refused: impl Fn(&R::Response) -> i16,
    ) -> Result<R::Response, ClientError> {
        let mut attempts = Attempts::new(&self.0.config, R::KEY.name()).longer(route.call.extra);
        loop {
            let error = match self.try_group(route, request, &refused).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            self.0.coordinators.forget(route.group);
            attempts.pause(error).await?;
        }
    }

    async fn try_group<R: Request>(
        &self,
        route: Route<'_>,
        request: &R,
        refused: impl Fn(&R::Response) -> i16,
    ) -> Result<R::Response, ClientError> {
        let node = self.0.coordinators.find(self, route.group).await?;
        let response = self
            .call_once(route.lane, node, request, route.call)
            .await?;
        match coordinators::moved(refused(&response), R::KEY) {
            None => Ok(response),
            Some(error) => Err(error),
        }
    }

    /// The leader of a partition as last seen.
    pub(crate) fn leader(&self, topic: &str, partition: PartitionId) -> Option<NodeId> {
        self.view().topic(topic)?.partition(partition)?.leader
    }

    /// One try at one broker.
    pub(crate) async fn call_once<R: Request>(
        &self,
        lane: &Lane,
        node: NodeId,
        request: &R,
        call: Call,
    ) -> Result<R::Response, ClientError> {
        let connection = self.connection(lane, node).await?;
        connection.call(request, call.cap, call.extra).await
    }

    /// A connection to a broker.
    pub(crate) async fn connection(
        &self,
        lane: &Lane,
        node: NodeId,
    ) -> Result<Connection, ClientError> {
        let address = self
            .view()
            .address(node)
            .ok_or_else(|| ClientError::Unreachable {
                address: format!("broker {node}"),
                cause: "the cluster does not list it at present".to_owned(),
            })?;
        self.0.pool.get(lane, &address).await
    }

    /// A connection to whoever answers: brokers last seen first, then the bootstrap addresses.
    pub(crate) async fn any_connection(&self) -> Result<Connection, ClientError> {
        let view = self.view();
        let known = view.brokers.values().map(Broker::address);
        let addresses: Vec<_> = known
            .chain(self.0.config.bootstrap.iter().cloned())
            .collect();
        let mut causes = Vec::new();
        let mut barred = None;
        for address in &addresses {
            match self.0.pool.get(&Lane::shared(), address).await {
                Ok(connection) => return Ok(connection),
                Err(ClientError::Unreachable { cause, .. }) => causes.push(cause),
                Err(error) if error.is_barred() => barred = barred.or(Some(error)),
                Err(error) => causes.push(error.to_string()),
            }
        }
        if let Some(error) = barred {
            // Another broker would say the same, and asking again and again locks people out.
            return Err(error);
        }
        causes.dedup();
        Err(ClientError::Unreachable {
            address: dedup(addresses).join(", "),
            cause: causes.join("; "),
        })
    }

    /// The cluster as it was seen not longer ago than
    /// [`ClientConfig::metadata_max_age`], if it can be asked.
    pub(crate) async fn recent_view(&self) -> Arc<ClusterView> {
        let seen = self.view();
        if seen.at.elapsed() > self.0.config.metadata_max_age {
            self.refresh_quietly(&seen).await;
        }
        self.view()
    }

    /// Asks for the cluster again; a failure shows itself at the next try.
    pub(crate) async fn refresh_quietly(&self, seen: &ClusterView) {
        if let Err(error) = self.refresh(seen).await {
            tracing::debug!(%error, "the cluster could not be asked again");
        }
    }
}

fn dedup(mut addresses: Vec<String>) -> Vec<String> {
    addresses.sort();
    addresses.dedup();
    addresses
}

/// How to make one call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    /// The newest version to use.
    pub(crate) cap: i16,
    /// Time the broker itself was asked to wait, on top of the request timeout.
    pub(crate) extra: Duration,
}

impl Default for Call {
    fn default() -> Self {
        Self {
            cap: i16::MAX,
            extra: Duration::ZERO,
        }
    }
}

/// The way to a group's coordinator.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Route<'a> {
    pub(crate) lane: &'a Lane,
    pub(crate) group: &'a str,
    pub(crate) call: Call,
}

/// The newest version of `R` that names topics rather than their ids, for topics without an id.
pub(crate) fn cap_for_ids<R: Message>(by_id_from: i16, all_have_ids: bool) -> i16 {
    if all_have_ids {
        *R::VERSIONS.end()
    } else {
        by_id_from - 1
    }
}
