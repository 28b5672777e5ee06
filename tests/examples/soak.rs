//! Random sequences of trials for some minutes: `cargo xtask soak` runs it.
#![allow(
    clippy::disallowed_methods,
    reason = "a developer tool talks to the machine directly"
)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use freshet_tests::{enter, missing_for_trials, seed, soak_sequence};

fn main() -> ExitCode {
    if let Some(why) = enter().or_else(missing_for_trials) {
        eprintln!("SKIPPED soak: {why}");
        return ExitCode::FAILURE;
    }
    let minutes = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let time = Duration::from_secs_f64(minutes.unwrap_or(0.0) * 60.0);
    let started = Instant::now();
    let mut seed = seed();
    let mut count = 0;
    // One sequence at least: no minutes and a seed repeat what failed.
    while count == 0 || started.elapsed() < time {
        println!("sequence {count}, seed {seed}");
        if let Err(why) = soak_sequence(seed) {
            eprintln!(
                "sequence {count} FAILED (`cargo xtask soak --minutes 0 --seed {seed}` repeats it): {why:#}"
            );
            return ExitCode::FAILURE;
        }
        count += 1;
        seed += 1;
    }
    println!("{count} sequences in {:.0?}: no anomaly", started.elapsed());
    ExitCode::SUCCESS
}
