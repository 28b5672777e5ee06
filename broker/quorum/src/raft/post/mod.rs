//! Between controllers: the door, what is said through it, and what is answered.

pub(crate) mod inbox;
pub(crate) mod link;
pub(crate) mod message;
