//! Groups whose coordinator goes.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::{Needs, PARTITIONS, RECOVERY, Stage, TOPIC, Trial};
use crate::client::Client;
use crate::cluster::{Cluster, commit, committed, coordinator};
use crate::line::Line;
use crate::peer::{Peer, Role};
use crate::scenario::eventually;

pub(super) const TRIALS: &[Trial] = &[Trial {
    name: "kill_the_coordinator_of_a_group",
    rows: &[55],
    faults: kill_coordinator,
    needs: Needs::Cluster,
}];

/// Each has a group of two of its own. All speak the classic protocol: brokers do not serve that of KIP-848,
/// and these libraries are not asked for it.
const CLIENTS: [Client; 3] = [Client::FranzGo, Client::Librdkafka, Client::Java];
/// Where Kafka and Freshet keep what groups commit.
const OFFSETS: &str = "__consumer_offsets";
/// Longer than a rebalance takes to be noticed: members are heard of every half second.
const QUIET: Duration = Duration::from_secs(3);
/// Commits of the bookmark in one round.
const COMMITS: i64 = 20;
/// How often the two members of franz-go may be told of partitions after a kill: both when either joins again, and
/// both where partitions move. Its heartbeat asks any broker who the coordinator is now, the dead one too; when
/// that does not take the call the heartbeat fails for good, and the member joins again ("heartbeat errored ...
/// connection refused" in its log; v1.22.2 tries again by itself in the protocol of KIP-848 only). Seen after
/// one kill of ten.
const REJOINS: usize = 6;

/// Kills the coordinator of three groups twice. It is killed between two heartbeats and while members commit;
/// they must go on as the members that they are: what was committed stays, and nobody joins again who does not
/// do so by nature.
fn kill_coordinator(stage: &mut Stage) -> Result<()> {
    let first = format!("group-{}", stage.bits.below(1 << 32));
    let mut names = neighbours(stage, &first, CLIENTS.len() + 1)?;
    let bookmark = names.pop().context("one more than clients")?;
    let join = |(client, name)| Readers::join(stage, client, name);
    let groups = CLIENTS.into_iter().zip(names).map(join);
    let mut groups = groups.collect::<Result<Vec<_>>>()?;
    for round in 0..2 {
        for group in &mut groups {
            group.goes_on(stage, Instant::now())?;
        }
        let id = stage.cluster.ask(|raw| coordinator(raw, &first))?;
        let told = || format!("after the kill of coordinator {id}");
        let mut raw = stage.cluster.connect(id)?;
        for at in 1..=COMMITS {
            commit(&mut raw, &bookmark, (TOPIC, 0), round * COMMITS + at)?;
        }
        stage.cluster.node(id).kill()?;
        let killed = Instant::now();
        for group in &mut groups {
            group.rejoins = match group.client {
                Client::FranzGo => REJOINS,
                _ => 0,
            };
        }
        stays(stage, &bookmark, (round + 1) * COMMITS).with_context(told)?;
        for group in &mut groups {
            let took = group.goes_on(stage, killed).with_context(told)?;
            stage.note(format!("{} goes on after {took:.1?}", group.client.name()));
        }
        stage.cluster.node(id).start()?;
        // Whoever led before may lead again, which is one more move.
        stage.recover()?;
        for group in &mut groups {
            let came = group.goes_on(stage, Instant::now());
            came.with_context(|| format!("after the return of broker {id}"))?;
        }
    }
    for mut group in groups {
        group.members.finish(RECOVERY)?;
    }
    Ok(())
}

/// Names of groups that one broker coordinates, wherever that goes: they are kept in one partition.
fn neighbours(stage: &Stage, first: &str, count: usize) -> Result<Vec<String>> {
    // The first question makes the topic.
    eventually(RECOVERY, || {
        stage.cluster.ask(|raw| coordinator(raw, first))
    })?;
    let partitions = i32::try_from(stage.cluster.partitions(OFFSETS)?.len())?;
    // `String.hashCode` of Java's, without its sign; the names are ASCII.
    let owner = |name: &str| {
        let add = |hash: i32, byte| hash.wrapping_mul(31).wrapping_add(i32::from(byte));
        name.bytes().fold(0, add).checked_abs().unwrap_or(0) % partitions
    };
    let others = (0..).map(|number| format!("{first}-{number}"));
    let others = others.filter(|name| owner(name) == owner(first));
    Ok([first.to_owned()]
        .into_iter()
        .chain(others)
        .take(count)
        .collect())
}

/// What a group has committed, by partition; -1 where it has not.
pub(super) fn offsets(cluster: &Cluster, group: &str) -> Result<Vec<i64>> {
    let id = cluster.ask(|raw| coordinator(raw, group))?;
    committed(&mut cluster.connect(id)?, group, TOPIC, PARTITIONS)
}

/// The first coordinator that answers for a group without members knows its last commit, which was
/// acknowledged right before the kill. Members would soon cover a lost one by their next.
fn stays(stage: &Stage, group: &str, last: i64) -> Result<()> {
    let now = eventually(RECOVERY, || offsets(&stage.cluster, group))?;
    ensure!(
        now[0] == last,
        "{last} was committed, and {} is kept",
        now[0]
    );
    Ok(())
}

/// A group of two of one library.
struct Readers {
    client: Client,
    group: String,
    members: Peer,
    /// Who has which partitions.
    held: BTreeMap<usize, Vec<i32>>,
    /// How often a member may yet be told of partitions.
    rejoins: usize,
    /// What it had committed when it was last looked at.
    before: Vec<i64>,
}

impl Readers {
    /// Starts both members, and waits until each has its half and nothing more happens.
    fn join(stage: &Stage, client: Client, group: String) -> Result<Self> {
        let options = [("topic", TOPIC), ("group", &group), ("members", "2")];
        let members = Peer::start(client, Role::Group, &stage.cluster.bootstrap(), &options)?;
        let mut group = Self {
            client,
            group,
            members,
            held: BTreeMap::new(),
            rejoins: usize::MAX,
            before: vec![0; PARTITIONS as usize],
        };
        let started = Instant::now();
        let (mut left, mut changed) = (group.rejoins, started);
        while !group.is_halved() || changed.elapsed() < QUIET {
            thread::sleep(Duration::from_millis(100));
            group.listen()?;
            if group.rejoins != left {
                (left, changed) = (group.rejoins, Instant::now());
            }
            let waits = started.elapsed() < RECOVERY * 2;
            ensure!(waits, "{} have {:?}", group.members.blame(), group.held);
        }
        group.rejoins = 0;
        Ok(group)
    }

    /// Whether each of the two has its half.
    fn is_halved(&self) -> bool {
        let all: BTreeSet<i32> = self.held.values().flatten().copied().collect();
        let halves = self
            .held
            .values()
            .filter(|part| part.len() == all.len() / 2);
        halves.count() == 2 && all.len() == PARTITIONS as usize
    }

    /// Waits until the group commits more in every partition than is kept now, and says how long after `from`
    /// that was. Meanwhile it never commits less than before, and no member is given partitions who was not to be.
    fn goes_on(&mut self, stage: &Stage, from: Instant) -> Result<Duration> {
        let mut base: Option<Vec<i64>> = None;
        loop {
            self.listen()?;
            let now = offsets(&stage.cluster, &self.group);
            if let Ok(now) = &now {
                let mut pairs = self.before.iter().zip(now);
                let fell = pairs.any(|(before, now)| now < before);
                ensure!(!fell, "commits went from {:?} to {now:?}", self.before);
                self.before.clone_from(now);
                // What was committed before the kill is no progress.
                let base = base.get_or_insert_with(|| now.clone());
                let goes = base.iter().zip(now).all(|(base, now)| now > base);
                // What was said before the commit is there by now.
                self.listen()?;
                if goes && self.is_halved() {
                    return Ok(from.elapsed());
                }
            }
            ensure!(
                from.elapsed() < RECOVERY,
                "the group of {} stands at {now:?}, and was at {base:?}",
                self.members.blame(),
            );
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Hears what members say. All three libraries call back in each rebalance, with nothing new too.
    fn listen(&mut self) -> Result<()> {
        while let Some(line) = self.members.at_hand(Duration::ZERO) {
            match line {
                Line::Record(_) => {}
                Line::Assigned { m, p } if self.rejoins > 0 => {
                    self.rejoins -= 1;
                    self.held.insert(m, p);
                }
                other => bail!("a member of {} said {other:?}", self.members.blame()),
            }
        }
        Ok(())
    }
}
