//! One running broker.

mod kafka;
mod probe;

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

pub(crate) use self::probe::free_port;
use self::probe::{answers, page};
use crate::args::{Side, freshet};
use crate::cpu;

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// How often a starting broker is asked; also the precision of the start time.
const ASK_EVERY: Duration = Duration::from_millis(1);

/// A broker process with its data folder, or three of them as one cluster; all is gone when it is
/// dropped.
pub(crate) struct Broker {
    pub(crate) side: Side,
    /// From the start of the processes to the first answer of the last of them.
    pub(crate) took: Duration,
    nodes: Vec<Node>,
    /// Where each tells its metrics, if that was wanted.
    metrics: Vec<SocketAddr>,
}

/// One process.
struct Node {
    address: SocketAddr,
    child: Child,
    command: Command,
    folder: PathBuf,
}

/// What a node is told of its cluster.
pub(crate) struct Member {
    id: usize,
    port: u16,
    controller: u16,
    /// `id@host:port` of every controller.
    voters: String,
}

impl Broker {
    /// Starts a broker with an empty data folder in `scratch` and waits for its first answer.
    pub(crate) fn start(side: Side, scratch: &Path) -> Result<Self> {
        let port = free_port()?;
        let folder = made(side, port, scratch)?;
        let command = match side {
            Side::Freshet => prepare_freshet(&folder, port)?,
            Side::Kafka => kafka::prepare(&folder, port)?,
        };
        Self::launch(side, vec![(folder, command, port)])
    }

    /// Starts so many of Freshet as one cluster with more settings, and more in their environment; they
    /// tell their metrics.
    pub(crate) fn start_tiering(
        scratch: &Path,
        count: usize,
        settings: &[(&str, String)],
        environment: &[(&str, String)],
    ) -> Result<Self> {
        let (mut prepared, mut metrics) = (Vec::new(), Vec::new());
        for member in members(count)? {
            let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
            let folder = made(Side::Freshet, member.port, scratch)?;
            let told = [("http.listener", address.to_string())];
            let own = match count {
                // What a new user starts: told nothing of a cluster.
                1 => vec![(
                    "listeners",
                    format!("PLAINTEXT://127.0.0.1:{}", member.port),
                )],
                _ => member.settings().to_vec(),
            };
            let all = [&own[..], &told, settings].concat();
            let mut command = freshet_with(&folder, &all)?;
            command.envs(environment.iter().map(|(name, value)| (name, value)));
            prepared.push((folder, command, member.port));
            metrics.push(address);
        }
        let mut broker = Self::launch(Side::Freshet, prepared)?;
        broker.metrics = metrics;
        Ok(broker)
    }

    /// A metric by its name, the sum over all labels and nodes; of brokers that tell them.
    pub(crate) fn metric(&self, name: &str) -> Result<f64> {
        if self.metrics.is_empty() {
            bail!("it does not tell its metrics");
        }
        let mut sum = 0.0;
        for address in &self.metrics {
            let page = page(*address, "/metrics").context("cannot read the metrics")?;
            let lines = page.lines().filter_map(|line| line.strip_prefix(name));
            let values = lines.filter(|rest| rest.starts_with([' ', '{']));
            let values = values.filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<f64>().ok());
            sum += values.sum::<f64>();
        }
        Ok(sum)
    }

    /// Bytes of a topic's files on the disks of all nodes.
    pub(crate) fn log_bytes(&self, topic: &str) -> Result<u64> {
        (0..self.count())
            .map(|at| self.log_bytes_of(at, topic))
            .sum()
    }

    /// The same of one node. Nodes count from 0; their ids are one more.
    pub(crate) fn log_bytes_of(&self, at: usize, topic: &str) -> Result<u64> {
        // One that is deleted meanwhile takes no room.
        let bytes = |file| fs::metadata(file).map_or(0, |file| file.len());
        Ok(self.nodes[at].files(topic)?.into_iter().map(bytes).sum())
    }

    /// The files of a topic's records.
    pub(crate) fn segments(&self, topic: &str) -> Result<Vec<PathBuf>> {
        let mut files = self.files(topic)?;
        files.retain(|file| file.extension().is_some_and(|end| end == "log"));
        Ok(files)
    }

    fn files(&self, topic: &str) -> Result<Vec<PathBuf>> {
        let of_nodes = self.nodes.iter().map(|node| node.files(topic));
        Ok(of_nodes.collect::<Result<Vec<_>>>()?.concat())
    }

    /// Has the kernel forget what it keeps of a topic's files: the next read is the disk's.
    pub(crate) fn evict(&self, topic: &str) -> Result<()> {
        rustix::fs::sync();
        self.forget(topic)
    }

    /// The same of what is on the disk already.
    pub(crate) fn forget(&self, topic: &str) -> Result<()> {
        for path in self.files(topic)? {
            let file = File::open(path).context("cannot open a log")?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
        Ok(())
    }

    /// Starts three brokers and controllers as one cluster, and waits until each answers.
    pub(crate) fn start_three(side: Side, scratch: &Path) -> Result<Self> {
        let mut prepared = Vec::new();
        for member in members(3)? {
            let folder = made(side, member.port, scratch)?;
            let command = match side {
                Side::Freshet => freshet_with(&folder, &member.settings())?,
                Side::Kafka => kafka::prepare_member(&folder, &member)?,
            };
            prepared.push((folder, command, member.port));
        }
        Self::launch(side, prepared)
    }

    fn launch(side: Side, prepared: Vec<(PathBuf, Command, u16)>) -> Result<Self> {
        let start = Instant::now();
        let mut broker = Self {
            side,
            took: Duration::ZERO,
            nodes: Vec::new(),
            metrics: Vec::new(),
        };
        for (folder, mut command, port) in prepared {
            let log = File::create(folder.join("broker.log"));
            let log = log.context("cannot create broker.log")?;
            command
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log);
            let child = spawn(&mut command)?;
            broker.nodes.push(Node {
                address: SocketAddr::from(([127, 0, 0, 1], port)),
                child,
                command,
                folder,
            });
        }
        broker.await_answers(start)?;
        Ok(broker)
    }

    /// Starts a broker that was stopped or killed, with the data that it left.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        let start = Instant::now();
        for node in &mut self.nodes {
            node.child = spawn(&mut node.command)?;
        }
        self.await_answers(start)
    }

    fn await_answers(&mut self, start: Instant) -> Result<()> {
        for node in &mut self.nodes {
            while !answers(node.address) {
                if let Some(status) = node.child.try_wait()? {
                    bail!(
                        "{} ended at its start with {status}: {}",
                        self.side.name(),
                        node.words()
                    );
                }
                if start.elapsed() > START_LIMIT {
                    bail!("{} did not answer within {START_LIMIT:?}", self.side.name());
                }
                sleep(ASK_EVERY);
            }
        }
        self.took = start.elapsed();
        Ok(())
    }

    /// `host:port` of every node.
    pub(crate) fn bootstrap(&self) -> String {
        let addresses = self.nodes.iter().map(|node| node.address.to_string());
        addresses.collect::<Vec<_>>().join(",")
    }

    /// The process ids.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.nodes.iter().map(|node| node.child.id()).collect()
    }

    /// User and system seconds so far, over all nodes.
    pub(crate) fn cpu(&self) -> Result<f64> {
        self.ids().into_iter().map(cpu::of).sum()
    }

    /// The same of threads whose names begin like this.
    pub(crate) fn cpu_of(&self, names: &[&str]) -> Result<f64> {
        let ids = self.ids().into_iter();
        ids.map(|id| cpu::of_threads(id, names)).sum()
    }

    /// Resident memory now and at its highest, in MiB, over all nodes.
    pub(crate) fn resident(&self) -> Result<(f64, f64)> {
        let mut all = (0.0, 0.0);
        for id in self.ids() {
            let (now, highest) = cpu::resident(id)?;
            all = (all.0 + now, all.1 + highest);
        }
        Ok(all)
    }

    /// How many processes there are.
    pub(crate) fn count(&self) -> usize {
        self.nodes.len()
    }

    /// Ends the processes as a crash would.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.nodes.iter_mut().try_for_each(Node::kill)
    }

    /// Ends one process as a crash would. Nodes count from 0; their ids are one more.
    pub(crate) fn kill_node(&mut self, at: usize) -> Result<()> {
        self.nodes[at].kill()
    }

    /// Asks one process to end and waits until it has.
    pub(crate) fn stop_node(&mut self, at: usize) -> Result<()> {
        self.nodes[at].ask_to_end()?;
        let start = Instant::now();
        self.nodes[at].await_end(start, self.side)
    }

    /// Starts one process that was stopped or killed; does not wait for its first answer.
    pub(crate) fn start_node(&mut self, at: usize) -> Result<()> {
        let node = &mut self.nodes[at];
        node.child = spawn(&mut node.command)?;
        Ok(())
    }

    /// Asks the processes to end and waits until they have.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.nodes.iter().try_for_each(Node::ask_to_end)?;
        let start = Instant::now();
        let side = self.side;
        self.nodes
            .iter_mut()
            .try_for_each(|node| node.await_end(start, side))
    }
}

impl Node {
    fn kill(&mut self) -> Result<()> {
        self.child.kill().context("cannot kill the broker")?;
        self.child.wait().context("cannot wait for the broker")?;
        Ok(())
    }

    fn ask_to_end(&self) -> Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).context("cannot signal the broker")
    }

    fn await_end(&mut self, start: Instant, side: Side) -> Result<()> {
        while self.child.try_wait()?.is_none() {
            if start.elapsed() > STOP_LIMIT {
                bail!("{} did not stop within {STOP_LIMIT:?}", side.name());
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The files of a topic's partitions.
    fn files(&self, topic: &str) -> Result<Vec<PathBuf>> {
        let logs = entries(&self.folder.join("data"))?.into_iter();
        let logs = logs.filter(|path| is_log_of(path, topic));
        Ok(logs
            .map(|log| entries(&log))
            .collect::<Result<Vec<_>>>()?
            .concat())
    }

    /// The last lines that the broker printed.
    fn words(&self) -> String {
        let text = fs::read_to_string(self.folder.join("broker.log")).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).context("cannot list logs")?;
    let paths = entries.map(|entry| Ok(entry?.path()));
    Ok(paths.collect::<std::io::Result<_>>()?)
}

/// Whether a folder is a log of a topic: `topic-number`.
fn is_log_of(path: &Path, topic: &str) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let number = name.and_then(|name| name.strip_prefix(topic)?.strip_prefix('-'));
    number.is_some_and(|number| number.parse::<u32>().is_ok())
}

fn made(side: Side, port: u16, scratch: &Path) -> Result<PathBuf> {
    let folder = scratch.join(format!("{}-{port}", side.name().to_lowercase()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

/// What has to be on a machine to run a broker there, in 10^6 bytes: the binary, or the jars without
/// the JVM.
pub(crate) fn installed_megabytes(side: Side) -> Result<f64> {
    let bytes = match side {
        Side::Freshet => fs::metadata(freshet()).context("there is no binary")?.len(),
        Side::Kafka => {
            let jars = fs::read_dir(kafka::jars()?).context("cannot list Kafka's jars")?;
            let sizes = jars.map(|jar| Ok(jar?.metadata()?.len()));
            sizes.sum::<std::io::Result<u64>>()?
        }
    };
    Ok(bytes as f64 / 1e6)
}

fn spawn(command: &mut Command) -> Result<Child> {
    command
        .spawn()
        .with_context(|| format!("cannot start {:?}", command.get_program()))
}

impl Drop for Node {
    fn drop(&mut self) {
        // Best effort: an early end of the benchmark must leave neither processes nor gigabytes.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn prepare_freshet(folder: &Path, port: u16) -> Result<Command> {
    freshet_with(
        folder,
        &[("listeners", format!("PLAINTEXT://127.0.0.1:{port}"))],
    )
}

fn freshet_with(folder: &Path, settings: &[(&str, String)]) -> Result<Command> {
    let binary = freshet();
    if !binary.is_file() {
        bail!(
            "there is no {}; run `cargo xtask bench`, which builds it",
            binary.display()
        );
    }
    let mut command = Command::new(binary);
    let first = [
        ("http.listener", "127.0.0.1:0".to_owned()),
        ("log.dirs", folder.join("data").display().to_string()),
    ];
    // The last one that is said counts.
    for (name, value) in first.iter().chain(settings) {
        command.arg("--set").arg(format!("{name}={value}"));
    }
    Ok(command)
}

/// The nodes of a new cluster: all of them brokers and controllers.
fn members(count: usize) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    for id in 1..=count {
        members.push(Member {
            id,
            port: free_port()?,
            controller: free_port()?,
            voters: String::new(),
        });
    }
    let voter = |member: &Member| format!("{}@127.0.0.1:{}", member.id, member.controller);
    let voters = members.iter().map(voter).collect::<Vec<_>>().join(",");
    for member in &mut members {
        member.voters.clone_from(&voters);
    }
    Ok(members)
}

impl Member {
    /// What both brokers are told, by the same names.
    fn settings(&self) -> [(&'static str, String); 6] {
        let Self {
            id,
            port,
            controller,
            voters,
        } = self;
        let listeners = format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}");
        [
            ("node.id", id.to_string()),
            ("process.roles", "broker,controller".into()),
            ("listeners", listeners),
            ("controller.listener.names", "CONTROLLER".into()),
            ("controller.quorum.voters", voters.clone()),
            ("inter.broker.listener.name", "PLAINTEXT".into()),
        ]
    }
}
