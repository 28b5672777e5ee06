//! Clients of Kafka's protocol: one for each cluster, made when it is first asked for.

use std::collections::HashMap;
use std::time::Duration;

use freshet_client::{Client, ClientConfig, ClientError};
use parking_lot::Mutex;

/// How long a first contact may take: a reconcile waits for it.
const CONTACT: Duration = Duration::from_secs(5);
/// How long one call may take, with all its retries.
const CALL: Duration = Duration::from_secs(15);

/// Clients by the addresses they begin with.
#[derive(Debug, Default)]
pub(crate) struct Clusters(Mutex<HashMap<Vec<String>, Client>>);

impl Clusters {
    /// The client of the cluster at these addresses.
    pub(crate) async fn client(&self, bootstrap: &[String]) -> Result<Client, ClientError> {
        if let Some(client) = self.0.lock().get(bootstrap) {
            return Ok(client.clone());
        }
        let config = ClientConfig {
            client_id: "freshet-operator".to_owned(),
            bootstrap_timeout: CONTACT,
            connect_timeout: CONTACT,
            request_timeout: CALL,
            call_timeout: CALL,
            ..ClientConfig::new(bootstrap.iter().cloned())
        };
        // Two that come at the same time make two; one of them is kept.
        let client = Client::connect(config).await?;
        let mut clients = self.0.lock();
        Ok(clients.entry(bootstrap.to_vec()).or_insert(client).clone())
    }

    /// Lets go of a cluster's connections: it is deleted, or has moved.
    pub(crate) fn forget(&self, bootstrap: &[String]) {
        self.0.lock().remove(bootstrap);
    }
}
