//! Certificates and keys as text: blocks of base64 between lines that say what is in them.
//!
//! Kafka takes a block whose lines were joined by blanks too, as properties files have them, and so does
//! this.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// All certificates in a text, of which there must be one.
pub(super) fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let blocks = blocks(text)?;
    let found: Vec<_> = blocks
        .into_iter()
        .filter(|(label, _)| *label == "CERTIFICATE")
        .map(|(_, bytes)| CertificateDer::from(bytes))
        .collect();
    if found.is_empty() {
        return Err(
            "holds no certificate in PEM format, which begins with BEGIN CERTIFICATE".to_owned(),
        );
    }
    Ok(found)
}

/// The one private key in a text.
pub(super) fn key(text: &str) -> Result<PrivateKeyDer<'static>, String> {
    let mut found = None;
    for (label, bytes) in blocks(text)? {
        let key = match label {
            "PRIVATE KEY" => PrivateKeyDer::Pkcs8(bytes.into()),
            "RSA PRIVATE KEY" => PrivateKeyDer::Pkcs1(bytes.into()),
            "EC PRIVATE KEY" => PrivateKeyDer::Sec1(bytes.into()),
            "ENCRYPTED PRIVATE KEY" => {
                return Err(
                    "holds a key with a password, which cannot be read: give it without one \
                            (`openssl pkcs8 -topk8 -nocrypt`)"
                        .to_owned(),
                );
            }
            _ => continue,
        };
        if found.replace(key).is_some() {
            return Err("holds several keys: leave one".to_owned());
        }
    }
    found.ok_or_else(|| {
        "holds no private key in PEM format, which begins with BEGIN PRIVATE KEY".to_owned()
    })
}

/// What is between the marks, each with its label.
fn blocks(text: &str) -> Result<Vec<(&str, Vec<u8>)>, String> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(BEGIN) {
        let broken = || format!("has a block {} that does not end", blocks.len() + 1);
        let (label, after) = after.split_once(DASHES).ok_or_else(broken)?;
        let end = format!("{END}{label}{DASHES}");
        let (body, after) = after.split_once(&end).ok_or_else(broken)?;
        let letters: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let bytes = STANDARD
            .decode(letters)
            .map_err(|_| format!("has a block {} that is no base64", blocks.len() + 1))?;
        blocks.push((label, bytes));
        rest = after;
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_may_have_lost_their_lines() {
        let text = "Bag Attributes\n-----BEGIN CERTIFICATE----- AAEC AwQ= -----END CERTIFICATE-----\n\
                    -----BEGIN CERTIFICATE-----\r\nBQYH\r\n-----END CERTIFICATE-----\r\n";
        let found = certificates(text).expect("two");
        assert_eq!(found[0].as_ref(), [0, 1, 2, 3, 4]);
        assert_eq!(found[1].as_ref(), [5, 6, 7]);
    }

    #[test]
    fn what_is_wrong_is_told_without_what_is_there() {
        let block = |label: &str, body: &str| {
            format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
        };
        let encrypted = key(&block("ENCRYPTED PRIVATE KEY", "AAEC")).expect_err("a password");
        assert!(encrypted.contains("-nocrypt"), "{encrypted}");
        let twice = block("PRIVATE KEY", "AAEC").repeat(2);
        assert!(key(&twice).expect_err("two").contains("several"));
        assert!(key("").expect_err("none").contains("no private key"));
        assert!(certificates(&block("PRIVATE KEY", "AAEC")).is_err());
        let odd = key(&block("PRIVATE KEY", "c2Vjcm+0!")).expect_err("no base64");
        assert!(odd.contains("no base64") && !odd.contains("c2Vj"), "{odd}");
        let cut = key("-----BEGIN PRIVATE KEY-----\nc2Vj").expect_err("cut");
        assert!(
            cut.contains("does not end") && !cut.contains("c2Vj"),
            "{cut}"
        );
    }
}
