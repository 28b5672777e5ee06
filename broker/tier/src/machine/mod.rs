//! The machine that keeps the manifests of one shard: one partition of the internal topic.
//!
//! A partition's leader is the only one who asks for changes, so its copy of the manifest is the
//! present one; the machine makes them durable, and refuses whoever does not lead any more. It
//! reads no clock, draws no ids and touches no bucket: ids come with requests, and what is to be
//! stored or deleted goes out with answers.
//!
//! No age is ever stored. How long something has been unnamed is counted from when this machine saw
//! it first, on the host's monotonic clock: a new host waits a whole grace age again, and a wall
//! clock that jumps deletes nothing.

mod adopt;
mod carried;
mod changes;
mod collect;
mod record;
mod request;

use std::collections::BTreeMap;
use std::convert::Infallible;

use freshet_types::{Decision, Machine, Now, Ticket, TopicPartition};

pub use carried::{Said, said_from_bytes, said_to_bytes};
use collect::Ages;
pub use record::{Change, Record};
pub use request::{Answer, Ask, Changed, Claim, Purpose, Refusal, Request, Stored};

use crate::guard::{Guard, holds};
use crate::manifest::{Manifest, Part, Staged};

/// What a manifest may grow to, and how long things last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// An object that is named no more is deleted this much later, ms. Longer than any read of an
    /// object, and than any upload, takes.
    pub grace_ms: u64,
    /// An attempt that is open for this long is given up, ms. Shorter than the grace age.
    pub attempt_ms: u64,
    /// Attempts that may be open in one partition.
    pub open: usize,
    /// Segments that one replacement may take or bring: it is one record, far below a batch's limit.
    pub replaced: usize,
    /// Epochs of one segment, [`Limits::SEGMENT_EPOCHS`] at most.
    pub epochs: usize,
    /// Epochs of a log that a claim brings, 16 bytes each, for as long as it is judged.
    pub claimed_epochs: usize,
    /// Objects that one answer dooms.
    pub doomed: usize,
}

impl Limits {
    /// Epochs that one segment object may have: 12 bytes each, in a footer of 64 KiB. Logs roll before they
    /// have 1,000, but for a replica that is given more at once.
    pub const SEGMENT_EPOCHS: usize = 4_000;

    /// With another grace age: an attempt has half of it.
    pub fn of_grace(grace_ms: u64) -> Self {
        Self {
            grace_ms,
            attempt_ms: grace_ms / 2,
            ..Self::default()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            grace_ms: 3_600_000,
            attempt_ms: 1_800_000,
            open: 64,
            replaced: 1_000,
            epochs: Self::SEGMENT_EPOCHS,
            claimed_epochs: 100_000,
            doomed: 1_000,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Manifests {
    limits: Limits,
    manifests: BTreeMap<TopicPartition, Manifest>,
    /// What is to take the place of these, as far as it was read back.
    staged: BTreeMap<TopicPartition, Staged>,
    ages: BTreeMap<TopicPartition, Ages>,
}

/// What a request comes to.
struct Decided {
    changes: Vec<Change>,
    answer: Answer,
}

/// The version is filled in when all is decided.
fn changed(changes: Vec<Change>) -> Answer {
    let version = 0;
    Answer::Changed(Changed { changes, version })
}

impl Decided {
    /// What the copy's version is to be once it has followed.
    fn with_version(mut self, before: u64) -> Self {
        let raising = self.changes.iter().filter(|change| change.is_shown());
        let after = before + raising.count() as u64;
        if let Answer::Changed(changed) | Answer::Doomed { changed, .. } = &mut self.answer {
            changed.version = after;
        }
        self
    }

    fn change(change: Change) -> Self {
        Self {
            changes: vec![change.clone()],
            answer: changed(vec![change]),
        }
    }

    /// It has happened before, or there is nothing to do: the copy is told, the log is not.
    fn already(changes: Vec<Change>) -> Self {
        Self::only(changed(changes))
    }

    fn only(answer: Answer) -> Self {
        Self {
            changes: Vec::new(),
            answer,
        }
    }
}

impl Manifests {
    /// Knows of no partition.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            manifests: BTreeMap::new(),
            staged: BTreeMap::new(),
            ages: BTreeMap::new(),
        }
    }

    /// The manifest of a partition.
    pub fn get(&self, partition: TopicPartition) -> Option<&Manifest> {
        self.manifests.get(&partition)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicPartition, &Manifest)> {
        self.manifests.iter()
    }

    fn judge(&mut self, now: Now, request: Request) -> Result<Decided, Refusal> {
        let Request {
            partition,
            leader_epoch,
            ask,
        } = request;
        let limits = &self.limits;
        let manifest = self.manifests.get(&partition);
        let ask = match ask {
            Ask::Claim(claim) => {
                return changes::claim(manifest, leader_epoch, &claim, limits);
            }
            Ask::Adopt { exported, newest } => {
                let here = (partition, manifest);
                return adopt::adopt(here, leader_epoch, &exported, newest);
            }
            Ask::Delete { keep_objects } => return changes::delete(manifest, keep_objects),
            Ask::List => {
                let all = self.manifests.keys().copied().collect();
                return Ok(Decided::only(Answer::Partitions(all)));
            }
            other => other,
        };
        let asked = leader_epoch;
        let manifest = manifest.ok_or(Refusal::NotClaimed { asked })?;
        if let Ask::Describe = ask {
            return Ok(Decided::only(Answer::Manifest(Box::new(manifest.clone()))));
        }
        changes::may_ask(manifest, leader_epoch, &ask)?;
        match ask {
            Ask::Begin {
                id,
                start,
                end,
                purpose,
            } => {
                let attempt = crate::segment::Attempt {
                    start,
                    end,
                    purpose,
                };
                changes::begin(manifest, id, attempt, limits)
            }
            Ask::Commit(stored) => changes::commit(manifest, leader_epoch, stored, limits),
            Ask::Abandon { ids } => Ok(changes::abandon(manifest, ids)),
            Ask::MoveStart { log_start } => changes::move_start(manifest, log_start),
            Ask::Replace { removed, added } => {
                changes::replace(manifest, leader_epoch, (removed, added), limits)
            }
            Ask::Export => Ok(Decided::only(Answer::Export(manifest.export(partition)))),
            Ask::Exported { version } => changes::exported(manifest, version),
            Ask::Collect => {
                let ages = self.ages.entry(partition).or_default();
                Ok(collect::collect(manifest, ages, now.monotonic, limits))
            }
            Ask::Sweep { listed } => {
                let ages = self.ages.entry(partition).or_default();
                let when = (now.monotonic, limits);
                Ok(collect::sweep(manifest, ages, &listed, when))
            }
            Ask::Collected { ids } => Ok(collect::collected(manifest, ids)),
            // Answered above.
            Ask::Claim(_) | Ask::Adopt { .. } | Ask::Delete { .. } | Ask::Describe | Ask::List => {
                Ok(Decided::already(Vec::new()))
            }
        }
    }
}

impl Machine for Manifests {
    type Request = Request;
    type Reply = Result<Answer, Refusal>;
    type Record = Record;
    type TimerKey = Infallible;

    fn decide(&mut self, now: Now, ticket: Ticket, request: Request) -> Decision<Self> {
        let partition = request.partition;
        let version = self.manifests.get(&partition).map_or(0, Manifest::version);
        let decided = self.judge(now, request);
        match decided.map(|decided| decided.with_version(version)) {
            Ok(Decided { changes, answer }) => {
                let record = |change| Record { partition, change };
                Decision {
                    records: changes.into_iter().map(record).collect(),
                    ..Decision::reply(ticket, Ok(answer))
                }
            }
            Err(refusal) => {
                let grave = matches!(refusal, Refusal::Departs { .. } | Refusal::Hole { .. });
                let change = Change::Confirmed;
                let record = grave && holds(Guard::RefusalsCommit);
                Decision {
                    records: record
                        .then_some(Record { partition, change })
                        .into_iter()
                        .collect(),
                    ..Decision::reply(ticket, Err(refusal))
                }
            }
        }
    }

    fn fire(&mut self, _: Now, timer: Infallible) -> Decision<Self> {
        match timer {}
    }

    fn apply(&mut self, record: &Record) {
        let Record { partition, change } = record;
        match change {
            Change::Part(part) => self.stage(*partition, part),
            Change::Whole { parts } => self.take_place(*partition, *parts),
            change => {
                // Who writes something else has not read the end of what is staged: it is torn.
                self.staged.remove(partition);
                self.change(*partition, change);
            }
        }
    }

    fn loaded(&mut self, _: Now) -> Decision<Self> {
        self.ages.clear();
        self.staged.clear();
        Decision::default()
    }

    fn snapshot(&self) -> Vec<Record> {
        let parts = self.manifests.iter().flat_map(|(partition, manifest)| {
            staged(manifest).map(|change| Record {
                partition: *partition,
                change,
            })
        });
        parts.collect()
    }
}

/// The changes that make this manifest of any other, all at once.
fn staged(manifest: &Manifest) -> impl Iterator<Item = Change> {
    let parts = 1 + manifest.segments().len() + manifest.open.len() + manifest.unnamed.len();
    let parts = parts as u64;
    let whole = std::iter::once(Change::Whole { parts });
    manifest.parts().map(Change::Part).chain(whole)
}

impl Manifests {
    fn stage(&mut self, partition: TopicPartition, part: &Part) {
        if let Part::Head(head) = part {
            self.staged.insert(partition, Staged::new(*head));
        } else if let Some(staged) = self.staged.get_mut(&partition) {
            staged.take(part.clone());
        }
        if !holds(Guard::WholeOrNothing)
            && let Some(staged) = self.staged.get(&partition)
        {
            self.manifests.insert(partition, staged.so_far().clone());
        }
    }

    fn take_place(&mut self, partition: TopicPartition, parts: u64) {
        let staged = self.staged.remove(&partition);
        if let Some(manifest) = staged.and_then(|staged| staged.whole(parts)) {
            self.manifests.insert(partition, manifest);
            // What was a stranger may be named by now.
            self.ages.remove(&partition);
        }
    }

    fn change(&mut self, partition: TopicPartition, change: &Change) {
        match change {
            Change::Claimed {
                leader_epoch,
                log_start,
                ..
            } => {
                let fresh = || Manifest::new(*leader_epoch, *log_start);
                let manifest = self.manifests.entry(partition).or_insert_with(fresh);
                manifest.apply(change);
            }
            Change::Deleted { keep_objects: true } => self.forget(partition),
            _ => {
                let Some(manifest) = self.manifests.get_mut(&partition) else {
                    return;
                };
                manifest.apply(change);
                if manifest.deleted && manifest.unnamed.is_empty() {
                    self.forget(partition);
                }
            }
        }
    }

    fn forget(&mut self, partition: TopicPartition) {
        self.manifests.remove(&partition);
        self.ages.remove(&partition);
    }
}
