//! The Freshet broker: Kafka's protocol, one binary. Wiring only; `--help` has examples.

mod agreement;
mod args;
mod bound;
mod citizen;
mod doors;
mod idle;
mod ready;
mod rooms;
mod start;
mod stop;
mod tiering;
mod watchdog;

use std::process::ExitCode;

use clap::Parser;
use tikv_jemallocator::Jemalloc;

/// Requests of up to a few MiB come and go, freed on other threads than they were made on. This one
/// keeps such memory for the next request, and gives it back seconds after a burst; the system's
/// returns each at once and pays for new pages, a tenth of the CPU of a produce.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

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
