//! The rows of the benchmark: what is done, and what Freshet has to reach in it.

use std::collections::BTreeMap;

use crate::args::Side;
use crate::bars::Bar;
use crate::client::{Job, Place, Role};

/// When an acknowledged record is safe on Freshet. Kafka's is always in the page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Flushed to disk before the ack; requests that wait together share a flush.
    Fsync,
    /// Handed to the kernel before the ack.
    PageCache,
}

impl Durability {
    /// In words, for one side.
    pub(crate) fn words(self, side: Side) -> &'static str {
        match (self, side) {
            (Self::Fsync, Side::Freshet) => "fsync",
            _ => "page cache",
        }
    }
}

/// How a row's CPU time is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Per {
    /// Seconds for 10^9 bytes of record values.
    Gigabyte,
    /// Microseconds for a record.
    Record,
}

/// Work that a client does on a topic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) role: Role,
    pub(crate) partitions: u32,
    pub(crate) records: u64,
    pub(crate) before: u64,
    pub(crate) size: u64,
    pub(crate) batch: u64,
    pub(crate) linger: u64,
    pub(crate) rate: u64,
    pub(crate) durability: Durability,
    pub(crate) per: Per,
    /// Copies of each partition, of which two must be in sync when there are three.
    pub(crate) replicas: u32,
}

/// What is measured in a row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// From the start of the process to its first answer, with an empty folder.
    Start,
    /// CPU of a broker that nobody talks to, with a topic of so many partitions (0: without one).
    Idle { partitions: u32 },
    /// A client's work.
    Load(Load),
    /// CPU of a cluster of three that nobody talks to, with a topic of so many partitions of three copies
    /// (0: without one).
    ThreeIdle { partitions: u32 },
    /// A client's work on a cluster of three; CPU is that of the whole cluster.
    Three(Load),
    /// A cluster of three with so many partitions on each: made, at rest, restarted, without one
    /// broker and with it again.
    ThreeMany { partitions: u32 },
    /// A flow of records while replicas of another topic move at a limited rate in bytes per second.
    ThreeMoves { load: Load, rate: u64 },
    /// A flow of records while one broker after the other restarts.
    ThreeRoll(Load),
    /// The same work on a topic of few partitions and on one of many.
    Partitions { few: u32, load: Load },
    /// From the start of the process to its first answer, with many partitions and their records;
    /// the stop before it, and the resident memory after it.
    Restart { partitions: u32 },
    /// Work with a bucket on an S3 server.
    Tier(Tier, Load),
    /// What is installed to run a broker.
    Binary,
    /// Resident memory: after the start, and after everything above.
    Memory,
}

/// What is done with a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    /// Records are produced, and copied.
    Copy,
    /// Records that have left the disk are read.
    Read,
    /// Records come at fixed times while others are read that have left the disk.
    Replay,
    /// Replicas move to a broker that has nothing of them.
    Replace,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) kind: Kind,
    /// The bars of the numbers that have one, by the number's name.
    pub(crate) bars: &'static [(&'static str, Bar)],
}

impl Row {
    pub(crate) fn bar(&self, number: &str) -> Bar {
        let named = self.bars.iter().find(|(name, _)| *name == number);
        named.map_or(Bar::NONE, |(_, bar)| *bar)
    }
}

impl Load {
    /// The job for a client on `topic`, with the work divided by `divisor`.
    pub(crate) fn job(&self, side: Side, bootstrap: String, topic: String, divisor: u64) -> Job {
        let mut config = BTreeMap::new();
        if (self.durability, side) == (Durability::PageCache, Side::Freshet) {
            config.insert("freshet.durability", "page-cache");
        }
        if self.replicas > 1 {
            config.insert("min.insync.replicas", "2");
        }
        Job {
            place: Place::default(),
            role: self.role,
            bootstrap,
            topic,
            partitions: self.partitions,
            replicas: self.replicas,
            config,
            create: true,
            remove: true,
            records: self.records / divisor,
            before: self.before / divisor,
            size: self.size,
            batch: self.batch,
            linger: self.linger,
            rate: self.rate,
        }
    }

    /// What a reader of the table must know about the work.
    pub(crate) fn words(&self) -> String {
        let Self {
            partitions,
            size,
            batch,
            linger,
            rate,
            ..
        } = self;
        let sending = match self.role {
            Role::Consume => String::new(),
            Role::One => ", linger 0, one record in flight".into(),
            Role::Open | Role::Flow => format!(", linger 0, {rate} records/s offered"),
            Role::Produce | Role::Tail => {
                format!(", batch ≤ {} KiB, linger {linger} ms", batch / 1024)
            }
        };
        let copies = match self.replicas {
            1 => String::new(),
            replicas => format!(" of {replicas} copies, min.insync.replicas 2"),
        };
        format!(
            "{size} B records, {partitions} partitions{copies}{sending}, acks=all, no compression, no TLS"
        )
    }
}

const PRODUCE: Load = Load {
    role: Role::Produce,
    partitions: 6,
    records: 1_000_000,
    before: 0,
    size: 1024,
    batch: 128 * 1024,
    linger: 5,
    rate: 0,
    durability: Durability::Fsync,
    per: Per::Gigabyte,
    replicas: 1,
};

const CONSUME: Load = Load {
    role: Role::Consume,
    ..PRODUCE
};

const ONE: Load = Load {
    role: Role::One,
    partitions: 1,
    records: 5_000,
    before: 2_000,
    size: 1024,
    batch: 16 * 1024,
    linger: 0,
    per: Per::Record,
    ..PRODUCE
};

const SMALL: Load = Load {
    records: 3_000_000,
    size: 100,
    per: Per::Record,
    ..PRODUCE
};

const TIERED: Load = Load {
    partitions: 1,
    ..PRODUCE
};

/// What is read of a bucket: one partition from its beginning.
pub(crate) const COLD: Load = Load {
    role: Role::Consume,
    partitions: 1,
    ..PRODUCE
};

const FLOW: Load = Load {
    role: Role::Flow,
    partitions: 3,
    rate: 300,
    replicas: 3,
    ..ONE
};

/// What both brokers do before anything counts: a JVM gets three times faster while it warms up.
pub(crate) const WARM_UP: &[Load] = &[
    Load {
        records: 2_000_000,
        ..SMALL
    },
    Load {
        records: 600_000,
        ..PRODUCE
    },
    Load {
        records: 2_000,
        before: 0,
        ..ONE
    },
];

/// The same for three brokers that share the machine.
pub(crate) const WARM_UP_THREE: &[Load] = &[
    Load {
        records: 600_000,
        replicas: 3,
        ..PRODUCE
    },
    Load {
        records: 3_000,
        before: 0,
        replicas: 3,
        ..ONE
    },
];

/// All rows in the order in which they are measured.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "start",
        about: "process start to first answer, empty folder",
        kind: Kind::Start,
        bars: &[("start", Bar::at_most(100.0))],
    },
    Row {
        name: "idle",
        about: "a broker that nobody talks to, few topics",
        kind: Kind::Idle { partitions: 0 },
        bars: &[("broker CPU", Bar::at_most(0.3))],
    },
    Row {
        name: "produce-1k",
        about: "produce 1 KiB records in batches of at most 128 KiB",
        kind: Kind::Load(PRODUCE),
        bars: &[("broker CPU", Bar::both(0.9, 0.35))],
    },
    Row {
        name: "produce-1k-page-cache",
        about: "the same, acknowledged from the page cache as Kafka does",
        kind: Kind::Load(Load {
            durability: Durability::PageCache,
            ..PRODUCE
        }),
        bars: &[("broker CPU", Bar::both(0.9, 0.35))],
    },
    Row {
        name: "produce-1k-1m",
        about: "produce 1 KiB records in batches of nearly 1 MiB, one partition",
        kind: Kind::Load(Load {
            partitions: 1,
            batch: 976 * 1024,
            ..PRODUCE
        }),
        bars: &[("broker CPU", Bar::both(0.9, 0.35))],
    },
    Row {
        name: "produce-100",
        about: "produce 100 B records in batches of at most 128 KiB",
        kind: Kind::Load(SMALL),
        bars: &[("broker CPU", Bar::at_most(0.30))],
    },
    Row {
        name: "consume-1k",
        about: "read 1 KiB records that are in the page cache",
        kind: Kind::Load(CONSUME),
        bars: &[("broker CPU", Bar::both(0.40, 0.7))],
    },
    Row {
        name: "consume-100",
        about: "read 100 B records that are in the page cache",
        kind: Kind::Load(Load {
            role: Role::Consume,
            ..SMALL
        }),
        bars: &[("broker CPU", Bar::at_most(0.12))],
    },
    Row {
        name: "tail-1k",
        about: "produce 1 KiB records while another client reads them; CPU for both",
        kind: Kind::Load(Load {
            role: Role::Tail,
            ..PRODUCE
        }),
        bars: &[],
    },
    Row {
        name: "one",
        about: "produce one record, wait for the ack, fetch it; then the next",
        kind: Kind::Load(ONE),
        bars: &[
            ("broker CPU", Bar::ratio(0.4)),
            ("end to end p99", Bar::ratio(1.0)),
        ],
    },
    Row {
        name: "one-page-cache",
        about: "the same, acknowledged from the page cache as Kafka does",
        kind: Kind::Load(Load {
            durability: Durability::PageCache,
            ..ONE
        }),
        bars: &[
            ("broker CPU", Bar::ratio(0.4)),
            ("end to end p99", Bar::ratio(0.6)),
        ],
    },
    Row {
        name: "open",
        about: "records at fixed times, clock started at the intended time",
        kind: Kind::Load(Load {
            role: Role::Open,
            before: 1_000,
            rate: 500,
            ..ONE
        }),
        bars: &[("end to end p99", Bar::ratio(1.0))],
    },
    Row {
        name: "memory",
        about: "resident memory after the start and after the rows above",
        kind: Kind::Memory,
        bars: &[
            ("idle", Bar::at_most(30.0)),
            ("highest", Bar::at_most(300.0)),
        ],
    },
    Row {
        name: "idle-1000",
        about: "a broker that nobody talks to, a topic of 1,000 empty partitions",
        kind: Kind::Idle { partitions: 1_000 },
        bars: &[
            ("broker CPU", Bar::at_most(0.3)),
            ("memory per partition", Bar::at_most(4.0)),
        ],
    },
    Row {
        name: "partitions",
        about: "throughput of a topic of 5,000 partitions, and how much that is of 100 partitions'",
        kind: Kind::Partitions {
            few: 100,
            load: Load {
                partitions: 5_000,
                records: 500_000,
                ..PRODUCE
            },
        },
        bars: &[("throughput kept", Bar::at_least(0.8))],
    },
    Row {
        name: "restart-10k",
        about: "process start to first answer with 10,000 partitions; Freshet alone",
        kind: Kind::Restart { partitions: 10_000 },
        bars: &[
            ("after clean stop", Bar::at_most(1_000.0)),
            ("after kill -9", Bar::at_most(10_000.0)),
            ("memory per partition", Bar::at_most(4.0)),
        ],
    },
    Row {
        name: "tier-read",
        about: "read records that have left the disk; beside their objects' bare download, and reads from disks",
        kind: Kind::Tier(Tier::Read, COLD),
        bars: &[("cold / raw", Bar::at_least(0.6))],
    },
    Row {
        name: "tier-copy",
        about: "produce to a topic that is copied to object storage, and to one that is not; Freshet alone",
        kind: Kind::Tier(Tier::Copy, TIERED),
        bars: &[("copying CPU", Bar::at_most(0.25))],
    },
    Row {
        name: "tier-replay",
        about: "records at fixed times while others are replayed from object storage, and from disks",
        kind: Kind::Tier(
            Tier::Replay,
            Load {
                role: Role::Open,
                records: 10_000,
                before: 1_000,
                rate: 500,
                ..ONE
            },
        ),
        bars: &[
            ("ack cold / calm", Bar::at_most(1.2)),
            ("end to end cold / calm", Bar::at_most(1.2)),
        ],
    },
    Row {
        name: "tier-replace",
        about: "three brokers: a replica moves to an empty disk, with little and with much in object storage, and with all on disks; Freshet alone",
        kind: Kind::Tier(Tier::Replace, TIERED),
        bars: &[("much / little", Bar::at_most(1.5))],
    },
    Row {
        name: "three-idle",
        about: "three brokers that nobody talks to",
        kind: Kind::ThreeIdle { partitions: 0 },
        bars: &[("broker CPU", Bar::at_most(1.0))],
    },
    Row {
        name: "three-idle-1000",
        about: "the same with a topic of 1,000 empty partitions of three copies",
        kind: Kind::ThreeIdle { partitions: 1_000 },
        // 0.3 for each broker.
        bars: &[("broker CPU", Bar::at_most(0.9))],
    },
    Row {
        name: "three-one",
        about: "three brokers: produce one record, wait for the ack, fetch it; then the next",
        kind: Kind::Three(Load { replicas: 3, ..ONE }),
        bars: &[
            ("broker CPU", Bar::at_most(300.0)),
            ("ack p99", Bar::at_most(2.0)),
        ],
    },
    Row {
        name: "three-1k",
        about: "three brokers: produce 1 KiB records in batches of at most 128 KiB",
        kind: Kind::Three(Load {
            records: 500_000,
            replicas: 3,
            ..PRODUCE
        }),
        bars: &[
            ("broker CPU", Bar::at_most(4.0)),
            ("rate", Bar::at_least(200.0)),
        ],
    },
    Row {
        name: "three-roll",
        about: "three brokers: each restarts in turn (SIGTERM) while records come at fixed times",
        kind: Kind::ThreeRoll(FLOW),
        bars: &[("failed", Bar::at_most(0.0))],
    },
    Row {
        name: "three-reassign",
        about: "three brokers: 2 GB (--gigabytes) of another topic move at 40 MB/s; Freshet alone",
        kind: Kind::ThreeMoves {
            load: FLOW,
            rate: 40_000_000,
        },
        bars: &[("p99 moving / calm", Bar::at_most(1.5))],
    },
    Row {
        name: "three-10k",
        about: "three brokers that each keep 10,000 partitions, and one of them dies; Freshet alone",
        kind: Kind::ThreeMany { partitions: 10_000 },
        bars: &[
            ("memory per replica", Bar::at_most(4.0)),
            ("start all, first answers", Bar::at_most(1_000.0)),
            ("failover, sample accepted", Bar::at_most(1_500.0)),
            ("back in sync", Bar::at_most(10_000.0)),
        ],
    },
    Row {
        name: "binary",
        about: "size of what is installed: one binary; Kafka's jars without the JVM",
        kind: Kind::Binary,
        bars: &[("size", Bar::at_most(30.0))],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_used_once() {
        let names: std::collections::BTreeSet<_> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ROWS.len());
    }

    #[test]
    fn only_freshet_is_asked_for_page_cache_acks() {
        let load = Load {
            durability: Durability::PageCache,
            ..ONE
        };
        let config = |side| load.job(side, String::new(), String::new(), 1).config;
        assert!(config(Side::Kafka).is_empty());
        assert_eq!(config(Side::Freshet)["freshet.durability"], "page-cache");
        assert_eq!(Durability::Fsync.words(Side::Kafka), "page cache");
    }
}
