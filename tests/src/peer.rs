//! One running client program, and the conversation with it.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::Value;

use crate::client::Client;
use crate::line::{Line, Refusal};
use crate::process::tail;

/// How long a program may take to come up.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long an administrative order may take.
const ORDER_LIMIT: Duration = Duration::from_secs(40);

/// What a peer is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Sends records that arrive on its input.
    Produce,
    /// Reads a topic from its beginning.
    Fetch,
    /// Reads as some members of one group.
    Group,
    /// Carries out administrative orders.
    Admin,
}

/// The answer to an administrative order.
#[derive(Debug)]
pub enum Answer {
    /// It was carried out.
    Reply(Value),
    /// The broker refused.
    Refused(Refusal),
    /// The library has no such function.
    Unsupported,
}

/// One running program of a client; it is killed when dropped.
pub struct Peer {
    client: Client,
    role: Role,
    child: Child,
    input: Option<Sender<String>>,
    lines: Receiver<Line>,
    stderr: Arc<Mutex<String>>,
}

impl Peer {
    /// Starts a client in a role against `bootstrap` and waits until the program is up.
    pub fn start(
        client: Client,
        role: Role,
        bootstrap: &str,
        options: &[(&str, &str)],
    ) -> Result<Self> {
        Self::start_as(client, role, bootstrap, options, |command| command)
    }

    /// The same by another command, which `by` makes of the one that would run here.
    pub(crate) fn start_as(
        client: Client,
        role: Role,
        bootstrap: &str,
        options: &[(&str, &str)],
        by: impl FnOnce(Command) -> Command,
    ) -> Result<Self> {
        let mut command = client.command()?;
        let role_name = match role {
            Role::Produce => "produce",
            Role::Fetch => "fetch",
            Role::Group => "group",
            Role::Admin => "admin",
        };
        command.args([role_name, "--bootstrap", bootstrap]);
        for (name, value) in options {
            command.args([&format!("--{name}"), *value]);
        }
        let mut peer = Self::spawn(client, role, by(command))?;
        match peer.next(START_LIMIT)? {
            Line::Ready { .. } => Ok(peer),
            other => bail!("{} began with {other:?}", client.name()),
        }
    }

    fn spawn(client: Client, role: Role, mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        let (input, orders) = channel::<String>();
        let (speak, lines) = channel();
        let stderr = Arc::new(Mutex::new(String::new()));
        let mut stdin = child.stdin.take().context("stdin is piped")?;
        // A client that waits for a dead broker stops reading; its orders must not stop the test.
        thread::spawn(move || {
            while let Ok(line) = orders.recv() {
                if stdin.write_all(line.as_bytes()).is_err() {
                    return;
                }
            }
        });
        let stdout = BufReader::new(child.stdout.take().context("stdout is piped")?);
        let heard = Arc::clone(&stderr);
        thread::spawn(move || {
            for text in stdout.lines().map_while(Result::ok) {
                match serde_json::from_str(&text) {
                    Ok(line) => drop(speak.send(line)),
                    Err(why) => note(&heard, &format!("not a line ({why}): {text}\n")),
                }
            }
        });
        let mut errors = child.stderr.take().context("stderr is piped")?;
        let heard = Arc::clone(&stderr);
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(count @ 1..) = errors.read(&mut chunk) {
                note(&heard, &String::from_utf8_lossy(&chunk[..count]));
            }
        });
        Ok(Self {
            client,
            role,
            child,
            input: Some(input),
            lines,
            stderr,
        })
    }

    /// Hands one JSON line to the program.
    pub fn hand(&mut self, order: &impl Serialize) -> Result<()> {
        let input = self.input.as_ref().context("the input is closed")?;
        if input
            .send(format!("{}\n", serde_json::to_string(order)?))
            .is_err()
        {
            // The thread that reads stderr may be a moment behind the end of the process.
            thread::sleep(Duration::from_millis(100));
            bail!("{} stopped reading", self.blame());
        }
        Ok(())
    }

    /// Closes the program's input: producers flush, readers leave, then all end.
    pub fn close_input(&mut self) {
        self.input = None;
    }

    /// The next line, waited for at most `limit`.
    pub fn next(&mut self, limit: Duration) -> Result<Line> {
        match self.lines.recv_timeout(limit) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => bail!("{} said nothing for {limit:?}", self.blame()),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.wait()?;
                // The thread that reads stderr may be a moment behind the end of the process.
                thread::sleep(Duration::from_millis(100));
                bail!("{} ended early: {status}", self.blame())
            }
        }
    }

    /// A line if one comes within `patience`.
    pub fn at_hand(&mut self, patience: Duration) -> Option<Line> {
        self.lines.recv_timeout(patience).ok()
    }

    /// Closes the input and gives all lines up to the end of the program.
    pub fn finish(&mut self, limit: Duration) -> Result<Vec<Line>> {
        self.close_input();
        let started = Instant::now();
        let mut lines = Vec::new();
        loop {
            match self.next(limit.saturating_sub(started.elapsed()))? {
                Line::Done(_) => return Ok(lines),
                line => lines.push(line),
            }
        }
    }

    /// Sends an administrative order and waits for its answer.
    pub fn ask(&mut self, order: &Value) -> Result<Answer> {
        self.hand(order)?;
        match self
            .next(ORDER_LIMIT)
            .with_context(|| format!("order {order}"))?
        {
            Line::Reply(reply) => Ok(Answer::Reply(reply)),
            Line::Error(refusal) => Ok(Answer::Refused(refusal)),
            Line::Unsupported(_) => Ok(Answer::Unsupported),
            other => bail!(
                "{}: {order} was answered with {other:?}",
                self.client.name()
            ),
        }
    }

    /// Who this is and what it last wrote to stderr, for failure messages.
    pub fn blame(&self) -> String {
        let stderr = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        format!(
            "{} ({:?}) [stderr: {}]",
            self.client.name(),
            self.role,
            tail(&stderr)
        )
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn note(heard: &Mutex<String>, text: &str) {
    heard
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push_str(text);
}
