//! A server of its own for a test: a program over a folder.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const START_LIMIT: Duration = Duration::from_secs(30);

/// What makes its command from its folder and its port.
pub(crate) type Launch = fn(&Path, u16) -> Command;

/// One server with its folder; both are gone when it is dropped.
pub(crate) struct Server {
    folder: TempDir,
    port: u16,
    launch: Launch,
    /// What it says when it takes requests; of others that they listen is enough.
    says: Option<&'static str>,
    child: Child,
}

/// A file that `cargo xtask peers` has installed. A test that was asked for and cannot run fails.
pub(crate) fn installed(peer: &str, file: &str) -> PathBuf {
    let peers = std::env::var_os("FRESHET_PEERS").expect("FRESHET_PEERS says where the server is");
    let installed = PathBuf::from(peers).join(peer).join(file);
    assert!(
        installed.exists(),
        "no {}: run cargo xtask peers {peer}",
        installed.display()
    );
    installed
}

impl Server {
    /// Starts one with an empty folder.
    pub(crate) fn start(launch: Launch, says: Option<&'static str>) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), launch, says)
    }

    /// The same over what is there.
    pub(crate) fn start_in(folder: TempDir, launch: Launch, says: Option<&'static str>) -> Self {
        let port = free_port();
        let child = spawn(&folder, launch(folder.path(), port));
        let mut server = Self {
            folder,
            port,
            launch,
            says,
            child,
        };
        server.wait(0);
        server
    }

    fn wait(&mut self, said_before: usize) {
        let start = Instant::now();
        while !self.is_ready(said_before) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", self.said());
            assert!(start.elapsed() < START_LIMIT, "{}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn is_ready(&self, said_before: usize) -> bool {
        match self.says {
            Some(word) => self.said()[said_before..].lines().any(|line| line == word),
            None => TcpStream::connect(("127.0.0.1", self.port)).is_ok(),
        }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// What it keeps, and more of its own.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where it listens, on this machine.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, over what it has left.
    pub(crate) fn start_again(&mut self) {
        let said_before = self.said().len();
        self.child = spawn(&self.folder, (self.launch)(self.folder.path(), self.port));
        self.wait(said_before);
    }

    /// Holds it where it is. Its connections stay open, and new ones are taken by the kernel.
    pub(crate) fn freeze(&self) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        // Its threads stop one by one, and until then they answer.
        let tasks = PathBuf::from(format!("/proc/{}/task", self.child.id()));
        let is_held = |task: std::io::Result<std::fs::DirEntry>| {
            let stat = std::fs::read_to_string(task.unwrap().path().join("stat"));
            // What follows the name, which is in brackets.
            stat.is_ok_and(|stat| {
                stat.rsplit(')')
                    .next()
                    .is_some_and(|rest| rest.starts_with(" T"))
            })
        };
        let start = Instant::now();
        while !std::fs::read_dir(&tasks).unwrap().all(is_held) {
            assert!(start.elapsed() < START_LIMIT, "it goes on");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.said());
        }
    }
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

/// Files below a folder.
pub(crate) fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| if path.is_dir() { files(&path) } else { 1 })
        .sum()
}

fn spawn(folder: &TempDir, mut command: Command) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.path().join("log"));
    let log = log.unwrap();
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}
