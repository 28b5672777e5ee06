//! Apache Kafka as the broker under test: one combined node from the jars of the Java peer.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::client::{Client, peers};
use crate::process::run;

/// The class path of Kafka's jars, after the folders of `first`.
pub(crate) fn class_path(first: &[&Path]) -> String {
    let jars = peers().join("java").join("*");
    let mut entries: Vec<String> = first
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    entries.push(jars.display().to_string());
    entries.join(":")
}

/// A `java` command with Kafka's class path, tuned to start fast.
pub(crate) fn java(heap: &str, first: &[&Path]) -> Result<Command> {
    if let Some(why) = Client::Java.missing() {
        bail!(why);
    }
    let mut command = Command::new("java");
    command.args([
        heap,
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-Xshare:auto",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
        "-cp",
        &class_path(first),
    ]);
    Ok(command)
}

/// Formats the data folder and gives the command that starts the broker on `port`. Of settings that are
/// there twice the later one counts; `scram` are users that are there from the beginning.
pub(crate) fn server(
    home: &Path,
    port: u16,
    set: &[(String, String)],
    scram: &[String],
) -> Result<Command> {
    let properties = home.join("server.properties");
    let controller = crate::broker::free_port()?;
    let mut text = format!(
        "process.roles=broker,controller\nnode.id=1\n\
         controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         controller.listener.names=CONTROLLER\nlog.dirs={}\n\
         offsets.topic.replication.factor=1\noffsets.topic.num.partitions=4\n\
         transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n",
        home.join("data").display()
    );
    for (name, value) in set {
        text.push_str(&format!("{name}={value}\n"));
    }
    let first_start = !properties.exists();
    std::fs::write(&properties, text)?;
    if first_start {
        let mut format = java("-Xmx256m", &[])?;
        format.args(["kafka.tools.StorageTool", "format", "--standalone"]);
        format
            .args(["-t", "ZnJlc2hldHRlc3RjbHVzdA", "-c"])
            .arg(&properties);
        for user in scram {
            format.args(["--add-scram", user]);
        }
        run(format, "", Duration::from_secs(60))?.success()?;
    }
    let mut command = java("-Xmx1g", &[])?;
    command.arg("kafka.Kafka").arg(&properties);
    Ok(command)
}

/// The folder in which a start of Kafka keeps its files.
pub(crate) fn home(folder: &Path) -> PathBuf {
    folder.join("kafka")
}
