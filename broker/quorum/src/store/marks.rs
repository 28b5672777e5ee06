//! Small files that say where agreement stands: the vote, and how far the log was purged.
//!
//! Each is replaced whole (written beside, synced, renamed) and ends with a checksum: a crash leaves
//! the old or the new one. A file that is damaged is never taken for one that is absent. A voter
//! that forgot its vote could vote twice in a term.

use std::path::Path;

use bytes::{Buf, BufMut, Bytes};
use freshet_env::Disk;
use freshet_records::crc32c;
use freshet_types::{NodeId, Offset, TopicId};

use super::entry::EntryId;
use super::error::{StoreError, corrupt, io_error};

/// Voted for whom, in which term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoredVote {
    pub(crate) term: u64,
    pub(crate) node: NodeId,
    pub(crate) directory: TopicId,
    /// Whether a majority is known to have voted the same.
    pub(crate) committed: bool,
}

/// Entries up to this one are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Purged {
    pub(crate) last: EntryId,
    /// The offset after it.
    pub(crate) next_offset: Offset,
}

const VOTE: &str = "vote";
const VOTE_MAGIC: [u8; 8] = *b"FRSHVOT1";
const PURGED: &str = "purged";
const PURGED_MAGIC: [u8; 8] = *b"FRSHPRG1";
const CAP_BYTES: u64 = 4096;
const SUM_BYTES: usize = 4;

pub(super) fn read_vote(disk: &dyn Disk, dir: &Path) -> Result<Option<StoredVote>, StoreError> {
    let path = dir.join(VOTE);
    let Some(mut body) = read(disk, &path, VOTE_MAGIC, 8 + 4 + 16 + 1)? else {
        return Ok(None);
    };
    let term = body.get_u64();
    let node = NodeId(body.get_i32());
    let mut directory = [0; 16];
    body.copy_to_slice(&mut directory);
    Ok(Some(StoredVote {
        term,
        node,
        directory: TopicId(directory),
        committed: body.get_u8() != 0,
    }))
}

pub(super) fn write_vote(disk: &dyn Disk, dir: &Path, vote: StoredVote) -> Result<(), StoreError> {
    let mut bytes = VOTE_MAGIC.to_vec();
    bytes.put_u64(vote.term);
    bytes.put_i32(vote.node.0);
    bytes.put_slice(&vote.directory.0);
    bytes.put_u8(u8::from(vote.committed));
    write(disk, &dir.join(VOTE), bytes)
}

pub(super) fn read_purged(disk: &dyn Disk, dir: &Path) -> Result<Option<Purged>, StoreError> {
    let path = dir.join(PURGED);
    let Some(mut body) = read(disk, &path, PURGED_MAGIC, 8 + 8 + 8)? else {
        return Ok(None);
    };
    let (term, index) = (body.get_u64(), body.get_u64());
    Ok(Some(Purged {
        last: EntryId { term, index },
        next_offset: body.get_i64(),
    }))
}

pub(super) fn write_purged(disk: &dyn Disk, dir: &Path, purged: Purged) -> Result<(), StoreError> {
    let mut bytes = PURGED_MAGIC.to_vec();
    bytes.put_u64(purged.last.term);
    bytes.put_u64(purged.last.index);
    bytes.put_i64(purged.next_offset);
    write(disk, &dir.join(PURGED), bytes)
}

/// The body between magic and checksum, which has exactly `len` bytes.
fn read(
    disk: &dyn Disk,
    path: &Path,
    magic: [u8; 8],
    len: usize,
) -> Result<Option<Bytes>, StoreError> {
    if !disk.exists(path).map_err(io_error("looking at", path))? {
        return Ok(None);
    }
    let bytes: Bytes = disk
        .read_small(path, CAP_BYTES)
        .map_err(io_error("reading", path))?
        .into();
    let end = magic.len() + len;
    let sound = bytes.len() == end + SUM_BYTES
        && bytes.starts_with(&magic)
        && bytes[end..] == crc32c(&bytes[..end]).to_be_bytes();
    if !sound {
        return Err(corrupt(path, 0, "its checksum or length is wrong"));
    }
    Ok(Some(bytes.slice(magic.len()..end)))
}

fn write(disk: &dyn Disk, path: &Path, mut bytes: Vec<u8>) -> Result<(), StoreError> {
    bytes.put_u32(crc32c(&bytes));
    disk.replace_small(path, &bytes)
        .map_err(io_error("writing", path))
}
