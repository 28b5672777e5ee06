//! A broker's whole way to a bucket and back, where the bucket is not Amazon's.

use freshet_tests::{Cloud, Provider, get};

use super::*;

/// One broker's life, on each.
pub(crate) const BROKERS: [(&str, Provider); 2] = [
    (
        "a_broker_without_a_disk_comes_back_from_azure",
        Provider::Azure,
    ),
    (
        "a_broker_without_a_disk_comes_back_from_google",
        Provider::Google,
    ),
];

/// Copies, reads what has left the disk, has it scrubbed and verified, loses the disk, and restores.
pub(crate) fn comes_back(provider: Provider) -> Result<()> {
    let cloud = Cloud::start(provider)?;
    let mut broker = broker(&cloud)?;
    let mut raw = Raw::connect(broker.bootstrap())?;
    let tiered = [
        ("remote.storage.enable", "true"),
        ("segment.bytes", "1048576"),
        ("local.retention.bytes", "0"),
    ];
    raw.create_topic("t", &tiered)?;
    let (_, end) = produce(|| Raw::connect(broker.bootstrap()), -1, 44)?;
    let away = eventually(PATIENCE, || {
        let (code, _, local) = raw.offset_at("t", Raw::EARLIEST_LOCAL)?;
        let is_away = code == 0 && local > 16 && local + 16 >= end;
        ensure!(is_away, "{code}: the disk begins at {local} of {end}");
        Ok(local)
    })?;
    let asked = counted(&broker, "fetch_requests")?;
    let before = batches(&mut raw, away)?;
    ensure!(counted(&broker, "fetch_requests")? > asked, "{asked}");
    eventually(PATIENCE, || {
        let [walks, reads, damaged] = ["scrub_walks", "scrub_read_segments", "scrub_damaged"]
            .map(|name| counted(&broker, name));
        let (walks, reads, damaged) = (walks?, reads?, damaged?);
        ensure!(
            walks >= 2 && reads >= 2 && damaged == 0,
            "{walks} walks, {reads} segments read, {damaged} damaged"
        );
        Ok(())
    })?;
    verified(&cloud, away)?;
    broker.kill()?;
    drop(broker);
    let restored = self::broker(&cloud)?;
    let url = cloud.url();
    let arguments = ["cluster", "restore", "--from", &url, "--output", "json"];
    let told = command_in(&cloud.environment(), restored.bootstrap(), &arguments)?.success()?;
    let told: Value = serde_json::from_str(&told)?;
    let expected = [("t".to_owned(), "restored".to_owned())];
    ensure!(standings(&told) == expected, "{told}");
    let after = batches(&mut Raw::connect(restored.bootstrap())?, away)?;
    ensure!(after == before, "other records came back");
    Ok(())
}

/// A broker with an empty disk.
fn broker(cloud: &Cloud) -> Result<Broker> {
    let mut set = settings(cloud.url(), CLUSTER);
    set.push(("freshet.remote.scrub.interval.ms", "500".to_owned()));
    set.push((
        "freshet.remote.scrub.bytes.per.second",
        (8 << 20).to_string(),
    ));
    let set: Vec<_> = set.iter().map(|(name, value)| (*name, &**value)).collect();
    Broker::start_in(&cloud.environment(), &set)
}

/// Waits until a manifest in the bucket has all that is away, and every byte of it is read and right.
fn verified(cloud: &Cloud, away: i64) -> Result<()> {
    let url = cloud.url();
    let verify = [
        "tier", "verify", "--from", &url, "--read", "--output", "json",
    ];
    eventually(PATIENCE, || {
        // No broker is asked.
        let told = command_in(&cloud.environment(), "127.0.0.1:1", &verify)?.success()?;
        let told: Value = serde_json::from_str(&told)?;
        let offsets = told["topics"][0]["offsets"].as_i64();
        ensure!(offsets >= Some(away), "{told}");
        Ok(())
    })
}

/// A number that the broker counts of its object storage.
fn counted(broker: &Broker, name: &str) -> Result<u64> {
    let name = format!("freshet_remote_{name}_total");
    let (_, page) = get(broker.http()?, "/metrics")?;
    let told = |line: &str| line.strip_prefix(&*name)?.trim().parse().ok();
    let found = page.lines().find_map(told);
    found.with_context(|| format!("{name} is not among the metrics"))
}
