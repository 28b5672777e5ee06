//! A replica that moves to an empty disk: how long that takes, and what it takes along.

use std::time::Instant;

use anyhow::Result;
use freshet_client::{ConfigChange, Resource};
use freshet_types::NodeId;

use super::{SEGMENTS, TIERS, Tiers};
use crate::client::{Job, Role, work};
use crate::measure::{Numbers, Sample, memory};
use crate::threes::asker::Asker;

/// Bytes of a partition that its brokers keep on their disks when the rest is in object storage.
const TAIL: u64 = 500_000_000;
/// What is in object storage the second time, by what was there the first time and not on disks.
const MORE: u64 = 4;

impl Tiers {
    /// Moves the second of two replicas to the third broker, and back: when the records of `fill` are there,
    /// when [`MORE`] times as many are, and when those of `fill` are all on disks.
    pub(crate) fn replace(&self, fill: &Job, divisor: u64) -> Result<Sample> {
        let asker = Asker::new(&self.broker.bootstrap())?;
        asker.await_brokers(self.broker.count())?;
        let tail = TAIL / divisor;
        let tiered = self.kept_by_two(&asker, "tiered", fill)?;
        let plain = self.kept_by_two(&asker, "plain", fill)?;
        let keep = ("local.retention.bytes", &*tail.to_string());
        let settings = [TIERS, keep].map(|(name, value)| ConfigChange::set(name, value));
        asker.configure(&Resource::Topic(tiered.topic.clone()), &settings)?;
        self.watched(0, |numbers| {
            work(&tiered)?;
            self.until_left(&tiered, tail)?;
            self.moved(&asker, &tiered, "little", numbers)?;
            work(&Job {
                records: tiered.records * (MORE - 1),
                ..tiered.clone()
            })?;
            self.until_left(&tiered, tail)?;
            self.moved(&asker, &tiered, "much", numbers)?;
            work(&plain)?;
            self.moved(&asker, &plain, "all on disks", numbers)?;
            let ratio = numbers["time, much"] / numbers["time, little"];
            numbers.insert("much / little".to_owned(), ratio);
            Ok(())
        })
    }

    /// Makes a topic of one partition on brokers 1 and 2; gives what fills it.
    fn kept_by_two(&self, asker: &Asker, topic: &str, fill: &Job) -> Result<Job> {
        asker.create(topic, 1, 2)?;
        let (name, value) = SEGMENTS[1];
        let small = [ConfigChange::set(name, value)];
        asker.configure(&Resource::Topic(topic.to_owned()), &small)?;
        place(asker, topic, 2)?;
        Ok(Job {
            role: Role::Produce,
            topic: topic.to_owned(),
            create: false,
            remove: false,
            ..fill.clone()
        })
    }

    /// Waits until both replicas have no more than `tail` bytes on their disks, and what is open or about to
    /// be closed.
    fn until_left(&self, job: &Job, tail: u64) -> Result<()> {
        self.until_copied()?;
        let room = tail + 2 * SEGMENTS[1].1.parse::<u64>()?;
        self.until("the disks are free", || {
            let on = |at| self.broker.log_bytes_of(at, &job.topic);
            Ok(on(0)? <= room && on(1)? <= room)
        })
    }

    /// Moves a replica, tells how long that took and what is on its disk then, and moves it back.
    fn moved(&self, asker: &Asker, job: &Job, when: &str, numbers: &mut Numbers) -> Result<()> {
        rustix::fs::sync();
        let bytes = self.broker.log_bytes_of(0, &job.topic)?;
        let seconds = memory::ready(bytes, || {
            let start = Instant::now();
            place(asker, &job.topic, 3)?;
            Ok(start.elapsed().as_secs_f64())
        })?;
        let taken = self.broker.log_bytes_of(2, &job.topic)? as f64 / 1e6;
        numbers.insert(format!("time, {when}"), seconds);
        numbers.insert(format!("moved, {when}"), taken);
        place(asker, &job.topic, 2)
    }
}

/// Has a partition kept by broker 1 and a second one, and waits until it is.
fn place(asker: &Asker, topic: &str, second: i32) -> Result<()> {
    asker.reassign(topic, &[(0, vec![NodeId(1), NodeId(second)])])?;
    asker.until_settled()?;
    asker.until_whole(topic)
}
