//! The way to another node over TCP.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freshet_client::ClientConfig;
use freshet_quorum::{Asked, Endpoint, LinkError, Peer, PeerLink};
use freshet_types::NodeId;
use freshet_wire::{PeerRequest, PeerResponse};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use super::kind;
use super::pool::{Caller, Loan, Pool, address};

/// How long one address may take to answer a connect.
const CONNECT: Duration = Duration::from_secs(2);
/// Whoever asks has a limit of its own, which is shorter.
const NEVER: Duration = Duration::from_secs(3600);
/// No answer is larger; that to a proposal may name all partitions of a broker.
const ANSWER_CAP_BYTES: usize = 64 << 20;

/// Why a request brought no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unsaid {
    /// It was not sent.
    #[error("{0}")]
    Unreached(String),
    /// It was sent; whether it arrived is unknown.
    #[error("{0}")]
    Lost(String),
    /// It was sent, and time is up.
    #[error("no answer in time")]
    Late,
}

/// What stands before a node's number in its client id.
pub(super) const CLIENT: &str = "node-";

/// Carries requests to other nodes. It knows nothing of the quorum that speaks through it.
#[derive(Debug)]
pub struct TcpLink {
    config: ClientConfig,
    caller: Caller,
    /// Where nodes are by this node's own settings. It counts more than what the quorum remembers:
    /// were all controllers moved at once, nobody could tell it otherwise.
    named: HashMap<NodeId, Vec<Endpoint>>,
    pools: Mutex<HashMap<Vec<String>, Arc<Pool>>>,
    home: Handle,
}

impl TcpLink {
    /// The link of node `me`, whose settings name some of the others. Its connections live in the
    /// runtime that this is called in.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn new(
        me: NodeId,
        caller: Caller,
        named: impl IntoIterator<Item = (NodeId, Vec<Endpoint>)>,
    ) -> Self {
        let config = ClientConfig {
            client_id: format!("{CLIENT}{me}"),
            connect_timeout: CONNECT,
            request_timeout: NEVER,
            max_in_flight: 1,
            max_frame_bytes: ANSWER_CAP_BYTES,
            ..ClientConfig::new(Vec::<String>::new())
        };
        Self {
            config,
            caller,
            named: named.into_iter().collect(),
            pools: Mutex::default(),
            home: Handle::current(),
        }
    }

    fn pool(&self, to: &[Endpoint]) -> Arc<Pool> {
        let addresses: Vec<_> = to.iter().map(address).collect();
        let mut pools = self.pools.lock();
        if let Some(pool) = pools.get(&addresses) {
            return Arc::clone(pool);
        }
        let (config, home) = (self.config.clone(), self.home.clone());
        let pool = Pool::new(addresses.clone(), config, self.caller, home);
        pools.insert(addresses, Arc::clone(&pool));
        pool
    }

    /// Brings one request to a node, and its answer back.
    pub(super) async fn say(
        &self,
        to: &Peer,
        request: &PeerRequest,
        deadline: Instant,
    ) -> Result<PeerResponse, Unsaid> {
        let loan = self.connect(to, deadline).await?;
        exchange(loan, request, deadline).await
    }

    /// How long a request and its answer take, once there is a connection.
    pub(super) async fn time(
        &self,
        to: &Peer,
        request: &PeerRequest,
        deadline: Instant,
    ) -> Result<Duration, Unsaid> {
        let loan = self.connect(to, deadline).await?;
        let from = Instant::now();
        let response = exchange(loan, request, deadline).await?;
        let took = from.elapsed();
        let refused = || Unsaid::Unreached("it is not ready".to_owned());
        response.taken.then_some(took).ok_or_else(refused)
    }

    async fn connect(&self, to: &Peer, deadline: Instant) -> Result<Loan, Unsaid> {
        let unreached = |_| Unsaid::Unreached("not connected in time".to_owned());
        let named = self.named.get(&to.id.node);
        let pool = self.pool(named.unwrap_or(&to.endpoints));
        let taken = timeout_at(deadline, pool.take()).await;
        taken.map_err(unreached)?.map_err(Unsaid::Unreached)
    }
}

impl PeerLink for TcpLink {
    fn ask<'a>(&'a self, peer: &'a Peer, request: Bytes, within: Duration) -> Asked<'a> {
        Box::pin(async move {
            let deadline = Instant::now() + within;
            let request = PeerRequest {
                kind: kind::LETTER,
                body: request.into(),
            };
            let mut said = self.say(peer, &request, deadline).await;
            // The process that the connection led to may be gone, and another one be there. A
            // letter may come twice.
            if let Err(Unsaid::Lost(_)) = said {
                said = self.say(peer, &request, deadline).await;
            }
            match said {
                Ok(PeerResponse { taken: true, body }) => Ok(body.into_bytes()),
                Ok(_) => Err(LinkError::Unreachable("it is not ready".to_owned())),
                Err(Unsaid::Late) => Err(LinkError::TimedOut),
                Err(unsaid) => Err(LinkError::Unreachable(unsaid.to_string())),
            }
        })
    }
}

/// Sends a request by a connection and waits for the answer.
async fn exchange(
    loan: Loan,
    request: &PeerRequest,
    deadline: Instant,
) -> Result<PeerResponse, Unsaid> {
    let begun = loan.connection().begin(request, i16::MAX, Duration::ZERO);
    let pending = begun.await.map_err(|e| Unsaid::Unreached(e.to_string()))?;
    match timeout_at(deadline, pending.finish()).await {
        Ok(Ok(response)) => {
            // Who refuses is starting or stopping; another process may be there next time.
            if response.taken {
                loan.give_back();
            }
            Ok(response)
        }
        Ok(Err(error)) => {
            loan.forget_rested();
            Err(Unsaid::Lost(error.to_string()))
        }
        Err(_) => Err(Unsaid::Late),
    }
}
