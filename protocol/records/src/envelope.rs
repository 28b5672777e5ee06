//! The wrapping of what stands alone in a file or an object, but for batches: `magic(4) version(2) length(4) body crc32c(4)`, big-endian.
//!
//! The checksum covers all that is in front of it, so a bit flip anywhere is seen, and a file cut
//! by a crash is never taken for a whole one.

pub mod index;

use crate::crc32c;
use bytes::{Buf, BufMut};

const FRONT_BYTES: usize = 10;
const CRC_BYTES: usize = 4;

/// Names one kind of file and the only version that we write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// First four bytes.
    pub magic: [u8; 4],
    /// Version written; other versions are refused.
    pub version: u16,
}

/// What an envelope adds to its body.
pub const ENVELOPE_BYTES: usize = FRONT_BYTES + CRC_BYTES;

/// Why bytes are not the file they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Something else.
    #[error("not a {expected} file")]
    Magic {
        /// The magic bytes of what was looked for.
        expected: String,
    },
    /// Written by another version of the broker.
    #[error("version {found}, this broker reads {known}")]
    Version {
        /// Its version.
        found: u16,
        /// Ours.
        known: u16,
    },
    /// Cut, or something is behind it.
    #[error("cut or grown: {found} bytes instead of {declared}")]
    Length {
        /// What it says of itself, bytes.
        declared: u64,
        /// What is there, bytes.
        found: u64,
    },
    /// A bit has flipped.
    #[error("checksum mismatch")]
    Checksum,
    /// Whole, but it makes no sense.
    #[error("malformed: {what}")]
    Body {
        /// What is wrong.
        what: &'static str,
    },
}

/// Shorthand for a body that passes its checksum but makes no sense.
pub fn malformed(what: &'static str) -> EnvelopeError {
    EnvelopeError::Body { what }
}

impl From<bytes::TryGetError> for EnvelopeError {
    fn from(_: bytes::TryGetError) -> Self {
        malformed("it ends inside a field")
    }
}

/// Wraps a body, which is far below 4 GiB.
pub fn seal(kind: Kind, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ENVELOPE_BYTES + body.len());
    bytes.put_slice(&kind.magic);
    bytes.put_u16(kind.version);
    let length = u32::try_from(body.len()).expect("small files stay far below 4 GiB");
    bytes.put_u32(length);
    bytes.put_slice(body);
    bytes.put_u32(crc32c(&bytes));
    bytes
}

/// Checks the wrapping and gives the body.
///
/// # Errors
/// The bytes are cut, grown, damaged, or of another kind or version.
pub fn unseal(kind: Kind, bytes: &[u8]) -> Result<&[u8], EnvelopeError> {
    let mut front = bytes;
    if bytes.len() < ENVELOPE_BYTES {
        return Err(EnvelopeError::Length {
            declared: ENVELOPE_BYTES as u64,
            found: bytes.len() as u64,
        });
    }
    if front[..4] != kind.magic {
        let expected = String::from_utf8_lossy(&kind.magic).into_owned();
        return Err(EnvelopeError::Magic { expected });
    }
    front.advance(4);
    let found = front.get_u16();
    let length = u64::from(front.get_u32());
    let declared = length + ENVELOPE_BYTES as u64;
    if declared != bytes.len() as u64 {
        let found = bytes.len() as u64;
        return Err(EnvelopeError::Length { declared, found });
    }
    let (summed, mut crc) = bytes.split_at(bytes.len() - CRC_BYTES);
    if crc32c(summed) != crc.get_u32() {
        return Err(EnvelopeError::Checksum);
    }
    // After the checksum, so that a flipped version bit is not taken for a newer broker's file.
    if found != kind.version {
        let known = kind.version;
        return Err(EnvelopeError::Version { found, known });
    }
    Ok(&summed[FRONT_BYTES..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KIND: Kind = Kind {
        magic: *b"TEST",
        version: 3,
    };

    #[test]
    fn golden() {
        let sealed = seal(KIND, b"ab");
        assert_eq!(sealed[..12], *b"TEST\0\x03\0\0\0\x02ab");
        assert_eq!(
            sealed[12..],
            crc32c(b"TEST\0\x03\0\0\0\x02ab").to_be_bytes()
        );
    }

    #[test]
    fn other_kinds_and_versions_are_named() {
        let sealed = seal(KIND, b"ab");
        let other = Kind {
            magic: *b"OTHR",
            ..KIND
        };
        let newer = Kind { version: 2, ..KIND };
        assert!(matches!(
            unseal(other, &sealed),
            Err(EnvelopeError::Magic { .. })
        ));
        assert_eq!(
            unseal(newer, &sealed),
            Err(EnvelopeError::Version { found: 3, known: 2 })
        );
    }

    proptest! {
        #[test]
        fn round_trips(body: Vec<u8>) {
            let sealed = seal(KIND, &body);
            prop_assert_eq!(unseal(KIND, &sealed), Ok(body.as_slice()));
        }

        #[test]
        fn a_flip_or_a_cut_is_seen(body: Vec<u8>, at: prop::sample::Index, bit in 0..8u8) {
            let mut sealed = seal(KIND, &body);
            let at = at.index(sealed.len());
            prop_assert!(unseal(KIND, &sealed[..at]).is_err());
            sealed[at] ^= 1 << bit;
            prop_assert!(unseal(KIND, &sealed).is_err());
        }

        #[test]
        fn strange_bytes_never_panic(bytes: Vec<u8>) {
            let _ = unseal(KIND, &bytes);
        }
    }
}
