//! Brokers that have no keys, and are told who they are by where they run.

use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::authority::Authority;
use crate::bucket::gateway::OTHER_SECRET;
use crate::bucket::identity::{Identity, LEASE, Way};
use crate::bucket::stage::{RECOVERY, broker};
use crate::bucket::{Book, Gateway};
use crate::raw::Raw;

/// As many requests as a lease may be asked for at the edges of one: by who writes, and by who reads.
const AT_ONCE: usize = 2;

/// All ways at a time: most of it is waiting for keys to expire.
pub(super) fn known() -> Result<()> {
    let ways = [Way::Instance, Way::Container, Way::Web];
    let tried = ways.map(|way| (way, thread::spawn(move || one(way))));
    for (way, tried) in tried {
        let told = tried.join().map_err(|_| anyhow!("it panics"));
        told.flatten().with_context(|| format!("{way:?}"))?;
    }
    Ok(())
}

fn one(way: Way) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let authority = Authority::new("of identities")?;
    let bundle = folder.path().join("bundle.pem");
    std::fs::write(&bundle, authority.pem())?;
    let signed = authority.sign("127.0.0.1")?;
    let identity = Identity::start((way == Way::Web).then_some(&signed))?;
    let mut gateway = Gateway::start()?;
    let mut environment = identity.environment(way);
    environment.extend(gateway.endpoint());
    environment.push(("AWS_CA_BUNDLE".to_owned(), bundle.display().to_string()));

    let started = Instant::now();
    let first = broker(&environment)?;
    let mut raw = Raw::connect(first.bootstrap())?;
    let mut book = Book::small("t").make(&mut raw)?;
    book.write(&mut raw, 2)?;
    book.await_cold(&mut raw, RECOVERY)?;
    book.read(&mut raw, &[], RECOVERY)?;
    // They are kept until they are about to expire, and not asked for with each request.
    seldom(&identity, started)?;
    // From here on the store knows other keys.
    gateway.change_secret(true)?;
    identity.renew(OTHER_SECRET)?;
    let before = identity.given();
    book.write(&mut raw, 2)?;
    book.await_cold(&mut raw, RECOVERY)?;
    book.read(&mut raw, &[], RECOVERY)?;
    ensure!(identity.given() > before, "the same keys work for ever");
    seldom(&identity, started)?;
    let strange = identity.strange();
    ensure!(strange.is_empty(), "it has asked for {strange:?}");
    drop(first);
    nobody(&identity, &environment)
}

fn seldom(identity: &Identity, started: Instant) -> Result<()> {
    let leases = started.elapsed().as_secs() / LEASE.as_secs() + 1;
    let most = usize::try_from(leases)? + AT_ONCE;
    let given = identity.given();
    ensure!(
        (1..=most).contains(&given),
        "{given} times in {leases} leases"
    );
    Ok(())
}

/// Whoever is nobody is told at its start.
fn nobody(identity: &Identity, environment: &[(String, String)]) -> Result<()> {
    // The store hears of the session, and knows none.
    identity.give_session("a session of nobody");
    refused(environment, "InvalidToken")?;
    identity.close();
    refused(environment, "403 AccessDenied")
}

fn refused(environment: &[(String, String)], word: &str) -> Result<()> {
    let error = match broker(environment) {
        Ok(broker) => bail!("it starts without keys:\n{}", broker.tail()),
        Err(error) => format!("{error:#}"),
    };
    for said in ["refuses this broker", "credentials", word] {
        ensure!(error.contains(said), "{said} is not in {error}");
    }
    Ok(())
}
