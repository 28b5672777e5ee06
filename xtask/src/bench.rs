//! `cargo xtask bench`: builds what is measured and hands over to `freshet-bench`.

use anyhow::{Result, bail};

use crate::process::{self, cargo, command};
use crate::{peers, place, soak, test};

/// What `cargo xtask bench` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rows and options for the benchmark; `--help` lists them.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGS"
    )]
    rest: Vec<String>,
}

/// How long clients wait when a leader goes, of both brokers: it needs three of each, networks and
/// more clients than one, so the trials' cluster measures it. Takes the number of rounds, and which of them.
fn failover(args: &[String]) -> Result<()> {
    let (brokers, rounds): (Vec<_>, Vec<_>) = args.iter().partition(|arg| names_a_row(arg));
    const BROKERS: [&str; 2] = ["freshet", "kafka"];
    if let Some(other) = brokers
        .iter()
        .find(|name| !BROKERS.contains(&name.as_str()))
    {
        bail!("`{other}` is no broker that failover knows; there are {BROKERS:?}");
    }
    let asked = |name: &&str| brokers.is_empty() || brokers.iter().any(|broker| broker == name);
    let rounds: Vec<String> = rounds.into_iter().cloned().collect();
    let build = ["build", "--release", "--package", "freshet-broker"];
    process::run(&mut cargo(place::root(), &build))?;
    peers::run(&peers::Args::of(&["java", "python", "go"]))?;
    peers::system::require(peers::system::TRIALS)?;
    for broker in BROKERS.into_iter().filter(asked) {
        let mut example = soak::example("failover", &rounds);
        test::told(&mut example).env("FRESHET_TEST_PEER", broker);
        process::run(&mut example)?;
    }
    Ok(())
}

/// Rows begin with a letter and are no values of options; one that is taken for a row only installs more.
fn names_a_row(arg: &str) -> bool {
    arg.starts_with(|c: char| c.is_ascii_lowercase())
}

/// Builds both sides and measures.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args
        .rest
        .iter()
        .any(|arg| matches!(arg.as_str(), "--help" | "-h" | "--list"))
    {
        let ask = ["run", "--quiet", "--package", "freshet-bench", "--"];
        return process::run(cargo(place::root(), &ask).args(&args.rest)).map(drop);
    }
    if let Some(("failover", more)) = args.rest.split_first().map(|(row, more)| (&**row, more)) {
        return failover(more);
    }
    let build = [
        "build",
        "--release",
        "--package",
        "freshet-broker",
        "--package",
        "freshet-bench",
    ];
    process::run(&mut cargo(place::root(), &build))?;
    peers::run(&peers::Args::of(&["java", "python"]))?;
    let rows: Vec<_> = args.rest.iter().filter(|arg| names_a_row(arg)).collect();
    if rows.is_empty() || rows.iter().any(|row| row.starts_with("tier")) {
        peers::run(&peers::Args::of(&["s3"]))?;
        peers::system::require(&["chrt", "curl"])?;
    }
    let release = place::target().join("release");
    let program = release.join("freshet-bench").display().to_string();
    let mut bench = command(place::root(), &program, &args.rest);
    bench.env("FRESHET_PEERS", place::peers());
    bench.env("FRESHET_BROKER", release.join("freshet-broker"));
    process::run(&mut bench).map(drop)
}
