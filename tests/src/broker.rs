//! The broker under test: a real process on loopback with its own data folder.

use std::env;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tempfile::TempDir;

use crate::kafka_server;
use crate::process::Process;

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// Apache Kafka cannot tell the port that it got, so ports are tried from here up.
const FIRST_PORT: u16 = 20192;

static NEXT_PORT: AtomicU16 = AtomicU16::new(FIRST_PORT);

/// Which broker is under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The release binary of this workspace.
    Freshet,
    /// Apache Kafka, as the proof of the tests themselves.
    Kafka,
}

impl Kind {
    /// The broker that the environment asks for with `FRESHET_TEST_PEER`.
    pub fn from_env() -> Self {
        match env::var("FRESHET_TEST_PEER").as_deref() {
            Ok("kafka") => Self::Kafka,
            _ => Self::Freshet,
        }
    }
}

/// The binary under test: `FRESHET_BROKER`, else the release build of this workspace.
pub fn freshet_binary() -> PathBuf {
    if let Some(named) = env::var_os("FRESHET_BROKER") {
        return named.into();
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ is in a folder");
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), Into::into);
    workspace.join(target).join("release/freshet-broker")
}

/// The command under test: `FRESHET_CLI`, else the one beside the broker.
pub fn freshet_command() -> PathBuf {
    let named = env::var_os("FRESHET_CLI").map(PathBuf::from);
    named.unwrap_or_else(|| freshet_binary().with_file_name("freshet"))
}

/// What `--ready-file` says once requests are served.
#[derive(Debug, Clone, Deserialize)]
struct Addresses {
    kafka: String,
    http: Option<String>,
}

/// One broker process with its data folder; both are gone when it is dropped.
pub struct Broker {
    kind: Kind,
    folder: TempDir,
    told: Told,
    addresses: Addresses,
    process: Process,
}

/// What a broker is told at each start.
struct Told {
    set: Vec<(String, String)>,
    environment: Vec<(String, String)>,
}

impl Broker {
    /// Starts the broker that the environment asks for, with the settings of `set` by Kafka's names.
    pub fn start(set: &[(&str, &str)]) -> Result<Self> {
        Self::start_in(&[], set)
    }

    /// The same, with more in its environment.
    pub fn start_in(environment: &[(String, String)], set: &[(&str, &str)]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("freshet-test-").tempdir()?;
        let kind = Kind::from_env();
        // Tests form many small groups; Kafka's three seconds for stragglers would only be waited out.
        let quick = [("group.initial.rebalance.delay.ms", "500")];
        let set: Vec<_> = quick
            .iter()
            .chain(set)
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        let told = Told {
            set,
            environment: environment.to_vec(),
        };
        let (process, addresses) = launch(kind, folder.path(), None, &told)?;
        Ok(Self {
            kind,
            folder,
            told,
            addresses,
            process,
        })
    }

    /// Which broker this is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// `host:port` for clients; the same over all restarts.
    pub fn bootstrap(&self) -> &str {
        &self.addresses.kafka
    }

    /// `host:port` of health and metrics; Freshet only.
    pub fn http(&self) -> Result<&str> {
        self.addresses
            .http
            .as_deref()
            .context("this broker has no HTTP listener")
    }

    /// The process, to signal it or to read what it printed.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Stops the broker with SIGTERM and waits for its end.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.process.terminate()?;
        self.process.wait(STOP_LIMIT).context("stopping the broker")
    }

    /// Ends the broker with SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Starts the broker again on the same address and data, after [`Self::stop`] or [`Self::kill`].
    pub fn start_again(&mut self) -> Result<()> {
        let port = self
            .addresses
            .kafka
            .rsplit(':')
            .next()
            .context("host:port")?
            .parse()?;
        let (process, addresses) = launch(self.kind, self.folder.path(), Some(port), &self.told)?;
        self.process = process;
        self.addresses = addresses;
        Ok(())
    }

    /// Tells it something else at its next start.
    pub fn set(&mut self, name: &str, value: &str) {
        self.told.set.retain(|(told, _)| told != name);
        self.told.set.push((name.into(), value.into()));
    }

    /// The last lines of what the broker printed, for failure messages.
    pub fn tail(&self) -> String {
        self.process.tail()
    }
}

fn launch(
    kind: Kind,
    folder: &Path,
    port: Option<u16>,
    told: &Told,
) -> Result<(Process, Addresses)> {
    match kind {
        Kind::Freshet => launch_freshet(folder, port, told),
        Kind::Kafka => launch_kafka(folder, port, &told.set),
    }
}

fn launch_freshet(folder: &Path, port: Option<u16>, told: &Told) -> Result<(Process, Addresses)> {
    let ready = folder.join("ready.json");
    let _ = std::fs::remove_file(&ready);
    let mut command = Command::new(freshet_binary());
    let listeners = format!("listeners=PLAINTEXT://127.0.0.1:{}", port.unwrap_or(0));
    command.args([
        "--set",
        &listeners,
        "--set",
        "http.listener=127.0.0.1:0",
        "--set",
    ]);
    command.arg(format!("log.dirs={}", folder.join("data").display()));
    for (name, value) in &told.set {
        command.args(["--set", &format!("{name}={value}")]);
    }
    command.envs(told.environment.iter().map(|(name, value)| (name, value)));
    command.arg("--ready-file").arg(&ready);
    let process = Process::start(command, &folder.join("broker.log"))?;
    await_start(process, || {
        let text = std::fs::read_to_string(&ready).ok()?;
        serde_json::from_str::<Addresses>(&text).ok()
    })
}

fn launch_kafka(
    folder: &Path,
    port: Option<u16>,
    set: &[(String, String)],
) -> Result<(Process, Addresses)> {
    let home = kafka_server::home(folder);
    std::fs::create_dir_all(&home)?;
    let port = port.map_or_else(free_port, Ok)?;
    let command = kafka_server::server(&home, port, set, &[])?;
    let process = Process::start(command, &folder.join("broker.log"))?;
    let kafka = format!("127.0.0.1:{port}");
    await_start(process, || {
        TcpStream::connect(&kafka).ok().map(|_| Addresses {
            kafka: kafka.clone(),
            http: None,
        })
    })
}

/// Waits until `ready` answers, and fails early with the broker's words if the process ends.
pub(crate) fn await_start<A>(
    mut process: Process,
    ready: impl Fn() -> Option<A>,
) -> Result<(Process, A)> {
    let started = Instant::now();
    loop {
        if let Some(answer) = ready() {
            return Ok((process, answer));
        }
        if let Some(status) = process.ended()? {
            bail!(
                "the broker ended at its start: {status}\n{}",
                process.tail()
            );
        }
        if started.elapsed() > START_LIMIT {
            bail!(
                "the broker was not ready within {START_LIMIT:?}\n{}",
                process.tail()
            );
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// A port on loopback that nobody holds right now.
pub(crate) fn free_port() -> Result<u16> {
    loop {
        let port = NEXT_PORT.fetch_add(1, Ordering::Relaxed);
        if port > FIRST_PORT + 2000 {
            bail!("no free port from {FIRST_PORT} up");
        }
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
}
