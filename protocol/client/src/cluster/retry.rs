//! Trying again: when, how long, and when to give up.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use freshet_types::Retry;
use tokio::time::{Instant, sleep};

use crate::{ClientConfig, ClientError};

/// The tries of one call.
#[derive(Debug)]
pub(crate) struct Attempts {
    what: &'static str,
    limit: Duration,
    deadline: Instant,
    backoff: Backoff,
}

impl Attempts {
    pub(crate) fn new(config: &ClientConfig, what: &'static str) -> Self {
        Self::within(config, what, config.call_timeout)
    }

    /// Tries with another limit than the usual.
    pub(crate) fn within(config: &ClientConfig, what: &'static str, limit: Duration) -> Self {
        Self {
            what,
            limit,
            deadline: Instant::now() + limit,
            backoff: Backoff::new(config),
        }
    }

    /// With more time.
    pub(crate) fn longer(mut self, extra: Duration) -> Self {
        self.limit += extra;
        self.deadline += extra;
        self
    }

    /// Waits before the next try, or says why there is none.
    pub(crate) async fn pause(&mut self, error: ClientError) -> Result<(), ClientError> {
        if error.retry() == Retry::Never {
            return Err(error);
        }
        let pause = self.backoff.next();
        if Instant::now() + pause >= self.deadline {
            // A cluster that cannot be reached is its own explanation.
            if matches!(error, ClientError::Unreachable { .. }) {
                return Err(error);
            }
            return Err(ClientError::TimedOut {
                what: self.what.to_owned(),
                limit: self.limit,
                last: Some(Box::new(error)),
            });
        }
        tracing::debug!(what = self.what, %error, pause_ms = pause.as_millis(), "trying again");
        sleep(pause).await;
        Ok(())
    }
}

/// Pauses that double up to a limit, each shortened by up to a quarter so that clients which failed
/// together do not return together.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    tries: u32,
}

impl Backoff {
    pub(crate) fn new(config: &ClientConfig) -> Self {
        Self {
            min: config.backoff_min,
            max: config.backoff_max,
            tries: 0,
        }
    }

    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }

    pub(crate) fn next(&mut self) -> Duration {
        let full = self
            .min
            .saturating_mul(1 << self.tries.min(16))
            .min(self.max);
        self.tries += 1;
        full.mul_f64(1.0 - (random_bits() % 256) as f64 / 1024.0)
    }
}

/// Random enough to spread load: the keys of a fresh hash map.
pub(crate) fn random_bits() -> u64 {
    RandomState::new().hash_one(0u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_limit_and_no_further() {
        let config = ClientConfig::new(["x:1"]);
        let mut backoff = Backoff::new(&config);
        let pauses: Vec<_> = (0..40).map(|_| backoff.next()).collect();
        assert!(pauses[0] <= config.backoff_min && pauses[0] >= config.backoff_min / 2);
        assert!(pauses.iter().all(|p| *p <= config.backoff_max));
        assert!(pauses[39] >= config.backoff_max / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn time_runs_out_with_the_last_reason() {
        let mut config = ClientConfig::new(["x:1"]);
        config.call_timeout = Duration::from_secs(2);
        let mut attempts = Attempts::new(&config, "Fetch");
        let broken = || ClientError::Disconnected {
            address: "x:1".into(),
            cause: "gone".into(),
        };
        let error = loop {
            if let Err(error) = attempts.pause(broken()).await {
                break error;
            }
        };
        assert!(
            error
                .to_string()
                .contains("Fetch was not done within 2000 ms"),
            "{error}"
        );
        assert!(error.to_string().contains("gone"), "{error}");
    }

    #[tokio::test]
    async fn a_final_no_is_told_at_once() {
        let mut attempts = Attempts::new(&ClientConfig::new(["x:1"]), "Fetch");
        assert!(attempts.pause(ClientError::Closed("client")).await.is_err());
    }
}
