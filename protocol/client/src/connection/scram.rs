//! The client's side of SCRAM (RFC 5802, RFC 7677), without a socket.
//!
//! ```text
//! Scram::new ─ first ─► broker ─► answer ─► Proof ─ sent ─► broker ─► Proof::check
//! ```
//!
//! The broker is trusted with nothing before its signature is checked: how often the password is hashed
//! and how long its words are is bounded, so that a false one cannot keep us busy.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};

use crate::config::{Hash, Password};

/// Fewer rounds than RFC 7677 asks for make a password easy to guess for who listens.
const LEAST_ROUNDS: u32 = 4_096;
/// Eight times what Kafka lets anybody choose, and a tenth of a second for us.
const MOST_ROUNDS: u32 = 131_072;
/// The longest word of a broker, in bytes.
const LONGEST: usize = 4_096;
/// No channel binding, in base64: `n,,`.
const UNBOUND: &str = "biws";

/// A dialogue that has not begun.
pub(super) struct Scram<'a> {
    hash: Hash,
    password: &'a Password,
    nonce: String,
    /// Our first word without its header.
    bare: String,
}

/// A dialogue whose second word is ready.
pub(super) struct Proof {
    /// Our second word.
    pub(super) word: String,
    key: hmac::Key,
    dialogue: String,
}

/// Why a dialogue is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ScramError {
    /// It does not keep to the protocol.
    #[error("the broker's answer is no SCRAM: {0}")]
    Odd(&'static str),
    /// It asks for too little work, or too much.
    #[error(
        "the broker asks for {0} rounds of hashing; {LEAST_ROUNDS} to {MOST_ROUNDS} are done: set the \
         password anew with a number in between"
    )]
    Rounds(u64),
    /// It has said no.
    #[error("the broker says {0:?}")]
    Refused(String),
    /// It does not know the password.
    #[error("the broker cannot prove that it knows the password: it is not the one it says it is")]
    Unproven,
}

impl<'a> Scram<'a> {
    /// `nonce` is drawn anew for each dialogue, and is made of letters without commas.
    pub(super) fn new(hash: Hash, user: &str, password: &'a Password, nonce: String) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Self {
            hash,
            password,
            bare: format!("n={user},r={nonce}"),
            nonce,
        }
    }

    /// Our first word.
    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// What follows from the broker's first word.
    pub(super) fn answer(&self, theirs: &[u8]) -> Result<Proof, ScramError> {
        let theirs = readable(theirs)?;
        let (nonce, salt, rounds) = self.challenge(theirs)?;
        let hash = self.hash.parts();
        let mut salted = vec![0; hash.digest.output_len()];
        let password = self.password.text().as_bytes();
        pbkdf2::derive(hash.pbkdf2, rounds, &salt, password, &mut salted);
        let salted = hmac::Key::new(hash.hmac, &salted);

        let last = format!("c={UNBOUND},r={nonce}");
        let dialogue = format!("{},{theirs},{last}", self.bare);
        let client_key = hmac::sign(&salted, b"Client Key");
        let stored = digest::digest(hash.digest, client_key.as_ref());
        let stored = hmac::Key::new(hash.hmac, stored.as_ref());
        let signature = hmac::sign(&stored, dialogue.as_bytes());
        let pairs = client_key.as_ref().iter().zip(signature.as_ref());
        let proof: Vec<u8> = pairs.map(|(a, b)| a ^ b).collect();

        let server_key = hmac::sign(&salted, b"Server Key");
        Ok(Proof {
            word: format!("{last},p={}", STANDARD.encode(proof)),
            key: hmac::Key::new(hash.hmac, server_key.as_ref()),
            dialogue,
        })
    }

    /// The joint nonce, the salt, and how often to hash.
    fn challenge<'t>(&self, theirs: &'t str) -> Result<(&'t str, Vec<u8>, NonZeroU32), ScramError> {
        let mut parts = theirs.split(',');
        let mut part = |name: &str, missing| {
            let found = parts.next().and_then(|part| part.strip_prefix(name));
            found.ok_or(ScramError::Odd(missing))
        };
        if theirs.starts_with("e=") {
            return Err(refused(theirs));
        }
        let nonce = part("r=", "it does not begin with a nonce")?;
        let added = nonce.strip_prefix(&*self.nonce);
        if added.is_none_or(str::is_empty) {
            return Err(ScramError::Odd("its nonce does not go on from ours"));
        }
        let salt = part("s=", "it has no salt")?;
        let salt = STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty());
        let salt = salt.ok_or(ScramError::Odd("its salt is no base64"))?;
        let rounds = part("i=", "it has no number of rounds")?;
        let rounds: u64 = rounds
            .parse()
            .map_err(|_| ScramError::Odd("its number of rounds is none"))?;
        let within = u32::try_from(rounds)
            .ok()
            .filter(|rounds| (LEAST_ROUNDS..=MOST_ROUNDS).contains(rounds));
        let within = within.and_then(NonZeroU32::new);
        Ok((nonce, salt, within.ok_or(ScramError::Rounds(rounds))?))
    }
}

impl Proof {
    /// Whether the broker's last word proves that it knows the password.
    pub(super) fn check(&self, theirs: &[u8]) -> Result<(), ScramError> {
        let theirs = readable(theirs)?;
        if theirs.starts_with("e=") {
            return Err(refused(theirs));
        }
        let first = theirs.split(',').next().unwrap_or_default();
        let signature = first
            .strip_prefix("v=")
            .and_then(|text| STANDARD.decode(text).ok());
        let signature = signature.ok_or(ScramError::Odd("it has no signature"))?;
        // Takes as long wherever they differ.
        hmac::verify(&self.key, self.dialogue.as_bytes(), &signature)
            .map_err(|_| ScramError::Unproven)
    }
}

fn refused(theirs: &str) -> ScramError {
    let word = theirs.trim_start_matches("e=").chars().take(100);
    ScramError::Refused(word.collect())
}

fn readable(theirs: &[u8]) -> Result<&str, ScramError> {
    if theirs.len() > LONGEST {
        return Err(ScramError::Odd("it is too long"));
    }
    std::str::from_utf8(theirs).map_err(|_| ScramError::Odd("it is no text"))
}

/// One hash in its three uses.
struct Parts {
    digest: &'static digest::Algorithm,
    hmac: hmac::Algorithm,
    pbkdf2: pbkdf2::Algorithm,
}

impl Hash {
    fn parts(self) -> Parts {
        match self {
            Self::Sha256 => Parts {
                digest: &digest::SHA256,
                hmac: hmac::HMAC_SHA256,
                pbkdf2: pbkdf2::PBKDF2_HMAC_SHA256,
            },
            Self::Sha512 => Parts {
                digest: &digest::SHA512,
                hmac: hmac::HMAC_SHA512,
                pbkdf2: pbkdf2::PBKDF2_HMAC_SHA512,
            },
        }
    }
}

#[cfg(test)]
mod tests;
