//! One fetch reads several partitions out of the bucket.

use std::time::Instant;

use freshet_records::Batches;
use freshet_tests::{fetch_request, produce_request};
use freshet_wire::fetch::{FetchPartition, PartitionData};

use super::*;

const PARTITIONS: i32 = 16;
const BATCHES: i64 = 12;
/// Room for one batch of a partition, and not for two.
const ROOM: i32 = BATCH_BYTES as i32 * 3 / 2;
/// A fetch that may wait so long and is answered by then has waited for its bytes only.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// What the record at an offset of a partition holds.
fn value(partition: i32, offset: i64) -> Result<Vec<u8>> {
    Ok(vec![
        u8::try_from(i64::from(partition) * BATCHES + offset)?;
        BATCH_BYTES
    ])
}

/// Fills a partition, and waits until its first segment is in the bucket alone.
fn fill(raw: &mut Raw, partition: i32) -> Result<()> {
    for offset in 0..BATCHES {
        let value = value(partition, offset)?;
        let records = batch(Codec::None, NO_PRODUCER, &[(now_ms(), &value)])?;
        let mut request = produce_request("t", records, -1);
        request.topic_data[0].partition_data[0].index = partition;
        eventually(PATIENCE, || {
            let told = raw.call(12, &request)?;
            let told = &told.responses[0].partition_responses[0];
            // The partition may be a moment younger than its topic.
            ensure!(told.error_code == 0, "{told:?}");
            ensure!(told.base_offset == offset, "{told:?}");
            Ok(())
        })?;
    }
    eventually(PATIENCE, || {
        let local = raw.offset_of(("t", partition), Raw::EARLIEST_LOCAL)?;
        ensure!(local.0 == 0 && local.2 > 0, "{local:?}");
        Ok(())
    })
}

/// The first batch of a partition and nothing else.
fn is_first(told: PartitionData) -> Result<()> {
    let at = told.partition_index;
    ensure!(told.error_code == 0, "{at}: error {}", told.error_code);
    let mut batches = Batches::new(told.records.into_bytes());
    let batch = batches.next();
    let batch = batch.with_context(|| format!("{at} has nothing in this answer"))??;
    batch.check_crc()?;
    ensure!(
        batch.header().base_offset == 0,
        "{at}: {:?}",
        batch.header()
    );
    let record = batch.records(64 << 20)?.next().context("a record")??;
    let is_same = record.value.as_deref() == Some(value(at, 0)?.as_slice());
    ensure!(is_same, "{at} has the records of another one");
    Ok(())
}

/// The first records of all partitions are in the bucket only. One request asks for a batch of each and is
/// satisfied with nothing less: its answer has all of them, and did not wait to the end.
pub(super) fn fetched(place: &mut Place) -> Result<()> {
    // By default half a second, which a busy machine may take for all of them.
    let broker = broker_with(place, &[("remote.fetch.max.wait.ms", "5000")])?;
    let mut raw = Raw::connect(broker.bootstrap())?;
    let configs = [TIERED, &[("local.retention.bytes", "0")]].concat();
    raw.create_topic_of(PARTITIONS, "t", &configs)?;
    (0..PARTITIONS).try_for_each(|partition| fill(&mut raw, partition))?;
    let before = counted(&broker, "freshet_remote_fetch_requests_total")?;
    let mut request = fetch_request("t", 0, 4 << 20);
    let asked = |partition| FetchPartition {
        partition,
        partition_max_bytes: ROOM,
        ..Default::default()
    };
    request.topics[0].partitions = (0..PARTITIONS).map(asked).collect();
    request.min_bytes = PARTITIONS * i32::try_from(BATCH_BYTES)?;
    request.max_wait_ms = i32::try_from(MAX_WAIT.as_millis())?;
    let began = Instant::now();
    let mut told = raw.call(12, &request)?;
    let took = began.elapsed();
    let partitions = told.responses.pop().context("one topic")?.partitions;
    let count = partitions.len();
    ensure!(
        count == PARTITIONS as usize,
        "{count} partitions were answered for, after {took:?}"
    );
    partitions.into_iter().try_for_each(is_first)?;
    ensure!(took < MAX_WAIT, "all of it came after {took:?}");
    let read = counted(&broker, "freshet_remote_fetch_requests_total")? - before;
    ensure!(
        read >= u64::try_from(PARTITIONS)?,
        "the bucket was asked {read} times"
    );
    println!("{PARTITIONS} partitions in one answer after {took:.1?}");
    Ok(())
}
