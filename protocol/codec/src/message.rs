//! A message: a struct that stands alone, in versions.

use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::error::{DecodeError, EncodeError};
use crate::field::{Field, Shape};
use crate::reader::Reader;
use crate::writer::Writer;

/// The first flexible version of a message that never becomes flexible.
pub const NEVER: i16 = i16::MAX;

/// A struct that is declared with `#[derive(Message)]` and `#[message(versions = ..)]`.
pub trait Message: Field + Default {
    /// The struct's name, which is Kafka's.
    const NAME: &'static str;
    /// Versions that can be read and written.
    const VERSIONS: RangeInclusive<i16>;
    /// The first version with compact lengths and tagged fields; [`NEVER`] if there is none.
    const FLEXIBLE: i16;

    /// How `version` is encoded.
    fn shape(version: i16) -> Shape {
        Shape {
            version,
            flexible: version >= Self::FLEXIBLE,
        }
    }

    /// Reads the message; what follows it stays in the reader.
    fn decode(r: &mut Reader, version: i16) -> Result<Self, DecodeError> {
        if !Self::VERSIONS.contains(&version) {
            return Err(r.error(crate::Flaw::Version(version)));
        }
        Self::read(r, Self::shape(version))
    }

    /// Writes the message.
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        if !Self::VERSIONS.contains(&version) {
            return Err(EncodeError::Version {
                message: Self::NAME,
                version,
            });
        }
        self.write(w, Self::shape(version))
    }

    /// Reads a stored record: two bytes of version, then the message and nothing else.
    fn from_stored(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let version = r.i16()?;
        let message = Self::decode(&mut r, version)?;
        r.expect_end()?;
        Ok(message)
    }

    /// Writes a stored record: two bytes of version, then the message.
    fn to_stored(&self, version: i16) -> Result<Bytes, EncodeError> {
        let mut w = Writer::new();
        w.i16(version);
        self.encode(&mut w, version)?;
        Ok(w.finish().into_bytes())
    }
}
