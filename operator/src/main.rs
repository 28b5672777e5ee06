//! `freshet-operator`: makes Kubernetes run what `Cluster` and `Topic` resources ask for.
//!
//! This file and its neighbours `args`, `start`, `lease`, `http` are wiring. What the operator knows is
//! under `controllers/`, one folder for each kind:
//!
//! ```text
//! watch ─► fetch (IO) ─► validate (pure) ─► plan, build (pure) ─► apply (writes what differs) ─► status
//! ```
//!
//! A reconcile takes only the object's name and trusts no hint; when all is as it was asked to be it
//! writes nothing.

mod args;
mod clusters;
mod conditions;
mod context;
mod controllers;
mod failure;
mod http;
mod lease;
mod metrics;
mod probe;
mod start;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match start::run(args::Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("freshet-operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}
