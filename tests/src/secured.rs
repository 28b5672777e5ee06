//! Apache Kafka behind TLS and passwords.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;

use anyhow::Result;
use tempfile::TempDir;

use crate::authority::Authority;
use crate::broker::{await_start, free_port};
use crate::kafka_server;
use crate::process::Process;

const MODULES: &str = "org.apache.kafka.common.security";

/// One node of Apache Kafka's with a listener for each way in, and the files that clients need.
pub struct SecuredKafka {
    folder: TempDir,
    process: Process,
    /// `SASL_SSL` with all mechanisms, by name.
    pub sasl: String,
    /// `SSL` that asks for a certificate, by name.
    pub mutual: String,
    /// `SASL_PLAINTEXT` with PLAIN only.
    pub plain: String,
    /// `PLAINTEXT`.
    pub open: String,
}

impl SecuredKafka {
    /// The user that it knows.
    pub const USER: &str = "alice";
    /// The password that proves it.
    pub const PASSWORD: &str = "wonder+land";

    /// Starts it; `trusted.pem` is the authority that signed its certificate, `client.pem` a certificate
    /// that it takes, with its key, and `stranger.pem` an authority that has nothing to do with it.
    pub fn start() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("freshet-secured-")
            .tempdir()?;
        let home = kafka_server::home(folder.path());
        fs::create_dir_all(&home)?;
        certificates(&folder)?;
        let ports = [free_port()?, free_port()?, free_port()?, free_port()?];
        let set = settings(&folder, ports);
        let user = |hash: &str| {
            format!(
                "SCRAM-SHA-{hash}=[name={},password=\"{}\"]",
                Self::USER,
                Self::PASSWORD
            )
        };
        let command = kafka_server::server(&home, ports[0], &set, &[user("256"), user("512")])?;
        let process = Process::start(command, &folder.path().join("broker.log"))?;
        let opens = |port: &u16| TcpStream::connect(("127.0.0.1", *port)).is_ok();
        let (process, ()) = await_start(process, || ports.iter().all(opens).then_some(()))?;
        let named = |port: u16| format!("localhost:{port}");
        Ok(Self {
            folder,
            process,
            open: named(ports[0]),
            sasl: named(ports[1]),
            mutual: named(ports[2]),
            plain: named(ports[3]),
        })
    }

    /// A file in its folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The last lines of what it printed.
    pub fn tail(&self) -> String {
        self.process.tail()
    }
}

fn settings(folder: &TempDir, [open, sasl, mutual, plain]: [u16; 4]) -> Vec<(String, String)> {
    let file = |name: &str| folder.path().join(name).display().to_string();
    let listeners = |host: &str| {
        format!(
            "PLAINTEXT://{host}:{open},SASL://{host}:{sasl},MUTUAL://{host}:{mutual},PLAIN://{host}:{plain}"
        )
    };
    let controller = free_port().unwrap_or_default();
    let scram = format!("{MODULES}.scram.ScramLoginModule required;");
    let known = format!(
        "{MODULES}.plain.PlainLoginModule required user_{}=\"{}\";",
        SecuredKafka::USER,
        SecuredKafka::PASSWORD
    );
    let protocols =
        "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_SSL,MUTUAL:SSL,PLAIN:SASL_PLAINTEXT";
    let set = [
        (
            "controller.quorum.bootstrap.servers",
            format!("127.0.0.1:{controller}"),
        ),
        (
            "listeners",
            format!(
                "{},CONTROLLER://127.0.0.1:{controller}",
                listeners("127.0.0.1")
            ),
        ),
        ("advertised.listeners", listeners("localhost")),
        ("listener.security.protocol.map", protocols.to_owned()),
        ("inter.broker.listener.name", "PLAINTEXT".to_owned()),
        ("ssl.keystore.type", "PEM".to_owned()),
        ("ssl.keystore.location", file("server.pem")),
        ("ssl.truststore.type", "PEM".to_owned()),
        ("ssl.truststore.location", file("trusted.pem")),
        (
            "listener.name.mutual.ssl.client.auth",
            "required".to_owned(),
        ),
        (
            "listener.name.sasl.sasl.enabled.mechanisms",
            "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512".to_owned(),
        ),
        (
            "listener.name.plain.sasl.enabled.mechanisms",
            "PLAIN".to_owned(),
        ),
        ("listener.name.sasl.plain.sasl.jaas.config", known.clone()),
        ("listener.name.plain.plain.sasl.jaas.config", known),
        (
            "listener.name.sasl.scram-sha-256.sasl.jaas.config",
            scram.clone(),
        ),
        ("listener.name.sasl.scram-sha-512.sasl.jaas.config", scram),
        (
            "listener.name.sasl.scram-sha-256.connections.max.reauth.ms",
            "1500".to_owned(),
        ),
    ];
    set.map(|(name, value)| (name.to_owned(), value)).into()
}

fn certificates(folder: &TempDir) -> Result<()> {
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text);
    let authority = Authority::new("freshet tests")?;
    write("trusted.pem", authority.pem())?;
    write("stranger.pem", Authority::new("a stranger")?.pem())?;
    for (file, name) in [("server.pem", "localhost"), ("client.pem", "alice")] {
        let signed = authority.sign(name)?;
        write(file, signed.key() + &signed.certificate())?;
    }
    Ok(())
}
