//! Random lives of a cluster, with logs behind the partitions: whatever happens, nobody leads who
//! misses what was committed, unless an audit record says so.

use std::collections::{BTreeSet, VecDeque};

use freshet_types::{StoredRecord, TopicPartition};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use super::*;
use crate::guard::{Guard, without};
use crate::replicas::Rules;

const NODES: i32 = 4;

#[derive(Debug, Clone)]
enum Step {
    Register {
        node: i32,
        past: u8,
    },
    /// A whole absence: fenced, another process, let in again.
    Restart {
        node: i32,
        past: u8,
    },
    /// A follower catches up, is proposed, loses its disks and is back before that arrives.
    Ghost {
        partition: usize,
        node: i32,
    },
    Beat {
        node: i32,
        stale: bool,
        fence: bool,
        stop: bool,
        offline: u8,
    },
    Everybody,
    Pass(u64),
    Produce(usize),
    Follow {
        partition: usize,
        node: i32,
    },
    Propose {
        partition: usize,
        mask: u8,
        stale: u8,
    },
    Reassign {
        partition: usize,
        replicas: Vec<i32>,
        cancel: bool,
    },
    Elect {
        partition: usize,
        unclean: bool,
    },
    MinInsync {
        topic: bool,
        count: i32,
    },
    Directory {
        partition: usize,
        node: i32,
        second: bool,
    },
    Cordon {
        node: i32,
        cordoned: bool,
    },
    Failover,
}

fn step() -> impl Strategy<Value = Step> {
    let node = 1..=NODES;
    let partition = 0..4usize;
    prop_oneof![
        2 => (node.clone(), 0..6u8).prop_map(|(node, past)| Step::Register { node, past }),
        2 => (node.clone(), 0..6u8).prop_map(|(node, past)| Step::Restart { node, past }),
        1 => (partition.clone(), node.clone())
            .prop_map(|(partition, node)| Step::Ghost { partition, node }),
        4 => (node.clone(), 0..24u8, 0..3u8).prop_map(|(node, what, offline)| Step::Beat {
            node,
            stale: what == 0,
            fence: what == 1,
            stop: (2..6).contains(&what),
            offline: if (6..10).contains(&what) {
                offline
            } else {
                0
            },
        }),
        6 => Just(Step::Everybody),
        3 => (0..1500u64).prop_map(Step::Pass),
        5 => partition.clone().prop_map(Step::Produce),
        8 => (partition.clone(), node.clone())
            .prop_map(|(partition, node)| Step::Follow { partition, node }),
        8 => (partition.clone(), 0..16u8, 0..12u8)
            .prop_map(|(partition, mask, stale)| Step::Propose { partition, mask, stale }),
        2 => (partition.clone(), prop::collection::vec(1..=NODES + 1, 1..4), any::<bool>())
            .prop_map(|(partition, replicas, cancel)| Step::Reassign { partition, replicas, cancel }),
        1 => (partition.clone(), 0..4u8)
            .prop_map(|(partition, kind)| Step::Elect { partition, unclean: kind == 0 }),
        1 => (any::<bool>(), 1..4i32)
            .prop_map(|(topic, count)| Step::MinInsync { topic, count }),
        1 => (partition, node.clone(), any::<bool>())
            .prop_map(|(partition, node, second)| Step::Directory { partition, node, second }),
        1 => (node, any::<bool>()).prop_map(|(node, cordoned)| Step::Cordon { node, cordoned }),
        1 => Just(Step::Failover),
    ]
}

/// What a replica has: unique records.
type Log = Vec<u64>;

struct World {
    cluster: Cluster,
    /// Another node of the quorum: gets the records as bytes.
    other: MetadataMachine,
    partitions: Vec<TopicPartition>,
    logs: BTreeMap<(TopicPartition, i32), Log>,
    committed: BTreeMap<TopicPartition, Log>,
    /// Proposals on their way.
    held: VecDeque<AlterPartitions>,
    produced: u64,
    lives: u8,
    /// Copies that a step may drop from the clean ones.
    may_lose: bool,
    /// A step may add to the clean ones.
    may_join: bool,
}

fn common(a: &[u64], b: &[u64]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

fn directories(node: i32) -> Vec<DirectoryId> {
    let node = u8::try_from(node).unwrap();
    vec![DirectoryId([node; 16]), DirectoryId([node + 100; 16])]
}

fn options() -> MetadataOptions {
    MetadataOptions::of_cluster(statics(&[]), SessionOptions::default())
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            cluster: Cluster::of_options(options()),
            other: MetadataMachine::new(options()),
            partitions: Vec::new(),
            logs: BTreeMap::new(),
            committed: BTreeMap::new(),
            held: VecDeque::new(),
            produced: 0,
            lives: 0,
            may_lose: false,
            may_join: true,
        };
        for node in 1..=NODES {
            world.take(Step::Register { node, past: 0 });
        }
        world.take(Step::Everybody);
        for (name, setting) in [
            ("fsync", None),
            ("cache", Some(("freshet.durability", "page-cache"))),
            ("unclean", Some(("unclean.leader.election.enable", "true"))),
        ] {
            let config = |(n, v): (&str, &str)| (n.to_owned(), Some(v.to_owned()));
            let topic = NewTopic {
                partitions: if setting.is_none() { 2 } else { 1 },
                configs: setting.map(config).into_iter().collect(),
                ..topic(name)
            };
            let id = world.cluster.ask(create(vec![topic])).remove(0).unwrap().id;
            world.observe(&BTreeMap::new());
            let count = world
                .cluster
                .image()
                .topic_by_id(id)
                .unwrap()
                .partitions
                .len();
            let at = |partition| TopicPartition {
                topic: id,
                partition,
            };
            let numbers = (0..).take(count);
            world.partitions.extend(numbers.map(at));
        }
        world
    }

    fn before(&self) -> BTreeMap<TopicPartition, Arc<Partition>> {
        let find = |at: &TopicPartition| self.cluster.image().partition(*at).cloned();
        let each = self.partitions.iter();
        each.filter_map(|at| Some((*at, find(at)?))).collect()
    }

    fn rules(&self, at: TopicPartition) -> Rules {
        let topic = self.cluster.image().topic_by_id(at.topic).unwrap();
        Rules::of(&self.cluster.machine.layers(), &topic.configs)
    }

    fn log(&self, at: TopicPartition, node: NodeId) -> Log {
        self.logs.get(&(at, node.0)).cloned().unwrap_or_default()
    }

    fn take(&mut self, step: Step) {
        let before = self.before();
        (self.may_lose, self.may_join) = (false, false);
        match step {
            Step::Register { node, past } => self.register(node, past),
            Step::Ghost { partition, node } => {
                let propose = |stale| Step::Propose {
                    partition,
                    mask: u8::MAX,
                    stale,
                };
                self.take(Step::Follow { partition, node });
                self.take(propose(1));
                self.take(Step::Restart { node, past: 5 });
                self.take(Step::Everybody);
                return self.take(propose(5));
            }
            Step::Restart { node, past } => {
                self.take(Step::Beat {
                    node,
                    stale: false,
                    fence: true,
                    stop: false,
                    offline: 0,
                });
                self.take(Step::Register { node, past });
                return self.take(Step::Everybody);
            }
            Step::Beat {
                node,
                stale,
                fence,
                stop,
                offline,
            } => {
                let mut beat = self.cluster.heartbeat(node);
                beat.epoch -= i64::from(stale);
                beat.wants_fence = fence;
                beat.wants_shutdown = stop;
                beat.offline_directories =
                    directories(node).into_iter().take(offline.into()).collect();
                let _ = self.cluster.ask(beat);
            }
            Step::Everybody => {
                for node in 1..=NODES {
                    let before = self.before();
                    self.cluster.beat(node);
                    self.observe(&before);
                }
                return;
            }
            Step::Pass(ms) => self.cluster.pass(ms),
            Step::Produce(partition) => self.produce(self.partitions[partition]),
            Step::Follow { partition, node } => self.follow(self.partitions[partition], node),
            Step::Propose {
                partition,
                mask,
                stale,
            } => self.propose(partition, mask, stale),
            Step::Reassign {
                partition,
                replicas,
                cancel,
            } => {
                let reassignment = Reassignment {
                    partition: self.name(partition),
                    replicas: (!cancel).then(|| nodes(&replicas)),
                };
                let outcome = self.cluster.ask(Reassign {
                    changes: vec![reassignment],
                    allow_factor_change: true,
                });
                assert_eq!(outcome.len(), 1);
            }
            Step::Elect { partition, unclean } => {
                let named = vec![self.name(partition)];
                self.cluster.ask(ElectLeaders {
                    unclean,
                    partitions: Some(named),
                });
            }
            Step::MinInsync { topic, count } => {
                let target = match topic {
                    true => ConfigTarget::Topic("fsync".into()),
                    false => ConfigTarget::Cluster,
                };
                self.cluster
                    .set(target, "min.insync.replicas", &count.to_string());
            }
            Step::Directory {
                partition,
                node,
                second,
            } => self.move_to(partition, node, second),
            Step::Cordon { node, cordoned } => {
                let node = NodeId(node);
                let _ = self.cluster.ask(CordonBroker { node, cordoned });
            }
            Step::Failover => {
                self.cluster.records.clear();
                self.cluster.timers.clear();
                let loaded = self.cluster.machine.loaded(self.cluster.now);
                self.cluster.absorb(loaded);
            }
        }
        self.observe(&before);
    }

    fn name(&self, partition: usize) -> PartitionName {
        let at = self.partitions[partition];
        let topic = self.cluster.image().topic_by_id(at.topic).unwrap();
        PartitionName {
            topic: topic.name.to_string(),
            partition: at.partition,
        }
    }

    /// A new process: 0 and 1 stopped cleanly, 2 and 3 crashed, 4 and 5 lost their disks.
    fn register(&mut self, node: i32, past: u8) {
        self.lives += 1;
        let known = self.cluster.image().broker(NodeId(node)).map(|b| b.epoch);
        let past = match (known, past) {
            (None, _) | (_, 4 | 5) => PastLife::None,
            (Some(epoch), 0 | 1) => PastLife::Clean(epoch),
            (Some(epoch), _) => PastLife::Crashed(epoch),
        };
        let request = RegisterBroker {
            incarnation: [self.lives; 16],
            directories: directories(node),
            past,
            ..broker(node)
        };
        if self.cluster.ask(request).is_err() {
            return;
        }
        self.may_lose = true;
        for at in self.partitions.clone() {
            let tail = self.rules(at).crash_loses_tail;
            if let Some(log) = self.logs.get_mut(&(at, node)) {
                match past {
                    PastLife::None => log.clear(),
                    PastLife::Crashed(_) if tail => log.truncate(log.len() / 2),
                    _ => {}
                }
            }
        }
    }

    fn produce(&mut self, at: TopicPartition) {
        self.cluster.records.clear();
        let Some(leader) = self.cluster.image().partition(at).unwrap().leader else {
            return;
        };
        self.produced += 1;
        self.logs
            .entry((at, leader.0))
            .or_default()
            .push(self.produced);
        self.commit(at);
    }

    fn follow(&mut self, at: TopicPartition, node: i32) {
        self.cluster.records.clear();
        let partition = Arc::clone(self.cluster.image().partition(at).unwrap());
        let up = self.cluster.image().broker(NodeId(node)).is_some_and(|b| {
            let directory = partition.directory(NodeId(node));
            directory.is_some_and(|directory| b.has_online(directory))
        });
        if let Some(leader) = partition.leader.filter(|leader| up && leader.0 != node) {
            let log = self.log(at, leader);
            self.logs.insert((at, node), log);
            self.commit(at);
        }
    }

    /// The high watermark moves while enough are in sync.
    fn commit(&mut self, at: TopicPartition) {
        let partition = Arc::clone(self.cluster.image().partition(at).unwrap());
        let Some(leader) = partition.leader else {
            return;
        };
        if partition.isr.len() < self.rules(at).min_insync(partition.replicas.len()) {
            return;
        }
        let log = self.log(at, leader);
        // A leader waits for those that it has proposed as well: they may be in sync by now.
        let proposed = self.held.iter().flat_map(|late| &late.partitions);
        let proposed = proposed
            .filter(|p| p.at == at && p.leader_epoch == partition.leader_epoch)
            .flat_map(|p| p.isr.iter().map(|(node, _)| node));
        let flushed = partition
            .isr
            .iter()
            .chain(proposed)
            .map(|n| common(&log, &self.log(at, *n)));
        let high = flushed.min().unwrap_or(0);
        let committed = self.committed.entry(at).or_default();
        if high > committed.len() {
            committed.clone_from(&log[..high].to_vec());
        }
    }

    /// The leader proposes who is caught up, and drops who is not in the mask. A proposal may come
    /// late: 1 to 3 hold it back, 4 to 6 send what was held back.
    fn propose(&mut self, partition: usize, mask: u8, stale: u8) {
        self.cluster.records.clear();
        if (4..=6).contains(&stale) {
            let late = match stale {
                4 => self.held.pop_front(),
                _ => self.held.pop_back(),
            };
            if let Some(late) = late {
                self.send(late);
            }
            return;
        }
        let at = self.partitions[partition];
        let was = Arc::clone(self.cluster.image().partition(at).unwrap());
        let Some(leader) = was.leader else {
            return;
        };
        let log = self.log(at, leader);
        let image = self.cluster.image();
        let epoch = |n: NodeId| image.broker(n).map_or(-1, |b| b.epoch);
        let caught_up = |n: &NodeId| common(&log, &self.log(at, *n)) == log.len();
        let wanted = |n: &NodeId| mask & (1 << (n.0 - 1)) != 0;
        let member =
            |n: &&NodeId| **n == leader || wanted(n) && (was.isr.contains(n) || caught_up(n));
        let isr = was
            .replicas
            .iter()
            .filter(member)
            .map(|n| (*n, epoch(*n)))
            .collect();
        let proposal = ProposedIsr {
            at,
            leader_epoch: was.leader_epoch,
            partition_epoch: was.partition_epoch,
            isr,
        };
        let request = AlterPartitions {
            node: leader,
            broker_epoch: epoch(leader),
            partitions: vec![proposal],
        };
        if (1..=3).contains(&stale) {
            self.held.push_back(request);
        } else {
            self.send(request);
        }
    }

    fn send(&mut self, request: AlterPartitions) {
        let at = request.partitions[0].at;
        // Refused as a whole when the leader is another process by now.
        let _ = self.cluster.ask(request);
        self.may_join = true;
        self.commit(at);
    }

    fn move_to(&mut self, partition: usize, node: i32, second: bool) {
        let at = self.partitions[partition];
        let image = self.cluster.image();
        let broker = image.broker(NodeId(node)).unwrap();
        let before = image.partition(at).unwrap().directory(NodeId(node));
        let online = before.is_some_and(|directory| broker.has_online(directory));
        let directory = directories(node)[usize::from(second)];
        let request = AssignDirectories {
            node: NodeId(node),
            broker_epoch: broker.epoch,
            replicas: vec![AssignedPartition {
                at,
                directory,
                whole: false,
            }],
        };
        let outcome = self.cluster.ask(request).unwrap().remove(0);
        if outcome.is_ok() && before != Some(directory) && !online {
            self.logs.remove(&(at, node));
            self.may_lose = true;
        }
    }

    fn observe(&mut self, before: &BTreeMap<TopicPartition, Arc<Partition>>) {
        let records = std::mem::take(&mut self.cluster.records);
        let mut seen = before.clone();
        let mut audited = BTreeSet::new();
        for record in &records {
            if let Record::UncleanElection(election) = record {
                audited.insert(election.at);
                let log = self.log(election.at, election.leader);
                let committed = self.committed.entry(election.at).or_default();
                committed.truncate(common(committed, &log));
            }
        }
        for record in &records {
            self.other
                .apply(&Record::from_bytes(&record.to_bytes()).unwrap());
            if let Record::Partition { at, partition } = record
                && let Some(was) = seen.insert(*at, Arc::clone(partition))
            {
                check_step(&was, partition);
                self.check_clean(*at, &was, partition, audited.contains(at));
            }
        }
        for at in before.keys() {
            let is = Arc::clone(self.cluster.image().partition(*at).unwrap());
            self.check_state(*at, &is);
            self.check_log(*at, &is);
        }
    }

    /// Who is clean stays so unless there is a reason, and nobody becomes clean by himself.
    fn check_clean(&self, at: TopicPartition, was: &Partition, is: &Partition, audited: bool) {
        let clean = |p: &Partition| p.clean().collect::<BTreeSet<_>>();
        let (before, after) = (clean(was), clean(is));
        if audited {
            return;
        }
        assert!(
            self.may_join || after.is_subset(&before),
            "{at}: {was:?} became {is:?}"
        );
        assert!(
            self.may_lose || before.is_empty() || !after.is_empty(),
            "{at}: the last clean copy went: {was:?} became {is:?}"
        );
        let min = self.rules(at).min_insync(is.replicas.len());
        for node in before.difference(&after) {
            let allowed = self.may_lose || is.isr.len() >= min || !is.replicas.contains(node);
            assert!(
                allowed,
                "{at}: {node} is clean no more: {was:?} became {is:?}"
            );
        }
    }

    fn check_state(&self, at: TopicPartition, is: &Partition) {
        let image = self.cluster.image();
        let unique = |nodes: &[NodeId]| nodes.iter().collect::<BTreeSet<_>>().len() == nodes.len();
        let within = |nodes: &[NodeId]| nodes.iter().all(|n| is.replicas.contains(n));
        assert!(!is.replicas.is_empty() && is.replicas.len() == is.directories.len());
        for nodes in [&is.replicas, &is.isr, &is.eligible, &is.last_known_eligible] {
            assert!(unique(nodes) && within(nodes), "{at}: {is:?}");
        }
        assert!(within(&is.adding) && within(&is.removing), "{at}: {is:?}");
        assert!(
            !is.isr.iter().any(|n| is.eligible.contains(n)),
            "{at}: {is:?}"
        );
        let reach = |node: &NodeId| {
            let directory = is.directory(*node).unwrap();
            image
                .broker(*node)
                .filter(|b| !b.fenced && b.has_online(directory))
        };
        assert!(
            is.isr.iter().all(|n| reach(n).is_some()),
            "{at}: fenced in sync: {is:?}"
        );
        match is.leader {
            Some(leader) => assert!(is.isr.contains(&leader), "{at}: {is:?}"),
            None => {
                let could = |n: &NodeId| reach(n).is_some_and(|b| b.is_active());
                let idle = is.clean().find(could);
                assert_eq!(idle, None, "{at}: nobody leads, and somebody could: {is:?}");
            }
        }
        let min = self.rules(at).min_insync(is.replicas.len());
        assert!(is.eligible.is_empty() || is.isr.len() < min, "{at}: {is:?}");
    }

    /// What was committed is with whoever leads, and with everybody clean.
    fn check_log(&self, at: TopicPartition, is: &Partition) {
        let committed = self.committed.get(&at).cloned().unwrap_or_default();
        for node in is.clean() {
            let has = common(&committed, &self.log(at, node));
            assert_eq!(
                has,
                committed.len(),
                "{at}: {node} misses committed records: {is:?}"
            );
        }
    }

    fn finish(mut self) {
        let snapshot = self.cluster.machine.snapshot();
        assert_eq!(self.other.snapshot(), snapshot);
        let mut restored = MetadataMachine::new(options());
        snapshot.iter().for_each(|record| restored.apply(record));
        assert_eq!(restored.snapshot(), snapshot);
        for node in 1..=NODES {
            let held = |m: &MetadataMachine| m.holdings.of(NodeId(node)).collect::<Vec<_>>();
            let replicas = self.partitions.iter().filter(|at| {
                let partition = self.cluster.image().partition(**at).unwrap();
                partition.replicas.contains(&NodeId(node))
            });
            let mut found: Vec<_> = replicas.copied().collect();
            found.sort_unstable();
            assert_eq!(held(&self.cluster.machine), found);
            assert_eq!(held(&restored), found);
            for directory in directories(node) {
                let count = |m: &MetadataMachine| m.holdings.count_in(NodeId(node), directory);
                let there = found.iter().filter(|at| {
                    let partition = self.cluster.image().partition(**at).unwrap();
                    partition.directory(NodeId(node)) == Some(directory)
                });
                assert_eq!(count(&self.cluster.machine), there.count());
                assert_eq!(count(&restored), count(&self.cluster.machine));
            }
        }
        // Once everybody is back and follows, everything is led.
        for _ in 0..3 {
            for node in 1..=NODES {
                self.take(Step::Pass(2_000));
                self.take(Step::Register { node, past: 0 });
            }
        }
        self.take(Step::Everybody);
        for at in self.partitions.clone() {
            let is = Arc::clone(self.cluster.image().partition(at).unwrap());
            assert!(
                is.leader.is_some() || is.clean().next().is_none(),
                "{at}: {is:?}"
            );
        }
    }
}

/// Epochs tell every change.
fn check_step(was: &Partition, is: &Partition) {
    assert_eq!(is.partition_epoch, was.partition_epoch + 1);
    let risen = is.leader_epoch - was.leader_epoch;
    assert!((0..=1).contains(&risen), "{was:?} became {is:?}");
    assert!(
        risen == 1 || is.leader == was.leader,
        "{was:?} became {is:?}"
    );
}

fn lives() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..120)
}

fn live(life: Vec<Step>) {
    let mut world = World::new();
    for step in life {
        world.take(step);
    }
    world.finish();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn nothing_committed_is_lost_without_an_audit_record(life in lives()) {
        live(life);
    }
}

/// The life of a seed, always the same.
fn life(seed: u64) -> Vec<Step> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
    let tree = lives().new_tree(&mut runner).expect("a life");
    tree.current()
}

/// Beside the random ones, so that a seed can be named.
#[test]
fn many_lives_and_nothing_committed_is_lost() {
    (0..500).map(life).for_each(live);
}

#[test]
fn no_guard_is_idle() {
    const ENOUGH: u64 = 2_000;
    let caught = |guard| {
        let dies = |seed: &u64| {
            let life = life(*seed);
            let lived = std::panic::catch_unwind(|| without(Some(guard), || live(life)));
            lived.is_err()
        };
        (0..ENOUGH).find(dies)
    };
    let all = Guard::ALL.iter().copied();
    for guard in all.filter(|guard| !guard.is_of_clusters()) {
        let seed = caught(guard);
        assert!(seed.is_some(), "nothing is noticed without {guard:?}");
    }
}
