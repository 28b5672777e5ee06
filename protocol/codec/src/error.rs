//! Why bytes are no message, and why a message has no bytes.

use freshet_types::ErrorKind;

/// Bytes that are not the message they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot decode at byte {at}: {what}")]
pub struct DecodeError {
    /// Where in the frame reading stopped.
    pub at: usize,
    /// What is wrong there.
    pub what: Flaw,
}

impl DecodeError {
    /// Who has to act: the sender.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// What is wrong with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The frame ends too early.
    #[error("{needed} bytes are needed and {left} are left")]
    Short {
        /// Bytes that must follow, at least.
        needed: usize,
        /// Bytes that do follow.
        left: usize,
    },
    /// More bytes follow than the message has.
    #[error("{left} bytes follow after the end of the message")]
    Trailing {
        /// Bytes that follow.
        left: usize,
    },
    /// A length or count no encoder writes.
    #[error("length {0} is illegal")]
    Length(i64),
    /// More elements or tagged fields than the cap.
    #[error("{count} elements, where {limit} are allowed")]
    TooMany {
        /// Declared elements.
        count: usize,
        /// The cap.
        limit: usize,
    },
    /// Decoding would take far more memory than the frame has bytes.
    #[error("decoding would take more than {limit} bytes of memory")]
    TooLarge {
        /// The cap for the whole frame.
        limit: usize,
    },
    /// A null where the version has no null.
    #[error("null is not allowed here")]
    Null,
    /// A string that is not UTF-8.
    #[error("a string is not UTF-8")]
    Utf8,
    /// A variable-length integer of too many bytes.
    #[error("a variable-length integer does not end")]
    Varint,
    /// A tagged field whose content is not as long as declared.
    #[error("tagged field {tag} is not as long as declared")]
    Tag {
        /// The field's tag.
        tag: u32,
    },
    /// A version this message was not declared for.
    #[error("version {0} is not supported")]
    Version(i16),
}

/// A message that cannot be written in the asked version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The message was not declared for this version.
    #[error("{message} has no version {version}")]
    Version {
        /// The struct.
        message: &'static str,
        /// The asked version.
        version: i16,
    },
    /// A field holds something that this version cannot say and that must not be dropped.
    #[error("{field} cannot be said in version {version}")]
    Field {
        /// `Struct.field`.
        field: &'static str,
        /// The asked version.
        version: i16,
    },
    /// A field is `None` and this version has no null for it.
    #[error("{field} must not be null in version {version}")]
    Null {
        /// `Struct.field`.
        field: &'static str,
        /// The asked version.
        version: i16,
    },
    /// A string, byte string or array is too long for its length prefix.
    #[error("length {len} does not fit its prefix (at most {max})")]
    Length {
        /// The length.
        len: usize,
        /// What fits.
        max: usize,
    },
}

impl EncodeError {
    /// Who has to act: the one who filled the message.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}
