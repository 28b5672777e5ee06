//! Developer commands of Freshet: `cargo xtask <command>`.
//!
//! Everything a developer or a CI job needs beyond `cargo build` is one of these commands, so that
//! both run the same thing.

#![expect(
    clippy::disallowed_methods,
    reason = "a developer tool talks to the machine directly; the doors are for the product"
)]

mod bench;
mod charts;
mod docs;
mod image;
mod kube;
mod peers;
mod place;
mod process;
mod soak;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developer commands of Freshet")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check the rules of the house: floors, sizes, names, formatting, lints, licences.
    Tidy(tidy::Args),
    /// Install the other clients and brokers that the tests talk to.
    Peers(peers::Args),
    /// Run the tests: tidy, unit, wire and fault tests, with a closing summary.
    Test(test::Args),
    /// Let random sequences of faults loose on a cluster, for as long as one likes; half of them tiered.
    ///
    /// Each sequence is four trials on one cluster of three, under the same load. The seed says which, in which order, whether
    /// brokers have disks that can fail, and whether it is tiered: then a segment lasts half a second, leaves the disks as soon as a real
    /// S3 server has it, and trials of that server are among those to choose from. What was drawn is printed.
    Soak(soak::Args),
    /// Note how the trials went, and write the page of faults.
    Faults,
    /// Measure Freshet and Apache Kafka side by side.
    #[command(disable_help_flag = true)]
    Bench(bench::Args),
    /// Write the generated pages again.
    Docs,
    /// Write the definitions of our kinds into `crds/` and the charts.
    Crds,
    /// Check the Helm charts, or write what of them is generated.
    Charts(charts::Args),
    /// Make container images of our programs, without a container daemon.
    Image(image::Args),
    /// Run a real Kubernetes on this machine, for tests.
    Kube(kube::Args),
}

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Tidy(args) => tidy::run(&args),
        Command::Peers(args) => peers::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Soak(args) => soak::run(&args),
        Command::Faults => soak::faults(),
        Command::Bench(args) => bench::run(&args),
        Command::Docs => docs::run(),
        Command::Crds => charts::definitions(),
        Command::Charts(args) => charts::run(&args),
        Command::Image(args) => image::run(&args),
        Command::Kube(args) => kube::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
