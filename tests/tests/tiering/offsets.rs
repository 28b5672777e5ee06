//! Where a partition begins on disks and ends in the bucket, as Kafka's own tool asks for it (KIP-405, KIP-1005,
//! KIP-1023).

use freshet_tests::Tools;

use super::*;

/// By the tool's words for times, and by numbers.
const TIMES: [(&str, i64); 5] = [
    ("earliest", Raw::EARLIEST),
    ("earliest-local", Raw::EARLIEST_LOCAL),
    ("latest-tiered", Raw::LATEST_TIERED),
    ("earliest-pending-upload", Raw::PENDING_UPLOAD),
    ("latest", Raw::LATEST),
];

/// What the tool says of each of these times.
fn told(tools: &Tools) -> Result<Vec<i64>> {
    let one = |(time, _): &(&str, i64)| {
        let told = tools.run("kafka-get-offsets", &["--topic", "t", "--time", time])?;
        let row = told.lines().find_map(|row| row.strip_prefix("t:0:"));
        let row = row.with_context(|| format!("{time}: {told}"))?;
        Ok(row.trim().parse()?)
    };
    TIMES.iter().map(one).collect()
}

pub(super) fn told_to_everybody(place: &mut Place) -> Result<()> {
    let broker = broker(place)?;
    let mut raw = Raw::connect(broker.bootstrap())?;
    raw.create_topic("t", &[TIERED, &[("local.retention.bytes", "0")]].concat())?;
    let end = produce(&mut raw, "t", 40)?;
    let away = eventually(PATIENCE, || {
        let (code, _, local) = raw.offset_at("t", Raw::EARLIEST_LOCAL)?;
        ensure!(
            code == 0 && local + 8 >= end,
            "{code}: the disk begins at {local} of {end}"
        );
        Ok(local)
    })?;
    let tools = Tools::new(broker.bootstrap());
    // What is copied ends where the disk begins; nothing else moves any more.
    let expected = [0, away, away - 1, away, end];
    let found = told(&tools)?;
    ensure!(found == expected, "{TIMES:?}: {found:?}, not {expected:?}");
    let ours: Vec<i64> = TIMES
        .iter()
        .map(|(_, time)| Ok(raw.offset_at("t", *time)?.2))
        .collect::<Result<_>>()?;
    ensure!(ours == expected, "{ours:?}, not {expected:?}");
    // Where nothing is in the bucket there is no last offset in it.
    raw.create_topic("plain", &[])?;
    let plain = tools.run(
        "kafka-get-offsets",
        &["--topic", "plain", "--time", "latest-tiered"],
    )?;
    ensure!(!plain.contains("plain:0:0"), "{plain}");
    Ok(())
}
