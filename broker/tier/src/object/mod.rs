//! What is in a segment's object.

mod compose;
mod footer;
mod index;
mod scrub;
mod sums;
mod verify;

pub use compose::{ComposeError, SegmentObject, SegmentSource, compose};
pub use footer::{Footer, Section, SectionKind};
pub(crate) use index::Index;
pub use scrub::{check_bytes, check_named, check_whole};
pub use sums::CHUNK_BYTES;
pub(crate) use sums::Sums;
pub(crate) use verify::MAX_FOOTER_BYTES;
pub use verify::{VerifyError, verify};
