//! Child processes with captured output and a deadline on everything.

use std::fs::File;
use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, kill_process_group, prlimit};

/// How often a wait looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How long a command that is out of time may take to stop before it is killed.
const STOP: Duration = Duration::from_secs(5);

/// A long-running child process whose output goes to one file; it is killed when dropped.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with both output streams appended to the file `log`.
    pub fn start(mut command: Command, log: &Path) -> Result<Self> {
        let out = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        Ok(Self {
            child,
            log: log.to_owned(),
        })
    }

    /// What the process has printed so far.
    pub fn printed(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines of what the process has printed, for failure messages.
    pub fn tail(&self) -> String {
        tail(&self.printed())
    }

    /// Asks the process to stop (SIGTERM).
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Interrupts the process, as Ctrl-C does (SIGINT).
    pub fn interrupt(&self) -> Result<()> {
        self.signal(Signal::INT)
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.id()?, signal).with_context(|| format!("sending {signal:?}"))
    }

    /// Its number.
    pub(crate) fn id(&self) -> Result<Pid> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        pid.context("a child has a positive process id")
    }

    /// Lets it have so much of something from now on; gives what it could have before.
    pub(crate) fn limit(&self, what: Resource, to: Rlimit) -> Result<Rlimit> {
        prlimit(Some(self.id()?), what, to).with_context(|| format!("limiting {what:?}"))
    }

    /// Ends the process at once (SIGKILL) and reaps it.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// The exit status if the process has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for the end of the process for at most `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if started.elapsed() > limit {
                bail!(
                    "still running after {limit:?}; it printed:\n{}",
                    self.tail()
                );
            }
            thread::sleep(LOOK_AGAIN);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// What a finished command left behind.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// Standard output of a command that must have succeeded.
    pub fn success(self) -> Result<String> {
        if !self.status.success() {
            bail!(
                "{}: {}\n{}",
                self.status,
                tail(&self.stderr),
                tail(&self.stdout)
            );
        }
        Ok(self.stdout)
    }
}

/// Runs `command` to its end, fed with `input`, for at most `limit`; then it and all that it
/// started are stopped.
pub fn run(mut command: Command, input: &str, limit: Duration) -> Result<Output> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .with_context(|| format!("starting {command:?}"))?;
    let mut stdin = child.stdin.take().context("stdin is piped")?;
    let input = input.to_owned();
    let feed = thread::spawn(move || {
        // A command that ends early closes the pipe; its exit status tells the story.
        let _ = std::io::Write::write_all(&mut stdin, input.as_bytes());
    });
    let stdout = drain(child.stdout.take().context("stdout is piped")?);
    let stderr = drain(child.stderr.take().context("stderr is piped")?);
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if started.elapsed() > limit {
            end_group(&mut child)?;
            break None;
        }
        thread::sleep(LOOK_AGAIN);
    };
    let _ = feed.join();
    let stdout = stdout.join().unwrap_or_default();
    let stderr = stderr.join().unwrap_or_default();
    match status {
        Some(status) => Ok(Output {
            status,
            stdout,
            stderr,
        }),
        None => bail!(
            "{command:?} did not end within {limit:?}\n{}\n{}",
            tail(&stderr),
            tail(&stdout)
        ),
    }
}

/// Ends a child that leads a group, and the group: what a shell started would hold our pipes open.
fn end_group(child: &mut Child) -> Result<()> {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let group = group.context("a child has a positive process id")?;
    kill_process_group(group, Signal::TERM)?;
    let started = Instant::now();
    while child.try_wait()?.is_none() && started.elapsed() < STOP {
        thread::sleep(LOOK_AGAIN);
    }
    // Nobody may be left of it, which is as good.
    let _ = kill_process_group(group, Signal::KILL);
    child.wait()?;
    Ok(())
}

fn drain(mut from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = Vec::new();
        let _ = from.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    })
}

/// The last lines of a text.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}
