//! `cargo xtask kube`: a real Kubernetes on this machine, for tests.
//!
//! The control plane, kubelets and containerds are processes in namespaces of their own; see docs/kube.md.

mod binaries;
mod certs;
mod config;
mod control;
mod down;
mod layout;
mod ledger;
mod machine;
mod needs;
mod nodes;
mod status;
mod up;

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Subcommand, ValueEnum};

use crate::process::say;
use layout::Layout;
use ledger::Cluster;
use machine::{cgroups, daemons};

/// How long killed pods may take to be gone.
const PODS_END: Duration = Duration::from_secs(10);

/// What `cargo xtask kube` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the cluster, and install and build what it needs.
    Up {
        /// How many nodes it shall have, each a kubelet and a containerd of its own.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=i64::from(layout::MOST_NODES)))]
        nodes: u8,
    },
    /// Stop the cluster and remove all that it made.
    Down {
        /// Keep objects, volumes and images for the next `up`.
        #[arg(long)]
        keep: bool,
    },
    /// Add one node to the cluster.
    AddNode,
    /// Kill a node's kubelet, as a crash would. Its pods go on.
    StopNode {
        /// For example node-2.
        name: String,
        /// Kill its pods too.
        #[arg(long)]
        pods: bool,
    },
    /// Start a node's kubelet again.
    StartNode {
        /// For example node-2.
        name: String,
    },
    /// Kill the API server, as a crash would. Everything else goes on.
    StopApi,
    /// Start the API server again, and what else of the control plane fell.
    StartApi,
    /// Load image archives into all nodes.
    LoadImage {
        /// What `cargo xtask image` or `docker save` wrote.
        #[arg(required = true, value_name = "TAR")]
        archives: Vec<PathBuf>,
    },
    /// Show nodes and daemons.
    Status {
        /// How it is shown.
        #[arg(long, short, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
    /// Run a command where pods and services can be reached, with kubectl and helm at hand.
    Exec {
        /// The command and its arguments.
        #[arg(
            required = true,
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "CMD"
        )]
        words: Vec<OsString>,
    },
    /// Print lines to `eval` that set KUBECONFIG, PATH and FRESHET_KUBE.
    Env,
    /// Only build the cluster's programs.
    Build,
    /// Say whether a cluster can run on this machine, and what keeps it from that.
    Check,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// Does what was asked for.
pub(crate) fn run(args: &Args) -> Result<()> {
    let layout = Layout::of_user();
    match &args.command {
        Command::Exec { words } => exec(&running(&layout)?, words),
        Command::Env => env(&running(&layout)?),
        Command::Status { output } => match Cluster::find(&layout)? {
            Some(cluster) => status::run(&cluster, *output == Format::Json),
            None => bail!("there is no cluster; `cargo xtask kube up` starts one"),
        },
        Command::Check => {
            refuse(refusal())?;
            say("Kubernetes can run here");
            Ok(())
        }
        changing => {
            // Before the lock, which is a file: a machine that cannot have a cluster is left as it is.
            match changing {
                Command::Up { .. } => refuse(refusal())?,
                Command::Build => refuse(joined(&needs::build_refusals(&layout)))?,
                _ => {}
            }
            let _lock = lock(&layout)?;
            change(&layout, changing)
        }
    }
}

fn refuse(refusal: Option<String>) -> Result<()> {
    refusal.map_or(Ok(()), |why| bail!("Kubernetes cannot run here: {why}"))
}

fn joined(refusals: &[String]) -> Option<String> {
    (!refusals.is_empty()).then(|| refusals.join("; "))
}

/// Why a cluster cannot run on this machine, if it cannot.
pub(crate) fn refusal() -> Option<String> {
    joined(&needs::refusals(&Layout::of_user()))
}

/// Builds the cluster's programs, Helm among them, unless they are there; gives what keeps it from that.
pub(crate) fn build() -> Result<Option<String>> {
    let layout = Layout::of_user();
    let refusal = joined(&needs::build_refusals(&layout));
    if refusal.is_none() {
        let _lock = lock(&layout)?;
        change(&layout, &Command::Build)?;
    }
    Ok(refusal)
}

/// A cluster for tests: new when they begin, gone when they end.
pub(crate) struct Borrowed(Layout);

impl Borrowed {
    /// Raises it, with these images in it. One that is there is taken down first: a run that was killed may
    /// have left it.
    pub(crate) fn up(nodes: u8, images: &[PathBuf]) -> Result<Self> {
        let layout = Layout::of_user();
        let _lock = lock(&layout)?;
        if Cluster::find(&layout)?.is_some() {
            change(&layout, &Command::Down { keep: false })?;
        }
        change(&layout, &Command::Up { nodes })?;
        let borrowed = Self(layout);
        let archives = images.to_vec();
        change(&borrowed.0, &Command::LoadImage { archives })?;
        Ok(borrowed)
    }

    /// Cargo in a folder, inside of the cluster.
    pub(crate) fn cargo(&self, folder: &Path, args: &[&str]) -> Result<process::Command> {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let words: Vec<_> = std::iter::once(cargo.as_str())
            .chain(args.iter().copied())
            .map(OsString::from)
            .collect();
        inside(&running(&self.0)?, folder, &words)
    }
}

impl Borrowed {
    /// Leaves it up, for somebody to look at.
    pub(crate) fn leave(self) {
        std::mem::forget(self);
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        let down = lock(&self.0).and_then(|_lock| change(&self.0, &Command::Down { keep: false }));
        if let Err(why) = down {
            say(&format!("the cluster was not taken down: {why:#}"));
        }
    }
}

/// What only one of us may do at a time.
fn change(layout: &Layout, command: &Command) -> Result<()> {
    match command {
        Command::Up { nodes } => {
            needs::install()?;
            binaries::build(layout)?;
            up::run(layout, *nodes)
        }
        Command::Build => binaries::build(layout),
        Command::Down { keep } => match Cluster::find(layout)? {
            Some(cluster) => down::run(cluster, *keep),
            None => bail!("there is no cluster to stop"),
        },
        Command::AddNode => up::add_node(&mut running(layout)?),
        Command::StopNode { name, pods } => {
            let mut cluster = running(layout)?;
            let node = nodes::named(&cluster, name)?;
            daemons::kill(&mut cluster, &[node.kubelet()])?;
            if *pods {
                cgroups::kill_pods(node, PODS_END)?;
            }
            Ok(())
        }
        Command::StartNode { name } => {
            let mut cluster = running(layout)?;
            let node = nodes::named(&cluster, name)?;
            up::join(&mut cluster, &[node])
        }
        Command::StopApi => control::kill_api(&mut running(layout)?),
        Command::StartApi => up::control(&mut running(layout)?),
        Command::LoadImage { archives } => {
            let cluster = running(layout)?;
            nodes::load(&cluster, &cluster.ledger.nodes, archives)
        }
        Command::Exec { .. } | Command::Env | Command::Status { .. } | Command::Check => {
            bail!("this changes nothing and takes no lock")
        }
    }
}

/// Waits until nobody else changes the cluster.
fn lock(layout: &Layout) -> Result<File> {
    let file = layout.root().join("lock");
    fs::create_dir_all(layout.root()).context("cannot make the cache")?;
    let lock = File::create(&file).with_context(|| format!("cannot open {}", file.display()))?;
    if lock.try_lock().is_err() {
        say("waiting: somebody else builds or changes the cluster");
        lock.lock().context("cannot lock the cluster")?;
    }
    Ok(lock)
}

/// The cluster, which must be up.
fn running(layout: &Layout) -> Result<Cluster> {
    let cluster = Cluster::find(layout)?.filter(Cluster::is_up);
    cluster.context("the cluster is not up; `cargo xtask kube up` starts it")
}

/// Becomes a command inside of the cluster, so that its signals and its exit code are the command's.
fn exec(cluster: &Cluster, words: &[OsString]) -> Result<()> {
    let folder = std::env::current_dir().context("the current folder is gone")?;
    let error = inside(cluster, &folder, words)?.exec();
    Err(error).context("cannot enter the cluster")
}

/// A command inside of the cluster.
fn inside(cluster: &Cluster, at: &Path, words: &[OsString]) -> Result<process::Command> {
    let [nsenter, flags @ ..] = cluster.door()?;
    let mut folder = OsString::from("--wdns=");
    folder.push(at);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(cluster.layout.bin()).chain(std::env::split_paths(&path));
    let mut command = process::Command::new(nsenter);
    command
        .args(flags)
        .arg(folder)
        .arg("--")
        .args(words)
        .env("PATH", std::env::join_paths(folders)?)
        .env("KUBECONFIG", cluster.layout.kubeconfig())
        // Tests take nodes away by the program that they were started by.
        .env("FRESHET_XTASK", std::env::current_exe()?)
        // And keep what pods have written.
        .env("FRESHET_KUBE_STATE", cluster.layout.state());
    Ok(command)
}

fn env(cluster: &Cluster) -> Result<()> {
    println!(
        "export KUBECONFIG='{}'\nexport PATH='{}':\"$PATH\"\nexport FRESHET_KUBE='{} --'",
        cluster.layout.kubeconfig().display(),
        cluster.layout.bin().display(),
        cluster.door()?.join(" ")
    );
    Ok(())
}
