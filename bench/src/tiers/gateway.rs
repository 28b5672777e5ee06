//! A real S3 server over local files: versitygw.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use freshet_objects::{Bucket, Limits};

use crate::args::peers;
use crate::broker::free_port;

const START_LIMIT: Duration = Duration::from_secs(20);
const BUCKET: &str = "bench";
const SECRET: &str = "a secret of this run";

/// One server with an empty bucket; both are gone when it is dropped.
pub(super) struct Gateway {
    folder: PathBuf,
    port: u16,
    child: Child,
}

impl Gateway {
    pub(super) fn start(scratch: &Path, place: fn(&Path) -> Command) -> Result<Self> {
        let program = peers().join("s3/bin/versitygw");
        if !program.is_file() {
            bail!(
                "there is no {}; run `cargo xtask peers s3`",
                program.display()
            );
        }
        let port = free_port()?;
        let folder = scratch.join(format!("s3-{port}"));
        let (data, meta) = (folder.join("data"), folder.join("meta"));
        for inside in [&data.join(BUCKET), &meta] {
            fs::create_dir_all(inside).context("cannot create the bucket")?;
        }
        let log = File::create(folder.join("log")).context("cannot create the server's log")?;
        let child = place(&program)
            .args(["--port", &format!("127.0.0.1:{port}")])
            // Without it each request has a connection of its own, which no store asks for.
            .args(["--region", "us-east-1", "--keep-alive"])
            .args(["posix", "--sidecar"])
            .args([&meta, &data])
            .env("ROOT_ACCESS_KEY", "freshet")
            .env("ROOT_SECRET_KEY", SECRET)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start the S3 server")?;
        let gateway = Self {
            folder,
            port,
            child,
        };
        gateway.wait()?;
        Ok(gateway)
    }

    fn wait(&self) -> Result<()> {
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if start.elapsed() > START_LIMIT {
                bail!("the S3 server did not answer within {START_LIMIT:?}");
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// `remote.log.storage.url`.
    pub(super) fn url() -> String {
        format!("s3://{BUCKET}")
    }

    /// Who asks, and whom.
    pub(super) fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ACCESS_KEY_ID", "freshet".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            (
                "AWS_ENDPOINT_URL",
                format!("http://127.0.0.1:{}", self.port),
            ),
        ]
    }

    /// The bucket as the broker sees it.
    pub(super) fn bucket(&self) -> Result<Bucket> {
        let environment = self.environment();
        let owned = environment.map(|(name, value)| (name.to_owned(), value));
        Ok(Bucket::open(&Self::url(), owned, &Limits::default())?)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Best effort, as for brokers.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
