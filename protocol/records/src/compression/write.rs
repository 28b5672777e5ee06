//! Compression into a growing buffer.

use std::io::{self, Write};

use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

use super::snappy::SnappyWriter;
use super::{Codec, Compression};

/// A running compression. What it writes is appended to the buffer it was given.
pub(crate) enum Encoder {
    None(Vec<u8>),
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Snappy(SnappyWriter),
    Lz4(Box<FrameEncoder<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Encoder {
    pub(crate) fn new(compression: Compression, out: Vec<u8>) -> io::Result<Self> {
        let level = compression.level;
        Ok(match compression.codec {
            Codec::None => Self::None(out),
            Codec::Gzip => {
                let level = level.map_or(flate2::Compression::default(), |level| {
                    flate2::Compression::new(level.clamp(1, 9).unsigned_abs())
                });
                Self::Gzip(flate2::write::GzEncoder::new(out, level))
            }
            Codec::Snappy => Self::Snappy(SnappyWriter::new(out)),
            Codec::Lz4 => Self::Lz4(Box::new(FrameEncoder::with_frame_info(lz4_frame(), out))),
            Codec::Zstd => {
                let level = level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL);
                // zstd moves levels outside of its range inside.
                Self::Zstd(zstd::stream::write::Encoder::new(out, level)?)
            }
        })
    }

    pub(crate) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::None(out) => Ok(out),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Snappy(encoder) => encoder.finish(),
            Self::Lz4(encoder) => encoder.finish().map_err(io::Error::other),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

/// Java's reader refuses linked blocks (KIP-57); 64 KiB is what its writer uses.
fn lz4_frame() -> FrameInfo {
    FrameInfo::new()
        .block_mode(BlockMode::Independent)
        .block_size(BlockSize::Max64KB)
}

impl Write for Encoder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::None(out) => out.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Snappy(encoder) => encoder.write(bytes),
            Self::Lz4(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // `finish` is the only end; a flush in between would only cost ratio
    }
}
