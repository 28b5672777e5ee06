//! What was measured, as a table for people or as JSON.

use std::fs;

use anyhow::Result;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;

use crate::args::{Args, Side};
use crate::bars::Spread;
use crate::measure::Sample;
use crate::rows::{Kind, Per, Row, Tier};

/// A whole run.
#[derive(Serialize)]
pub(crate) struct Report {
    /// The kind of machine, which absolute numbers belong to.
    machine: String,
    sides: [&'static str; 2],
    pairs: u32,
    quick: bool,
    pub(crate) rows: Vec<Measured>,
}

/// One row.
#[derive(Serialize)]
pub(crate) struct Measured {
    row: &'static str,
    about: &'static str,
    /// What was sent; empty for rows without a client.
    work: String,
    /// When an acknowledged record is safe, for each side.
    durability: [&'static str; 2],
    numbers: Vec<Number>,
    /// The highest part of the machine that others took during a measurement that counts.
    foreign: f64,
    /// Why there are fewer numbers than asked for.
    pub(crate) refused: Option<String>,
    #[serde(skip)]
    source: Row,
    #[serde(skip)]
    sides: [Side; 2],
}

/// One number of a row on both sides.
#[derive(Serialize)]
struct Number {
    name: String,
    unit: &'static str,
    samples: [Vec<f64>; 2],
    spreads: [Option<Spread>; 2],
    ratio: Option<Spread>,
    bar: String,
    met: Option<bool>,
}

impl Report {
    pub(crate) fn new(args: &Args) -> Result<Self> {
        let (sides, pairs, quick) = (args.pair()?.map(Side::name), args.rounds(), args.quick);
        Ok(Self {
            machine: machine(),
            sides,
            pairs,
            quick,
            rows: Vec::new(),
        })
    }
}

impl Measured {
    pub(crate) fn new(row: &Row, sides: [Side; 2]) -> Self {
        let (work, durability) = match row.kind {
            Kind::Load(load)
            | Kind::Three(load)
            | Kind::ThreeRoll(load)
            | Kind::Tier(_, load)
            | Kind::ThreeMoves { load, .. }
            | Kind::Partitions { load, .. } => {
                (load.words(), sides.map(|side| load.durability.words(side)))
            }
            _ => (String::new(), [""; 2]),
        };
        Self {
            row: row.name,
            about: row.about,
            work,
            durability,
            numbers: Vec::new(),
            foreign: 0.0,
            refused: None,
            source: *row,
            sides,
        }
    }

    /// Adds one measurement of one side.
    pub(crate) fn add(&mut self, side: usize, sample: Sample) {
        self.foreign = self.foreign.max(sample.foreign);
        for (name, value) in sample.numbers {
            let at = self.numbers.iter().position(|number| number.name == name);
            let at = at.unwrap_or_else(|| {
                self.numbers.push(self.blank(name));
                self.numbers.len() - 1
            });
            self.numbers[at].samples[side].push(value);
            self.refresh(at);
        }
    }

    fn blank(&self, name: String) -> Number {
        let bar = self.source.bar(&name).words();
        let unit = unit(&name, self.source.kind);
        Number {
            name,
            unit,
            samples: [Vec::new(), Vec::new()],
            spreads: [None; 2],
            ratio: None,
            bar,
            met: None,
        }
    }

    fn refresh(&mut self, at: usize) {
        let (bar, sides) = (self.source.bar(&self.numbers[at].name), self.sides);
        let number = &mut self.numbers[at];
        let [first, second] = &number.samples;
        number.spreads = [Spread::of(first), Spread::of(second)];
        number.ratio = Spread::of_ratios(first, second);
        number.met = bar.met(sides, number.spreads[0], number.ratio);
    }
}

/// The unit of a number.
fn unit(name: &str, kind: Kind) -> &'static str {
    match (name, kind) {
        ("broker CPU", Kind::Idle { .. } | Kind::ThreeIdle { .. }) => "% of a core",
        ("idle CPU", _) => "% of a core",
        ("rate", _) => "MB/s",
        ("memory per partition" | "memory per replica", _) => "KiB",
        ("failed", _) => "records",
        ("p99 moving / calm" | "cold / raw" | "copying / curl" | "much / little", _) => "×",
        (name, Kind::Tier(..)) if name.ends_with(" / calm") => "×",
        (name, Kind::Tier(..)) if name.ends_with("CPU") => "CPU-s/GB",
        (name, Kind::Tier(..)) if name.ends_with("rate") || name == "rate after" => "MB/s",
        (name, Kind::Tier(Tier::Replace, _)) if name.starts_with("moved") => "MB",
        (_, Kind::Tier(Tier::Replace, _)) => "s",
        ("copied" | "lag at the end", _) => "MB",
        ("copied after", _) => "s",
        ("size", _) => "MB",
        ("throughput kept", _) => "×",
        (name, Kind::Partitions { .. }) if name.starts_with("broker CPU") => "CPU-s/GB",
        (name, Kind::Partitions { .. }) if name.starts_with("throughput") => "records/s",
        ("broker CPU", Kind::Load(load) | Kind::Three(load)) if load.per == Per::Gigabyte => {
            "CPU-s/GB"
        }
        ("broker CPU", _) => "µs/record",
        ("throughput" | "offered" | "achieved", _) => "records/s",
        (_, Kind::Memory) => "MiB",
        _ => "ms",
    }
}

fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = crate::cpu::cores();
    format!(
        "{cores} × {}, Linux {}",
        model.unwrap_or("unknown CPU"),
        kernel.trim()
    )
}

/// Prints the table, and under it what each row did.
pub(crate) fn table(report: &Report) {
    let mut table = Table::new();
    table
        .load_style(presets::ASCII_MARKDOWN)
        .set_content_arrangement(ContentArrangement::Disabled);
    let [first, second] = report.sides;
    let ratio = format!("{first} / {second}");
    table.set_header(["row", "number", "unit", first, second, &ratio, "bar", "met"]);
    for column in 3..6 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for row in &report.rows {
        for number in &row.numbers {
            let met = number.met.map_or("", |met| if met { "yes" } else { "NO" });
            table.add_row([
                row.row,
                &number.name,
                number.unit,
                &told(number.spreads[0]),
                &told(number.spreads[1]),
                &told(number.ratio),
                &number.bar,
                met,
            ]);
        }
    }
    println!("{table}\n");
    let quick = if report.quick {
        "; QUICK: a tenth of the work, no number means much"
    } else {
        ""
    };
    println!(
        "{} pairs in turns on {}{quick}",
        report.pairs, report.machine
    );
    println!("median (lowest–highest); a ratio is the median of the pairs' ratios\n");
    for row in &report.rows {
        footnote(row, report.sides);
    }
}

fn footnote(row: &Measured, sides: [&str; 2]) {
    println!("{}: {}", row.row, row.about);
    if !row.work.is_empty() {
        let [first, second] = row.durability;
        println!("  {}", row.work);
        println!(
            "  acknowledged when in: {first} ({}), {second} ({})",
            sides[0], sides[1]
        );
    }
    if row.foreign > 0.05 {
        let part = row.foreign * 100.0;
        println!("  DISTURBED: others took up to {part:.0} % of the machine; do not quote");
    }
    if let Some(why) = &row.refused {
        println!("  NOT COMPLETE: {why}");
    }
}

fn told(spread: Option<Spread>) -> String {
    let Some(Spread { median, low, high }) = spread else {
        return "–".into();
    };
    let short = |number: f64| match number {
        n if n >= 100.0 => format!("{n:.0}"),
        n if n >= 10.0 => format!("{n:.1}"),
        n => format!("{n:.3}"),
    };
    format!("{} ({}–{})", short(median), short(low), short(high))
}
