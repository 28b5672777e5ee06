//! Whether an object is what it should be, as far as its end tells.

use std::ops::Range;

use bytes::Bytes;
use freshet_env::Objects;
use freshet_env::objects::{ObjectError, ObjectFailure};
use freshet_records::envelope::{EnvelopeError, malformed};
use freshet_types::ErrorKind;

use super::compose::Composed;
use super::footer::{Footer, SectionKind};

/// Longest footer that is read: above what limits allow (4,000 epochs are 48 KB).
pub(crate) const MAX_FOOTER_BYTES: u64 = 1 << 16;

/// Why an object is not good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// There is none.
    #[error("{key} is not there")]
    Missing {
        /// Its name.
        key: String,
    },
    /// It was cut, or something else was stored.
    #[error("{key} has {found} bytes instead of {expected}")]
    Length {
        /// Its name.
        key: String,
        /// What it should have.
        expected: u64,
        /// What it has.
        found: u64,
    },
    /// Its footer cannot be read.
    #[error("the footer of {key}: {what}")]
    Footer {
        /// Its name.
        key: String,
        /// What is wrong.
        what: EnvelopeError,
    },
    /// It is a segment, but not this one.
    #[error("{key} holds another segment")]
    Other {
        /// Its name.
        key: String,
    },
    /// Its footer and the manifest contradict one another.
    #[error("the footer of {key} and the manifest disagree about {what}")]
    Disagrees {
        /// Its name.
        key: String,
        /// What about.
        what: &'static str,
    },
    /// A section is not what was written.
    #[error("{kind:?} of {key}, bytes {range:?}: checksum mismatch")]
    Section {
        /// Its name.
        key: String,
        /// Which section.
        kind: SectionKind,
        /// Where it lies.
        range: Range<u64>,
    },
    /// It is not the manifest that was put there.
    #[error("the manifest {key}: {what}")]
    Manifest {
        /// Its name.
        key: String,
        /// What is wrong.
        what: String,
    },
    /// The store says nothing about it now.
    #[error(transparent)]
    Store(ObjectError),
}

impl VerifyError {
    /// What a store has said instead of giving an object.
    pub(crate) fn asking_for(key: &str, error: ObjectError) -> Self {
        match error.failure {
            ObjectFailure::NotFound => Self::Missing {
                key: key.to_owned(),
            },
            _ => Self::Store(error),
        }
    }

    /// What it means to the caller. All that is `Corrupt` or `NotFound` is uploaded anew.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing { .. } => ErrorKind::NotFound,
            Self::Store(error) => error.kind(),
            _ => ErrorKind::Corrupt,
        }
    }
}

/// An object under its name.
pub(super) struct Look<'a> {
    pub(super) objects: &'a dyn Objects,
    pub(super) key: &'a str,
    pub(super) len_bytes: u64,
}

impl Look<'_> {
    pub(super) async fn range(&self, range: Range<u64>) -> Result<Bytes, VerifyError> {
        let expected = range.end - range.start;
        let got = self.objects.get_range(self.key, range).await;
        let bytes = got.map_err(|error| VerifyError::asking_for(self.key, error))?;
        let found = bytes.len() as u64;
        if found == expected {
            return Ok(bytes);
        }
        let key = self.key.to_owned();
        Err(VerifyError::Length {
            key,
            expected,
            found,
        })
    }

    pub(super) async fn footer(&self) -> Result<Footer, VerifyError> {
        let wrong = |what| VerifyError::Footer {
            key: self.key.to_owned(),
            what,
        };
        let end = self.len_bytes;
        let guess = Footer::GUESS_BYTES.min(end);
        let mut tail = self.range(end - guess..end).await?;
        let declared = Footer::length(&tail, end).filter(|bytes| *bytes <= MAX_FOOTER_BYTES);
        let declared = declared.ok_or_else(|| wrong(malformed("no footer at the object's end")))?;
        if declared > guess {
            tail = self.range(end - declared..end).await?;
        }
        Footer::from_tail(&tail, end).map_err(wrong)
    }
}

pub(super) async fn look<'a>(
    objects: &'a dyn Objects,
    key: &'a str,
) -> Result<Look<'a>, VerifyError> {
    let head = objects.head(key).await;
    let len_bytes = head
        .map_err(|error| VerifyError::asking_for(key, error))?
        .len_bytes;
    Ok(Look {
        objects,
        key,
        len_bytes,
    })
}

/// Whether what was put is there: its length, and its footer read back. The bytes between were sent from
/// the memory in which they were checked.
///
/// # Errors
/// See [`VerifyError`].
pub(crate) async fn verify(
    objects: &dyn Objects,
    key: &str,
    composed: &Composed,
) -> Result<(), VerifyError> {
    let look = look(objects, key).await?;
    let expected = composed.size_bytes;
    if look.len_bytes != expected {
        return Err(VerifyError::Length {
            key: key.to_owned(),
            expected,
            found: look.len_bytes,
        });
    }
    if look.footer().await? != composed.footer {
        let key = key.to_owned();
        return Err(VerifyError::Other { key });
    }
    Ok(())
}
