//! Changing a batch's codec.

use std::io::Write;

use crate::builder::seal;
use crate::compression::Encoder;
use crate::compression::{Body, failed};
use crate::{Batch, BatchError, Compression, HEADER_BYTES};

const STEP_BYTES: usize = 64 * 1024;

/// The same records under another codec, for topics whose `compression.type` is not `producer`.
///
/// Records pass through byte for byte and are not looked at. All header fields but the codec, the
/// size and the checksum stay. Fails once the records have more than `cap_bytes`. Check the old
/// checksum first: the new one is true of whatever the body held.
pub fn recompress(batch: &Batch, to: Compression, cap_bytes: usize) -> Result<Batch, BatchError> {
    let failed = |error: std::io::Error| failed(to.codec, &error);
    let mut body = Body::new(batch, cap_bytes)?;
    let mut encoder = Encoder::new(to, vec![0; HEADER_BYTES]).map_err(failed)?;
    loop {
        body.fill(STEP_BYTES)?;
        let count = body.ready().len();
        if count == 0 {
            break;
        }
        encoder.write_all(body.ready()).map_err(failed)?;
        body.skip(count);
    }
    let mut header = *batch.header();
    header.attributes = header.attributes.with_codec(to.codec);
    seal(header, encoder.finish().map_err(failed)?)
}
