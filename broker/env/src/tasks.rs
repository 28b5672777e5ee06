//! Threads of our own, each with a name that `top -H` shows.

use std::io;
use std::thread::{Builder, JoinHandle};

use crate::watch::Turns;

/// Starts a named thread. Names are cut to 15 bytes by the kernel.
pub fn spawn_thread<T, F>(name: &str, body: F) -> io::Result<JoinHandle<T>>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let turns = Turns::new(name);
    Builder::new().name(name.to_owned()).spawn(move || {
        turns.adopt();
        body()
    })
}
