//! A broker that asks for certificates and passwords.

mod certificates;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use freshet_codec::{Message, Reader};
use freshet_wire::api_versions::ApiVersion;
use freshet_wire::*;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

pub(crate) use certificates::{Authority, Named};

/// The one who knows it is let in.
const PASSWORD: &str = "hunter2";

/// What the broker asks for.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) tls: Option<TlsAcceptor>,
    /// None: nobody is asked.
    pub(crate) mechanisms: &'static [&'static str],
    /// The first word of SCRAM, in which `{nonce}` is the client's.
    pub(crate) challenge: &'static str,
    pub(crate) lifetime_ms: i64,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            tls: None,
            mechanisms: &["PLAIN", "SCRAM-SHA-256"],
            challenge: "",
            lifetime_ms: 0,
        }
    }
}

pub(crate) struct Guarded {
    /// By number.
    pub(crate) address: String,
    /// Passwords that were looked at.
    pub(crate) logins: Arc<AtomicUsize>,
    /// Requests after the end of a session.
    pub(crate) overdue: Arc<AtomicUsize>,
}

impl Guarded {
    pub(crate) async fn start(guard: Guard) -> Self {
        let (broker, listener) = Self::bind().await;
        let (logins, overdue) = (Arc::clone(&broker.logins), Arc::clone(&broker.overdue));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let address = socket.local_addr().expect("it is bound").port();
                let visit = Visit {
                    guard: guard.clone(),
                    port: address,
                    logins: Arc::clone(&logins),
                    overdue: Arc::clone(&overdue),
                    until: None,
                };
                let tls = guard.tls.clone();
                tokio::spawn(async move {
                    match tls {
                        None => visit.serve(socket).await,
                        Some(tls) => {
                            // One that fails has sent its alert.
                            if let Ok(socket) = tls.accept(socket).await {
                                visit.serve(socket).await;
                            }
                        }
                    }
                });
            }
        });
        broker
    }

    /// Something that is no broker.
    pub(crate) async fn babbling() -> Self {
        let (broker, listener) = Self::bind().await;
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
                let mut heard = [0; 1024];
                let _ = socket.read(&mut heard).await;
            }
        });
        broker
    }

    async fn bind() -> (Self, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let broker = Self {
            address: listener.local_addr().expect("it is bound").to_string(),
            logins: Arc::default(),
            overdue: Arc::default(),
        };
        (broker, listener)
    }

    /// The address by name.
    pub(crate) fn named(&self) -> String {
        self.address.replace("127.0.0.1", "localhost")
    }
}

/// One connection.
struct Visit {
    guard: Guard,
    port: u16,
    logins: Arc<AtomicUsize>,
    overdue: Arc<AtomicUsize>,
    until: Option<Instant>,
}

impl Visit {
    async fn serve(mut self, mut socket: impl AsyncRead + AsyncWrite + Unpin) {
        while let Ok(len) = socket.read_i32().await {
            // As Kafka: what is too long for a request is none.
            if !(0..1_000_000).contains(&len) {
                return;
            }
            let mut frame = vec![0; len as usize];
            if socket.read_exact(&mut frame).await.is_err() {
                return;
            }
            let Ok((header, reader)) = RequestHeader::open(frame.into()) else {
                return;
            };
            let Some(answer) = self.answer(&header, reader) else {
                return;
            };
            if socket.write_all(&answer).await.is_err() || socket.flush().await.is_err() {
                return;
            }
        }
    }

    fn answer(&mut self, header: &RequestHeader, mut r: Reader) -> Option<Bytes> {
        if self.until.is_some_and(|until| Instant::now() >= until) {
            self.overdue.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let version = header.request_api_version;
        match ApiKey::from_code(header.request_api_key)? {
            ApiKey::ApiVersions => Some(reply::<ApiVersionsRequest>(header, &versions())),
            ApiKey::SaslHandshake => {
                let asked = SaslHandshakeRequest::decode(&mut r, version).ok()?;
                Some(reply::<SaslHandshakeRequest>(header, &self.choose(&asked)))
            }
            ApiKey::SaslAuthenticate => {
                let said = SaslAuthenticateRequest::decode(&mut r, version).ok()?;
                Some(reply::<SaslAuthenticateRequest>(header, &self.hear(&said)))
            }
            ApiKey::Metadata => {
                let broker = metadata::MetadataResponseBroker {
                    node_id: 1,
                    host: "localhost".to_owned(),
                    port: self.port.into(),
                    rack: None,
                };
                let response = MetadataResponse {
                    brokers: vec![broker],
                    ..Default::default()
                };
                Some(reply::<MetadataRequest>(header, &response))
            }
            other => panic!("{other} is not served here"),
        }
    }

    fn choose(&self, asked: &SaslHandshakeRequest) -> SaslHandshakeResponse {
        let offered = self.guard.mechanisms;
        let code = match offered.contains(&asked.mechanism.as_str()) {
            true => 0,
            false if offered.is_empty() => ErrorCode::IllegalSaslState.code(),
            false => ErrorCode::UnsupportedSaslMechanism.code(),
        };
        SaslHandshakeResponse {
            error_code: code,
            mechanisms: offered.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn hear(&mut self, said: &SaslAuthenticateRequest) -> SaslAuthenticateResponse {
        self.logins.fetch_add(1, Ordering::Relaxed);
        let said = String::from_utf8_lossy(&said.auth_bytes).into_owned();
        let lifetime_ms = self.guard.lifetime_ms;
        let answer = |bytes: String| SaslAuthenticateResponse {
            error_code: 0,
            error_message: None,
            auth_bytes: bytes.into(),
            session_lifetime_ms: lifetime_ms,
        };
        if let Some((_, nonce)) = said.split_once(",r=").filter(|_| said.starts_with("n,,")) {
            return answer(self.guard.challenge.replace("{nonce}", nonce));
        }
        if said.starts_with("c=") {
            return answer("v=AAAA".to_owned());
        }
        if said == format!("\0alice\0{PASSWORD}") {
            let stay = u64::try_from(lifetime_ms).expect("it is positive");
            self.until = (stay > 0).then(|| Instant::now() + Duration::from_millis(stay));
            return answer(String::new());
        }
        SaslAuthenticateResponse {
            error_code: ErrorCode::SaslAuthenticationFailed.code(),
            // A broker that repeats what it should not.
            error_message: Some(format!("no such password: {said:?}")),
            auth_bytes: Bytes::new(),
            session_lifetime_ms: 0,
        }
    }
}

fn reply<R: Request>(header: &RequestHeader, response: &R::Response) -> Bytes {
    let answer = ResponseHeader {
        correlation_id: header.correlation_id,
    };
    let frame = encode_response::<R>(&answer, response, header.request_api_version);
    frame.expect("the response fits").into_bytes()
}

fn versions() -> ApiVersionsResponse {
    let range = |key: ApiKey, max_version| ApiVersion {
        api_key: key.code(),
        min_version: 0,
        max_version,
    };
    ApiVersionsResponse {
        api_keys: vec![
            range(ApiKey::ApiVersions, 4),
            range(ApiKey::Metadata, 12),
            range(ApiKey::SaslHandshake, 1),
            range(ApiKey::SaslAuthenticate, 2),
        ],
        ..Default::default()
    }
}
