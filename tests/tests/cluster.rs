//! Three brokers, other people's clients, and everything that breaks; judged by the history checker.

use std::process::ExitCode;

use freshet_tests::{
    Suite, disk_keeps_what_was_flushed, enter, missing_for, missing_for_disks, missing_for_trials,
    run_trial, seed, trials,
};

fn main() -> ExitCode {
    let missing = enter().or_else(missing_for_trials);
    let seed = seed();
    let mut suite = Suite::default();
    suite.test(
        "a_disk_keeps_what_was_flushed",
        missing.clone().or_else(missing_for_disks),
        disk_keeps_what_was_flushed,
    );
    for trial in trials() {
        let missing = missing.clone().or_else(|| missing_for(trial));
        suite.test(trial.name, missing, move || run_trial(trial, seed));
    }
    suite.run()
}
