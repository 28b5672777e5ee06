//! Trials by the rows of the table of faults, 56 to 60 and 12, and of how a store and a broker know each other.

mod away;
mod copies;
mod denied;
mod full;
mod identity;
mod leaders;
mod objects;
mod profile;
mod slow;
mod trusted;
mod uploads;

use anyhow::Result;

/// A trial of brokers and their bucket.
pub struct BucketTrial {
    /// Its name; the test's too.
    pub name: &'static str,
    /// What it needs beside a bucket.
    pub needs: BucketNeeds,
    /// Runs it.
    pub run: Run,
}

/// A trial's body.
type Run = fn() -> Result<()>;

/// What a trial needs beside a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BucketNeeds {
    /// Nothing.
    Nothing,
    /// Brokers with a network of their own.
    Network,
    /// A library that gives a process another clock.
    Clock,
    /// A small file system.
    Mount,
}

/// All of them.
pub fn bucket_trials() -> impl Iterator<Item = BucketTrial> {
    use BucketNeeds::{Clock, Mount, Network, Nothing};
    let all: [(&str, BucketNeeds, Run); 17] = [
        (
            "a_bucket_that_refuses_is_left_alone_and_made_up_with",
            Nothing,
            away::refused,
        ),
        (
            "a_bucket_that_is_slow_or_hangs_holds_up_nobody_else",
            Nothing,
            slow::hung,
        ),
        (
            "a_bucket_that_takes_a_minute_holds_up_nobody_else",
            Nothing,
            slow::a_minute,
        ),
        (
            "an_upload_whose_answer_is_lost_is_there",
            Nothing,
            uploads::unsaid,
        ),
        (
            "an_upload_that_is_there_and_given_up_is_nobodys",
            Nothing,
            uploads::given_up,
        ),
        (
            "what_nobody_names_is_collected",
            Nothing,
            uploads::collected,
        ),
        (
            "a_broker_that_stops_leaves_no_parts_of_uploads",
            Nothing,
            uploads::stopped,
        ),
        (
            "what_is_missing_or_damaged_is_an_error_and_never_skipped",
            Nothing,
            objects::spoiled,
        ),
        (
            "without_credentials_or_bucket_nothing_leaves_the_disk",
            Nothing,
            denied::denied,
        ),
        (
            "a_store_that_refuses_is_told_of_at_the_start",
            Nothing,
            denied::unwelcome,
        ),
        (
            "a_broker_whose_clock_is_off_is_refused_until_it_is_right",
            Clock,
            denied::skewed,
        ),
        (
            "a_store_with_a_private_authority_is_used_once_that_is_believed",
            Nothing,
            trusted::trusted,
        ),
        (
            "a_broker_without_keys_is_told_who_it_is_by_where_it_runs",
            Nothing,
            identity::known,
        ),
        (
            "a_broker_finds_its_keys_in_the_files_of_the_aws_tools",
            Nothing,
            profile::at_home,
        ),
        (
            "a_disk_that_fills_before_a_bucket_that_refuses_keeps_all_of_it",
            Mount,
            full::filled,
        ),
        (
            "what_is_damaged_on_the_leaders_disk_too_comes_from_another_broker",
            Network,
            copies::elsewhere,
        ),
        (
            "of_two_leaders_that_upload_one_is_heard",
            Network,
            leaders::two,
        ),
    ];
    all.into_iter()
        .map(|(name, needs, run)| BucketTrial { name, needs, run })
}
