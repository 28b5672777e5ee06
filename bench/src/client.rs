//! The load: a Python program over librdkafka, the same for both brokers.
//!
//! It is told its job, sets itself up, and waits for a word; so the work can be measured without
//! the start of Python, the connections and the creation of topics.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::args::peers;

/// What the program shall do. Fields that a role does not use are ignored by it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Job {
    #[serde(skip)]
    pub(crate) place: Place,
    pub(crate) role: Role,
    pub(crate) bootstrap: String,
    pub(crate) topic: String,
    pub(crate) partitions: u32,
    /// Copies of each partition; the job waits until as many brokers are there.
    pub(crate) replicas: u32,
    /// Settings of the topic, by name.
    pub(crate) config: BTreeMap<&'static str, &'static str>,
    /// Whether the topic is made before and removed after the work.
    pub(crate) create: bool,
    pub(crate) remove: bool,
    pub(crate) records: u64,
    /// Records before those that count; one at a time and open loop only.
    pub(crate) before: u64,
    /// Bytes of a record's value.
    pub(crate) size: u64,
    /// Bytes of a batch at most.
    pub(crate) batch: u64,
    /// Milliseconds that a batch may wait for more records.
    pub(crate) linger: u64,
    /// Records per second offered; open loop only.
    pub(crate) rate: u64,
}

/// The kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// Produce as fast as it goes, acks=all.
    Produce,
    /// Read a topic from its start.
    Consume,
    /// Produce as fast as it goes while another connection reads.
    Tail,
    /// Produce one record, wait for its ack, fetch it; then the next.
    One,
    /// Produce at fixed times whatever the answers; the clock starts at the intended time.
    Open,
    /// The same, but only until it is told to stop, and records that fail are counted.
    Flow,
}

/// What came of it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Done {
    /// Records that were acknowledged or read.
    pub(crate) records: u64,
    /// Seconds of the work.
    pub(crate) seconds: f64,
    /// Other numbers by name, such as latencies in milliseconds.
    #[serde(default)]
    pub(crate) more: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Ready {},
    Done(Done),
}

/// Where a program runs, as far as one machine can show it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Place {
    /// On the machine of the brokers.
    #[default]
    Here,
    /// As on another machine: it gets the processors that nobody else wants just then, so only what the
    /// brokers do for it disturbs anybody.
    Elsewhere,
}

impl Place {
    /// A program, and how it is called there.
    pub(crate) fn command(self, program: &Path) -> Command {
        match self {
            Self::Here => Command::new(program),
            Self::Elsewhere => {
                let mut idle = Command::new("chrt");
                idle.args(["--idle", "0"]).arg(program);
                idle
            }
        }
    }
}

/// Starts a program, or says which one could not be started.
pub(crate) fn spawn(command: &mut Command) -> Result<Child> {
    let child = command.spawn();
    child.with_context(|| format!("cannot start {}", command.get_program().display()))
}

/// A running program.
pub(crate) struct Client {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Client {
    /// Starts the program and waits until it is set up for its job.
    pub(crate) fn start(job: &Job) -> Result<Self> {
        let python = peers().join("python/bin/python");
        if !python.is_file() {
            bail!(
                "there is no {}; run `cargo xtask peers python`",
                python.display()
            );
        }
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/load.py");
        let mut command = job.place.command(&python);
        command.arg(program).stdin(Stdio::piped());
        let mut child = spawn(command.stdout(Stdio::piped()))?;
        let stdin = child.stdin.take().expect("stdin was asked to be piped");
        let stdout = BufReader::new(child.stdout.take().expect("stdout was asked to be piped"));
        let mut client = Self {
            child,
            stdin,
            stdout,
        };
        client.say(&serde_json::to_string(job)?)?;
        match client.hear()? {
            Line::Ready {} => Ok(client),
            Line::Done(_) => bail!("the client was done before it began"),
        }
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Lets the work begin and waits for its end.
    pub(crate) fn work(&mut self) -> Result<Done> {
        self.begin()?;
        self.done()
    }

    /// Lets the work begin.
    pub(crate) fn begin(&mut self) -> Result<()> {
        self.say("go")
    }

    /// Ends a flow that has begun.
    pub(crate) fn stop(&mut self) -> Result<Done> {
        self.say("stop")?;
        self.done()
    }

    fn done(&mut self) -> Result<Done> {
        match self.hear()? {
            Line::Done(done) => Ok(done),
            Line::Ready {} => bail!("the client began twice"),
        }
    }

    /// Lets the program clean up and end.
    pub(crate) fn end(mut self) -> Result<()> {
        self.say("end")?;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the client ended with {status}");
        }
        Ok(())
    }

    fn say(&mut self, line: &str) -> Result<()> {
        writeln!(self.stdin, "{line}").context("the client does not listen")?;
        self.stdin.flush().context("the client does not listen")
    }

    fn hear(&mut self) -> Result<Line> {
        let mut line = String::new();
        self.stdout
            .read_line(&mut line)
            .context("cannot read from the client")?;
        if line.is_empty() {
            bail!("the client ended early; what it said stands above");
        }
        serde_json::from_str(&line).with_context(|| format!("the client said {line:?}"))
    }
}

/// Does a job that nobody measures.
pub(crate) fn work(job: &Job) -> Result<Done> {
    let mut client = Client::start(job)?;
    let done = client.work()?;
    client.end()?;
    Ok(done)
}

impl Drop for Client {
    fn drop(&mut self) {
        // Nothing to do when it has ended already, which is the usual case.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
