//! Clients of Kafka's protocol: one for each cluster and each way in, made when it is first asked for.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use freshet_client::{Client, ClientConfig, ClientError, Security};
use parking_lot::Mutex;

/// How long a first contact may take: a reconcile waits for it.
const CONTACT: Duration = Duration::from_secs(5);
/// How long one call may take, with all its retries.
const CALL: Duration = Duration::from_secs(15);

/// Where a cluster is, and what lets us in. Connections are shared by those who come the same way only:
/// whoever knows an address does not get in with the password of somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Way {
    /// Addresses to begin with.
    pub(crate) bootstrap: Vec<String>,
    /// From a Secret; `None` where everybody is let in.
    pub(crate) pass: Option<Pass>,
}

/// What one version of one Secret says. Two are the same if they are of the same version.
#[derive(Debug, Clone)]
pub(crate) struct Pass {
    pub(crate) of: PassKey,
    pub(crate) security: Security,
}

/// A version of a Secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PassKey {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) version: String,
}

impl PartialEq for Pass {
    fn eq(&self, other: &Self) -> bool {
        self.of == other.of
    }
}

impl Eq for Pass {}

impl Hash for Pass {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.of.hash(state);
    }
}

impl Way {
    /// To a cluster that lets everybody in.
    pub(crate) fn open(bootstrap: &[String]) -> Self {
        Self {
            bootstrap: bootstrap.to_vec(),
            pass: None,
        }
    }
}

/// Clients by the way they take.
#[derive(Debug, Default)]
pub(crate) struct Clusters(Mutex<HashMap<Way, Client>>);

impl Clusters {
    /// The client of a cluster.
    pub(crate) async fn client(&self, way: &Way) -> Result<Client, ClientError> {
        if let Some(client) = self.0.lock().get(way) {
            return Ok(client.clone());
        }
        let pass = way.pass.as_ref();
        let config = ClientConfig {
            client_id: "freshet-operator".to_owned(),
            bootstrap_timeout: CONTACT,
            connect_timeout: CONTACT,
            request_timeout: CALL,
            call_timeout: CALL,
            security: pass.map(|pass| pass.security.clone()).unwrap_or_default(),
            ..ClientConfig::new(way.bootstrap.iter().cloned())
        };
        // Two that come at the same time make two; one of them is kept.
        let client = Client::connect(config).await?;
        let mut clients = self.0.lock();
        Ok(clients.entry(way.clone()).or_insert(client).clone())
    }

    /// Lets go of a cluster's connections: it is deleted, or has moved.
    pub(crate) fn forget(&self, way: &Way) {
        self.0.lock().remove(way);
    }
}
