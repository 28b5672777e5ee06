use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

const SCRAM: &str = "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-512\n\
                     sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \
                     username=\"alice\" password=\"hunter2\";\n";

fn read_with(text: &str, files: &[(&str, &str)]) -> Result<SecurityRead, SecurityError> {
    let files: HashMap<_, _> = files.iter().copied().collect();
    let open = |name: &str| {
        let found = files.get(name).map(|text| (*text).to_owned());
        found.ok_or_else(|| "there is no such file".to_owned())
    };
    Security::read(text, open)
}

fn read(text: &str) -> Result<SecurityRead, SecurityError> {
    read_with(text, &[])
}

#[track_caller]
fn refused(text: &str, property: &str, why: &str) {
    let error = read(text).expect_err("it is wrong");
    assert_eq!(error.property, property, "{error}");
    assert!(error.why.contains(why), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

fn pem(label: &str, bytes: &[u8]) -> String {
    let body = STANDARD.encode(bytes);
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

/// A certificate that signed itself, and its key.
fn identity() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = pem("PRIVATE KEY", &made.signing_key.serialize_der());
    (pem("CERTIFICATE", made.cert.der()), key)
}

/// As a value of a properties file.
fn inline(pem: &str) -> String {
    pem.replace('\n', "\\n")
}

#[test]
fn nothing_asked_is_nothing_done() {
    let read = read("").expect("it is fine");
    assert!(read.security.tls.is_none() && read.security.login.is_none());
    assert!(read.ignored.is_empty());
}

#[test]
fn a_login_is_read_and_does_not_show() {
    let read = read(&format!("{SCRAM}client.id=x\nacks=all\n")).expect("it is fine");
    assert_eq!(read.ignored, ["acks", "client.id"]);
    let login = read.security.login.as_ref().expect("a login");
    assert_eq!(login.mechanism, Mechanism::Scram(Hash::Sha512));
    assert_eq!(
        (login.user.as_str(), login.password.text()),
        ("alice", "hunter2")
    );
    assert!(!format!("{read:?}").contains("hunter2"));
    let mut config = crate::ClientConfig::new(["a:1"]);
    config.security = read.security;
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn certificates_come_from_the_text_or_from_files() {
    let (certificate, key) = identity();
    let (c, k) = (inline(&certificate), inline(&key));
    let both = format!("{key}{certificate}");
    let files = [
        ("ca.crt", certificate.as_str()),
        ("both.pem", &both),
        ("none.pem", "x"),
    ];
    for text in [
        format!("ssl.truststore.certificates={c}"),
        format!("ssl.truststore.type=PEM\nssl.truststore.certificates={c}"),
        "ssl.truststore.type=pem\nssl.truststore.location=ca.crt".to_owned(),
        format!(
            "ssl.truststore.certificates={c}\nssl.keystore.certificate.chain={c}\nssl.keystore.key={k}"
        ),
        format!(
            "ssl.truststore.certificates={c}\nssl.keystore.type=PEM\nssl.keystore.location=both.pem"
        ),
        format!("ssl.truststore.certificates={c}\nssl.endpoint.identification.algorithm=HTTPS"),
    ] {
        let read = read_with(&format!("security.protocol=ssl\n{text}"), &files);
        let read = read.unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(read.security.tls.is_some() && read.security.login.is_none());
    }
    let other = inline(&identity().1);
    for (text, property, why) in [
        (
            "ssl.truststore.location=ca.crt".to_owned(),
            "ssl.truststore.type",
            "PEM",
        ),
        (
            "ssl.truststore.type=JKS".to_owned(),
            "ssl.truststore.type",
            "JKS",
        ),
        (
            "ssl.truststore.type=PEM\nssl.truststore.location=/x".to_owned(),
            "ssl.truststore.location",
            "no such file",
        ),
        (
            "ssl.truststore.type=PEM\nssl.truststore.location=none.pem".to_owned(),
            "ssl.truststore.location",
            "no certificate",
        ),
        (
            "ssl.truststore.certificates=x".to_owned(),
            "ssl.truststore.certificates",
            "no certificate",
        ),
        (
            format!(
                "ssl.truststore.certificates={}",
                inline(&pem("CERTIFICATE", b"no"))
            ),
            "ssl.truststore.certificates",
            "certificate 1 cannot be used",
        ),
        (
            format!("ssl.truststore.certificates={c}\nssl.truststore.location=ca.crt"),
            "ssl.truststore.location",
            "beside",
        ),
        (
            format!("ssl.truststore.certificates={c}\nssl.keystore.key={k}"),
            "ssl.keystore.key",
            "nothing without",
        ),
        (
            format!("ssl.truststore.certificates={c}\nssl.keystore.certificate.chain={c}"),
            "ssl.keystore.certificate.chain",
            "nothing without",
        ),
        (
            format!(
                "ssl.truststore.certificates={c}\nssl.keystore.certificate.chain={c}\nssl.keystore.key={other}"
            ),
            "ssl.keystore.key",
            "does not fit",
        ),
    ] {
        let error = read_with(&format!("security.protocol=SSL\n{text}"), &files).expect_err(&text);
        assert_eq!(error.property, property, "{error}");
        assert!(error.why.contains(why), "{error}");
    }
}

#[test]
fn what_is_not_understood_is_refused_where_it_is_about_security() {
    refused("security.protocol=TLS", "security.protocol", "SASL_SSL");
    refused(
        "ssl.truststore.pasword=hunter2",
        "ssl.truststore.pasword",
        "not known",
    );
    refused(
        "security.providers=hunter2",
        "security.providers",
        "not known",
    );
    refused(
        "security.protocol=SSL\nssl.key.password=hunter2",
        "ssl.key.password",
        "without one",
    );
    refused(
        "sasl.oauthbearer.x=hunter2",
        "sasl.oauthbearer.x",
        "not known",
    );
    let algorithm = "ssl.endpoint.identification.algorithm";
    refused(
        &format!("security.protocol=SSL\n{algorithm}=\n"),
        algorithm,
        "always checked",
    );
}

/// Whoever forgets the protocol would send everything in the clear, and think that it is not so.
#[test]
fn what_has_no_effect_is_refused() {
    let without = SCRAM.replace("security.protocol=SASL_PLAINTEXT\n", "");
    refused(&without, "sasl.jaas.config", "no effect");
    refused(
        "ssl.truststore.type=PEM",
        "ssl.truststore.type",
        "no effect",
    );
    let tls_only = SCRAM.replace("SASL_PLAINTEXT", "PLAINTEXT");
    refused(&tls_only, "sasl.jaas.config", "no effect");
}

#[test]
fn a_login_that_is_none_is_refused() {
    let jaas = "sasl.jaas.config";
    let other = |from: &str, to: &str| SCRAM.replace(from, to);
    refused(
        "security.protocol=SASL_PLAINTEXT",
        "sasl.mechanism",
        "SCRAM-SHA-256",
    );
    refused(&other("SCRAM-SHA-512", "GSSAPI"), "sasl.mechanism", "PLAIN");
    refused(&other("SCRAM-SHA-512", "PLAIN"), jaas, "PlainLoginModule");
    refused(&other("username=\"alice\"", ""), jaas, "no username");
    refused(
        &other("password=\"hunter2\"", "password=\"\""),
        jaas,
        "no password",
    );
    refused(
        &other("\"hunter2\"", "\"hunter2\" tokenauth=true"),
        jaas,
        "besides",
    );
    refused(&other("hunter2", "hünter2"), jaas, "ASCII");
    refused(&other("hunter2", "hunter2\\t"), jaas, "ASCII");
    refused(&other(";", ""), jaas, "semicolon");
    refused(
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN",
        jaas,
        "missing",
    );
    let plain = other("SCRAM-SHA-512", "PLAIN").replace("scram.Scram", "plain.Plain");
    assert!(
        read(&plain.replace("hunter2", "hünter2")).is_ok(),
        "PLAIN takes any letter"
    );
}
