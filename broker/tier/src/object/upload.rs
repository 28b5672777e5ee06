//! Brings a segment into the bucket, and looks whether it is there.

use freshet_env::Objects;
use freshet_env::objects::{ObjectError, ObjectFailure};
use freshet_types::ErrorKind;

use super::compose::{ComposeError, SegmentObject, SegmentSource};
use super::verify::{VerifyError, verify};
use crate::machine::Stored;

/// Why a segment is not in the bucket. What of it may be there is nobody's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UploadError {
    /// It is damaged, or cannot be read.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// The store does not take it.
    #[error(transparent)]
    Store(#[from] ObjectError),
    /// It is not what was put there.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

impl UploadError {
    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Compose(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Verify(error) => error.kind(),
        }
    }
}

/// Checks a segment, stores it under a name that was drawn for it, and looks at what is there: its length,
/// and its footer read back. Gives what to commit.
///
/// # Errors
/// See [`UploadError`]: damage is told by offset and byte, and no object comes of it.
pub async fn upload(
    objects: &dyn Objects,
    key: &str,
    source: SegmentSource,
) -> Result<Stored, UploadError> {
    let mut object = SegmentObject::new(source)?;
    let put = objects.put_new(key, &mut object).await;
    let composed = match (object.ended(), put) {
        (Ok(composed), Ok(())) => composed,
        // All of it was given away, and the answer may be lost: what is there tells.
        (Ok(composed), Err(error)) if may_be_there(&error) => composed,
        (Err(Some(damage)), _) => return Err(damage.into()),
        (_, Err(error)) => return Err(error.into()),
        (Err(None), Ok(())) => return Err(unread(key).into()),
    };
    verify(objects, key, &composed).await?;
    Ok(composed.stored())
}

fn may_be_there(error: &ObjectError) -> bool {
    matches!(
        error.failure,
        ObjectFailure::AlreadyExists | ObjectFailure::Unanswered
    )
}

fn unread(key: &str) -> ObjectError {
    ObjectError {
        doing: "put",
        key: key.to_owned(),
        failure: ObjectFailure::Unanswered,
        why: "it is stored, and was not read to its end".to_owned(),
    }
}
