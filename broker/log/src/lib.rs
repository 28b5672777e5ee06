//! The partition log: segments, indexes, producer state, recovery, retention.
//!
//! Floor 3. A [`LogDir`] is one entry of `log.dirs`; [`Writers`] runs the threads that append, flush
//! and read; [`LogHandle`] changes one partition's log and [`LogView`] reads it without asking its
//! writer. `docs/log.md` tells the whole story, `docs/formats/log.md` the bytes on disk.
//!
//! ```text
//! LogHandle::append ──queue──► append thread: offsets, one vectored write ──► done, Progress::appended
//!                                   │ dirty                                         │
//!                                   ▼                                               ▼
//!                              flush thread: fdatasync ──► Progress::flushed     LogView (atomics, hot tail)
//! ```

mod append;
mod batch;
mod config;
mod dir;
mod error;
mod log;
mod metrics;
mod segment;
mod state;
mod view;
mod writers;

pub use append::{Append, Appended, Done, Here, Origin, Progress, Refused};
pub use config::{Cleanup, Durability, LogConfig, Tiered};
pub use dir::{LogDir, LogName, PaceLimits};
pub use error::{AppendError, Busy, LogError, OpenError, ReadError, RecordFault};
pub use metrics::{LATENCY_BOUNDS_MICROS, Latency, LogMetrics};
pub use state::beginning::Beginning;
pub use state::life::LastLife;
pub use view::{ClosedSegment, EpochEnd, Fetched, LogView, Read, ReadSpec, TimeQuery, TimedOffset};
pub use writers::{LogHandle, OpenLog, Replaced, Retained, Writers, WritersOptions};
