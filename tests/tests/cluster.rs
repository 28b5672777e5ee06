//! Three brokers, other people's clients, and everything that breaks; judged by the history checker.

use std::env;
use std::process::ExitCode;

use freshet_tests::{
    Kind, Suite, disk_keeps_what_was_flushed, enter, missing_for, missing_for_disks,
    missing_for_trials, run_tiered, run_trial, seed, trials,
};

/// Trials that are run a second time, with most records in a bucket. `FRESHET_TIERED=1` runs all of
/// them like that.
const TIERED: &[&str] = &[
    "kill_leaders_in_a_loop",
    "kill_all_at_once",
    "isolate_a_leader",
    "restart_storm",
];

fn main() -> ExitCode {
    let missing = enter().or_else(missing_for_trials);
    let bucketless = || (Kind::from_env() == Kind::Kafka).then(|| "it has no bucket".to_owned());
    let seed = seed();
    let mut suite = Suite::default();
    suite.test(
        "a_disk_keeps_what_was_flushed",
        missing.clone().or_else(missing_for_disks),
        disk_keeps_what_was_flushed,
    );
    for trial in trials() {
        let missing = missing.clone().or_else(|| missing_for(trial));
        if env::var_os("FRESHET_TIERED").is_some() {
            let missing = missing.or_else(bucketless);
            suite.test(trial.name, missing, move || run_tiered(trial, seed));
            continue;
        }
        suite.test(trial.name, missing.clone(), move || run_trial(trial, seed));
        if TIERED.contains(&trial.name) {
            let name = format!("{}_while_records_leave_the_disks", trial.name);
            let missing = missing.or_else(bucketless);
            suite.test(&name, missing, move || run_tiered(trial, seed));
        }
    }
    suite.run()
}
