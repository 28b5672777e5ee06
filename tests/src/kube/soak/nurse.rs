//! Who starts parts of Kubernetes again that fell by themselves, as a kubelet does where they are pods.
//!
//! A scheduler ends itself when a pod that it is just placing is deleted by force and made again under the same name
//! ("Scheduler cache is corrupted").

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Result;

use crate::kube::guest::{end_api, start_api};

/// How often somebody looks.
const LOOK: Duration = Duration::from_secs(3);

/// Looks until it is dropped.
pub(super) struct Nurse {
    /// Nobody is to be helped: what is away is away on purpose, or time is up.
    off: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Nurse {
    pub(super) fn begin() -> Self {
        let (off, over) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let (is_off, is_over) = (Arc::clone(&off), Arc::clone(&over));
        let thread = thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                thread::sleep(LOOK);
                if is_off.load(Ordering::Relaxed) {
                    continue;
                }
                match start_api() {
                    // Who else changes the cluster is no news.
                    Ok(said) => said
                        .lines()
                        .filter(|line| line.contains("starting"))
                        .for_each(|line| eprintln!("{line}")),
                    Err(why) => eprintln!("the control plane cannot be helped: {why:#}"),
                }
            }
        });
        Self {
            off,
            over,
            thread: Some(thread),
        }
    }

    /// The API server goes, and is left alone.
    pub(super) fn end_api(&self) -> Result<()> {
        self.off.store(true, Ordering::Relaxed);
        // A look that has begun may end after this, and bring it back.
        thread::sleep(LOOK);
        end_api()
    }

    pub(super) fn start_api(&self) -> Result<()> {
        self.off.store(false, Ordering::Relaxed);
        start_api().map(drop)
    }
}

impl Drop for Nurse {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
