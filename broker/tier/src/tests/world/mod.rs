//! Three brokers, a bucket and a shard of manifests under a seeded scheduler.
//!
//! Messages are late, lost and doubled; uploads arrive long after they were given up, or torn;
//! leaders do not know that they lead no more; the shard moves to hosts that know only what was
//! committed, while the old one goes on; brokers die; elections are unclean now and then; retention,
//! a cleaner that rewrites, exports and the collection of garbage go on all the time. A host that loses
//! the shard leaves what it was writing up to any record, in the middle of a snapshot as well. The shard
//! forgets the partition, and all disks are lost, now and then (`disaster.rs`). After every step the promises of
//! docs/tiering.md are looked at (`promises.rs`).
//!
//! Each rule of the machine ([`Guard`]) and each duty of the bodies around it ([`Duty`]) can be taken
//! away; then a life must be found that goes wrong, or the promises would prove nothing.

mod bucket;
mod cluster;
mod disaster;
mod endings;
mod leader;
mod promises;
mod shard;
mod uploads;

use std::collections::BTreeSet;

use freshet_types::{LeaderEpoch, Millis, Offset, TopicId, TopicPartition};

use crate::guard::{self, Guard};
use crate::machine::{Answer, Limits, Refusal, Request};
use crate::segment::{Segment, SegmentId};
use bucket::Bucket;
use cluster::Node;
use endings::{Ending, MOURNING};
use leader::Upload;
use shard::Shard;

const NODES: usize = 3;
const STEPS: u64 = 700;
const SEEDS: u64 = 400;
const GRACE: u64 = 60;
const PARTITION: TopicPartition = TopicPartition {
    topic: TopicId([9; 16]),
    partition: 0,
};
const LIMITS: Limits = Limits {
    grace_ms: GRACE,
    attempt_ms: 50,
    open: 8,
    replaced: 8,
    epochs: 64,
    claimed_epochs: 64,
    doomed: 16,
};

/// A rule of the bodies around the machine: `broker/partition` has them, and here this world plays them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Duty {
    /// A follower that has trimmed more than is in the bucket now begins anew.
    FollowersJoin,
    /// Only committed records are uploaded.
    BelowWatermark,
    /// An object is read back before it is committed.
    Verify,
    /// Records leave the disk only once their segment is committed.
    CommittedBeforeTrim,
    /// ... and once a manifest that names it is in the bucket.
    ExportedBeforeTrim,
    /// Nothing is deleted from the bucket but what the machine has doomed.
    DeleteOnlyDoomed,
    /// A leader whose manifest is new to the shard has it adopt what is in the bucket, before it does
    /// anything else.
    AdoptFirst,
    /// An empty log takes no records before its leader knows what is in the bucket.
    HoldsEmpty,
}

const DUTIES: [Duty; 8] = [
    Duty::FollowersJoin,
    Duty::BelowWatermark,
    Duty::Verify,
    Duty::CommittedBeforeTrim,
    Duty::ExportedBeforeTrim,
    Duty::DeleteOnlyDoomed,
    Duty::AdoptFirst,
    Duty::HoldsEmpty,
];

/// A stored record: who wrote it, and what.
type Row = (LeaderEpoch, u64);

struct Dice(u64);

impl Dice {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.word() % bound
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }

    fn offset(&mut self, from: Offset, to: Offset) -> Offset {
        from + i64::try_from(self.below((to - from + 1).unsigned_abs())).unwrap()
    }
}

fn index(offset: Offset) -> usize {
    usize::try_from(offset).unwrap()
}

fn offset(len: usize) -> Offset {
    i64::try_from(len).unwrap()
}

/// Who asks, and in which of its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Caller {
    node: usize,
    life: u64,
    ask: u64,
}

#[derive(Clone)]
enum Message {
    Ask(usize, Caller, Request),
    Answer(Caller, Result<Answer, Refusal>),
    Put(Caller, String, Vec<u8>, Upload),
    IsPut(Caller, Upload),
    Delete(String),
}

/// A reader on its way to an object.
struct Read {
    due: u64,
    segment: Segment,
    offset: Offset,
    row: Row,
}

struct World {
    dice: Dice,
    now: Millis,
    without: Option<Duty>,
    nodes: Vec<Node>,
    /// Who was elected last.
    current: usize,
    epoch: LeaderEpoch,
    unclean: Option<LeaderEpoch>,
    /// What is below the high watermark.
    committed: Vec<Row>,
    shard: Shard,
    bucket: Bucket,
    post: Vec<(u64, Message)>,
    reads: Vec<Read>,
    drawn: Vec<(u64, SegmentId)>,
    next_ask: u64,
    next_value: u64,
    /// Offsets that a cleaner was allowed to drop, and those that readers have missed since.
    cleaned: BTreeSet<Offset>,
    vanished: BTreeSet<Offset>,
    highest_start: Offset,
    /// Whether there are any in this life.
    disasters: bool,
    /// Replication is slow, and many elections are unclean.
    stormy: bool,
    /// The shard knows nothing of what is in the bucket; since when, the last time; and below where
    /// nobody knows any more what was deleted.
    is_forgotten: bool,
    forgotten_at: u64,
    excused: Offset,
    /// The topic is deleted, some day.
    ending: Option<Ending>,
    /// Something has changed that a promise may depend on.
    is_dirty: bool,
    is_over: bool,
    violation: Option<String>,
    told: Told,
    trace: u64,
}

/// What happened in a life.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Told {
    commits: u64,
    replacements: u64,
    collected: u64,
    trims: u64,
    reads: u64,
    cuts: u64,
    refusals: u64,
    disasters: u64,
    adoptions: u64,
    deletions: u64,
}

impl World {
    fn new(seed: u64, without: Option<Duty>) -> Self {
        let mut world = Self {
            dice: Dice(seed),
            now: Millis(0),
            without,
            nodes: (0..NODES).map(|_| Node::default()).collect(),
            current: 0,
            epoch: 0,
            unclean: None,
            committed: Vec::new(),
            shard: Shard::new(),
            bucket: Bucket::new(),
            post: Vec::new(),
            reads: Vec::new(),
            drawn: Vec::new(),
            next_ask: 0,
            next_value: 0,
            cleaned: BTreeSet::new(),
            vanished: BTreeSet::new(),
            highest_start: 0,
            disasters: seed % 2 == 1,
            stormy: seed % 4 == 2,
            is_forgotten: false,
            forgotten_at: 0,
            excused: 0,
            ending: None,
            is_dirty: false,
            is_over: false,
            violation: None,
            told: Told::default(),
            trace: 0,
        };
        world.elect(0, false);
        world
    }

    /// One whose topic is deleted. Its shard forgets nothing before: who lists no shard finds no topic.
    fn that_ends(seed: u64, keeps: bool) -> Self {
        let mut world = Self::new(2 * seed, None);
        world.ending = Some(Ending::new(200 + seed % 300, keeps));
        // No broker that counts.
        world.nodes.push(Node::default());
        world.nodes[NODES].is_dead = true;
        world
    }

    fn has(&self, duty: Duty) -> bool {
        self.without != Some(duty)
    }

    fn live(mut self) -> Result<(Told, u64), String> {
        let steps = self.ending.map_or(STEPS, |ending| ending.at + MOURNING);
        while self.now.0 < steps && !self.is_over {
            self.now.0 += 1;
            self.step();
            let broken = self.promises().or_else(|| self.finish_reads());
            if let Some(what) = broken {
                return Err(format!("{what} at {}", self.now.0));
            }
        }
        match self.legacy().filter(|_| !self.is_over) {
            Some(what) => Err(what),
            None => Ok((self.told, self.trace)),
        }
    }

    fn step(&mut self) {
        if let Some(ending) = self.mourned() {
            return self.mourn(ending);
        }
        let node = self.dice.index(NODES);
        match self.dice.below(1000) {
            0..300 => self.produce(),
            300..420 if !self.stormy || self.dice.chance(40) => self.follow(node),
            420..425 => self.crash(node),
            425..440 => self.restart(node),
            440..446 => self.elect_somebody(),
            446..454 => self.elect_uncleanly(node),
            454..462 => self.learn(node),
            462..465 => self.move_shard(),
            465..615 => self.read(),
            615..617 if self.disasters => self.disaster(),
            617..621 => self.write_snapshot(),
            621..636 if !self.disasters => self.elect_uncleanly(node),
            636..661 if self.stormy => self.elect_uncleanly(node),
            _ => {}
        }
        self.advance();
        self.deliver();
        self.commit_in_shard();
        for node in 0..NODES {
            self.tend(node);
        }
    }

    /// Sends a message, which may be late, lost or doubled.
    fn send(&mut self, message: Message) {
        if self.dice.chance(5) {
            return;
        }
        if self.dice.chance(6) {
            let late = self.dice.below(45);
            self.post.push((self.now.0 + late, message.clone()));
        }
        let late = if self.dice.chance(6) {
            self.dice.below(40)
        } else {
            self.dice.below(2)
        };
        self.post.push((self.now.0 + late, message));
    }

    fn deliver(&mut self) {
        let now = self.now.0;
        let (due, later) = std::mem::take(&mut self.post)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.post = later;
        let due: Vec<(u64, Message)> = due;
        for (_, message) in due {
            self.receive(message);
        }
    }

    fn receive(&mut self, message: Message) {
        let kind = match &message {
            Message::Ask(..) => 1,
            Message::Answer(..) => 2,
            Message::Put(..) => 3,
            Message::IsPut(..) => 4,
            Message::Delete(_) => 5,
        };
        let seen = [self.trace, self.now.0, kind, self.dice.0];
        self.trace = seen.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, word| {
            (hash ^ word).wrapping_mul(0x0100_0000_01b3)
        });
        match message {
            Message::Ask(host, caller, request) => self.ask_host(host, caller, request),
            Message::Answer(caller, reply) => self.answered(caller, reply),
            Message::Put(caller, key, bytes, what) => self.put(caller, &key, bytes, what),
            Message::IsPut(caller, what) => self.is_put(caller, &what),
            Message::Delete(key) => {
                self.is_dirty = true;
                self.bucket.delete(&key);
            }
        }
    }
}

fn lived(seed: u64, guard: Option<Guard>, duty: Option<Duty>) -> Result<(Told, u64), String> {
    guard::without(guard, || World::new(seed, duty).live())
}

/// `FRESHET_SEEDS=from..to` lives other lives.
fn seeds() -> std::ops::Range<u64> {
    let asked = std::env::var("FRESHET_SEEDS").unwrap_or_default();
    let numbers = asked
        .split_once("..")
        .map(|(from, to)| (from.parse(), to.parse()));
    match numbers {
        Some((Ok(from), Ok(to))) => from..to,
        _ => 0..SEEDS,
    }
}

#[test]
fn every_offset_is_readable_and_reads_the_same() {
    let mut all = Told::default();
    let seeds = seeds();
    let lives = seeds.end - seeds.start;
    for seed in seeds {
        let (told, _) =
            lived(seed, None, None).unwrap_or_else(|what| panic!("seed {seed}: {what}"));
        all.commits += told.commits;
        all.replacements += told.replacements;
        all.collected += told.collected;
        all.trims += told.trims;
        all.reads += told.reads;
        all.cuts += told.cuts;
        all.refusals += told.refusals;
        all.disasters += told.disasters;
        all.adoptions += told.adoptions;
    }
    println!("{all:?}");
    let least = [
        all.commits / 5,
        all.replacements,
        all.collected / 3,
        all.trims,
        all.reads,
        all.cuts * 10,
        all.refusals,
        all.disasters * 4,
        all.adoptions * 4,
    ];
    let idle = least.iter().any(|count| *count < lives);
    assert!(!idle, "the faults stop everything: {all:?}");
}

#[test]
fn a_seed_replays() {
    for seed in 0..20 {
        assert_eq!(lived(seed, None, None), lived(seed, None, None));
    }
}

/// Lives without a rule at most.
const LIVES: u64 = 20 * SEEDS;

/// Lives that were found to notice, so that a run need not search. Any change of the world may make
/// others of them; then it searches.
const KNOWN: [(&str, u64); 3] = [
    ("LeaderEpoch", 4037),
    ("FollowersJoin", 6626),
    ("VersionsApart", 5083),
];

/// Whether a life goes wrong without a rule that goes well with it.
fn is_noticed(name: &str, guard: Option<Guard>, duty: Option<Duty>) -> bool {
    let known = KNOWN.iter().filter(|(of, _)| *of == name);
    let mut seeds = known.map(|(_, seed)| *seed).chain(0..LIVES);
    let found = seeds.find_map(|seed| Some((seed, lived(seed, guard, duty).err()?)));
    println!("without {name}: {found:?}");
    found.is_some_and(|(seed, _)| lived(seed, None, None).is_ok())
}

#[test]
fn no_rule_of_the_machine_is_idle() {
    let noticed = |guard: &Guard| is_noticed(&format!("{guard:?}"), Some(*guard), None);
    let idle: Vec<_> = Guard::ALL.iter().filter(|g| !noticed(g)).collect();
    assert!(idle.is_empty(), "nothing goes wrong without {idle:?}");
}

#[test]
fn no_duty_of_the_bodies_is_idle() {
    let noticed = |duty: &Duty| is_noticed(&format!("{duty:?}"), None, Some(*duty));
    let idle: Vec<_> = DUTIES.into_iter().filter(|d| !noticed(d)).collect();
    assert!(idle.is_empty(), "nothing goes wrong without {idle:?}");
}

/// Nothing is read any more, and nothing is left; or all that readers were sent to stays as it was, and can be
/// restored at any moment.
#[test]
fn what_a_deleted_topic_has_goes_or_stays_as_it_was() {
    for keeps in [false, true] {
        let mut all = Told::default();
        for seed in 0..SEEDS / 4 {
            let (told, _) = World::that_ends(seed, keeps)
                .live()
                .unwrap_or_else(|what| panic!("seed {seed}, keeps {keeps}: {what}"));
            all.commits += told.commits;
            all.collected += told.collected;
            all.deletions += told.deletions;
        }
        println!("keeps {keeps}: {all:?}");
        let least = [all.commits, all.collected, all.deletions];
        assert!(least.iter().all(|count| *count >= SEEDS / 8), "{all:?}");
    }
}
