//! How Apache Kafka is started: one node or three, combined mode, its defaults.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Member;
use super::probe::free_port;
use crate::args::peers;

/// Any 16 bytes; the cluster lives for one run.
const CLUSTER: &str = "ZnJlc2hldGJlbmNoLi4uLg";

const LOGGING: &str = "status=error
rootLogger.level=ERROR
rootLogger.appenderRef.console.ref=CONSOLE
appender.console.type=Console
appender.console.name=CONSOLE
appender.console.target=SYSTEM_ERR
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d %p %m (%c)%n
";

/// Formats `folder` and gives the command that starts a broker on `port` with it.
pub(crate) fn prepare(folder: &Path, port: u16) -> Result<Command> {
    let controller = free_port()?;
    let text = format!(
        "process.roles=broker,controller\nnode.id=1\n\
         controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
         controller.listener.names=CONTROLLER\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         log.dirs={}\n\
         offsets.topic.replication.factor=1\n\
         transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n",
        folder.join("data").display()
    );
    format_and_command(folder, &text, &["--standalone"], "1g")
}

/// Formats `folder` and gives the command that starts one broker of three with it. The heap is
/// smaller: there are three of them.
pub(super) fn prepare_member(folder: &Path, member: &Member) -> Result<Command> {
    let mut text = format!("log.dirs={}\n", folder.join("data").display());
    for (name, value) in member.settings() {
        text.push_str(&format!("{name}={value}\n"));
    }
    format_and_command(folder, &text, &[], "768m")
}

fn format_and_command(folder: &Path, text: &str, how: &[&str], heap: &str) -> Result<Command> {
    let properties = folder.join("server.properties");
    fs::write(&properties, text).context("cannot write Kafka's properties")?;
    fs::write(folder.join("log4j2.properties"), LOGGING).context("cannot write Kafka's logging")?;
    let mut format = java(folder, &["-Xmx256m"])?;
    format.args(["kafka.tools.StorageTool", "format"]).args(how);
    let told = format
        .args(["-t", CLUSTER, "-c"])
        .arg(&properties)
        .output()
        .context("cannot start java")?;
    if !told.status.success() {
        bail!(
            "Kafka cannot format its folder: {}",
            String::from_utf8_lossy(&told.stderr).trim()
        );
    }
    let mut server = java(folder, &[&format!("-Xms{heap}"), &format!("-Xmx{heap}")])?;
    server.arg("kafka.Kafka").arg(&properties);
    Ok(server)
}

/// The folder of Kafka's jars.
pub(super) fn jars() -> Result<PathBuf> {
    let jars = peers().join("java");
    if !jars.is_dir() {
        bail!(
            "Kafka's jars are not in {}; run `cargo xtask peers java`",
            jars.display()
        );
    }
    Ok(jars)
}

fn java(folder: &Path, heap: &[&str]) -> Result<Command> {
    let mut command = Command::new("java");
    command.args(heap).arg("-cp").arg(jars()?.join("*"));
    let logging = folder.join("log4j2.properties");
    command.arg(format!("-Dlog4j2.configurationFile={}", logging.display()));
    command.stdin(Stdio::null());
    Ok(command)
}
