//! Who keeps and leads partitions, after they were created.

mod alter_partitions;
mod assign_directories;
mod balance;
mod elect_leaders;
mod reassign;

pub(crate) use alter_partitions::alter_partitions;
pub(crate) use assign_directories::assign_directories;
pub(crate) use balance::balance;
pub(crate) use elect_leaders::elect_leaders;
pub(crate) use reassign::reassign;
