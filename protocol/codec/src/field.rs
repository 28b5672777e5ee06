//! What can be a field: primitives, strings, bytes, arrays, and nested structs by the derive.

use bytes::Bytes;
use freshet_types::TopicId;

use crate::error::{DecodeError, EncodeError, Flaw};
use crate::payload::Payload;
use crate::reader::Reader;
use crate::writer::Writer;

/// Bytes reserved at once for an array; a longer one grows as its elements really come.
const RESERVE_BYTES: usize = 64 * 1024;

/// How the message around a field is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Version of the message.
    pub version: i16,
    /// Compact lengths and tagged fields (KIP-482).
    pub flexible: bool,
}

impl Shape {
    /// The same version without compact lengths.
    pub fn classic(self) -> Self {
        Self {
            flexible: false,
            ..self
        }
    }
}

/// Something that can be read from and written to a message.
pub trait Field: Sized {
    /// The least number of bytes that a value takes in this shape.
    fn smallest(at: Shape) -> usize;
    /// Reads a value.
    fn read(r: &mut Reader, at: Shape) -> Result<Self, DecodeError>;
    /// Writes the value.
    fn write(&self, w: &mut Writer, at: Shape) -> Result<(), EncodeError>;
}

/// A field that has an encoding for "none", so that it can stand in an `Option`.
pub trait Nullable: Field {
    /// Bytes of the null, and the least of any value in an `Option`.
    fn smallest_nullable(at: Shape) -> usize {
        Self::smallest(at)
    }
    /// Reads a value or null.
    fn read_nullable(r: &mut Reader, at: Shape) -> Result<Option<Self>, DecodeError>;
    /// Writes a value or null.
    fn write_nullable(value: Option<&Self>, w: &mut Writer, at: Shape) -> Result<(), EncodeError>;
}

impl<T: Nullable> Field for Option<T> {
    fn smallest(at: Shape) -> usize {
        T::smallest_nullable(at)
    }
    fn read(r: &mut Reader, at: Shape) -> Result<Self, DecodeError> {
        T::read_nullable(r, at)
    }
    fn write(&self, w: &mut Writer, at: Shape) -> Result<(), EncodeError> {
        T::write_nullable(self.as_ref(), w, at)
    }
}

macro_rules! fixed {
    ($($of:ty, $name:ident, $bytes:literal;)*) => { $(
        impl Field for $of {
            #[inline]
            fn smallest(_: Shape) -> usize { $bytes }
            #[inline]
            fn read(r: &mut Reader, _: Shape) -> Result<Self, DecodeError> { r.$name() }
            #[inline]
            fn write(&self, w: &mut Writer, _: Shape) -> Result<(), EncodeError> {
                w.$name(*self);
                Ok(())
            }
        }
    )* };
}

fixed! {
    bool, bool, 1;
    i8, i8, 1;
    i16, i16, 2;
    u16, u16, 2;
    i32, i32, 4;
    u32, u32, 4;
    i64, i64, 8;
    f64, f64, 8;
}

impl Field for [u8; 16] {
    fn smallest(_: Shape) -> usize {
        16
    }
    fn read(r: &mut Reader, _: Shape) -> Result<Self, DecodeError> {
        r.array()
    }
    fn write(&self, w: &mut Writer, _: Shape) -> Result<(), EncodeError> {
        w.raw(self);
        Ok(())
    }
}

impl Field for TopicId {
    fn smallest(_: Shape) -> usize {
        16
    }
    fn read(r: &mut Reader, _: Shape) -> Result<Self, DecodeError> {
        r.array().map(Self)
    }
    fn write(&self, w: &mut Writer, _: Shape) -> Result<(), EncodeError> {
        w.raw(&self.0);
        Ok(())
    }
}

impl Field for String {
    fn smallest(at: Shape) -> usize {
        if at.flexible { 1 } else { 2 }
    }
    fn read(r: &mut Reader, at: Shape) -> Result<Self, DecodeError> {
        r.nullable_string(at)?.ok_or_else(|| r.error(Flaw::Null))
    }
    fn write(&self, w: &mut Writer, at: Shape) -> Result<(), EncodeError> {
        w.nullable_string(Some(self), at)
    }
}

impl Nullable for String {
    fn read_nullable(r: &mut Reader, at: Shape) -> Result<Option<Self>, DecodeError> {
        r.nullable_string(at)
    }
    fn write_nullable(value: Option<&Self>, w: &mut Writer, at: Shape) -> Result<(), EncodeError> {
        w.nullable_string(value.map(String::as_str), at)
    }
}

impl Field for Bytes {
    fn smallest(at: Shape) -> usize {
        if at.flexible { 1 } else { 4 }
    }
    fn read(r: &mut Reader, at: Shape) -> Result<Self, DecodeError> {
        r.nullable_bytes(at)?.ok_or_else(|| r.error(Flaw::Null))
    }
    fn write(&self, w: &mut Writer, at: Shape) -> Result<(), EncodeError> {
        w.nullable_bytes(Some(self), at)
    }
}

impl Nullable for Bytes {
    fn read_nullable(r: &mut Reader, at: Shape) -> Result<Option<Self>, DecodeError> {
        r.nullable_bytes(at)
    }
    fn write_nullable(value: Option<&Self>, w: &mut Writer, at: Shape) -> Result<(), EncodeError> {
        w.nullable_bytes(value, at)
    }
}

impl Field for Payload {
    fn smallest(at: Shape) -> usize {
        if at.flexible { 1 } else { 4 }
    }
    fn read(r: &mut Reader, at: Shape) -> Result<Self, DecodeError> {
        Ok(r.nullable_bytes(at)?.map(Self::from).unwrap_or_default())
    }
    fn write(&self, w: &mut Writer, at: Shape) -> Result<(), EncodeError> {
        w.payload(self, at)
    }
}

impl<T: Field> Field for Vec<T> {
    fn smallest(at: Shape) -> usize {
        if at.flexible { 1 } else { 4 }
    }
    fn read(r: &mut Reader, at: Shape) -> Result<Self, DecodeError> {
        Self::read_nullable(r, at)?.ok_or_else(|| r.error(Flaw::Null))
    }
    fn write(&self, w: &mut Writer, at: Shape) -> Result<(), EncodeError> {
        w.count(self.len(), at)?;
        self.iter().try_for_each(|element| element.write(w, at))
    }
}

impl<T: Field> Nullable for Vec<T> {
    fn read_nullable(r: &mut Reader, at: Shape) -> Result<Option<Self>, DecodeError> {
        let in_memory = size_of::<T>().max(1);
        let Some(count) = r.nullable_count(at, T::smallest(at), in_memory)? else {
            return Ok(None);
        };
        let mut elements = Self::with_capacity(count.min(RESERVE_BYTES / in_memory));
        for _ in 0..count {
            elements.push(T::read(r, at)?);
        }
        Ok(Some(elements))
    }
    fn write_nullable(value: Option<&Self>, w: &mut Writer, at: Shape) -> Result<(), EncodeError> {
        match value {
            Some(elements) => elements.write(w, at),
            None => {
                w.null(at);
                Ok(())
            }
        }
    }
}
