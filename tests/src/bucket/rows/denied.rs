//! Row 60: credentials expire, clocks are apart, the bucket is deleted.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::bucket::stage::{RECOVERY, broker};
use crate::bucket::{Along, Asked, Book, Fault, Look, Rule, Stage, Store};
use crate::raw::Raw;
use crate::scenario::eventually;
use crate::trial::{set_clock, with_clock};

const STORAGE: i16 = 56;
const ERRORS: &str = "freshet_remote_copy_errors_total";
const SKEWED: &str = "RequestTimeTooSkewed";
const ALARM: Duration = Duration::from_secs(10);

/// What goes wrong with a bucket, until it is right again.
struct Trouble<'a> {
    /// The store's word for it.
    word: &'static str,
    wrong: &'a dyn Fn(&mut Stage, bool) -> Result<()>,
}

const TROUBLES: [Trouble<'static>; 5] = [
    Trouble {
        word: "ExpiredToken",
        wrong: &|stage, on| refuse(stage, on, 400, "ExpiredToken"),
    },
    Trouble {
        word: "AccessDenied",
        wrong: &|stage, on| refuse(stage, on, 403, "AccessDenied"),
    },
    Trouble {
        word: SKEWED,
        wrong: &|stage, on| refuse(stage, on, 403, SKEWED),
    },
    // From here on it is the server that says it.
    Trouble {
        word: "SignatureDoesNotMatch",
        wrong: &|stage, on| stage.store.gateway.change_secret(on),
    },
    Trouble {
        word: "NoSuchBucket",
        wrong: &|stage, on| stage.store.gateway.hide_bucket(on),
    },
];

fn refuse(stage: &Stage, on: bool, status: u16, word: &'static str) -> Result<()> {
    let rule = Rule::all(Fault::Refuse(status, word));
    stage.store.proxy.set(on.then_some(rule));
    Ok(())
}

pub(super) fn denied() -> Result<()> {
    let mut stage = Stage::start(None)?;
    let books = stage.write(&[Book::small("t")], 2)?;
    let along = Along::start(stage.connect()?, books.clone());
    let mut raw = stage.connect()?;
    for trouble in TROUBLES {
        endure(&mut stage, &books[0], &mut raw, &trouble)?;
    }
    let (books, took) = along.finish()?;
    println!("{}", took.must_be_short()?);
    stage.recovers(&books)
}

fn endure(stage: &mut Stage, book: &Book, raw: &mut Raw, trouble: &Trouble<'_>) -> Result<()> {
    let word = trouble.word;
    let errors = stage.counted(ERRORS)?;
    (trouble.wrong)(stage, true)?;
    stage.await_line(
        &["WARN", "the past cannot be kept now", trouble.word],
        ALARM,
    )?;
    // What was committed before is told at the second attempt at the latest.
    eventually(ALARM, || {
        let now = stage.counted(ERRORS)?;
        ensure!(
            now >= errors + 2,
            "{word}: {now} copies have failed, {errors} before"
        );
        Ok(())
    })?;
    let (_, before) = book.ends(raw)?;
    eventually(ALARM, || {
        let told = book.look(raw, 0)?;
        ensure!(told == Look::Refused(STORAGE), "{}: {told:?}", trouble.word);
        Ok(())
    })?;
    std::thread::sleep(Duration::from_secs(1));
    let (local, pending) = book.ends(raw)?;
    let fine = pending == before && local <= before;
    ensure!(
        fine,
        "{word}: copied to {before}, then to {pending}; the disk begins at {local}"
    );
    (trouble.wrong)(stage, false)?;
    eventually(RECOVERY, || {
        let (_, pending) = book.ends(raw)?;
        ensure!(
            pending > before,
            "{word}: copied to {before}, and no further since"
        );
        Ok(())
    })
}

/// The store's own clock is right, and it takes no request that was signed a quarter of an hour away.
pub(super) fn skewed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let clock = folder.path().join("clock");
    let store = Store::start()?;
    let mut environment = store.environment("127.0.0.1", None);
    let faked = with_clock(&clock)?;
    environment.extend(faked.map(|(name, value)| (name.to_owned(), value)));
    set_clock(&clock, "+20m")?;
    told_at_start(&environment, SKEWED)?;
    set_clock(&clock, "+0")?;
    let broker = broker(&environment)?;
    let mut stage = Stage { broker, store };
    let books = stage.write(&[Book::small("t")], 2)?;
    let along = Along::start(stage.connect()?, books.clone());
    let mut raw = stage.connect()?;
    for by in ["+20m", "-20m"] {
        let trouble = Trouble {
            word: SKEWED,
            wrong: &|_, on| set_clock(&clock, if on { by } else { "+0" }),
        };
        endure(&mut stage, &books[0], &mut raw, &trouble).context(by)?;
    }
    let (books, took) = along.finish()?;
    println!("{}", took.must_be_short()?);
    stage.recovers(&books)
}

/// Who keeps nothing yet does not start before a store; who keeps something serves it, and says so.
pub(super) fn unwelcome() -> Result<()> {
    let mut store = Store::start()?;
    store.gateway.hide_bucket(true)?;
    told_at_start(&store.environment("127.0.0.1", None), "NoSuchBucket")?;
    store.gateway.hide_bucket(false)?;
    store.gateway.change_secret(true)?;
    told_at_start(
        &store.environment("127.0.0.1", None),
        "SignatureDoesNotMatch",
    )?;
    store.gateway.change_secret(false)?;
    // It may be read, and nothing more.
    let read_only = Rule::new(Fault::Refuse(403, "AccessDenied"), Asked::brings);
    store.proxy.set(Some(read_only));
    told_at_start(&store.environment("127.0.0.1", None), "AccessDenied")?;
    store.proxy.set(None);
    drop(store);
    let mut stage = Stage::start(None)?;
    let books = stage.write(&[Book::small("t")], 2)?;
    stage.broker.stop()?;
    stage.store.gateway.hide_bucket(true)?;
    stage.broker.start_again()?;
    stage.await_line(&["ERROR", "refuses this broker", "NoSuchBucket"], ALARM)?;
    stage.store.gateway.hide_bucket(false)?;
    stage.recovers(&books)
}

fn told_at_start(environment: &[(String, String)], word: &str) -> Result<()> {
    let error = match broker(environment) {
        Ok(_) => bail!("it starts although the store says {word}"),
        Err(error) => format!("{error:#}"),
    };
    for said in [word, "remote.log.storage.url", "credentials"] {
        ensure!(error.contains(said), "{said} is not in {error}");
    }
    Ok(())
}
