//! Trials by the rows of the table of faults, 56 to 60, and 12.

mod away;
mod copies;
mod denied;
mod full;
mod leaders;
mod objects;
mod slow;
mod uploads;

use anyhow::Result;

/// A trial of brokers and their bucket.
pub struct BucketTrial {
    /// Its name; the test's too.
    pub name: &'static str,
    /// Whether it needs brokers with a network of their own.
    pub needs_network: bool,
    /// Whether it needs a small file system.
    pub needs_mount: bool,
    /// Runs it.
    pub run: fn() -> Result<()>,
}

const fn alone(name: &'static str, run: fn() -> Result<()>) -> BucketTrial {
    BucketTrial {
        name,
        needs_network: false,
        needs_mount: false,
        run,
    }
}

/// All of them.
pub fn bucket_trials() -> [BucketTrial; 13] {
    [
        alone(
            "a_bucket_that_refuses_is_left_alone_and_made_up_with",
            away::refused,
        ),
        alone(
            "a_bucket_that_is_slow_or_hangs_holds_up_nobody_else",
            slow::hung,
        ),
        alone(
            "a_bucket_that_takes_a_minute_holds_up_nobody_else",
            slow::a_minute,
        ),
        alone("an_upload_whose_answer_is_lost_is_there", uploads::unsaid),
        alone(
            "an_upload_that_is_there_and_given_up_is_nobodys",
            uploads::given_up,
        ),
        alone("what_nobody_names_is_collected", uploads::collected),
        alone(
            "a_broker_that_stops_leaves_no_parts_of_uploads",
            uploads::stopped,
        ),
        alone(
            "what_is_missing_or_damaged_is_an_error_and_never_skipped",
            objects::spoiled,
        ),
        alone(
            "without_credentials_or_bucket_nothing_leaves_the_disk",
            denied::denied,
        ),
        alone(
            "a_store_that_refuses_is_told_of_at_the_start",
            denied::unwelcome,
        ),
        BucketTrial {
            needs_mount: true,
            ..alone(
                "a_disk_that_fills_before_a_bucket_that_refuses_keeps_all_of_it",
                full::filled,
            )
        },
        BucketTrial {
            needs_network: true,
            ..alone(
                "what_is_damaged_on_the_leaders_disk_too_comes_from_another_broker",
                copies::elsewhere,
            )
        },
        BucketTrial {
            needs_network: true,
            ..alone("of_two_leaders_that_upload_one_is_heard", leaders::two)
        },
    ]
}
