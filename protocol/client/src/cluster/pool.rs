//! Connections by lane and address, made when first needed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;

use super::retry::Backoff;
use crate::connection::Connection;
use crate::{ClientConfig, ClientError};

/// All connections of a client.
#[derive(Debug)]
pub(crate) struct Pool {
    config: ClientConfig,
    slots: Mutex<HashMap<(u64, String), Arc<Slot>>>,
    next_lane: AtomicU64,
}

/// A set of connections that is used by one part of a program and closed with it.
#[derive(Debug)]
pub struct Lane {
    id: u64,
    pool: Weak<Pool>,
}

impl Lane {
    pub(crate) fn new(pool: &Arc<Pool>) -> Self {
        let id = pool.next_lane.fetch_add(1, Ordering::Relaxed);
        Self {
            id,
            pool: Arc::downgrade(pool),
        }
    }

    /// The lane of everything that is answered at once.
    pub(crate) fn shared() -> Self {
        Self {
            id: 0,
            pool: Weak::new(),
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.close(self.id);
        }
    }
}

/// One place for a connection. Its lock is held while connecting, so that many callers make one.
#[derive(Debug)]
struct Slot(AsyncMutex<Tried>);

#[derive(Debug)]
struct Tried {
    connection: Option<Connection>,
    backoff: Backoff,
    /// Not to be tried before, and why.
    failed: Option<(Instant, ClientError)>,
}

impl Pool {
    pub(crate) fn new(config: ClientConfig) -> Self {
        Self {
            config,
            slots: Mutex::default(),
            next_lane: AtomicU64::new(1),
        }
    }

    /// A working connection. Right after a failure the same failure is told again: the caller's own
    /// pauses decide how long to go on.
    pub(crate) async fn get(&self, lane: &Lane, address: &str) -> Result<Connection, ClientError> {
        let slot = self.slot(lane.id, address);
        let mut tried = slot.0.lock().await;
        if let Some(connection) = tried.connection.as_ref().filter(|c| !c.is_closed()) {
            return Ok(connection.clone());
        }
        if let Some((until, error)) = &tried.failed
            && Instant::now() < *until
        {
            return Err(error.clone());
        }
        match Connection::open(address, &self.config).await {
            Ok(connection) => {
                tracing::debug!(address, "connected");
                tried.backoff.reset();
                tried.failed = None;
                tried.connection = Some(connection.clone());
                Ok(connection)
            }
            Err(error) => {
                let until = Instant::now() + tried.backoff.next();
                tried.failed = Some((until, error.clone()));
                tried.connection = None;
                Err(error)
            }
        }
    }

    fn slot(&self, lane: u64, address: &str) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let backoff = Backoff::new(&self.config);
            Arc::new(Slot(AsyncMutex::new(Tried {
                connection: None,
                backoff,
                failed: None,
            })))
        };
        slots
            .entry((lane, address.to_owned()))
            .or_insert_with(new)
            .clone()
    }

    fn close(&self, lane: u64) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|(of, _), _| *of != lane);
    }
}
