//! Brokers whose bucket refuses, hangs, loses answers, and gives what is not what it was given.

use std::process::ExitCode;

use freshet_tests::{
    BucketNeeds, Kind, Mount, Suite, bucket_trials, enter, missing_for_buckets, missing_for_clocks,
};

fn main() -> ExitCode {
    // Clusters have a network of their own.
    let alone = enter();
    let kafka = || (Kind::from_env() == Kind::Kafka).then(|| "it has no bucket".to_owned());
    let mut suite = Suite::default();
    for trial in bucket_trials() {
        let missing = match trial.needs {
            BucketNeeds::Nothing => None,
            BucketNeeds::Network => alone.clone(),
            BucketNeeds::Clock => missing_for_clocks(),
            BucketNeeds::Mount => Mount::missing(),
        };
        let missing = kafka().or_else(missing_for_buckets).or(missing);
        suite.test(trial.name, missing, trial.run);
    }
    suite.run()
}
