//! One running broker.

mod kafka;
mod probe;

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use self::probe::{answers, free_port};
use crate::args::{Side, freshet};

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// How often a starting broker is asked; also the precision of the start time.
const ASK_EVERY: Duration = Duration::from_millis(1);

/// A broker process with its data folder, both gone when it is dropped.
pub(crate) struct Broker {
    pub(crate) side: Side,
    pub(crate) address: SocketAddr,
    /// From the start of the process to its first answer.
    pub(crate) took: Duration,
    child: Child,
    command: Command,
    folder: PathBuf,
}

impl Broker {
    /// Starts a broker with an empty data folder in `scratch` and waits for its first answer.
    pub(crate) fn start(side: Side, scratch: &Path) -> Result<Self> {
        let port = free_port()?;
        let folder = scratch.join(format!("{}-{port}", side.name().to_lowercase()));
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let mut command = match side {
            Side::Freshet => prepare_freshet(&folder, port)?,
            Side::Kafka => kafka::prepare(&folder, port)?,
        };
        let log = File::create(folder.join("broker.log")).context("cannot create broker.log")?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let start = Instant::now();
        let child = spawn(&mut command)?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut broker = Self {
            side,
            address,
            took: Duration::ZERO,
            child,
            command,
            folder,
        };
        broker.await_answer(start)?;
        Ok(broker)
    }

    /// Starts a broker that was stopped or killed, with the data that it left.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        let start = Instant::now();
        self.child = spawn(&mut self.command)?;
        self.await_answer(start)
    }

    fn await_answer(&mut self, start: Instant) -> Result<()> {
        while !answers(self.address) {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "{} ended at its start with {status}: {}",
                    self.side.name(),
                    self.words()
                );
            }
            if start.elapsed() > START_LIMIT {
                bail!("{} did not answer within {START_LIMIT:?}", self.side.name());
            }
            sleep(ASK_EVERY);
        }
        self.took = start.elapsed();
        Ok(())
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The last lines that the broker printed.
    fn words(&self) -> String {
        let text = fs::read_to_string(self.folder.join("broker.log")).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    /// Ends the process as a crash would.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill().context("cannot kill the broker")?;
        self.child
            .wait()
            .map(drop)
            .context("cannot wait for the broker")
    }

    /// Asks the process to end and waits until it has.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).context("cannot signal the broker")?;
        let start = Instant::now();
        while self.child.try_wait()?.is_none() {
            if start.elapsed() > STOP_LIMIT {
                bail!("{} did not stop within {STOP_LIMIT:?}", self.side.name());
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// What has to be on a machine to run a broker there, in 10^6 bytes: the binary, or the jars without
/// the JVM.
pub(crate) fn installed_megabytes(side: Side) -> Result<f64> {
    let bytes = match side {
        Side::Freshet => fs::metadata(freshet()).context("there is no binary")?.len(),
        Side::Kafka => {
            let jars = fs::read_dir(kafka::jars()?).context("cannot list Kafka's jars")?;
            let sizes = jars.map(|jar| Ok(jar?.metadata()?.len()));
            sizes.sum::<std::io::Result<u64>>()?
        }
    };
    Ok(bytes as f64 / 1e6)
}

fn spawn(command: &mut Command) -> Result<Child> {
    command
        .spawn()
        .with_context(|| format!("cannot start {:?}", command.get_program()))
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Best effort: an early end of the benchmark must leave neither processes nor gigabytes.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn prepare_freshet(folder: &Path, port: u16) -> Result<Command> {
    let binary = freshet();
    if !binary.is_file() {
        bail!(
            "there is no {}; run `cargo xtask bench`, which builds it",
            binary.display()
        );
    }
    let mut command = Command::new(binary);
    command
        .arg("--set")
        .arg(format!("listeners=PLAINTEXT://127.0.0.1:{port}"));
    command.arg("--set").arg("http.listener=127.0.0.1:0");
    command
        .arg("--set")
        .arg(format!("log.dirs={}", folder.join("data").display()));
    Ok(command)
}
