//! What the benchmark can be told.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};

/// A broker that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Side {
    Freshet,
    Kafka,
}

impl Side {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Freshet => "Freshet",
            Self::Kafka => "Kafka",
        }
    }
}

/// How the result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Table,
    Json,
}

/// Measure Freshet and Apache Kafka side by side.
#[derive(Parser)]
#[command(name = "cargo xtask bench")]
pub(crate) struct Args {
    /// Rows to measure; all of them if none is named. `--list` shows them.
    pub(crate) rows: Vec<String>,
    /// Print the rows and what they do.
    #[arg(long)]
    pub(crate) list: bool,
    /// Pairs of measurements for each row.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) pairs: u32,
    /// A tenth of the work and one pair: to see that everything runs, not to learn a number.
    #[arg(long)]
    pub(crate) quick: bool,
    /// The two brokers to compare. `kafka,kafka` shows how far equal things differ here.
    #[arg(long, value_delimiter = ',', num_args = 1, default_values = ["freshet", "kafka"])]
    pub(crate) sides: Vec<Side>,
    /// 10^9 bytes of records that the rows `tier-…` copy and read, and `three-reassign` moves.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) gigabytes: u64,
    /// Keep measurements that other programs disturbed; the table marks them.
    #[arg(long)]
    pub(crate) noisy: bool,
    /// How the result is written.
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) output: Output,
    /// Where both brokers keep their data; must be a real disk. Default: the target folder.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) scratch: Option<PathBuf>,
}

impl Args {
    /// The two sides.
    pub(crate) fn pair(&self) -> Result<[Side; 2]> {
        match self.sides[..] {
            [first, second] => Ok([first, second]),
            _ => bail!("--sides takes two brokers"),
        }
    }

    /// How many pairs are measured.
    pub(crate) fn rounds(&self) -> u32 {
        if self.quick { 1 } else { self.pairs }
    }

    /// By how much the work of each row is divided.
    pub(crate) fn divisor(&self) -> u64 {
        if self.quick { 10 } else { 1 }
    }
}

/// Where `cargo xtask peers` put the jars and the Python that the benchmark needs.
pub(crate) fn peers() -> PathBuf {
    if let Some(named) = env::var_os("FRESHET_PEERS") {
        return named.into();
    }
    let home = || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache");
    env::var_os("XDG_CACHE_HOME")
        .map_or_else(home, PathBuf::from)
        .join("freshet/peers")
}

/// The release build of the broker.
pub(crate) fn freshet() -> PathBuf {
    match env::var_os("FRESHET_BROKER") {
        Some(named) => named.into(),
        None => target().join("release/freshet-broker"),
    }
}

/// Cargo's target folder, which is on the disk that one builds on.
pub(crate) fn target() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}
