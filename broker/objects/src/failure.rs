//! What an error of `object_store` means at the door.

use std::error::Error as StdError;
use std::io;

use freshet_env::objects::{ObjectError, ObjectFailure};
use object_store::Error;
use object_store::client::HttpError;

use crate::answer::Refusal;
use crate::trust;

/// The door's error for one of the client's.
pub(crate) fn tell(doing: &'static str, key: &str, error: &Error) -> ObjectError {
    ObjectError {
        doing,
        key: key.to_owned(),
        failure: meaning(error),
        why: match distrust(error) {
            Some(advice) if !advice.is_empty() => format!("{}: {advice}", words(error)),
            _ => words(error),
        },
    }
}

/// What to do about the server's certificate, if that is why there is no connection.
fn distrust(error: &Error) -> Option<&'static str> {
    causes(error).find_map(trust::advice)
}

/// What became of the request. When nothing can be known it may have been done.
pub(crate) fn meaning(error: &Error) -> ObjectFailure {
    if let Some(refusal) = refusal(error) {
        return refusal.failure();
    }
    match error {
        Error::NotFound { .. } => ObjectFailure::NotFound,
        Error::AlreadyExists { .. } | Error::Precondition { .. } => ObjectFailure::AlreadyExists,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => ObjectFailure::Denied,
        Error::InvalidPath { .. }
        | Error::NotSupported { .. }
        | Error::NotImplemented { .. }
        | Error::UnknownConfigurationKey { .. } => ObjectFailure::Invalid,
        _ => beneath(error),
    }
}

/// What the store has answered, if it has.
pub(crate) fn refusal(error: &Error) -> Option<&Refusal> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// What the network or the disk has said.
fn beneath(error: &Error) -> ObjectFailure {
    if distrust(error).is_some() {
        return ObjectFailure::Denied;
    }
    for cause in causes(error) {
        if let Some(request) = cause.downcast_ref::<reqwest::Error>() {
            return of_request(request);
        }
        if cause.is::<HttpError>() {
            // An error of the system below it is the connection's; reqwest's own stands between.
            continue;
        }
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return of_file(io.kind());
        }
    }
    ObjectFailure::Unanswered
}

/// A connection that was never made has carried nothing, also when making it took too long.
fn of_request(error: &reqwest::Error) -> ObjectFailure {
    if error.is_connect() {
        ObjectFailure::Unreachable
    } else if error.is_builder() {
        ObjectFailure::Invalid
    } else {
        ObjectFailure::Unanswered
    }
}

/// A file may be in its place although the flush behind it has failed, so most errors leave it open.
fn of_file(kind: io::ErrorKind) -> ObjectFailure {
    use io::ErrorKind::*;
    match kind {
        PermissionDenied | ReadOnlyFilesystem => ObjectFailure::Denied,
        InvalidFilename | InvalidInput | NotADirectory | IsADirectory | FileTooLarge => {
            ObjectFailure::Invalid
        }
        NotFound => ObjectFailure::NotFound,
        _ => ObjectFailure::Unanswered,
    }
}

/// Whether it came from no network and no store: files have failed, or the client was given what it had not
/// asked for.
pub(crate) fn is_ours(error: &Error) -> bool {
    !causes(error).any(|cause| cause.is::<HttpError>() || cause.is::<Refusal>())
}

fn causes(error: &Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    let first: &(dyn StdError + 'static) = error;
    std::iter::successors(Some(first), |&cause| cause.source())
}

/// The error and its causes in one line, each said once.
pub(crate) fn words(error: &Error) -> String {
    let mut words = String::new();
    for cause in causes(error) {
        let text = cause.to_string();
        if words.is_empty() {
            words = text;
        } else if !words.contains(&text) {
            words.push_str(": ");
            words.push_str(&text);
        }
    }
    words
}
