//! The real doors to the world.

use std::sync::Arc;
use std::time::Duration;

use freshet_env::disk::{PatientDisk, SystemDisk};
use freshet_env::{Clock, Disk, Rng, SystemClock, SystemRng};

/// How often a full disk is tried again.
const ROOM_PAUSE: Duration = Duration::from_millis(100);
/// Pauses after which it is told again.
const ROOM_NEWS: u32 = 100;

/// Disk, time and randomness of the machine.
pub(crate) struct Doors {
    pub(crate) disk: Arc<dyn Disk>,
    /// The same for the metadata log, which has no way back from a write that found no room.
    pub(crate) metadata_disk: Arc<PatientDisk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
}

impl Doors {
    pub(crate) fn new() -> Self {
        Self {
            disk: Arc::new(SystemDisk),
            metadata_disk: Arc::new(PatientDisk::new(Arc::new(SystemDisk), wait_for_room)),
            clock: Arc::new(SystemClock::new()),
            rng: Arc::new(SystemRng),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "nobody can say when there is room, and the thread of the metadata log has nothing else to do"
)]
fn wait_for_room(pauses: u32) {
    if pauses.is_multiple_of(ROOM_NEWS) {
        tracing::error!("the disk is full: the metadata log waits for room");
    }
    std::thread::sleep(ROOM_PAUSE);
}
