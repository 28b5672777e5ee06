//! Kafka's encodings without IO: a bounded reader, a writer with slots, and the derive that turns
//! a declared struct into both.
//!
//! ```
//! use freshet_codec::{Message, Reader, Writer};
//!
//! /// Says hello.
//! #[derive(Debug, Clone, PartialEq, Message)]
//! #[message(versions = "0-2", flexible = "2+")]
//! pub struct HelloRequest {
//!     /// Who says it; nobody in particular when `None`.
//!     #[field(nullable = "1+")]
//!     pub name: Option<String>,
//!     /// How loud, in decibels.
//!     #[field(versions = "1+", default = 60)]
//!     pub loudness: i32,
//!     /// Where the answer should go.
//!     #[field(versions = "2+", tag = 0)]
//!     pub reply_to: String,
//! }
//!
//! let hello = HelloRequest { name: Some("freshet".into()), ..Default::default() };
//! let mut writer = Writer::new();
//! hello.encode(&mut writer, 2)?;
//! let mut reader = Reader::new(writer.finish().into_bytes());
//! assert_eq!(HelloRequest::decode(&mut reader, 2)?, hello);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Attributes of a struct, `#[message(..)]` (only a message that stands alone has it; a nested
//! struct derives `Message` without it and inherits version and flexibility from its parent):
//!
//! | Attribute | Meaning |
//! |---|---|
//! | `versions = "0-13"` | the versions that can be read and written |
//! | `flexible = "9+"` | from here on: compact lengths and tagged fields (KIP-482); never if absent |
//!
//! Attributes of a field, `#[field(..)]`:
//!
//! | Attribute | Meaning |
//! |---|---|
//! | `versions = "3+"`, `"0-5"`, `"7"` | where the field exists; elsewhere it reads as its default |
//! | `nullable = "1+"` | where an `Option` may be `None`; an `Option` without it may always be |
//! | `tag = 0` | written in the tagged section, and only when it is not the default |
//! | `default = -1` | the default, otherwise that of the type; an `Option` wraps it in `Some` |
//! | `ignorable` | may be dropped in a version that lacks it; otherwise writing it there is an error |
//! | `classic` | never compact, even in a flexible version (the client id of a request header) |
//!
//! The derive also gives `Default`, and with the feature `testing` random values by `Sample`.

// The derive names this crate by its full path, also in the unit tests here.
#[cfg(test)]
extern crate self as freshet_codec;

mod error;
mod field;
mod message;
mod payload;
mod reader;
#[cfg(feature = "testing")]
mod sample;
mod varint;
mod writer;

pub use error::{DecodeError, EncodeError, Flaw};
pub use field::{Field, Nullable, Shape};
pub use freshet_codec_derive::Message;
pub use message::{Message, NEVER};
pub use payload::Payload;
pub use reader::{MAX_ELEMENTS, MAX_STRING, MAX_TAGGED_FIELDS, Reader};
#[cfg(feature = "testing")]
pub use sample::{Sample, Sampler};
pub use varint::{uvarint_len, varint_len, varlong_len};
pub use writer::{Chunks, Writer};

/// Keeps its input when the feature `testing` is on. The derive wraps what only tests need in it,
/// so that the feature of this crate decides and not one of the crate that derives.
#[cfg(feature = "testing")]
#[doc(hidden)]
#[macro_export]
macro_rules! testing {
    ($($kept:tt)*) => { $($kept)* };
}

/// Drops its input: the feature `testing` is off.
#[cfg(not(feature = "testing"))]
#[doc(hidden)]
#[macro_export]
macro_rules! testing {
    ($($dropped:tt)*) => {};
}
