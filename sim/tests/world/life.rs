//! A whole life: it begins, a storm, it heals, and is judged.

use std::sync::Arc;

use freshet_metadata::{CreateTopics, NewTopic};
use freshet_partition::OFFSETS_TOPIC;
use freshet_sim::Weather;
use freshet_types::{Machine, TopicId, TopicPartition};

use crate::broker::Stand;
use crate::council::{Role, VOTERS};
use crate::faults::TopicKind;
use crate::rules::Rule;
use crate::world::{World, host_of, node_id};

/// A cluster must be up by then, ms.
const BEGIN_MS: u64 = 10_000;
/// Who is dead is noticed and replaced by then, ms: three sessions, and room for an election.
const REPLACED_MS: u64 = 5_000;
/// I6: work goes on by then, ms.
const HEALED_MS: u64 = 30_000;
const LOOK_MS: u64 = 100;
/// How exactly blows are timed, ms.
const STEP_MS: u64 = 10;

/// What came of a life.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lived {
    pub(crate) acknowledged: usize,
    pub(crate) committed: usize,
    pub(crate) pardons: usize,
    pub(crate) group_commits: usize,
    /// Offsets that a coordinator told which did not know that another one leads.
    pub(crate) stale: usize,
    /// Producers whose time was over: for want of replicas, and because some were late.
    pub(crate) overdue: (usize, usize),
    pub(crate) ms: u64,
}

/// Lives one life. An error is a broken promise.
pub(crate) fn live(seed: u64, without: Option<Rule>) -> Result<Lived, String> {
    let mut world = World::new(seed, without, false);
    Rule::without(without, || world.run())
}

/// The same, with a line for everything that happened.
pub(crate) fn trace(seed: u64, without: Option<Rule>) -> (Result<Lived, String>, Vec<String>) {
    let mut world = World::new(seed, without, true);
    let lived = Rule::without(without, || world.run());
    (lived, world.trace.lines.unwrap_or_default())
}

impl World {
    fn run(&mut self) -> Result<Lived, String> {
        self.begin()?;
        let end = self.now + self.climate.storm_ms;
        let mut next = self.now;
        while self.now < end {
            self.live_until(self.now + STEP_MS)?;
            self.boot_due();
            self.follow_plans();
            if self.now >= next {
                self.strike();
                let (least, most) = self.climate.pause_ms;
                next = self.now + self.throws.between(least, most);
            }
        }
        self.plans.clear();
        self.finish()
    }

    /// The cluster is there, and those who use it.
    pub(crate) fn begin(&mut self) -> Result<(), String> {
        let climate = format!("seed {}: {:?}", self.seed, self.climate);
        self.note(|| climate);
        for host in 0..self.nodes.len() {
            self.boot(host);
        }
        self.wait(BEGIN_MS, "the cluster is up", Self::is_founded)?;
        let all = self.partitions();
        self.add_clients(&all);
        Ok(())
    }

    /// It heals, and is judged.
    pub(crate) fn finish(&mut self) -> Result<Lived, String> {
        self.calm()?;
        self.judge_end()?;
        self.judge_mind()?;
        let pardons = self.witness.truths.values().map(|t| t.pardons).sum();
        let committed = self.witness.truths.values().map(|t| t.rows.len()).sum();
        Ok(Lived {
            acknowledged: self.acknowledged_count(),
            committed,
            pardons,
            group_commits: self.group_commits().iter().sum(),
            stale: self.witness.histories.stale,
            overdue: self.witness.overdue,
            ms: self.now,
        })
    }

    pub(crate) fn partitions(&self) -> Vec<TopicPartition> {
        let topics = self.agreed.newest().topics();
        let first = topics.map(|topic| TopicPartition {
            topic: topic.id,
            partition: 0,
        });
        first.collect()
    }

    /// Lives until something holds; that it does not in time is a broken promise.
    fn wait(
        &mut self,
        within_ms: u64,
        what: &str,
        mut holds: impl FnMut(&mut Self) -> bool,
    ) -> Result<(), String> {
        let end = self.now + within_ms;
        while !holds(self) {
            if self.now >= end {
                return Err(format!("I6: not within {within_ms} ms: {what}"));
            }
            self.live_until(self.now + LOOK_MS)?;
            self.boot_due();
        }
        self.note(|| format!("--- {what}"));
        Ok(())
    }

    /// Brokers serve, and topics are there; asks for them while they are not.
    fn is_founded(&mut self) -> bool {
        let image = Arc::clone(self.agreed.newest());
        let serving = image.brokers().filter(|b| b.is_active()).count();
        if serving < self.nodes.len() {
            return false;
        }
        let all = image.topic_count() == self.climate.topics.len();
        if !all {
            self.create_topics();
        }
        all
    }

    fn create_topics(&mut self) {
        let mut topics = Vec::new();
        for (number, kind) in (1..).zip(self.climate.topics.clone()) {
            let set = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
            let mut configs = vec![set(
                "min.insync.replicas",
                &self.climate.min_in_sync.to_string(),
            )];
            configs.extend(match kind {
                TopicKind::Strict | TopicKind::Offsets { unclean: false } => None,
                TopicKind::Unclean | TopicKind::Offsets { unclean: true } => {
                    Some(set("unclean.leader.election.enable", "true"))
                }
                TopicKind::Cached => Some(set("freshet.durability", "page-cache")),
            });
            topics.push(NewTopic {
                name: match kind {
                    TopicKind::Offsets { .. } => OFFSETS_TOPIC.to_owned(),
                    _ => format!("t{number}"),
                },
                id: TopicId([number; 16]),
                partitions: 1,
                replication_factor: 3,
                configs,
                ..NewTopic::default()
            });
        }
        let create = CreateTopics {
            topics,
            validate_only: false,
        };
        self.admin_asks(create.into());
    }

    pub(crate) fn boot_due(&mut self) {
        for host in 0..self.nodes.len() {
            let due = self.nodes[host].returns_at.is_some_and(|at| at <= self.now);
            if due {
                if self.is_up(host) {
                    // Its disk has failed; somebody starts it again.
                    self.kill(host);
                }
                self.boot(host);
            }
        }
    }

    /// All heals but one, then that one too.
    fn calm(&mut self) -> Result<(), String> {
        self.network.heal();
        self.network.weather = Weather::FINE;
        self.is_calm = true;
        self.note(|| "*** calm".to_owned());
        let dead = (0..self.nodes.len()).find(|host| !self.is_up(*host));
        for host in 0..self.nodes.len() {
            let now = self.now;
            let node = &mut self.nodes[host];
            node.clock.disturb(now, 1000, 0);
            node.stalled_until = 0;
            node.disk.pace = (1, 8);
            if node.disk.has_failed {
                self.kill(host);
            }
            self.nodes[host].returns_at = None;
            if !self.is_up(host) && Some(host) != dead {
                self.boot(host);
            }
        }
        if let Some(dead) = dead {
            self.wait(REPLACED_MS, "who is dead is replaced", |world| {
                world.is_replaced(dead)
            })?;
            self.boot(dead);
        }
        self.wait(HEALED_MS, "all is in sync", Self::is_whole)?;
        let (before, commits) = (self.acknowledged_count(), self.group_commits());
        self.wait(HEALED_MS, "more is acknowledged", |world| {
            let all = world.group_commits();
            let go_on = all.iter().zip(&commits).all(|(now, before)| now > before);
            go_on && world.acknowledged_count() > before + 5
        })?;
        self.witness.is_ending = true;
        self.wait(HEALED_MS, "all is acknowledged and copied", |world| {
            world.is_whole() && world.all_acknowledged() && world.judge_end().is_ok()
        })
        .map_err(|what| format!("{what}, {:?}", self.judge_end()))
    }

    /// Whether everything is led that others than the dead one could lead.
    fn is_replaced(&mut self, dead: usize) -> bool {
        let image = Arc::clone(self.agreed.newest());
        let fenced = image.broker(node_id(dead)).is_none_or(|b| b.fenced);
        let active = |host: usize| {
            host != dead && image.broker(node_id(host)).is_some_and(|b| b.is_active())
        };
        fenced
            && self.partitions().into_iter().all(|at| {
                let partition = image.partition(at).unwrap();
                let could = partition.clean().any(|node| host_of(node) != dead);
                let leader = partition.leader.map(host_of);
                !could || leader.is_some_and(|host| active(host) && self.leads(host, at))
            })
    }

    pub(crate) fn leads(&mut self, host: usize, at: TopicPartition) -> bool {
        let replica = self.replica(host, at);
        replica.is_some_and(|replica| matches!(replica.stand, Stand::Leads { .. }))
    }

    fn is_whole(&mut self) -> bool {
        let image = Arc::clone(self.agreed.newest());
        let serving = image.brokers().filter(|b| b.is_active()).count();
        serving == self.nodes.len()
            && self.partitions().into_iter().all(|at| {
                let partition = image.partition(at).unwrap();
                let all = partition.isr.len() == partition.replicas.len();
                let leader = partition.leader.map(host_of);
                all && !partition.is_moving() && leader.is_some_and(|host| self.leads(host, at))
            })
    }

    /// C1: what the active controller decides with is what everybody knows.
    fn judge_mind(&self) -> Result<(), String> {
        for host in 0..VOTERS {
            let seat = &self.nodes[host].seat;
            let Role::Leads(lead) = &seat.role else {
                continue;
            };
            let idle = lead.mind.as_ref().filter(|mind| mind.is_idle());
            let own = idle.map(|mind| mind.machine().snapshot());
            if own.is_some_and(|own| own != self.agreed.snapshot()) {
                return Err(format!("C1: controller {host} decides with another image"));
            }
        }
        Ok(())
    }
}
