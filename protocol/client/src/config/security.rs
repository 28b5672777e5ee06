//! How connections are protected, and as whom they log in.

mod jaas;
mod pem;
mod properties;
mod reading;
mod tls;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

pub(crate) use tls::Tls;

/// How connections are protected, and as whom they log in. The default is neither: `PLAINTEXT`.
///
/// Neither passwords nor keys show in debug output.
#[derive(Debug, Clone, Default)]
pub struct Security {
    pub(crate) tls: Option<Tls>,
    pub(crate) login: Option<Login>,
}

impl Security {
    /// Reads settings of security from the text of a properties file, by the names that Kafka's own
    /// clients have for them, such as `security.protocol`. `open` gives the text of a file that they name,
    /// or says why it cannot.
    pub fn read(
        text: &str,
        open: impl Fn(&str) -> Result<String, String>,
    ) -> Result<SecurityRead, SecurityError> {
        reading::read(text, &open)
    }
}

/// What a properties file says.
#[derive(Debug, Clone)]
pub struct SecurityRead {
    /// The settings of security in it.
    pub security: Security,
    /// Other properties in it, by name, which nobody here looks at.
    pub ignored: Vec<String>,
}

/// Why settings of security cannot be used. It holds no values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{property}: {why}")]
pub struct SecurityError {
    /// The property that is wrong, or the line.
    pub property: String,
    /// What is wrong with it, and what to do.
    pub why: String,
}

impl SecurityError {
    fn new(property: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            property: property.into(),
            why: why.into(),
        }
    }
}

/// A name, and what proves that it is ours.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    pub(crate) mechanism: Mechanism,
    pub(crate) user: String,
    pub(crate) password: Password,
}

/// A way to prove it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mechanism {
    /// The password itself (RFC 4616).
    Plain,
    /// Proofs that both sides know it (RFC 5802), with this hash.
    Scram(Hash),
}

/// The hash of SCRAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha512,
}

impl Mechanism {
    pub(crate) const ALL: [Self; 3] = [
        Self::Plain,
        Self::Scram(Hash::Sha256),
        Self::Scram(Hash::Sha512),
    ];

    /// Its registered name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Scram(Hash::Sha256) => "SCRAM-SHA-256",
            Self::Scram(Hash::Sha512) => "SCRAM-SHA-512",
        }
    }
}

/// Shows itself to nobody who prints it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Password(Arc<str>);

impl Password {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.into())
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}
