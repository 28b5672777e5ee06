//! What happens to a cluster on a real Kubernetes, and thousands of Topics: `cargo xtask soak kube` runs it.
#![allow(
    clippy::disallowed_methods,
    reason = "a developer tool talks to the machine directly"
)]

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use freshet_tests::{kube_scale, kube_soak, missing_for_kube, seed};

fn main() -> ExitCode {
    if let Some(why) = missing_for_kube() {
        eprintln!("SKIPPED soak kube: {why}");
        return ExitCode::FAILURE;
    }
    let part = env::args().nth(1).unwrap_or_default();
    let minutes: f64 = env::args()
        .nth(2)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0.0);
    let seed = seed();
    let (done, again) = if part == "scale" {
        (
            kube_scale(),
            "cargo xtask soak kube --only scale".to_owned(),
        )
    } else {
        let kept = env::var_os("FRESHET_KEPT").map_or_else(env::temp_dir, PathBuf::from);
        println!("seed {seed}");
        let time = Duration::from_secs_f64(minutes * 60.0);
        let again =
            format!("cargo xtask soak kube --only events --minutes {minutes} --seed {seed}");
        (kube_soak(time, seed, &kept), again)
    };
    if let Err(why) = done {
        eprintln!("FAILED (`{again}` repeats it): {why:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
