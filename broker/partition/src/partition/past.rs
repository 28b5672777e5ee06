//! A partition's past: records that have left this broker's disk and are read from object storage.
//!
//! The leader knows it by a copy of the manifest that its custodian keeps; nobody else does, but for what a
//! follower asks the shard when it is read from ([`Glance`]). While a topic tiers and its past is not known, what
//! lies before the log is *not yet* answered: "out of range" would have consumers jump over it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use freshet_log::{EpochEnd, Fetched, ReadError as LogReadError, TimeQuery, TimedOffset};
use freshet_tier::{ColdBatches, ColdSpec, Manifest, Past as Source};
use freshet_types::{LeaderEpoch, Offset, Timestamp};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::glance::{Follower, Glance};
use super::{Isolation, Partition, ReadError, Slice, TrimError};
use crate::tiering::PastReaders;
use crate::traffic::{RemoteTraffic, count};

/// A copy of the manifest.
#[derive(Debug, Clone)]
pub struct KnownPast {
    /// As of some version, in the epoch that is led in.
    pub manifest: Arc<Manifest>,
    /// A manifest that is in the bucket names all below: that may leave the disk.
    pub exported_end: Offset,
}

/// What is known here of records that the log has no more.
#[derive(Debug, Clone)]
pub enum Past {
    /// There are none: the topic does not tier.
    None,
    /// There may be some.
    Unknown,
    /// These.
    Known(KnownPast),
}

impl Past {
    /// Where all of it begins, if the log began at `local_start` before this was asked for.
    pub(super) fn start_of_all(&self, local_start: Offset) -> Offset {
        match self {
            Self::Known(past) if past.manifest.segments().is_empty() => {
                past.manifest.log_start().max(local_start)
            }
            Self::Known(past) => past.manifest.log_start(),
            Self::None | Self::Unknown => local_start,
        }
    }
}

/// Where the custodian writes, and readers look.
#[derive(Debug)]
struct Slot {
    /// With the epoch in which it was claimed; of no meaning in others.
    known: watch::Sender<Option<(LeaderEpoch, KnownPast)>>,
    /// The log shall begin here, if this broker still leads in that epoch.
    wanted_start: Mutex<(LeaderEpoch, Offset)>,
    /// The custodian has something to do.
    turn: Notify,
    /// Nothing is written before the past is known: the log may have to begin behind it.
    is_held: AtomicBool,
    /// What has gone wrong last.
    trouble: Mutex<Option<PastTrouble>>,
    /// What followers know.
    glance: Arc<Glance>,
    /// When all that is in the bucket was looked at last.
    looked_through: Mutex<Option<Timestamp>>,
}

/// Why a past could not be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastTrouble {
    /// In words, [`PastTrouble::MOST_BYTES`] at most.
    pub why: String,
    /// When that was so last.
    pub at: Timestamp,
    /// It goes on since.
    pub is_over: bool,
}

impl PastTrouble {
    /// Bytes of words that are kept.
    pub const MOST_BYTES: usize = 500;
}

/// Made when it is first used: with object storage by all that are led, without it by none.
#[derive(Default)]
pub(super) struct PastSlot(OnceLock<Box<Slot>>);

impl fmt::Debug for PastSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0.get(), f)
    }
}

impl PastSlot {
    fn get(&self) -> &Slot {
        self.0.get_or_init(|| {
            Box::new(Slot {
                known: watch::Sender::new(None),
                wanted_start: Mutex::new((-1, 0)),
                turn: Notify::new(),
                is_held: AtomicBool::new(false),
                trouble: Mutex::new(None),
                glance: Arc::default(),
                looked_through: Mutex::new(None),
            })
        })
    }

    /// Whether records are refused until the past is known.
    pub(super) fn hold(&self, held: bool) {
        if held || self.is_held() {
            self.get().is_held.store(held, Ordering::Release);
        }
    }

    pub(super) fn is_held(&self) -> bool {
        let slot = self.0.get();
        slot.is_some_and(|slot| slot.is_held.load(Ordering::Acquire))
    }

    /// Another epoch has begun: who waits in an earlier one waits for nothing.
    pub(super) fn stir(&self) {
        if let Some(slot) = self.0.get() {
            slot.known.send_modify(|_| {});
        }
    }

    /// Other settings hold.
    pub(super) fn turn(&self) {
        self.get().turn.notify_one();
    }
}

/// A read from object storage that is under way. Who drops it leaves it to its end: what it has fetched
/// is there for whoever reads on.
#[derive(Debug)]
pub struct ColdRead {
    reading: JoinHandle<Result<ColdBatches, ReadError>>,
    from: Offset,
}

impl Partition {
    /// What is known of the records that are in object storage.
    pub fn past(&self) -> Past {
        if self.view().tiered().is_none() {
            return Past::None;
        }
        let known = self.past.get().known.borrow();
        match &*known {
            Some((epoch, past)) if *epoch == self.leader_epoch() => Past::Known(past.clone()),
            _ => Past::Unknown,
        }
    }

    /// What the custodian of `epoch` knows by now.
    pub(crate) fn know_past(&self, epoch: LeaderEpoch, past: KnownPast) {
        let start = past.manifest.log_start();
        let before = self.past.get().known.send_replace(Some((epoch, past)));
        self.past.hold(false);
        if before.is_none_or(|(_, before)| before.manifest.log_start() != start) {
            self.replica.log_start_moved();
        }
    }

    /// There is no past any more, or it is another one's business.
    pub(crate) fn forget_past(&self) {
        self.past.get().known.send_replace(None);
        self.past.hold(false);
    }

    /// The custodian cannot go on.
    pub(crate) fn past_fails(&self, why: &str, at: Timestamp) {
        let cut = why.floor_char_boundary(PastTrouble::MOST_BYTES);
        *self.past.get().trouble.lock() = Some(PastTrouble {
            why: why[..cut].to_owned(),
            at,
            is_over: false,
        });
    }

    /// The custodian has done all there was to do.
    pub(crate) fn past_is_well(&self) {
        if let Some(trouble) = &mut *self.past.get().trouble.lock() {
            trouble.is_over = true;
        }
    }

    /// Whether this leader lacks its past: what is in the bucket only can neither be read nor be copied on from
    /// until it is claimed. For moments that is so after each election.
    pub fn lacks_past(&self) -> bool {
        self.leads() && matches!(self.past(), Past::Unknown)
    }

    /// Whether the latest try of this leader to keep its past has failed, whatever in it went wrong.
    pub fn is_past_failing(&self) -> bool {
        let is_at_it = self.leads() && !matches!(self.past(), Past::None);
        is_at_it && self.past_trouble().is_some_and(|trouble| !trouble.is_over)
    }

    /// A walk has come to its end, or a leader begins with walks.
    pub(crate) fn is_looked_through(&self, at: Timestamp) {
        *self.past.get().looked_through.lock() = Some(at);
    }

    /// When this leader has looked at all that is in the bucket of it last, wall clock; when it began to
    /// lead, if it has not come to that. `None` where nothing is to be looked at.
    pub fn looked_through(&self) -> Option<Timestamp> {
        if !self.leads() || matches!(self.past(), Past::None) {
            return None;
        }
        *self.past.0.get()?.looked_through.lock()
    }

    /// What has gone wrong last.
    pub(super) fn past_trouble(&self) -> Option<PastTrouble> {
        self.past.0.get()?.trouble.lock().clone()
    }

    /// Whether the log is empty, and nobody may write to it before its past is known.
    pub(crate) fn waits_for_past(&self) -> bool {
        self.past.is_held()
    }

    /// Where somebody wants the log to begin.
    pub(crate) fn wanted_start(&self) -> Offset {
        let (epoch, offset) = *self.past.get().wanted_start.lock();
        if epoch == self.leader_epoch() {
            offset
        } else {
            0
        }
    }

    /// Waits until the custodian has something to do that cannot wait for its next round.
    pub(crate) async fn past_turn(&self) {
        self.past.get().turn.notified().await;
    }

    /// Has the manifest begin at `to` or later, and waits for that.
    pub(super) async fn cut_past(&self, to: Offset) -> Result<(), TrimError> {
        let slot = self.past.get();
        let epoch = self.leader_epoch();
        if !self.leads() {
            return Err(TrimError::NotLeader);
        }
        if !self.will_know_past() {
            return Err(TrimError::NoStore);
        }
        {
            let mut wanted = slot.wanted_start.lock();
            let earlier = if wanted.0 == epoch { wanted.1 } else { 0 };
            *wanted = (epoch, to.max(earlier));
        }
        slot.turn.notify_one();
        let mut known = slot.known.subscribe();
        let is_cut = |known: &Option<(LeaderEpoch, KnownPast)>| {
            known
                .as_ref()
                .is_some_and(|(claimed, past)| *claimed == epoch && past.manifest.log_start() >= to)
        };
        let settled = known.wait_for(|known| {
            let leads = self.leads() && self.leader_epoch() == epoch;
            !leads || is_cut(known)
        });
        // The sender lives as long as this partition.
        match settled.await.is_ok_and(|known| is_cut(&known)) {
            true => Ok(()),
            false => Err(TrimError::NotLeader),
        }
    }

    /// What is below may leave this disk, if retention says so. Followers of a topic that tiers do as
    /// their leaders did: they do not know what is in the bucket.
    pub(crate) fn disposable_end(&self) -> Offset {
        let committed = self.deletable_end();
        match self.past() {
            Past::None => committed,
            Past::Known(past) => {
                let copies = self.view().tiered().is_some_and(|tiered| tiered.copies);
                let is_copied = copies || !past.manifest.segments().is_empty();
                match is_copied {
                    true => committed.min(past.exported_end),
                    false => committed,
                }
            }
            Past::Unknown => self.view().log_start(),
        }
    }

    /// First offset that may be read, of both tiers.
    ///
    /// # Errors
    /// `PastUnknown`: not yet. `NoStore`: not by this broker.
    pub fn first_offset(&self) -> Result<Offset, ReadError> {
        let local_start = self.view().log_start();
        match self.past() {
            Past::Unknown if local_start > 0 => Err(self.unknown_past()),
            // Before 0 there is nothing, so a new topic needs nobody's word.
            past => Ok(past.start_of_all(local_start)),
        }
    }

    /// Waits until [`past`](Self::past) is known, or this broker does not lead in this epoch. A new leader
    /// knows it within moments, if those who keep the manifest are there.
    pub async fn past_known(&self) {
        if !self.will_know_past() || self.view().tiered().is_none() {
            return;
        }
        let epoch = self.leader_epoch();
        let is_settled = |known: &Option<(LeaderEpoch, KnownPast)>| {
            let is_known = known.as_ref().is_some_and(|(claimed, _)| *claimed == epoch);
            let leads = self.leads() && self.leader_epoch() == epoch;
            is_known || !leads || self.view().tiered().is_none()
        };
        let mut known = self.past.get().known.subscribe();
        // The sender lives as long as this partition.
        drop(known.wait_for(is_settled).await);
    }

    /// Whether there is somebody to learn it: a broker without object storage may have topics that tier.
    fn will_know_past(&self) -> bool {
        self.replica.around().past_readers.is_some()
    }

    /// What is said of a past that is not known. Not "not yet" where nobody will ever learn it: a human has to.
    fn unknown_past(&self) -> ReadError {
        match self.will_know_past() {
            true => ReadError::PastUnknown,
            false => ReadError::NoStore,
        }
    }

    /// Begins to read what has left the disk, for a reader with a number of its own.
    ///
    /// # Errors
    /// What says where the records are: nowhere (`OutOfRange`), or nobody knows yet.
    pub fn begin_cold_read(
        &self,
        (from, max_bytes): (Offset, usize),
        isolation: Isolation,
        at_least_one: bool,
        client: u64,
    ) -> Result<ColdRead, ReadError> {
        let ends = self.ends();
        // Asked once: it may become known at any moment, and `ends` may be of the one before.
        let past = self.past();
        let start = past.start_of_all(ends.local_start);
        let out_of_range = LogReadError::OutOfRange {
            offset: from,
            start,
            end: ends.log_end,
        };
        let known = match past {
            Past::None => return Err(out_of_range.into()),
            Past::Unknown if self.leads() => return Err(self.unknown_past()),
            Past::Unknown => None,
            Past::Known(_) if from < start => return Err(out_of_range.into()),
            Past::Known(past) => Some(self.source(&past)),
        };
        let readers = Arc::clone(self.past_readers()?);
        count(self.remote_traffic(&readers), |it| &it.reads, 1);
        let spec = ColdSpec {
            from,
            max_bytes,
            upper_bound: ends.of(isolation),
            at_least_one,
            client,
        };
        let home = Arc::clone(&readers);
        let reading = match known {
            Some(source) => home.spawn(async move { Ok(readers.read_here(&source, &spec).await?) }),
            None => {
                let glance = Arc::clone(&self.past.get().glance);
                let follower = Follower {
                    readers,
                    clock: Arc::clone(&self.replica.around().clock),
                    partition: self.id,
                    leader_epoch: self.leader_epoch(),
                    log_end: ends.log_end,
                };
                home.spawn(async move { follower.read(&glance, spec).await })
            }
        };
        Ok(ColdRead { reading, from })
    }

    /// What a cold read has found.
    ///
    /// # Errors
    /// The store is away, or what is there is damaged.
    pub async fn finish_cold_read(
        &self,
        read: ColdRead,
        isolation: Isolation,
    ) -> Result<Slice, ReadError> {
        let both = self.remote_traffic(self.past_readers()?);
        let batches = match read.reading.await {
            Ok(batches) => batches,
            Err(_) => return Err(ReadError::PastUnknown),
        };
        let has_failed = matches!(batches, Err(ReadError::Cold(_)));
        count(both, |it| &it.failed_reads, has_failed.into());
        let batches = batches?;
        count(both, |it| &it.read_bytes, batches.bytes as u64);
        // The bucket has nothing from there on: records were cleaned away.
        if batches.bytes == 0 && batches.next_offset > read.from {
            let read = self.read(batches.next_offset, 0, isolation, true).await;
            return read.map_err(|error| match error {
                // It has left the disk meanwhile: a newer manifest has it.
                ReadError::Log(LogReadError::OutOfRange { .. }) => ReadError::PastUnknown,
                error => error,
            });
        }
        let ends = self.ends();
        let fetched = Fetched {
            chunks: batches.chunks,
            bytes: batches.bytes,
            next_offset: batches.next_offset,
            log_start: ends.log_start,
            log_end: ends.log_end,
        };
        Ok(Slice { fetched, ends })
    }

    /// A fetch has waited for a cold read as long as it may, and goes without. What comes late is there for the next.
    pub fn cold_read_expired(&self) {
        if let Ok(readers) = self.past_readers() {
            count(self.remote_traffic(readers), |it| &it.expired_reads, 1);
        }
    }

    /// A lookup has waited for object storage as long as it may.
    pub fn lookup_expired(&self) {
        if let Ok(readers) = self.past_readers() {
            count(self.remote_traffic(readers), |it| &it.expired_lookups, 1);
        }
    }

    /// Segments that are closed and committed, and not in the bucket yet: how many, and their bytes. While a
    /// leader does not know what is there it is all that its disk has; followers have none.
    pub fn copy_lag(&self) -> (u64, u64) {
        let copied_end = match self.past() {
            Past::Known(past) => past.manifest.remote_end(),
            Past::Unknown if self.leads() => self.view().log_start(),
            Past::None | Past::Unknown => return (0, 0),
        };
        let committed = self.replica.high_watermark();
        let due = self.view().closed_segments(copied_end, committed);
        let bytes = due.iter().map(|segment| segment.size_bytes()).sum();
        (due.len() as u64, bytes)
    }

    /// Of the broker, and of the topic.
    pub(super) fn remote_traffic<'a>(&'a self, readers: &'a PastReaders) -> [&'a RemoteTraffic; 2] {
        [&readers.copies().traffic, self.traffic().remote()]
    }

    fn past_readers(&self) -> Result<&Arc<PastReaders>, ReadError> {
        let readers = self.replica.around().past_readers.as_ref();
        readers.ok_or(ReadError::NoStore)
    }

    fn source(&self, past: &KnownPast) -> Source {
        Source {
            partition: self.id,
            manifest: Arc::clone(&past.manifest),
        }
    }

    /// A record by time among those before `local_start`, which have left the disk.
    pub(super) async fn find_time_before(
        &self,
        local_start: Offset,
        query: TimeQuery,
        isolation: Isolation,
        client: u64,
    ) -> Result<Option<TimedOffset>, ReadError> {
        let past = match self.past() {
            Past::None => return Ok(None),
            Past::Unknown if local_start == 0 => return Ok(None),
            Past::Unknown => return Err(self.unknown_past()),
            Past::Known(past) => past,
        };
        if past.manifest.log_start() >= local_start || past.manifest.segments().is_empty() {
            return Ok(None);
        }
        let upper = local_start.min(self.end(isolation));
        let finding = self
            .past_readers()?
            .find_time(self.source(&past), query, upper, client);
        let found = finding.await.map_err(|_| ReadError::PastUnknown)??;
        Ok(found.map(|found| TimedOffset {
            offset: found.offset,
            timestamp: found.timestamp,
            leader_epoch: found.leader_epoch,
        }))
    }

    /// Where an epoch ends that is older than all of the log's; none if it left no records in the bucket.
    pub(super) fn end_of_past_epoch(
        &self,
        epoch: LeaderEpoch,
    ) -> Result<Option<EpochEnd>, ReadError> {
        let local_start = self.view().log_start();
        let past = match self.past() {
            Past::None => return Ok(None),
            // A follower never knows: its own log has to do.
            Past::Unknown if !self.leads() => return Ok(None),
            Past::Unknown if local_start == 0 || !self.will_know_past() => return Ok(None),
            Past::Unknown => return Err(ReadError::PastUnknown),
            Past::Known(past) => past,
        };
        let end = past.manifest.end_of_epoch(epoch);
        Ok(end.map(|end| EpochEnd {
            epoch: end.epoch,
            end_offset: end.end_offset,
        }))
    }

    /// The epoch of a record in object storage.
    pub(super) fn past_epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let Past::Known(past) = self.past() else {
            return None;
        };
        past.manifest.epoch_at(offset)
    }
}
