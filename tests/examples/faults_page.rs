//! Prints `docs/faults.md`; with two arguments, folds notes of runs into the kept results before.
#![allow(
    clippy::disallowed_methods,
    reason = "a developer tool talks to the machine directly"
)]

use std::path::Path;

use anyhow::Result;

const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/results.json");

fn main() -> Result<()> {
    if let Some(notes) = std::env::args().nth(1) {
        let count = freshet_tests::fold(Path::new(&notes), Path::new(KEPT))?;
        eprintln!("{count} runs were noted");
    }
    print!(
        "{}",
        freshet_tests::faults_page(&std::fs::read_to_string(KEPT)?)?
    );
    Ok(())
}
