//! Consumers that read from the replica in their rack (KIP-392).

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::beside::Beside;
use super::{Needs, RECOVERY, Stage, Trial};
use crate::broker::Kind;
use crate::client::Client;
use crate::cluster::Node;
use crate::line::Line;
use crate::load;
use crate::peer::{Peer, Role};
use crate::scenario::eventually;

pub(super) const TRIALS: &[Trial] = &[Trial {
    name: "consumers_read_from_their_rack_until_its_broker_is_killed",
    rows: &[],
    faults: near,
    needs: Needs::Racks,
}];

/// Puts a broker that was not started into a rack of its own, where consumers may read from it.
pub(super) fn prepare(node: &mut Node) {
    node.set("broker.rack", &rack(node.id));
    let selector = "org.apache.kafka.common.replica.RackAwareReplicaSelector";
    node.set("replica.selector.class", selector);
}

fn rack(id: i32) -> String {
    format!("rack-{id}")
}

/// Records of one step, 64 KiB each.
const STEP: u64 = 20;
const VALUE_BYTES: u64 = 64 << 10;

/// A consumer in a rack, and what it has heard.
struct Reader {
    client: Client,
    peer: Peer,
    values: Vec<u64>,
    /// The broker that it reads from, where it says so.
    from: Option<i32>,
}

impl Reader {
    fn start(stage: &Stage, client: Client, (topic, rack): (&str, &str)) -> Result<Self> {
        let options = [("topic", topic), ("tail", "true"), ("rack", rack)];
        let peer = Peer::start(client, Role::Fetch, &stage.cluster.bootstrap(), &options)?;
        Ok(Self {
            client,
            peer,
            values: Vec::new(),
            from: None,
        })
    }

    /// Waits until it was shown so many records, each once and in their order.
    fn await_records(&mut self, count: u64) -> Result<()> {
        let began = Instant::now();
        while (self.values.len() as u64) < count {
            let name = self.client.name();
            let left = RECOVERY.saturating_sub(began.elapsed());
            let shown = self.values.len();
            ensure!(!left.is_zero(), "{name} was shown {shown} of {count}");
            if let Some(line) = self.peer.at_hand(left) {
                self.note(line)?;
            }
        }
        let fine = self.values.iter().copied().eq(0..count);
        ensure!(fine, "{} was shown {:?}", self.client.name(), self.values);
        Ok(())
    }

    fn note(&mut self, line: Line) -> Result<()> {
        match line {
            Line::Record(shown) => self.values.push(load::read(&shown)?.value),
            Line::From { b, .. } => self.from = Some(b),
            other => anyhow::bail!("a reader said {other:?}"),
        }
        Ok(())
    }

    /// Waits until it says that it reads from this broker.
    fn await_from(&mut self, broker: i32) -> Result<()> {
        let began = Instant::now();
        while self.from != Some(broker) {
            let from = self.from;
            let name = self.client.name();
            ensure!(
                began.elapsed() < RECOVERY,
                "{name} reads from {from:?}, not {broker}"
            );
            if let Some(line) = self.peer.at_hand(Duration::from_millis(100)) {
                self.note(line)?;
            }
        }
        Ok(())
    }
}

/// What a broker has sent to consumers of a topic.
fn sent(stage: &Stage, id: i32, topic: &str) -> Result<u64> {
    let name = format!("freshet_topic_fetched_bytes_total{{topic=\"{topic}\"}}");
    stage.cluster.counted(id, &name)
}

/// They read from a follower, go on at the leader when that is killed, and Java goes back to it. librdkafka
/// comes back a minute after it was sent there first at the earliest.
fn near(stage: &mut Stage) -> Result<()> {
    let mut beside = Beside::make(stage, "near")?;
    let leader = beside.view(stage)?.leader;
    let follower = *stage.bits.pick(&stage.cluster.others(leader));
    let place = (beside.topic.clone(), rack(follower));
    let place = (place.0.as_str(), place.1.as_str());
    let mut java = Reader::start(stage, Client::Java, place)?;
    let mut librdkafka = Reader::start(stage, Client::Librdkafka, place)?;
    beside.write(stage, STEP)?;
    java.await_records(STEP)?;
    librdkafka.await_records(STEP)?;
    librdkafka.await_from(follower)?;
    beside.write(stage, STEP)?;
    java.await_records(2 * STEP)?;
    librdkafka.await_records(2 * STEP)?;
    let is_ours = stage.cluster.kind() == Kind::Freshet;
    if is_ours {
        let (near, far) = (
            sent(stage, follower, place.0)?,
            sent(stage, leader, place.0)?,
        );
        stage.note(format!(
            "in the rack of {follower} it sent {near} bytes, leader {leader} sent {far}"
        ));
        // Two readers, two steps; who began before there was anything may have been shown a record elsewhere.
        ensure!(
            near > 3 * STEP * VALUE_BYTES,
            "{follower} sent {near} bytes"
        );
        ensure!(
            far < near / 4,
            "leader {leader} sent {far} bytes, {follower} {near}"
        );
    }
    stage.cluster.node(follower).kill()?;
    let from = Instant::now();
    beside.write(stage, STEP)?;
    for reader in [&mut java, &mut librdkafka] {
        let told = reader.await_records(3 * STEP);
        told.with_context(|| format!("{follower} was killed"))?;
        let name = reader.client.name();
        stage.note(format!("{name} went on after {:.1?}", from.elapsed()));
    }
    librdkafka.await_from(beside.view(stage)?.leader)?;
    stage.cluster.node(follower).start()?;
    beside.await_whole(stage, RECOVERY)?;
    let mut count = 3 * STEP;
    // A fetch that waits at the leader is one more.
    eventually(RECOVERY, || {
        beside.write(stage, STEP)?;
        count += STEP;
        java.await_records(count)?;
        let near = if is_ours {
            sent(stage, follower, place.0)?
        } else {
            u64::MAX
        };
        ensure!(
            near >= STEP * VALUE_BYTES,
            "{follower} sent {near} bytes after its start"
        );
        Ok(())
    })?;
    librdkafka.await_records(count)?;
    stage.recover()
}
