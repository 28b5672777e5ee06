//! A broker says that it is there.

use std::sync::Arc;

use crate::error::{MetadataError, Outcome};
use crate::image::{Broker, Partition};
use crate::machine::MetadataMachine;
use crate::record::Record;
use crate::request::RegisterBroker;

/// Longest text in a registration, in bytes.
const TEXT_MAX_BYTES: usize = 32_767;
/// Most listeners and most log directories of one broker.
const PARTS_MAX: usize = 1_000;

pub(crate) fn register_broker(
    machine: &MetadataMachine,
    request: RegisterBroker,
    records: &mut Vec<Record>,
) -> Outcome<i64> {
    check(&request)?;
    let known = machine.image.broker(request.node);
    let same_process = known.filter(|broker| broker.incarnation == request.incarnation);
    let epoch = same_process.map_or(machine.image.next_broker_epoch, |broker| broker.epoch);
    let broker = Arc::new(Broker {
        node: request.node,
        epoch,
        incarnation: request.incarnation,
        listeners: request.listeners,
        rack: request.rack,
        directories: request.directories,
        fenced: false,
    });
    if known != Some(&broker) {
        records.push(Record::Broker(Arc::clone(&broker)));
    }
    if same_process.is_none() {
        lead_again(machine, &broker, records);
    }
    Ok(epoch)
}

fn check(request: &RegisterBroker) -> Outcome<()> {
    let texts = request
        .listeners
        .iter()
        .flat_map(|l| [&l.name, &l.host])
        .chain(&request.rack);
    let too_many = request.listeners.len().max(request.directories.len()) > PARTS_MAX;
    if request.node.0 < 0 || too_many || texts.into_iter().any(|t| t.len() > TEXT_MAX_BYTES) {
        let reason = format!(
            "the registration of broker {} is out of bounds",
            request.node
        );
        return Err(MetadataError::Request { reason });
    }
    Ok(())
}

/// A new process leads what the one before it led, and what nobody leads and it is in sync with,
/// under a new epoch.
fn lead_again(machine: &MetadataMachine, broker: &Broker, records: &mut Vec<Record>) {
    for topic in machine.image.topics() {
        for (number, partition) in topic.iter() {
            let takes_over = match partition.leader {
                Some(leader) => leader == broker.node,
                None => partition.isr.contains(&broker.node),
            };
            if takes_over {
                let led = Partition {
                    leader: Some(broker.node),
                    leader_epoch: partition.leader_epoch + 1,
                    partition_epoch: partition.partition_epoch + 1,
                    ..Partition::clone(partition)
                };
                records.push(Record::partition(topic.id, number, led));
            }
        }
    }
}
