//! Ids, offsets, epochs, units and error kinds shared by every room of the house.
//!
//! Floor 0: nothing here may know IO, time sources, threads or the wire.

mod error;
mod id;
mod machine;
mod removed;
mod replicated;
mod units;

pub use error::{ErrorKind, Retry};
pub use id::{
    ClusterId, IdError, LeaderEpoch, NodeId, Offset, PartitionId, ProducerEpoch, ProducerId,
    TopicId, TopicName, TopicNameError, TopicPartition,
};
pub use machine::{Decision, Machine, Now, Predecessor, Ticket, Timer};
pub use removed::Removed;
pub use replicated::{Position, Published, StoredRecord, StoredRecordError};
pub use units::{Millis, Timestamp};
