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

/// The tests of one file.
#[derive(Default)]
pub struct Suite {
    shared: Shared,
    trials: Vec<Trial>,
}

impl Suite {
    /// Adds a test that needs nothing but the broker's binary; `missing` says why it cannot run.
    pub fn test(
        &mut self,
        name: &str,
        missing: Option<String>,
        body: impl FnOnce() -> Result<()> + Send + 'static,
    ) {
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
