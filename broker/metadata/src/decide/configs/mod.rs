//! Settings and feature levels.

mod alter_configs;
mod changed;
mod update_features;

pub(crate) use alter_configs::alter_configs;
pub(crate) use changed::{Kind, changed};
pub(crate) use update_features::update_features;
