//! What the handlers of configuration requests share.

pub(super) mod alter;
pub(super) mod resource;
pub(super) mod unbuilt;
