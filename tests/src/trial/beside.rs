//! A topic beside that of the load, with one partition, written and read by the trial itself.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use freshet_records::{BatchBuilder, Codec, NewRecord};
use freshet_types::Timestamp;

use super::{RECOVERY, Stage};
use crate::bits::Bits;
use crate::cluster::{PartitionView, elect_preferred, read_copy};
use crate::raw::{Raw, now_ms};
use crate::scenario::eventually;

/// Bytes of a value: sixteen of them are a segment of the smallest size that may be set.
const VALUE_BYTES: u64 = 64 << 10;
const SEGMENT_BYTES: &str = "1048576";
const NOT_LEADER: i16 = 6;

/// The topic's name, and how many records are in it: their keys are the numbers from 0 on.
pub(super) struct Beside {
    pub(super) topic: String,
    pub(super) records: u64,
}

impl Beside {
    /// Makes it, with three replicas and small segments.
    pub(super) fn make(stage: &mut Stage, name: &str) -> Result<Self> {
        Self::make_with(stage, name, &[("retention.ms", "-1")])
    }

    /// The same with settings.
    pub(super) fn make_with(
        stage: &mut Stage,
        name: &str,
        configs: &[(&str, &str)],
    ) -> Result<Self> {
        let topic = format!("{name}-{}", stage.bits.below(1 << 32));
        let mut all = vec![("segment.bytes", SEGMENT_BYTES)];
        all.extend(configs);
        stage.cluster.create_topic_with(&topic, (1, 3), &all)?;
        Ok(Self { topic, records: 0 })
    }

    /// Adds so many records, each a batch of its own.
    pub(super) fn write(&mut self, stage: &Stage, count: u64) -> Result<()> {
        let leader = stage.cluster.leader(&self.topic, 0)?;
        self.write_by(&mut stage.cluster.connect(leader)?, count)
    }

    /// The same over a connection to the leader. Nothing may happen to that meanwhile.
    pub(super) fn write_by(&mut self, raw: &mut Raw, count: u64) -> Result<()> {
        for _ in 0..count {
            // Who is named as leader may be about to take that place: nothing is written until then.
            let told = eventually(RECOVERY, || {
                let told = raw.produce(&self.topic, batch(self.records)?)?;
                let code = told.error_code;
                ensure!(code != NOT_LEADER, "nobody leads {}", self.topic);
                Ok(told)
            })?;
            ensure!(told.error_code == 0, "producing: error {}", told.error_code);
            let due = i64::try_from(self.records)?;
            ensure!(told.base_offset == due, "at {}", told.base_offset);
            self.records += 1;
        }
        Ok(())
    }

    /// What metadata says.
    pub(super) fn view(&self, stage: &Stage) -> Result<PartitionView> {
        let views = stage.cluster.partitions(&self.topic)?;
        views.into_iter().next().context("one partition")
    }

    /// Waits until all three replicas are in sync.
    pub(super) fn await_whole(&self, stage: &Stage, limit: Duration) -> Result<()> {
        stage.cluster.await_whole(&self.topic, limit)
    }

    /// Has the first replica lead, and gives it.
    pub(super) fn lead_by_first(&self, stage: &Stage) -> Result<i32> {
        const ELECTION_NOT_NEEDED: i16 = 84;
        let first = *self.view(stage)?.replicas.first().context("a replica")?;
        eventually(RECOVERY, || {
            let code = stage
                .cluster
                .ask(|raw| elect_preferred(raw, &self.topic, 0))?;
            let fine = [0, ELECTION_NOT_NEEDED].contains(&code);
            ensure!(fine, "electing {first}: error {code}");
            let leader = self.view(stage)?.leader;
            ensure!(leader == first, "{leader} leads, not {first}");
            Ok(())
        })?;
        Ok(first)
    }

    /// Reads everything from whoever leads, and looks that it is what was written.
    pub(super) fn check(&self, stage: &Stage) -> Result<()> {
        let end = i64::try_from(self.records)?;
        // Others may know sooner than a leader itself that it leads; all else that it says counts at once.
        let (leader, read) = eventually(RECOVERY, || {
            let leader = stage.cluster.leader(&self.topic, 0)?;
            let mut raw = stage.cluster.connect(leader)?;
            let read = read_copy(&mut raw, &self.topic, 0, (0, Some(end))).transpose();
            let read = read.with_context(|| format!("{leader} does not lead"))?;
            Ok((leader, read))
        })?;
        let (shown, _) = read?;
        let whole = shown.iter().map(|read| read.value).eq(0..self.records);
        ensure!(whole, "{leader} has {} of {}", shown.len(), self.records);
        Ok(())
    }

    /// The segments of a broker's log, the oldest first.
    pub(super) fn segments(&self, stage: &mut Stage, id: i32) -> Result<Vec<PathBuf>> {
        stage
            .cluster
            .node(id)
            .segments(&format!("{}-0", self.topic))
    }
}

fn batch(number: u64) -> Result<Bytes> {
    let mut builder = BatchBuilder::new(Codec::None);
    let key = number.to_string();
    builder.push(&NewRecord {
        timestamp: Timestamp(now_ms()),
        key: Some(key.as_bytes()),
        value: Some(&Bits::new(number).bytes(VALUE_BYTES)),
        ..Default::default()
    })?;
    Ok(builder.finish()?.bytes().clone())
}
