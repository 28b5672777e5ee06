//! What the bounds for copies and reads hold up is timed, and deletions are counted by topic.

use freshet_tests::fetch_request;

use super::*;

/// Bytes a second, either way.
const RATE: &str = "1048576";

pub(super) fn timed(place: &mut Place) -> Result<()> {
    let set = [
        ("remote.log.manager.copy.max.bytes.per.second", RATE),
        ("remote.log.manager.fetch.max.bytes.per.second", RATE),
        ("freshet.remote.garbage.grace.ms", "1000"),
        // What comes within a second comes too late.
        ("remote.fetch.max.wait.ms", "100"),
    ];
    let broker = broker_with(place, &set)?;
    let mut raw = Raw::connect(broker.bootstrap())?;
    let held_up = |way: &str, what: &str| {
        let name = format!("freshet_remote_{way}_throttle_seconds_{what}");
        number(&broker, &name)
    };
    for way in ["copy", "fetch"] {
        ensure!(
            held_up(way, "count")? == 0.0,
            "{way}: before anything is done"
        );
    }
    let topic = [TIERED, &[("local.retention.bytes", "0")]].concat();
    raw.create_topic("t", &topic)?;
    let end = produce(&mut raw, "t", 32)?;
    let away = eventually(PATIENCE, || {
        let local = raw.offset_at("t", Raw::EARLIEST_LOCAL)?;
        ensure!(local.0 == 0 && local.2 + 16 >= end, "{local:?} of {end}");
        Ok(local.2)
    })?;
    // Two segments or more, a MiB each: the second one comes a second later.
    let (count, seconds) = (held_up("copy", "count")?, held_up("copy", "sum")?);
    ensure!(
        count >= 1.0 && (0.5..60.0).contains(&seconds),
        "{count} copies, {seconds} s"
    );
    ensure!(held_up("fetch", "count")? == 0.0, "nobody has read");
    // Who wants something at least waits for it, as long as it may.
    for from in [0, away / 2, away - 1] {
        let mut request = fetch_request("t", from, 4 << 20);
        (request.max_wait_ms, request.min_bytes) = (500, 1);
        raw.call(12, &request)?;
    }
    replay(&mut raw, "t", away)?;
    let (count, seconds) = (held_up("fetch", "count")?, held_up("fetch", "sum")?);
    ensure!(
        count >= 1.0 && (0.2..60.0).contains(&seconds),
        "{count} reads, {seconds} s"
    );
    let late = counted(&broker, "freshet_remote_read_expired_total")?;
    let kafkas_name = "kafka_server_delayedremotefetchmetrics_expires_total";
    ensure!(
        late >= 1 && counted(&broker, kafkas_name)? == late,
        "{late} reads came late"
    );
    ensure!(
        kafkas(&broker, "remotedeleterequests_total")? == 0,
        "nothing was to go"
    );
    let (code, why) = raw.set_config((TOPIC_RESOURCE, "t"), "retention.bytes", "1")?;
    ensure!(code == 0, "{why}");
    eventually(PATIENCE, || {
        let gone = kafkas(&broker, "remotedeleterequests_total")?;
        ensure!(gone >= 2, "{gone} objects were deleted");
        let told = counted(&broker, "freshet_remote_delete_requests_total")?;
        ensure!(told >= gone, "{told}, by Kafka's name {gone}");
        Ok(())
    })?;
    ensure!(
        kafkas(&broker, "remotedeleteerrors_total")? == 0,
        "none failed"
    );
    Ok(())
}

/// One that may have a fraction.
fn number(broker: &Broker, name: &str) -> Result<f64> {
    let (_, page) = get(broker.http()?, "/metrics")?;
    let told = |line: &str| line.strip_prefix(name)?.trim().parse().ok();
    let found = page.lines().find_map(told);
    found.with_context(|| format!("{name} is not among the metrics"))
}
