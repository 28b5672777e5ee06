//! One entry of the log, and the record batch that it is on disk.
//!
//! The batch's leader epoch is outside of its checksum, and a batch knows offsets only. So the first
//! record's key says again, under the checksum, what agreement stands on: the kind of the entry, its
//! term, its index, and the offset at which the append that it came with began.

use bytes::{BufMut, Bytes};
use freshet_records::{Batch, BatchBuilder, BatchError, Codec, NewRecord};
use freshet_types::{Offset, Timestamp};

const KEY_VERSION: u8 = 1;
const KEY_BYTES: usize = 2 + 8 + 8 + 8;
const RECORDS: u8 = 0;
const BLANK: u8 = 1;
const VOTERS: u8 = 2;

/// Names an entry: no two entries of one cluster's history have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct EntryId {
    /// The leader's term.
    pub(crate) term: u64,
    /// Counts entries from 0 on, without a hole.
    pub(crate) index: u64,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// What was decided together.
    Records(Vec<Bytes>),
    /// A leader's first word.
    Blank,
    /// Who votes from now on; see `raft::voters` for the bytes.
    Voters(Bytes),
}

impl Content {
    /// How many offsets it takes: one at least, so that no two entries share one.
    pub(crate) fn offsets(&self) -> Offset {
        match self {
            Self::Records(records) => (records.len() as Offset).max(1),
            Self::Blank | Self::Voters(_) => 1,
        }
    }

    /// About how much room it takes.
    pub(crate) fn len_bytes(&self) -> usize {
        match self {
            Self::Records(records) => records.iter().map(Bytes::len).sum(),
            Self::Blank => 0,
            Self::Voters(bytes) => bytes.len(),
        }
    }
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: EntryId,
    pub(crate) content: Content,
}

/// Where an entry lands, and with whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Landing {
    /// Its first offset.
    pub(super) base: Offset,
    /// The first offset of the append it belongs to.
    pub(super) group: Offset,
    /// When.
    pub(super) now: Timestamp,
}

impl Entry {
    pub(super) fn encode(&self, at: Landing) -> Result<Bytes, BatchError> {
        let epoch = i32::try_from(self.id.term).unwrap_or(i32::MAX);
        let mut builder = BatchBuilder::new(Codec::None).at(at.base, epoch);
        let (kind, values): (u8, Vec<Option<&[u8]>>) = match &self.content {
            Content::Records(records) if !records.is_empty() => {
                (RECORDS, records.iter().map(|r| Some(&r[..])).collect())
            }
            Content::Records(_) | Content::Blank => (BLANK, vec![None]),
            Content::Voters(voters) => (VOTERS, vec![Some(voters)]),
        };
        if kind != RECORDS {
            builder = builder.control();
        }
        let key = self.key(kind, at.group);
        for (i, value) in values.into_iter().enumerate() {
            builder.push(&NewRecord {
                timestamp: at.now,
                key: (i == 0).then_some(&key[..]),
                value,
                headers: &[],
            })?;
        }
        Ok(builder.finish()?.bytes().clone())
    }

    fn key(&self, kind: u8, group: Offset) -> Vec<u8> {
        let mut key = Vec::with_capacity(KEY_BYTES);
        key.put_slice(&[KEY_VERSION, kind]);
        key.put_u64(self.id.term);
        key.put_u64(self.id.index);
        key.put_i64(group);
        key
    }
}

/// An entry as it was read.
pub(super) struct Read {
    pub(super) entry: Entry,
    pub(super) group: Offset,
}

struct Key {
    kind: u8,
    id: EntryId,
    group: Offset,
}

/// The entry in a batch whose checksum is right. `follows` is the entry before it: batches of the
/// first format have no key, came one to an append, and count on.
pub(super) fn decode(batch: &Batch, follows: Option<EntryId>) -> Result<Read, String> {
    // Never compressed: no record is larger than what holds it.
    let records = batch
        .records(batch.bytes().len())
        .map_err(|error| error.to_string())?;
    let mut key = None;
    let mut values = Vec::new();
    for (i, record) in records.enumerate() {
        let record = record.map_err(|error| error.to_string())?;
        match (i, &record.key) {
            (0, Some(bytes)) => key = Some(read_key(bytes)?),
            (_, None) => {}
            (_, Some(_)) => return Err("a key where none belongs".to_owned()),
        }
        values.push(record.value);
    }
    let key = key.unwrap_or_else(|| Key {
        kind: RECORDS,
        id: EntryId {
            term: follows.map_or(0, |id| id.term),
            index: follows.map_or(0, |id| id.index + 1),
        },
        group: batch.header().base_offset,
    });
    let mut values = values.into_iter();
    let content = match key.kind {
        RECORDS => Content::Records(values.map(Option::unwrap_or_default).collect()),
        BLANK => Content::Blank,
        VOTERS => Content::Voters(values.next().flatten().unwrap_or_default()),
        other => {
            return Err(format!(
                "kind {other} is not known: written by a newer Freshet"
            ));
        }
    };
    let entry = Entry {
        id: key.id,
        content,
    };
    let group = key.group;
    Ok(Read { entry, group })
}

fn read_key(bytes: &[u8]) -> Result<Key, String> {
    let key: &[u8; KEY_BYTES] = bytes.try_into().map_err(|_| "a key of another length")?;
    let number = |at: usize| {
        let bytes = key[at..at + 8]
            .try_into()
            .expect("the key's length is checked");
        u64::from_be_bytes(bytes)
    };
    if key[0] != KEY_VERSION {
        return Err(format!(
            "version {} is not known: written by a newer Freshet",
            key[0]
        ));
    }
    let (term, index) = (number(2), number(10));
    Ok(Key {
        kind: key[1],
        id: EntryId { term, index },
        group: number(18).cast_signed(),
    })
}
