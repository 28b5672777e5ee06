//! `freshet`: topics, records, groups and settings from the command line.

mod advice;
mod args;
mod broker;
mod cluster;
mod config;
mod consume;
mod group;
mod output;
mod produce;
mod text;
mod tier;
mod topic;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use freshet_client::{Client, ClientConfig, Security};

use args::{Cli, Command, security};
use output::Output;
use output::patience::Patience;

/// How long nobody may answer at first, unless `--timeout` says otherwise: most often the address is
/// wrong or the broker is not started, and then waiting helps nobody.
const FIRST_CONTACT: Duration = Duration::from_secs(3);

/// What every command gets.
pub(crate) struct Context {
    /// The cluster.
    pub(crate) client: Client,
    /// Where results go.
    pub(crate) output: Output,
    /// What is said while it takes long.
    pub(crate) patience: Patience,
}

/// Waits until somebody wants the command to end: by Ctrl-C, or as `kill`, `timeout` and Kubernetes do, or with the
/// terminal. What a command has set for a while it takes back then.
pub(crate) async fn interrupted() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut ended, mut hung_up) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    );
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed,
        _ = ended.recv() => Ok(()),
        _ = hung_up.recv() => Ok(()),
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(run(cli));
            // A read from the terminal that will never end must not keep the process.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", advice::sentence(&error));
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let output = Output::new(cli.global.output);
    let patience = Patience::new(cli.global.quiet || output.is_json());
    if let Command::Cluster(cluster::Command::Up(up)) = cli.command {
        return cluster::run_alone(&output, &patience, up).await;
    }
    if let Command::Tier(tier::Command::Alone(command)) = cli.command {
        return tier::run_alone(output, patience, command).await;
    }
    let security = match &cli.global.command_config {
        Some(file) => security::read(file, &patience)?,
        None => Security::default(),
    };
    let connecting = Client::connect(config(&cli.global, security));
    let client = patience.with("contacting the cluster", connecting).await?;
    let context = Context {
        client,
        output,
        patience,
    };
    match cli.command {
        Command::Topic(command) => topic::run(&context, command).await,
        Command::Produce(command) => produce::run(&context, command).await,
        Command::Consume(command) => consume::run(&context, command).await,
        Command::Group(command) => group::run(&context, command).await,
        Command::Config(command) => config::run(&context, command).await,
        Command::Tier(command) => tier::run(&context, command).await,
        Command::Broker(command) => broker::run(&context, command).await,
        Command::Quorum(command) => cluster::quorum::run(&context, command).await,
        Command::Feature(command) => cluster::feature::run(&context, command).await,
        Command::Cluster(command) => cluster::run(&context, command).await,
    }
}

fn config(global: &args::Global, security: Security) -> ClientConfig {
    let mut config = ClientConfig::new(global.bootstrap.iter().cloned());
    config.client_id = "freshet-cli".to_owned();
    let timeout = global.timeout();
    config.call_timeout = timeout;
    config.request_timeout = timeout;
    config.connect_timeout = config.connect_timeout.min(timeout);
    config.bootstrap_timeout = global.timeout.unwrap_or(FIRST_CONTACT);
    config.security = security;
    config
}
