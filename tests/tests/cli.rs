//! The `freshet` command as people and scripts use it: the README's tour, the examples of every
//! help text, JSON that programs can read, and what it says to bad input.
#![allow(
    clippy::disallowed_methods,
    reason = "black-box tests drive real processes by the real clock and the real file system"
)]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use anyhow::{Context, Result, bail, ensure};
use freshet_tests::{Broker, Kind, Output, Process, Suite, freshet_binary, freshet_command, run};
use serde_json::Value;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);

type Case = fn(&Shell) -> Result<()>;

const CASES: [(&str, Case); 16] = [
    ("the_tour_of_the_readme_runs", tour),
    ("the_three_brokers_of_the_readme_run", three_brokers),
    (
        "moves_copy_no_faster_than_they_may_and_leave_nothing_behind",
        throttled_moves,
    ),
    ("the_examples_of_every_help_run", examples),
    ("results_are_json_on_request", json_results),
    ("each_of_several_has_its_own_outcome", several),
    (
        "produce_tells_why_it_ran_out_of_time",
        produce_runs_out_of_time,
    ),
    ("produce_tells_what_was_written_before_a_bad_line", bad_line),
    ("the_largest_line_fits_a_default_topic", largest_line),
    ("nothing_is_deleted_without_a_word", unasked_delete),
    ("a_group_is_not_made_by_a_typo", mistyped_group),
    ("an_offset_past_the_end_is_told", past_the_end),
    ("a_cordoned_broker_gets_no_topics", cordoned),
    ("what_would_lose_data_is_refused", refused_drain),
    ("typos_are_told", typos),
    ("nobody_there_is_told_soon", nobody_there),
];

fn main() -> ExitCode {
    let mut suite = Suite::default();
    for (name, case) in CASES {
        suite.test(name, missing(), move || case(&Shell::start()?));
    }
    suite.run()
}

fn missing() -> Option<String> {
    if Kind::from_env() == Kind::Kafka {
        return Some("the command line is tested against Freshet".to_owned());
    }
    let cli = freshet_command();
    (!cli.exists()).then(|| {
        format!(
            "there is no command at {}: build it with `cargo build --release -p freshet-cli`, or \
             name one with FRESHET_CLI",
            cli.display()
        )
    })
}

/// A shell that finds `freshet`, in a folder of its own, beside a broker of its own.
struct Shell {
    folder: TempDir,
    broker: Broker,
}

impl Shell {
    fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// The broker has the settings of `set`.
    fn start_with(set: &[(&str, &str)]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("freshet-cli-").tempdir()?;
        let cli = fs::canonicalize(freshet_command()).context("finding the command")?;
        std::os::unix::fs::symlink(cli, folder.path().join("freshet"))?;
        let broker = Broker::start(set)?;
        Ok(Self { folder, broker })
    }

    /// Runs a line as a shell does; nothing is on its standard input.
    fn run(&self, line: &str) -> Result<Output> {
        let mut command = Command::new("sh");
        let path = env::var("PATH").unwrap_or_default();
        command
            .args(["-c", line])
            .current_dir(self.folder.path())
            .env("PATH", format!("{}:{path}", self.folder.path().display()))
            .env("FRESHET_BOOTSTRAP", self.broker.bootstrap());
        run(command, "", LIMIT).with_context(|| line.to_owned())
    }

    /// Standard output of a line that must succeed.
    fn ok(&self, line: &str) -> Result<String> {
        self.run(line)?.success().with_context(|| line.to_owned())
    }

    /// What a line that must succeed prints as JSON.
    fn json(&self, line: &str) -> Result<Value> {
        let text = self.ok(&format!("{line} --output json"))?;
        serde_json::from_str(&text).with_context(|| format!("{line}: {text}"))
    }

    /// Runs a line that must fail and say all of `words` on standard error.
    fn fails(&self, line: &str, words: &[&str]) -> Result<Output> {
        let output = self.run(line)?;
        ensure!(
            !output.status.success(),
            "{line} succeeded:\n{}",
            output.stdout
        );
        for word in words {
            ensure!(
                output.stderr.contains(word),
                "{line} does not say {word:?}:\n{}",
                output.stderr
            );
        }
        Ok(output)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// What the README has people type of our own command.
fn readme_lines() -> Result<Vec<String>> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(readme)?;
    let lines = readme.lines().filter_map(|line| line.strip_prefix("$ "));
    let ours = lines.filter(|line| line.contains("freshet ") && !line.starts_with("cargo"));
    Ok(ours.map(str::to_owned).collect())
}

fn tour(shell: &Shell) -> Result<()> {
    let lines = readme_lines()?;
    let lines = lines.iter().filter(|line| !line.contains("cluster up"));
    let lines: Vec<&str> = lines.map(String::as_str).collect();
    ensure!(lines.len() >= 7, "the README's tour is gone: {lines:?}");
    for line in lines {
        let said = shell.ok(line)?;
        if line.contains("consume") {
            ensure!(
                said.contains("1 apple") || said.contains("2 pears"),
                "{line}: {said}"
            );
        }
        if line.contains("json") {
            serde_json::from_str::<Value>(&said).with_context(|| said.clone())?;
        }
    }
    Ok(())
}

/// One dies, the others go on, and none is left when the command is interrupted.
fn three_brokers(shell: &Shell) -> Result<()> {
    let lines = readme_lines()?;
    let line = lines.iter().find(|line| line.contains("cluster up"));
    let line = line.context("the README does not say how to start three")?;
    // Other ports than the README's, which may be taken here; controllers are 10,000 higher.
    let (port, http) = (three_ports(20_000)?, three_ports(25_000)?);
    let words = format!(
        "{line} --port {port} --http-port {http} --program {}",
        freshet_binary().display()
    );
    let (mut up, told) = start_three(shell, &words, "up.log")?;
    let pids = pids(&told)?;
    let at = format!("--bootstrap 127.0.0.1:{port},127.0.0.1:{}", port + 1);
    shell.ok(&format!("freshet topic create orders {at}"))?;
    shell.ok(&format!("freshet produce orders --value one {at}"))?;
    shell.ok(&format!("kill -9 {}", pids[2]))?;
    shell.ok(&format!("freshet produce orders --value two {at}"))?;
    let read = shell.ok(&format!(
        "freshet consume orders --from beginning -n 2 {at}"
    ))?;
    ensure!(read.contains("one") && read.contains("two"), "{read}");
    wait_for("word of the broker that died", || {
        Ok(up.printed().contains("broker 3 ended").then_some(()))
    })?;
    up.interrupt()?;
    up.wait(LIMIT)?;
    let alive = |pids: &[i32]| {
        let mut pids = pids.iter();
        pids.any(|pid| Path::new(&format!("/proc/{pid}")).exists())
    };
    ensure!(!alive(&pids), "some of {pids:?} run on");
    let (mut up, told) = start_three(shell, &words, "killed.log")?;
    let pids = self::pids(&told)?;
    up.kill()?;
    wait_for(
        "brokers that end with the command that started them",
        || Ok((!alive(&pids)).then_some(())),
    )
}

const RATES: [&str; 2] = [
    "leader.replication.throttled.rate",
    "follower.replication.throttled.rate",
];
const REPLICAS: [&str; 2] = [
    "leader.replication.throttled.replicas",
    "follower.replication.throttled.replicas",
];

/// A drain of some MB at 2 MB/s; then a move onto a broker that somebody else has throttled.
fn throttled_moves(shell: &Shell) -> Result<()> {
    let (port, http) = (three_ports(30_000)?, three_ports(35_000)?);
    let words = format!(
        "freshet cluster up --brokers 3 --port {port} --http-port {http} --program {}",
        freshet_binary().display()
    );
    let (mut up, _) = start_three(shell, &words, "up.log")?;
    let at = format!("--bootstrap 127.0.0.1:{port}");
    shell.ok(&format!(
        "freshet topic create big --partitions 2 --replication 1 {at}"
    ))?;
    let to = |id: i32| format!("freshet topic reassign big --to {id} {at}");
    shell.ok(&to(3))?;
    let fill = "head -c 7500000 /dev/urandom | base64 -w 1000 | freshet produce big --quiet";
    shell.ok(&format!("{fill} {at}"))?;
    let foreign = format!("topic:big {}=7:7", REPLICAS[0]);
    shell.ok(&format!("freshet config set {foreign} {at}"))?;
    // One sends and one receives: the way is as fast as the rate says.
    shell.ok(&format!("freshet broker cordon 2 {at}"))?;
    let start = Instant::now();
    let drained = shell.json(&format!("freshet broker drain 3 --throttle 2MB {at}"))?;
    let (bytes, took) = (drained["bytes"].as_u64(), start.elapsed());
    let bytes = bytes.filter(|bytes| *bytes > 9_000_000);
    let bytes = bytes.with_context(|| format!("too little was moved: {drained}"))?;
    // Some of it may go at once.
    let least = Duration::from_secs(bytes / 2_000_000 - 1);
    ensure!(took >= least, "{bytes} bytes moved in {took:?}");
    ensure!(took < least * 4, "{bytes} bytes moved in {took:?}");
    let set = |resource: &str, names: [&str; 2]| -> Result<Vec<String>> {
        let [a, b] = names;
        let line = format!("freshet config describe {resource} --name {a} --name {b} {at}");
        let told = shell.json(&line)?;
        let entries = told.as_array().context("a list")?.iter();
        let own = entries.filter(|entry| entry["source"] != "default");
        Ok(own
            .map(|entry| entry["value"].as_str().unwrap_or("").to_owned())
            .collect())
    };
    let left = set("topic:big", REPLICAS)?;
    ensure!(left == ["7:7"], "the topic has {left:?}");
    for id in 1..=3 {
        let left = set(&format!("broker:{id}"), RATES)?;
        ensure!(left.is_empty(), "broker {id} has {left:?}");
    }
    shell.ok(&format!("freshet broker uncordon 3 {at}"))?;
    shell.ok(&format!(
        "freshet config set broker:3 {}=1000 {at}",
        RATES[1]
    ))?;
    let line = format!("{} --throttle 2MB", to(3));
    shell.fails(&line, &["broker 3 is throttled already", "=1000"])?;
    let moving = shell.json(&format!("freshet topic reassign --list {at}"))?;
    ensure!(moving == Value::Array(Vec::new()), "{moving}");
    for (id, kept) in [(1, &[][..]), (2, &[]), (3, &["1000"])] {
        let left = set(&format!("broker:{id}"), RATES)?;
        ensure!(left == kept, "broker {id} has {left:?}");
    }
    up.interrupt()?;
    up.wait(LIMIT).map(drop)
}

/// Runs the command, until it has told of its brokers.
fn start_three(shell: &Shell, words: &str, log: &str) -> Result<(Process, String)> {
    let mut command = Command::new(shell.file("freshet"));
    command
        .args(words.split_whitespace().skip(1))
        .current_dir(shell.folder.path());
    let mut up = Process::start(command, &shell.file(log))?;
    let told = wait_for("the table of brokers", || {
        if let Some(status) = up.ended()? {
            bail!("{words} ended with {status}:\n{}", up.tail());
        }
        let told = up.printed();
        Ok(told.contains("Ctrl-C").then_some(told))
    })?;
    Ok((up, told))
}

fn pids(told: &str) -> Result<Vec<i32>> {
    let rows = told.lines().filter(|line| line.contains("broker.log"));
    let pids: Vec<i32> = rows
        .filter_map(|line| line.split_whitespace().nth(3)?.parse().ok())
        .collect();
    ensure!(pids.len() == 3, "{told}");
    Ok(pids)
}

/// The first of three ports in a row, at or after `from`, that are free, as are those 10,000 higher.
fn three_ports(from: u16) -> Result<u16> {
    let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let mut firsts = (from..from + 4_000).step_by(3);
    let all_free = |first: &u16| (0..3).all(|i| is_free(first + i) && is_free(first + i + 10_000));
    firsts
        .find(all_free)
        .context("no three free ports in a row")
}

/// Looks until there is something to see.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(seen) = look()? {
            return Ok(seen);
        }
        ensure!(start.elapsed() < LIMIT, "no {what} within {LIMIT:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The commands, and what must be there before their examples run.
const COMMANDS: [(&str, &[&str]); 35] = [
    ("topic create", &[]),
    ("topic list", &[]),
    ("topic describe", &[ORDERS, PAYMENTS]),
    ("topic alter", &[ORDERS]),
    ("topic delete", &["freshet topic create old-1 old-2"]),
    ("produce", &[ORDERS]),
    ("consume", &[ORDERS, PAYMENTS, MANY]),
    ("group list", &[ORDERS, BILLING]),
    ("group describe", &[ORDERS, BILLING]),
    ("group delete", &[ORDERS, BILLING, OLD_GROUPS]),
    ("group reset-offsets", &[ORDERS, MANY, BILLING]),
    ("config describe", &[ORDERS]),
    ("config set", &[ORDERS]),
    ("config unset", &[ORDERS]),
    ("cluster describe", &[]),
    ("topic reassign", &[ORDERS]),
    ("topic elect", &[ORDERS, PAYMENTS]),
    ("broker list", &[ORDERS]),
    ("broker describe", &[ORDERS]),
    ("broker cordon", &[]),
    ("broker uncordon", &["freshet broker cordon 1"]),
    ("broker drain", &[]),
    ("broker decommission", &[]),
    ("quorum describe", &[]),
    ("quorum add-voter", &[]),
    ("quorum remove-voter", &[]),
    ("tier status", &[ORDERS]),
    ("tier pause", &[]),
    ("tier resume", &[]),
    ("tier verify", &[]),
    ("cluster restore", &[]),
    ("cluster unclean-elections", &[]),
    ("feature list", &[]),
    ("feature set", &[]),
    ("", &[BILLING_TOPIC, BILLING]),
];

const ORDERS: &str = "freshet topic create orders --partitions 6";
const PAYMENTS: &str = "freshet topic create payments";
/// The examples of the top create `orders` themselves.
const BILLING_TOPIC: &str = "freshet topic create orders && freshet group reset-offsets billing --topic orders \
     --to earliest --create && freshet topic delete orders --yes";
const BILLING: &str = "freshet topic create --if-not-exists positions && \
     freshet group reset-offsets billing --topic positions --to latest --create";
const OLD_GROUPS: &str = "freshet group reset-offsets old-1 --topic orders --to latest --create && \
     freshet group reset-offsets old-2 --topic orders --to latest --create";
const MANY: &str = "seq 1600 | freshet produce orders --partition 0 --quiet && \
     seq 1600 | freshet produce orders --partition 1 --quiet";

/// Why an example cannot run here.
fn unfit(example: &str) -> Option<&'static str> {
    let reasons = [
        ("--follow", "it never ends"),
        ("--bootstrap", "its brokers are not here"),
        ("--replication 3", "there is one broker"),
        ("--to 3,1,2", "there is one broker"),
        ("--replication-factor 3", "there is one broker"),
        ("broker drain 3", "there is one broker"),
        ("decommission", "there is one broker"),
        ("-voter 4", "there is one controller"),
        ("tier pause", "there is no bucket: tests/tiering.rs"),
        ("tier resume", "there is no bucket: tests/tiering.rs"),
        ("--from s3:", "there is no bucket: tests/restore.rs"),
        ("--from file:", "there is no bucket: tests/restore.rs"),
        ("--cancel", "nothing is under way"),
        ("topic delete orders", "it asks at a terminal"),
    ];
    let found = reasons.iter().find(|(sign, _)| example.contains(sign));
    found.map(|(_, reason)| *reason)
}

fn examples(_: &Shell) -> Result<()> {
    let mut ran = 0;
    let mut failed = Vec::new();
    for (command, before) in COMMANDS {
        // Each command's examples start from the same state.
        let shell = Shell::start()?;
        fs::write(shell.file("lines.txt"), "one\ntwo\n")?;
        fs::write(shell.file("orders.tsv"), "k\tv\n")?;
        for line in before {
            shell.ok(line)?;
        }
        let help = shell.ok(&format!("freshet {command} --help"))?;
        let (_, examples) = help
            .split_once("EXAMPLES:\n")
            .with_context(|| format!("{command:?} has no examples"))?;
        for example in examples.lines().map(str::trim).filter(|e| !e.is_empty()) {
            if unfit(example).is_some() {
                continue;
            }
            ran += 1;
            if let Err(error) = shell.ok(example) {
                failed.push(format!("{error:#}"));
            }
        }
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    ensure!(ran > 50, "only {ran} examples were found");
    Ok(())
}

fn json_results(shell: &Shell) -> Result<()> {
    let created =
        shell.json("freshet topic create t --partitions 2 --config retention.ms=60000")?;
    ensure!(created[0]["status"] == "created", "{created}");
    let sent = shell.json("freshet produce t --value x --partition 1")?;
    ensure!(sent["records"] == 1 && sent["offset"] == 0, "{sent}");
    ensure!(sent["error"].is_null(), "{sent}");
    let topic = shell.json("freshet topic describe t")?;
    ensure!(topic[0]["configs"]["retention.ms"] == "60000", "{topic}");
    ensure!(topic[0]["partitions"][1]["end"] == 1, "{topic}");
    let record = shell.json("freshet consume t")?;
    ensure!(record["value"] == "x", "{record}");
    let moved = shell.json("freshet group reset-offsets g --topic t --to latest --create")?;
    ensure!(moved[1]["to"] == 1, "{moved}");
    let group = shell.json("freshet group describe g")?;
    ensure!(group["lag"] == 0, "{group}");
    for line in [
        "freshet topic list",
        "freshet topic alter t --partitions 3",
        "freshet group list",
        "freshet group delete g",
        "freshet config describe topic:t",
        "freshet config set topic:t retention.ms=70000",
        "freshet cluster describe",
        "freshet topic elect t",
        "freshet topic elect --all",
        "freshet topic reassign t:0 --to 1",
        "freshet topic reassign --list",
        "freshet topic alter t --replication-factor 1",
        "freshet broker list",
        "freshet broker describe 1",
        "freshet broker cordon 1",
        "freshet broker uncordon 1",
        "freshet quorum describe",
        "freshet feature list",
        "freshet topic delete t --yes",
    ] {
        shell.json(line)?;
    }
    Ok(())
}

fn several(shell: &Shell) -> Result<()> {
    shell.ok("freshet topic create a b")?;
    for group in ["g1", "g3"] {
        shell.ok(&format!(
            "freshet group reset-offsets {group} --topic a --to latest --create"
        ))?;
    }
    let told = shell.fails(
        "freshet group delete g1 nosuch g3",
        &["1 of 3 groups failed"],
    )?;
    ensure!(
        told.stdout.contains("GROUP_ID_NOT_FOUND"),
        "{}",
        told.stdout
    );
    let deleted = told.stdout.matches("deleted").count();
    ensure!(deleted >= 2, "{}", told.stdout);
    let left = shell.json("freshet group list")?;
    ensure!(left.as_array().is_some_and(Vec::is_empty), "{left}");

    let told = shell.fails("freshet topic create a c", &["1 of 2 topics failed"])?;
    ensure!(
        told.stdout.contains("TOPIC_ALREADY_EXISTS"),
        "{}",
        told.stdout
    );
    let told = shell.fails("freshet topic describe a nosuch", &["1 of 2 topics failed"])?;
    ensure!(told.stdout.contains("PARTITION"), "{}", told.stdout);
    let told = shell.fails("freshet topic delete a nosuch c --yes -o json", &["1 of 3"])?;
    let rows: Value = serde_json::from_str(&told.stdout)?;
    let status = |i: usize| rows[i]["status"].as_str().unwrap_or_default();
    ensure!(
        [status(0), status(1), status(2)] == ["deleted", "failed", "deleted"],
        "{rows}"
    );
    ensure!(rows[1]["error"].is_string(), "{rows}");
    Ok(())
}

fn produce_runs_out_of_time(_: &Shell) -> Result<()> {
    // No disk has so much left; the broker says so, and that it may be tried again.
    let shell = Shell::start_with(&[("freshet.disk.reserve.bytes", "9000000000000000000")])?;
    shell.ok("freshet topic create t")?;
    let start = Instant::now();
    let words = ["KAFKA_STORAGE_ERROR", "0 records were written"];
    let told = shell.fails("freshet produce t --value x --timeout 3s --quiet", &words)?;
    let took = start.elapsed();
    ensure!(took < Duration::from_secs(12), "it took {took:?}");
    ensure!(!told.stderr.contains("still"), "{}", told.stderr);
    Ok(())
}

fn bad_line(shell: &Shell) -> Result<()> {
    shell.ok("freshet topic create t")?;
    shell.fails(
        "printf 'k:1\\nbad\\n' | freshet produce t --key-separator :",
        &["line 2", "1 record was written before that"],
    )?;
    ensure!(
        shell.ok("freshet consume t")? == "1\n",
        "line 1 is not there"
    );
    Ok(())
}

fn largest_line(shell: &Shell) -> Result<()> {
    shell.ok("freshet topic create t")?;
    let help = shell.ok("freshet produce --help")?;
    let (_, after) = help
        .split_once("--max-record-bytes")
        .context("the option")?;
    let (_, default) = after.split_once("[default: ").context("its default")?;
    let (bytes, _) = default.split_once(']').context("its default's end")?;
    let bytes: usize = bytes.trim().parse()?;
    fs::write(shell.file("largest"), "x".repeat(bytes))?;
    shell.ok("freshet produce t --file largest")?;
    fs::write(shell.file("larger"), "x".repeat(bytes + 1))?;
    shell.fails("freshet produce t --file larger", &["--max-record-bytes"])?;
    Ok(())
}

fn unasked_delete(shell: &Shell) -> Result<()> {
    shell.ok("freshet topic create t")?;
    shell.fails("freshet topic delete t", &["nothing was deleted", "--yes"])?;
    for name in ["__consumer_offsets", "__transaction_state"] {
        let words = ["nothing was deleted", "brokers themselves"];
        shell.fails(&format!("freshet topic delete t {name} --yes"), &words)?;
    }
    shell.ok("freshet topic describe t")?;
    Ok(())
}

fn mistyped_group(shell: &Shell) -> Result<()> {
    shell.ok("freshet topic create t")?;
    shell.ok("freshet group reset-offsets billing --topic t --to earliest --create")?;
    shell.fails(
        "freshet group reset-offsets biling --topic t --to earliest",
        &["--create", "did you mean \"billing\"?"],
    )?;
    let groups = shell.json("freshet group list")?;
    ensure!(groups.as_array().is_some_and(|g| g.len() == 1), "{groups}");
    Ok(())
}

fn past_the_end(shell: &Shell) -> Result<()> {
    shell.ok("freshet topic create t --partitions 2")?;
    shell.ok("seq 3 | freshet produce t --partition 0")?;
    let words = ["offset 1500 is past the end, which is 3"];
    shell.fails("freshet consume t --from 1500", &words)?;
    shell.fails(
        "freshet group reset-offsets g --topic t --to 1500 --create",
        &words,
    )?;
    let said = shell.ok("freshet group reset-offsets g --topic t --to 2 --create")?;
    ensure!(said.contains("2 is past the end"), "{said}");
    Ok(())
}

fn cordoned(shell: &Shell) -> Result<()> {
    shell.ok("freshet topic create t")?;
    shell.ok("freshet broker cordon 1")?;
    let brokers = shell.json("freshet broker list")?;
    ensure!(brokers[0]["status"] == "cordoned", "{brokers}");
    shell.fails("freshet topic create u", &["INVALID_REPLICATION_FACTOR"])?;
    // What it has stays.
    shell.ok("freshet produce t --value x")?;
    shell.ok("freshet broker uncordon 1")?;
    shell.ok("freshet topic create u")?;
    let brokers = shell.json("freshet broker list")?;
    ensure!(brokers[0]["status"] == "ok", "{brokers}");
    ensure!(brokers[0]["leaders"] == 2, "{brokers}");
    Ok(())
}

fn refused_drain(shell: &Shell) -> Result<()> {
    shell.ok("freshet topic create t --partitions 20")?;
    for line in ["freshet broker drain 1", "freshet broker drain 1 --dry-run"] {
        let words = [
            "nothing was changed",
            "no other broker is left for t-0, t-1",
            "and 10 more",
            "--replication-factor",
        ];
        shell.fails(line, &words)?;
    }
    let brokers = shell.json("freshet broker list")?;
    ensure!(brokers[0]["status"] == "ok", "it was cordoned: {brokers}");
    shell.fails(
        "freshet broker drain 9",
        &["there is no broker 9; brokers: 1"],
    )?;
    shell.fails(
        "freshet broker cordon 9",
        &["there is no broker 9; brokers: 1"],
    )?;
    shell.fails("freshet broker decommission 1", &["the only controller"])?;
    let words = ["t-0 cannot have 2 copies", "nothing was moved"];
    shell.fails("freshet topic alter t --replication-factor 2", &words)?;
    shell.fails("freshet topic elect t --unclean", &["--accept-loss"])?;
    shell.fails("freshet topic elect t:99", &["no partition 99"])?;
    Ok(())
}

fn typos(shell: &Shell) -> Result<()> {
    shell.ok("freshet topic create t")?;
    let start = Instant::now();
    for (line, words) in [
        (
            "freshet config describe topic:t --name retension.ms",
            &["no setting", "did you mean \"retention.ms\"?"][..],
        ),
        (
            "freshet config describe topic:t --name nope",
            &["no setting \"nope\""],
        ),
        ("freshet group list --state bogus", &["bogus", "Stable"]),
        ("freshet group list --state Stabel", &["'Stable'"]),
        (
            "freshet config describe broker:99",
            &["there is no broker 99; brokers: 1"],
        ),
        (
            "freshet config set broker:99 a=b",
            &["there is no broker 99; brokers: 1"],
        ),
        (
            "freshet produce nosuch --value x",
            &["nosuch", "freshet topic create"],
        ),
        ("freshet consume t --partition 7", &["no partition 7"]),
        ("freshet consume t --from soon", &["\"soon\" is no time"]),
        ("freshet topic list --timeout 5", &["unit"]),
        ("freshet topic alter t --config nope=1", &["INVALID_CONFIG"]),
    ] {
        shell.fails(line, words)?;
    }
    let took = start.elapsed();
    ensure!(took < Duration::from_secs(20), "typos took {took:?}");
    Ok(())
}

fn nobody_there(shell: &Shell) -> Result<()> {
    for (line, most) in [
        ("FRESHET_BOOTSTRAP=127.0.0.1:1 freshet topic list", 8),
        (
            "FRESHET_BOOTSTRAP=127.0.0.1:1 freshet topic list --timeout 1s",
            4,
        ),
    ] {
        let start = Instant::now();
        shell.fails(line, &["no broker answers at 127.0.0.1:1", "--bootstrap"])?;
        let took = start.elapsed();
        if took > Duration::from_secs(most) {
            bail!("{line} took {took:?}");
        }
    }
    Ok(())
}
