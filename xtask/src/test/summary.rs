//! The closing table.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

use super::count::Count;

/// What became of one step.
pub(crate) struct Line {
    name: &'static str,
    took: Option<Duration>,
    count: Count,
}

impl Line {
    pub(crate) fn ran(name: &'static str, took: Duration, count: Count) -> Self {
        Self {
            name,
            took: Some(took),
            count,
        }
    }

    /// A step that an earlier failure kept from running. It counts as one thing skipped.
    pub(crate) fn not_run(name: &'static str) -> Self {
        Self {
            name,
            took: None,
            count: Count::SKIPPED,
        }
    }
}

/// Prints the table and the line of counts; returns the total. Steps that ran side by side `took` less
/// than their sum.
pub(crate) fn print(lines: &[Line], took: Duration) -> Count {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["step", "seconds", "passed", "failed", "skipped"]);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut total = Count::default();
    for line in lines {
        let took = line.took.map(|took| took.as_secs_f64());
        total += line.count;
        let took = took.map_or_else(|| "not run".into(), |took| format!("{took:.0}"));
        table.add_row(row(line.name, took, line.count));
    }
    table.add_row(row("all", format!("{:.0}", took.as_secs_f64()), total));
    println!("\n{table}\n\n{total}");
    total
}

fn row(name: &str, took: String, count: Count) -> [String; 5] {
    [
        name.into(),
        took,
        count.passed.to_string(),
        count.failed.to_string(),
        count.skipped.to_string(),
    ]
}
