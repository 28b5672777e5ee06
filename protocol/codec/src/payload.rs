//! Record data that is passed on without a copy.

use bytes::{Bytes, BytesMut};

/// Bytes in several shared pieces: the `records` field of a response. Null reads as empty, and
/// empty is never written as null (a null breaks librdkafka, KAFKA-18646).
#[derive(Debug, Clone, Default)]
pub struct Payload {
    chunks: Vec<Bytes>,
    len: usize,
}

impl Payload {
    /// No bytes.
    pub const fn new() -> Self {
        Self {
            chunks: Vec::new(),
            len: 0,
        }
    }

    /// Appends a piece. Empty pieces are dropped.
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.len += chunk.len();
            self.chunks.push(chunk);
        }
    }

    /// Total bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces in order.
    pub fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }

    /// The pieces in order, owned.
    pub fn into_chunks(self) -> Vec<Bytes> {
        self.chunks
    }

    /// All bytes in one buffer; copies only when there are several pieces.
    pub fn into_bytes(mut self) -> Bytes {
        match self.chunks.len() {
            0 => Bytes::new(),
            1 => self.chunks.swap_remove(0),
            _ => {
                let mut all = BytesMut::with_capacity(self.len);
                for chunk in &self.chunks {
                    all.extend_from_slice(chunk);
                }
                all.freeze()
            }
        }
    }
}

impl From<Bytes> for Payload {
    fn from(chunk: Bytes) -> Self {
        let mut payload = Self::new();
        payload.push(chunk);
        payload
    }
}

impl FromIterator<Bytes> for Payload {
    fn from_iter<I: IntoIterator<Item = Bytes>>(chunks: I) -> Self {
        let mut payload = Self::new();
        for chunk in chunks {
            payload.push(chunk);
        }
        payload
    }
}

impl PartialEq for Payload {
    /// Equal bytes are equal, however they are cut.
    fn eq(&self, other: &Self) -> bool {
        let bytes = |payload: &Self| -> Vec<u8> { payload.chunks.concat() };
        self.len == other.len && (self.chunks == other.chunks || bytes(self) == bytes(other))
    }
}

impl Eq for Payload {}
