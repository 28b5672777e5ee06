//! One group of any kind.

use std::sync::Arc;

use super::GroupValue;
use super::classic::Classic;
use super::offsets::Offsets;

/// What the log says about a group, and its live half.
#[derive(Debug)]
pub(crate) struct Group {
    /// From the last group record; `None` for one that has only offsets, or never finished a
    /// rebalance.
    pub(crate) stored: Option<Arc<GroupValue>>,
    /// Committed offsets.
    pub(crate) offsets: Offsets,
    /// The live half.
    pub(crate) classic: Classic,
}

impl Group {
    pub(crate) fn new(id: Arc<str>) -> Self {
        Self {
            stored: None,
            offsets: Offsets::default(),
            classic: Classic::new(id),
        }
    }

    /// Nothing about it is worth keeping in memory.
    pub(crate) fn is_vacant(&self) -> bool {
        self.stored.is_none() && self.offsets.is_empty() && self.classic.is_idle()
    }
}
