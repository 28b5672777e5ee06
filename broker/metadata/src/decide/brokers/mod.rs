//! The life of a broker: registered, fenced, serving, stopping, gone.

mod allocate_producer_ids;
mod cordon;
mod fence;
mod heartbeat;
mod register;
mod relieve;
mod unregister;

pub(crate) use allocate_producer_ids::allocate_producer_ids;
pub(crate) use cordon::cordon_broker;
pub(crate) use fence::{fence_broker, fence_silent};
pub(crate) use heartbeat::{heartbeat, present};
pub(crate) use register::register_broker;
pub(crate) use unregister::unregister_broker;
