//! Keeps one partition's past, for as long as this broker leads it in one epoch.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use freshet_log::{ClosedSegment, Tiered};
use freshet_tier::{
    Answer, Ask, Claim, EpochStart, Limits, Manifest, Purpose, Refusal, Retention, SegmentId,
    Stored,
};
use freshet_types::{LeaderEpoch, Offset};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::Shared;
use super::carry::{Carried, carry, read_here};
use super::patrol::{Finding, Patrol};
use super::tended::{Tended, Trouble, strange};
use crate::partition::{KnownPast, Partition, Past};
use crate::traffic::count;

/// Pause after the first failure; each one after it is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Between two looks whether the end is known.
const UNSETTLED_PAUSE: Duration = Duration::from_millis(200);

type Findings = mpsc::Receiver<Finding>;

/// What is to become of a partition's past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// There shall be none, and as far as is known there is none.
    Nothing,
    /// It stays, and grows if closed segments are copied.
    Keep {
        /// `remote.log.copy.disable`
        copies: bool,
    },
    /// It goes.
    Leave,
}

/// See the module.
pub(super) struct Custodian {
    pub(super) shared: Arc<Shared>,
    pub(super) partition: Arc<Partition>,
    pub(super) tended: Tended,
    /// The shard has known of this partition before.
    has_claimed: AtomicBool,
    /// The topic did not tier, and has not been claimed for readers since: the disk was all that they had.
    was_off: AtomicBool,
}

impl Custodian {
    pub(super) fn new(shared: Arc<Shared>, partition: Arc<Partition>) -> Self {
        let tended = Tended {
            shared: Arc::clone(&shared),
            at: partition.id(),
            epoch: partition.leader_epoch(),
            traffic: Some(Arc::clone(partition.traffic())),
        };
        Self {
            shared,
            partition,
            tended,
            has_claimed: AtomicBool::new(false),
            was_off: AtomicBool::new(false),
        }
    }

    /// Until another broker leads, or this one in another epoch.
    pub(super) async fn keep(self) {
        let mut pause = FIRST_PAUSE;
        let mut patrol = None;
        while self.is_leader() {
            let wish = self.wish();
            if wish == Wish::Nothing {
                patrol = None;
                self.partition.forget_past();
                self.partition.past_turn().await;
                continue;
            }
            // As soon as what earlier leaders wrote is committed; nothing is wrong until then.
            if !self.partition.is_settled() {
                sleep(self.shared.jittered(UNSETTLED_PAUSE)).await;
                continue;
            }
            let new = || Patrol::new(&self.shared, &self.partition);
            let (patrol, findings) = patrol.get_or_insert_with(new);
            let mut got_on = false;
            let lived = tokio::select! {
                trouble = self.live(wish, &mut got_on, findings) => trouble,
                // Most custodians have nothing in a bucket, and room for this each.
                never = Box::pin(patrol.walk()) => match never {},
            };
            let why = match lived {
                Trouble::Over => return,
                Trouble::Off => continue,
                Trouble::Again(why) => why,
            };
            if got_on {
                pause = FIRST_PAUSE;
            }
            self.partition
                .past_fails(&why, self.shared.parts.clock.wall());
            let (log, seconds) = (self.partition.name(), pause.as_secs_f32());
            tracing::warn!(%log, why, seconds, "the past cannot be kept now: trying again");
            // What only the shard is needed for does not wait for the store.
            tokio::select! {
                () = sleep(self.shared.jittered(pause)) => {}
                () = self.partition.past_turn() => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn is_leader(&self) -> bool {
        self.partition.leads() && self.partition.leader_epoch() == self.tended.epoch
    }

    fn wish(&self) -> Wish {
        let tiered = self.partition.view().tiered();
        if tiered.is_none() {
            self.was_off.store(true, Ordering::Relaxed);
        }
        match tiered {
            Some(Tiered { copies, .. }) => Wish::Keep { copies },
            None if (self.shared.parts.leaves)(&self.partition) => Wish::Leave,
            None => Wish::Nothing,
        }
    }

    /// Until the next round is due, or somebody cannot wait for it, or there is something to see to.
    async fn rest(&self, findings: &mut Findings) -> Option<Finding> {
        let interval = Duration::from_millis(self.shared.interval_ms());
        tokio::select! {
            () = sleep(self.shared.jittered(interval)) => None,
            () = self.partition.past_turn() => None,
            finding = findings.recv() => finding,
        }
    }

    /// The same while the past goes. Manifests before the newest one go meanwhile, since no walk sees to them
    /// where readers know of no past: none is left before version `dropped`. What stays is on the disk.
    async fn clear(&self, copy: &Manifest, dropped: &mut u64) {
        let interval = Duration::from_millis(self.shared.interval_ms());
        let exported = copy.exported();
        let clearing = async {
            if *dropped != exported {
                match self.tended.drop_manifests(exported).await {
                    Err(Trouble::Again(why)) => {
                        let log = self.partition.name();
                        tracing::debug!(%log, why, "old manifests cannot be deleted now");
                    }
                    _ => *dropped = exported,
                }
            }
            let is_gone = copy.segments().is_empty() && copy.unnamed().is_empty();
            if !is_gone || *dropped != exported {
                sleep(self.shared.jittered(interval)).await;
            } else {
                pending().await
            }
        };
        tokio::select! {
            () = clearing => {}
            () = self.partition.past_turn() => {}
        }
    }

    /// Claims, and goes on until something is in the way. Says whether anything was done before that.
    async fn live(&self, wish: Wish, got_on: &mut bool, findings: &mut Findings) -> Trouble {
        let mut copy = match self.claim(wish).await {
            Ok(manifest) => manifest,
            Err(trouble) => return trouble,
        };
        let mut exported_end = copy.log_start();
        let mut dropped = 0;
        loop {
            let before = progress(&copy);
            let round = self.round(wish, &mut copy, &mut exported_end).await;
            *got_on |= progress(&copy) != before;
            // What was copied before the store went away is there all the same.
            self.tell(wish, &copy, &mut exported_end);
            if let Err(trouble) = round {
                return trouble;
            }
            self.partition.past_is_well();
            if wish == Wish::Leave {
                self.clear(&copy, &mut dropped).await;
            } else if let Some(finding) = self.rest(findings).await
                && let Err(trouble) = self.see_to(finding, &mut copy, &mut exported_end).await
            {
                return trouble;
            }
            if !self.is_leader() {
                return Trouble::Over;
            }
            if self.wish() != wish {
                return Trouble::Off;
            }
        }
    }

    async fn round(
        &self,
        wish: Wish,
        copy: &mut Manifest,
        exported_end: &mut Offset,
    ) -> Result<(), Trouble> {
        self.tell(wish, copy, exported_end);
        self.move_start(wish, copy).await?;
        self.tell(wish, copy, exported_end);
        if wish == (Wish::Keep { copies: true }) {
            let mut exported = self.now_ms();
            while let Some(segment) = self.next(copy).await? {
                self.bring(copy, &segment, exported_end).await?;
                // What comes as fast as it is copied would never leave the disk.
                if self.now_ms().saturating_sub(exported) >= self.shared.interval_ms() {
                    self.tended.export(copy).await?;
                    self.tell(wish, copy, exported_end);
                    exported = self.now_ms();
                }
            }
        }
        self.tended.export(copy).await?;
        self.tell(wish, copy, exported_end);
        self.tended.collect(copy).await
    }

    fn now_ms(&self) -> u64 {
        self.shared.parts.clock.monotonic().0
    }

    /// Readers, retention and who waits for a deletion hear how things stand.
    fn tell(&self, wish: Wish, copy: &Manifest, exported_end: &mut Offset) {
        // A cut after an unclean election takes the end back.
        *exported_end = match copy.exported() == copy.version() {
            true => copy.remote_end(),
            false => (*exported_end).min(copy.remote_end()),
        };
        let told = match self.partition.past() {
            Past::Known(told) if told.manifest.version() == copy.version() => Some(told),
            _ => None,
        };
        if wish == Wish::Leave {
            self.partition.forget_past();
        } else if told.is_none_or(|told| {
            // Who looks after the newest manifest object goes by that.
            let is_same = told.manifest.exported() == copy.exported();
            told.exported_end != *exported_end || !is_same
        }) {
            let past = KnownPast {
                manifest: Arc::new(copy.clone()),
                exported_end: *exported_end,
            };
            self.partition.know_past(self.tended.epoch, past);
        }
    }

    /// The past is this broker's to keep from now on.
    async fn claim(&self, wish: Wish) -> Result<Manifest, Trouble> {
        let manifest = self.ask_claim(wish).await?;
        let has_claimed = self.has_claimed.swap(true, Ordering::Relaxed);
        // Nothing is put before something is begun, so a topic's first leader finds nothing at first.
        let begins_at_0 = self.partition.view().log_start() == 0;
        let may_be_lost = has_claimed || self.tended.epoch > 0 || !begins_at_0;
        if manifest.is_pristine() && may_be_lost && self.adopt().await? {
            if self.wish() != wish {
                return Err(Trouble::Off);
            }
            return self.ask_claim(wish).await;
        }
        Ok(manifest)
    }

    /// The same past once more, as a version that nothing has the name of yet.
    pub(super) async fn claim_anew(&self) -> Result<Manifest, Trouble> {
        match self.wish() {
            wish @ Wish::Keep { .. } => self.claim(wish).await,
            _ => Err(Trouble::Off),
        }
    }

    async fn ask_claim(&self, wish: Wish) -> Result<Manifest, Trouble> {
        let view = self.partition.view();
        let local_start = view.log_start();
        let is_empty = local_start == view.log_end();
        let may_move = wish != Wish::Leave || self.partition.waits_for_past();
        let unclean = match (is_empty, wish) {
            // Where there is nothing, nothing contradicts the bucket.
            (true, _) if may_move => None,
            // All of it is to go, and so may what contradicts the log.
            (_, Wish::Leave) => Some(self.tended.epoch),
            _ => self.unclean(),
        };
        let claim = Claim {
            // The log knows where it begins on this disk. What was deleted in both tiers the manifest
            // knows.
            log_start: if wish == Wish::Leave { local_start } else { 0 },
            local_start,
            log_end: view.log_end(),
            epochs: epochs(&view.epochs()),
            unclean,
        };
        let said = match self.tended.hear(Ask::Claim(claim.clone())).await? {
            // Retention took it while readers had nothing but the disk, and the shard has not heard of that.
            Err(Refusal::Hole { .. }) if self.was_off.load(Ordering::Relaxed) => {
                let log_start = local_start;
                let claim = Claim { log_start, ..claim };
                self.tended.hear(Ask::Claim(claim)).await?
            }
            said => said,
        };
        match said {
            Ok(Answer::Claimed(manifest)) => {
                let is_off = wish == Wish::Leave;
                self.was_off.store(is_off, Ordering::Relaxed);
                Ok(*manifest)
            }
            Err(Refusal::Departs { remote_end, .. }) if is_empty && may_move => {
                self.go_behind(remote_end).await?;
                Err(Trouble::Off)
            }
            Err(refusal) => Err(refusal.into()),
            Ok(_) => Err(strange()),
        }
    }

    /// Has an empty log go on behind the bucket, once the shard knows where that ends: who has claimed
    /// before may not have come as far as to look there.
    async fn go_behind(&self, remote_end: Offset) -> Result<(), Trouble> {
        let Answer::Manifest(manifest) = self.tended.ask(Ask::Describe).await? else {
            return Err(strange());
        };
        if manifest.is_pristine() && self.adopt().await? {
            return Ok(());
        }
        self.begin_anew(remote_end).await
    }

    /// All disks have lost the log, or an empty one was chosen: it goes on behind what the bucket has.
    async fn begin_anew(&self, remote_end: Offset) -> Result<(), Trouble> {
        let beginning = self.partition.beginning(remote_end).await;
        let beginning = beginning.map_err(|error| Trouble::Again(error.to_string()))?;
        let begun = self.partition.lead_from(self.tended.epoch, beginning).await;
        begun.map_err(|error| Trouble::Again(error.to_string()))
    }

    /// The latest epoch whose leader may have less than was acknowledged.
    fn unclean(&self) -> Option<LeaderEpoch> {
        let image = self.shared.parts.image.borrow();
        let elections = image.unclean_elections();
        let ours = elections.filter(|election| election.at == self.partition.id());
        ours.map(|election| election.leader_epoch).max()
    }

    /// What retention or DeleteRecords takes is in the past no more; and not on this disk either.
    async fn move_start(&self, wish: Wish, copy: &mut Manifest) -> Result<(), Trouble> {
        let ends = self.partition.ends();
        let wanted = self.partition.wanted_start().max(self.due(copy));
        // Where nothing is in the bucket the log may begin later than was told, and where all of it
        // leaves the log is what stays.
        let follows = wish == Wish::Leave || copy.segments().is_empty();
        let wanted = wanted.max(if follows { ends.local_start } else { 0 });
        let log_start = wanted.min(ends.high_watermark);
        if log_start > copy.log_start() {
            self.tended
                .change(copy, Ask::MoveStart { log_start })
                .await?;
        }
        let log_start = copy.log_start();
        if log_start > ends.local_start && wish != Wish::Leave {
            let to = log_start.min(ends.high_watermark);
            let trimmed = self.partition.trim_here(to).await;
            trimmed.map_err(|error| Trouble::Again(error.to_string()))?;
        }
        Ok(())
    }

    /// Where the log begins by its retention.
    fn due(&self, copy: &Manifest) -> Offset {
        let view = self.partition.view();
        let config = view.config();
        if !config.cleanup.delete {
            return copy.log_start();
        }
        let copied = view.closed_segments(-1, copy.remote_end());
        let copied_bytes: u64 = copied.iter().map(ClosedSegment::size_bytes).sum();
        copy.due(&Retention {
            now: self.shared.parts.clock.wall(),
            max_age_ms: config.retention_ms,
            max_bytes: config.retention_bytes,
            local_bytes: view.size_bytes().saturating_sub(copied_bytes),
        })
    }

    /// The closed segment that goes on where the bucket ends.
    async fn next(&self, copy: &Manifest) -> Result<Option<ClosedSegment>, Trouble> {
        let committed = self.partition.ends().high_watermark;
        let closed = {
            let view = self.partition.view();
            view.closed_segments(copy.remote_end(), committed)
        };
        let next = closed.into_iter().next();
        // What retention took meanwhile is told first.
        let next = next.filter(|segment| segment.base() <= copy.remote_end());
        match next {
            Some(segment) if self.is_ripe(&segment).await? => Ok(Some(segment)),
            _ => Ok(None),
        }
    }

    /// Whether a closed segment may be copied by now: by its age, or by what lies after it (KIP-1241).
    async fn is_ripe(&self, segment: &ClosedSegment) -> Result<bool, Trouble> {
        let Some(tiered) = self.partition.view().tiered() else {
            return Ok(false);
        };
        if tiered.copy_lag_ms == Some(0) {
            return Ok(true);
        }
        if let Some(bytes) = tiered.copy_lag_bytes {
            let view = self.partition.view();
            let upto = view.closed_segments(-1, segment.end());
            let upto: u64 = upto.iter().map(ClosedSegment::size_bytes).sum();
            if view.size_bytes().saturating_sub(upto) >= bytes {
                return Ok(true);
            }
        }
        let Some(lag_ms) = tiered.copy_lag_ms else {
            return Ok(false);
        };
        let ask = |done| segment.newest(done);
        let newest = read_here(&self.partition, self.tended.epoch, ask).await;
        let newest = newest.map_err(|error| Trouble::Again(error.to_string()))?;
        let now = self.shared.parts.clock.wall();
        // Records of no time are of no age: they would stay for ever.
        Ok(newest.is_none_or(|newest| {
            u64::try_from(now.0.saturating_sub(newest.0)).is_ok_and(|age| age >= lag_ms)
        }))
    }

    async fn bring(
        &self,
        copy: &mut Manifest,
        segment: &ClosedSegment,
        exported_end: &mut Offset,
    ) -> Result<(), Trouble> {
        let seat = self.shared.seat();
        let seat = self.meanwhile(seat, copy, exported_end).await?;
        let _seat = seat.ok_or(Trouble::Over)?;
        let what = (segment, Purpose::Append, 0);
        let stored = self.upload(copy, what, exported_end).await?;
        self.tended.change(copy, Ask::Commit(stored)).await
    }

    /// Begins an attempt, and stores its object. An attempt that fails is given up.
    pub(super) async fn upload(
        &self,
        copy: &mut Manifest,
        (segment, purpose, generation): (&ClosedSegment, Purpose, u32),
        exported_end: &mut Offset,
    ) -> Result<Stored, Trouble> {
        let id = SegmentId(self.shared.parts.rng.id());
        let (start, end) = (segment.base(), segment.end());
        let epochs = within(&epochs(&self.partition.view().epochs()), start, end);
        if epochs.len() > Limits::SEGMENT_EPOCHS {
            return Err(Trouble::Again(format!(
                "the segment from {start} has {} leader epochs, and an object {} at most: it and what follows \
                 stay on the disk",
                epochs.len(),
                Limits::SEGMENT_EPOCHS
            )));
        }
        let begin = Ask::Begin {
            id,
            start,
            end,
            purpose,
        };
        self.tended.change(copy, begin).await?;
        let carried = Carried {
            partition: Arc::clone(&self.partition),
            id,
            leader_epoch: self.tended.epoch,
            epochs,
            generation,
            spacing: self.partition.view().config().index_interval_bytes,
        };
        let counts = &self.shared.parts.counts;
        let both = [&counts.traffic, self.partition.traffic().remote()];
        count(both, |it| &it.copies, 1);
        let carrying = carry(&self.shared, carried, segment);
        match self.meanwhile(carrying, copy, exported_end).await? {
            Ok(stored) => {
                count(both, |it| &it.copied_bytes, stored.size_bytes);
                Ok(stored)
            }
            Err(error) => {
                count(both, |it| &it.failed_copies, 1);
                // Should this be lost as well, the attempt ends by its age.
                let ids = vec![id];
                self.tended.change(copy, Ask::Abandon { ids }).await?;
                Err(error.into())
            }
        }
    }

    /// Does something that takes long, and between times what somebody waits for.
    pub(super) async fn meanwhile<T>(
        &self,
        work: impl Future<Output = T>,
        copy: &mut Manifest,
        exported_end: &mut Offset,
    ) -> Result<T, Trouble> {
        const WISH: Wish = Wish::Keep { copies: true };
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                () = self.partition.past_turn() => {
                    self.move_start(WISH, copy).await?;
                    self.tell(WISH, copy, exported_end);
                }
            }
        }
    }
}

/// What a round is for. The version moves with each attempt that fails as well: begun, abandoned.
fn progress(copy: &Manifest) -> (Offset, Offset, u64) {
    (copy.log_start(), copy.remote_end(), copy.exported())
}

fn epochs(known: &[(LeaderEpoch, Offset)]) -> Vec<EpochStart> {
    let start = |&(epoch, offset)| EpochStart { epoch, offset };
    known.iter().map(start).collect()
}

/// Those that have records from `start` to `end`.
fn within(epochs: &[EpochStart], start: Offset, end: Offset) -> Vec<EpochStart> {
    let covered = epochs.partition_point(|epoch| epoch.offset <= start);
    let first = covered.saturating_sub(1);
    let last = epochs.partition_point(|epoch| epoch.offset < end);
    let mut within = epochs.get(first..last).unwrap_or_default().to_vec();
    // A log that was trimmed inside of the segment knows no earlier epoch, and nobody reads what is
    // before that.
    if let Some(first) = within.first_mut() {
        first.offset = first.offset.min(start);
    }
    within
}
