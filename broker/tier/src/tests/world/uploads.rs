//! Segments on their way to the bucket: begun, put, read back, committed.

use freshet_env::objects::ObjectFailure;
use freshet_types::{Offset, Timestamp};

use super::bucket::{Rows, object};
use super::leader::{Leader, Upload};
use super::{Caller, Duty, GRACE, Message, PARTITION, World, index};
use crate::machine::{Ask, Purpose, Refusal, Stored};
use crate::segment::{EpochStart, SegmentId};

/// A put is waited for so long, then sent again.
const PATIENCE: u64 = 15;
/// A task that takes longer may be given up.
const LIFETIME: u64 = 45;

struct Part {
    stored: Stored,
    rows: Rows,
    is_begun: bool,
    is_stored: bool,
    again: u64,
}

/// One segment to append, or a few to take the place of others.
pub(super) struct Task {
    parts: Vec<Part>,
    removed: Vec<SegmentId>,
    is_asked: bool,
    born: u64,
}

impl Task {
    fn has(&self, id: SegmentId) -> bool {
        self.parts.iter().any(|part| part.stored.id == id)
    }

    fn is_append(&self) -> bool {
        self.removed.is_empty()
    }

    /// The end of what is appended and was put, whether anybody has committed it or not.
    pub(super) fn appended_end(&self) -> Option<Offset> {
        let part = self.parts.last()?;
        (self.is_append() && part.is_stored).then_some(part.stored.end)
    }
}

impl Leader {
    /// Ids that it is using.
    fn taken(&self) -> Vec<SegmentId> {
        let parts = self.tasks.iter().flat_map(|task| &task.parts);
        parts.map(|part| part.stored.id).collect()
    }
}

impl World {
    /// A generator that repeats itself soon, so that the machine has to notice. A leader itself knows
    /// what it has just drawn.
    fn draw_id(&mut self, taken: &[SegmentId]) -> SegmentId {
        if let Some((at, id)) = self.drawn.last().copied()
            && at + GRACE / 2 > self.now.0
            && !taken.contains(&id)
            && self.dice.chance(12)
        {
            return id;
        }
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.dice.word().to_be_bytes());
        id[8..].copy_from_slice(&self.dice.word().to_be_bytes());
        self.drawn.push((self.now.0, SegmentId(id)));
        SegmentId(id)
    }

    fn part(
        &self,
        id: SegmentId,
        (start, end): (Offset, Offset),
        rows: Rows,
        epochs: Vec<EpochStart>,
    ) -> Part {
        Part {
            stored: Stored {
                id,
                start,
                end,
                size_bytes: 1,
                max_timestamp: Timestamp(end),
                epochs,
            },
            rows,
            is_begun: false,
            is_stored: false,
            again: 0,
        }
    }

    fn start_task(&mut self, leader: &mut Leader, parts: Vec<Part>, removed: Vec<SegmentId>) {
        let purpose = if removed.is_empty() {
            Purpose::Append
        } else {
            Purpose::Rewrite
        };
        for part in &parts {
            leader.outbox.push_back(Ask::Begin {
                id: part.stored.id,
                start: part.stored.start,
                end: part.stored.end,
                purpose,
            });
        }
        leader.tasks.push(Task {
            parts,
            removed,
            is_asked: false,
            born: self.now.0,
        });
    }

    /// Replicas roll where they like: a segment may begin before the one in the bucket ends.
    pub(super) fn begin_append(&mut self, at: usize, leader: &mut Leader) {
        let Some(copy) = &leader.copy else { return };
        let appends = leader.tasks.iter().filter(|task| task.is_append());
        let ends = appends.flat_map(|task| task.parts.iter().map(|part| part.stored.end));
        let next = ends.max().unwrap_or(0).max(copy.remote_end());
        let limit = if self.has(Duty::BelowWatermark) {
            leader.high_watermark.min(self.nodes[at].end())
        } else {
            self.nodes[at].end()
        };
        if leader.tasks.len() >= 4 || limit - next < 3 || next < self.nodes[at].local_start {
            return;
        }
        let start = (next - self.dice.offset(0, 2)).max(self.nodes[at].local_start);
        let end = limit.min(next + self.dice.offset(3, 8));
        let node = &self.nodes[at];
        let rows = (start..end).map(|o| (o, node.log[index(o)])).collect();
        let epochs = node.epochs(start, end);
        let id = self.draw_id(&leader.taken());
        let part = self.part(id, (start, end), rows, epochs);
        self.start_task(leader, vec![part], Vec::new());
    }

    /// The cleaner: some of what it reads is left out of what it writes.
    pub(super) fn begin_rewrite(&mut self, leader: &mut Leader) {
        let Some(copy) = &leader.copy else { return };
        let segments = copy.segments();
        if segments.is_empty() || leader.tasks.len() >= 4 {
            return;
        }
        let first = self.dice.index(segments.len());
        let last = segments.len().min(first + 1 + self.dice.index(3));
        let run = segments[first..last].to_vec();
        let mut rows = Rows::new();
        for segment in &run {
            let key = self
                .bucket
                .layout
                .segment(PARTITION, segment.object_start, segment.id);
            let Some(read) = self.bucket.rows(&key) else {
                return;
            };
            rows.extend(read.range(segment.start..segment.end));
        }
        let (start, end) = (run[0].start, run[run.len() - 1].end);
        rows.retain(|offset, _| {
            let stays = self.dice.chance(75);
            if !stays {
                self.cleaned.insert(*offset);
            }
            stays
        });
        let epochs: Vec<_> = run.iter().flat_map(|s| s.epochs.iter().copied()).collect();
        let removed = run.iter().map(|segment| segment.id).collect();
        let mut cuts = vec![start, end];
        if end - start > 4 && self.dice.chance(50) {
            cuts.insert(1, start + (end - start) / 2);
        }
        // A cleaner that stops too early, once in a while.
        if end - start > 2 && self.dice.chance(15) {
            *cuts.last_mut().unwrap() = end - 1;
        }
        let mut parts = Vec::new();
        let mut taken = leader.taken();
        for pair in cuts.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            let rows = rows.range(from..to).map(|(o, row)| (*o, *row)).collect();
            let epochs = covering(&epochs, from, to);
            let id = self.draw_id(&taken);
            taken.push(id);
            parts.push(self.part(id, (from, to), rows, epochs));
        }
        self.start_task(leader, parts, removed);
    }

    pub(super) fn begun(&mut self, leader: &mut Leader, id: SegmentId, well: bool) {
        if !well {
            return self.give_up(leader, id);
        }
        let parts = leader.tasks.iter_mut().flat_map(|task| &mut task.parts);
        parts
            .filter(|part| part.stored.id == id)
            .for_each(|part| part.is_begun = true);
    }

    /// What is put again and again until it is there, and what is ready to be committed.
    pub(super) fn push_uploads(&mut self, at: usize, leader: &mut Leader) {
        let now = self.now.0;
        let life = self.nodes[at].life;
        let caller = Caller {
            node: at,
            life,
            ask: u64::try_from(leader.epoch).unwrap(),
        };
        let mut puts = Vec::new();
        for part in leader.tasks.iter_mut().flat_map(|task| &mut task.parts) {
            if part.is_begun && !part.is_stored && part.again <= now {
                part.again = now + PATIENCE;
                let Stored { id, start, .. } = part.stored;
                let key = self.bucket.layout.segment(PARTITION, start, id);
                let bytes = object(&part.stored, leader.epoch, &part.rows);
                puts.push((key, bytes, Upload::Segment(id)));
            }
        }
        if let Some((export, again)) = &mut leader.export
            && *again <= now
        {
            *again = now + PATIENCE;
            let key = self.bucket.layout.manifest(PARTITION, export.version);
            puts.push((key, export.bytes.clone(), Upload::Manifest(export.version)));
        }
        for (key, bytes, what) in puts {
            self.send(Message::Put(caller, key, bytes, what));
        }
        self.ask_for_commits(leader);
        let late = |task: &Task| task.born + LIFETIME < now;
        if let Some(task) = leader.tasks.iter().find(|task| late(task))
            && self.dice.chance(10)
        {
            let id = task.parts[0].stored.id;
            self.give_up(leader, id);
        }
    }

    fn ask_for_commits(&mut self, leader: &mut Leader) {
        let Some(copy) = &leader.copy else { return };
        for task in &mut leader.tasks {
            let ready = !task.is_asked && task.parts.iter().all(|part| part.is_stored);
            let in_turn = !task.is_append() || task.parts[0].stored.start <= copy.remote_end();
            // Some do not wait for their turn.
            if !ready || !(in_turn || self.dice.chance(5)) {
                continue;
            }
            task.is_asked = true;
            let mut added: Vec<Stored> = task.parts.iter().map(|p| p.stored.clone()).collect();
            leader.outbox.push_back(if task.is_append() {
                Ask::Commit(added.remove(0))
            } else {
                let removed = task.removed.clone();
                Ask::Replace { removed, added }
            });
        }
    }

    pub(super) fn concluded(
        &mut self,
        leader: &mut Leader,
        id: SegmentId,
        refusal: Option<&Refusal>,
    ) {
        let task = leader.tasks.iter_mut().find(|task| task.has(id));
        match (task, refusal) {
            (Some(task), Some(Refusal::NotContiguous { remote_end }))
                if task.parts[0].stored.start > *remote_end =>
            {
                task.is_asked = false;
            }
            (_, Some(_)) => self.give_up(leader, id),
            (_, None) => leader.tasks.retain(|task| !task.has(id)),
        }
    }

    fn give_up(&mut self, leader: &mut Leader, id: SegmentId) {
        let Some(at) = leader.tasks.iter().position(|task| task.has(id)) else {
            return;
        };
        let task = leader.tasks.remove(at);
        let ids = task.parts.iter().map(|part| part.stored.id).collect();
        if !self.has(Duty::DeleteOnlyDoomed) {
            for part in &task.parts {
                let Stored { id, start, .. } = part.stored;
                let key = self.bucket.layout.segment(PARTITION, start, id);
                self.send(Message::Delete(key));
            }
        }
        leader.outbox.push_back(Ask::Abandon { ids });
    }

    /// An upload arrives at the bucket, whoever sent it and however long ago.
    pub(super) fn put(&mut self, caller: Caller, key: &str, bytes: Vec<u8>, what: Upload) {
        let torn = matches!(what, Upload::Segment(_)) && self.dice.chance(4);
        match self.bucket.put(key, bytes.clone(), torn) {
            Ok(()) => self.is_dirty = true,
            Err(error) => {
                assert_eq!(error.failure, ObjectFailure::AlreadyExists);
                let is_other = self.bucket.bytes(key).is_none_or(|stored| stored != bytes);
                if is_other && matches!(what, Upload::Manifest(_)) {
                    self.violation = Some(format!("{key} is another one's"));
                }
            }
        }
        self.send(Message::IsPut(caller, what));
    }

    pub(super) fn is_put(&mut self, caller: Caller, what: &Upload) {
        let at = caller.node;
        let Some(mut leader) = self.nodes[at].leads.take() else {
            return;
        };
        let epoch = u64::try_from(leader.epoch).unwrap();
        if self.nodes[at].life == caller.life && epoch == caller.ask {
            match what {
                Upload::Segment(id) => self.is_segment_put(&mut leader, *id),
                Upload::Manifest(version) => {
                    let asked = Ask::Exported { version: *version };
                    let waits = leader.export.as_ref();
                    let due = waits.is_some_and(|(export, _)| export.version == *version);
                    if due && !leader.outbox.contains(&asked) {
                        leader.outbox.push_back(asked);
                    }
                }
            }
        }
        self.nodes[at].leads = Some(leader);
    }

    fn is_segment_put(&mut self, leader: &mut Leader, id: SegmentId) {
        let verify = self.has(Duty::Verify);
        let parts = leader.tasks.iter_mut().flat_map(|task| &mut task.parts);
        let Some(part) = parts.into_iter().find(|part| part.stored.id == id) else {
            return;
        };
        let key = self.bucket.layout.segment(PARTITION, part.stored.start, id);
        if !verify || self.bucket.rows(&key).as_ref() == Some(&part.rows) {
            part.is_stored = true;
        } else if self.bucket.has(&key) {
            self.give_up(leader, id);
        }
    }
}

/// The epochs of a part.
fn covering(epochs: &[EpochStart], start: Offset, end: Offset) -> Vec<EpochStart> {
    let mut all: Vec<EpochStart> = Vec::new();
    for epoch in epochs {
        if all.last().is_none_or(|last| last.epoch < epoch.epoch) {
            all.push(*epoch);
        }
    }
    let first = all.partition_point(|e| e.offset <= start).saturating_sub(1);
    let within = all[first..].iter().copied();
    within.filter(|epoch| epoch.offset < end).collect()
}
