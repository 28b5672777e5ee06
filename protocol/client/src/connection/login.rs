//! Logging in: SaslHandshake chooses the mechanism, SaslAuthenticate carries its words (KIP-152).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use freshet_wire::{
    ErrorCode, SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest,
};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::time::Instant;

use super::Connection;
use super::scram::{Scram, ScramError};
use crate::ClientError;
use crate::config::{Login, Mechanism};

/// Bytes of a nonce before they become letters.
const NONCE_BYTES: usize = 24;
/// The words are carried by SaslAuthenticate from this version of SaslHandshake on.
const CARRIED: i16 = 1;

/// Logs in; says until when the broker lets us stay, if it says so (KIP-368).
pub(super) async fn login(
    connection: &Connection,
    login: &Login,
) -> Result<Option<Instant>, ClientError> {
    let begun = Instant::now();
    let dialogue = Dialogue { connection, login };
    dialogue.choose().await?;
    let last = match login.mechanism {
        Mechanism::Plain => {
            let word = format!("\0{}\0{}", login.user, login.password.text());
            dialogue.say(word).await?
        }
        Mechanism::Scram(hash) => {
            let nonce = nonce().ok_or_else(|| dialogue.failed("no random bits can be drawn"))?;
            let scram = Scram::new(hash, &login.user, &login.password, nonce);
            let failed = |error: ScramError| dialogue.failed(error.to_string());
            let challenge = dialogue.say(scram.first()).await?;
            let proof = scram.answer(&challenge.auth_bytes).map_err(failed)?;
            let last = dialogue.say(proof.word.clone()).await?;
            proof.check(&last.auth_bytes).map_err(failed)?;
            last
        }
    };
    Ok(stay(last.session_lifetime_ms).map(|stay| begun + stay))
}

/// How long a session is used: requests that are under way at its end are answered still, and clocks
/// differ.
fn stay(lifetime_ms: i64) -> Option<Duration> {
    let ms = u64::try_from(lifetime_ms).ok().filter(|ms| *ms > 0)?;
    // Longer than anybody's patience; and what is added to a time must not be past all times.
    let bounded = Duration::from_millis(ms).min(Duration::from_secs(365 * 24 * 3600));
    Some(bounded.mul_f64(0.8))
}

fn nonce() -> Option<String> {
    let mut bits = [0; NONCE_BYTES];
    SystemRandom::new().fill(&mut bits).ok()?;
    Some(STANDARD_NO_PAD.encode(bits))
}

struct Dialogue<'a> {
    connection: &'a Connection,
    login: &'a Login,
}

impl Dialogue<'_> {
    async fn choose(&self) -> Result<(), ClientError> {
        let unasked = "it asks for no password at this address: choose security.protocol PLAINTEXT or SSL, \
                       or another port";
        let version = self.connection.version::<SaslHandshakeRequest>(CARRIED);
        match version {
            Ok(CARRIED) => {}
            Ok(_) => return Err(self.failed("it is older than Kafka 1.0")),
            Err(_) => return Err(self.failed(unasked)),
        }
        let request = SaslHandshakeRequest {
            mechanism: self.login.mechanism.name().to_owned(),
        };
        let call = self.connection.call(&request, CARRIED, Duration::ZERO);
        let response = call.await?;
        match ErrorCode::from_code(response.error_code) {
            _ if response.error_code == 0 => Ok(()),
            Some(ErrorCode::UnsupportedSaslMechanism) => {
                let offered = response.mechanisms.iter().take(20);
                let offered: Vec<_> = offered.map(|name| shown(name)).collect();
                let offered = offered.join(", ");
                Err(self.failed(format!(
                    "it offers {offered}: choose one of these as sasl.mechanism"
                )))
            }
            Some(ErrorCode::IllegalSaslState) => Err(self.failed(unasked)),
            other => Err(self.failed(code_name(other))),
        }
    }

    /// Says a word and hears the next one.
    async fn say(&self, word: String) -> Result<SaslAuthenticateResponse, ClientError> {
        let request = SaslAuthenticateRequest {
            auth_bytes: Bytes::from(word.into_bytes()),
        };
        let call = self.connection.call(&request, i16::MAX, Duration::ZERO);
        let response = call.await?;
        if response.error_code == 0 {
            return Ok(response);
        }
        let code = code_name(ErrorCode::from_code(response.error_code));
        // A broker may repeat what we have said.
        let secret = self.login.password.text();
        let message = response.error_message.filter(|m| !m.contains(secret));
        Err(match message {
            Some(message) if !message.is_empty() => {
                self.failed(format!("{code}: {}", shown(&message)))
            }
            _ => self.failed(code),
        })
    }

    fn failed(&self, cause: impl Into<String>) -> ClientError {
        ClientError::Authentication {
            address: self.connection.address().to_owned(),
            mechanism: self.login.mechanism.name(),
            cause: cause.into(),
        }
    }
}

fn code_name(code: Option<ErrorCode>) -> &'static str {
    code.unwrap_or(ErrorCode::UnknownServerError).name()
}

/// Words of a stranger, fit to be printed.
fn shown(text: &str) -> String {
    let letters = text.chars().filter(|c| !c.is_control());
    letters.take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_left_before_it_ends() {
        assert_eq!(stay(0), None);
        assert_eq!(stay(-5), None);
        assert_eq!(stay(10_000), Some(Duration::from_secs(8)));
        assert!(stay(i64::MAX).is_some_and(|stay| stay < Duration::from_secs(366 * 24 * 3600)));
    }

    #[test]
    fn nonces_differ_and_have_no_comma() {
        let (a, b) = (nonce().expect("bits"), nonce().expect("bits"));
        assert!(a != b && a.len() == 32 && !a.contains(','), "{a} {b}");
    }
}
