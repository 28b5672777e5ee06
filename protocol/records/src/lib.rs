//! Record batch v2: the one format that is both wire and disk.
//!
//! A batch is a 61-byte header and a body of records; the body may be compressed. The broker works
//! on headers alone: [`BatchHeader::parse`] reads fixed offsets, [`Batch::check_crc`] goes over the
//! bytes once, and [`prefix`] makes the 16 bytes that a leader replaces. Nothing is decompressed
//! unless a config asks for it ([`inspect`], [`recompress`]).
//!
//! Bytes come from strangers. Nothing here panics on them, and memory follows what is really
//! there, not what a length field claims. `docs/formats/record-batch.md` has the layout.

mod attributes;
mod batch;
mod builder;
mod compression;
mod control;
mod crc;
pub mod envelope;
mod error;
mod header;
mod inspect;
mod record;
mod rewrite;
mod varint;

pub use attributes::{Attributes, TimestampType};
pub use batch::{Batch, Batches};
pub use builder::{BatchBuilder, NO_PRODUCER, NewRecord, Producer};
pub use compression::{Codec, Compression};
pub use control::{ControlType, EndTxnMarker};
pub use crc::{Crc32c, crc32c, crc32c_joined};
pub use error::{BatchError, RecordFault};
pub use header::{BODY_AT, BatchHeader, CRC_FROM, HEADER_BYTES, LENGTH_END, PREFIX_BYTES, prefix};
pub use inspect::{Inspected, Rules, inspect};
pub use record::{Header, Record, RecordIter};
pub use rewrite::recompress;
