//! Servers that speak as Azure's and Google's object storage do, for brokers on this machine.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tempfile::TempDir;

use crate::broker::free_port;
use crate::client::{on_path, peers, sources};
use crate::process::Process;

const BUCKET: &str = "trial";
const ACCOUNT: &str = "freshet";
const KEY: &str = "YSBzZWNyZXQgb2YgdGhpcyB0cmlhbA==";
const START_LIMIT: Duration = Duration::from_secs(30);

/// Whose storage it is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Azurite.
    Azure,
    /// An S3 server behind what puts Google's words into Amazon's.
    Google,
}

impl Provider {
    /// Why there is none on this machine.
    pub fn missing(self) -> Option<String> {
        let files = match self {
            Self::Azure => &["azure/node_modules/azurite"][..],
            Self::Google => &["gcs/bin/gcs", "s3/bin/versitygw"],
        };
        if self == Self::Azure && !on_path("node") {
            return Some("no node on this machine".to_owned());
        }
        let mut files = files.iter().map(|file| peers().join(file));
        let absent = files.find(|file| !file.exists())?;
        Some(format!("no {} (run cargo xtask peers)", absent.display()))
    }
}

/// A server with an empty bucket; all of it is gone when it is dropped.
pub struct Cloud {
    provider: Provider,
    folder: TempDir,
    port: u16,
    _process: Process,
}

impl Cloud {
    /// Starts one.
    pub fn start(provider: Provider) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("freshet-cloud-")
            .tempdir()?;
        let port = free_port()?;
        let mut command = match provider {
            Provider::Azure => {
                let mut node = Command::new("node");
                node.arg(sources().join("azure/serve.js"))
                    .arg(folder.path())
                    .args([&port.to_string(), BUCKET])
                    .env("NODE_PATH", peers().join("azure/node_modules"))
                    .env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{KEY}"));
                node
            }
            Provider::Google => {
                let mut gcs = Command::new(peers().join("gcs/bin/gcs"));
                gcs.arg(folder.path())
                    .args([&format!("127.0.0.1:{port}"), BUCKET])
                    .arg(peers().join("s3/bin/versitygw"));
                gcs
            }
        };
        command.env("NODE_NO_WARNINGS", "1");
        let mut process = Process::start(command, &folder.path().join("log"))?;
        let started = Instant::now();
        while !process.printed().lines().any(|line| line == "ready") {
            if process.ended()?.is_some() || started.elapsed() > START_LIMIT {
                bail!("{provider:?} does not serve: {}", process.tail());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self {
            provider,
            folder,
            port,
            _process: process,
        })
    }

    /// What `remote.log.storage.url` is to be.
    pub fn url(&self) -> String {
        let scheme = match self.provider {
            Provider::Azure => "az",
            Provider::Google => "gs",
        };
        format!("{scheme}://{BUCKET}/tier")
    }

    /// What has to be in the environment of whoever uses it, by name.
    pub fn environment(&self) -> Vec<(String, String)> {
        let server = format!("http://127.0.0.1:{}", self.port);
        let account = self.folder.path().join("account.json");
        let said = match self.provider {
            Provider::Azure => vec![
                ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT.to_owned()),
                ("AZURE_STORAGE_ACCOUNT_KEY", KEY.to_owned()),
                ("AZURE_STORAGE_ENDPOINT", format!("{server}/{ACCOUNT}")),
            ],
            Provider::Google => vec![
                (
                    "GOOGLE_APPLICATION_CREDENTIALS",
                    account.display().to_string(),
                ),
                ("GOOGLE_BASE_URL", server),
            ],
        };
        let owned = |(name, value): (&str, String)| (name.to_owned(), value);
        said.into_iter().map(owned).collect()
    }
}
