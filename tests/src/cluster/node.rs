//! One broker of a cluster, in its own network namespace.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Resource, Rlimit, Signal};

use super::disk::Disk;
use super::network::{at_node, host};
use super::taken::Taken;
use crate::broker::{Kind, freshet_binary};
use crate::kafka_server::{self, java};
use crate::process::{Process, run};

/// How long an asked end may take.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// What `StorageTool` formats the folders of Apache Kafka with: any 16 bytes.
const CLUSTER: &str = "ZnJlc2hldFRyaWFscy4uLg";
/// What is kept free on the disks of trials.
const RESERVE_BYTES: &str = "16777216";
const FOREIGN: &str = "Zm9yZWlnbi1jbHVzdGVyIQ";

/// What Apache Kafka is told so that its patience fits into a short test. Freshet runs with its
/// own defaults, which are under test.
const IMPATIENT: &[(&str, &str)] = &[
    ("broker.session.timeout.ms", "3000"),
    ("broker.heartbeat.interval.ms", "500"),
    ("replica.lag.time.max.ms", "5000"),
    ("default.replication.factor", "3"),
    ("min.insync.replicas", "2"),
    ("offsets.topic.num.partitions", "3"),
    ("group.initial.rebalance.delay.ms", "500"),
];

/// One broker and controller; its process is killed when it is dropped.
pub struct Node {
    /// Its `node.id`.
    pub id: i32,
    kind: Kind,
    cluster: &'static str,
    folder: PathBuf,
    logs: PathBuf,
    settings: Vec<(String, String)>,
    environment: Vec<(String, String)>,
    /// What it has to know of object storage: part of the environment, too.
    store: Vec<(String, String)>,
    process: Option<Process>,
    /// Its own disk. Dropped after the process.
    disk: Option<Disk>,
}

/// `host:port` of a broker for clients.
pub(super) fn address(id: i32) -> String {
    format!("{}:9092", host(id))
}

impl Node {
    /// A node of a cluster of `voters`, which keeps everything in `folder`, but for its records if
    /// it has a disk. It is not started.
    pub(super) fn new(
        kind: Kind,
        id: i32,
        voters: &[i32],
        (folder, disk): (PathBuf, Option<Disk>),
    ) -> Self {
        let logs = disk.as_ref().map_or_else(|| folder.clone(), Disk::files);
        let logs = logs.join("data");
        let address = host(id);
        let voter = |id: &i32| format!("{id}@{}:9093", host(*id));
        let voters: Vec<String> = voters.iter().map(voter).collect();
        let settings = [
            ("node.id", id.to_string()),
            ("process.roles", "broker,controller".into()),
            (
                "listeners",
                format!("PLAINTEXT://{address}:9092,CONTROLLER://{address}:9093"),
            ),
            ("controller.listener.names", "CONTROLLER".into()),
            ("controller.quorum.voters", voters.join(",")),
            ("inter.broker.listener.name", "PLAINTEXT".into()),
            ("log.dirs", logs.display().to_string()),
        ];
        let mut settings: Vec<(String, String)> =
            settings.map(|(name, value)| (name.into(), value)).into();
        if disk.is_some() && kind == Kind::Freshet {
            // The default reserve is more than a disk of a trial holds.
            settings.push(("freshet.disk.reserve.bytes".into(), RESERVE_BYTES.into()));
        }
        Self {
            id,
            kind,
            cluster: CLUSTER,
            folder,
            logs,
            disk,
            settings,
            environment: Vec::new(),
            store: Vec::new(),
            process: None,
        }
    }

    /// `host:port` for clients.
    pub fn address(&self) -> String {
        address(self.id)
    }

    /// `host:port` of its metrics; Apache Kafka has none.
    pub fn http(&self) -> String {
        format!("{}:8080", host(self.id))
    }

    /// The folder of its records.
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// The segments of one of its logs, the oldest first.
    pub fn segments(&self, log: &str) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(self.logs.join(log))? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "log") {
                found.push(path);
            }
        }
        found.sort();
        Ok(found)
    }

    /// The disk under its records; trials that need one ask for it.
    pub fn disk(&mut self) -> Result<&mut Disk> {
        self.disk
            .as_mut()
            .context("this cluster has no disks of its own")
    }

    /// Sets something before the next start; a later word replaces an earlier one.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.into(), value.into()));
    }

    /// The environment of the next starts: all of it that a trial chooses.
    pub fn set_environment(&mut self, environment: &[(&str, &str)]) {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        self.environment = environment.iter().map(owned).collect();
    }

    /// What the next starts have to know of object storage, in the environment as well.
    pub fn set_store(&mut self, environment: Vec<(String, String)>) {
        self.store = environment;
    }

    /// Takes what makes Apache Kafka impatient back: its own defaults.
    pub fn be_patient(&mut self) {
        self.set("broker.session.timeout.ms", "9000");
        self.set("broker.heartbeat.interval.ms", "2000");
        self.set("replica.lag.time.max.ms", "30000");
    }

    /// Takes its part in the quorum away.
    pub fn be_no_controller(&mut self) {
        self.set("process.roles", "broker");
        let listener = format!("PLAINTEXT://{}", self.address());
        self.set("listeners", &listener);
    }

    /// Makes it a controller and nothing else.
    pub(super) fn be_no_broker(&mut self) {
        self.set("process.roles", "controller");
        let listener = format!("CONTROLLER://{}:9093", host(self.id));
        self.set("listeners", &listener);
        // It has no such listener.
        self.settings
            .retain(|(name, _)| name != "inter.broker.listener.name");
    }

    /// Makes it a controller that finds the others by their addresses, and votes once it is asked to.
    pub fn join_at_run_time(&mut self) {
        let known = |(name, _): &&(String, String)| name == "controller.quorum.voters";
        let voters = self.settings.iter().find(known);
        let voters = voters.map(|(_, voters)| voters.clone()).unwrap_or_default();
        let addresses = voters
            .split(',')
            .filter_map(|voter| voter.split('@').nth(1));
        let addresses: Vec<&str> = addresses.collect();
        self.settings
            .retain(|(name, _)| name != "controller.quorum.voters");
        self.set("controller.quorum.bootstrap.servers", &addresses.join(","));
    }

    /// Makes it belong to another cluster than all others.
    pub fn be_foreign(&mut self) {
        self.cluster = FOREIGN;
        if self.kind == Kind::Freshet {
            self.set("freshet.cluster.id", FOREIGN);
        }
    }

    /// Whether its process should be running.
    pub fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// Starts the process; does not wait until it serves.
    pub fn start(&mut self) -> Result<()> {
        let mut command = match self.kind {
            Kind::Freshet => self.freshet(),
            Kind::Kafka => self.kafka()?,
        };
        let environment = self.store.iter().chain(&self.environment);
        command.envs(environment.map(|(name, value)| (name, value)));
        let log = self.folder.join("broker.log");
        self.process = Some(Process::start(at_node(self.id, &command), &log)?);
        Ok(())
    }

    fn freshet(&self) -> Command {
        let mut command = Command::new(freshet_binary());
        let http = format!("http.listener={}", self.http());
        command.args(["--set", &http]);
        for (name, value) in &self.settings {
            command.args(["--set", &format!("{name}={value}")]);
        }
        command
    }

    fn kafka(&self) -> Result<Command> {
        let home = kafka_server::home(&self.folder);
        std::fs::create_dir_all(&home)?;
        let properties = home.join("server.properties");
        let mut text = String::new();
        let impatient = IMPATIENT.iter().map(|(name, value)| (*name, *value));
        let set = self.settings.iter();
        for (name, value) in impatient.chain(set.map(|(name, value)| (&**name, &**value))) {
            text.push_str(&format!("{name}={value}\n"));
        }
        std::fs::write(&properties, text)?;
        if !self.logs.join("meta.properties").exists() {
            let mut format = java("-Xmx128m", &[])?;
            format.args([
                "kafka.tools.StorageTool",
                "format",
                "-t",
                self.cluster,
                "-c",
            ]);
            format.arg(&properties);
            run(format, "", Duration::from_secs(60))?.success()?;
            // The tool leaves to chance when its files are on the disk; trials are about the broker.
            rustix::fs::syncfs(std::fs::File::open(&self.logs)?)?;
        }
        let mut command = java("-Xmx400m", &[])?;
        command.arg("kafka.Kafka").arg(&properties);
        Ok(command)
    }

    fn running(&mut self) -> Result<&mut Process> {
        let id = self.id;
        self.process
            .as_mut()
            .with_context(|| format!("broker {id} is not running"))
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        self.running()?.kill()?;
        self.process = None;
        Ok(())
    }

    /// Takes all that it has stored, while it is down.
    pub fn lose_disk(&mut self) -> Result<()> {
        ensure!(!self.is_up(), "broker {} is running", self.id);
        std::fs::remove_dir_all(&self.logs)?;
        Ok(())
    }

    /// Ends it with SIGTERM and waits for the end.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        let id = self.id;
        let process = self.running()?;
        process.terminate()?;
        let status = process
            .wait(STOP_LIMIT)
            .with_context(|| format!("stopping broker {id}"))?;
        self.process = None;
        Ok(status)
    }

    /// Stops it in its tracks with SIGSTOP.
    pub fn pause(&mut self) -> Result<()> {
        self.running()?.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub fn resume(&mut self) -> Result<()> {
        self.running()?.signal(Signal::CONT)
    }

    /// The number of its process.
    pub fn process_id(&mut self) -> Result<Pid> {
        self.running()?.id()
    }

    /// What its process has taken of the machine, if it runs.
    pub fn taken(&self) -> Result<Option<Taken>> {
        let process = self.process.as_ref().map(Process::id).transpose()?;
        process.map(Taken::by).transpose()
    }

    /// Lets its process have so much of something from now on; gives what it could have before.
    pub fn limit(&mut self, what: Resource, to: Rlimit) -> Result<Rlimit> {
        self.running()?.limit(what, to)
    }

    /// How it ended by itself, if it did.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let Some(process) = &mut self.process else {
            return Ok(None);
        };
        let status = process.ended()?;
        if status.is_some() {
            self.process = None;
        }
        Ok(status)
    }

    /// All that it has printed so far, over all its starts.
    pub fn printed(&self) -> String {
        let log = self.folder.join("broker.log");
        std::fs::read_to_string(log).unwrap_or_default()
    }
}
