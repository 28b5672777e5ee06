//! Rows 12 and 60: a bucket that refuses whatever is brought, until the disk before it is full.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::bucket::stage::RECOVERY;
use crate::bucket::{Asked, Book, Fault, Look, Rule, Stage};
use crate::mount::Mount;
use crate::raw::Raw;
use crate::scenario::eventually;

const STORAGE: i16 = 56;
const DISK_MIB: usize = 64;
const RESERVE_BYTES: u64 = 24 << 20;
/// A record of 256 KiB; more than this many are on no such disk.
const MOST_RECORDS: i64 = DISK_MIB as i64 * 4;
/// Half of what is above the reserve: the rest is the logs' own room, and other logs.
const FEWEST_RECORDS: i64 = 80;
/// No room comes back any more once it has not for so long.
const SETTLED: Duration = Duration::from_secs(2);
/// Some rounds of retention, which would take all that is on the disk if it might.
const FULL: Duration = Duration::from_secs(3);
/// As much again as the disk has above its reserve: only what has left it makes room for that.
const MORE_RECORDS: i64 = 160;

pub(super) fn filled() -> Result<()> {
    let disk = Mount::new(DISK_MIB)?;
    let data = disk.data().display().to_string();
    let reserve = RESERVE_BYTES.to_string();
    let set = [
        ("log.dirs", data.as_str()),
        ("freshet.disk.reserve.bytes", reserve.as_str()),
    ];
    let mut stage = Stage::start_with(None, &set)?;
    let mut books = stage.write(&[Book::bulky("t")], 3)?;
    let book = &mut books[0];
    let mut raw = stage.connect()?;
    let copied = book.ends(&mut raw)?;
    let refused = Rule::new(Fault::Refuse(403, "AccessDenied"), Asked::brings);
    stage.store.proxy.set([refused]);
    let began = Instant::now();
    until_refused(book, &mut raw, &disk)?;
    let took = began.elapsed();
    stays_full(&mut stage, book, &mut raw, copied)?;
    stage.store.proxy.heal();
    let healed = Instant::now();
    let end = book.end;
    insist(book, &mut raw, 1)?;
    println!(
        "{end} records in {took:.1?} until it was refused; acknowledged {:.1?} after the bucket was well",
        healed.elapsed()
    );
    insist(book, &mut raw, MORE_RECORDS)?;
    let (_, _, end) = raw.offset_at(&book.topic, Raw::LATEST)?;
    ensure!(end == book.end, "{} were acknowledged of {end}", book.end);
    stage.recovers(&books)?;
    eventually(RECOVERY, || {
        let free = disk.free_bytes()?;
        ensure!(free > RESERVE_BYTES, "{free} bytes are free");
        Ok(())
    })?;
    must_live(&mut stage)
}

/// Producers go on down to the reserve, and are told to try again then.
fn until_refused(book: &mut Book, raw: &mut Raw, disk: &Mount) -> Result<()> {
    let before = book.end;
    let mut refused: Option<Instant> = None;
    // What was made ready behind the ends of logs comes back while they roll: a record or two find room then.
    while refused.is_none_or(|since| since.elapsed() < SETTLED) {
        match book.offer(raw)? {
            0 => refused = None,
            STORAGE => {
                refused.get_or_insert_with(Instant::now);
                std::thread::sleep(Duration::from_millis(50));
            }
            code => bail!("{} is answered {code}", book.end),
        }
        ensure!(book.end < MOST_RECORDS, "{} are on the disk", book.end);
    }
    let (acked, free) = (book.end - before, disk.free_bytes()?);
    ensure!(
        acked >= FEWEST_RECORDS && free > RESERVE_BYTES / 2,
        "refused after {acked} records, while {free} bytes are free"
    );
    Ok(())
}

/// While both are full nothing leaves the disk that is not in the bucket, and all of it is read.
fn stays_full(stage: &mut Stage, book: &mut Book, raw: &mut Raw, copied: (i64, i64)) -> Result<()> {
    let began = Instant::now();
    let (mut offered, mut refused) = (0, 0);
    while began.elapsed() < FULL {
        let code = book.offer(raw)?;
        ensure!(
            [0, STORAGE].contains(&code),
            "{} is answered {code}",
            book.end
        );
        offered += 1;
        refused += u32::from(code == STORAGE);
        let now = book.ends(raw)?;
        ensure!(
            now == copied,
            "the disk's start and the bucket's end were {copied:?}, now {now:?}"
        );
        // In the bucket only, the first that is on the disk only, and the last.
        for at in [book.start, copied.1, book.end - 1] {
            let told = book.look(raw, at)?;
            // What comes from a bucket may be late.
            let fine = matches!(told, Look::Right(_)) || (at < copied.1 && told == Look::Nothing);
            ensure!(fine, "at {at}: {told:?}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    ensure!(
        refused * 10 > offered * 9,
        "{refused} of {offered} were refused"
    );
    book.read(raw, &[], RECOVERY)?;
    let words = ["WARN", "the past cannot be kept now", "AccessDenied"];
    stage.await_line(&words, RECOVERY)?;
    must_live(stage)
}

/// Writes so many more; what is refused meanwhile is offered again.
fn insist(book: &mut Book, raw: &mut Raw, more: i64) -> Result<()> {
    let until = book.end + more;
    let writing = eventually(RECOVERY, || {
        while book.end < until {
            let code = book.offer(raw)?;
            ensure!(code == 0, "{} is answered {code}", book.end);
        }
        Ok(())
    });
    writing.context("writing once the bucket is well")
}

fn must_live(stage: &mut Stage) -> Result<()> {
    let ended = stage.broker.process().ended()?;
    ensure!(ended.is_none(), "the broker has ended: {ended:?}");
    Ok(())
}
