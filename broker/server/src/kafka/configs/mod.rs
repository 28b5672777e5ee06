//! What the handlers of configuration requests share.

pub(super) mod alter;
mod cordons;
pub(super) mod resource;
pub(super) mod unbuilt;
