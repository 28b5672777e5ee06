//! Three brokers, other people's clients, and everything that breaks; judged by the history checker.

use std::env;
use std::process::ExitCode;

use freshet_tests::{
    Part, Suite, disk_keeps_what_was_flushed, enter, missing_for, missing_for_disks,
    missing_for_tiered, missing_for_trials, run_tiered, run_trial, seed, tiered_name, trials, ways,
};

/// With `FRESHET_TIERED=1` all trials run with most records in a bucket, with `FRESHET_TIERED=0` none but
/// those that are about one.
fn asked() -> Option<bool> {
    let asked = env::var("FRESHET_TIERED").ok();
    asked.map(|text| text != "0")
}

fn main() -> ExitCode {
    let missing = enter().or_else(missing_for_trials);
    let seed = seed();
    let part = match Part::from_env() {
        Ok(part) => part,
        Err(why) => {
            eprintln!("{why:#}");
            return ExitCode::FAILURE;
        }
    };
    let mut suite = Suite::of(part);
    suite.test(
        "a_disk_keeps_what_was_flushed",
        missing.clone().or_else(missing_for_disks),
        disk_keeps_what_was_flushed,
    );
    for trial in trials() {
        let missing = missing.clone().or_else(|| missing_for(trial));
        let ways = ways(trial, asked());
        if ways.plain {
            suite.test(trial.name, missing.clone(), move || run_trial(trial, seed));
        }
        if ways.tiered {
            let name = tiered_name(trial);
            let missing = missing.or_else(missing_for_tiered);
            suite.test(&name, missing, move || run_tiered(trial, seed));
        }
    }
    suite.run()
}
