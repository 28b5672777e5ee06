//! The metadata log on a disk that tears and loses: what was agreed stays agreed.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;
use std::sync::Arc;

use freshet_quorum::{Quorum, Solo, SoloOptions, StoreError};
use freshet_sim::{Dice, Effect, FakeClock, FakeDisk, Fault, Op};
use freshet_types::{
    Decision, Machine, Now, Position, Published, StoredRecord, StoredRecordError, Ticket, Timestamp,
};

/// A list of numbers, each stored with some padding.
#[derive(Debug, Default)]
struct Numbers(Vec<Number>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Number {
    id: u64,
    padding: usize,
}

impl Machine for Numbers {
    type Request = Number;
    type Reply = usize;
    type Record = Number;
    type TimerKey = ();

    fn decide(&mut self, _now: Now, ticket: Ticket, number: Number) -> Decision<Self> {
        Decision {
            records: vec![number],
            replies: vec![(ticket, self.0.len())],
            timers: Vec::new(),
        }
    }

    fn fire(&mut self, _now: Now, (): ()) -> Decision<Self> {
        Decision::default()
    }

    fn apply(&mut self, number: &Number) {
        self.0.push(*number);
    }

    fn loaded(&mut self, _now: Now) -> Decision<Self> {
        Decision::default()
    }

    fn snapshot(&self) -> Vec<Number> {
        self.0.clone()
    }
}

impl Published for Numbers {
    type Image = Vec<u64>;

    fn publish(&self, _position: Position) -> Arc<Vec<u64>> {
        Arc::new(self.0.iter().map(|number| number.id).collect())
    }
}

impl StoredRecord for Number {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.id.to_be_bytes().to_vec();
        bytes.resize(8 + self.padding, self.id as u8);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, StoredRecordError> {
        let id = bytes.first_chunk().ok_or_else(|| StoredRecordError {
            what: "short".to_owned(),
        })?;
        Ok(Self {
            id: u64::from_be_bytes(*id),
            padding: bytes.len() - 8,
        })
    }
}

fn start(disk: &FakeDisk, snapshot_after_bytes: u64) -> Result<Solo<Numbers>, StoreError> {
    let options = SoloOptions {
        snapshot_after_bytes,
        ..SoloOptions::default()
    };
    let clock = Arc::new(FakeClock::new(Timestamp(1)));
    let disk = Arc::new(disk.clone());
    Solo::start(disk, Path::new("/meta"), clock, Numbers::default(), options)
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

/// What was proposed, in order; a prefix of it, at least as long as `agreed`, must be there.
#[derive(Default)]
struct History {
    proposed: Vec<u64>,
    agreed: usize,
    next_id: u64,
}

impl History {
    /// Compares what was replayed and goes on from there.
    fn reconcile(&mut self, solo: &Solo<Numbers>) -> Result<(), String> {
        let found = (**solo.watch().borrow()).clone();
        if found.len() < self.agreed {
            return Err(format!("{} of {} are left", found.len(), self.agreed));
        }
        if !self.proposed.starts_with(&found) {
            return Err(format!("{found:?} is no prefix of {:?}", self.proposed));
        }
        self.agreed = found.len();
        self.proposed = found;
        Ok(())
    }

    /// Proposes some at once. False when the power failed.
    fn propose(&mut self, solo: &Solo<Numbers>, dice: Dice, most: u64) -> bool {
        let count = 1 + dice.below(4, "count");
        let answers: Vec<_> = (0..count)
            .map(|i| {
                let id = self.next_id;
                self.next_id += 1;
                self.proposed.push(id);
                solo.propose(Number {
                    id,
                    padding: dice.below(most, i) as usize,
                })
            })
            .collect();
        for answer in answers {
            match wait(answer) {
                Ok(index) => self.agreed = self.agreed.max(index + 1),
                Err(_) => return false,
            }
        }
        true
    }
}

fn run(seed: u64, prepare: impl Fn(&FakeDisk)) -> Result<(), String> {
    let dice = Dice::new(seed);
    let mut disk = FakeDisk::new(seed);
    let mut history = History::default();
    // Large records make appends of several batches, which tear between them as well.
    let large = seed.is_multiple_of(20);
    let (rounds, padding, snapshot_bits) = if large {
        (3, 300_000, 24)
    } else {
        (15, 900, 14)
    };
    for boot in 0..6_u64 {
        let dice = dice.of(boot);
        disk.set_short_io(dice.below(3, "short") * 20);
        prepare(&disk);
        if boot < 5 {
            disk.power_off_during(1 + dice.below(2 * rounds, "off"));
        }
        match start(&disk, 1 << dice.below(snapshot_bits, "snapshot")) {
            Ok(solo) => {
                if disk.is_on() {
                    let compared = history.reconcile(&solo);
                    compared.map_err(|error| format!("seed {seed}, boot {boot}: {error}"))?;
                }
                let _ = (0..rounds).all(|i: u64| history.propose(&solo, dice.of(i), padding));
                let crashed = disk.crash();
                solo.stop();
                disk = crashed;
            }
            Err(_) if !disk.is_on() => disk = disk.crash(),
            Err(error) => return Err(format!("seed {seed}, boot {boot}: {error}")),
        }
    }
    Ok(())
}

#[test]
fn what_was_agreed_survives_every_crash() {
    for seed in 0..200 {
        run(seed, |_| {}).unwrap();
    }
}

#[test]
fn a_failed_write_or_sync_agrees_to_nothing_more() {
    for op in [Op::Write, Op::Sync] {
        let disk = FakeDisk::new(1);
        let solo = start(&disk, u64::MAX).unwrap();
        let mut history = History::default();
        assert!(history.propose(&solo, Dice::new(1), 900));
        let agreed = history.agreed;
        disk.inject(Fault::on(op));
        assert!(!history.propose(&solo, Dice::new(2), 900));
        assert!(!history.propose(&solo, Dice::new(3), 900));
        let crashed = disk.crash();
        solo.stop();
        let solo = start(&crashed, u64::MAX).unwrap();
        history.reconcile(&solo).unwrap();
        assert!(history.agreed >= agreed);
        solo.stop();
    }
}

#[test]
fn the_log_its_snapshots_and_its_names_must_be_synced() {
    for lie in [
        Fault::on(Op::Sync).at(".log"),
        Fault::on(Op::Sync).at(".tmp"),
        Fault::on(Op::SyncDir).exactly("/meta"),
        Fault::on(Op::SyncDir).exactly("/"),
    ] {
        let lie = lie.with(Effect::Lie).always();
        let noticed = (0..200).any(|seed| run(seed, |disk| disk.inject(lie.clone())).is_err());
        assert!(noticed, "{lie:?}");
    }
}
