//! Topics and settings of a cluster as an object in the bucket (FRCL).

use std::collections::BTreeMap;

use bytes::{Buf, BufMut};
use freshet_records::envelope::{EnvelopeError, Kind, malformed, seal, unseal};
use freshet_types::{LeaderEpoch, ProducerId, TopicId};

use super::{TEXT_BYTES, put_text, text};
use crate::codec;

const KIND: Kind = Kind {
    magic: *b"FRCL",
    version: 1,
};
const TOPIC_BYTES: usize = TEXT_BYTES + codec::ID_BYTES + 2 + 4 + 4;
const OWNER_BYTES: usize = 1 + TEXT_BYTES + 4;

/// A cluster, but for its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterExport {
    /// Of the cluster's metadata.
    pub version: u64,
    /// Producer ids below it have been given to somebody. Ids are handed out in blocks, and this may be
    /// some blocks behind.
    pub next_producer_id: ProducerId,
    /// All but those that keep the cluster's own books.
    pub topics: Vec<ExportedTopic>,
    /// Settings that were changed while it ran, secrets left out.
    pub settings: Vec<OwnedSettings>,
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportedTopic {
    /// Its name.
    pub name: String,
    /// Its id: all its objects have it in their names.
    pub id: TopicId,
    /// Copies of each partition.
    pub replication_factor: i16,
    /// The leader epoch of each partition, 0 first.
    pub leader_epochs: Vec<LeaderEpoch>,
    /// Its own settings.
    pub configs: BTreeMap<String, String>,
}

/// Settings of something that is no topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedSettings {
    /// Whose.
    pub owner: SettingsOwner,
    /// By name.
    pub values: BTreeMap<String, String>,
}

/// What has settings of its own beside topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingsOwner {
    /// All brokers.
    Cluster,
    /// The broker of this number.
    Broker(i32),
    /// A group.
    Group(String),
    /// A subscription of client metrics.
    ClientMetrics(String),
}

impl ClusterExport {
    /// As it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(64 + self.topics.len() * 128);
        body.put_u64(self.version);
        body.put_i64(self.next_producer_id);
        codec::put_count(&mut body, self.topics.len());
        self.topics.iter().for_each(|it| put_topic(&mut body, it));
        codec::put_count(&mut body, self.settings.len());
        for settings in &self.settings {
            put_owner(&mut body, &settings.owner);
            put_values(&mut body, &settings.values);
        }
        seal(KIND, &body)
    }

    /// Reads it back. Any bytes are read without panic, and without allocating more than a small
    /// multiple of what they are.
    ///
    /// # Errors
    /// They are damaged, or a later broker wrote them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let mut body = unseal(KIND, bytes)?;
        let from = &mut body;
        let export = Self {
            version: from.try_get_u64()?,
            next_producer_id: from.try_get_i64()?,
            topics: codec::list(from, TOPIC_BYTES, topic)?,
            settings: codec::list(from, OWNER_BYTES, |from| {
                Ok(OwnedSettings {
                    owner: owner(from)?,
                    values: values(from)?,
                })
            })?,
        };
        codec::done(from)?;
        Ok(export)
    }
}

pub(super) fn put_topic(body: &mut Vec<u8>, topic: &ExportedTopic) {
    put_text(body, &topic.name);
    body.put_slice(&topic.id.0);
    body.put_i16(topic.replication_factor);
    codec::put_count(body, topic.leader_epochs.len());
    let epochs = topic.leader_epochs.iter();
    epochs.for_each(|epoch| body.put_i32(*epoch));
    put_values(body, &topic.configs);
}

pub(super) fn topic(from: &mut &[u8]) -> Result<ExportedTopic, EnvelopeError> {
    Ok(ExportedTopic {
        name: text(from)?,
        id: TopicId(codec::id(from)?.0),
        replication_factor: from.try_get_i16()?,
        leader_epochs: codec::list(from, 4, |from| Ok(from.try_get_i32()?))?,
        configs: values(from)?,
    })
}

fn put_owner(out: &mut Vec<u8>, owner: &SettingsOwner) {
    match owner {
        SettingsOwner::Cluster => out.put_u8(0),
        SettingsOwner::Broker(node) => {
            out.put_u8(1);
            out.put_i32(*node);
        }
        SettingsOwner::Group(group) => {
            out.put_u8(2);
            put_text(out, group);
        }
        SettingsOwner::ClientMetrics(name) => {
            out.put_u8(3);
            put_text(out, name);
        }
    }
}

fn owner(from: &mut &[u8]) -> Result<SettingsOwner, EnvelopeError> {
    Ok(match from.try_get_u8()? {
        0 => SettingsOwner::Cluster,
        1 => SettingsOwner::Broker(from.try_get_i32()?),
        2 => SettingsOwner::Group(text(from)?),
        3 => SettingsOwner::ClientMetrics(text(from)?),
        _ => return Err(malformed("an owner that this version does not know")),
    })
}

fn put_values(out: &mut Vec<u8>, values: &BTreeMap<String, String>) {
    codec::put_count(out, values.len());
    for (name, value) in values {
        put_text(out, name);
        put_text(out, value);
    }
}

fn values(from: &mut &[u8]) -> Result<BTreeMap<String, String>, EnvelopeError> {
    let values = codec::list(from, 2 * TEXT_BYTES, |from| Ok((text(from)?, text(from)?)))?;
    Ok(values.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::strange;
    use super::*;

    fn settings(values: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        owned.collect()
    }

    fn export() -> ClusterExport {
        let topic = |name: &str, id: u8, leader_epochs: &[i32]| ExportedTopic {
            name: name.to_owned(),
            id: TopicId([id; 16]),
            replication_factor: 3,
            leader_epochs: leader_epochs.to_vec(),
            configs: settings(&[("retention.ms", "-1")]),
        };
        let owned = |owner, values| OwnedSettings { owner, values };
        ClusterExport {
            version: 42,
            next_producer_id: 3_000,
            topics: vec![topic("orders", 1, &[0, 7]), topic("empty", 2, &[])],
            settings: vec![
                owned(SettingsOwner::Cluster, settings(&[("a", "1"), ("b", "")])),
                owned(SettingsOwner::Broker(3), settings(&[("c", "é")])),
                owned(SettingsOwner::Group("g".to_owned()), settings(&[])),
                owned(SettingsOwner::ClientMetrics("m".to_owned()), settings(&[])),
            ],
        }
    }

    #[test]
    fn comes_back_as_it_was() {
        let export = export();
        assert_eq!(ClusterExport::from_bytes(&export.to_bytes()), Ok(export));
    }

    #[test]
    fn the_bytes_are_these() {
        let export = ClusterExport {
            version: 2,
            next_producer_id: 3,
            topics: vec![ExportedTopic {
                name: "t".to_owned(),
                id: TopicId([9; 16]),
                replication_factor: 1,
                leader_epochs: vec![5],
                configs: BTreeMap::new(),
            }],
            settings: vec![OwnedSettings {
                owner: SettingsOwner::Broker(4),
                values: settings(&[("n", "v")]),
            }],
        };
        let mut body = Vec::new();
        body.put_slice(&[0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1]);
        body.put_slice(b"\0\0\0\x01t");
        body.put_slice(&[9; 16]);
        body.put_slice(&[
            0, 1, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 4,
        ]);
        body.put_slice(b"\0\0\0\x01\0\0\0\x01n\0\0\0\x01v");
        let sealed = export.to_bytes();
        assert_eq!(sealed[..6], *b"FRCL\0\x01");
        assert_eq!(sealed[10..sealed.len() - 4], body);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(body: Vec<u8>, at: prop::sample::Index, byte: u8) {
            let whole = export().to_bytes();
            strange(KIND, (&body, &whole), (at, byte), |bytes| drop(ClusterExport::from_bytes(bytes)));
        }
    }
}
