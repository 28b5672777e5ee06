//! What became of several things that were asked for at once.

use serde::Serialize;

use super::Rows;
use crate::{Context, advice};

/// One of the things.
#[derive(Debug, Serialize)]
pub(crate) struct Item {
    name: String,
    /// What was done, or `failed`.
    status: &'static str,
    error: Option<String>,
}

/// The things in the order of their names on the command line.
#[derive(Debug, Default)]
pub(crate) struct Items {
    items: Vec<Item>,
    failures: Failures,
}

impl Items {
    /// Notes what became of `name`; `done` is the word for success.
    pub(crate) fn add<E: Into<anyhow::Error>>(
        &mut self,
        name: String,
        done: &'static str,
        outcome: Result<(), E>,
    ) {
        let error = self.failures.note(outcome);
        let status = if error.is_some() { FAILED } else { done };
        self.items.push(Item {
            name,
            status,
            error,
        });
    }

    /// Shows a row for each, and fails if one has failed.
    pub(crate) fn show(self, context: &Context, kind: &str) -> anyhow::Result<()> {
        if !self.failures.is_lonely(self.items.len()) || context.output.is_json() {
            context
                .output
                .show(&self.items, |items| table(items, kind))?;
        }
        self.failures.into_result(self.items.len(), kind)
    }
}

fn table(items: &Vec<Item>, kind: &str) -> Rows {
    let heading = kind.to_uppercase();
    let headings = [&*heading, "STATUS", "ERROR"];
    // Most often nothing fails, and then nobody misses the last column.
    let failed = items.iter().any(|item| item.error.is_some());
    let shown = if failed { 3 } else { 2 };
    let mut rows = Rows::new(&headings[..shown], "nothing");
    for item in items {
        let cells = [
            item.name.clone(),
            item.status.to_owned(),
            item.error.clone().unwrap_or_else(|| "-".to_owned()),
        ];
        rows.push(cells.into_iter().take(shown));
    }
    rows
}

/// The status of what did not come about.
pub(crate) const FAILED: &str = "failed";

/// Counts failures, and keeps the first.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    first: Option<anyhow::Error>,
    count: usize,
}

impl Failures {
    /// The failure's sentence, if it is one.
    pub(crate) fn note<T, E: Into<anyhow::Error>>(
        &mut self,
        outcome: Result<T, E>,
    ) -> Option<String> {
        let error = outcome.err()?.into();
        let sentence = advice::sentence(&error);
        self.first.get_or_insert(error);
        self.count += 1;
        Some(sentence)
    }

    /// Whether the only thing of all has failed: then its error says everything, without a table.
    pub(crate) fn is_lonely(&self, of: usize) -> bool {
        of == 1 && self.count == 1
    }

    /// Fails if anything has, with the words of the first failure: where no table tells of each.
    pub(crate) fn into_first(self, of: usize, kind: &str) -> anyhow::Result<()> {
        let Some(first) = self.first else {
            return Ok(());
        };
        let first = advice::sentence(&first);
        anyhow::bail!("{} of {of} {kind}s failed; the first: {first}", self.count)
    }

    /// Fails if anything has.
    pub(crate) fn into_result(self, of: usize, kind: &str) -> anyhow::Result<()> {
        match self.first {
            None => Ok(()),
            Some(error) if of == 1 => Err(error),
            Some(_) => anyhow::bail!("{} of {of} {kind}s failed", self.count),
        }
    }
}
