//! `freshet`: topics, records, groups and settings from the command line.

mod advice;
mod args;
mod cluster;
mod config;
mod consume;
mod group;
mod output;
mod patience;
mod produce;
mod text;
mod time;
mod topic;

use std::process::ExitCode;

use clap::Parser;
use freshet_client::{Client, ClientConfig, ClientError};

use args::{Cli, Command};
use output::Output;

/// What every command gets.
pub(crate) struct Context {
    /// The cluster.
    pub(crate) client: Client,
    /// Where results go.
    pub(crate) output: Output,
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
    let client = patience::with("contacting the cluster", connect(&cli.global)).await?;
    let context = Context {
        client,
        output: Output::new(cli.global.output),
    };
    match cli.command {
        Command::Topic(command) => topic::run(&context, command).await,
        Command::Produce(command) => produce::run(&context, command).await,
        Command::Consume(command) => consume::run(&context, command).await,
        Command::Group(command) => group::run(&context, command).await,
        Command::Config(command) => config::run(&context, command).await,
        Command::Cluster(command) => cluster::run(&context, command).await,
    }
}

async fn connect(global: &args::Global) -> Result<Client, ClientError> {
    let mut config = ClientConfig::new(global.bootstrap.iter().cloned());
    config.client_id = "freshet-cli".to_owned();
    config.call_timeout = global.timeout;
    config.request_timeout = global.timeout;
    config.bootstrap_timeout = global.timeout.min(std::time::Duration::from_secs(3));
    Client::connect(config).await
}
