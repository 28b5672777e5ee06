//! Runs the tests of one file one after the other; what cannot run here counts as ignored.

use std::env;
use std::process::{ExitCode, exit};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use libtest_mimic::{Arguments, Trial};

use crate::broker::{Broker, Kind, freshet_binary};
use crate::client::{Client, missing_for_all_clients};
use crate::scenario;

/// A broker that the tests of one file share: started by the first, gone after the last.
type Shared = Arc<Mutex<Option<Broker>>>;

/// How long one test may take. The longest take two minutes on an idle machine; one that hangs must
/// be named long before whoever runs all of them loses patience.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// Which tests of a file run, where several processes share them: those of every `of`th place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// From 0 on.
    number: usize,
    of: usize,
}

impl Default for Part {
    fn default() -> Self {
        Self { number: 0, of: 1 }
    }
}

impl Part {
    /// `FRESHET_PART=1/2` is the first of two; without it there is one.
    pub fn from_env() -> Result<Self> {
        let asked = env::var("FRESHET_PART").ok();
        asked.map_or(Ok(Self::default()), |text| Self::parse(&text))
    }

    fn parse(text: &str) -> Result<Self> {
        let parsed = text.split_once('/').and_then(|(number, of)| {
            let (number, of): (usize, usize) = (number.parse().ok()?, of.parse().ok()?);
            let number = number.checked_sub(1).filter(|number| *number < of)?;
            Some(Self { number, of })
        });
        parsed.with_context(|| format!("FRESHET_PART={text}: say 1/2 for the first of two"))
    }

    fn has(self, place: usize) -> bool {
        place % self.of == self.number
    }
}

/// The tests of one file.
#[derive(Default)]
pub struct Suite {
    shared: Shared,
    part: Part,
    /// How many there are in all parts, so far.
    count: usize,
    trials: Vec<Trial>,
}

impl Suite {
    /// One that takes only a part of the tests which it is given.
    pub fn of(part: Part) -> Self {
        Self {
            part,
            ..Self::default()
        }
    }

    /// Adds a test that needs nothing but the broker's binary; `missing` says why it cannot run.
    pub fn test(
        &mut self,
        name: &str,
        missing: Option<String>,
        body: impl FnOnce() -> Result<()> + Send + 'static,
    ) {
        self.count += 1;
        if !self.part.has(self.count - 1) {
            return;
        }
        let strict = env::var_os("FRESHET_REQUIRE_PEERS").is_some();
        if let Some(why) = &missing {
            eprintln!("SKIPPED {name}: {why}");
        }
        let ignored = missing.is_some() && !strict;
        let watched = name.to_owned();
        let body = move || match missing {
            Some(why) => Err(why.into()),
            None => within(LIMIT, watched, body).map_err(|failure| format!("{failure:#}").into()),
        };
        self.trials
            .push(Trial::test(name, body).with_ignored_flag(ignored));
    }

    /// Adds a test that uses the file's shared broker.
    pub fn with_broker(
        &mut self,
        name: &str,
        missing: Option<String>,
        body: impl FnOnce(&mut Broker) -> Result<()> + Send + 'static,
    ) {
        let shared = Arc::clone(&self.shared);
        self.test(name, missing, move || {
            let mut held = shared.lock().unwrap_or_else(PoisonError::into_inner);
            if held.is_none() {
                *held = Some(Broker::start(&[]).context("starting the broker")?);
            }
            let broker = held.as_mut().context("just started")?;
            body(broker).with_context(|| format!("the broker's last words:\n{}\n", broker.tail()))
        });
    }

    /// Runs all tests that the command line selects.
    pub fn run(self) -> ExitCode {
        if Kind::from_env() == Kind::Freshet && !freshet_binary().exists() {
            eprintln!(
                "there is no broker at {}: build it with `cargo build --release -p freshet-broker`, \
                 or name one with FRESHET_BROKER",
                freshet_binary().display()
            );
            return ExitCode::FAILURE;
        }
        let mut arguments = Arguments::from_args();
        // Two cores and one broker: side by side they would only time each other out.
        arguments.test_threads = Some(1);
        let conclusion = libtest_mimic::run(&arguments, self.trials);
        drop(self.shared);
        conclusion.exit_code()
    }
}

/// Runs `body`; when that takes longer than `limit` the whole file fails at once, as a thread that
/// hangs cannot be ended.
fn within<T>(limit: Duration, name: String, body: impl FnOnce() -> T) -> T {
    let (done, waits) = channel::<()>();
    let watch = thread::spawn(move || {
        if waits.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            eprintln!("\ntest {name} did not end within {limit:?}: FAILED");
            exit(1);
        }
    });
    let result = body();
    drop(done);
    let _ = watch.join();
    result
}

/// The tests that every client must pass.
pub fn client_suite(client: Client) -> Suite {
    let mut suite = Suite::default();
    let name = client.name();
    suite.with_broker(
        &format!("{name}_every_codec_read_by_all"),
        missing_for_all_clients(),
        move |broker| scenario::codecs(client, broker),
    );
    suite.with_broker(
        &format!("{name}_group_of_two"),
        client.missing(),
        move |broker| scenario::group_of_two(client, broker),
    );
    suite.with_broker(
        &format!("{name}_administers"),
        client.missing(),
        move |broker| scenario::administer(client, broker),
    );
    suite.test(
        &format!("{name}_survives_restarts"),
        client.missing(),
        move || scenario::restarts(client),
    );
    suite
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_all_of_it_and_share_nothing() -> Result<()> {
        let parts = [Part::parse("1/2")?, Part::parse("2/2")?];
        for place in 0..9 {
            assert_eq!(parts.iter().filter(|part| part.has(place)).count(), 1);
            assert!(Part::default().has(place));
        }
        for wrong in ["", "2", "0/2", "3/2", "1/0", "a/b"] {
            assert!(Part::parse(wrong).is_err(), "{wrong}");
        }
        Ok(())
    }
}
