//! A real S3 server: versitygw over a folder of its own.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use freshet_objects::{Bucket, Limits};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::cases::{one_by_one, open};
use crate::line::Line;

/// The bucket that is there.
pub(crate) const BUCKET: &str = "exam";
const SECRET: &str = "a secret of this test";
const START_LIMIT: Duration = Duration::from_secs(20);

/// One server with its folder; both are gone when it is dropped.
pub(crate) struct Gateway {
    folder: TempDir,
    port: u16,
    child: Child,
}

/// The server's program. A test that was asked for and cannot run fails.
fn program() -> PathBuf {
    let peers = std::env::var_os("FRESHET_PEERS").expect("FRESHET_PEERS says where the server is");
    let program = PathBuf::from(peers).join("s3/bin/versitygw");
    assert!(
        program.is_file(),
        "no {}: run cargo xtask peers s3",
        program.display()
    );
    program
}

impl Gateway {
    /// Starts one with an empty bucket.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for inside in ["data/exam", "meta"] {
            std::fs::create_dir_all(folder.path().join(inside)).unwrap();
        }
        let port = free_port();
        let child = spawn(&folder, port);
        let mut gateway = Self {
            folder,
            port,
            child,
        };
        gateway.wait();
        gateway
    }

    fn wait(&mut self) {
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", self.said());
            assert!(start.elapsed() < START_LIMIT, "{}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, over what it has left.
    pub(crate) fn start_again(&mut self) {
        self.child = spawn(&self.folder, self.port);
        self.wait();
    }

    /// Holds it where it is. Its connections stay open, and new ones are taken by the kernel.
    pub(crate) fn freeze(&self) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
    }

    /// The store at a URL there.
    pub(crate) fn open(&self, url: &str, secret: &str, limits: &Limits) -> Bucket {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        open(url, &environment(secret, &endpoint), limits)
    }

    /// The bucket behind a line that flips a bit, with more said in the environment.
    pub(crate) fn behind(&self, line: &Line, more: &[(&str, &str)]) -> Bucket {
        let endpoint = format!("http://127.0.0.1:{}", line.port);
        let environment = [&environment(SECRET, &endpoint), more].concat();
        open(&format!("s3://{BUCKET}"), &environment, &one_by_one())
    }

    /// A line to it, see there.
    pub(crate) fn line(&self, flips_at: u64) -> Line {
        Line::to(self.port, flips_at)
    }

    /// The bucket, by someone who may.
    pub(crate) fn bucket(&self) -> Bucket {
        self.bucket_within(&Limits::default())
    }

    /// The same with other limits.
    pub(crate) fn bucket_within(&self, limits: &Limits) -> Bucket {
        self.open(&format!("s3://{BUCKET}"), SECRET, limits)
    }

    /// A bucket that is not there, by someone who may.
    pub(crate) fn no_bucket(&self) -> Bucket {
        self.open("s3://nowhere", SECRET, &Limits::default())
    }

    /// Files that hold parts of uploads.
    pub(crate) fn parts(&self) -> usize {
        files(&self.folder.path().join("data/exam/.sgwtmp"))
    }
}

fn environment<'a>(secret: &'a str, endpoint: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("AWS_ACCESS_KEY_ID", "freshet"),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", endpoint),
    ]
}

/// A port that nobody listens at. Below those that the kernel gives to clients, so that none of them has it
/// while the server is away.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(24_592);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(port < 32_000, "there is no free port");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn files(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| if path.is_dir() { files(&path) } else { 1 })
        .sum()
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.said());
        }
    }
}

fn spawn(folder: &TempDir, port: u16) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.path().join("log"));
    let log = log.unwrap();
    Command::new(program())
        .args([
            "--port",
            &format!("127.0.0.1:{port}"),
            "--region",
            "us-east-1",
        ])
        .args(["posix", "--sidecar"])
        .arg(folder.path().join("meta"))
        .arg(folder.path().join("data"))
        .env("ROOT_ACCESS_KEY", "freshet")
        .env("ROOT_SECRET_KEY", SECRET)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}
