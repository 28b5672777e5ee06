//! What a deleted topic leaves in the bucket, and how it comes back.

use std::collections::BTreeSet;

use super::*;

const GOES: &str = "freshet.remote.delete.on.topic.delete";
/// Of the last manifest of a topic whose objects go.
const STONE_BYTES: u64 = 59;

/// A broker, and what is looked at of what it keeps.
struct Scene<'a> {
    place: &'a Place,
    broker: Broker,
}

impl<'a> Scene<'a> {
    fn new(place: &'a Place) -> Result<Self> {
        let often = [("freshet.remote.export.interval.ms", "200")];
        let broker = broker_with(place, &often)?;
        Ok(Self { place, broker })
    }

    fn freshet(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(freshet_command());
        command.args(arguments);
        command.env("FRESHET_BOOTSTRAP", self.broker.bootstrap());
        command.envs(self.place.environment_here());
        run(command, "", PATIENCE)
    }

    /// The same of what is in the bucket, as a program reads it.
    fn told(&self, arguments: &[&str]) -> Result<serde_json::Value> {
        let url = self.place.url();
        let arguments = [arguments, &["--from", &url, "--output", "json"]].concat();
        Ok(serde_json::from_str(&self.freshet(&arguments)?.success()?)?)
    }

    /// Objects in whose names a folder is.
    fn objects(&self, folder: &str, below: &str) -> Result<BTreeSet<PathBuf>> {
        let is_there = |path: &PathBuf| {
            let mut parts = path.iter().skip_while(|part| *part != folder);
            parts.any(|part| part == below)
        };
        let all = self.place.objects()?.into_iter();
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
fn fill(
    raw: &mut Raw,
    scene: &Scene<'_>,
    topic: &str,
    set: &[(&str, &str)],
) -> Result<(String, i64)> {
    raw.create_topic(topic, &[TIERED, set].concat())?;
    let end = produce(raw, topic, 40)?;
    let tiered = eventually(PATIENCE, || {
        let told = tier(
            &scene.broker,
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

pub(super) fn kept(place: &mut Place) -> Result<()> {
    let mut scene = Scene::new(place)?;
    let mut raw = Raw::connect(scene.broker.bootstrap())?;
    let (gone, _) = fill(&mut raw, &scene, "gone", &[])?;
    let (kept, end) = fill(&mut raw, &scene, "kept", &[(GOES, "false")])?;
    let before = replay(&mut raw, "kept", end)?;
    let segments = scene.objects(&kept, "segments")?;
    ensure!(segments.len() >= 4, "{segments:?}");
    scene.delete("gone")?;
    scene.delete("kept")?;
    eventually(PATIENCE, || {
        ensure!(
            scene.is_gone(&gone)?,
            "the topic is not deleted in the bucket"
        );
        ensure!(scene.kept()? == ["kept"], "{:?}", scene.kept()?);
        Ok(())
    })?;
    // Rounds of collectors later, and in another life of the broker, it is all there.
    std::thread::sleep(Duration::from_secs(2));
    ensure!(scene.broker.stop()?.success(), "{}", scene.broker.tail());
    scene.broker.start_again()?;
    std::thread::sleep(Duration::from_secs(2));
    ensure!(!scene.is_gone(&kept)?, "the kept topic is deleted, too");
    let left = scene.objects(&kept, "segments")?;
    ensure!(left == segments, "{left:?}, before {segments:?}");
    judged(&scene, &kept, &gone)?;
    restored(&scene, (&kept, end), &before)
}

/// Who looks at the bucket takes it for a topic and for no stranger.
fn judged(scene: &Scene<'_>, kept: &str, gone: &str) -> Result<()> {
    let verified = scene.told(&["tier", "verify", "--read"])?;
    let row = &verified["topics"][0];
    ensure!(row["id"] == kept && row["deleted"] == true, "{verified}");
    ensure!(row["segments"].as_u64() >= Some(4), "{verified}");
    ensure!(verified["unnamed_topics"] == json!([gone]), "{verified}");
    collected(scene, kept, gone)?;
    let url = scene.place.url();
    for (name, why) in [("gone", "no deleted topic"), ("other", "no deleted topic")] {
        let asked = ["cluster", "restore", "--from", &url, "--deleted", name];
        let refused = scene.freshet(&asked)?;
        ensure!(
            !refused.status.success() && refused.stderr.contains(why),
            "{}",
            refused.stderr
        );
    }
    Ok(())
}

/// What says that it was deleted goes, and only that, when somebody says so.
fn collected(scene: &Scene<'_>, kept: &str, gone: &str) -> Result<()> {
    let collect = |more: &[&str]| scene.told(&[&["tier", "collect", "--orphans"], more].concat());
    // As long as one of the three exports that stay names it, it is none.
    let mut raw = Raw::connect(scene.broker.bootstrap())?;
    for name in ["more-1", "more-2", "more-3"] {
        raw.create_topic(name, &[])?;
        std::thread::sleep(Duration::from_secs(1));
    }
    eventually(PATIENCE, || {
        let young = collect(&["--dry-run"])?;
        ensure!(
            young[0]["id"] == gone && young[0]["status"] == "young",
            "{young}"
        );
        Ok(())
    })?;
    let old = ["--older-than", "0s"];
    let shown = collect(&[&old[..], &["--dry-run"]].concat())?;
    ensure!(
        shown[0]["status"] == "orphan" && shown[0]["says"] == "deleted",
        "{shown}"
    );
    ensure!(shown.as_array().is_some_and(|it| it.len() == 1), "{shown}");
    ensure!(!scene.objects(gone, "manifests")?.is_empty(), "shown only");
    let done = collect(&[&old[..], &["--yes"]].concat())?;
    ensure!(done[0]["status"] == "collected", "{done}");
    ensure!(scene.objects(gone, "manifests")?.is_empty(), "it stays");
    ensure!(!scene.is_gone(kept)?, "the kept topic is deleted, too");
    let verified = scene.told(&["tier", "verify"])?;
    ensure!(verified["unnamed_topics"] == json!([]), "{verified}");
    Ok(())
}

/// It comes back into the cluster that has deleted it, and is deleted for good when it says so.
fn restored(scene: &Scene<'_>, (kept, end): (&str, i64), before: &[u8]) -> Result<()> {
    let mut raw = Raw::connect(scene.broker.bootstrap())?;
    // Another topic has got its name.
    raw.create_topic("kept", &[])?;
    let url = scene.place.url();
    for (more, why) in [
        (&[][..], "--as NAME"),
        (&["--as", "kept"], "another topic that is called"),
        (&["--as", "a b"], "a b"),
    ] {
        let asked = ["cluster", "restore", "--from", &url, "--deleted", "kept"];
        let refused = scene.freshet(&[&asked[..], more].concat())?;
        ensure!(
            !refused.status.success() && refused.stderr.contains(why),
            "{more:?}: {}",
            refused.stderr
        );
    }
    let restore = |more: &[&str]| {
        let asked = ["cluster", "restore", "--deleted", "kept", "--as", "back"];
        scene.told(&[&asked, more].concat())
    };
    let planned = restore(&["--dry-run"])?;
    ensure!(planned["topics"][0]["status"] == "missing", "{planned}");
    let told = restore(&[])?;
    let row = &told["topics"][0];
    ensure!(row["status"] == "restored" && row["id"] == kept, "{told}");
    let mut raw = Raw::connect(scene.broker.bootstrap())?;
    ensure!(
        raw.topic_id("back")?.to_string() == kept,
        "it has another id"
    );
    let served = replay(&mut raw, "back", end)?;
    ensure!(served == before, "other records have come back");
    // It goes on where the bucket ends, and copies what comes.
    let next = produce(&mut raw, "back", 24)?;
    ensure!(next == end + 24, "{next}, behind {end}");
    eventually(PATIENCE, || {
        ensure!(scene.kept()?.is_empty(), "{:?}", scene.kept()?);
        let told = tier(
            &scene.broker,
            &["status", "back", "--partitions", "--output", "json"],
        )?
        .success()?;
        let told: serde_json::Value = serde_json::from_str(&told)?;
        let tiered = told[0]["tiered_end"].as_i64();
        ensure!(tiered.is_some_and(|tiered| tiered > end), "{told}");
        Ok(())
    })?;
    let (code, why) = raw.set_config((TOPIC_RESOURCE, "back"), GOES, "true")?;
    ensure!(code == 0, "{why}");
    scene.delete("back")?;
    eventually(PATIENCE, || {
        ensure!(scene.is_gone(kept)?, "its objects stay");
        let says = scene.objects("kept", kept)?;
        ensure!(says.is_empty(), "{says:?}");
        Ok(())
    })
}
