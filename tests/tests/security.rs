//! `freshet` before Apache Kafka behind TLS and passwords: each way in, and what is said of the wrong ones.
#![allow(
    clippy::disallowed_methods,
    reason = "black-box tests drive real processes by the real clock and the real file system"
)]

use std::fs;
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use freshet_tests::{Client, Kind, Output, SecuredKafka, Suite, freshet_command, run};

const LIMIT: Duration = Duration::from_secs(30);

type Case = fn(&SecuredKafka) -> Result<()>;

const CASES: [(&str, Case); 6] = [
    ("every_mechanism_lets_in", mechanisms),
    ("a_certificate_lets_in", certificate),
    ("a_wrong_password_is_told", wrong_password),
    ("who_is_not_trusted_is_told", distrust),
    ("a_wrong_protocol_is_told", wrong_protocol),
    ("a_session_is_begun_anew", sessions),
];

fn main() -> ExitCode {
    let mut suite = Suite::default();
    let shared: Arc<Mutex<Option<SecuredKafka>>> = Arc::default();
    for (name, case) in CASES {
        let shared = Arc::clone(&shared);
        suite.test(name, missing(), move || {
            let mut held = shared.lock().unwrap_or_else(PoisonError::into_inner);
            if held.is_none() {
                *held = Some(SecuredKafka::start().context("starting Apache Kafka")?);
            }
            let kafka = held.as_ref().context("just started")?;
            case(kafka).with_context(|| format!("Kafka's last words:\n{}\n", kafka.tail()))
        });
    }
    let code = suite.run();
    // Statics and threads hold nothing: the broker ends here.
    drop(shared);
    code
}

fn missing() -> Option<String> {
    if Kind::from_env() == Kind::Kafka {
        return Some("the command line is tested with Freshet".to_owned());
    }
    let cli = freshet_command();
    let no_cli = (!cli.exists()).then(|| {
        format!(
            "there is no command at {}: build it with `cargo build --release -p freshet-cli`, or \
             name one with FRESHET_CLI",
            cli.display()
        )
    });
    no_cli.or_else(|| Client::Java.missing())
}

/// Runs the command with settings of its own; `words` are its arguments.
fn freshet(kafka: &SecuredKafka, address: &str, properties: &str, words: &str) -> Result<Output> {
    let file = kafka.file("client.properties");
    fs::write(&file, properties)?;
    let mut command = Command::new(freshet_command());
    command
        .args(["--bootstrap", address, "--command-config"])
        .arg(&file);
    // Certificates are named as from here.
    command.args(words.split(' ')).current_dir(kafka.file(""));
    run(command, "", LIMIT)
}

fn jaas(mechanism: &str, password: &str) -> String {
    let module = match mechanism {
        "PLAIN" => "plain.PlainLoginModule",
        _ => "scram.ScramLoginModule",
    };
    format!(
        "sasl.mechanism={mechanism}\nsasl.jaas.config=org.apache.kafka.common.security.{module} required \\\n  \
         username=\"{}\" password=\"{password}\";\n",
        SecuredKafka::USER
    )
}

fn trusting(file: &str) -> String {
    format!("ssl.truststore.type=PEM\nssl.truststore.location={file}\n")
}

fn login(mechanism: &str, password: &str) -> String {
    let (jaas, trust) = (jaas(mechanism, password), trusting("trusted.pem"));
    format!("security.protocol=SASL_SSL\n{jaas}{trust}")
}

/// A topic is made, seen and deleted.
fn lets_in(kafka: &SecuredKafka, address: &str, properties: &str, topic: &str) -> Result<()> {
    for words in ["topic create", "topic describe", "topic delete --yes"] {
        let words = format!("{words} {topic}");
        let told = freshet(kafka, address, properties, &words)?.success();
        let told = told.with_context(|| format!("{words} at {address}"))?;
        ensure!(told.contains(topic), "{words}: {told}");
    }
    Ok(())
}

/// It fails, says all of `words`, and does not say the password.
fn refuses(kafka: &SecuredKafka, address: &str, properties: &str, words: &[&str]) -> Result<()> {
    let output = freshet(kafka, address, properties, "topic list")?;
    ensure!(!output.status.success(), "it succeeded:\n{}", output.stdout);
    for word in words {
        ensure!(
            output.stderr.contains(word),
            "no word of {word:?}:\n{}",
            output.stderr
        );
    }
    for secret in [SecuredKafka::PASSWORD, "looking-glass"] {
        ensure!(!output.stderr.contains(secret), "{}", output.stderr);
    }
    Ok(())
}

fn mechanisms(kafka: &SecuredKafka) -> Result<()> {
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let properties = login(mechanism, SecuredKafka::PASSWORD);
        lets_in(kafka, &kafka.sasl, &properties, &mechanism.to_lowercase())?;
    }
    let jaas = jaas("PLAIN", SecuredKafka::PASSWORD);
    let clear = format!("security.protocol=SASL_PLAINTEXT\n{jaas}");
    lets_in(kafka, &kafka.plain, &clear, "clear")?;
    // What is not about security is told, and does no harm.
    let more = format!("{clear}client.id=x\n");
    let output = freshet(kafka, &kafka.plain, &more, "topic list")?;
    ensure!(
        output.status.success() && output.stderr.contains("not looked at: client.id"),
        "{}",
        output.stderr
    );
    Ok(())
}

fn certificate(kafka: &SecuredKafka) -> Result<()> {
    let trust = trusting("trusted.pem");
    let ssl = format!("security.protocol=SSL\n{trust}");
    let in_file = format!("{ssl}ssl.keystore.type=PEM\nssl.keystore.location=client.pem\n");
    lets_in(kafka, &kafka.mutual, &in_file, "by-file")?;
    // The same in the properties themselves, in lines that go on.
    let pem = fs::read_to_string(kafka.file("client.pem"))?;
    let (key, chain) = pem.split_at(pem.find("-----BEGIN CERT").context("a certificate")?);
    let lines = |pem: &str| pem.trim_end().replace('\n', " \\\n  ");
    let inline = format!(
        "{ssl}ssl.keystore.key={}\nssl.keystore.certificate.chain={}\n",
        lines(key),
        lines(chain)
    );
    lets_in(kafka, &kafka.mutual, &inline, "inline")?;
    refuses(
        kafka,
        &kafka.mutual,
        &ssl,
        &["our certificate, or wants one", "ssl.keystore"],
    )
}

fn wrong_password(kafka: &SecuredKafka) -> Result<()> {
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let wrong = login(mechanism, "looking-glass");
        let words = [mechanism, "SASL_AUTHENTICATION_FAILED", "--command-config"];
        refuses(kafka, &kafka.sasl, &wrong, &words)?;
    }
    let jaas = jaas("SCRAM-SHA-512", SecuredKafka::PASSWORD);
    let other = format!("security.protocol=SASL_PLAINTEXT\n{jaas}");
    refuses(kafka, &kafka.plain, &other, &["it offers PLAIN"])
}

fn distrust(kafka: &SecuredKafka) -> Result<()> {
    let with = |trust: &str| format!("security.protocol=SSL\n{}", trusting(trust));
    let stranger = with("stranger.pem");
    refuses(
        kafka,
        &kafka.sasl,
        &stranger,
        &["signed by nobody that we trust"],
    )?;
    let by_number = kafka.sasl.replace("localhost", "127.0.0.1");
    refuses(
        kafka,
        &by_number,
        &with("trusted.pem"),
        &["for another host", "127.0.0.1"],
    )?;
    refuses(
        kafka,
        &kafka.sasl,
        &with("nowhere.pem"),
        &[
            "client.properties",
            "ssl.truststore.location",
            "nowhere.pem",
        ],
    )
}

fn wrong_protocol(kafka: &SecuredKafka) -> Result<()> {
    let password = SecuredKafka::PASSWORD;
    let tls = format!("security.protocol=SSL\n{}", trusting("trusted.pem"));
    refuses(
        kafka,
        &kafka.open,
        &tls,
        &["hangs up like this", "PLAINTEXT"],
    )?;
    refuses(kafka, &kafka.sasl, "", &["it speaks TLS there"])?;
    let jaas = jaas("PLAIN", password);
    let asking = format!("security.protocol=SASL_PLAINTEXT\n{jaas}");
    refuses(kafka, &kafka.open, &asking, &["it asks for no password"])?;
    let forgotten = jaas.as_str();
    refuses(
        kafka,
        &kafka.plain,
        forgotten,
        &["sasl.jaas.config", "no effect"],
    )?;
    refuses(
        kafka,
        &kafka.plain,
        "ssl.trust=x",
        &["ssl.trust", "not known here"],
    )
}

/// Kafka ends sessions of this mechanism after 1.5 s. A connection that asks something after that is
/// closed, so what is produced over five seconds crosses several ends.
fn sessions(kafka: &SecuredKafka) -> Result<()> {
    let properties = login("SCRAM-SHA-256", SecuredKafka::PASSWORD);
    let file = kafka.file("sessions.properties");
    fs::write(&file, properties)?;
    let line = format!(
        "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.6; done | {} --bootstrap {} --command-config {} \
         produce sessions",
        freshet_command().canonicalize()?.display(),
        kafka.sasl,
        file.display()
    );
    let properties = fs::read_to_string(&file)?;
    freshet(kafka, &kafka.sasl, &properties, "topic create sessions")?.success()?;
    let mut shell = Command::new("sh");
    shell.args(["-c", &line]).current_dir(kafka.file(""));
    let output = run(shell, "", LIMIT)?;
    ensure!(output.status.success(), "{}", output.stderr);
    let words = "consume sessions --from beginning -n 8";
    let read = freshet(kafka, &kafka.sasl, &properties, words)?.success()?;
    ensure!((1..=8).all(|i| read.contains(&i.to_string())), "{read}");
    Ok(())
}
