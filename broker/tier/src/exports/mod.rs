//! What of a cluster is in the bucket beside its segments and manifests: enough to make it again when all
//! disks are lost (docs/formats/tier.md). Each object is whole, and never replaced: of several the one
//! with the highest version holds.
//!
//! The version is that of the cluster's metadata, which every broker counts alike. A broker that has missed
//! that others lead by now has an earlier one, so what it still exports is older by its name.

mod cluster;
mod kept;
mod positions;

use bytes::{Buf, BufMut};
use freshet_records::envelope::{EnvelopeError, malformed};

pub use cluster::{ClusterExport, ExportedTopic, OwnedSettings, SettingsOwner};
pub use positions::{ExportedShard, GroupPositions, Position, PositionsExport, PositionsOf};

use crate::codec;

/// A text takes at least its length.
const TEXT_BYTES: usize = 4;

fn put_text(out: &mut Vec<u8>, text: &str) {
    codec::put_count(out, text.len());
    out.put_slice(text.as_bytes());
}

fn text(from: &mut &[u8]) -> Result<String, EnvelopeError> {
    let length = codec::count(from, 1)?;
    let (bytes, rest) = from.split_at(length);
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("a text that is not UTF-8"))?;
    *from = rest;
    Ok(text.to_owned())
}

fn partition(from: &mut &[u8]) -> Result<i32, EnvelopeError> {
    match from.try_get_i32()? {
        partition if partition >= 0 => Ok(partition),
        _ => Err(malformed("a negative partition")),
    }
}

#[cfg(test)]
mod tests {
    use freshet_records::envelope::{Kind, seal};
    use proptest::prelude::prop;

    /// Has any `body` read, and a whole export with one byte changed, and cut there: under a right checksum.
    pub(super) fn strange(
        kind: Kind,
        (body, whole): (&[u8], &[u8]),
        (at, byte): (prop::sample::Index, u8),
        read: impl Fn(&[u8]),
    ) {
        read(&seal(kind, body));
        let mut body = whole[10..whole.len() - 4].to_vec();
        let at = at.index(body.len());
        body[at] = byte;
        read(&seal(kind, &body));
        body.truncate(at);
        read(&seal(kind, &body));
    }
}
