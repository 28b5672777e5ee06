//! What a deleted topic leaves in the bucket, and how it comes back.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::*;

const GOES: &str = "freshet.remote.delete.on.topic.delete";
/// Of the last manifest of a topic whose objects go.
const STONE_BYTES: u64 = 59;

/// A bucket with a broker, and what is looked at in it.
struct Place {
    bucket: tempfile::TempDir,
    broker: Broker,
}

impl Place {
    fn new() -> Result<Self> {
        let bucket = tempfile::tempdir()?;
        let mut set = settings(bucket.path()).to_vec();
        set.push(("freshet.remote.export.interval.ms", "200".to_owned()));
        let set: Vec<_> = set.iter().map(|(name, value)| (*name, &**value)).collect();
        let broker = Broker::start(&set)?;
        Ok(Self { bucket, broker })
    }

    fn freshet(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(freshet_command());
        command.args(arguments);
        command.env("FRESHET_BOOTSTRAP", self.broker.bootstrap());
        run(command, "", PATIENCE)
    }

    /// The same of what is in the bucket, as a program reads it.
    fn told(&self, arguments: &[&str]) -> Result<serde_json::Value> {
        let url = format!("file://{}", self.bucket.path().display());
        let arguments = [arguments, &["--from", &url, "--output", "json"]].concat();
        Ok(serde_json::from_str(&self.freshet(&arguments)?.success()?)?)
    }

    /// Objects in whose names a folder is.
    fn objects(&self, folder: &str, below: &str) -> Result<BTreeSet<PathBuf>> {
        let is_there = |path: &PathBuf| {
            let mut parts = path.iter().skip_while(|part| *part != folder);
            parts.any(|part| part == below)
        };
        let all = files(self.bucket.path())?.into_iter();
        Ok(all.filter(is_there).collect())
    }

    /// Whether the newest manifest of a topic says that it is deleted.
    fn is_gone(&self, id: &str) -> Result<bool> {
        let manifests = self.objects(id, "manifests")?;
        let newest = manifests.last().context("no manifest")?;
        Ok(fs::metadata(newest)?.len() == STONE_BYTES)
    }

    fn delete(&self, topic: &str) -> Result<String> {
        self.freshet(&["topic", "delete", topic, "--yes"])?
            .success()
    }

    /// The names of deleted topics that can come back.
    fn kept(&self) -> Result<Vec<String>> {
        let told = self.told(&["tier", "kept"])?;
        let rows = told.as_array().context("rows")?;
        Ok(rows
            .iter()
            .map(|row| row["topic"].as_str().unwrap_or_default().to_owned())
            .collect())
    }
}

/// Creates a topic and fills it; gives its id, and where it ends in the bucket.
fn fill(raw: &mut Raw, place: &Place, topic: &str, set: &[(&str, &str)]) -> Result<(String, i64)> {
    raw.create_topic(topic, &[TIERED, set].concat())?;
    let end = produce(raw, topic, 40)?;
    let tiered = eventually(PATIENCE, || {
        let told = tier(
            &place.broker,
            &["status", topic, "--partitions", "--output", "json"],
        )?
        .success()?;
        let told: serde_json::Value = serde_json::from_str(&told)?;
        let tiered = told[0]["tiered_end"].as_i64().context("no end")?;
        ensure!(tiered + 8 >= end, "{told}");
        Ok(tiered)
    })?;
    Ok((raw.topic_id(topic)?.to_string(), tiered))
}

pub(super) fn kept() -> Result<()> {
    let mut place = Place::new()?;
    let mut raw = Raw::connect(place.broker.bootstrap())?;
    let (gone, _) = fill(&mut raw, &place, "gone", &[])?;
    let (kept, end) = fill(&mut raw, &place, "kept", &[(GOES, "false")])?;
    let before = replay(&mut raw, "kept", end)?;
    let segments = place.objects(&kept, "segments")?;
    ensure!(segments.len() >= 4, "{segments:?}");
    place.delete("gone")?;
    place.delete("kept")?;
    eventually(PATIENCE, || {
        ensure!(
            place.is_gone(&gone)?,
            "the topic is not deleted in the bucket"
        );
        ensure!(place.kept()? == ["kept"], "{:?}", place.kept()?);
        Ok(())
    })?;
    // Rounds of collectors later, and in another life of the broker, it is all there.
    std::thread::sleep(Duration::from_secs(2));
    ensure!(place.broker.stop()?.success(), "{}", place.broker.tail());
    place.broker.start_again()?;
    std::thread::sleep(Duration::from_secs(2));
    ensure!(!place.is_gone(&kept)?, "the kept topic is deleted, too");
    let left = place.objects(&kept, "segments")?;
    ensure!(left == segments, "{left:?}, before {segments:?}");
    judged(&place, &kept, &gone)?;
    restored(&place, (&kept, end), &before)
}

/// Who looks at the bucket takes it for a topic and for no stranger.
fn judged(place: &Place, kept: &str, gone: &str) -> Result<()> {
    let verified = place.told(&["tier", "verify", "--read"])?;
    let row = &verified["topics"][0];
    ensure!(row["id"] == kept && row["deleted"] == true, "{verified}");
    ensure!(row["segments"].as_u64() >= Some(4), "{verified}");
    ensure!(verified["unnamed_topics"] == json!([gone]), "{verified}");
    let url = format!("file://{}", place.bucket.path().display());
    for (name, why) in [("gone", "no deleted topic"), ("other", "no deleted topic")] {
        let asked = ["cluster", "restore", "--from", &url, "--deleted", name];
        let refused = place.freshet(&asked)?;
        ensure!(
            !refused.status.success() && refused.stderr.contains(why),
            "{}",
            refused.stderr
        );
    }
    Ok(())
}

/// It comes back into the cluster that has deleted it, and is deleted for good when it says so.
fn restored(place: &Place, (kept, end): (&str, i64), before: &[u8]) -> Result<()> {
    let mut raw = Raw::connect(place.broker.bootstrap())?;
    // Another topic needs this one's name no more.
    raw.create_topic("beside", &[])?;
    let restore =
        |more: &[&str]| place.told(&[&["cluster", "restore", "--deleted", "kept"], more].concat());
    let planned = restore(&["--dry-run"])?;
    ensure!(planned["topics"][0]["status"] == "missing", "{planned}");
    let told = restore(&[])?;
    let row = &told["topics"][0];
    ensure!(row["status"] == "restored" && row["id"] == kept, "{told}");
    let mut raw = Raw::connect(place.broker.bootstrap())?;
    ensure!(
        raw.topic_id("kept")?.to_string() == kept,
        "it has another id"
    );
    let served = replay(&mut raw, "kept", end)?;
    ensure!(served == before, "other records have come back");
    // It goes on where the bucket ends, and copies what comes.
    let next = produce(&mut raw, "kept", 24)?;
    ensure!(next == end + 24, "{next}, behind {end}");
    eventually(PATIENCE, || {
        ensure!(place.kept()?.is_empty(), "{:?}", place.kept()?);
        let told = tier(
            &place.broker,
            &["status", "kept", "--partitions", "--output", "json"],
        )?
        .success()?;
        let told: serde_json::Value = serde_json::from_str(&told)?;
        let tiered = told[0]["tiered_end"].as_i64();
        ensure!(tiered.is_some_and(|tiered| tiered > end), "{told}");
        Ok(())
    })?;
    let (code, why) = raw.set_config((TOPIC_RESOURCE, "kept"), GOES, "true")?;
    ensure!(code == 0, "{why}");
    place.delete("kept")?;
    eventually(PATIENCE, || {
        ensure!(place.is_gone(kept)?, "its objects stay");
        let says = place.objects("kept", kept)?;
        ensure!(says.is_empty(), "{says:?}");
        Ok(())
    })
}
