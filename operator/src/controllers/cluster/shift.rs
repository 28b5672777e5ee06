//! Changes that go from one broker to the next: restarts, brokers that leave, settings at run time.

mod drain;
mod live;
mod roll;
mod volumes;
mod windows;

pub(crate) use drain::{Drained, drain, settle};
pub(crate) use live::live;
pub(crate) use roll::{Rolled, roll};
pub(crate) use volumes::volumes;
