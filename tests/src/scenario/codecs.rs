//! Every codec of a client, read back field by field by every client.

use anyhow::{Context, Result};

use super::{Acked, create_topic, fetch, produce};
use crate::broker::Broker;
use crate::client::{ALL_CLIENTS, Client};
use crate::sample::{compare, samples};

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
const PER_CODEC: u64 = 120;

/// Produces with each codec into a partition of its own; all clients, none of which may be
/// missing here, must read the same records.
pub fn codecs(client: Client, broker: &mut Broker) -> Result<()> {
    let topic = format!("codecs-{}", client.name());
    let bootstrap = broker.bootstrap();
    create_topic(client, bootstrap, &topic, 5)?;
    let mut all = Vec::new();
    let mut acked = Acked::new();
    for (partition, codec) in (0..).zip(CODECS) {
        let mut batch = samples(11, all.len() as u64..all.len() as u64 + PER_CODEC, 1);
        for sample in &mut batch {
            sample.partition = partition;
        }
        let options = [("topic", topic.as_str()), ("codec", codec)];
        let places = produce(client, bootstrap, &options, &batch)
            .with_context(|| format!("produce with {codec}"))?;
        acked.extend(places);
        all.extend(batch);
    }
    for reader in ALL_CLIENTS {
        let shown = fetch(reader, bootstrap, &topic)
            .with_context(|| format!("{} reads what {} wrote", reader.name(), client.name()))?;
        compare(&all, &acked, &shown)
            .with_context(|| format!("{} reads what {} wrote", reader.name(), client.name()))?;
    }
    Ok(())
}
