//! Says when a thread stands still: in a device that does not answer, in a lock, in a loop.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use freshet_env::tasks::spawn_thread;
use freshet_env::watch::{Seen, Watch};

/// Between two looks. A thread that is stuck is told after one to two of them.
const LOOK: Duration = Duration::from_secs(2);

/// A thread that looks at the others until this is dropped.
pub(crate) struct Watchdog {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    pub(crate) fn start() -> io::Result<Self> {
        let (end, ended) = channel();
        let body = move || {
            let mut watch = Watch::default();
            while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                watch.look().iter().for_each(tell);
            }
        };
        Ok(Self {
            end: Some(end),
            thread: Some(spawn_thread("watchdog", body)?),
        })
    }
}

fn tell(seen: &Seen) {
    match seen {
        Seen::Stuck { name } => {
            let seconds = LOOK.as_secs();
            tracing::error!(
                thread = name,
                seconds,
                "a thread stands still; what it serves waits: look at the device and at the load"
            );
        }
        Seen::GoesOn { name, looks } => {
            let seconds = LOOK.as_secs() * u64::from(*looks);
            tracing::warn!(thread = name, seconds, "a thread that stood still goes on");
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            // A panic has been told by its thread.
            drop(thread.join());
        }
    }
}
