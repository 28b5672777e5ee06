//! Questions and answers as bytes, between the leader of a partition and the host of its shard
//! (docs/formats/tier.md). Both ends are brokers of one cluster; one that is newer than the other is
//! refused by the version, and asked again once both are new.

use std::borrow::Cow;

use bytes::{Buf, BufMut};
use freshet_records::envelope::{EnvelopeError, malformed};
use freshet_types::{Offset, Timestamp};

use super::record::{self, Change};
use super::request::{Answer, Ask, Changed, Claim, Purpose, Refusal, Request, Stored};
use crate::codec;
use crate::manifest::{ExportedManifest, Manifest};
use crate::segment::SegmentId;

const VERSION: u16 = 0;

/// What a shard says to a question.
pub type Said = Result<Answer, Refusal>;

impl Request {
    /// For another broker.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        out.put_u16(VERSION);
        codec::put_partition(&mut out, self.partition);
        out.put_i32(self.leader_epoch);
        put_ask(&mut out, &self.ask);
        out
    }

    /// From another broker. Any bytes are read without panic, and without allocating more than a
    /// small multiple of what they are.
    ///
    /// # Errors
    /// They are damaged, or a later broker wrote them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let mut from = bytes;
        let from = &mut from;
        version(from)?;
        let request = Self {
            partition: codec::partition(from)?,
            leader_epoch: from.try_get_i32()?,
            ask: get_ask(from)?,
        };
        codec::done(from)?;
        Ok(request)
    }
}

/// What was said, for another broker.
pub fn said_to_bytes(said: &Said) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    out.put_u16(VERSION);
    match said {
        Ok(answer) => put_answer(&mut out, answer),
        Err(refusal) => put_refusal(&mut out, refusal),
    }
    out
}

/// The same, from another broker.
///
/// # Errors
/// They are damaged, or a later broker wrote them.
pub fn said_from_bytes(bytes: &[u8]) -> Result<Said, EnvelopeError> {
    let mut from = bytes;
    let from = &mut from;
    version(from)?;
    let said = match from.try_get_u8()? {
        tag if tag < FIRST_REFUSAL => Ok(get_answer(tag, from)?),
        tag => Err(get_refusal(tag, from)?),
    };
    codec::done(from)?;
    Ok(said)
}

fn version(from: &mut &[u8]) -> Result<(), EnvelopeError> {
    match from.try_get_u16()? {
        VERSION => Ok(()),
        found => Err(EnvelopeError::Version {
            found,
            known: VERSION,
        }),
    }
}

fn put_ask(out: &mut Vec<u8>, ask: &Ask) {
    match ask {
        Ask::Claim(claim) => {
            out.put_u8(1);
            out.put_i64(claim.log_start);
            out.put_i64(claim.local_start);
            out.put_i64(claim.log_end);
            codec::put_epochs(out, &claim.epochs);
            out.put_i32(claim.unclean.unwrap_or(-1));
        }
        Ask::Begin {
            id,
            start,
            end,
            purpose,
        } => {
            out.put_u8(2);
            out.put_slice(&id.0);
            out.put_i64(*start);
            out.put_i64(*end);
            out.put_u8(u8::from(*purpose == Purpose::Rewrite));
        }
        Ask::Commit(stored) => {
            out.put_u8(3);
            put_stored(out, stored);
        }
        Ask::Abandon { ids } => {
            out.put_u8(4);
            record::put_ids(out, ids);
        }
        Ask::MoveStart { log_start } => {
            out.put_u8(5);
            out.put_i64(*log_start);
        }
        Ask::Replace { removed, added } => {
            out.put_u8(6);
            record::put_ids(out, removed);
            codec::put_count(out, added.len());
            added.iter().for_each(|stored| put_stored(out, stored));
        }
        Ask::Export => out.put_u8(7),
        Ask::Exported { version } => {
            out.put_u8(8);
            out.put_u64(*version);
        }
        Ask::Collect => out.put_u8(9),
        Ask::Sweep { listed } => {
            out.put_u8(10);
            record::put_objects(out, listed);
        }
        Ask::Collected { ids } => {
            out.put_u8(11);
            record::put_ids(out, ids);
        }
        Ask::Delete { keep_objects } => {
            out.put_u8(12);
            out.put_u8(u8::from(*keep_objects));
        }
        Ask::Describe => out.put_u8(13),
        Ask::List => out.put_u8(14),
        Ask::Adopt { exported, newest } => {
            out.put_u8(15);
            put_bytes(out, exported);
            out.put_u64(*newest);
        }
    }
}

fn get_ask(from: &mut &[u8]) -> Result<Ask, EnvelopeError> {
    Ok(match from.try_get_u8()? {
        1 => Ask::Claim(Claim {
            // Whoever decides judges these.
            log_start: from.try_get_i64()?,
            local_start: from.try_get_i64()?,
            log_end: from.try_get_i64()?,
            epochs: codec::any_epochs(from)?,
            unclean: Some(from.try_get_i32()?).filter(|epoch| *epoch >= 0),
        }),
        2 => Ask::Begin {
            id: codec::id(from)?,
            start: codec::offset(from)?,
            end: codec::offset(from)?,
            purpose: match codec::flag(from)? {
                true => Purpose::Rewrite,
                false => Purpose::Append,
            },
        },
        3 => Ask::Commit(get_stored(from)?),
        4 => Ask::Abandon {
            ids: record::ids(from)?,
        },
        5 => Ask::MoveStart {
            log_start: from.try_get_i64()?,
        },
        6 => Ask::Replace {
            removed: record::ids(from)?,
            added: codec::list(from, STORED_BYTES, get_stored)?,
        },
        7 => Ask::Export,
        8 => Ask::Exported {
            version: from.try_get_u64()?,
        },
        9 => Ask::Collect,
        10 => Ask::Sweep {
            listed: record::objects(from)?,
        },
        11 => Ask::Collected {
            ids: record::ids(from)?,
        },
        12 => Ask::Delete {
            keep_objects: codec::flag(from)?,
        },
        13 => Ask::Describe,
        14 => Ask::List,
        15 => Ask::Adopt {
            exported: bytes(from)?,
            newest: from.try_get_u64()?,
        },
        _ => return Err(malformed("a question that this broker does not know")),
    })
}

/// One without epochs; there is no smaller one.
const STORED_BYTES: usize = codec::ID_BYTES + 8 + 8 + 8 + 8 + 4;

fn put_stored(out: &mut Vec<u8>, stored: &Stored) {
    out.put_slice(&stored.id.0);
    out.put_i64(stored.start);
    out.put_i64(stored.end);
    out.put_u64(stored.size_bytes);
    out.put_i64(stored.max_timestamp.0);
    codec::put_epochs(out, &stored.epochs);
}

fn get_stored(from: &mut &[u8]) -> Result<Stored, EnvelopeError> {
    Ok(Stored {
        id: codec::id(from)?,
        start: codec::offset(from)?,
        end: codec::offset(from)?,
        size_bytes: from.try_get_u64()?,
        max_timestamp: Timestamp(from.try_get_i64()?),
        epochs: codec::any_epochs(from)?,
    })
}

fn put_answer(out: &mut Vec<u8>, answer: &Answer) {
    match answer {
        Answer::Claimed(manifest) => {
            out.put_u8(1);
            put_manifest(out, manifest);
        }
        Answer::Changed(changed) => {
            out.put_u8(2);
            put_changed(out, changed);
        }
        Answer::Export(exported) => {
            out.put_u8(3);
            out.put_u64(exported.version);
            out.put_i64(exported.remote_end);
            put_bytes(out, &exported.bytes);
        }
        Answer::Doomed { changed, objects } => {
            out.put_u8(4);
            put_changed(out, changed);
            record::put_objects(out, objects);
        }
        Answer::Manifest(manifest) => {
            out.put_u8(5);
            put_manifest(out, manifest);
        }
        Answer::Partitions(partitions) => {
            out.put_u8(6);
            codec::put_count(out, partitions.len());
            for partition in partitions {
                codec::put_partition(out, *partition);
            }
        }
        Answer::Adopted => out.put_u8(7),
    }
}

fn get_answer(tag: u8, from: &mut &[u8]) -> Result<Answer, EnvelopeError> {
    Ok(match tag {
        1 => Answer::Claimed(Box::new(get_manifest(from)?)),
        2 => Answer::Changed(get_changed(from)?),
        3 => Answer::Export(ExportedManifest {
            version: from.try_get_u64()?,
            remote_end: codec::offset(from)?,
            bytes: bytes(from)?,
        }),
        4 => Answer::Doomed {
            changed: get_changed(from)?,
            objects: record::objects(from)?,
        },
        5 => Answer::Manifest(Box::new(get_manifest(from)?)),
        6 => Answer::Partitions(codec::list(from, codec::ID_BYTES + 4, codec::partition)?),
        7 => Answer::Adopted,
        _ => return Err(malformed("an answer that this broker does not know")),
    })
}

fn put_list<T>(out: &mut Vec<u8>, list: impl Iterator<Item = T>, put: impl Fn(&mut Vec<u8>, T)) {
    let at = out.len();
    out.put_u32(0);
    let mut count = 0;
    for one in list {
        put(out, one);
        count += 1;
    }
    let count = u32::try_from(count).expect("limits keep lists far below 2^32");
    out[at..at + 4].copy_from_slice(&count.to_be_bytes());
}

fn get_changes(from: &mut &[u8]) -> Result<Vec<Change>, EnvelopeError> {
    codec::list(from, 2, |from| {
        let kind = from.try_get_u16()?;
        Change::get(kind, from)
    })
}

fn put_manifest(out: &mut Vec<u8>, manifest: &Manifest) {
    put_list(out, manifest.parts(), |out, part| {
        out.put_u16(record::part_kind(&part));
        record::put_part(out, &part);
    });
}

fn get_manifest(from: &mut &[u8]) -> Result<Manifest, EnvelopeError> {
    let parts = codec::list(from, 2, |from| {
        let kind = from.try_get_u16()?;
        record::get_part(kind, from)
    })?;
    Manifest::of_parts(parts).ok_or(malformed("a manifest whose parts contradict"))
}

fn put_changed(out: &mut Vec<u8>, changed: &Changed) {
    put_list(out, changed.changes.iter(), |out, change| {
        out.put_u16(change.kind());
        change.put(out);
    });
    out.put_u64(changed.version);
}

fn get_changed(from: &mut &[u8]) -> Result<Changed, EnvelopeError> {
    Ok(Changed {
        changes: get_changes(from)?,
        version: from.try_get_u64()?,
    })
}

const FIRST_REFUSAL: u8 = 100;

fn put_refusal(out: &mut Vec<u8>, refusal: &Refusal) {
    match refusal {
        Refusal::Fenced { asked, current } => {
            out.put_u8(100);
            out.put_i32(*asked);
            out.put_i32(*current);
        }
        Refusal::NotClaimed { asked } => {
            out.put_u8(101);
            out.put_i32(*asked);
        }
        Refusal::Deleted => out.put_u8(102),
        Refusal::IdInUse(id) => put_id(out, 103, *id),
        Refusal::NotOpen(id) => put_id(out, 104, *id),
        Refusal::NotContiguous { remote_end } => put_offsets(out, 105, [*remote_end]),
        Refusal::NotCurrent => out.put_u8(106),
        Refusal::NotCovering => out.put_u8(107),
        Refusal::Departs { at, remote_end } => put_offsets(out, 108, [*at, *remote_end]),
        Refusal::Hole { from, to } => put_offsets(out, 109, [*from, *to]),
        Refusal::Full { what, limit } => {
            out.put_u8(110);
            out.put_u64(*limit as u64);
            put_text(out, what);
        }
        Refusal::Malformed(why) => {
            out.put_u8(111);
            put_text(out, why);
        }
        Refusal::NotNew => out.put_u8(112),
        Refusal::NotWhole => out.put_u8(113),
    }
}

fn get_refusal(tag: u8, from: &mut &[u8]) -> Result<Refusal, EnvelopeError> {
    Ok(match tag {
        100 => Refusal::Fenced {
            asked: from.try_get_i32()?,
            current: from.try_get_i32()?,
        },
        101 => Refusal::NotClaimed {
            asked: from.try_get_i32()?,
        },
        102 => Refusal::Deleted,
        103 => Refusal::IdInUse(codec::id(from)?),
        104 => Refusal::NotOpen(codec::id(from)?),
        105 => Refusal::NotContiguous {
            remote_end: codec::offset(from)?,
        },
        106 => Refusal::NotCurrent,
        107 => Refusal::NotCovering,
        108 => Refusal::Departs {
            at: codec::offset(from)?,
            remote_end: codec::offset(from)?,
        },
        109 => Refusal::Hole {
            from: codec::offset(from)?,
            to: codec::offset(from)?,
        },
        110 => Refusal::Full {
            limit: usize::try_from(from.try_get_u64()?).unwrap_or(usize::MAX),
            what: text(from)?,
        },
        111 => Refusal::Malformed(text(from)?),
        112 => Refusal::NotNew,
        113 => Refusal::NotWhole,
        _ => return Err(malformed("a refusal that this broker does not know")),
    })
}

fn put_id(out: &mut Vec<u8>, tag: u8, id: SegmentId) {
    out.put_u8(tag);
    out.put_slice(&id.0);
}

fn put_offsets<const N: usize>(out: &mut Vec<u8>, tag: u8, offsets: [Offset; N]) {
    out.put_u8(tag);
    offsets.iter().for_each(|offset| out.put_i64(*offset));
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    codec::put_count(out, bytes.len());
    out.put_slice(bytes);
}

fn bytes(from: &mut &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    let mut bytes = vec![0; codec::count(from, 1)?];
    from.try_copy_to_slice(&mut bytes)?;
    Ok(bytes)
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

fn text(from: &mut &[u8]) -> Result<Cow<'static, str>, EnvelopeError> {
    let text = String::from_utf8(bytes(from)?).map_err(|_| malformed("a text that is none"))?;
    Ok(text.into())
}
