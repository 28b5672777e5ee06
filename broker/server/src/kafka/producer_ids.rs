//! Producer ids: unique across brokers and restarts, because the metadata hands them out in blocks
//! and a block is never handed out twice.
//!
//! The next block is asked for before the present one is used up: so producers come and go while
//! the cluster elects a controller.

use std::ops::Range;
use std::sync::Arc;

use freshet_metadata::{AllocateProducerIds, MetadataError};
use freshet_quorum::QuorumError;
use freshet_types::ProducerId;
use parking_lot::Mutex;

use super::context::Context;

/// Ids taken from the metadata at once, as Kafka does.
const BLOCK: i32 = 1000;
/// With fewer left, the next block is asked for.
const LOW: usize = 100;

/// Why there is no id.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProducerIdError {
    #[error(transparent)]
    Quorum(#[from] QuorumError),
    #[error(transparent)]
    Refused(#[from] MetadataError),
}

/// The blocks of this broker.
#[derive(Debug, Default)]
pub(crate) struct ProducerIds {
    left: Mutex<Left>,
    /// Held by the one who asks for a block.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Left {
    present: Range<ProducerId>,
    next: Option<Range<ProducerId>>,
}

impl Left {
    fn take(&mut self) -> Option<ProducerId> {
        if self.present.is_empty() {
            self.present = self.next.take()?;
        }
        self.present.next()
    }

    fn is_low(&self) -> bool {
        let left = self.present.end - self.present.start;
        self.next.is_none() && left < LOW as ProducerId
    }
}

impl ProducerIds {
    /// An id that nobody has had before.
    pub(crate) async fn next(&self, context: &Arc<Context>) -> Result<ProducerId, ProducerIdError> {
        if let Some(id) = self.take() {
            self.ask_ahead(context);
            return Ok(id);
        }
        let _asking = self.asking.lock().await;
        // Whoever asked before may have brought enough.
        if let Some(id) = self.take() {
            return Ok(id);
        }
        self.ask(context).await?;
        self.take().ok_or_else(|| QuorumError::Busy.into())
    }

    fn take(&self) -> Option<ProducerId> {
        self.left.lock().take()
    }

    /// One asks at a time. A failure is no harm yet: the next producer tries again.
    fn ask_ahead(&self, context: &Arc<Context>) {
        let nobody_asks = self.asking.try_lock().is_ok();
        if !nobody_asks || !self.left.lock().is_low() {
            return;
        }
        let context = Arc::clone(context);
        tokio::spawn(async move {
            let ids = &context.producer_ids;
            let _asking = ids.asking.lock().await;
            if !ids.left.lock().is_low() {
                return;
            }
            if let Err(error) = ids.ask(&context).await {
                tracing::debug!(%error, "no block of producer ids for later");
            }
        });
    }

    /// To be called by the one who holds `asking`.
    async fn ask(&self, context: &Context) -> Result<(), ProducerIdError> {
        let ask = AllocateProducerIds { count: BLOCK };
        let block = context.change(ask).await??;
        let ids = block.first..block.first + ProducerId::from(block.count);
        self.left.lock().next = Some(ids);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_block_follows_when_the_present_one_is_used_up() {
        let mut left = Left::default();
        assert!(left.is_low());
        assert_eq!(left.take(), None);
        left.next = Some(0..200);
        assert_eq!(left.take(), Some(0));
        assert!(!left.is_low());
        let taken: Vec<_> = std::iter::from_fn(|| left.take()).take(100).collect();
        assert_eq!(taken, (1..101).collect::<Vec<_>>());
        assert!(left.is_low());
        left.next = Some(5000..5010);
        assert!(!left.is_low());
        let taken: Vec<_> = std::iter::from_fn(|| left.take()).collect();
        assert_eq!(taken, (101..200).chain(5000..5010).collect::<Vec<_>>());
    }
}
