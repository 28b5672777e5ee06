//! FindCoordinator (10): which broker keeps a group.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};

use freshet_metadata::MetadataImage;
use freshet_partition::OFFSETS_TOPIC;
use freshet_wire::find_coordinator::Coordinator;
use freshet_wire::{ErrorCode, FindCoordinatorRequest, FindCoordinatorResponse};

use crate::kafka::auto_create;
use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::coordinator;

/// First version with many keys (KIP-699).
const BATCH_FROM: i16 = 4;
/// Between two words about the same trouble.
const QUIET_MS: u64 = 10_000;
/// Key type of groups.
const GROUP: i8 = 0;
/// Key type of transactional ids.
const TRANSACTION: i8 = 1;
/// What producers with a transactional id are told.
const NO_TRANSACTIONS: &str = "transactions are not built yet";

/// Finds the coordinators. The offsets topic comes into being with the first question for a group.
pub(crate) async fn handle(
    context: &Arc<Context>,
    call: &Call,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    if request.key_type == GROUP && context.image().topic(OFFSETS_TOPIC).is_none() {
        let names = BTreeSet::from([OFFSETS_TOPIC.to_owned()]);
        let refused = auto_create::create_missing(context, names).await;
        if let Some((topic, code)) = refused.first()
            && is_worth_a_word(context)
        {
            tracing::warn!(%topic, code = code.name(), "cannot be created: groups have to wait");
        }
    }
    let image = context.image();
    let find = |key: String| find(context, call, &image, (request.key_type, key));
    if call.version >= BATCH_FROM {
        return FindCoordinatorResponse {
            coordinators: request.coordinator_keys.into_iter().map(find).collect(),
            ..FindCoordinatorResponse::default()
        };
    }
    let found = find(request.key);
    FindCoordinatorResponse {
        error_code: found.error_code,
        error_message: found.error_message,
        node_id: found.node_id,
        host: found.host,
        port: found.port,
        ..FindCoordinatorResponse::default()
    }
}

/// Clients ask again and again, and the log says it now and then.
fn is_worth_a_word(context: &Context) -> bool {
    static SAID: AtomicU64 = AtomicU64::new(0);
    let now = context.clock.monotonic().0;
    let said = SAID.load(Ordering::Relaxed);
    let is_due = said == 0 || now.saturating_sub(said) >= QUIET_MS;
    is_due && {
        SAID.store(now.max(1), Ordering::Relaxed);
        true
    }
}

fn find(
    context: &Context,
    call: &Call,
    image: &MetadataImage,
    (key_type, key): (i8, String),
) -> Coordinator {
    let result = match key_type {
        GROUP => locate(context, call, image, &key),
        // No transaction coordinator lives here yet. Retriable would make producers wait forever.
        TRANSACTION => Err(warned(
            call,
            &key,
            ErrorCode::TransactionalIdAuthorizationFailed,
        )),
        _ => Err(ErrorCode::InvalidRequest),
    };
    let error_message = (key_type == TRANSACTION).then(|| NO_TRANSACTIONS.to_owned());
    match result {
        Ok((node_id, host, port)) => Coordinator {
            key,
            node_id,
            host,
            port,
            error_code: ErrorCode::None.code(),
            error_message: None,
        },
        Err(code) => {
            context.metrics.error(code);
            Coordinator {
                key,
                node_id: -1,
                host: String::new(),
                port: -1,
                error_code: code.code(),
                error_message,
            }
        }
    }
}

/// Clients show the code as a question of rights, so the log must tell what it is: once, as such a
/// producer comes again and again.
fn warned(call: &Call, key: &str, code: ErrorCode) -> ErrorCode {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        let peer = call.origin.peer;
        tracing::warn!(%peer, transactional_id = key, "{NO_TRANSACTIONS}; refused");
    });
    code
}

/// Node, host and port of the broker that leads the group's shard, as this listener's clients
/// reach it.
fn locate(
    context: &Context,
    call: &Call,
    image: &MetadataImage,
    group: &str,
) -> Result<(i32, String, i32), ErrorCode> {
    let found = || {
        let partition = coordinator::owner(context, group)?;
        let leader = image.topic(OFFSETS_TOPIC)?.partition(partition)?.leader?;
        let broker = image.broker(leader).filter(|broker| !broker.fenced)?;
        let listener = broker.listener(&call.origin.listener)?;
        Some((leader.0, listener.host.clone(), i32::from(listener.port)))
    };
    found().ok_or(ErrorCode::CoordinatorNotAvailable)
}
