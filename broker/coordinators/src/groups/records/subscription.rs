//! The one look into a member's metadata: which topics a consumer subscribes to.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use freshet_codec::{DecodeError, Reader};

/// A topic name takes at least its length and one character.
const TOPIC_BYTES_MIN: usize = 3;

/// Topics in the metadata of a "consumer" protocol (KIP-429 and before): an i16 version, then in
/// every version an i32 count of topic names with i16 lengths; the rest differs and is not read.
/// `None` when the bytes are something else: then nothing is known about the topics.
pub(crate) fn subscribed_topics(metadata: &Bytes) -> Option<BTreeSet<Arc<str>>> {
    read(metadata).ok().flatten()
}

fn read(metadata: &Bytes) -> Result<Option<BTreeSet<Arc<str>>>, DecodeError> {
    let mut reader = Reader::new(metadata.clone());
    let version = reader.i16()?;
    let Ok(count) = usize::try_from(reader.i32()?) else {
        return Ok(None);
    };
    if version < 0 || count > reader.remaining() / TOPIC_BYTES_MIN {
        return Ok(None);
    }
    let mut topics = BTreeSet::new();
    for _ in 0..count {
        let len = usize::from(reader.u16()?);
        let name = reader.slice(len)?;
        let Ok(name) = std::str::from_utf8(&name) else {
            return Ok(None);
        };
        topics.insert(name.into());
    }
    Ok(Some(topics))
}
