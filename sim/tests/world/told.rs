//! Records in few words, for traces that a human reads.

use freshet_metadata::{Partition, Record};
use freshet_types::{NodeId, TopicPartition};

use crate::broker::life_of;
use crate::message::{Fetched, Message};
use crate::world::host_of;

fn hosts(nodes: &[NodeId]) -> String {
    let hosts: Vec<_> = nodes
        .iter()
        .map(|node| host_of(*node).to_string())
        .collect();
    hosts.join(",")
}

/// A partition's name: topics are numbered.
pub(crate) fn name(at: &TopicPartition) -> String {
    format!("t{}", at.topic.0[0])
}

pub(crate) fn partition(at: &TopicPartition, is: &Partition) -> String {
    let mut told = format!(
        "{}: leader {:?} epochs {}/{} in sync [{}] eligible [{}] of [{}]",
        name(at),
        is.leader.map(host_of),
        is.leader_epoch,
        is.partition_epoch,
        hosts(&is.isr),
        hosts(&is.eligible),
        hosts(&is.replicas),
    );
    for (what, nodes) in [
        (" last known", &is.last_known_eligible),
        (" adding", &is.adding),
        (" removing", &is.removing),
    ] {
        if !nodes.is_empty() {
            told += &format!("{what} [{}]", hosts(nodes));
        }
    }
    told
}

pub(crate) fn record(record: &Record) -> String {
    match record {
        Record::Broker(broker) => {
            let (host, epoch) = (host_of(broker.node), broker.epoch);
            let life = life_of(&broker.incarnation);
            let served = broker.served_epoch;
            let fenced = if broker.fenced { ", fenced" } else { "" };
            let stopping = if broker.stopping { ", stopping" } else { "" };
            format!("broker {host} process {life} epoch {epoch} served {served}{fenced}{stopping}")
        }
        Record::Partition { at, partition: is } => partition(at, is),
        other => format!("{other:?}"),
    }
}

pub(crate) fn message(message: &Message) -> String {
    match message {
        Message::Fetch(fetch) => format!(
            "Fetch {} from {} (epoch {}) of epoch {} as {}",
            name(&fetch.at),
            fetch.end,
            fetch.last_epoch,
            fetch.leader_epoch,
            fetch.broker_epoch
        ),
        Message::Fetched(fetched) => {
            let Fetched {
                at,
                leader_epoch,
                answer,
                rows,
                ..
            } = fetched;
            let rows: Vec<_> = rows.iter().map(|row| (row.epoch, row.value)).collect();
            format!(
                "Fetched {} of epoch {leader_epoch}: {answer:?} {rows:?}",
                name(at)
            )
        }
        Message::Append(append) => format!(
            "Append term {} beat {} from {} +{} agreed {}",
            append.term,
            append.beat,
            append.before.1,
            append.entries.len(),
            append.committed
        ),
        other => format!("{other:?}"),
    }
}
