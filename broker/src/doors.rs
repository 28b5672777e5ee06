//! The real doors to the world.

use std::sync::Arc;

use freshet_env::disk::SystemDisk;
use freshet_env::{Clock, Disk, Rng, SystemClock, SystemRng};

/// Disk, time and randomness of the machine.
pub(crate) struct Doors {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
}

impl Doors {
    pub(crate) fn new() -> Self {
        Self {
            disk: Arc::new(SystemDisk),
            clock: Arc::new(SystemClock::new()),
            rng: Arc::new(SystemRng),
        }
    }
}
