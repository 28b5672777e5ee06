//! Producer ids in blocks.

use crate::error::{MetadataError, Outcome};
use crate::machine::MetadataMachine;
use crate::record::Record;
use crate::request::{AllocateProducerIds, ProducerIdBlock};

pub(crate) fn allocate_producer_ids(
    machine: &MetadataMachine,
    request: &AllocateProducerIds,
    records: &mut Vec<Record>,
) -> Outcome<ProducerIdBlock> {
    if request.count < 1 {
        let reason = format!("a block of {} producer ids is none", request.count);
        return Err(MetadataError::Request { reason });
    }
    let first = machine.image.next_producer_id;
    let next = first
        .checked_add(i64::from(request.count))
        .ok_or(MetadataError::ProducerIdsExhausted)?;
    records.push(Record::NextProducerId(next));
    Ok(ProducerIdBlock {
        first,
        count: request.count,
    })
}
