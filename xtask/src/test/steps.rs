//! The steps of a whole test run.

use std::process::Command;
use std::thread::scope;

use anyhow::{Context, Result};
use cargo_metadata::MetadataCommand;

use super::count::{self, Count};
use crate::place;
use crate::process::{self, cargo, say};
use crate::{charts, image, kube, peers, soak, tidy};

/// A step, the steps that must come before it, and how it runs.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) needs: &'static [&'static str],
    /// Whether nothing else may run meanwhile, because it judges how long things take.
    pub(crate) alone: bool,
    pub(crate) run: fn() -> Result<Count>,
}

/// In the order in which they may begin: first what compiles, in two profiles side by side.
pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "tidy",
        needs: &[],
        alone: false,
        run: tidy,
    },
    Step {
        name: "build",
        needs: &[],
        alone: false,
        run: build,
    },
    Step {
        name: "unit",
        needs: &[],
        alone: false,
        run: unit,
    },
    Step {
        name: "peers",
        needs: &[],
        alone: false,
        run: peers,
    },
    Step {
        name: "programs",
        needs: &["peers"],
        alone: false,
        run: programs,
    },
    Step {
        name: "charts",
        needs: &["programs"],
        alone: false,
        run: charts,
    },
    Step {
        name: "oracle",
        needs: &["build", "peers"],
        alone: false,
        run: oracle,
    },
    Step {
        name: "wire",
        needs: &["build", "peers"],
        alone: false,
        run: wire,
    },
    Step {
        name: "faults",
        needs: &["build", "peers"],
        alone: false,
        run: faults,
    },
    Step {
        name: "trials",
        needs: &["build", "peers"],
        alone: true,
        run: trials,
    },
    Step {
        name: "kube",
        needs: &["build", "peers", "programs"],
        alone: true,
        run: kube,
    },
];

fn tidy() -> Result<Count> {
    tidy::run(&tidy::Args::default()).map(|()| Count::one(true))
}

/// The Helm charts, as Helm sees them.
fn charts() -> Result<Count> {
    let told = charts::step()?;
    Ok(Count {
        passed: told.passed,
        failed: told.failed,
        skipped: told.skipped,
    })
}

/// Everything inside of the crates, and what the black-box tests are made of.
fn unit() -> Result<Count> {
    let inside = tests(&["--workspace", "--exclude", "freshet-tests"])?;
    let mut count = tests(&["--package", "freshet-tests", "--lib"])?;
    count += inside;
    Ok(count)
}

/// The binaries that a user gets; the black-box tests take nothing else.
fn build() -> Result<Count> {
    let args = [
        "build",
        "--release",
        "--package",
        "freshet-broker",
        "--package",
        "freshet-cli",
    ];
    process::run(&mut cargo(place::root(), &args)).map(|_| Count::one(true))
}

/// Other people's programs. All that tests call are installed here, as two steps at a time cannot do it.
fn peers() -> Result<Count> {
    peers::run(&peers::Args::default())?;
    for (programs, what) in [
        (peers::system::TRIALS, "what needs networks and disks"),
        (peers::system::CLOCKS, "the trial of clocks"),
        (peers::system::MONITORING, "the test of dashboards"),
    ] {
        if let Err(why) = peers::system::require(programs) {
            say(&format!("{what} will be skipped: {why:#}"));
        }
    }
    Ok(Count::one(true))
}

/// The programs of Kubernetes, and Helm, built from source.
fn programs() -> Result<Count> {
    match kube::build()? {
        None => Ok(Count::one(true)),
        Some(why) => {
            say(&format!(
                "SKIPPED programs: Kubernetes cannot be built here: {why}"
            ));
            Ok(Count::SKIPPED)
        }
    }
}

/// What others say about us: Kafka's own classes about our bytes, servers of object stores about our
/// requests. These are the tests that the step `unit` leaves out, because they need a peer.
fn oracle() -> Result<Count> {
    let mut count = Count::default();
    for (package, test) in [
        ("freshet-wire", "java_oracle"),
        ("freshet-objects", "stores"),
    ] {
        count += tests(&["--package", package, "--test", test, "--", "--ignored"])?;
    }
    // What brokers say about the operator's questions.
    count += tests(&["--package", "freshet-operator", "real::", "--", "--ignored"])?;
    Ok(count)
}

/// Other people's clients against our processes: every black-box test that is no fault test.
fn wire() -> Result<Count> {
    black_box(|name| !FAULTS.contains(&name) && !APART.contains(&name))
}

/// Starts, stops and kills, and what is left after them.
fn faults() -> Result<Count> {
    black_box(|name| FAULTS.contains(&name))
}

/// The black-box tests that break something; all others are wire tests, new ones too.
const FAULTS: &[&str] = &[
    "start_stop",
    "disk",
    "kill_loop",
    "bucket",
    "restore",
    "replay",
];

/// Three brokers under every fault of the table. A trial waits for most of its time: two go side by side,
/// each in a world of its own.
fn trials() -> Result<Count> {
    let ways = ["1/2", "2/2"];
    scope(|threads| {
        let run = |part| threads.spawn(move || black_box_part(part, |name| name == TRIALS));
        let running = ways.map(run);
        let mut count = Count::default();
        for part in running {
            count += part.join().expect("a part tells its errors")?;
        }
        Ok(count)
    })
}

/// The test program of the trials.
const TRIALS: &str = "cluster";
/// The test program of the operator.
const KUBE: &str = "kube";
/// Those that have a step of their own.
const APART: &[&str] = &[TRIALS, KUBE];

/// Nodes of the Kubernetes that the operator is tested on.
pub(crate) const NODES: u8 = 3;

/// The operator on a real Kubernetes, which is raised for it and goes with it.
fn kube() -> Result<Count> {
    if let Some(why) = kube::refusal() {
        say(&format!(
            "SKIPPED kube: a Kubernetes cannot run here: {why}"
        ));
        return Ok(Count::SKIPPED);
    }
    let images = image::for_tests(true)?;
    let cluster = kube::Borrowed::up(NODES, &images)?;
    let mut command = cluster.cargo(
        place::root(),
        &[
            "test",
            "--no-fail-fast",
            "--package",
            "freshet-tests",
            "--test",
            KUBE,
        ],
    )?;
    command.args(["--", "--test-threads=1"]);
    counted(&mut command)
}

/// Runs the chosen test programs of `freshet-tests`.
fn black_box(chosen: impl Fn(&str) -> bool) -> Result<Count> {
    black_box_part("1/1", chosen)
}

/// The same, and of each only a part of its tests.
fn black_box_part(part: &str, chosen: impl Fn(&str) -> bool) -> Result<Count> {
    let metadata = MetadataCommand::new()
        .manifest_path(place::root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("cargo metadata failed")?;
    let package = metadata
        .packages
        .iter()
        .find(|package| package.name == "freshet-tests");
    let package = package.context("the workspace has no freshet-tests")?;
    let mut args = vec!["--package", "freshet-tests"];
    let targets = package.targets.iter();
    for target in targets.filter(|target| target.is_test() && chosen(&target.name)) {
        args.extend(["--test", &target.name]);
    }
    counted(cargo_test(&args).env("FRESHET_PART", part))
}

/// How the reason of an ignored test ends when another step runs it.
const ELSEWHERE: &str = "cargo xtask test runs it";

/// Runs `cargo test` and counts.
fn tests(args: &[&str]) -> Result<Count> {
    counted(&mut cargo_test(args))
}

fn cargo_test(args: &[&str]) -> Command {
    let mut command = cargo(place::root(), &["test", "--no-fail-fast"]);
    command.args(args);
    command
}

/// Runs a command that runs tests, and counts.
fn counted(command: &mut Command) -> Result<Count> {
    told(command);
    let mut count = Count::default();
    let (mut skipped, mut elsewhere) = (Vec::new(), 0);
    let fine = process::watch(command, |line| {
        count += Count::read(line).unwrap_or_default();
        match count::ignored(line) {
            Some(name) if name.ends_with(ELSEWHERE) => elsewhere += 1,
            name => skipped.extend(name),
        }
    })?;
    count.skipped = count.skipped.saturating_sub(elsewhere);
    for name in skipped {
        say(&format!("SKIPPED {name}"));
    }
    if !fine && count.failed == 0 {
        // Something broke before a test could: it did not compile, or a runner was killed.
        count.failed = 1;
    }
    Ok(count)
}

/// Tells the tests where the peers and our binaries are.
pub(crate) fn told(command: &mut Command) -> &mut Command {
    let broker = place::target().join("release/freshet-broker");
    command
        .env("FRESHET_PEERS", place::peers())
        .env("FRESHET_BROKER", broker)
        .env("FRESHET_TRIALS", soak::notes())
}
