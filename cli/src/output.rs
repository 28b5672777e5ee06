//! Results: a table for people, or JSON for programs.

pub(crate) mod outcome;
pub(crate) mod patience;

use std::io::{self, Write};

use clap::ValueEnum;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, BufReader};

/// How results are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table.
    Table,
    /// One JSON document; records one by line.
    Json,
}

/// Where results go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
}

/// A table under construction.
pub(crate) struct Rows {
    table: Table,
    empty: &'static str,
    count: usize,
}

impl Rows {
    /// A table with these headings; `empty` is said when it has no rows. A heading that starts with
    /// `>` stands over numbers.
    pub(crate) fn new(headings: &[&str], empty: &'static str) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(headings.iter().map(|h| h.trim_start_matches('>')));
        for (i, heading) in headings.iter().enumerate() {
            if let Some(column) = table.column_mut(i) {
                column.set_padding((0, 2));
                if heading.starts_with('>') {
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        Self {
            table,
            empty,
            count: 0,
        }
    }

    pub(crate) fn push(&mut self, cells: impl IntoIterator<Item = String>) {
        self.table.add_row(cells.into_iter().collect::<Vec<_>>());
        self.count += 1;
    }

    fn show(&self) -> String {
        if self.count == 0 {
            return self.empty.to_owned();
        }
        let lines = self.table.lines().map(|line| line.trim_end().to_owned());
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Shows a result in the chosen way.
    pub(crate) fn show<T: Serialize>(
        self,
        result: &T,
        rows: impl FnOnce(&T) -> Rows,
    ) -> anyhow::Result<()> {
        let text = if self.is_json() {
            to_json(result)?
        } else {
            rows(result).show()
        };
        line(&text)
    }

    /// Shows a result, for people in one sentence.
    pub(crate) fn say<T: Serialize>(self, result: &T, sentence: &str) -> anyhow::Result<()> {
        if self.is_json() {
            line(&to_json(result)?)
        } else {
            line(sentence)
        }
    }

    /// A line in front of a table, for people only.
    pub(crate) fn heading(self, text: &str) -> anyhow::Result<()> {
        if self.is_json() { Ok(()) } else { line(text) }
    }
}

fn to_json<T: Serialize>(result: &T) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(result)?)
}

fn line(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Whether whoever reads our output has gone, as `head` does.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

/// Asks at the terminal, and waits for a yes.
pub(crate) async fn says_yes(question: &str) -> anyhow::Result<bool> {
    eprint!("{question} Type yes: ");
    io::stderr().flush()?;
    let mut answer = String::new();
    BufReader::new(tokio::io::stdin())
        .read_line(&mut answer)
        .await?;
    Ok(answer.trim() == "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right_and_nothing_trails() {
        let mut rows = Rows::new(&["NAME", ">LAG"], "none");
        rows.push(["orders".to_owned(), "7".to_owned()]);
        rows.push(["a".to_owned(), "1234".to_owned()]);
        assert_eq!(rows.show(), "NAME     LAG\norders     7\na       1234");
    }

    #[test]
    fn an_empty_table_says_so() {
        assert_eq!(Rows::new(&["NAME"], "no topics").show(), "no topics");
    }
}
