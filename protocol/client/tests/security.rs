//! TLS and passwords, before a broker of a few lines that keeps to them, or does not.

mod guarded;

use std::sync::atomic::Ordering;
use std::time::Duration;

use freshet_client::{Client, ClientConfig, ClientError, Security};
use freshet_wire::MetadataRequest;
use guarded::{Authority, Guard, Guarded, Named};

fn login(protocol: &str, mechanism: &str, password: &str) -> String {
    let module = match mechanism {
        "PLAIN" => "plain.PlainLoginModule",
        _ => "scram.ScramLoginModule",
    };
    format!(
        "security.protocol={protocol}\nsasl.mechanism={mechanism}\nsasl.jaas.config=org.apache.kafka.common\
         .security.{module} required username=\"alice\" password=\"{password}\";\n"
    )
}

fn trusting(authority: &Authority) -> String {
    let pem = authority.pem().replace('\n', "\\n");
    format!("ssl.truststore.certificates={pem}\n")
}

fn config(address: &str, properties: &str) -> ClientConfig {
    let none = |name: &str| Err(format!("no file {name}"));
    let read = Security::read(properties, none).expect("the properties are fine");
    let mut config = ClientConfig::new([address]);
    config.security = read.security;
    config.bootstrap_timeout = Duration::from_millis(300);
    config
}

async fn connect(address: &str, properties: &str) -> Result<Client, ClientError> {
    let client = Client::connect(config(address, properties)).await?;
    client.call_any(&MetadataRequest::default()).await?;
    Ok(client)
}

async fn refused(address: &str, properties: &str) -> String {
    let error = connect(address, properties)
        .await
        .expect_err("it is refused");
    let told = error.to_string();
    assert!(!told.contains("hunter2"), "{told}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    let kind = match error {
        ClientError::Tls { .. } => "tls",
        ClientError::Authentication { .. } => "login",
        ClientError::Unreachable { .. } => "unreachable",
        other => panic!("{other}"),
    };
    format!("{kind}: {told}")
}

#[track_caller]
fn says(told: &str, kind: &str, words: &str) {
    assert!(told.starts_with(kind) && told.contains(words), "{told}");
}

#[tokio::test]
async fn a_password_is_carried_by_tls() {
    let authority = Authority::new();
    let broker = Guarded::start(Guard {
        tls: Some(authority.server(Named::Here, false)),
        ..Guard::default()
    });
    let broker = broker.await;
    let tls = trusting(&authority);
    let right = login("SASL_SSL", "PLAIN", "hunter2") + &tls;
    connect(&broker.named(), &right)
        .await
        .expect("it is let in");
    assert_eq!(broker.logins.load(Ordering::Relaxed), 1);

    let wrong = login("SASL_SSL", "PLAIN", "hunter2-wrong") + &tls;
    let told = refused(&broker.named(), &wrong).await;
    says(&told, "login", "SASL_AUTHENTICATION_FAILED");
    assert_eq!(broker.logins.load(Ordering::Relaxed), 2, "it is tried once");
}

#[tokio::test]
async fn only_the_right_host_is_trusted() {
    let authority = Authority::new();
    let ssl = |text: &str| format!("security.protocol=SSL\n{text}");
    let trusted = ssl(&trusting(&authority));
    let broker = |named| {
        let tls = Some(authority.server(named, false));
        Guarded::start(Guard {
            tls,
            ..Guard::default()
        })
    };
    let here = broker(Named::Here).await;
    connect(&here.named(), &trusted).await.expect("by its name");
    connect(&here.address, &trusted)
        .await
        .expect("by its address");
    let told = refused(&here.named(), &ssl(&trusting(&Authority::new()))).await;
    says(&told, "tls", "signed by nobody that we trust");

    let elsewhere = broker(Named::Elsewhere).await;
    says(
        &refused(&elsewhere.named(), &trusted).await,
        "tls",
        "another host",
    );
    let old = broker(Named::Long).await;
    says(
        &refused(&old.named(), &trusted).await,
        "tls",
        "not valid any more",
    );
}

#[tokio::test]
async fn a_broker_may_ask_for_our_certificate() {
    let authority = Authority::new();
    let broker = Guarded::start(Guard {
        tls: Some(authority.server(Named::Here, true)),
        ..Guard::default()
    });
    let broker = broker.await;
    let ssl = format!("security.protocol=SSL\n{}", trusting(&authority));
    let ours = |signer: &Authority| {
        let (chain, key) = signer.client();
        let line = |pem: String| pem.replace('\n', "\\n");
        let (chain, key) = (line(chain), line(key));
        format!("{ssl}ssl.keystore.certificate.chain={chain}\nssl.keystore.key={key}\n")
    };
    connect(&broker.named(), &ours(&authority))
        .await
        .expect("it is let in");
    says(&refused(&broker.named(), &ssl).await, "tls", "ssl.keystore");
    let stranger = ours(&Authority::new());
    says(
        &refused(&broker.named(), &stranger).await,
        "tls",
        "ssl.keystore",
    );
}

#[tokio::test]
async fn tls_and_plain_text_are_told_apart() {
    let authority = Authority::new();
    let tls = Some(authority.server(Named::Here, false));
    let with = Guarded::start(Guard {
        tls,
        ..Guard::default()
    })
    .await;
    let without = Guarded::start(Guard::default()).await;
    let babbling = Guarded::babbling().await;
    let ssl = format!("security.protocol=SSL\n{}", trusting(&authority));
    says(
        &refused(&with.named(), "").await,
        "tls",
        "it speaks TLS there",
    );
    says(
        &refused(&without.named(), &ssl).await,
        "unreachable",
        "hangs up like this",
    );
    says(
        &refused(&babbling.named(), &ssl).await,
        "tls",
        "does not speak TLS",
    );
}

#[tokio::test]
async fn mechanisms_that_do_not_fit_are_told() {
    let broker = Guarded::start(Guard::default()).await;
    let other = login("SASL_PLAINTEXT", "SCRAM-SHA-512", "hunter2");
    let told = refused(&broker.address, &other).await;
    says(&told, "login", "it offers PLAIN, SCRAM-SHA-256");
    let open = Guard {
        mechanisms: &[],
        ..Guard::default()
    };
    let open = Guarded::start(open).await;
    says(
        &refused(&open.address, &other).await,
        "login",
        "asks for no password",
    );
}

#[tokio::test]
async fn a_false_broker_learns_nothing_and_costs_nothing() {
    for (challenge, words) in [
        ("r={nonce}x,s=QUFB,i=4000000000", "4000000000 rounds"),
        ("r={nonce}x,s=QUFB,i=1", "1 rounds"),
        ("r=other,s=QUFB,i=4096", "nonce"),
        ("r={nonce}x,s=QUFB,i=4096", "cannot prove"),
    ] {
        let guard = Guard {
            challenge,
            ..Guard::default()
        };
        let broker = Guarded::start(guard).await;
        let properties = login("SASL_PLAINTEXT", "SCRAM-SHA-256", "hunter2");
        says(&refused(&broker.address, &properties).await, "login", words);
    }
}

/// KIP-368: the broker closes connections whose session has ended; nobody notices.
#[tokio::test]
async fn a_session_that_ends_is_begun_anew() {
    let guard = Guard {
        lifetime_ms: 250,
        ..Guard::default()
    };
    let broker = Guarded::start(guard).await;
    let properties = login("SASL_PLAINTEXT", "PLAIN", "hunter2");
    let client = connect(&broker.address, &properties)
        .await
        .expect("it is let in");
    let start = tokio::time::Instant::now();
    while start.elapsed() < Duration::from_millis(1_000) {
        let asked = client.call_any(&MetadataRequest::default()).await;
        asked.expect("it is let in again");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let logins = broker.logins.load(Ordering::Relaxed);
    assert!((4..=8).contains(&logins), "{logins}");
    assert_eq!(broker.overdue.load(Ordering::Relaxed), 0, "asked too late");
}
