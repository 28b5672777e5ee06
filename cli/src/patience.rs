//! Telling people that something still goes on.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, interval_at};

const FIRST_WORD: Duration = Duration::from_secs(2);

/// Waits for `work`, and says so on stderr when it takes longer than two seconds.
pub(crate) async fn with<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    let start = Instant::now();
    let mut words = interval_at(start + FIRST_WORD, Duration::from_secs(5));
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = words.tick() => eprintln!("still {what} ({} s) …", start.elapsed().as_secs()),
        }
    }
}
