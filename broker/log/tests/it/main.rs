//! The log through its public door, on a real file system.

#![expect(
    clippy::disallowed_methods,
    reason = "tests meddle with files behind the log's back"
)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod appends;
mod closed;
mod cost;
mod faults;
mod faulty;
mod here;
mod lives;
mod many;
mod misplaced;
mod reads;
mod recovery;
mod retention;
mod retries;
mod slow;
mod support;
mod truncation;
