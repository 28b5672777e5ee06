//! What every part of a client needs to know.

mod security;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use freshet_types::Timestamp;

pub(crate) use security::{Hash, Login, Mechanism, Password, Tls};
pub use security::{Security, SecurityError, SecurityRead};

/// Settings of a [`Client`](crate::Client). The defaults suit a cluster in the same building.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Addresses `host:port` to learn the cluster from; any one that answers is enough.
    pub bootstrap: Vec<String>,
    /// Name in the brokers' logs and quotas.
    pub client_id: String,
    /// Longest time for one connection to be made and greeted.
    pub connect_timeout: Duration,
    /// Longest wait for a reply; a connection that misses it is closed, since replies come in order.
    pub request_timeout: Duration,
    /// Longest time for one call with all its retries.
    pub call_timeout: Duration,
    /// Longest time for the first contact with the cluster, with all its retries.
    pub bootstrap_timeout: Duration,
    /// Pause before the second try; doubles with each further one.
    pub backoff_min: Duration,
    /// Longest pause between tries.
    pub backoff_max: Duration,
    /// Age at which the picture of the cluster is asked for again.
    pub metadata_max_age: Duration,
    /// Requests of one connection that may wait for their replies.
    pub max_in_flight: usize,
    /// Largest reply in bytes; a larger one closes the connection.
    pub max_frame_bytes: usize,
    /// How connections are protected, and as whom they log in.
    pub security: Security,
    /// Tells the wall clock, for records without a time of their own.
    pub clock: WallClock,
}

impl ClientConfig {
    /// The defaults, with these bootstrap addresses.
    pub fn new<A: Into<String>>(bootstrap: impl IntoIterator<Item = A>) -> Self {
        Self {
            bootstrap: bootstrap.into_iter().map(Into::into).collect(),
            client_id: "freshet".to_owned(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            call_timeout: Duration::from_secs(60),
            bootstrap_timeout: Duration::from_secs(10),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(1),
            metadata_max_age: Duration::from_secs(300),
            max_in_flight: 64,
            max_frame_bytes: 128 * 1024 * 1024,
            security: Security::default(),
            clock: WallClock::system(),
        }
    }
}

/// The source of wall-clock time; tests and simulations bring their own.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl WallClock {
    /// A clock that asks `tell`.
    pub fn new(tell: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// The operating system's clock.
    #[expect(
        clippy::disallowed_methods,
        reason = "the client's only door to wall time; it must not drag in the broker's doors"
    )]
    pub fn system() -> Self {
        Self::new(|| {
            let since = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
        })
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl std::fmt::Debug for WallClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WallClock")
    }
}
