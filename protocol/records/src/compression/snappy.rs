//! Snappy: the xerial framing of Java clients, and the raw block of C clients.
//!
//! ```text
//! xerial:  82 'SNAPPY' 00 │ version i32 = 1 │ lowest reader i32 = 1 │ { length i32 │ block }…
//! raw:     block
//! ```
//! Integers are big-endian. A block starts with its decompressed length and cannot be read in
//! part; writers put 32 KiB into each, a raw body is a single block.

use std::io::{self, Read, Write};

use bytes::{Buf, Bytes};

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
const STREAM_HEADER: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
const BLOCK_BYTES: usize = 32 * 1024;
/// The densest thing in a block is a copy of 64 bytes, which takes 3.
const MOST_OUTPUT_PER_BYTE: usize = 64;

/// Reads either form.
pub(crate) struct SnappyReader {
    rest: Bytes,
    framed: bool,
    block: Vec<u8>,
    taken: usize,
    cap_bytes: usize,
}

impl SnappyReader {
    pub(crate) fn new(body: Bytes, cap_bytes: usize) -> Self {
        Self {
            framed: body.starts_with(&MAGIC),
            rest: body,
            block: Vec::new(),
            taken: 0,
            cap_bytes,
        }
    }

    /// Makes the next block current; false at the end.
    fn next_block(&mut self) -> io::Result<bool> {
        if self.framed {
            // Streams may follow one another, each with its header.
            while self.rest.starts_with(&MAGIC) {
                if self.rest.len() < STREAM_HEADER.len() {
                    return Err(malformed("the stream header is cut short"));
                }
                self.rest.advance(STREAM_HEADER.len());
            }
        }
        if self.rest.is_empty() {
            return Ok(false);
        }
        let compressed = if self.framed {
            self.framed_block()?
        } else {
            std::mem::take(&mut self.rest)
        };
        self.inflate(&compressed)?;
        Ok(true)
    }

    fn framed_block(&mut self) -> io::Result<Bytes> {
        let length = self.rest.try_get_i32().ok();
        length
            .and_then(|length| usize::try_from(length).ok())
            .filter(|&length| length <= self.rest.len())
            .map(|length| self.rest.split_to(length))
            .ok_or_else(|| malformed("a block is cut short"))
    }

    fn inflate(&mut self, compressed: &[u8]) -> io::Result<()> {
        let length = snap::raw::decompress_len(compressed)?;
        if length > self.cap_bytes {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if length > compressed.len().saturating_mul(MOST_OUTPUT_PER_BYTE) {
            return Err(malformed("a block claims more than it can hold"));
        }
        self.block.resize(length, 0);
        self.taken = 0;
        let written = snap::raw::Decoder::new().decompress(compressed, &mut self.block)?;
        self.block.truncate(written);
        Ok(())
    }
}

impl Read for SnappyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.block.len() {
            if !self.next_block()? {
                return Ok(0);
            }
        }
        let ready = &self.block[self.taken..];
        let count = ready.len().min(buffer.len());
        buffer[..count].copy_from_slice(&ready[..count]);
        self.taken += count;
        Ok(count)
    }
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Writes the xerial form, which every client reads.
pub(crate) struct SnappyWriter {
    out: Vec<u8>,
    block: Vec<u8>,
}

impl SnappyWriter {
    /// Appends to `out`.
    pub(crate) fn new(mut out: Vec<u8>) -> Self {
        out.extend_from_slice(&STREAM_HEADER);
        Self {
            out,
            block: Vec::new(),
        }
    }

    pub(crate) fn finish(mut self) -> io::Result<Vec<u8>> {
        self.end_block()?;
        Ok(self.out)
    }

    fn end_block(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let start = self.out.len() + 4;
        let most = snap::raw::max_compress_len(self.block.len());
        self.out.resize(start + most, 0);
        let length = snap::raw::Encoder::new().compress(&self.block, &mut self.out[start..])?;
        // A block of 32 KiB is far below the limit of an i32.
        self.out[start - 4..start].copy_from_slice(&(length as u32).to_be_bytes());
        self.out.truncate(start + length);
        self.block.clear();
        Ok(())
    }
}

impl Write for SnappyWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(BLOCK_BYTES - self.block.len());
        self.block.extend_from_slice(&bytes[..count]);
        if self.block.len() == BLOCK_BYTES {
            self.end_block()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
