//! What openraft keeps: the log, the committed state, and the one who writes both.

pub(crate) mod keeper;
pub(crate) mod log;
pub(crate) mod state;

use std::io;
use std::sync::Arc;

use freshet_env::Clock;
use tokio::sync::{mpsc, watch};

use super::options::RaftOptions;
use crate::Agreeable;
use crate::store::Opened;
use log::{Found, Log};
use state::{Blank, State, StateParts};

/// What openraft is given, and what the rest of the node needs of it.
pub(crate) struct Storage<M: Agreeable> {
    pub(crate) log: Log,
    pub(crate) state: State<M>,
    /// The committed image.
    pub(crate) image: watch::Receiver<Arc<M::Image>>,
    /// Tells when the log has grown enough for a snapshot.
    pub(crate) growth: mpsc::Receiver<()>,
}

/// Starts the keeper over what was opened, and the two that send it jobs.
pub(crate) fn start<M: Agreeable>(
    opened: Opened,
    blank: Blank<M>,
    clock: &Arc<dyn Clock>,
    options: &RaftOptions,
) -> io::Result<Storage<M>> {
    let Opened {
        store,
        vote,
        snapshot,
        entries,
    } = opened;
    let (purged, next_offset) = (store.purged(), store.next_offset());
    let jobs = keeper::start(store, Arc::clone(clock), options.seat)?;
    let found = Found {
        entries,
        vote,
        purged,
        next_offset,
    };
    let log = Log::new(found, jobs.clone())?;
    let (grown, growth) = mpsc::channel(1);
    let parts = StateParts {
        blank,
        jobs,
        clock: Arc::clone(clock),
        grown,
        snapshot_after_bytes: usize::try_from(options.snapshot_after_bytes).unwrap_or(usize::MAX),
    };
    let (state, image) = State::new(parts, snapshot)?;
    Ok(Storage {
        log,
        state,
        image,
        growth,
    })
}
