//! One batch, and walking over many.

use bytes::Bytes;

use crate::{BODY_AT, BatchError, BatchHeader, CRC_FROM, RecordIter, crc32c};

/// A whole batch: its parsed header, and all of its bytes, shared with the buffer it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    header: BatchHeader,
    bytes: Bytes,
}

impl Batch {
    /// Takes the batch at the start of `bytes`; what follows it is left out. No copy.
    #[inline]
    pub fn parse(bytes: &Bytes) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(bytes)?;
        if header.size_bytes > bytes.len() {
            return Err(BatchError::Truncated {
                needed_bytes: header.size_bytes,
                present_bytes: bytes.len(),
            });
        }
        let bytes = bytes.slice(..header.size_bytes);
        Ok(Self { header, bytes })
    }

    /// Compares the checksum with the bytes.
    #[inline]
    pub fn check_crc(&self) -> Result<(), BatchError> {
        let computed = crc32c(&self.bytes[CRC_FROM..]);
        if computed == self.header.crc {
            return Ok(());
        }
        Err(BatchError::Crc {
            stored: self.header.crc,
            computed,
        })
    }

    /// The header.
    #[inline]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The whole batch.
    #[inline]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The records as stored, compressed or not.
    pub fn body(&self) -> Bytes {
        self.bytes.slice(BODY_AT..)
    }

    /// Reads the records one by one; fails once they have more than `cap_bytes` decompressed.
    pub fn records(&self, cap_bytes: usize) -> Result<RecordIter, BatchError> {
        RecordIter::new(self, cap_bytes)
    }
}

/// Walks over batches that lie one behind the other.
///
/// Ends after the first error; [`BatchError::Truncated`] is what a fetch response and a torn log
/// end with. Checksums are not looked at.
#[derive(Debug, Clone)]
pub struct Batches {
    rest: Bytes,
    position: usize,
    failed: bool,
}

impl Batches {
    /// Starts at the first byte of `bytes`.
    pub fn new(bytes: Bytes) -> Self {
        Self {
            rest: bytes,
            position: 0,
            failed: false,
        }
    }

    /// Bytes of whole batches walked over so far; after an error, where the bad batch starts.
    pub fn position(&self) -> usize {
        self.position
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.rest.is_empty() {
            return None;
        }
        let batch = Batch::parse(&self.rest);
        match &batch {
            Ok(batch) => {
                let size = batch.header.size_bytes;
                self.rest = self.rest.slice(size..);
                self.position += size;
            }
            Err(_) => self.failed = true,
        }
        Some(batch)
    }
}

impl std::iter::FusedIterator for Batches {}
