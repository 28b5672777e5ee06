//! Client libraries as programs: where they are and how they start.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use crate::kafka_server;
use crate::process::run;

/// A client library under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// Apache's `kafka-clients`.
    Java,
    /// librdkafka, through confluent-kafka-python.
    Librdkafka,
    /// kafka-python.
    KafkaPython,
    /// aiokafka.
    Aiokafka,
    /// franz-go.
    FranzGo,
    /// kafkajs.
    Kafkajs,
}

/// Every client, in the order in which they read each other's records.
pub const ALL_CLIENTS: [Client; 6] = [
    Client::Java,
    Client::Librdkafka,
    Client::KafkaPython,
    Client::Aiokafka,
    Client::FranzGo,
    Client::Kafkajs,
];

/// Why a test in which every client has a part cannot run on this machine.
pub fn missing_for_all_clients() -> Option<String> {
    ALL_CLIENTS.into_iter().find_map(Client::missing)
}

/// The folder that `cargo xtask peers` installs the clients into.
pub(crate) fn peers() -> PathBuf {
    if let Some(named) = env::var_os("FRESHET_PEERS") {
        return named.into();
    }
    let home = || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache");
    env::var_os("XDG_CACHE_HOME")
        .map_or_else(home, PathBuf::from)
        .join("freshet/peers")
}

/// The folder of the peer programs in this checkout.
pub(crate) fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// The folder of programs that had to be compiled, beside the test binary in the target folder.
pub(crate) fn built(name: &str) -> Result<PathBuf> {
    let test = env::current_exe()?;
    let profile = test
        .ancestors()
        .nth(2)
        .context("a test binary is in target/PROFILE/deps")?;
    let folder = profile.join("peers");
    std::fs::create_dir_all(&folder)?;
    Ok(folder.join(name))
}

impl Client {
    /// The client's name in test names and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Java => "java",
            Self::Librdkafka => "librdkafka",
            Self::KafkaPython => "kafka-python",
            Self::Aiokafka => "aiokafka",
            Self::FranzGo => "franz-go",
            Self::Kafkajs => "kafkajs",
        }
    }

    /// Why the client cannot run on this machine; `None` if it can.
    pub fn missing(self) -> Option<String> {
        let (tool, installed) = match self {
            Self::Java => ("javac", peers().join("java/kafka-clients-4.3.1.jar")),
            Self::FranzGo => (
                "go",
                peers().join("go/cache/download/github.com/twmb/franz-go"),
            ),
            Self::Kafkajs => ("node", peers().join("node/node_modules/kafkajs")),
            Self::Librdkafka | Self::KafkaPython | Self::Aiokafka => {
                ("python3", peers().join("python/bin/python"))
            }
        };
        if !on_path(tool) {
            return Some(format!("no {tool} on this machine"));
        }
        let why = || format!("no {} (run cargo xtask peers)", installed.display());
        (!installed.exists()).then(why)
    }

    /// The start of the command line, with the program compiled if it must be.
    pub(crate) fn command(self) -> Result<Command> {
        match self {
            Self::Java => java(),
            Self::Librdkafka => Ok(python("by_librdkafka")),
            Self::KafkaPython => Ok(python("by_kafka_python")),
            Self::Aiokafka => Ok(python("by_aiokafka")),
            Self::FranzGo => go(),
            Self::Kafkajs => Ok(node()),
        }
    }
}

/// Whether a program of this name is on the search path.
pub(crate) fn on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn java() -> Result<Command> {
    static CLASSES: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let compiled = CLASSES.get_or_init(|| compile_java().map_err(|why| format!("{why:#}")));
    let classes = compiled
        .as_ref()
        .map_err(|why| anyhow::anyhow!(why.clone()))?;
    let mut command = kafka_server::java("-Xmx256m", &[classes])?;
    command.arg("Peer");
    Ok(command)
}

fn compile_java() -> Result<PathBuf> {
    let classes = built("java")?;
    let mut files: Vec<_> = std::fs::read_dir(sources().join("java/src"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    let written = |path: &Path| path.metadata().and_then(|found| found.modified()).ok();
    let newest = files.iter().filter_map(|file| written(file)).max();
    if written(&classes.join("Peer.class")) > newest.or(Some(SystemTime::UNIX_EPOCH)) {
        return Ok(classes);
    }
    let mut command = Command::new("javac");
    command
        .args(["-nowarn", "-cp", &kafka_server::class_path(&[]), "-d"])
        .arg(&classes);
    command.args(files);
    run(command, "", Duration::from_secs(120))?
        .success()
        .context("javac")?;
    Ok(classes)
}

fn python(module: &str) -> Command {
    let mut command = Command::new(peers().join("python/bin/python"));
    command
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(sources().join("python/peer.py"))
        .arg(module);
    command
}

fn go() -> Result<Command> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let compiled = PROGRAM.get_or_init(|| compile_go().map_err(|why| format!("{why:#}")));
    compiled
        .as_ref()
        .map(Command::new)
        .map_err(|why| anyhow::anyhow!(why.clone()))
}

fn compile_go() -> Result<PathBuf> {
    let program = built("go-peer")?;
    let mut command = Command::new("go");
    command
        .env("GOMODCACHE", peers().join("go"))
        .env("GOFLAGS", "-mod=readonly -buildvcs=false");
    command
        .current_dir(sources().join("go"))
        .args(["build", "-o"])
        .arg(&program)
        .arg(".");
    run(command, "", Duration::from_secs(300))?
        .success()
        .context("go build")?;
    Ok(program)
}

fn node() -> Command {
    let mut command = Command::new("node");
    command
        .env("NODE_PATH", peers().join("node/node_modules"))
        .env("NODE_NO_WARNINGS", "1");
    command
        .env("KAFKAJS_NO_PARTITIONER_WARNING", "1")
        .arg(sources().join("node/peer.js"));
    command
}
