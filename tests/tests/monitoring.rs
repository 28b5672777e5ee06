//! A real Prometheus scrapes a real cluster: every query of every dashboard has an answer, every rule can
//! be evaluated, and alerts are raised when they should.
#![expect(
    clippy::disallowed_methods,
    reason = "black-box tests drive real processes by the real clock and the real file system"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use freshet_records::{Codec, NO_PRODUCER};
use freshet_tests::{
    Cluster, Kind, Process, Suite, batch, enter, eventually, freshet_command, missing_for_trials,
    now_ms, run,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);
/// A batch; eight of them make a segment.
const BATCH_BYTES: usize = 128 << 10;
/// As a timestamp to ListOffsets.
const LOCAL: i64 = -4;
/// What people choose in Grafana.
const CHOSEN: &[(&str, &str)] = &[
    ("$__rate_interval", "10s"),
    ("$namespace", "space"),
    ("$cluster", "main"),
    ("$pod", ".*"),
    ("$topic", ".*"),
    ("$group", ".*"),
];
/// Dashboards of what does not run here. The operator's own tests hold its queries against its metrics.
const EXEMPT: &[&str] = &["operator.json"];

/// Alerts about the disk of the machine that this runs on: others write to it as well.
const OF_THE_MACHINE: &[&str] = &["FreshetDiskAlmostFull", "FreshetDiskFillsSoon"];
/// Alerts that a broker leaves behind that is killed.
const MISSED: &[&str] = &[
    "FreshetBrokersAway",
    "FreshetBrokerNotScraped",
    "FreshetUnderReplicated",
];

fn main() -> ExitCode {
    // Clusters have a network of their own.
    let alone = enter().or_else(missing_for_trials);
    let mut suite = Suite::default();
    let kafka =
        (Kind::from_env() == Kind::Kafka).then(|| "its metrics have other names".to_owned());
    let absent = |programs: &[&str]| {
        let absent = programs.iter().find(|program| !on_path(program));
        absent.map(|program| format!("there is no {program} on this machine"))
    };
    suite.test("rules_can_be_read", absent(&["promtool"]), sound);
    suite.test(
        "alerts_are_raised_when_they_should",
        absent(&["promtool"]),
        raised,
    );
    suite.test(
        "every_query_of_every_dashboard_has_an_answer",
        kafka.or(alone).or_else(|| absent(&["prometheus"])),
        answered,
    );
    suite.run()
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/freshet-operator")
}

/// The files of a folder of the chart, sorted.
fn files(folder: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(chart().join(folder))?;
    let mut files: Vec<PathBuf> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.sort();
    ensure!(!files.is_empty(), "{folder} is empty");
    Ok(files)
}

fn promtool(arguments: &[&str], files: Vec<PathBuf>) -> Result<()> {
    let mut command = Command::new("promtool");
    command.args(arguments).args(files);
    let told = run(command, "", PATIENCE)?;
    eprintln!("{}", told.success()?.trim());
    Ok(())
}

fn sound() -> Result<()> {
    promtool(
        &["check", "rules", "--lint=all", "--lint-fatal"],
        files("rules")?,
    )
}

fn raised() -> Result<()> {
    promtool(&["test", "rules"], files("tests/rules")?)
}

/// One thing that Prometheus is asked.
struct Question {
    /// Where it stands.
    place: String,
    query: String,
    /// A label that all answers must have.
    label: Option<String>,
}

fn answered() -> Result<()> {
    let (folder, bucket) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let mut cluster = cluster(folder.path(), bucket.path())?;
    cluster.start()?;
    let life = Life::begin(&cluster)?;
    let prometheus = Prometheus::start(folder.path(), &cluster)?;
    let nothing = Question {
        place: "nowhere".to_owned(),
        query: "sum(freshet_nothing)".to_owned(),
        label: None,
    };
    ensure!(prometheus.answers(&nothing).is_err(), "it answers anything");
    let mut open = questions()?;
    let count = open.len();
    let started = Instant::now();
    // Rates need two scrapes; what the brokers do meanwhile is part of the answers.
    while !open.is_empty() {
        life.go_on(&cluster)?;
        let mut still = Vec::new();
        for question in open {
            if let Err(why) = prometheus.answers(&question) {
                still.push((question, why));
            }
        }
        if started.elapsed() > PATIENCE {
            let mut told = String::new();
            for (question, why) in &still {
                writeln!(told, "{}: {}\n    {why:#}", question.place, question.query)?;
            }
            bail!("{} of {count} queries have no answer:\n{told}", still.len());
        }
        open = still.into_iter().map(|(question, _)| question).collect();
    }
    let rules = eventually(PATIENCE, || prometheus.all_is_well())?;
    eprintln!(
        "{count} queries of dashboards have answers after {:.1} s, {rules} rules were evaluated; exempt, because no \
         operator runs here: {}",
        started.elapsed().as_secs_f64(),
        EXEMPT.join(", ")
    );
    // Whoever goes is missed.
    cluster.node(3).kill()?;
    eventually(PATIENCE, || {
        let states = prometheus.states()?;
        for name in MISSED {
            let state = states.get(*name).map(String::as_str);
            let told = matches!(state, Some("pending" | "firing"));
            ensure!(told, "{name} is {state:?}, with a broker killed");
        }
        Ok(())
    })
}

/// Every query of every dashboard, and what their variables are filled from.
fn questions() -> Result<Vec<Question>> {
    let mut questions = Vec::new();
    for path in files("dashboards")? {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.context("a name")?.to_owned();
        if EXEMPT.contains(&name.as_str()) {
            continue;
        }
        let board: Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
        let before = questions.len();
        for panel in board["panels"].as_array().context("panels")? {
            for target in panel["targets"].as_array().into_iter().flatten() {
                questions.push(Question {
                    place: format!("{name}, {}", panel["title"]),
                    query: chosen(target["expr"].as_str().context("a query")?)?,
                    label: None,
                });
            }
        }
        ensure!(questions.len() > before + 5, "{name} has no panels");
        for variable in board["templating"]["list"]
            .as_array()
            .context("variables")?
        {
            let Some(query) = variable["definition"].as_str() else {
                continue;
            };
            let inner = query
                .strip_prefix("label_values(")
                .and_then(|rest| rest.strip_suffix(')'));
            let parts = inner.and_then(|inner| inner.rsplit_once(", "));
            let (series, label) = parts.with_context(|| query.to_owned())?;
            questions.push(Question {
                place: format!("{name}, {}", variable["name"]),
                query: chosen(series)?,
                label: Some(label.to_owned()),
            });
        }
    }
    Ok(questions)
}

fn chosen(query: &str) -> Result<String> {
    let mut query = query.to_owned();
    for (name, value) in CHOSEN {
        query = query.replace(name, value);
    }
    ensure!(!query.contains('$'), "nobody chooses in {query}");
    Ok(query)
}

/// Three brokers with a bucket, and a disk cache for what comes back from there.
fn cluster(folder: &Path, bucket: &Path) -> Result<Cluster> {
    let mut cluster = Cluster::new(3, folder, false)?;
    for id in cluster.ids() {
        let cache = folder.join(format!("{id}/cache")).display().to_string();
        let url = format!("file://{}", bucket.display());
        let node = cluster.node(id);
        for (name, value) in [
            ("remote.log.storage.system.enable", "true"),
            ("remote.log.storage.url", &url),
            ("remote.log.manager.task.interval.ms", "100"),
            ("log.retention.check.interval.ms", "1000"),
            ("freshet.remote.read.disk.cache.dir", &cache),
            ("freshet.remote.read.disk.cache.bytes", "33554432"),
        ] {
            node.set(name, value);
        }
    }
    Ok(cluster)
}

/// What goes on in the cluster while it is looked at.
struct Life {
    bootstrap: String,
}

impl Life {
    fn begin(cluster: &Cluster) -> Result<Self> {
        let life = Self {
            bootstrap: cluster.bootstrap(),
        };
        cluster.create_topic("orders", 6, 3)?;
        let tiered = [
            ("remote.storage.enable", "true"),
            ("segment.bytes", "1048576"),
            ("local.retention.bytes", "0"),
            ("retention.ms", "-1"),
        ];
        cluster.create_topic_with("past", (1, 3), &tiered)?;
        for _ in 0..4 {
            life.write_past(cluster, 10)?;
        }
        life.order()?;
        life.read()?;
        Ok(life)
    }

    /// A little of everything.
    fn go_on(&self, cluster: &Cluster) -> Result<()> {
        self.write_past(cluster, 2)?;
        let mut raw = cluster.connect(cluster.leader("past", 0)?)?;
        // From the bucket, or soon; and what has left the disk just now, which nobody has read.
        let (_, _, local) = raw.offset_at("past", LOCAL)?;
        for from in [0, (local - 1).max(0)] {
            raw.fetch("past", from, i32::try_from(BATCH_BYTES)?)?;
        }
        // Somebody asks for what is not there.
        raw.fetch("past", i64::MAX - 1, 1000)?;
        self.order()?;
        self.read()?;
        // The group is behind by these.
        self.order()
    }

    fn write_past(&self, cluster: &Cluster, batches: u8) -> Result<()> {
        let mut raw = cluster.connect(cluster.leader("past", 0)?)?;
        for n in 0..batches {
            let value = vec![n; BATCH_BYTES];
            let records = batch(Codec::None, NO_PRODUCER, &[(now_ms(), &value)])?;
            let told = raw.produce("past", records)?;
            ensure!(told.error_code == 0, "{told:?}");
        }
        Ok(())
    }

    fn order(&self) -> Result<()> {
        let lines: String = (0..60).map(|n| format!("{n}:order {n}\n")).collect();
        self.freshet(&["produce", "orders", "--key-separator", ":"], &lines)
    }

    fn read(&self) -> Result<()> {
        self.freshet(&["consume", "orders", "--group", "shop"], "")
    }

    fn freshet(&self, arguments: &[&str], input: &str) -> Result<()> {
        let mut command = Command::new(freshet_command());
        command.args(arguments);
        command.env("FRESHET_BOOTSTRAP", &self.bootstrap);
        run(command, input, PATIENCE)?.success().map(drop)
    }
}

/// A running Prometheus.
struct Prometheus {
    address: String,
    process: Process,
}

impl Prometheus {
    /// One that scrapes the brokers each second, and gives them the labels that the chart's PodMonitor
    /// does.
    fn start(folder: &Path, cluster: &Cluster) -> Result<Self> {
        let mut config = String::from(
            "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\nrule_files:\n",
        );
        for path in files("rules")? {
            writeln!(config, "  - {}", fs::canonicalize(path)?.display())?;
        }
        config.push_str("scrape_configs:\n  - job_name: space/freshet-operator-brokers\n");
        config.push_str("    static_configs:\n");
        let ordinals = 0..;
        for (address, ordinal) in cluster.bootstrap().split(',').zip(ordinals) {
            let host = address.split(':').next().context("host:port")?;
            writeln!(
                config,
                "      - targets: ['{host}:8080']\n        labels: {{namespace: space, pod: main-a-{ordinal}, \
                 container: broker, endpoint: http, freshet_dev_cluster: main, freshet_dev_pool: a}}"
            )?;
        }
        let file = folder.join("prometheus.yml");
        fs::write(&file, config)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!(
            "--storage.tsdb.path={}",
            folder.join("series").display()
        ));
        command.arg(format!("--web.listen-address={address}"));
        command.arg("--log.level=warn");
        let process = Process::start(command, &folder.join("prometheus.log"))?;
        let prometheus = Self { address, process };
        eventually(PATIENCE, || {
            let ready = prometheus.get("/-/ready")?;
            ensure!(ready.0 == 200, "{ready:?}");
            Ok(())
        })
        .with_context(|| prometheus.process.tail())?;
        Ok(prometheus)
    }

    /// The status and the body of a plain GET. As HTTP/1.0 it has the whole body in one piece.
    fn get(&self, path: &str) -> Result<(u16, String)> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: prometheus\r\n\r\n")?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        let status = reply.split(' ').nth(1).context("a status line")?.parse()?;
        let (_, body) = reply.split_once("\r\n\r\n").context("a body")?;
        Ok((status, body.to_owned()))
    }

    fn ask(&self, path: &str) -> Result<Value> {
        let (status, body) = self.get(path)?;
        let answer: Value = serde_json::from_str(&body).with_context(|| body.clone())?;
        ensure!(status == 200 && answer["status"] == "success", "{answer}");
        Ok(answer["data"].clone())
    }

    /// Whether a query has data: at least one number.
    fn answers(&self, question: &Question) -> Result<()> {
        let mut path = "/api/v1/query?query=".to_owned();
        for byte in question.query.bytes() {
            write!(path, "%{byte:02X}")?;
        }
        let data = self.ask(&path)?;
        let series = data["result"].as_array().context("a vector")?;
        ensure!(!series.is_empty(), "no series");
        let is_number = |one: &&Value| one["value"][1].as_str().is_some_and(|value| value != "NaN");
        ensure!(series.iter().any(|one| is_number(&one)), "only NaN: {data}");
        let Some(label) = &question.label else {
            return Ok(());
        };
        let has_label = |one: &Value| one["metric"].get(label).is_some();
        ensure!(series.iter().all(has_label), "without {label}: {data}");
        Ok(())
    }

    /// The state of each alert, once all of them were evaluated well.
    fn states(&self) -> Result<BTreeMap<String, String>> {
        let data = self.ask("/api/v1/rules?type=alert")?;
        let groups = data["groups"].as_array().context("groups")?;
        let rules = groups.iter().flat_map(|group| group["rules"].as_array());
        let mut states = BTreeMap::new();
        for rule in rules.flatten() {
            let name = rule["name"].as_str().context("a name")?;
            ensure!(rule["health"] == "ok", "{name}: {rule}");
            let state = rule["state"].as_str().context("a state")?;
            states.insert(name.to_owned(), state.to_owned());
        }
        ensure!(states.len() > 20, "{states:?}");
        Ok(states)
    }

    /// How many rules there are, while nothing is wrong.
    fn all_is_well(&self) -> Result<usize> {
        let states = self.states()?;
        let told: Vec<_> = states
            .iter()
            .filter(|(name, state)| {
                *state != "inactive" && !OF_THE_MACHINE.contains(&name.as_str())
            })
            .collect();
        ensure!(told.is_empty(), "all is well, and still: {told:?}");
        Ok(states.len())
    }
}
