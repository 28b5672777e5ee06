//! Telling people that something still goes on.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, interval_at};

const FIRST_WORD: Duration = Duration::from_secs(2);
const NEXT_WORD: Duration = Duration::from_secs(5);

/// Words on stderr while people wait; none for programs and for who wants quiet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    quiet: bool,
}

impl Patience {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { quiet }
    }

    pub(crate) fn is_quiet(self) -> bool {
        self.quiet
    }

    /// Waits for `work`, and says so when it takes longer than two seconds.
    pub(crate) async fn with<T>(self, what: &str, work: impl Future<Output = T>) -> T {
        let still = |waited: Duration| format!("still {what} ({} s) …", waited.as_secs());
        self.after(FIRST_WORD, still, work).await
    }

    /// Waits for `work`, and says `words` of the time waited after `first` and every five seconds.
    pub(crate) async fn after<T>(
        self,
        first: Duration,
        words: impl Fn(Duration) -> String,
        work: impl Future<Output = T>,
    ) -> T {
        if self.quiet {
            return work.await;
        }
        tokio::pin!(work);
        let start = Instant::now();
        let mut moments = interval_at(start + first, NEXT_WORD);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = moments.tick() => eprintln!("{}", words(start.elapsed())),
            }
        }
    }
}
