//! The machine.

/// Its name, by which others may reach it.
pub fn name() -> String {
    let system = rustix::system::uname();
    system.nodename().to_string_lossy().into_owned()
}
