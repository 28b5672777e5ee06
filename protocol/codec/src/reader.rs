//! The bounded reader: every length is checked against what is left before anything is allocated.
//!
//! A hostile frame can lie about counts in two ways. It can declare more than it holds: the count
//! is checked against the remaining bytes and the smallest encoding of an element. Or it can hold
//! very many tiny elements whose structs are large in memory: every array is charged to an
//! allowance that grows with the frame ([`Reader::memory_limit`]). Depth needs no limit of its own,
//! because no message contains itself.

use bytes::Bytes;

use crate::error::{DecodeError, Flaw};
use crate::field::Shape;
use crate::varint::unzigzag;

/// Elements of one array, at most (as Kafka 4.4 has it).
pub const MAX_ELEMENTS: usize = 1_000_000;
/// Tagged fields of one struct, at most (as Kafka 4.4 has it).
pub const MAX_TAGGED_FIELDS: usize = 10_000;
/// Bytes of a string, at most, in either encoding.
pub const MAX_STRING: usize = i16::MAX as usize;
/// Bytes of memory that arrays may take for each of the frame's first [`SMALL_FRAME`] bytes. An
/// array of empty strings takes 24.
const SMALL_EXPANSION: usize = 32;
/// Bytes of memory that arrays may take for each further byte. A large frame is record data, or
/// metadata, which takes three to four.
const LARGE_EXPANSION: usize = 8;
/// Bytes of a frame that may be made of tiny elements.
const SMALL_FRAME: usize = 1024 * 1024;
/// Bytes of memory that even the smallest frame may take.
const BASE_ALLOWANCE: usize = 4096;

/// Reads Kafka's primitives from one frame. Byte strings come out as slices of the frame.
#[derive(Debug)]
pub struct Reader {
    frame: Bytes,
    at: usize,
    allowance: usize,
}

impl Reader {
    /// Starts at the first byte of `frame`.
    pub fn new(frame: Bytes) -> Self {
        let allowance = Self::memory_limit(frame.len());
        Self {
            frame,
            at: 0,
            allowance,
        }
    }

    /// Bytes of memory that the arrays decoded from a frame of this size may take. Strings come on
    /// top of it, a copy at most; byte strings are slices of the frame.
    pub fn memory_limit(frame_bytes: usize) -> usize {
        let small = frame_bytes.min(SMALL_FRAME);
        (frame_bytes - small)
            .saturating_mul(LARGE_EXPANSION)
            .saturating_add(small * SMALL_EXPANSION + BASE_ALLOWANCE)
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.frame.len() - self.at
    }

    /// All that is not read yet, as a slice of the frame.
    pub fn rest(&self) -> Bytes {
        self.frame.slice(self.at..)
    }

    /// Fails unless everything was read.
    pub fn expect_end(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(self.error(Flaw::Trailing { left })),
        }
    }

    /// An error at the present position.
    pub fn error(&self, what: Flaw) -> DecodeError {
        DecodeError { at: self.at, what }
    }

    #[cold]
    fn short(&self, needed: usize) -> DecodeError {
        self.error(Flaw::Short {
            needed,
            left: self.remaining(),
        })
    }

    /// The next `N` bytes.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.frame[self.at..].first_chunk::<N>() {
            Some(bytes) => {
                let bytes = *bytes;
                self.at += N;
                Ok(bytes)
            }
            None => Err(self.short(N)),
        }
    }

    /// The next `len` bytes as a slice of the frame.
    pub fn slice(&mut self, len: usize) -> Result<Bytes, DecodeError> {
        if len > self.remaining() {
            return Err(self.short(len));
        }
        let slice = self.frame.slice(self.at..self.at + len);
        self.at += len;
        Ok(slice)
    }

    /// Steps over `len` bytes.
    pub fn skip(&mut self, len: usize) -> Result<(), DecodeError> {
        if len > self.remaining() {
            return Err(self.short(len));
        }
        self.at += len;
        Ok(())
    }

    /// One byte; anything but 0 is true.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.i8()? != 0)
    }

    /// One byte, signed.
    #[inline]
    pub fn i8(&mut self) -> Result<i8, DecodeError> {
        self.array().map(i8::from_be_bytes)
    }

    /// Two bytes, big-endian.
    #[inline]
    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        self.array().map(i16::from_be_bytes)
    }

    /// Two bytes, big-endian, unsigned.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes, big-endian.
    #[inline]
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    /// Four bytes, big-endian, unsigned.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes, big-endian.
    #[inline]
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_be_bytes)
    }

    /// Eight bytes, big-endian IEEE 754.
    #[inline]
    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        self.array().map(f64::from_be_bytes)
    }

    /// Unsigned variable-length integer, 1–5 bytes.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        let code = self.varcode(5)?;
        u32::try_from(code).map_err(|_| self.error(Flaw::Varint))
    }

    /// Zig-zag variable-length integer, 1–5 bytes.
    #[inline]
    pub fn varint(&mut self) -> Result<i32, DecodeError> {
        let code = self.varcode(5)?;
        i32::try_from(unzigzag(code)).map_err(|_| self.error(Flaw::Varint))
    }

    /// Zig-zag variable-length integer, 1–10 bytes.
    #[inline]
    pub fn varlong(&mut self) -> Result<i64, DecodeError> {
        self.varcode(10).map(unzigzag)
    }

    #[inline]
    fn varcode(&mut self, max_bytes: u32) -> Result<u64, DecodeError> {
        let mut code = 0u64;
        for i in 0..max_bytes {
            let byte = self.array::<1>()?[0];
            // The tenth byte has room for one bit only.
            if i == 9 && byte > 1 {
                break;
            }
            code |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                return Ok(code);
            }
        }
        Err(self.error(Flaw::Varint))
    }

    /// A string, or `None` for null.
    pub fn nullable_string(&mut self, at: Shape) -> Result<Option<String>, DecodeError> {
        let len = if at.flexible {
            self.compact_length()?
        } else {
            let len = self.i16()?;
            self.classic_length(i32::from(len))?
        };
        let Some(len) = len else { return Ok(None) };
        if len > MAX_STRING {
            return Err(self.error(Flaw::Length(len as i64)));
        }
        let Some(bytes) = self.frame[self.at..].get(..len) else {
            return Err(self.short(len));
        };
        let text = std::str::from_utf8(bytes).map_err(|_| self.error(Flaw::Utf8))?;
        let text = text.to_owned();
        self.at += len;
        Ok(Some(text))
    }

    /// A byte string as a slice of the frame, or `None` for null.
    pub fn nullable_bytes(&mut self, at: Shape) -> Result<Option<Bytes>, DecodeError> {
        let len = self.long_length(at)?;
        len.map(|len| self.slice(len)).transpose()
    }

    /// The count of an array, or `None` for null. `smallest` is the least number of bytes that one
    /// element takes in the frame, `in_memory` what it takes once decoded.
    pub fn nullable_count(
        &mut self,
        at: Shape,
        smallest: usize,
        in_memory: usize,
    ) -> Result<Option<usize>, DecodeError> {
        let Some(count) = self.long_length(at)? else {
            return Ok(None);
        };
        if count > MAX_ELEMENTS {
            return Err(self.error(Flaw::TooMany {
                count,
                limit: MAX_ELEMENTS,
            }));
        }
        let needed = count * smallest.max(1);
        if needed > self.remaining() {
            return Err(self.short(needed));
        }
        match self.allowance.checked_sub(count.saturating_mul(in_memory)) {
            Some(left) => self.allowance = left,
            None => {
                let limit = Self::memory_limit(self.frame.len());
                return Err(self.error(Flaw::TooLarge { limit }));
            }
        }
        Ok(Some(count))
    }

    /// Reads a tagged section. `known` gets each tag, reads that field and answers true, or leaves
    /// the reader alone and answers false: then the field is skipped.
    pub fn tagged_fields(
        &mut self,
        mut known: impl FnMut(&mut Self, u32) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        let count = self.uvarint()? as usize;
        if count > MAX_TAGGED_FIELDS {
            return Err(self.error(Flaw::TooMany {
                count,
                limit: MAX_TAGGED_FIELDS,
            }));
        }
        for _ in 0..count {
            let tag = self.uvarint()?;
            let len = self.uvarint()? as usize;
            if len > self.remaining() {
                return Err(self.short(len));
            }
            let end = self.at + len;
            if !known(self, tag)? {
                self.at = end;
            } else if self.at != end {
                return Err(self.error(Flaw::Tag { tag }));
            }
        }
        Ok(())
    }

    fn long_length(&mut self, at: Shape) -> Result<Option<usize>, DecodeError> {
        if at.flexible {
            self.compact_length()
        } else {
            let len = self.i32()?;
            self.classic_length(len)
        }
    }

    fn compact_length(&mut self) -> Result<Option<usize>, DecodeError> {
        Ok((self.uvarint()? as usize).checked_sub(1))
    }

    fn classic_length(&self, len: i32) -> Result<Option<usize>, DecodeError> {
        match len {
            -1 => Ok(None),
            len => match usize::try_from(len) {
                Ok(len) => Ok(Some(len)),
                Err(_) => Err(self.error(Flaw::Length(i64::from(len)))),
            },
        }
    }
}
