//! Connections to one node. Each carries one request at a time, so that nothing small ever waits
//! behind something large; those that rest are used again.

use std::sync::Arc;

use freshet_client::{ClientConfig, Connection};
use freshet_quorum::Endpoint;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

/// Connections that are being made at a time. More would not be made sooner.
const DIALS: usize = 8;

/// Who makes connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// One of few, and the quorum alone has up to five requests under way.
    Controller,
    /// One of many. All of them talk to the active controller, whose door must have seats left for
    /// votes and heartbeats.
    Broker,
}

impl Caller {
    /// Connections to one node that may rest.
    pub(super) fn resting(self) -> usize {
        match self {
            Self::Controller => 16,
            Self::Broker => 4,
        }
    }
}

/// Where a node is, and the connections to it.
#[derive(Debug)]
pub(super) struct Pool {
    addresses: Vec<String>,
    config: ClientConfig,
    caller: Caller,
    resting: Mutex<Vec<Connection>>,
    dials: Arc<Semaphore>,
    /// Where connections live, whoever asks for the first.
    home: Handle,
}

/// Where an endpoint is, as sockets want it.
pub(super) fn address(endpoint: &Endpoint) -> String {
    let Endpoint { host, port, .. } = endpoint;
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

impl Pool {
    pub(super) fn new(
        addresses: Vec<String>,
        config: ClientConfig,
        caller: Caller,
        home: Handle,
    ) -> Arc<Self> {
        Arc::new(Self {
            addresses,
            config,
            caller,
            home,
            resting: Mutex::default(),
            dials: Arc::new(Semaphore::new(DIALS)),
        })
    }

    /// A connection for one request: one that rests, or a new one. Making a new one goes on when
    /// the caller gives up, and the next caller finds it: a caller may be in more of a hurry than a
    /// name server.
    pub(super) async fn take(self: &Arc<Self>) -> Result<Loan, String> {
        while let Some(connection) = self.resting.lock().pop() {
            if !connection.is_closed() {
                return Ok(Loan::new(self, connection, true));
            }
        }
        let Ok(dial) = Arc::clone(&self.dials).try_acquire_owned() else {
            return Err("connections are still being made".to_owned());
        };
        let (made, waiting) = oneshot::channel();
        let pool = Arc::clone(self);
        self.home.spawn(async move {
            let _dial = dial;
            if let Err(Ok(unwanted)) = made.send(pool.dial().await) {
                pool.rest(unwanted);
            }
        });
        let made = waiting.await.unwrap_or_else(|_| Err("stopped".to_owned()));
        made.map(|connection| Loan::new(self, connection, false))
    }

    /// Whatever rests is of a process that is gone.
    fn forget(&self) {
        self.resting.lock().clear();
    }

    fn rest(&self, connection: Connection) {
        let mut resting = self.resting.lock();
        if resting.len() < self.caller.resting() && !connection.is_closed() {
            resting.push(connection);
        }
    }

    /// Tries all addresses in their order; the first cause is the most telling one.
    async fn dial(&self) -> Result<Connection, String> {
        let mut first = None;
        for address in &self.addresses {
            match Connection::open_unasked(address, &self.config).await {
                Ok(connection) => return Ok(connection),
                Err(error) => {
                    first.get_or_insert(error.to_string());
                }
            }
        }
        Err(first.unwrap_or_else(|| "it has no address".to_owned()))
    }
}

/// A connection that is in use. Dropped with an answer outstanding it is closed: the answer would
/// be taken for that of the next request.
pub(super) struct Loan {
    pool: Arc<Pool>,
    connection: Option<Connection>,
    /// It has been used before: the process at its other end may be gone.
    rested: bool,
}

impl Loan {
    fn new(pool: &Arc<Pool>, connection: Connection, rested: bool) -> Self {
        Self {
            pool: Arc::clone(pool),
            connection: Some(connection),
            rested,
        }
    }

    pub(super) fn connection(&self) -> &Connection {
        let connection = self.connection.as_ref();
        connection.expect("it is taken out only when the loan ends")
    }

    /// The connection has broken. If it rested, so did others to that process.
    pub(super) fn forget_rested(&self) {
        if self.rested {
            self.pool.forget();
        }
    }

    /// The answer has come.
    pub(super) fn give_back(mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.rest(connection);
        }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close();
        }
    }
}
