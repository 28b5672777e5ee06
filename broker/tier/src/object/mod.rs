//! What is in a segment's object.

mod compose;
mod footer;
mod index;
mod scrub;
mod sums;
mod upload;
mod verify;
mod walk;

pub use compose::{ComposeError, SegmentBytes, SegmentSource};
#[cfg(test)]
pub(crate) use compose::{Composed, SegmentObject};
pub use footer::{Footer, Section, SectionKind};
pub(crate) use index::Index;
pub(crate) use scrub::twice;
pub use scrub::{check_bytes, check_named, check_whole};
pub use sums::CHUNK_BYTES;
pub(crate) use sums::Sums;
pub use upload::{UploadError, upload};
pub(crate) use verify::MAX_FOOTER_BYTES;
pub use verify::VerifyError;
#[cfg(test)]
pub(crate) use verify::verify;
