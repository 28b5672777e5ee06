//! Child processes: started in the checkout, told on screen, timed.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A command that runs in `folder`.
pub(crate) fn command<S: AsRef<OsStr>>(folder: &Path, program: &str, args: &[S]) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).args(args);
    command
}

/// Cargo, as it called us.
pub(crate) fn cargo<S: AsRef<OsStr>>(folder: &Path, args: &[S]) -> Command {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    command(folder, &cargo, args)
}

/// Says what is about to happen.
pub(crate) fn say(what: &str) {
    eprintln!("==> {what}");
}

/// How a command is written on a terminal.
pub(crate) fn spell(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs a command with its output on our screen. An exit code other than 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<Duration> {
    let spelled = spell(command);
    say(&spelled);
    let start = Instant::now();
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start `{spelled}`"))?;
    if !status.success() {
        bail!("`{spelled}` ended with {status}");
    }
    Ok(start.elapsed())
}

/// Runs a command, shows its output and hands each line of it to `each`. Returns whether it
/// ended with exit code 0.
pub(crate) fn watch(command: &mut Command, mut each: impl FnMut(&str)) -> Result<bool> {
    let spelled = spell(command);
    say(&spelled);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{spelled}`"))?;
    let output = child.stdout.take().expect("stdout was asked to be piped");
    for line in BufReader::new(output).split(b'\n') {
        let line = line.with_context(|| format!("cannot read the output of `{spelled}`"))?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        each(&line);
    }
    Ok(child.wait()?.success())
}

/// Runs a command silently and returns what it printed on stdout.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let spelled = spell(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{spelled}`"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{spelled}` ended with {}: {}",
            output.status,
            complaint.trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a program is on the search path.
pub(crate) fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
