//! How far groups have read, as an object in the bucket (FRGP): what one broker knows, of all shards of
//! groups that it hosts.

use bytes::{Buf, BufMut};
use freshet_records::envelope::{EnvelopeError, Kind, seal, unseal};
use freshet_types::{LeaderEpoch, Offset, PartitionId};

use super::{TEXT_BYTES, partition, put_text, text};
use crate::codec;

const KIND: Kind = Kind {
    magic: *b"FRGP",
    version: 1,
};
const SHARD_BYTES: usize = 4 + 4;
const GROUP_BYTES: usize = TEXT_BYTES + 4;
const TOPIC_BYTES: usize = TEXT_BYTES + 4;
const POSITION_BYTES: usize = 4 + 8 + 4 + TEXT_BYTES;

/// What one broker exports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionsExport {
    /// Of the cluster's metadata, by which the broker hosts these shards.
    pub version: u64,
    /// The shards, each with all its groups.
    pub shards: Vec<ExportedShard>,
}

/// A partition of `__consumer_offsets`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportedShard {
    /// Its number.
    pub shard: PartitionId,
    /// Groups that have positions.
    pub groups: Vec<GroupPositions>,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPositions {
    /// Its id.
    pub group: String,
    /// By topic.
    pub topics: Vec<PositionsOf>,
}

/// A group's positions in one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionsOf {
    /// The topic's name.
    pub topic: String,
    /// By partition.
    pub positions: Vec<Position>,
}

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Of which partition.
    pub partition: PartitionId,
    /// The next record to read.
    pub offset: Offset,
    /// Of the last record read; -1 when unknown.
    pub leader_epoch: LeaderEpoch,
    /// The client's own text.
    pub metadata: String,
}

impl PositionsExport {
    /// As it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        body.put_u64(self.version);
        codec::put_count(&mut body, self.shards.len());
        for ExportedShard { shard, groups } in &self.shards {
            body.put_i32(*shard);
            codec::put_count(&mut body, groups.len());
            groups.iter().for_each(|group| put_group(&mut body, group));
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
            shards: codec::list(from, SHARD_BYTES, |from| {
                Ok(ExportedShard {
                    shard: partition(from)?,
                    groups: codec::list(from, GROUP_BYTES, group)?,
                })
            })?,
        };
        codec::done(from)?;
        Ok(export)
    }
}

fn put_group(out: &mut Vec<u8>, group: &GroupPositions) {
    put_text(out, &group.group);
    codec::put_count(out, group.topics.len());
    for PositionsOf { topic, positions } in &group.topics {
        put_text(out, topic);
        codec::put_count(out, positions.len());
        for position in positions {
            out.put_i32(position.partition);
            out.put_i64(position.offset);
            out.put_i32(position.leader_epoch);
            put_text(out, &position.metadata);
        }
    }
}

fn group(from: &mut &[u8]) -> Result<GroupPositions, EnvelopeError> {
    Ok(GroupPositions {
        group: text(from)?,
        topics: codec::list(from, TOPIC_BYTES, |from| {
            Ok(PositionsOf {
                topic: text(from)?,
                positions: codec::list(from, POSITION_BYTES, position)?,
            })
        })?,
    })
}

fn position(from: &mut &[u8]) -> Result<Position, EnvelopeError> {
    Ok(Position {
        partition: partition(from)?,
        offset: codec::offset(from)?,
        leader_epoch: from.try_get_i32()?,
        metadata: text(from)?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::strange;
    use super::*;

    fn export() -> PositionsExport {
        let position = |partition, offset| Position {
            partition,
            offset,
            leader_epoch: -1,
            metadata: "ü".to_owned(),
        };
        let group = GroupPositions {
            group: "g".to_owned(),
            topics: vec![PositionsOf {
                topic: "t".to_owned(),
                positions: vec![position(0, 7), position(3, i64::MAX)],
            }],
        };
        let shard = |shard, groups| ExportedShard { shard, groups };
        PositionsExport {
            version: 8,
            shards: vec![shard(0, Vec::new()), shard(49, vec![group])],
        }
    }

    #[test]
    fn comes_back_as_it_was() {
        let export = export();
        assert_eq!(PositionsExport::from_bytes(&export.to_bytes()), Ok(export));
    }

    #[test]
    fn the_bytes_are_these() {
        let mut export = export();
        export.shards.remove(0);
        export.shards[0].groups[0].topics[0].positions.truncate(1);
        let mut body = Vec::new();
        body.put_slice(&[0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 49, 0, 0, 0, 1]);
        body.put_slice(b"\0\0\0\x01g\0\0\0\x01\0\0\0\x01t\0\0\0\x01");
        body.put_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 255, 255, 255, 255]);
        body.put_slice(&[0, 0, 0, 2, 0xc3, 0xbc]);
        let sealed = export.to_bytes();
        assert_eq!(sealed[..6], *b"FRGP\0\x01");
        assert_eq!(sealed[10..sealed.len() - 4], body);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(body: Vec<u8>, at: prop::sample::Index, byte: u8) {
            let whole = export().to_bytes();
            strange(KIND, (&body, &whole), (at, byte), |bytes| drop(PositionsExport::from_bytes(bytes)));
        }
    }
}
