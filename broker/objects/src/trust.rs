//! Whose certificates are believed beside those that the system's authorities have signed.

use std::error::Error as StdError;
use std::io;

use freshet_env::objects::mounted::certificates;
use object_store::{Certificate, ClientOptions};
use rustls::CertificateError;

use crate::failure::words;

/// As in the SDKs of Amazon: a file with certificates of authorities, as PEM. A mounted Secret has no path
/// that its author knows, so it may say the certificates themselves.
pub(crate) const BUNDLE: &str = "AWS_CA_BUNDLE";
const PEM: &str = "-----BEGIN";

/// What to do about a certificate that nobody vouches for.
const ADVICE: &str = "no authority that is known here has signed the server's certificate; a file with that \
                      authority's own goes into AWS_CA_BUNDLE (S3) or SSL_CERT_FILE (all stores)";

/// Believes those of `bundle` too.
///
/// # Errors
/// It cannot be read, or has none.
pub(crate) fn trusting(options: ClientOptions, bundle: &str) -> Result<ClientOptions, String> {
    // Comments may stand before the first one.
    let (pem, whence) = match bundle.contains(PEM) {
        true => (bundle.as_bytes().to_owned(), "what it says"),
        false => (read(bundle)?, bundle),
    };
    let wrong = |why: &str| format!("{BUNDLE}: {whence} {why}");
    let found = Certificate::from_pem_bundle(&pem)
        .map_err(|error| wrong(&format!("has no certificates as PEM: {}", words(&error))))?;
    if found.is_empty() {
        return Err(wrong("has no certificates as PEM"));
    }
    let found = found.into_iter();
    Ok(found.fold(options, ClientOptions::with_root_certificate))
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    certificates(path).map_err(|error| format!("{BUNDLE}: {path} cannot be read: {error}"))
}

/// What to do if this is why there is no connection; empty if all that can be said of the server's certificate
/// has been said. `None` if it is about something else.
pub(crate) fn advice(cause: &(dyn StdError + 'static)) -> Option<&'static str> {
    match carried(cause.downcast_ref()?)? {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => Some(ADVICE),
        rustls::Error::InvalidCertificate(_) => Some(""),
        _ => None,
    }
}

/// An error of the system names as its source what is below the one that it carries, and not that one.
fn carried(error: &io::Error) -> Option<&rustls::Error> {
    let carries = error.get_ref()?;
    let further = || carries.downcast_ref().and_then(carried);
    carries.downcast_ref().or_else(further)
}
