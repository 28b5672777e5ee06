//! The records' bytes, decompressed piece by piece.
//!
//! Records are handed out as slices of a piece, so reading them costs one allocation per piece and
//! not one per record, and no more than a piece, or the largest record, is in memory at a time.

use std::io::{self, Read};

use bytes::Bytes;

use super::decoder;
use crate::{Batch, BatchError, Codec};

const PIECE_BYTES: usize = 64 * 1024;

/// A cursor over a body.
pub(crate) struct Body {
    ready: Bytes,
    source: Option<Box<dyn Read + Send>>,
    codec: Codec,
    cap_bytes: usize,
    inflated_bytes: usize,
}

impl Body {
    pub(crate) fn new(batch: &Batch, cap_bytes: usize) -> Result<Self, BatchError> {
        let attributes = batch.header().attributes;
        let codec = attributes.codec().ok_or(BatchError::UnknownCodec {
            codec: attributes.codec_id(),
        })?;
        let body = batch.body();
        let source = decoder(codec, body.clone(), cap_bytes).map_err(|e| failed(codec, &e))?;
        Ok(Self {
            ready: if source.is_none() { body } else { Bytes::new() },
            source,
            codec,
            cap_bytes,
            inflated_bytes: 0,
        })
    }

    /// What can be looked at now.
    #[inline]
    pub(crate) fn ready(&self) -> &[u8] {
        &self.ready
    }

    /// Takes bytes that are ready.
    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Bytes {
        self.ready.split_to(count)
    }

    /// Drops bytes that are ready.
    #[inline]
    pub(crate) fn skip(&mut self, count: usize) {
        bytes::Buf::advance(&mut self.ready, count);
    }

    /// Makes `wanted` bytes ready, or fewer when the body ends. True when they are.
    #[inline]
    pub(crate) fn fill(&mut self, wanted: usize) -> Result<bool, BatchError> {
        if self.ready.len() < wanted && self.source.is_some() {
            self.inflate(wanted)?;
        }
        Ok(self.ready.len() >= wanted)
    }

    fn inflate(&mut self, wanted: usize) -> Result<(), BatchError> {
        let mut piece = Vec::with_capacity(PIECE_BYTES.max(self.ready.len()));
        piece.extend_from_slice(&self.ready);
        while piece.len() < wanted {
            let Some(source) = &mut self.source else {
                break;
            };
            // `wanted` is a claim: memory grows with the bytes that prove it.
            let step = match PIECE_BYTES.saturating_sub(piece.len()) {
                0 => piece.len().min(wanted - piece.len()),
                room => room,
            };
            let room = self.cap_bytes - self.inflated_bytes;
            let allowed = step.min(room.saturating_add(1)) as u64;
            let count = source
                .take(allowed)
                .read_to_end(&mut piece)
                .map_err(|e| self.failed(&e))?;
            if count > room {
                return Err(self.too_far());
            }
            self.inflated_bytes += count;
            if count == 0 {
                self.source = None;
            }
        }
        self.ready = piece.into();
        Ok(())
    }

    fn failed(&self, error: &io::Error) -> BatchError {
        match error.kind() {
            io::ErrorKind::FileTooLarge => self.too_far(),
            _ => failed(self.codec, error),
        }
    }

    fn too_far(&self) -> BatchError {
        BatchError::InflatesTooFar {
            cap_bytes: self.cap_bytes,
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body")
            .field("codec", &self.codec)
            .field("ready_bytes", &self.ready.len())
            .field("inflated_bytes", &self.inflated_bytes)
            .finish_non_exhaustive()
    }
}

pub(crate) fn failed(codec: Codec, error: &io::Error) -> BatchError {
    BatchError::Compression {
        codec: codec.name(),
        what: error.to_string(),
    }
}
