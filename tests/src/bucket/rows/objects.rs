//! Row 58: objects that are missing, cut or damaged, on their way or where they lie, and late listings.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use freshet_wire::{DeleteRecordsRequest, delete_records};

use crate::bucket::stage::RECOVERY;
use crate::bucket::{Asked, Book, Fault, Look, Object, Rule, Stage, Wants};
use crate::raw::Raw;
use crate::scenario::eventually;

const CORRUPT: i16 = 2;
const STORAGE: i16 = 56;
const SEGMENTS: usize = 3;

pub(super) fn spoiled() -> Result<()> {
    let mut stage = Stage::start(None)?;
    let names = ["flipped", "once", "cut", "missing", "short", "rotten"];
    let books = stage.write(&names.map(Book::small), SEGMENTS)?;
    let mut raw = stage.connect()?;
    let [flipped, once, cut, missing, short, rotten] = &books[..] else {
        anyhow::bail!("six topics")
    };
    always(&stage, flipped, Fault::Flipped, &[CORRUPT])?;
    always(&stage, cut, Fault::HalfAnswered, &[CORRUPT, STORAGE])?;
    now_and_then(&stage, once)?;
    at_rest(&mut stage, missing, STORAGE, |object| {
        fs::remove_file(&object.path).context("removing an object")
    })?;
    at_rest(&mut stage, short, CORRUPT, |object| {
        let file = fs::File::options().write(true).open(&object.path)?;
        file.set_len(file.metadata()?.len() / 2)
            .context("cutting an object")
    })?;
    at_rest(&mut stage, rotten, CORRUPT, |object| {
        let mut bytes = fs::read(&object.path)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        fs::write(&object.path, bytes).context("damaging an object")
    })?;
    let late = listed_late(&stage, &mut raw)?;
    let all: Vec<Book> = books.iter().cloned().chain([late]).collect();
    stage.recovers(&all)
}

fn gets(asked: &Asked) -> bool {
    asked.wants == Wants::Get && asked.is_segment()
}

/// No answer is right: no record is shown, nor one that is not what was written.
fn always(stage: &Stage, book: &Book, fault: Fault, codes: &[i16]) -> Result<()> {
    let mut raw = stage.connect()?;
    stage.store.proxy.set([Rule::new(fault, gets)]);
    let mut refused = 0;
    for offset in (0..book.end - book.per_segment()).step_by(3) {
        let told = eventually(RECOVERY, || {
            let told = book.look(&mut raw, offset)?;
            ensure!(told != Look::Nothing, "neither records nor an error");
            Ok(told)
        })?;
        let fine = codes.iter().any(|code| told == Look::Refused(*code));
        ensure!(fine, "{} at {offset}: {told:?}", book.topic);
        refused += 1;
    }
    ensure!(refused > 10, "{refused} offsets were tried");
    stage.store.proxy.heal();
    book.read(&mut raw, &[], RECOVERY).map(drop)
}

/// One answer in five is damaged: it is asked for again, and no reader notices.
fn now_and_then(stage: &Stage, book: &Book) -> Result<()> {
    let before = stage.counted("freshet_remote_fetch_damaged_total")?;
    stage
        .store
        .proxy
        .set([Rule::new(Fault::Flipped, gets).one_in(5)]);
    book.read(&mut stage.connect()?, &[], RECOVERY)?;
    stage.store.proxy.heal();
    let damaged = stage.counted("freshet_remote_fetch_damaged_total")?;
    ensure!(
        damaged > before,
        "{damaged} damaged answers were counted, {before} before"
    );
    Ok(())
}

/// One object is not what it was: its records are an error, all others are there, and those too once it
/// is again.
fn at_rest(
    stage: &mut Stage,
    book: &Book,
    code: i16,
    spoil: impl Fn(&Object) -> Result<()>,
) -> Result<()> {
    let mut raw = stage.connect()?;
    let object = second(stage, book, &mut raw)?;
    let whole = fs::read(&object.path)?;
    spoil(&object)?;
    let (mut lost, mut next) = (0, 0);
    while next < book.end {
        match book.look(&mut raw, next)? {
            Look::Right(to) => next = to,
            Look::Refused(told) => {
                ensure!(told == code, "{} at {next}: error {told}", book.topic);
                (lost, next) = (lost + 1, next + 1);
            }
            Look::Nothing => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    let most = book.per_segment();
    ensure!(
        (1..=most).contains(&lost),
        "{lost} records of {} are an error",
        book.topic
    );
    stage.await_line(
        &["WARN", "cannot read", object.name()],
        Duration::from_secs(5),
    )?;
    fs::write(&object.path, whole)?;
    book.read(&mut raw, &[], RECOVERY).map(drop)
}

/// The second object of a topic.
fn second(stage: &Stage, book: &Book, raw: &mut Raw) -> Result<Object> {
    let shelves = stage.store.shelves()?;
    let id = raw.topic_id(&book.topic)?.to_string();
    let shelf = shelves
        .get(&id)
        .with_context(|| format!("{id} is not there"))?;
    shelf.segments.get(1).cloned().context("two objects")
}

/// A log that begins later than at 0 begins to tier: the broker looks whether the bucket knows of it,
/// and the listing is an old one.
fn listed_late(stage: &Stage, raw: &mut Raw) -> Result<Book> {
    let age = Duration::from_secs(3600);
    stage
        .store
        .proxy
        .set([Rule::new(Fault::Stale(age), |asked| {
            asked.wants == Wants::List
        })]);
    let book = Book::small("late");
    let local = [("retention.ms", "-1"), ("segment.bytes", "1048576")];
    raw.create_topic(&book.topic, &local)?;
    let mut book = book;
    book.write(raw, SEGMENTS)?;
    book.start = book.per_segment() + 3;
    delete_before(raw, &book.topic, book.start)?;
    for (name, value) in book.configs() {
        let (code, why) = raw.set_config((Raw::TOPIC, &book.topic), name, &value)?;
        ensure!(code == 0, "{name}={value}: {why}");
    }
    book.await_cold(raw, RECOVERY)?;
    let listed = stage
        .store
        .proxy
        .seen(|seen| seen.asked.wants == Wants::List);
    ensure!(!listed.is_empty(), "nothing was listed");
    stage.store.proxy.heal();
    Ok(book)
}

fn delete_before(raw: &mut Raw, topic: &str, offset: i64) -> Result<()> {
    let partition = delete_records::DeleteRecordsPartition {
        partition_index: 0,
        offset,
    };
    let request = DeleteRecordsRequest {
        topics: vec![delete_records::DeleteRecordsTopic {
            name: topic.to_owned(),
            partitions: vec![partition],
        }],
        timeout_ms: 5000,
    };
    let told = raw.latest(&request)?;
    let partition = told
        .topics
        .first()
        .and_then(|topic| topic.partitions.first());
    let code = partition.context("one partition")?.error_code;
    ensure!(code == 0, "deleting records: error {code}");
    Ok(())
}
