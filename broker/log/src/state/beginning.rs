//! Where a log begins that takes nothing over but what others know of the records before.

use freshet_records::envelope::EnvelopeError;
use freshet_types::{LeaderEpoch, Offset};

use super::Producers;

/// A log's first offset, and what its records alone will not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beginning {
    pub(crate) at: Offset,
    /// Of the record before.
    pub(crate) epoch: Option<LeaderEpoch>,
    pub(crate) producers: Producers,
}

impl From<Offset> for Beginning {
    /// Nothing is known of what is before.
    fn from(at: Offset) -> Self {
        Self {
            at,
            epoch: None,
            producers: Producers::default(),
        }
    }
}

impl Beginning {
    /// The record before is of `epoch`, and these are the producers as of `at`: what
    /// [`crate::ClosedSegment::producers`] gave for a segment that ends there.
    ///
    /// # Errors
    /// The producers are damaged, or a later broker wrote them.
    pub fn after(
        at: Offset,
        epoch: Option<LeaderEpoch>,
        producers: &[u8],
    ) -> Result<Self, EnvelopeError> {
        let producers = Producers::from_snapshot(producers)?;
        Ok(Self {
            at,
            epoch,
            producers,
        })
    }

    /// The offset.
    pub fn offset(&self) -> Offset {
        self.at
    }
}
