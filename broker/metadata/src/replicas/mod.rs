//! Pure rules of one partition: where its replicas go, how its state may change.

mod placement;
mod transition;

pub(crate) use placement::{Crowds, Placement};
pub(crate) use transition::{Changed, Election, Loss, Rules, Standing, Transition};
