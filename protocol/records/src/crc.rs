//! CRC-32C (Castagnoli), the checksum of batches.

use crc_fast::{CrcAlgorithm, Digest, checksum_combine, crc32_iscsi};

/// CRC-32C of `bytes`. Runs on the widest instructions that the CPU has; the choice is made once.
#[inline]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32_iscsi(bytes)
}

/// CRC-32C of bytes that come in pieces.
#[derive(Debug, Clone, Copy)]
pub struct Crc32c(Digest);

impl Default for Crc32c {
    fn default() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc32Iscsi))
    }
}

impl Crc32c {
    /// Takes the next ones.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Of all so far.
    pub fn value(&self) -> u32 {
        // A 32-bit CRC has no higher bits.
        self.0.finalize() as u32
    }
}

/// The checksum of `front ++ back` from those of the two; neither is read again. Takes as long as summing
/// hundreds of KiB: bytes that are at hand in pieces are for [`Crc32c`].
pub fn crc32c_joined(front: u32, back: u32, back_bytes: u64) -> u32 {
    let (front, back) = (u64::from(front), u64::from(back));
    // The combined value of a 32-bit CRC has no higher bits.
    checksum_combine(CrcAlgorithm::Crc32Iscsi, front, back, back_bytes) as u32
}

/// What the checksum of `head ++ tail` becomes when `head` is replaced, from the old checksum.
///
/// The tail is not read: a CRC is linear, so only the difference of the heads has to be moved over
/// the tail's length. A checksum that was wrong stays wrong, so a rewrite cannot launder damage.
pub(crate) fn crc32c_with_new_head(old: u32, old_head: &[u8], head: &[u8], tail_len: usize) -> u32 {
    let difference = crc32c(old_head) ^ crc32c(head);
    let moved = checksum_combine(
        CrcAlgorithm::Crc32Iscsi,
        u64::from(difference),
        0,
        tail_len as u64,
    );
    // The combined value of a 32-bit CRC has no higher bits.
    old ^ (moved as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn agrees_with_the_catalogue() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(b""), 0);
    }

    proptest! {
        #[test]
        fn parts_are_joined_without_their_bytes(front: Vec<u8>, back: Vec<u8>) {
            let joined = crc32c_joined(crc32c(&front), crc32c(&back), back.len() as u64);
            let mut pieces = Crc32c::default();
            pieces.add(&front);
            pieces.add(&back);
            prop_assert_eq!(pieces.value(), joined);
            prop_assert_eq!(joined, crc32c(&[front, back].concat()));
        }

        #[test]
        fn a_new_head_needs_no_tail(
            heads in proptest::collection::vec(any::<(u8, u8)>(), 0..64),
            tail: Vec<u8>,
        ) {
            let (old, new): (Vec<u8>, Vec<u8>) = heads.into_iter().unzip();
            let whole = |head: &[u8]| crc32c(&[head, &tail].concat());
            prop_assert_eq!(
                crc32c_with_new_head(whole(&old), &old, &new, tail.len()),
                whole(&new)
            );
        }
    }
}
