//! A store that speaks TLS, with a certificate that only the operator's own authority has signed.

use std::fs;

use anyhow::{Result, bail, ensure};

use crate::authority::Authority;
use crate::bucket::stage::{RECOVERY, broker, broker_with};
use crate::bucket::{Book, Gateway};
use crate::raw::Raw;

type Environment = Vec<(String, String)>;

/// Who believes another authority is refused and told what to do; whoever is told of the right one, in each of
/// the ways that there are, writes and reads.
pub(super) fn trusted() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = |name: &str, text: String| -> Result<String> {
        let path = folder.path().join(name);
        fs::write(&path, text)?;
        Ok(path.display().to_string())
    };
    let authority = Authority::new("a private authority")?;
    let gateway = Gateway::start_secured(&authority)?;
    let right = file("right.pem", authority.pem())?;
    let wrong = file("wrong.pem", Authority::new("a stranger")?.pem())?;
    let secret = folder.path().join("secret");
    fs::create_dir(&secret)?;
    fs::write(secret.join("AWS_CA_BUNDLE"), authority.pem())?;
    let with = |more: &[(&str, &str)]| -> Environment {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let all = gateway.environment().into_iter();
        all.chain(more.iter().map(own)).collect()
    };
    refused(&with(&[("SSL_CERT_FILE", &wrong)]))?;
    refused(&with(&[
        ("SSL_CERT_FILE", &wrong),
        ("AWS_CA_BUNDLE", &wrong),
    ]))?;
    let secret = secret.display().to_string();
    for ways in [
        &[("AWS_CA_BUNDLE", right.as_str())][..],
        &[("SSL_CERT_FILE", &right)],
        // What it says is added to what the system has.
        &[("SSL_CERT_FILE", &wrong), ("AWS_CA_BUNDLE", &right)],
        &[
            ("SSL_CERT_FILE", &wrong),
            ("FRESHET_CREDENTIALS_DIR", &secret),
        ],
    ] {
        works(&with(ways))?;
    }
    Ok(())
}

fn refused(environment: &Environment) -> Result<()> {
    let error = match broker(environment) {
        Ok(broker) => bail!("it starts and cannot believe its store:\n{}", broker.tail()),
        Err(error) => format!("{error:#}"),
    };
    let words = [
        "refuses this broker",
        "UnknownIssuer",
        "AWS_CA_BUNDLE",
        "SSL_CERT_FILE",
    ];
    for said in words {
        ensure!(error.contains(said), "{said} is not in {error}");
    }
    Ok(())
}

/// Writes, and reads from the bucket what has left the disk.
fn works(environment: &Environment) -> Result<()> {
    // Each of them is a cluster of its own.
    let broker = broker_with(environment, &[("freshet.remote.storage.shared", "true")])?;
    let mut raw = Raw::connect(broker.bootstrap())?;
    let mut book = Book::small("t").make(&mut raw)?;
    book.write(&mut raw, 2)?;
    book.await_cold(&mut raw, RECOVERY)?;
    book.read(&mut raw, &[], RECOVERY)?;
    Ok(())
}
