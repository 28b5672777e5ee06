//! InitProducerId (22): an identity for an idempotent producer.

use std::sync::Arc;

use freshet_wire::{ErrorCode, InitProducerIdRequest, InitProducerIdResponse};

use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::errors::Coded;

/// Gives a new id at epoch 0. A producer that lost its epoch asks again and gets a new id, as in
/// Kafka: only transactional producers keep theirs.
pub(crate) async fn handle(
    context: &Arc<Context>,
    _call: &Call,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    let result = match request.transactional_id {
        None => context
            .producer_ids
            .next(context)
            .await
            .map_err(|error| error.code()),
        Some(id) if id.is_empty() => Err(ErrorCode::InvalidRequest),
        // No transaction coordinator lives here yet; this code is fatal for the producer, at once.
        Some(_) => Err(ErrorCode::TransactionalIdAuthorizationFailed),
    };
    match result {
        Ok(producer_id) => InitProducerIdResponse {
            error_code: ErrorCode::None.code(),
            producer_id,
            producer_epoch: 0,
            ..InitProducerIdResponse::default()
        },
        Err(code) => {
            context.metrics.error(code);
            InitProducerIdResponse {
                error_code: code.code(),
                producer_id: -1,
                producer_epoch: -1,
                ..InitProducerIdResponse::default()
            }
        }
    }
}
