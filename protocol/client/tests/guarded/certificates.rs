//! Certificates that are made when they are needed.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// What is in a broker's certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    /// This machine.
    Here,
    /// Another host.
    Elsewhere,
    /// This machine, until long ago.
    Long,
}

/// Somebody who signs.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

fn pem(label: &str, bytes: &[u8]) -> String {
    let body = STANDARD.encode(bytes);
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    pub(crate) fn pem(&self) -> String {
        pem("CERTIFICATE", self.0.der())
    }

    fn sign(&self, params: &CertificateParams) -> (CertificateDer<'static>, Vec<u8>) {
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &self.0).expect("a certificate");
        (signed.der().clone(), key.serialize_der())
    }

    /// A certificate for a client and its key.
    pub(crate) fn client(&self) -> (String, String) {
        let params = CertificateParams::new(vec!["alice".to_owned()]).expect("a name");
        let (certificate, key) = self.sign(&params);
        (pem("CERTIFICATE", &certificate), pem("PRIVATE KEY", &key))
    }

    /// A broker's side of TLS; it may ask for a certificate of ours too.
    pub(crate) fn server(&self, named: Named, asks: bool) -> TlsAcceptor {
        let names = match named {
            Named::Elsewhere => vec!["kafka.example".to_owned()],
            _ => vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
        };
        let mut params = CertificateParams::new(names).expect("names");
        if named == Named::Long {
            params.not_before = date_time_ymd(2019, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        let (certificate, key) = self.sign(&params);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("known versions");
        let builder = if asks {
            let mut roots = RootCertStore::empty();
            roots.add(self.0.der().clone()).expect("an authority");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::Pkcs8(key.into());
        let config = builder.with_single_cert(vec![certificate], key);
        TlsAcceptor::from(Arc::new(config.expect("they fit")))
    }
}
