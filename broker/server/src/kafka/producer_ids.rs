//! Producer ids: unique across brokers and restarts, because the metadata hands them out in blocks
//! and a block is never handed out twice.

use freshet_metadata::{AllocateProducerIds, MetadataError};
use freshet_quorum::QuorumError;
use freshet_types::ProducerId;
use tokio::sync::Mutex;

use super::context::Context;

/// Ids taken from the metadata at once, as Kafka does.
const BLOCK: i32 = 1000;

/// Why there is no id.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProducerIdError {
    #[error(transparent)]
    Quorum(#[from] QuorumError),
    #[error(transparent)]
    Refused(#[from] MetadataError),
}

/// What is left of the present block.
#[derive(Debug, Default)]
pub(crate) struct ProducerIds {
    left: Mutex<std::ops::Range<ProducerId>>,
}

impl ProducerIds {
    /// An id that nobody has had before.
    pub(crate) async fn next(&self, context: &Context) -> Result<ProducerId, ProducerIdError> {
        let mut left = self.left.lock().await;
        if let Some(id) = left.next() {
            return Ok(id);
        }
        let block = context
            .change(AllocateProducerIds { count: BLOCK })
            .await??;
        *left = block.first..block.first + ProducerId::from(block.count);
        left.next().ok_or_else(|| QuorumError::Busy.into())
    }
}
