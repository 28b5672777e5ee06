//! A real S3 server: versitygw over a folder of its own, where each object is a file.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::authority::{Authority, Signed};
use crate::broker::free_port;
use crate::client::peers;
use crate::process::Process;

/// The bucket that is there.
pub(super) const BUCKET: &str = "trial";
pub(super) const REGION: &str = "us-east-1";
pub(super) const USER: &str = "freshet";
pub(super) const SECRET: &str = "a secret of this trial";
/// Once it is changed.
pub(super) const OTHER_SECRET: &str = "another secret";
const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";
const START_LIMIT: Duration = Duration::from_secs(20);

/// One server with its folder; both are gone when it is dropped.
pub(super) struct Gateway {
    process: Process,
    folder: TempDir,
    port: u16,
    /// Whether it speaks TLS.
    is_secured: bool,
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
        Self::start_with(None)
    }

    /// One that speaks TLS, with a certificate for this machine.
    pub(super) fn start_secured(by: &Authority) -> Result<Self> {
        Self::start_with(Some(by.sign("127.0.0.1")?))
    }

    fn start_with(signed: Option<Signed>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("freshet-s3-").tempdir()?;
        for inside in ["data", "meta"] {
            fs::create_dir_all(folder.path().join(inside).join(BUCKET))?;
        }
        let is_secured = signed.is_some();
        if let Some(signed) = signed {
            fs::write(folder.path().join(CERTIFICATE), signed.certificate())?;
            fs::write(folder.path().join(KEY), signed.key())?;
        }
        let port = free_port()?;
        let process = launch(folder.path(), (port, is_secured), SECRET)?;
        Ok(Self {
            process,
            folder,
            port,
            is_secured,
        })
    }

    /// What a broker on this machine has to be told that asks it without anybody between.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let mut all = keys();
        all.extend(self.endpoint());
        all
    }

    /// The same without the keys.
    pub(super) fn endpoint(&self) -> [(String, String); 2] {
        let scheme = if self.is_secured { "https" } else { "http" };
        let url = format!("{scheme}://{}", self.address());
        [("AWS_REGION", REGION.to_owned()), ("AWS_ENDPOINT_URL", url)]
            .map(|(name, value)| (name.to_owned(), value))
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
        self.start_again(if changed { OTHER_SECRET } else { SECRET })
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
        let place = (self.port, self.is_secured);
        self.process = launch(self.folder.path(), place, secret)?;
        Ok(())
    }
}

/// Who may do everything there.
fn keys() -> Vec<(String, String)> {
    let keys = [
        ("AWS_ACCESS_KEY_ID", USER),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
    ];
    keys.map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

fn launch(folder: &Path, (port, is_secured): (u16, bool), secret: &str) -> Result<Process> {
    let mut command = Command::new(program());
    if is_secured {
        command.arg("--cert").arg(folder.join(CERTIFICATE));
        command.arg("--key").arg(folder.join(KEY));
    }
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
