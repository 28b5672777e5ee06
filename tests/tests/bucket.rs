//! Brokers whose bucket refuses, hangs, loses answers, and gives what is not what it was given.

use std::process::ExitCode;

use freshet_tests::{Kind, Mount, Suite, bucket_trials, enter, missing_for_buckets};

fn main() -> ExitCode {
    // Clusters have a network of their own.
    let alone = enter();
    let kafka = || (Kind::from_env() == Kind::Kafka).then(|| "it has no bucket".to_owned());
    let mountless = Mount::missing();
    let mut suite = Suite::default();
    for trial in bucket_trials() {
        let alone = alone.clone().filter(|_| trial.needs_network);
        let mountless = mountless.clone().filter(|_| trial.needs_mount);
        let missing = kafka().or_else(missing_for_buckets);
        let missing = missing.or(alone).or(mountless);
        suite.test(trial.name, missing, trial.run);
    }
    suite.run()
}
