//! Changes that go from one broker to the next: restarts, brokers that leave or are new, votes, lost volumes,
//! settings at run time, the level of the metadata.

mod addresses;
mod drain;
mod fill;
mod idle;
mod level;
mod live;
mod lost;
mod quorum;
mod roll;
mod volumes;
mod windows;

pub(crate) use addresses::moved;
pub(crate) use drain::{Drained, drain, settle};
pub(crate) use fill::{Filled, Scene, fill, named};
pub(crate) use idle::idle;
pub(crate) use level::{Levelled, level};
pub(crate) use live::live;
pub(crate) use lost::{Lost, lost};
pub(crate) use quorum::{Roles, Seated, describe, roles, seat, voters};
pub(crate) use roll::{Rolled, Told, roll};
pub(crate) use volumes::volumes;
