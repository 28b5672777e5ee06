//! Who a broker is, where no keys are written down: a server that answers as those of Amazon do, with keys
//! that the real S3 server takes.
//!
//! It is told of instances (IMDSv2), of containers (EKS Pod Identity), and of web identities (STS, which is
//! spoken to with TLS only). Whoever does not ask as each of them wants it is refused.

use std::fs;
use std::io::{self, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use super::gateway::{SECRET, USER};
use super::message::Message;
use crate::authority::Signed;
use crate::faults::day;
use crate::raw::now_ms;

const SESSION: &str = "a session of an instance";
const ROLE: &str = "freshet-role";
const ARN: &str = "arn:aws:iam::123456789012:role/freshet-role";
const INSTANCE: &str = "/latest/meta-data/iam/security-credentials/";
/// The client asks again so long before keys expire.
const EARLY: Duration = Duration::from_secs(300);
/// So long it keeps them here.
pub(super) const LEASE: Duration = Duration::from_secs(5);

/// How a broker learns who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Instance,
    Container,
    Web,
}

/// The server.
pub(super) struct Identity {
    shared: Arc<Shared>,
    folder: TempDir,
    port: u16,
}

struct Shared {
    /// Where the broker has the proof of who it is.
    proof: PathBuf,
    state: Mutex<State>,
}

struct State {
    secret: &'static str,
    /// Goes with the keys. The S3 server takes none that it has not given itself.
    session: &'static str,
    /// How often keys were given.
    given: usize,
    /// Who has asked without the proof, or otherwise than it is done.
    strange: Vec<String>,
    is_closed: bool,
}

impl Identity {
    /// Starts it; with TLS, if there is a certificate.
    pub(super) fn start(signed: Option<&Signed>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let proof = folder.path().join("proof");
        fs::write(&proof, "the first proof")?;
        let shared = Arc::new(Shared {
            proof,
            state: Mutex::new(State {
                secret: SECRET,
                session: "",
                given: 0,
                strange: Vec::new(),
                is_closed: false,
            }),
        });
        let tls = signed.map(tls).transpose()?.map(Arc::new);
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("a port for identities")?;
        let port = listener.local_addr()?.port();
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (serving, tls) = (Arc::clone(&serving), tls.clone());
                // Who goes away has heard all that it wanted.
                thread::spawn(move || drop(secured(&serving, client, tls)));
            }
        });
        Ok(Self {
            shared,
            folder,
            port,
        })
    }

    /// What a broker has to be told.
    pub(super) fn environment(&self, way: Way) -> Vec<(String, String)> {
        let (port, proof) = (self.port, self.shared.proof.display().to_string());
        let all = match way {
            Way::Instance => vec![(
                "AWS_EC2_METADATA_SERVICE_ENDPOINT",
                format!("http://127.0.0.1:{port}/"),
            )],
            Way::Container => vec![
                (
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                    format!("http://127.0.0.1:{port}/v1/credentials"),
                ),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", proof),
            ],
            Way::Web => vec![
                ("AWS_WEB_IDENTITY_TOKEN_FILE", proof),
                ("AWS_ROLE_ARN", ARN.to_owned()),
                ("AWS_ROLE_SESSION_NAME", "freshet".to_owned()),
                ("AWS_ENDPOINT_URL_STS", format!("https://127.0.0.1:{port}")),
            ],
        };
        let own = |(name, value): (&str, String)| (name.to_owned(), value);
        all.into_iter().map(own).collect()
    }

    /// From now on there are other keys, and another proof is wanted; the broker is given that.
    pub(super) fn renew(&self, secret: &'static str) -> Result<()> {
        // Replaced whole, as the kubelet does it.
        let new = self.folder.path().join("new");
        fs::write(&new, "the second proof")?;
        let mut state = self.shared.state();
        fs::rename(new, &self.shared.proof)?;
        state.secret = secret;
        Ok(())
    }

    /// From now on the keys are of a session.
    pub(super) fn give_session(&self, session: &'static str) {
        self.shared.state().session = session;
    }

    /// From now on nobody is given keys.
    pub(super) fn close(&self) {
        self.shared.state().is_closed = true;
    }

    /// How often keys were given so far.
    pub(super) fn given(&self) -> usize {
        self.shared.state().given
    }

    /// Who has asked for them in another way.
    pub(super) fn strange(&self) -> Vec<String> {
        self.shared.state().strange.clone()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, request: &Message) -> io::Result<Message> {
        let mut state = self.state();
        let proof = fs::read_to_string(&self.proof)?;
        let (path, query) = request
            .target()
            .split_once('?')
            .unwrap_or((request.target(), ""));
        let has_session = request.header("x-aws-ec2-metadata-token") == Some(SESSION);
        let name = path.strip_prefix(INSTANCE);
        let keys = match (request.method(), path) {
            ("PUT", "/latest/api/token") => {
                let lasts = request.header("x-aws-ec2-metadata-token-ttl-seconds");
                return Ok(Message::answered(
                    if lasts.is_some() { 200 } else { 400 },
                    SESSION,
                ));
            }
            ("GET", _) if name == Some("") && has_session => {
                return Ok(Message::answered(200, ROLE));
            }
            ("GET", _) if name == Some(ROLE) && has_session => json(&state),
            ("GET", "/v1/credentials") if request.header("authorization") == Some(&proof) => {
                json(&state)
            }
            ("POST", "/") if asks_for_a_role(query, &proof) => xml(&state),
            _ => {
                state
                    .strange
                    .push(format!("{} {}", request.method(), request.target()));
                return Ok(Message::refusal(403, "AccessDenied"));
            }
        };
        if state.is_closed {
            return Ok(Message::refusal(403, "AccessDenied"));
        }
        state.given += 1;
        Ok(Message::answered(200, &keys))
    }
}

fn asks_for_a_role(query: &str, proof: &str) -> bool {
    let plain = |text: &str| {
        text.replace("%3A", ":")
            .replace("%2F", "/")
            .replace('+', " ")
    };
    let has = |name: &str, value: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.any(|(known, told)| known == name && plain(told) == value)
    };
    has("Action", "AssumeRoleWithWebIdentity")
        && has("RoleArn", ARN)
        && has("RoleSessionName", "freshet")
        && has("WebIdentityToken", proof)
}

/// In the words of RFC 3339.
fn expires() -> String {
    let lasts = (EARLY + LEASE).as_secs();
    let second = now_ms() / 1000 + i64::try_from(lasts).unwrap_or(0);
    let (days, of_day) = (second.div_euclid(86_400), second.rem_euclid(86_400));
    let (hour, minute) = (of_day / 3600, of_day / 60 % 60);
    format!("{}T{hour:02}:{minute:02}:{:02}Z", day(days), of_day % 60)
}

fn json(
    State {
        secret, session, ..
    }: &State,
) -> String {
    let keys = serde_json::json!({
        "Code": "Success",
        "Type": "AWS-HMAC",
        "AccessKeyId": USER,
        "SecretAccessKey": secret,
        "Token": session,
        "Expiration": expires(),
    });
    keys.to_string()
}

fn xml(
    State {
        secret, session, ..
    }: &State,
) -> String {
    format!(
        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
         <AccessKeyId>{USER}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>\
         <SessionToken>{session}</SessionToken><Expiration>{}</Expiration></Credentials>\
         </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
        expires()
    )
}

fn tls(signed: &Signed) -> Result<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate = CertificateDer::from_pem_slice(signed.certificate().as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(signed.key().as_bytes())?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    Ok(config)
}

fn secured(shared: &Shared, client: TcpStream, tls: Option<Arc<ServerConfig>>) -> Result<()> {
    match tls {
        None => converse(shared, client),
        Some(tls) => converse(
            shared,
            StreamOwned::new(ServerConnection::new(tls)?, client),
        ),
    }
}

fn converse(shared: &Shared, client: impl Read + Write) -> Result<()> {
    let mut client = BufReader::new(client);
    while let Some(request) = Message::request(&mut client)? {
        shared.answer(&request)?.write(client.get_mut())?;
    }
    Ok(())
}
