//! Which broker looks after which group.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use freshet_types::NodeId;
use freshet_wire::find_coordinator::Coordinator;
use freshet_wire::{ApiKey, ErrorCode, FindCoordinatorRequest, FindCoordinatorResponse};

use super::Client;
use crate::ClientError;
use crate::error::is_stale_coordinator;

/// Groups remembered; more are forgotten all at once and asked for again.
const MAX_KNOWN: usize = 10_000;
/// From here on FindCoordinator takes and answers lists (KIP-699).
const LISTS_FROM: i16 = 4;

#[derive(Debug, Default)]
pub(super) struct Coordinators(Mutex<HashMap<String, NodeId>>);

impl Coordinators {
    /// The coordinator of a group. One try: the caller retries.
    pub(super) async fn find(&self, client: &Client, group: &str) -> Result<NodeId, ClientError> {
        if let Some(node) = self.known().get(group) {
            return Ok(*node);
        }
        let found = ask(client, group).await?;
        let what = || format!("the coordinator of group {group:?}");
        ClientError::check(found.error_code, found.error_message.as_deref(), what)?;
        let node = NodeId(found.node_id);
        let seen = client.view();
        if !seen.brokers.contains_key(&node) {
            client.refresh(&seen).await?;
        }
        let mut known = self.known();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(group.to_owned(), node);
        Ok(node)
    }

    /// It was not the coordinator, or cannot be reached.
    pub(super) fn forget(&self, group: &str) {
        self.known().remove(group);
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, NodeId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask(client: &Client, group: &str) -> Result<Coordinator, ClientError> {
    let connection = client.any_connection().await?;
    let version = connection.version::<FindCoordinatorRequest>(i16::MAX)?;
    let mut request = FindCoordinatorRequest::default();
    if version >= LISTS_FROM {
        request.coordinator_keys.push(group.to_owned());
    } else {
        request.key = group.to_owned();
    }
    let response = connection.call(&request, version, Duration::ZERO).await?;
    if version < LISTS_FROM {
        return Ok(from_old(response));
    }
    response
        .coordinators
        .into_iter()
        .next()
        .ok_or_else(|| ClientError::Refused {
            what: format!("the coordinator of group {group:?}"),
            code: ErrorCode::CoordinatorNotAvailable,
            message: None,
        })
}

fn from_old(response: FindCoordinatorResponse) -> Coordinator {
    Coordinator {
        key: String::new(),
        node_id: response.node_id,
        host: response.host,
        port: response.port,
        error_code: response.error_code,
        error_message: response.error_message,
    }
}

/// The error that asks to look for the coordinator again, if `code` is one.
pub(super) fn moved(code: i16, api: ApiKey) -> Option<ClientError> {
    let code = ErrorCode::from_code(code).filter(|code| is_stale_coordinator(*code))?;
    Some(ClientError::Refused {
        what: api.name().to_owned(),
        code,
        message: None,
    })
}
