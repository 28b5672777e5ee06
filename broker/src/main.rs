//! The Freshet broker: Kafka's protocol, one binary. Wiring only; `--help` has examples.

mod args;
mod start;
mod stop;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = args::Args::parse();
    args.start_logging();
    match freshet_env::limits::raise_open_files() {
        Ok(open_files) => tracing::debug!(open_files, "limits"),
        Err(error) => tracing::warn!(%error, "the limit of open files stays as it is"),
    }
    match start::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One sentence for the person at the terminal; causes are part of it.
            eprintln!("freshet-broker: {error:#}");
            ExitCode::FAILURE
        }
    }
}
