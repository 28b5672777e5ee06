//! How long clients wait when a leader goes: `cargo xtask bench failover` runs it for both brokers.
#![allow(
    clippy::disallowed_methods,
    reason = "a developer tool talks to the machine directly"
)]

use std::process::ExitCode;

use freshet_tests::{Kind, Waits, enter, failover, missing_for_trials};

fn main() -> ExitCode {
    if let Some(why) = enter().or_else(missing_for_trials) {
        eprintln!("SKIPPED failover: {why}");
        return ExitCode::FAILURE;
    }
    let rounds = std::env::args().nth(1).and_then(|text| text.parse().ok());
    match failover(rounds.unwrap_or(5).max(1)) {
        Ok(all) => {
            println!(
                "| broker | client | the leader is | first | median ms | p99 ms | max ms | of |"
            );
            println!("|---|---|---|---|---:|---:|---:|---:|");
            all.iter().for_each(tell);
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("failover: {why:#}");
            ExitCode::FAILURE
        }
    }
}

fn tell(waits: &Waits) {
    let broker = match Kind::from_env() {
        Kind::Freshet => "Freshet",
        Kind::Kafka => "Kafka",
    };
    let how = if waits.planned {
        "asked to end"
    } else {
        "killed"
    };
    for (what, numbers) in [("produce", &waits.produce), ("fetch", &waits.fetch)] {
        let (client, count) = (waits.client, numbers.len());
        // The nearest rank: of fewer than a hundred that is the highest.
        let [median, p99, max] = [count / 2, (count * 99).div_ceil(100).max(1) - 1, count - 1]
            .map(|at| shown(numbers.get(at).copied().unwrap_or_default()));
        println!("| {broker} | {client} | {how} | {what} | {median} | {p99} | {max} | {count} |");
    }
}

/// A client that never came back has no number.
fn shown(ms: f64) -> String {
    if ms < 1e9 {
        format!("{ms:.0}")
    } else {
        "never".to_owned()
    }
}
