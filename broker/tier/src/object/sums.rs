//! Checksums of a segment's batches, one for each [`CHUNK_BYTES`] of them.
//!
//! Batches have checksums of their own, but those leave out the first 16 bytes: a flipped base offset
//! would pass. Readers fetch whole chunks, so each is judged by these before anybody sees it, and an
//! uploader sends nothing else than what was checked.

use bytes::{Buf, BufMut, Bytes};
use freshet_records::envelope::{EnvelopeError, malformed};
use freshet_records::{Crc32c, crc32c_joined};

/// Ranges of the batches that are summed, fetched and cached as one: 1 MiB, aligned, the last one shorter.
pub const CHUNK_BYTES: u64 = 1 << 20;

const SUM_BYTES: u64 = 4;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sums {
    done: Vec<u32>,
    /// The last chunk, as far as it has come.
    open: Crc32c,
    open_bytes: u64,
    /// Of everything.
    total: u32,
}

impl Sums {
    /// Takes the next bytes.
    pub(crate) fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = usize::try_from(CHUNK_BYTES - self.open_bytes).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.open.add(now);
            self.open_bytes += now.len() as u64;
            if self.open_bytes == CHUNK_BYTES {
                self.close();
            }
            bytes = later;
        }
    }

    fn close(&mut self) {
        let sum = self.open.value();
        self.total = crc32c_joined(self.total, sum, self.open_bytes);
        self.done.push(sum);
        (self.open, self.open_bytes) = (Crc32c::default(), 0);
    }

    /// No more bytes come: the checksum of all of them.
    pub(crate) fn finish(&mut self) -> u32 {
        if self.open_bytes > 0 {
            self.close();
        }
        self.total
    }

    /// Of one chunk; `None` behind the last one.
    pub(crate) fn of(&self, chunk: u32) -> Option<u32> {
        self.done.get(chunk as usize).copied()
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.done.capacity() * size_of::<u32>()
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.done.len() * 4);
        self.done.iter().for_each(|sum| bytes.put_u32(*sum));
        bytes
    }

    /// How long the section is, for batches of so many bytes.
    pub(crate) fn section_bytes(covers: u64) -> u64 {
        covers.div_ceil(CHUNK_BYTES) * SUM_BYTES
    }

    /// Reads the sums of batches of so many bytes.
    pub(crate) fn from_bytes(mut bytes: Bytes, covers: u64) -> Result<Self, EnvelopeError> {
        if bytes.len() as u64 != Self::section_bytes(covers) {
            return Err(malformed("the checksums of other batches"));
        }
        let mut done = Vec::with_capacity(bytes.len() / 4);
        while bytes.has_remaining() {
            done.push(bytes.try_get_u32()?);
        }
        Ok(Self {
            done,
            ..Self::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use freshet_records::crc32c;

    use super::*;

    #[test]
    fn chunks_are_summed_however_the_bytes_come() {
        let bytes: Vec<u8> = (0..2 * CHUNK_BYTES + 77).map(|n| (n % 251) as u8).collect();
        for step in [1000, 1 << 20, 3 << 20, (1 << 20) + 1] {
            let mut sums = Sums::default();
            bytes.chunks(step).for_each(|part| sums.add(part));
            assert_eq!(sums.finish(), crc32c(&bytes));
            for (n, chunk) in (0..).zip(bytes.chunks(1 << 20)) {
                assert_eq!(sums.of(n), Some(crc32c(chunk)), "{n}");
            }
            assert_eq!(sums.of(3), None);
            let read = Sums::from_bytes(sums.to_bytes().into(), bytes.len() as u64);
            assert_eq!(read.map(|read| read.done), Ok(sums.done));
        }
        assert!(Sums::from_bytes(Bytes::from_static(&[0; 8]), 5).is_err());
        assert_eq!(Sums::default().finish(), crc32c(b""));
    }
}
