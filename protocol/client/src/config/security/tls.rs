//! What a TLS connection trusts and shows.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// What connections trust and show, ready for use. Names of hosts are always checked.
#[derive(Clone)]
pub(crate) struct Tls(Arc<ClientConfig>);

/// A certificate with those that signed it, and its key.
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

/// Those whose signature is enough.
pub(super) fn trusted(certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for (number, certificate) in certificates.iter().enumerate() {
        let added = roots.add(certificate.clone());
        added.map_err(|error| format!("certificate {} cannot be used: {error}", number + 1))?;
    }
    Ok(roots)
}

/// The public authorities that this machine trusts.
pub(super) fn public() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    // Among those of a machine some may be too old to be read.
    let (added, _) =
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        return Err(
            "is missing, and this machine has no certificates of public authorities: name yours, \
             here or in ssl.truststore.location"
                .to_owned(),
        );
    }
    Ok(roots)
}

impl Tls {
    pub(super) fn new(roots: RootCertStore, identity: Option<Identity>) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(Identity { chain, key }) => builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| format!("does not fit its certificate: {error}"))?,
        };
        Ok(Self(Arc::new(config)))
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}
