//! What consumers tell each other through the broker: protocol type "consumer".
//!
//! The broker carries these bytes without looking. They start with a version, and a newer version is
//! read as the newest one known: fields are only ever added at the end.

use bytes::Bytes;
use freshet_codec::{DecodeError, EncodeError, Message, Reader};
use freshet_types::PartitionId;

/// The protocol type of every consumer.
pub(crate) const PROTOCOL_TYPE: &str = "consumer";
const NEWEST: i16 = 3;

/// What a member wants and has (KIP-429, KIP-792, KIP-881).
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-3")]
pub struct ConsumerProtocolSubscription {
    /// Topics it wants to read.
    pub topics: Vec<String>,
    /// The assignor's own note.
    pub user_data: Option<Bytes>,
    /// Partitions it holds from the generation before.
    #[field(versions = "1+", ignorable)]
    pub owned_partitions: Vec<TopicPartitions>,
    /// The generation it holds them from; -1 if none.
    #[field(versions = "2+", default = -1, ignorable)]
    pub generation_id: i32,
    /// Where it runs.
    #[field(versions = "3+", ignorable)]
    pub rack_id: Option<String>,
}

/// A member's share.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-3")]
pub struct ConsumerProtocolAssignment {
    /// Partitions it shall read.
    pub assigned_partitions: Vec<TopicPartitions>,
    /// The assignor's own note.
    pub user_data: Option<Bytes>,
}

/// Partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicPartitions {
    /// The topic.
    pub topic: String,
    /// Its partitions.
    pub partitions: Vec<PartitionId>,
}

impl ConsumerProtocolSubscription {
    /// The bytes of JoinGroup's metadata.
    pub fn to_bytes(&self) -> Result<Bytes, EncodeError> {
        self.to_stored(NEWEST)
    }

    /// Reads JoinGroup's metadata.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, DecodeError> {
        from_any_version(bytes)
    }
}

impl ConsumerProtocolAssignment {
    /// The bytes of a SyncGroup assignment.
    pub fn to_bytes(&self) -> Result<Bytes, EncodeError> {
        self.to_stored(NEWEST)
    }

    /// Reads a SyncGroup assignment; empty bytes are an empty share.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, DecodeError> {
        if bytes.is_empty() {
            Ok(Self::default())
        } else {
            from_any_version(bytes)
        }
    }
}

fn from_any_version<M: Message>(bytes: Bytes) -> Result<M, DecodeError> {
    let mut reader = Reader::new(bytes);
    let version = reader.i16()?;
    M::decode(&mut reader, version.min(NEWEST))
}

/// Groups partitions by topic, both in order.
pub(crate) fn by_topic(
    partitions: impl IntoIterator<Item = (String, PartitionId)>,
) -> Vec<TopicPartitions> {
    let mut topics = std::collections::BTreeMap::<String, Vec<PartitionId>>::new();
    for (topic, partition) in partitions {
        topics.entry(topic).or_default().push(partition);
    }
    topics
        .into_iter()
        .map(|(topic, mut partitions)| {
            partitions.sort_unstable();
            TopicPartitions { topic, partitions }
        })
        .collect()
}

/// The opposite of [`by_topic`].
pub(crate) fn flat(topics: Vec<TopicPartitions>) -> impl Iterator<Item = (String, PartitionId)> {
    topics
        .into_iter()
        .flat_map(|t| t.partitions.into_iter().map(move |p| (t.topic.clone(), p)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_version_is_read_as_the_newest_known() {
        let said = ConsumerProtocolSubscription {
            topics: vec!["a".into()],
            generation_id: 7,
            rack_id: Some("r".into()),
            ..Default::default()
        };
        let mut bytes = said.to_bytes().expect("it fits").to_vec();
        bytes[1] = 9;
        bytes.extend_from_slice(b"fields of the future");
        assert_eq!(
            ConsumerProtocolSubscription::from_bytes(bytes.into()),
            Ok(said)
        );
    }

    #[test]
    fn no_bytes_are_an_empty_share() {
        let share = ConsumerProtocolAssignment::from_bytes(Bytes::new());
        assert_eq!(share, Ok(ConsumerProtocolAssignment::default()));
    }

    #[test]
    fn topics_group_and_ungroup() {
        let flat_list = [
            ("b".to_owned(), 1),
            ("a".to_owned(), 0),
            ("b".to_owned(), 0),
        ];
        let grouped = by_topic(flat_list);
        assert_eq!(grouped.len(), 2);
        assert_eq!(grouped[1].partitions, [0, 1]);
        assert_eq!(flat(grouped).count(), 3);
    }
}
