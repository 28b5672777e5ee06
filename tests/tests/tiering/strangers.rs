//! The bucket of another cluster is refused, before anything is stored there.

use super::*;

const SHARED: (&str, &str) = ("freshet.remote.storage.shared", "true");

/// What of each cluster is in the bucket.
fn homes(place: &Place) -> PathBuf {
    place.root().join("freshet")
}

/// The ids of all clusters that are there.
fn ids(place: &Place) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir(homes(place))? {
        ids.push(entry?.file_name().to_string_lossy().into_owned());
    }
    ids.sort();
    Ok(ids)
}

/// A broker with records of `t` in the bucket, and its cluster's id.
fn live(place: &Place, more: &[(&str, &str)]) -> Result<(Broker, String)> {
    let before = ids(place).unwrap_or_default();
    let broker = broker_with(place, more)?;
    let mut raw = Raw::connect(broker.bootstrap())?;
    raw.create_topic("t", TIERED)?;
    produce(&mut raw, "t", 20)?;
    let id = eventually(PATIENCE, || {
        let (code, _, last) = raw.offset_at("t", Raw::LATEST_TIERED)?;
        ensure!(code == 0 && last >= 4, "tiered to {last}: {code}");
        let new = ids(place)?.into_iter().find(|id| !before.contains(id));
        new.context("it has brought nothing of its own")
    })?;
    Ok((broker, id))
}

fn must_be_refused(started: Result<impl Sized>, other: &str) -> Result<()> {
    let why = match started {
        Ok(_) => anyhow::bail!("it starts in the bucket of {other}"),
        Err(error) => format!("{error:#}"),
    };
    let said = [
        "belongs to another cluster",
        other,
        "remote.log.storage.url",
        "freshet cluster restore",
        "freshet.remote.storage.shared=true",
    ];
    for said in said {
        ensure!(why.contains(said), "{said} is not in {why}");
    }
    Ok(())
}

fn leave(home: &Path, name: &str) -> Result<()> {
    let path = home.join(name);
    fs::create_dir_all(path.parent().context("a folder")?)?;
    fs::write(path, "stored by somebody").context("an object")
}

pub(super) fn refused(place: &mut Place) -> Result<()> {
    let (mut first, one) = live(place, &[])?;
    must_be_refused(broker(place), &one)?;
    ensure!(ids(place)? == [one.as_str()], "something was stored there");
    let (mut second, other) = live(place, &[SHARED])?;
    // Who is at home there goes on, whoever came.
    first.stop()?;
    first.start_again()?;
    let told = first.process().printed();
    let warned = |line: &str| {
        let words = [
            "WARN",
            "another cluster keeps objects there as well",
            &other,
        ];
        words.iter().all(|word| line.contains(word))
    };
    ensure!(told.lines().any(warned), "it does not tell of {other}");
    let (code, _, start) = Raw::connect(first.bootstrap())?.offset_at("t", Raw::EARLIEST)?;
    ensure!((code, start) == (0, 0), "t begins at {start}: {code}");
    drop(first);
    second.stop()?;
    forgotten(place, &one)
}

/// One that has logs, and is before another bucket than before.
fn forgotten(place: &Place, one: &str) -> Result<()> {
    let aside = place.root().join("aside");
    fs::rename(homes(place), &aside)?;
    fs::create_dir(homes(place))?;
    // The bucket is empty, and somebody has come to it a moment ago.
    let why = match broker(place) {
        Ok(_) => anyhow::bail!("it starts in a bucket that {one} has claimed"),
        Err(error) => format!("{error:#}"),
    };
    let said = ["belongs to another cluster", one, "freshet.claims/"];
    ensure!(said.iter().all(|it| why.contains(it)), "{why}");
    // The folder goes with the last thing in it.
    let stored = ids(place).unwrap_or_default();
    ensure!(stored.is_empty(), "{stored:?} was stored there");
    fs::remove_dir_all(place.root().join("freshet.claims"))?;
    let (mut third, own) = live(place, &[])?;
    third.stop()?;
    let home = homes(place).join(&own);
    let stranger = homes(place).join(one);
    fs::rename(&home, place.root().join("own"))?;
    fs::rename(aside.join(one), &stranger)?;
    must_be_refused(third.start_again(), one)?;
    // What a start that broke off has left makes nobody live there.
    leave(&home, "probe/00000000000000000000000000000001")?;
    must_be_refused(third.start_again(), one)?;
    fs::rename(&stranger, aside.join(one))?;
    leave(&stranger, "probe/00000000000000000000000000000002")?;
    third.start_again()?;
    third.stop()?;
    fs::rename(&stranger, place.root().join("probed"))?;
    fs::rename(aside.join(one), &stranger)?;
    fs::rename(&home, place.root().join("left"))?;
    fs::rename(place.root().join("own"), &home)?;
    third.start_again()
}
