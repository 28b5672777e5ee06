//! Row 56: a bucket that refuses, now and then or always.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::bucket::stage::RECOVERY;
use crate::bucket::{Along, Asked, Book, Fault, Look, Rule, Seen, Stage, Wants};
use crate::raw::Raw;
use crate::scenario::eventually;

const STORAGE: i16 = 56;
/// How buckets say that they will not now.
const REFUSALS: [Fault; 3] = [
    Fault::Refuse(503, "SlowDown"),
    Fault::Refuse(500, "InternalError"),
    Fault::Refuse(429, "TooManyRequests"),
];
/// A partition that is refused several times in a row waits longer each time, up to a minute: who is
/// unlucky six times is not behind before this has passed.
const UNLUCKY: Duration = Duration::from_secs(180);
/// Each of them says it for so long.
const WHILE: Duration = Duration::from_secs(2);
const TOPICS: [&str; 4] = ["t0", "t1", "t2", "t3"];

pub(super) fn refused() -> Result<()> {
    let stage = Stage::start(None)?;
    let books = stage.write(&TOPICS.map(Book::small), 2)?;
    let mut raw = stage.connect()?;
    let along = Along::start(stage.connect()?, books.clone());
    now_and_then(&stage, &books, &mut raw)?;
    let told = always(&stage, &books, &mut raw)?;
    stage.store.proxy.heal();
    std::thread::sleep(Duration::from_secs(1));
    let (books, took) = along.finish()?;
    println!("{}; {told}", took.must_be_short()?);
    stage.recovers(&books)
}

/// Many requests are refused, and yet all gets there.
fn now_and_then(stage: &Stage, books: &[Book], raw: &mut Raw) -> Result<()> {
    let before = pending(books, raw)?;
    let rules = REFUSALS.map(|fault| Rule::new(fault, Asked::brings).one_in(5));
    stage.store.proxy.set(rules);
    eventually(UNLUCKY, || {
        let now = pending(books, raw)?;
        let mut pairs = before.iter().zip(&now);
        ensure!(
            pairs.all(|(before, now)| now > before),
            "{before:?}, then {now:?}"
        );
        Ok(())
    })?;
    let refused = stage.store.proxy.seen(|seen| seen.fault.is_some());
    ensure!(refused.len() >= 3, "{} were refused", refused.len());
    Ok(())
}

/// All is refused: nothing is copied, nothing leaves the disks, and the bucket is hardly asked.
fn always(stage: &Stage, books: &[Book], raw: &mut Raw) -> Result<String> {
    let proxy = &stage.store.proxy;
    proxy.set([Rule::all(REFUSALS[0])]);
    let began = Instant::now();
    // What was committed before is told at the second attempt at the latest.
    eventually(RECOVERY, || {
        let seen = proxy.seen(|seen| seen.at > began);
        let tried = by_topic(&seen);
        let twice = tried.values().filter(|puts| puts.len() > 1).count();
        ensure!(twice == TOPICS.len(), "{twice} topics were tried twice");
        Ok(())
    })?;
    let before = pending(books, raw)?;
    for fault in REFUSALS {
        proxy.set([Rule::all(fault)]);
        let until = Instant::now() + WHILE;
        while Instant::now() < until {
            for book in books {
                let told = book.look(raw, 0)?;
                let fine = [Look::Nothing, Look::Refused(STORAGE)].contains(&told);
                ensure!(fine, "{} begins with {told:?}", book.topic);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    for (book, before) in books.iter().zip(before) {
        let (local, now) = book.ends(raw)?;
        let fine = now == before && local <= before;
        ensure!(
            fine,
            "{}: {before} was copied, then {now}; the disk begins at {local}",
            book.topic
        );
        let told = book.look(raw, local)?;
        ensure!(
            matches!(told, Look::Right(_)),
            "{} at {local}: {told:?}",
            book.topic
        );
    }
    let uploads = proxy.seen(|seen| seen.at > began && seen.asked.wants != Wants::Get);
    patient(&uploads)
}

/// How far each topic is copied.
fn pending(books: &[Book], raw: &mut Raw) -> Result<Vec<i64>> {
    books.iter().map(|book| Ok(book.ends(raw)?.1)).collect()
}

/// Pauses grow, and partitions do not ask all at once.
fn patient(seen: &[Seen]) -> Result<String> {
    // Pauses of 0.5, 1, 2, 4, ... s, a quarter less at most: six attempts in ten seconds, each of
    // which puts and looks.
    let most = TOPICS.len() * 6 * 2;
    ensure!(
        seen.len() <= most,
        "{} requests while all was refused",
        seen.len()
    );
    let mut last = Vec::new();
    for (topic, puts) in by_topic(seen) {
        let gaps: Vec<Duration> = puts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let longest = gaps.iter().max().context("tried once only")?;
        ensure!(
            *longest > Duration::from_millis(1200),
            "{topic}: pauses of {gaps:.1?}"
        );
        last.extend(puts.last().copied());
    }
    last.sort_unstable();
    ensure!(
        last.len() == TOPICS.len(),
        "{} topics were tried",
        last.len()
    );
    let spread = last[last.len() - 1] - last[0];
    ensure!(
        spread > Duration::from_millis(20),
        "all ask within {spread:?}"
    );
    Ok(format!(
        "{} requests, the last ones within {spread:.1?}",
        seen.len()
    ))
}

/// When segments of each topic were put.
fn by_topic(seen: &[Seen]) -> BTreeMap<&str, Vec<Instant>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let puts = seen.iter().filter(|seen| seen.asked.wants == Wants::Put);
    for seen in puts.filter(|seen| seen.asked.is_segment()) {
        let topic = seen.asked.key.split('/').nth(3).unwrap_or_default();
        all.entry(topic).or_default().push(seen.at);
    }
    all
}
