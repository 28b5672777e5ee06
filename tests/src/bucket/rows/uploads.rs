//! Row 57: uploads that failed and are there, or half there.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::bucket::stage::RECOVERY;
use crate::bucket::{Asked, Book, Fault, Rule, Seen, Stage, Wants};
use crate::scenario::eventually;

fn puts_segment(asked: &Asked) -> bool {
    asked.wants == Wants::Put && asked.is_segment()
}

/// Answers are lost, and connections break within a part.
pub(super) fn unsaid() -> Result<()> {
    let stage = Stage::start(None)?;
    let wants = |wants: Wants| move |asked: &Asked| asked.wants == wants;
    let puts_manifest = |asked: &Asked| asked.wants == Wants::Put && asked.is_manifest();
    let proxy = &stage.store.proxy;
    proxy.set([
        Rule::new(Fault::Unsaid, puts_segment).one_in(2),
        Rule::new(Fault::Unsaid, puts_manifest).one_in(2),
        Rule::new(Fault::Unsaid, wants(Wants::Complete)).one_in(2),
        Rule::new(Fault::HalfAsked, wants(Wants::Part)).one_in(3),
    ]);
    let mut books = stage.write(&[Book::small("small")], 6)?;
    books.extend(stage.write(&[Book::large("large")], 3)?);
    let spoiled = proxy.seen(|seen| seen.fault.is_some());
    proxy.heal();
    let count = |of: &dyn Fn(&Asked) -> bool, status| {
        let hit = spoiled
            .iter()
            .filter(|seen| of(&seen.asked) && seen.status == status);
        hit.count()
    };
    let counts = [
        count(&puts_segment, Some(200)),
        count(&puts_manifest, Some(200)),
        count(&wants(Wants::Complete), Some(200)),
        count(&wants(Wants::Part), None),
    ];
    println!("segments, manifests, completions and parts that went wrong: {counts:?}");
    ensure!(
        counts.iter().all(|count| *count > 0),
        "{counts:?} went wrong"
    );
    stage.recovers(&books)?;
    // What was asked after is found: nothing was brought a second time.
    let unnamed = stage.store.unnamed()?;
    ensure!(unnamed.is_empty(), "nobody names {unnamed:?}");
    all_are_counted(&stage)
}

/// Each object and each part that was sent is a request that the broker has counted, once it rests.
fn all_are_counted(stage: &Stage) -> Result<()> {
    eventually(Duration::from_secs(10), || {
        let sent = |seen: &Seen| matches!(seen.asked.wants, Wants::Put | Wants::Part);
        let sent = stage.store.proxy.seen(sent).len() as u64;
        let counted = stage.counted("freshet_remote_requests_total{method=\"put\"}")?;
        ensure!(counted == sent, "{counted} were counted, and {sent} came");
        Ok(())
    })
}

/// Segments are stored while every second answer is lost, and nobody can be asked what is there. Gives what
/// was written, and the requests whose answers were lost.
fn lose_answers(stage: &Stage) -> Result<(Book, Vec<Seen>)> {
    let mut raw = stage.connect()?;
    let mut book = Book::small("t").make(&mut raw)?;
    let proxy = &stage.store.proxy;
    let looks = |asked: &Asked| {
        let looks = [Wants::Head, Wants::Get].contains(&asked.wants);
        looks && asked.is_segment()
    };
    proxy.set([
        Rule::new(Fault::Unsaid, puts_segment).one_in(2),
        Rule::new(Fault::Refuse(503, "SlowDown"), looks),
    ]);
    book.write(&mut raw, 3)?;
    let lost = eventually(Duration::from_secs(10), || {
        let lost = proxy.seen(|seen| seen.fault == Some(Fault::Unsaid) && seen.status == Some(200));
        ensure!(lost.len() >= 2, "{} answers were lost", lost.len());
        Ok(lost)
    })?;
    proxy.heal();
    book.await_cold(&mut raw, RECOVERY)?;
    Ok((book, lost))
}

/// Another one is made of what may be there, and one of them is named.
pub(super) fn given_up() -> Result<()> {
    let stage = Stage::start(None)?;
    let (book, _) = lose_answers(&stage)?;
    stage.recovers(&[book])?;
    let mut copies: BTreeMap<i64, (usize, usize)> = BTreeMap::new();
    for shelf in stage.store.shelves()?.values() {
        let unnamed = shelf.unnamed()?;
        for object in &shelf.segments {
            let is_unnamed = unnamed.iter().any(|other| other.key == object.key);
            let (named, other) = copies.entry(object.start).or_default();
            *(if is_unnamed { other } else { named }) += 1;
        }
    }
    let once = copies.values().all(|(named, _)| *named == 1);
    let twice = copies.values().any(|(_, other)| *other > 0);
    ensure!(once && twice, "by start, named and not: {copies:?}");
    Ok(())
}

/// What was given up goes after a grace age, and so does what nobody ever knew; what is named stays.
pub(super) fn collected() -> Result<()> {
    let grace = [
        ("freshet.remote.garbage.grace.ms", "3000"),
        ("freshet.remote.scrub.interval.ms", "500"),
    ];
    let stage = Stage::start_with(None, &grace)?;
    let (mut book, lost) = lose_answers(&stage)?;
    let proxy = &stage.store.proxy;
    let stranger = stage.store.plant()?;
    eventually(RECOVERY, || {
        let unnamed = stage.store.unnamed()?;
        ensure!(unnamed.is_empty(), "nobody names {unnamed:?}");
        Ok(())
    })?;
    ensure!(!stranger.exists(), "the stranger is there");
    let deleted = proxy.seen(|seen| seen.asked.wants == Wants::Delete && seen.asked.is_segment());
    let is_deleted = |key: &String| deleted.iter().any(|seen| seen.asked.key == *key);
    let gone = lost.iter().filter(|seen| is_deleted(&seen.asked.key));
    ensure!(gone.count() > 0, "none of {lost:?} is among {deleted:?}");
    let swept = stage.counted("freshet_remote_swept_objects_total")?;
    ensure!(swept >= 1, "nothing was swept");
    listed_late(&stage, &mut book)?;
    stage.recovers(&[book])
}

/// Listings leave out what came within seconds: nothing is deleted for that, and nothing is missing.
fn listed_late(stage: &Stage, book: &mut Book) -> Result<()> {
    let proxy = &stage.store.proxy;
    let lists = |asked: &Asked| asked.wants == Wants::List;
    proxy.set([Rule::new(Fault::Stale(Duration::from_secs(6)), lists)]);
    let deletions = || {
        let deletes = |seen: &Seen| seen.asked.wants == Wants::Delete && seen.asked.is_segment();
        proxy.seen(deletes).len()
    };
    let (walks, deleted) = ("freshet_remote_scrub_walks_total", deletions());
    let before = stage.counted(walks)?;
    let mut raw = stage.connect()?;
    book.write(&mut raw, 3)?;
    book.await_cold(&mut raw, RECOVERY)?;
    eventually(RECOVERY, || {
        let walked = stage.counted(walks)? - before;
        ensure!(walked >= 4, "walked {walked} times");
        let damaged = stage.counted("freshet_remote_damaged_objects")?;
        ensure!(damaged == 0, "{damaged} count as damaged");
        Ok(())
    })?;
    proxy.heal();
    ensure!(deletions() == deleted, "something was deleted");
    Ok(())
}

/// A broker that stops has what was sent of unfinished uploads thrown away.
pub(super) fn stopped() -> Result<()> {
    let mut stage = Stage::start(None)?;
    let proxy = &stage.store.proxy;
    let seen = |wants| proxy.seen(move |seen| seen.asked.wants == wants);
    proxy.set([Rule::new(Fault::Silent, |asked| asked.wants == Wants::Part)]);
    let mut raw = stage.connect()?;
    Book::large("large").make(&mut raw)?.write(&mut raw, 2)?;
    eventually(RECOVERY, || {
        ensure!(!seen(Wants::Part).is_empty(), "no part is on its way");
        Ok(())
    })?;
    drop(raw);
    let ended = stage.broker.stop()?;
    ensure!(ended.success(), "{ended}");
    let (begun, aborted) = (seen(Wants::Begin), seen(Wants::Abort));
    let done = aborted.iter().all(|seen| seen.status == Some(204));
    ensure!(
        done && aborted.len() == begun.len(),
        "begun: {begun:?}; aborted: {aborted:?}"
    );
    Ok(())
}
