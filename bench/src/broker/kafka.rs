//! How Apache Kafka is started: one node, combined mode, its defaults.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

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
    let properties = folder.join("server.properties");
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
    fs::write(&properties, text).context("cannot write Kafka's properties")?;
    fs::write(folder.join("log4j2.properties"), LOGGING).context("cannot write Kafka's logging")?;
    let mut format = java(folder, &["-Xmx256m"])?;
    format.args([
        "kafka.tools.StorageTool",
        "format",
        "--standalone",
        "-t",
        CLUSTER,
        "-c",
    ]);
    let told = format
        .arg(&properties)
        .output()
        .context("cannot start java")?;
    if !told.status.success() {
        bail!(
            "Kafka cannot format its folder: {}",
            String::from_utf8_lossy(&told.stderr).trim()
        );
    }
    let mut server = java(folder, &["-Xms1g", "-Xmx1g"])?;
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
