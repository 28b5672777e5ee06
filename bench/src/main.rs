//! Freshet and Apache Kafka side by side on one machine, with the same client.
//!
//! The result is the broker's CPU time per byte and per record, and its ratio between the two
//! brokers. Client and broker share the cores, so throughput mostly shows what the client can do.
//! Absolute times do not travel between machines; ratios do.
//!
//! Each row runs in pairs, one measurement of the first broker and one of the second, in turns.
//! A measurement during which other programs took more than a twentieth of the machine is thrown
//! away. Nothing is asserted: the table is for a person to judge.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures the real clock and the real disk"
)]

mod args;
mod bars;
mod broker;
mod client;
mod cpu;
mod measure;
mod report;
mod rows;
mod run;
mod starts;
mod threes;
mod tiers;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match run::run(&args::Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("freshet-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
