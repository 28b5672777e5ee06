//! A broker takes no new replicas, or takes them again.

use std::sync::Arc;

use crate::error::{MetadataError, Outcome};
use crate::machine::MetadataMachine;
use crate::record::Record;
use crate::request::CordonBroker;
use crate::state::Broker;

pub(crate) fn cordon_broker(
    machine: &MetadataMachine,
    request: &CordonBroker,
    records: &mut Vec<Record>,
) -> Outcome<()> {
    let node = request.node;
    let unknown = MetadataError::UnknownBroker { node };
    let broker = machine.image.broker(node).ok_or(unknown)?;
    if broker.cordoned != request.cordoned {
        records.push(Record::Broker(Arc::new(Broker {
            cordoned: request.cordoned,
            ..Broker::clone(broker)
        })));
    }
    Ok(())
}
