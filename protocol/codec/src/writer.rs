//! The writer: small fields go into one buffer, record data keeps its own buffers.
//!
//! ```text
//! buffer   [len|header|topic|partition|…|records len] [partition|…|records len] [tags]
//! slots                                             ▲ Bytes                    ▲ Bytes
//! finish   buffer[..a], slot, buffer[a..b], slot, buffer[b..]   → one vectored write
//! ```

use bytes::Bytes;

use crate::error::EncodeError;
use crate::field::Shape;
use crate::payload::Payload;
use crate::reader::{MAX_ELEMENTS, MAX_STRING};
use crate::varint::{uvarint_len, zigzag};

/// Byte strings shorter than this are copied: a separate piece costs more on its way to the socket.
const INLINE_BYTES: usize = 256;

/// Writes Kafka's primitives.
#[derive(Debug, Default)]
pub struct Writer {
    buffer: Vec<u8>,
    /// Shared buffers and where in `buffer` they belong, in order.
    slots: Vec<(usize, Bytes)>,
    slot_bytes: usize,
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self::with_capacity(256)
    }

    /// An empty writer with room for `bytes` bytes outside of slots.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            buffer: Vec::with_capacity(bytes),
            slots: Vec::new(),
            slot_bytes: 0,
        }
    }

    /// Bytes written so far, slots included.
    pub fn len(&self) -> usize {
        self.buffer.len() + self.slot_bytes
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends writing.
    pub fn finish(self) -> Chunks {
        let len = self.len();
        let buffer = Bytes::from(self.buffer);
        if self.slots.is_empty() {
            let pieces = if len == 0 { Vec::new() } else { vec![buffer] };
            return Chunks { pieces, len };
        }
        let mut pieces = Vec::with_capacity(self.slots.len() * 2 + 1);
        let mut done = 0;
        for (at, slot) in self.slots {
            if at > done {
                pieces.push(buffer.slice(done..at));
                done = at;
            }
            pieces.push(slot);
        }
        if done < buffer.len() {
            pieces.push(buffer.slice(done..));
        }
        Chunks { pieces, len }
    }

    /// Ends writing after putting the number of bytes that follow it into the first four bytes,
    /// which the caller has left free with a zero `i32`.
    pub fn finish_frame(mut self) -> Result<Chunks, EncodeError> {
        let len = self.len().saturating_sub(4);
        let prefix = i32::try_from(len).map_err(|_| EncodeError::Length {
            len,
            max: i32::MAX as usize,
        })?;
        self.buffer[..4].copy_from_slice(&prefix.to_be_bytes());
        Ok(self.finish())
    }

    /// Raw bytes, copied.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Raw bytes, shared where that is cheaper than a copy.
    pub fn share(&mut self, bytes: &Bytes) {
        if bytes.len() < INLINE_BYTES {
            self.raw(bytes);
        } else {
            self.slot_bytes += bytes.len();
            self.slots.push((self.buffer.len(), bytes.clone()));
        }
    }

    /// One byte: 1 or 0.
    #[inline]
    pub fn bool(&mut self, value: bool) {
        self.buffer.push(u8::from(value));
    }

    /// One byte, signed.
    #[inline]
    pub fn i8(&mut self, value: i8) {
        self.raw(&value.to_be_bytes());
    }

    /// Two bytes, big-endian.
    #[inline]
    pub fn i16(&mut self, value: i16) {
        self.raw(&value.to_be_bytes());
    }

    /// Two bytes, big-endian, unsigned.
    #[inline]
    pub fn u16(&mut self, value: u16) {
        self.raw(&value.to_be_bytes());
    }

    /// Four bytes, big-endian.
    #[inline]
    pub fn i32(&mut self, value: i32) {
        self.raw(&value.to_be_bytes());
    }

    /// Four bytes, big-endian, unsigned.
    #[inline]
    pub fn u32(&mut self, value: u32) {
        self.raw(&value.to_be_bytes());
    }

    /// Eight bytes, big-endian.
    #[inline]
    pub fn i64(&mut self, value: i64) {
        self.raw(&value.to_be_bytes());
    }

    /// Eight bytes, big-endian IEEE 754.
    #[inline]
    pub fn f64(&mut self, value: f64) {
        self.raw(&value.to_be_bytes());
    }

    /// Unsigned variable-length integer, 1–5 bytes.
    #[inline]
    pub fn uvarint(&mut self, value: u32) {
        self.varcode(u64::from(value));
    }

    /// Zig-zag variable-length integer, 1–5 bytes.
    #[inline]
    pub fn varint(&mut self, value: i32) {
        self.varcode(zigzag(i64::from(value)));
    }

    /// Zig-zag variable-length integer, 1–10 bytes.
    #[inline]
    pub fn varlong(&mut self, value: i64) {
        self.varcode(zigzag(value));
    }

    #[inline]
    fn varcode(&mut self, mut code: u64) {
        while code >= 0x80 {
            self.buffer.push(code as u8 | 0x80);
            code >>= 7;
        }
        self.buffer.push(code as u8);
    }

    /// A string, or null.
    pub fn nullable_string(&mut self, text: Option<&str>, at: Shape) -> Result<(), EncodeError> {
        match text {
            Some(text) => {
                self.short_length(text.len(), at)?;
                self.raw(text.as_bytes());
            }
            None if at.flexible => self.uvarint(0),
            None => self.i16(-1),
        }
        Ok(())
    }

    /// A byte string, or null.
    pub fn nullable_bytes(&mut self, bytes: Option<&Bytes>, at: Shape) -> Result<(), EncodeError> {
        match bytes {
            Some(bytes) => {
                self.long_length(bytes.len(), i32::MAX as usize - 1, at)?;
                self.share(bytes);
            }
            None => self.null(at),
        }
        Ok(())
    }

    /// Record data as a byte string.
    pub fn payload(&mut self, payload: &Payload, at: Shape) -> Result<(), EncodeError> {
        self.long_length(payload.len(), i32::MAX as usize - 1, at)?;
        for chunk in payload.chunks() {
            self.share(chunk);
        }
        Ok(())
    }

    /// The count of an array whose elements follow.
    pub fn count(&mut self, count: usize, at: Shape) -> Result<(), EncodeError> {
        self.long_length(count, MAX_ELEMENTS, at)
    }

    /// A null array or byte string.
    pub fn null(&mut self, at: Shape) {
        if at.flexible {
            self.uvarint(0)
        } else {
            self.i32(-1)
        }
    }

    /// One tagged field: tag, length, and what `content` writes.
    pub fn tagged(
        &mut self,
        tag: u32,
        content: impl FnOnce(&mut Self) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.uvarint(tag);
        let (start, before) = (self.buffer.len(), self.len());
        let first_slot = self.slots.len();
        content(self)?;
        let len = self.len() - before;
        let prefix = u32::try_from(len).map_err(|_| EncodeError::Length {
            len,
            max: u32::MAX as usize,
        })?;
        // The length goes in front of what is already there; tagged fields are short and rare.
        let end = self.buffer.len();
        self.uvarint(prefix);
        let width = uvarint_len(prefix);
        self.buffer[start..end + width].rotate_right(width);
        for (at, _) in &mut self.slots[first_slot..] {
            *at += width;
        }
        Ok(())
    }

    fn short_length(&mut self, len: usize, at: Shape) -> Result<(), EncodeError> {
        if len > MAX_STRING {
            return Err(EncodeError::Length {
                len,
                max: MAX_STRING,
            });
        }
        if at.flexible {
            self.uvarint(len as u32 + 1)
        } else {
            self.i16(len as i16)
        }
        Ok(())
    }

    fn long_length(&mut self, len: usize, max: usize, at: Shape) -> Result<(), EncodeError> {
        if len > max {
            return Err(EncodeError::Length { len, max });
        }
        if at.flexible {
            self.uvarint(len as u32 + 1)
        } else {
            self.i32(len as i32)
        }
        Ok(())
    }
}

/// What a writer wrote: pieces to put on a socket in order.
#[derive(Debug, Clone, Default)]
pub struct Chunks {
    pieces: Vec<Bytes>,
    len: usize,
}

impl Chunks {
    /// Total bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces in order; none is empty.
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// The pieces in order, owned; none is empty.
    pub fn into_pieces(self) -> Vec<Bytes> {
        self.pieces
    }

    /// All bytes in one buffer; copies only when there are several pieces.
    pub fn into_bytes(mut self) -> Bytes {
        if self.pieces.len() == 1 {
            return self.pieces.swap_remove(0);
        }
        self.pieces.concat().into()
    }
}
