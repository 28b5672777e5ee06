//! The machine, and who runs here.

use std::io;

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// Its name, by which others may reach it.
pub fn name() -> String {
    let system = rustix::system::uname();
    system.nodename().to_string_lossy().into_owned()
}

/// Has this process asked to end (SIGTERM) when the one that started it, `parent`, ends in whatever
/// way. Fails if it has ended already.
pub fn end_with(parent: u32) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM))?;
    // It may have ended before that: then there is another parent now, and no signal will come.
    let now = getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if now == Some(parent) {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "this process was not started by process {parent}, or that has ended"
    )))
}
