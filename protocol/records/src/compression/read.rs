//! Decompression as a stream, so that a body never has to be in memory at once.

use std::io::{self, Read};

use bytes::{Buf, Bytes};

use super::Codec;
use super::snappy::SnappyReader;

/// zstd may look back over a window that the frame itself names. Producers at level 22 ask for
/// 128 MiB (2^27), which is also the most that Kafka's own reader allows. The pages of a window
/// are touched only as output fills it, so a small frame that asks for much costs address space,
/// not memory.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// A reader of what `body` holds, or `None` when it is not compressed. No decoder gives more than
/// its caller asks for; snappy, which works in whole blocks, refuses blocks above `cap_bytes`.
pub(crate) fn decoder(
    codec: Codec,
    body: Bytes,
    cap_bytes: usize,
) -> io::Result<Option<Box<dyn Read + Send>>> {
    Ok(match codec {
        Codec::None => None,
        Codec::Gzip => Some(Box::new(flate2::bufread::MultiGzDecoder::new(
            body.reader(),
        ))),
        Codec::Snappy => Some(Box::new(SnappyReader::new(body, cap_bytes))),
        Codec::Lz4 => Some(Box::new(lz4_flex::frame::FrameDecoder::new(body.reader()))),
        Codec::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(body.reader())?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Some(Box::new(decoder))
        }
    })
}
