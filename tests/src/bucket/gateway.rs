//! A real S3 server: versitygw over a folder of its own, where each object is a file.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::broker::free_port;
use crate::client::peers;
use crate::process::Process;

/// The bucket that is there.
pub(super) const BUCKET: &str = "trial";
pub(super) const REGION: &str = "us-east-1";
pub(super) const USER: &str = "freshet";
pub(super) const SECRET: &str = "a secret of this trial";
const START_LIMIT: Duration = Duration::from_secs(20);

/// One server with its folder; both are gone when it is dropped.
pub(super) struct Gateway {
    process: Process,
    folder: TempDir,
    port: u16,
}

fn program() -> PathBuf {
    peers().join("s3/bin/versitygw")
}

/// Why there is none on this machine.
pub(super) fn missing() -> Option<String> {
    let program = program();
    let why = || format!("no {} (run cargo xtask peers)", program.display());
    (!program.is_file()).then(why)
}

impl Gateway {
    /// Starts one with an empty bucket.
    pub(super) fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("freshet-s3-").tempdir()?;
        for inside in ["data", "meta"] {
            fs::create_dir_all(folder.path().join(inside).join(BUCKET))?;
        }
        let port = free_port()?;
        let process = launch(folder.path(), port, SECRET)?;
        Ok(Self {
            process,
            folder,
            port,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The bucket's folder.
    pub(super) fn bucket(&self) -> PathBuf {
        self.folder.path().join("data").join(BUCKET)
    }

    /// Takes the bucket away, or brings it back as it was. The server is restarted over it: it makes the
    /// folder anew for an object that is on its way.
    pub(super) fn hide_bucket(&mut self, hidden: bool) -> Result<()> {
        let elsewhere = self.folder.path().join("elsewhere");
        let (from, to) = match hidden {
            true => (self.bucket(), elsewhere),
            false => (elsewhere, self.bucket()),
        };
        self.process.kill()?;
        fs::rename(&from, &to).with_context(|| format!("moving {}", from.display()))?;
        self.start_again(SECRET)
    }

    /// From now on the broker's secret is not the right one, or is again.
    pub(super) fn change_secret(&mut self, changed: bool) -> Result<()> {
        self.process.kill()?;
        self.start_again(if changed { "another secret" } else { SECRET })
    }

    /// Ends it with SIGKILL.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Starts it again over what it has stored, unless it is running.
    pub(super) fn heal(&mut self) -> Result<()> {
        match self.process.ended()? {
            Some(_) => self.start_again(SECRET),
            None => Ok(()),
        }
    }

    fn start_again(&mut self, secret: &str) -> Result<()> {
        self.process = launch(self.folder.path(), self.port, secret)?;
        Ok(())
    }
}

fn launch(folder: &Path, port: u16, secret: &str) -> Result<Process> {
    let mut command = Command::new(program());
    command
        .args(["--port", &format!("127.0.0.1:{port}"), "--region", REGION])
        .args(["posix", "--sidecar"])
        .arg(folder.join("meta"))
        .arg(folder.join("data"))
        .env("ROOT_ACCESS_KEY", USER)
        .env("ROOT_SECRET_KEY", secret);
    let mut process = Process::start(command, &folder.join("log"))?;
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if process.ended()?.is_some() || started.elapsed() > START_LIMIT {
            bail!("the S3 server does not serve: {}", process.tail());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(process)
}
