//! Keeps one partition's past, for as long as this broker leads it in one epoch.

use std::sync::Arc;
use std::time::Duration;

use freshet_log::ClosedSegment;
use freshet_tier::{Answer, Ask, Claim, EpochStart, Manifest, Purpose, SegmentId};
use freshet_types::{LeaderEpoch, Offset};
use tokio::time::sleep;

use super::Shared;
use super::carry::{Carried, carry};
use super::tended::{Tended, Trouble, strange};
use crate::partition::Partition;

/// Pause after the first failure; each one after it is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// See the module.
pub(super) struct Custodian {
    shared: Arc<Shared>,
    partition: Arc<Partition>,
    tended: Tended,
}

impl Custodian {
    pub(super) fn new(shared: Arc<Shared>, partition: Arc<Partition>) -> Self {
        let tended = Tended {
            shared: Arc::clone(&shared),
            at: partition.id(),
            epoch: partition.leader_epoch(),
        };
        Self {
            shared,
            partition,
            tended,
        }
    }

    /// Until another broker leads, or this one in another epoch.
    pub(super) async fn keep(self) {
        let mut pause = FIRST_PAUSE;
        while self.is_leader() {
            if !self.tiers() {
                self.rest().await;
                continue;
            }
            let mut got_on = false;
            let why = match self.live(&mut got_on).await {
                Trouble::Over => return,
                Trouble::Off => continue,
                Trouble::Again(why) => why,
            };
            if got_on {
                pause = FIRST_PAUSE;
            }
            let (log, seconds) = (self.partition.name(), pause.as_secs_f32());
            tracing::warn!(%log, why, seconds, "the past cannot be kept now: trying again");
            sleep(self.jittered(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn is_leader(&self) -> bool {
        self.partition.leads() && self.partition.leader_epoch() == self.tended.epoch
    }

    fn tiers(&self) -> bool {
        (self.shared.parts.tiers)(&self.partition)
    }

    async fn rest(&self) {
        let interval = Duration::from_millis(self.shared.interval_ms());
        sleep(self.jittered(interval)).await;
    }

    /// Between three and five quarters of it: partitions do not ask all at once.
    fn jittered(&self, pause: Duration) -> Duration {
        let [dice, ..] = self.shared.parts.rng.id();
        pause.mul_f32(0.75 + f32::from(dice) / 512.0)
    }

    /// Claims, and goes on until something is in the way. Says whether anything was done before that.
    async fn live(&self, got_on: &mut bool) -> Trouble {
        let mut copy = match self.claim().await {
            Ok(manifest) => manifest,
            Err(trouble) => return trouble,
        };
        loop {
            let version = copy.version();
            let round = self.round(&mut copy).await;
            *got_on |= copy.version() > version;
            if let Err(trouble) = round {
                return trouble;
            }
            self.rest().await;
            if !self.is_leader() {
                return Trouble::Over;
            }
            if !self.tiers() {
                return Trouble::Off;
            }
        }
    }

    async fn round(&self, copy: &mut Manifest) -> Result<(), Trouble> {
        self.follow_start(copy).await?;
        while let Some(segment) = self.next(copy) {
            self.bring(copy, &segment).await?;
        }
        self.tended.export(copy).await?;
        self.tended.collect(copy).await
    }

    /// The past is this broker's to keep from now on.
    async fn claim(&self) -> Result<Manifest, Trouble> {
        if !self.partition.is_settled() {
            return Err(Trouble::Again("its end is not known yet".to_owned()));
        }
        let view = self.partition.view();
        let start = view.log_start();
        let claim = Claim {
            log_start: start,
            local_start: start,
            log_end: view.log_end(),
            epochs: epochs(&view.epochs()),
            unclean: self.unclean(),
        };
        match self.tended.ask(Ask::Claim(claim)).await? {
            Answer::Claimed(manifest) => Ok(*manifest),
            _ => Err(strange()),
        }
    }

    /// The latest epoch whose leader may have less than was acknowledged.
    fn unclean(&self) -> Option<LeaderEpoch> {
        let image = self.shared.parts.image.borrow();
        let elections = image.unclean_elections();
        let ours = elections.filter(|election| election.at == self.partition.id());
        ours.map(|election| election.leader_epoch).max()
    }

    /// What retention or DeleteRecords has taken is in the past no more.
    async fn follow_start(&self, copy: &mut Manifest) -> Result<(), Trouble> {
        let log_start = self.partition.view().log_start();
        if log_start > copy.log_start() {
            self.tended
                .change(copy, Ask::MoveStart { log_start })
                .await?;
        }
        Ok(())
    }

    /// The closed segment that goes on where the bucket ends.
    fn next(&self, copy: &Manifest) -> Option<ClosedSegment> {
        let committed = self.partition.ends().high_watermark;
        let view = self.partition.view();
        let closed = view.closed_segments(copy.remote_end(), committed);
        let next = closed.into_iter().next();
        // What retention took meanwhile is told first.
        next.filter(|segment| segment.base() <= copy.remote_end())
    }

    async fn bring(&self, copy: &mut Manifest, segment: &ClosedSegment) -> Result<(), Trouble> {
        let _seat = self.shared.seat().await.ok_or(Trouble::Over)?;
        let id = SegmentId(self.shared.parts.rng.id());
        let (start, end) = (segment.base(), segment.end());
        let begin = Ask::Begin {
            id,
            start,
            end,
            purpose: Purpose::Append,
        };
        self.tended.change(copy, begin).await?;
        let carried = Carried {
            partition: self.partition.id(),
            id,
            leader_epoch: self.tended.epoch,
            epochs: within(&epochs(&self.partition.view().epochs()), start, end),
            spacing: self.partition.view().config().index_interval_bytes,
        };
        let parts = &self.shared.parts;
        match carry(&*parts.objects, &parts.layout, carried, segment).await {
            Ok(stored) => self.tended.change(copy, Ask::Commit(stored)).await,
            Err(error) => {
                // Should this be lost as well, the attempt ends by its age.
                let ids = vec![id];
                self.tended.change(copy, Ask::Abandon { ids }).await?;
                Err(error.into())
            }
        }
    }
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
    epochs.get(first..last).unwrap_or_default().to_vec()
}
