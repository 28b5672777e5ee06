//! A topic that tiers no more, and again: what goes from the bucket, and what comes.

use super::*;

const ENABLE: &str = "remote.storage.enable";
const DELETES: &str = "remote.log.delete.on.disable";

fn set(raw: &mut Raw, name: &str, value: &str) -> Result<()> {
    let (code, why) = raw.set_config((TOPIC_RESOURCE, "t"), name, value)?;
    ensure!(code == 0, "{name}: {code}: {why}");
    Ok(())
}

/// Waits until the disk has no more than what may still be in the open segment; gives where it begins.
fn await_away(raw: &mut Raw, end: i64) -> Result<i64> {
    eventually(PATIENCE, || {
        let (code, _, local) = raw.offset_at("t", Raw::EARLIEST_LOCAL)?;
        ensure!(
            code == 0 && local + 8 >= end,
            "{code}: the disk begins at {local} of {end}"
        );
        Ok(local)
    })
}

fn objects(place: &Place) -> Result<Vec<PathBuf>> {
    let mut objects = place.objects()?;
    objects.retain(|path| {
        let folder = path.parent().and_then(Path::file_name);
        folder.is_some_and(|folder| folder == "segments")
    });
    Ok(objects)
}

pub(super) fn switched(place: &mut Place) -> Result<()> {
    let broker = broker_with(place, &[("freshet.remote.garbage.grace.ms", "1000")])?;
    let mut raw = Raw::connect(broker.bootstrap())?;
    let nothing_here = [("local.retention.bytes", "0")];
    raw.create_topic("t", &[TIERED, &nothing_here].concat())?;
    let end = produce(&mut raw, "t", 40)?;
    let start = await_away(&mut raw, end)?;
    let first = objects(place)?;
    ensure!(first.len() >= 4, "{first:?}");
    set(&mut raw, DELETES, "true")?;
    set(&mut raw, ENABLE, "false")?;
    // All that it had in the bucket had left the disk, so all of it goes.
    eventually(PATIENCE, || {
        let left = objects(place)?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })?;
    begins_at(&mut raw, start)?;
    let end = produce(&mut raw, "t", 24)?;
    let before = replay_from(&mut raw, "t", start, end)?;
    std::thread::sleep(Duration::from_secs(1));
    let stored = objects(place)?;
    ensure!(stored.is_empty(), "copied while it is off: {stored:?}");
    set(&mut raw, ENABLE, "true")?;
    let local = await_away(&mut raw, end)?;
    ensure!(local > start + 8, "the disk begins at {local} of {start}");
    let second = objects(place)?;
    let anew = second.iter().all(|path| !first.contains(path));
    ensure!(anew && second.len() >= 2, "{second:?}");
    begins_at(&mut raw, start)?;
    let cold = counted(&broker, "freshet_remote_read_requests_total")?;
    let after = replay_from(&mut raw, "t", start, end)?;
    ensure!(
        after == before,
        "other records are served than were on the disk"
    );
    let read = counted(&broker, "freshet_remote_read_requests_total")? - cold;
    ensure!(read > 0, "nothing came from the bucket");
    Ok(())
}
