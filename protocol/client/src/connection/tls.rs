//! The handshake of TLS, and what its failures mean.

use std::io;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription as Alert, CertificateError as Certificate, Error};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::unreachable;
use crate::ClientError;
use crate::config::Tls;

/// Said where plain text is answered with TLS.
pub(super) const SPEAKS_TLS: &str =
    "it speaks TLS there: choose security.protocol SSL or SASL_SSL, or another port";

/// Protects a connection to `address` (`host:port`), after the other side has proven that it is that host.
pub(super) async fn protect(
    address: &str,
    socket: TcpStream,
    tls: &Tls,
) -> Result<TlsStream<TcpStream>, ClientError> {
    let host = host(address);
    let name = ServerName::try_from(host.to_owned()).map_err(|_| failed(address, NO_NAME))?;
    let connector = TlsConnector::from(tls.config());
    connector.connect(name, socket).await.map_err(|error| {
        match fault(&error) {
            Some(cause) => failed(address, cause),
            // Nobody has said anything about TLS: it may be a broker that stops.
            None => unreachable(
                address,
                format!("{error} during the TLS handshake{HANGS_UP}"),
            ),
        }
    })
}

const NO_NAME: &str = "its address has no host that a certificate could be for";
const HANGS_UP: &str =
    "; a port for security.protocol PLAINTEXT or SASL_PLAINTEXT hangs up like this";

fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

pub(super) fn failed(address: &str, cause: impl Into<String>) -> ClientError {
    ClientError::Tls {
        address: address.to_owned(),
        cause: cause.into(),
    }
}

/// What TLS itself has to complain about, if it is that.
pub(super) fn fault(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match error {
        Error::InvalidCertificate(wrong) => certificate(wrong),
        Error::AlertReceived(alert) => refused(*alert),
        Error::InvalidMessage(_) => {
            "what answers there does not speak TLS: choose security.protocol PLAINTEXT or \
             SASL_PLAINTEXT, or another port"
                .to_owned()
        }
        other => other.to_string(),
    })
}

fn certificate(wrong: &Certificate) -> String {
    match wrong {
        // Another authority of the same name is as little trusted.
        Certificate::UnknownIssuer | Certificate::BadSignature => {
            "its certificate is signed by nobody that we trust: give the certificate of its authority \
             (ssl.truststore.certificates, or a file with ssl.truststore.location)"
                .to_owned()
        }
        Certificate::Expired | Certificate::ExpiredContext { .. } => {
            format!("its certificate is not valid any more ({wrong})")
        }
        Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
            format!("its certificate is not valid yet ({wrong})")
        }
        Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => format!(
            "its certificate is for another host ({wrong}): use an address that it is for"
        ),
        other => format!("its certificate cannot be used ({other})"),
    }
}

fn refused(alert: Alert) -> String {
    match alert {
        Alert::BadCertificate
        | Alert::CertificateRequired
        | Alert::CertificateExpired
        | Alert::CertificateRevoked
        | Alert::CertificateUnknown
        | Alert::UnsupportedCertificate
        | Alert::UnknownCA
        | Alert::DecryptError
        | Alert::AccessDenied => format!(
            "it does not take our certificate, or wants one ({alert:?}): see ssl.keystore.*"
        ),
        other => format!("it refuses ({other:?})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_found_in_an_address() {
        assert_eq!(host("kafka.example:9093"), "kafka.example");
        assert_eq!(host("127.0.0.1:1"), "127.0.0.1");
        assert_eq!(host("[::1]:9093"), "::1");
        assert_eq!(host("::1:9093"), "::1");
    }

    #[test]
    fn what_is_no_complaint_of_tls_is_none() {
        assert_eq!(fault(&io::ErrorKind::UnexpectedEof.into()), None);
        let alert = io::Error::other(Error::AlertReceived(Alert::UnknownCA));
        assert!(fault(&alert).expect("it is").contains("UnknownCA"));
    }
}
