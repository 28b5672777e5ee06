//! Looking at every record of a produced batch, for topics whose rules need it.

use std::ops::RangeInclusive;

use freshet_types::{Offset, Timestamp};

use crate::{Batch, BatchError, Record, RecordFault, TimestampType};

/// What a topic demands of each record.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Compacted topics take no record without a key.
    pub keys_required: bool,
    /// Create times that are accepted; `None` accepts all.
    pub timestamps: Option<RangeInclusive<i64>>,
    /// The most that the records may have when decompressed.
    pub cap_bytes: usize,
}

/// What was learned on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inspected {
    /// The largest timestamp, computed from the records.
    pub max_timestamp: Timestamp,
    /// The first offset with that timestamp, relative to the batch's base offset.
    pub offset_of_max_timestamp: Offset,
}

/// Decompresses a produced batch and checks each record: well-formed, offsets 0 to n-1, nothing
/// behind the last, and the topic's rules. Memory stays flat however far the body inflates.
///
/// One bad record refuses the whole batch; the error lists all that break a rule, so that the
/// producer can be told which. Does not look at the checksum or at [`crate::BatchHeader`]'s rules.
pub fn inspect(batch: &Batch, rules: &Rules) -> Result<Inspected, BatchError> {
    let base_offset = batch.header().base_offset;
    let mut seen = Inspected {
        max_timestamp: Timestamp::NONE,
        offset_of_max_timestamp: 0,
    };
    let mut late = Vec::new();
    let mut bad = Vec::new();
    for (index, record) in (0..).zip(batch.records(rules.cap_bytes)?) {
        let record = record?;
        let delta = record.offset.wrapping_sub(base_offset);
        if delta != i64::from(index) {
            let what = "its offset is not the next one";
            return Err(BatchError::MalformedRecord { index, what });
        }
        if rules.keys_required && record.key.is_none() {
            let what = "a compacted topic takes no record without a key";
            list(&mut bad, RecordFault { index, what });
        }
        if !in_window(batch, &record, rules) {
            let what = "its timestamp is outside of the allowed window";
            list(&mut late, RecordFault { index, what });
        }
        if record.timestamp > seen.max_timestamp {
            seen.max_timestamp = record.timestamp;
            seen.offset_of_max_timestamp = delta;
        }
    }
    if !bad.is_empty() {
        return Err(BatchError::Records { faults: bad });
    }
    if !late.is_empty() {
        return Err(BatchError::Timestamps { faults: late });
    }
    Ok(seen)
}

/// Append times are the broker's own and always fit.
fn in_window(batch: &Batch, record: &Record, rules: &Rules) -> bool {
    let own = batch.header().attributes.timestamp_type() == TimestampType::LogAppendTime;
    let window = rules.timestamps.as_ref();
    own || window.is_none_or(|window| window.contains(&record.timestamp.0))
}

fn list(faults: &mut Vec<RecordFault>, fault: RecordFault) {
    if faults.len() < BatchError::MAX_FAULTS {
        faults.push(fault);
    }
}
