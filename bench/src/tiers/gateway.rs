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
use crate::client::{Place, spawn};

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
    pub(super) fn start(scratch: &Path, place: Place) -> Result<Self> {
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
        let mut command = place.command(&program);
        command
            .args(["--port", &format!("127.0.0.1:{port}")])
            // Without it each request has a connection of its own, which no store asks for.
            .args(["--region", "us-east-1", "--keep-alive"])
            .args(["posix", "--sidecar"])
            .args([&meta, &data])
            .env("ROOT_ACCESS_KEY", "freshet")
            .env("ROOT_SECRET_KEY", SECRET)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = spawn(&mut command)?;
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

    /// Has `curl` download an object and forget it; gives its megabytes, and the seconds that it took.
    pub(super) fn download(
        &self,
        (name, bytes): &(String, u64),
        place: Place,
    ) -> Result<(f64, f64)> {
        let start = Instant::now();
        ended(&mut self.curl(place, name))?;
        Ok((*bytes as f64 / 1e6, start.elapsed().as_secs_f64()))
    }

    /// Has `curl` upload a file under a name of its own; gives its bytes.
    pub(super) fn upload(&self, file: &Path) -> Result<u64> {
        let name = file.file_name().context("a file has a name")?;
        let name = format!("bare/{}", name.display());
        ended(self.curl(Place::Here, &name).arg("-T").arg(file))?;
        Ok(fs::metadata(file)?.len())
    }

    /// `curl` as it asks for an object.
    fn curl(&self, place: Place, name: &str) -> Command {
        let [(_, user), (_, secret), (_, region), (_, endpoint)] = self.environment();
        let mut command = place.command(Path::new("curl"));
        command
            .args(["-sSf", "-o", "/dev/null"])
            // The server asks for it, and older versions of curl leave it out.
            .args(["-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"])
            .args(["--aws-sigv4", &format!("aws:amz:{region}:s3")])
            .args(["--user", &format!("{user}:{secret}")])
            .arg(format!("{endpoint}/{BUCKET}/{name}"));
        command
    }

    /// The bucket as the broker sees it.
    pub(super) fn bucket(&self) -> Result<Bucket> {
        let environment = self.environment();
        let owned = environment.map(|(name, value)| (name.to_owned(), value));
        Ok(Bucket::open(&Self::url(), owned, &Limits::default())?)
    }
}

/// Waits for a program that does its work and ends.
fn ended(command: &mut Command) -> Result<()> {
    let status = spawn(command)?.wait()?;
    if !status.success() {
        bail!("{} ended with {status}", command.get_program().display());
    }
    Ok(())
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Best effort, as for brokers.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
