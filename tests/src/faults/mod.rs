//! The table of faults: what may go wrong, what must happen then, and which tests try it.
//!
//! `docs/faults.md` is written from it. Trials name the rows that they belong to themselves; here
//! stand the other tests, and what nobody tries yet.

mod page;
mod results;
mod rows;
#[cfg(test)]
mod tests;

pub use page::faults_page;
pub(crate) use results::day;
pub(crate) use results::note;
pub use results::{Kept, Outcome, fold};

/// One fault.
pub(crate) struct Fault {
    /// Its number in the page, which trials name.
    pub(crate) row: u8,
    /// What goes wrong.
    pub(crate) what: &'static str,
    /// What must happen.
    pub(crate) then: &'static str,
    /// Tests that try it, beside the trials.
    pub(crate) tests: &'static [&'static str],
    /// What is missing before it can be tried in full.
    pub(crate) open: Option<&'static str>,
}

/// Faults of one kind.
pub(crate) struct Group {
    pub(crate) title: &'static str,
    pub(crate) faults: &'static [Fault],
}
