use serde_json::json;

use super::*;

const PROPERTIES: &str = "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config=\
    org.apache.kafka.common.security.plain.PlainLoginModule required username=\"a\" password=\"hunter2\";\n";

fn secret(version: &str, entries: &[(&str, &[u8])]) -> Secret {
    let object = json!({ "metadata": { "name": "kafka", "uid": "u", "resourceVersion": version } });
    let mut secret: Secret = serde_json::from_value(object).expect("a Secret");
    let entries = entries.iter();
    let entries = entries.map(|(name, bytes)| ((*name).to_owned(), ByteString(bytes.to_vec())));
    secret.data = Some(entries.collect());
    secret
}

fn looked(entries: &[(&str, &[u8])]) -> Read {
    let id = ("shop".to_owned(), "kafka".to_owned());
    look(&id, &secret("1", entries), None)
}

#[track_caller]
fn invalid(entries: &[(&str, &[u8])], words: &[&str]) {
    let fault = looked(entries).expect_err("it is refused");
    assert_eq!(fault.reason(), "SecretInvalid");
    for word in words.iter().chain(&["shop/kafka"]) {
        assert!(fault.message().contains(word), "{word}: {fault:?}");
    }
    assert!(!fault.message().contains("hunter2"), "{fault:?}");
}

#[test]
fn what_is_wrong_is_named_and_not_shown() {
    invalid(&[], &["no entry client.properties"]);
    invalid(&[(ENTRY, b"\xff")], &["no text"]);
    invalid(
        &[(ENTRY, b"security.protocol=hunter2")],
        &["security.protocol"],
    );
    invalid(&[(ENTRY, b"acks=hunter2")], &["acks", "no place"]);
}

/// Of all files there are, a Secret reaches its own entries only.
#[test]
fn a_secret_names_no_file_of_the_operator() {
    let named = |path: &str| {
        format!("security.protocol=SSL\nssl.truststore.type=PEM\nssl.truststore.location={path}\n")
    };
    for path in ["/etc/passwd", "Cargo.toml", "./ca.crt", "../kafka/ca.crt"] {
        assert!(path.starts_with('.') || std::fs::exists(path).is_ok_and(|there| there));
        let text = named(path);
        let entries: [(&str, &[u8]); 2] = [(ENTRY, text.as_bytes()), ("ca.crt", b"x")];
        invalid(
            &entries,
            &["ssl.truststore.location", "entry of this Secret"],
        );
    }
    let text = named("ca.crt");
    invalid(
        &[(ENTRY, text.as_bytes()), ("ca.crt", b"x")],
        &["ssl.truststore.location", "no certificate"],
    );
}

#[test]
fn a_version_is_understood_once() {
    let id = ("shop".to_owned(), "kafka".to_owned());
    let right: [(&str, &[u8]); 1] = [(ENTRY, PROPERTIES.as_bytes())];
    let first = looked(&right).expect("it is fine");
    assert!(!format!("{first:?}").contains("hunter2"));
    // What was understood is not read again: this one could not be.
    let same = look(&id, &secret("1", &[]), Some(first.clone()));
    assert_eq!(same, Ok(first.clone()));
    let other = look(&id, &secret("2", &right), Some(first.clone()));
    assert_ne!(other.expect("it is fine"), first);
    assert!(look(&id, &secret("2", &[]), Some(first)).is_err());
}
