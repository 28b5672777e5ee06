//! How the binary starts, refuses to start, and stops.
#![allow(
    clippy::disallowed_methods,
    reason = "black-box tests drive real processes by the real clock and the real file system"
)]

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use freshet_tests::{Broker, Client, Kind, Output, Peer, Role, Suite, freshet_binary, get, run};
use freshet_tests::{Line, samples};
use serde_json::json;
use tempfile::TempDir;

type Case = fn() -> Result<()>;

const CASES: [(&str, Case); 11] = [
    ("ready_file_tells_both_addresses", ready_file),
    ("the_first_lines_tell_the_addresses", first_lines),
    ("an_unknown_setting_is_refused", unknown_setting),
    ("a_bad_value_is_refused", bad_value),
    (
        "a_setting_without_meaning_is_warned_of",
        setting_without_meaning,
    ),
    ("a_taken_port_is_refused", port_taken),
    ("a_locked_directory_is_refused", locked_directory),
    ("a_foreign_cluster_id_is_refused", foreign_cluster),
    (
        "a_directory_of_kafkas_is_refused_and_left_alone",
        kafkas_directory,
    ),
    ("an_unknown_argument_is_refused", unknown_argument),
    ("sigterm_ends_well_within_seconds", sigterm),
];

/// Cases that also need a client.
const WITH_CLIENT: [(&str, Case); 3] = [
    ("health_and_metrics_are_served", health_and_metrics),
    (
        "a_second_sigterm_ends_at_once_and_loses_nothing",
        second_sigterm,
    ),
    ("a_config_file_is_read_and_set_wins", config_file),
];

fn main() -> ExitCode {
    let mut suite = Suite::default();
    let kafka = Kind::from_env() == Kind::Kafka;
    let not_ours = || kafka.then(|| "these tests are about Freshet's binary".to_owned());
    for (name, case) in CASES {
        suite.test(name, not_ours(), case);
    }
    for (name, case) in WITH_CLIENT {
        suite.test(name, not_ours().or_else(|| Client::FranzGo.missing()), case);
    }
    suite.test(
        "no_argument_is_needed",
        not_ours().or_else(defaults_taken),
        no_argument,
    );
    suite.run()
}

/// The default ports belong to the whole machine, so somebody else may hold them.
fn defaults_taken() -> Option<String> {
    let taken = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_err();
    let port = [9092, 9644].into_iter().find(taken)?;
    Some(format!("the default port {port} is taken on this machine"))
}

/// Runs the binary until it refuses: not zero, and one sentence that holds all of `words`.
fn refusal(command: Command, words: &[&str]) -> Result<()> {
    let Output {
        status,
        stdout,
        stderr,
    } = run(command, "", Duration::from_secs(20))?;
    ensure!(
        !status.success(),
        "it exited with {status}:\n{stdout}{stderr}"
    );
    ensure!(
        status.signal().is_none(),
        "it died of {status}:\n{stdout}{stderr}"
    );
    let said: Vec<&str> = stderr
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    ensure!(
        said.len() == 1,
        "one sentence is wanted, it said:\n{stderr}"
    );
    ensure!(!stderr.contains("panicked"), "it panicked:\n{stderr}");
    for word in words {
        ensure!(stderr.contains(word), "no {word:?} in: {stderr}");
    }
    Ok(())
}

/// A command for the binary with its data in `folder` and free ports.
fn binary(folder: &TempDir, set: &[&str]) -> Command {
    let mut command = Command::new(freshet_binary());
    let data = format!("log.dirs={}", folder.path().join("data").display());
    for setting in [
        "listeners=PLAINTEXT://127.0.0.1:0",
        "http.listener=127.0.0.1:0",
        &data,
    ] {
        command.args(["--set", setting]);
    }
    for setting in set {
        command.args(["--set", setting]);
    }
    command
}

fn ready_file() -> Result<()> {
    let broker = Broker::start(&[])?;
    for address in [broker.bootstrap(), broker.http()?] {
        let (host, port) = address.rsplit_once(':').context("host:port")?;
        ensure!(
            host == "127.0.0.1" && port.parse::<u16>()? != 0,
            "an address is {address}"
        );
        std::net::TcpStream::connect(address)?;
    }
    Ok(())
}

fn first_lines() -> Result<()> {
    let mut broker = Broker::start(&[])?;
    let (kafka, http) = (broker.bootstrap().to_owned(), broker.http()?.to_owned());
    let printed = broker.process().printed();
    let first: Vec<&str> = printed.lines().take(10).collect();
    let told = |address: &str| first.iter().any(|line| line.contains(address));
    ensure!(
        told(&kafka) && told(&http),
        "the first lines are:\n{}",
        first.join("\n")
    );
    Ok(())
}

fn health_and_metrics() -> Result<()> {
    let broker = Broker::start(&[])?;
    for path in ["/livez", "/readyz"] {
        let (status, body) = get(broker.http()?, path)?;
        ensure!(status == 200, "{path}: {status} {body}");
    }
    let (status, _) = get(broker.http()?, "/nothing-here")?;
    ensure!(status == 404, "an unknown path gives {status}");

    let mut admin = Peer::start(Client::FranzGo, Role::Admin, broker.bootstrap(), &[])?;
    let create = json!({"op": "create_topic", "topic": "seen", "partitions": 1, "configs": {}});
    admin.ask(&create)?;
    let topic = [("topic", "seen")];
    let mut producer = Peer::start(Client::FranzGo, Role::Produce, broker.bootstrap(), &topic)?;
    for sample in samples(62, 0..50, 1) {
        producer.hand(&sample)?;
    }
    producer.finish(Duration::from_secs(20))?;
    let options = [("topic", "seen"), ("group", "seers")];
    let mut group = Peer::start(Client::FranzGo, Role::Group, broker.bootstrap(), &options)?;
    let mut shown = 0;
    while shown < 50 {
        shown += i32::from(matches!(
            group.next(Duration::from_secs(20))?,
            Line::Record(_)
        ));
    }
    group.finish(Duration::from_secs(20))?;

    let (status, body) = get(broker.http()?, "/metrics")?;
    ensure!(status == 200, "/metrics: {status}");
    let of_topic = r#"{partition="0",topic="seen"}"#;
    ensure!(metric(&body, &format!("freshet_log_end_offset{of_topic}"))? == 50.0);
    ensure!(metric(&body, &format!("freshet_log_size_bytes{of_topic}"))? > 1000.0);
    let lag = r#"freshet_group_lag_records{group="seers",partition="0",topic="seen"}"#;
    ensure!(metric(&body, lag)? == 0.0, "all was committed");
    ensure!(metric(&body, r#"freshet_requests_total{api="Produce"}"#)? >= 1.0);
    ensure!(metric(&body, "freshet_produced_bytes_total")? > 1000.0);
    ensure!(metric(&body, "freshet_fetched_bytes_total")? > 1000.0);
    ensure!(metric(&body, "freshet_log_fsync_seconds_count")? >= 1.0);
    ensure!(
        metric(&body, "freshet_connections")? >= 1.0,
        "the admin client is connected"
    );
    Ok(())
}

/// The value of a sample, by its name and labels as they are written; every line must be a sample.
fn metric(body: &str, name: &str) -> Result<f64> {
    let mut found = None;
    for line in body
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        let (sample, value) = line
            .rsplit_once(' ')
            .with_context(|| format!("no sample: {line}"))?;
        let value: f64 = value
            .parse()
            .with_context(|| format!("no number: {line}"))?;
        if sample == name {
            found = Some(value);
        }
    }
    found.with_context(|| format!("no {name} in:\n{body}"))
}

fn unknown_setting() -> Result<()> {
    let folder = TempDir::new()?;
    refusal(
        binary(&folder, &["no.such.setting=1"]),
        &["no.such.setting"],
    )
}

fn bad_value() -> Result<()> {
    let folder = TempDir::new()?;
    refusal(
        binary(&folder, &["num.partitions=many"]),
        &["num.partitions", "many"],
    )?;
    refusal(
        binary(&folder, &["log.retention.hours"]),
        &["log.retention.hours"],
    )
}

fn setting_without_meaning() -> Result<()> {
    let mut broker = Broker::start(&[
        ("num.recovery.threads.per.data.dir", "2"),
        ("num.network.threads", "3"),
    ])?;
    let printed = broker.process().printed();
    let warnings = printed.matches("num.network.threads").count();
    ensure!(
        warnings == 1,
        "one warning is wanted, it printed:\n{printed}"
    );
    Ok(())
}

fn port_taken() -> Result<()> {
    let folder = TempDir::new()?;
    let holder = TcpListener::bind("127.0.0.1:0")?;
    let port = holder.local_addr()?.port().to_string();
    let listeners = format!("listeners=PLAINTEXT://127.0.0.1:{port}");
    refusal(binary(&folder, &[&listeners]), &[&port])?;
    let http = format!("http.listener=127.0.0.1:{port}");
    refusal(binary(&folder, &[&http]), &[&port])
}

fn locked_directory() -> Result<()> {
    let folder = TempDir::new()?;
    let data = folder.path().join("data").display().to_string();
    let _holder = Broker::start(&[("log.dirs", &data)])?;
    refusal(binary(&folder, &[]), &[&data])
}

fn foreign_cluster() -> Result<()> {
    let folder = TempDir::new()?;
    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
    for data in [&ours, &theirs] {
        Broker::start(&[("log.dirs", &data.display().to_string())])?.stop()?;
    }
    let ours = format!("log.dirs={}", ours.display());
    let theirs = theirs.display().to_string();
    refusal(
        binary(&folder, &[&format!("{ours},{theirs}")]),
        &["cluster", &theirs],
    )?;
    let foreign = "freshet.cluster.id=Zm9yZWlnbi1jbHVzdGVyIQ";
    refusal(
        binary(&folder, &[&ours, foreign]),
        &["cluster", "Zm9yZWlnbi1jbHVzdGVyIQ"],
    )
}

/// A directory of Apache Kafka's must be left alone: its topics are not ours to remove.
fn kafkas_directory() -> Result<()> {
    let folder = TempDir::new()?;
    let data = folder.path().join("data");
    fs::create_dir_all(data.join("orders-0"))?;
    fs::write(
        data.join("meta.properties"),
        "version=1\ncluster.id=x\nnode.id=1\n",
    )?;
    fs::write(data.join("orders-0/00000000000000000000.log"), "records")?;
    refusal(binary(&folder, &[]), &[&data.display().to_string()])?;
    let kept = fs::read(data.join("orders-0/00000000000000000000.log"))?;
    ensure!(kept == b"records", "the foreign log was touched");
    Ok(())
}

fn unknown_argument() -> Result<()> {
    let folder = TempDir::new()?;
    let mut command = binary(&folder, &[]);
    command.arg("--no-such-argument");
    let told = run(command, "", Duration::from_secs(20))?;
    ensure!(!told.status.success(), "it exited with {}", told.status);
    ensure!(
        told.stderr.contains("--no-such-argument"),
        "it said: {}",
        told.stderr
    );
    Ok(())
}

fn sigterm() -> Result<()> {
    let mut broker = Broker::start(&[])?;
    let started = Instant::now();
    let status = broker.stop()?;
    ensure!(
        status.code() == Some(0),
        "SIGTERM gave {status}:\n{}",
        broker.tail()
    );
    ensure!(
        started.elapsed() < Duration::from_secs(5),
        "it took {:?}",
        started.elapsed()
    );
    broker.start_again()?;
    let (status, body) = get(broker.http()?, "/readyz")?;
    ensure!(status == 200, "after a clean stop: {status} {body}");
    Ok(())
}

fn second_sigterm() -> Result<()> {
    let mut broker = Broker::start(&[])?;
    let bootstrap = broker.bootstrap().to_owned();
    let mut admin = Peer::start(Client::FranzGo, Role::Admin, &bootstrap, &[])?;
    let create = json!({"op": "create_topic", "topic": "twice", "partitions": 1, "configs": {}});
    admin.ask(&create)?;
    let options = [("topic", "twice")];
    let mut producer = Peer::start(Client::FranzGo, Role::Produce, &bootstrap, &options)?;
    for sample in samples(61, 0..200, 1) {
        producer.hand(&sample)?;
    }
    let mut acked = 0;
    while acked < 200 {
        if let Line::Acked { .. } = producer.next(Duration::from_secs(20))? {
            acked += 1;
        }
    }
    broker.process().terminate()?;
    broker.process().terminate()?;
    let started = Instant::now();
    broker.process().wait(Duration::from_secs(10))?;
    ensure!(
        started.elapsed() < Duration::from_secs(2),
        "it took {:?}",
        started.elapsed()
    );
    broker.start_again()?;
    let order = json!({"op": "list_offsets", "topic": "twice", "partition": 0, "at": "latest"});
    let told = format!("{:?}", admin.ask(&order)?);
    ensure!(
        told.contains("Number(200)"),
        "200 were acknowledged, the end is {told}"
    );
    Ok(())
}

fn config_file() -> Result<()> {
    let folder = TempDir::new()?;
    let file = folder.path().join("server.properties");
    fs::write(
        &file,
        "# as Kafka's own files look\nnum.partitions = 7\nno.such.setting = 1\n",
    )?;
    let mut command = binary(&folder, &[]);
    command.arg("--config").arg(&file);
    refusal(command, &["no.such.setting"])?;

    // Port 1 is nobody's: the file alone could not start.
    let text =
        "# as Kafka's own files look\nnum.partitions = 7\nlisteners=PLAINTEXT://127.0.0.1:1\n";
    fs::write(&file, text)?;
    let ready = folder.path().join("ready.json");
    let mut command = binary(&folder, &[]);
    command
        .arg("--config")
        .arg(&file)
        .arg("--ready-file")
        .arg(&ready);
    let mut process = freshet_tests::Process::start(command, &folder.path().join("log"))?;
    let started = Instant::now();
    while !ready.exists() {
        ensure!(process.ended()?.is_none(), "it ended:\n{}", process.tail());
        ensure!(
            started.elapsed() < Duration::from_secs(20),
            "not ready:\n{}",
            process.tail()
        );
        thread::sleep(Duration::from_millis(20));
    }
    let addresses: serde_json::Value = serde_json::from_str(&fs::read_to_string(&ready)?)?;
    let bootstrap = addresses["kafka"].as_str().context("an address")?;
    let mut admin = Peer::start(Client::FranzGo, Role::Admin, bootstrap, &[])?;
    let create = json!({"op": "create_topic", "topic": "seven", "partitions": -1, "configs": {}});
    admin.ask(&create)?;
    let told = format!(
        "{:?}",
        admin.ask(&json!({"op": "describe_topic", "topic": "seven"}))?
    );
    ensure!(told.contains("Number(7)"), "num.partitions=7 gave {told}");
    Ok(())
}

fn no_argument() -> Result<()> {
    let folder = TempDir::new()?;
    let mut command = Command::new(freshet_binary());
    command.current_dir(folder.path());
    let mut process = freshet_tests::Process::start(command, &folder.path().join("log"))?;
    let started = Instant::now();
    while get("127.0.0.1:9644", "/readyz")
        .map(|(status, _)| status)
        .unwrap_or(0)
        != 200
    {
        ensure!(process.ended()?.is_none(), "it ended:\n{}", process.tail());
        ensure!(
            started.elapsed() < Duration::from_secs(20),
            "not ready:\n{}",
            process.tail()
        );
        thread::sleep(Duration::from_millis(20));
    }
    std::net::TcpStream::connect("127.0.0.1:9092")?;
    ensure!(
        folder.path().join("freshet-data").is_dir(),
        "no ./freshet-data"
    );
    Ok(())
}
