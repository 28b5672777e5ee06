//! Row 56: a bucket that is slow, and one that says nothing.
//!
//! Brokers wait a minute for an answer. [`hung`] has them wait for [`PATIENCE`], which `AWS_TIMEOUT`
//! says.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use freshet_wire::{ListOffsetsRequest, list_offsets};

use crate::bucket::{Along, Book, Fault, Look, Rule, Stage};
use crate::raw::Raw;

const STORAGE: i16 = 56;
const TIMED_OUT: i16 = 7;
/// First version of ListOffsets that says how long it may take.
const WITH_A_LIMIT: i16 = 10;
const PATIENCE: Duration = Duration::from_secs(5);
const MINUTE: Duration = Duration::from_secs(60);
/// What a busy machine adds to any limit.
const GRACE: Duration = Duration::from_millis(1500);

pub(super) fn hung() -> Result<()> {
    let stage = Stage::start(Some(PATIENCE))?;
    let books = stage.write(&["t0", "t1", "t2", "t3", "t4"].map(Book::small), 2)?;
    let mut raw = stage.connect()?;
    let (along, cold) = books.split_first().context("five")?;
    let along = Along::start(stage.connect()?, vec![along.clone()]);
    let proxy = &stage.store.proxy;
    proxy.set([Rule::all(Fault::Late(Duration::from_millis(1200)))]);
    slow(&cold[0], &mut raw)?;
    proxy.set([Rule::all(Fault::Silent)]);
    by_time(&cold[1], &mut raw, Some(Duration::from_millis(700)))?;
    by_time(&cold[2], &mut raw, None)?;
    silent(&cold[3], &mut raw, PATIENCE)?;
    proxy.heal();
    let (mut all, took) = along.finish()?;
    println!("{}", took.must_be_short()?);
    all.extend_from_slice(cold);
    stage.recovers(&all)?;
    let told = raw.offset_at(&cold[1].topic, Book::time(5))?;
    ensure!(told == (0, Book::time(5), 5), "by time: {told:?}");
    Ok(())
}

/// Every answer takes a little longer than the minute that a broker waits: it is as if none came.
pub(super) fn a_minute() -> Result<()> {
    let stage = Stage::start(None)?;
    let books = stage.write(&["t0", "t1"].map(Book::small), 2)?;
    let mut raw = stage.connect()?;
    let along = Along::start(stage.connect()?, vec![books[0].clone()]);
    let proxy = &stage.store.proxy;
    proxy.set([Rule::all(Fault::Late(MINUTE + GRACE))]);
    silent(&books[1], &mut raw, MINUTE)?;
    proxy.heal();
    let (mut all, took) = along.finish()?;
    println!("{}", took.must_be_short()?);
    all.push(books[1].clone());
    stage.recovers(&all)
}

/// A fetch is answered before the bucket is, with nothing; what comes is kept for the next one.
fn slow(book: &Book, raw: &mut Raw) -> Result<()> {
    let began = Instant::now();
    let mut nothing = 0;
    loop {
        match book.look(raw, 0)? {
            Look::Right(_) => break,
            Look::Nothing => nothing += 1,
            Look::Refused(code) => bail!("a slow bucket is told as error {code}"),
        }
        ensure!(
            began.elapsed() < 4 * PATIENCE,
            "{nothing} fetches gave nothing"
        );
    }
    ensure!(nothing > 0, "the bucket was not slow");
    Ok(())
}

/// First nothing, and an error once the bucket had its time.
fn silent(book: &Book, raw: &mut Raw, patience: Duration) -> Result<()> {
    let began = Instant::now();
    let mut nothing = 0;
    loop {
        let asked = Instant::now();
        let told = book.look(raw, 0)?;
        ensure!(
            asked.elapsed() < Duration::from_millis(2500),
            "a fetch took {:?}",
            asked.elapsed()
        );
        match told {
            Look::Nothing => nothing += 1,
            Look::Refused(STORAGE) => break,
            told => bail!("a bucket that says nothing gives {told:?}"),
        }
        ensure!(
            began.elapsed() < patience + 2 * GRACE,
            "{nothing} fetches gave nothing"
        );
    }
    ensure!(nothing > 0, "nobody waited for the bucket");
    Ok(())
}

/// A lookup ends when its own time is over, or the broker's where it does not say.
fn by_time(book: &Book, raw: &mut Raw, own: Option<Duration>) -> Result<()> {
    // `remote.list.offsets.request.timeout.ms`
    let limit = own.unwrap_or(Duration::from_secs(3));
    let partition = list_offsets::ListOffsetsPartition {
        timestamp: Book::time(5),
        ..Default::default()
    };
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![list_offsets::ListOffsetsTopic {
            name: book.topic.clone(),
            partitions: vec![partition],
        }],
        timeout_ms: own.map_or(0, |own| own.as_millis() as i32),
        ..Default::default()
    };
    let version = if own.is_some() {
        WITH_A_LIMIT
    } else {
        WITH_A_LIMIT - 1
    };
    let began = Instant::now();
    let told = raw.call(version, &request)?;
    let took = began.elapsed();
    let told = told.topics.first().context("one topic")?.partitions.first();
    let code = told.context("one partition")?.error_code;
    ensure!(code == TIMED_OUT, "by time: error {code} after {took:?}");
    ensure!(
        took >= limit && took < limit + GRACE,
        "{took:?} instead of {limit:?}"
    );
    Ok(())
}
