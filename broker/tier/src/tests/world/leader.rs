//! The body that a leader will have: one request at a time, asked again until it is answered; a copy
//! of the manifest that follows the answers.

use std::collections::VecDeque;

use freshet_types::{LeaderEpoch, Offset};

use super::endings::UNDERTAKER;
use super::uploads::Task;
use super::{Caller, Duty, Message, PARTITION, World, index};
use crate::machine::{Answer, Ask, Claim, Refusal, Request};
use crate::manifest::{ExportedManifest, Manifest};
use crate::segment::SegmentId;

/// An answer is waited for so long, then asked for again.
const PATIENCE: u64 = 12;

/// What was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Upload {
    Segment(SegmentId),
    Manifest(u64),
}

pub(super) struct Leader {
    pub(super) epoch: LeaderEpoch,
    unclean: Option<LeaderEpoch>,
    pub(super) high_watermark: Offset,
    pub(super) copy: Option<Manifest>,
    /// All below can be restored from the bucket alone.
    pub(super) exported_end: Offset,
    pub(super) outbox: VecDeque<Ask>,
    waiting: Option<(u64, Ask, u64)>,
    pub(super) tasks: Vec<Task>,
    doomed: Vec<(SegmentId, Offset)>,
    /// Its manifest was there before.
    has_claimed: bool,
    /// Where an empty log is to go on.
    behind: Offset,
    pub(super) export: Option<(ExportedManifest, u64)>,
}

impl Leader {
    pub(super) fn new(
        epoch: LeaderEpoch,
        unclean: Option<LeaderEpoch>,
        high_watermark: Offset,
    ) -> Self {
        Self {
            epoch,
            unclean,
            high_watermark,
            copy: None,
            exported_end: 0,
            outbox: VecDeque::new(),
            waiting: None,
            tasks: Vec::new(),
            doomed: Vec::new(),
            has_claimed: false,
            behind: 0,
            export: None,
        }
    }

    /// It asks for nothing.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_none() && self.outbox.is_empty()
    }

    pub(super) fn follow(&mut self, answer: Result<Answer, Refusal>) {
        let changed = match answer {
            Ok(Answer::Changed(changed)) => changed,
            Ok(Answer::Doomed { changed, objects }) => {
                self.doomed = objects;
                changed
            }
            _ => return,
        };
        let follows = self.copy.as_mut().is_none_or(|copy| copy.follow(&changed));
        if !follows {
            self.begin_anew();
        }
    }

    /// Something that a manifest in the bucket would tell.
    fn has_something(&self) -> bool {
        let copy = self.copy.as_ref();
        copy.is_some_and(|copy| !copy.is_pristine())
    }

    pub(super) fn begin_anew(&mut self) {
        self.copy = None;
        self.tasks.clear();
        self.export = None;
        self.outbox.clear();
    }
}

impl World {
    pub(super) fn tend(&mut self, at: usize) {
        let Some(mut leader) = self.nodes[at].leads.take() else {
            return;
        };
        self.talk(at, &mut leader);
        self.push_uploads(at, &mut leader);
        if leader.copy.is_some() {
            self.act(at, &mut leader);
        } else if leader.waiting.is_none() {
            leader.outbox.clear();
            leader.outbox.push_back(self.claim(at, &leader));
        }
        self.nodes[at].leads = Some(leader);
    }

    fn claim(&self, at: usize, leader: &Leader) -> Ask {
        let node = &self.nodes[at];
        let local_start = node.local_start;
        Ask::Claim(Claim {
            // A log knows where it begins on its disk, and not where the bucket does.
            log_start: 0,
            local_start,
            log_end: node.end(),
            epochs: node.epochs(local_start, node.end()),
            // Where there is nothing, nothing contradicts the bucket.
            unclean: leader.unclean.filter(|_| node.end() > 0),
        })
    }

    pub(super) fn talk(&mut self, at: usize, leader: &mut Leader) {
        let now = self.now.0;
        let (number, ask) = match &mut leader.waiting {
            Some((number, ask, again)) if *again <= now => {
                *again = now + PATIENCE;
                // Whoever asks again waits for that answer, and for none that comes late: it may be of a
                // shard that has forgotten everything since.
                self.next_ask += 1;
                *number = self.next_ask;
                if self.dice.chance(70) {
                    self.nodes[at].host = self.shard.newest_host();
                }
                (*number, ask.clone())
            }
            Some(_) => return,
            None => {
                let Some(ask) = leader.outbox.pop_front() else {
                    return;
                };
                self.next_ask += 1;
                leader.waiting = Some((self.next_ask, ask.clone(), now + PATIENCE));
                (self.next_ask, ask)
            }
        };
        let caller = Caller {
            node: at,
            life: self.nodes[at].life,
            ask: number,
        };
        let request = Request {
            partition: PARTITION,
            leader_epoch: leader.epoch,
            ask,
        };
        self.send(Message::Ask(self.nodes[at].host, caller, request));
    }

    /// Something that is due now and then.
    fn act(&mut self, at: usize, leader: &mut Leader) {
        if leader.outbox.len() > 3 {
            return;
        }
        match self.dice.below(100) {
            0..20 => self.begin_append(at, leader),
            20..26 => self.begin_rewrite(leader),
            26..36 if leader.export.is_none() && leader.has_something() => {
                leader.outbox.push_back(Ask::Export);
            }
            36..46 => leader.outbox.push_back(Ask::Collect),
            46..50 => self.sweep(leader),
            50..53 => self.retain(leader),
            53..63 => self.trim(at, leader),
            63..83 => self.delete_doomed(leader),
            _ => {}
        }
    }

    fn sweep(&mut self, leader: &mut Leader) {
        let mut listed = self.bucket.listed();
        // Half of the leaders ask for everything, the others for what their copy does not know.
        if leader.epoch % 2 == 0
            && let Some(copy) = &leader.copy
        {
            listed.retain(|(id, _)| !copy.knows(*id));
        }
        leader.outbox.push_back(Ask::Sweep { listed });
    }

    /// Retention, or now and then somebody who deletes records that are not in the bucket yet.
    fn retain(&mut self, leader: &mut Leader) {
        let Some(copy) = &leader.copy else { return };
        let from = copy.log_start();
        let to = if self.dice.chance(90) {
            from + (copy.remote_end() - from) / 2
        } else {
            leader.high_watermark
        };
        if to > from {
            let log_start = self.dice.offset(from, to);
            leader.outbox.push_back(Ask::MoveStart { log_start });
        }
    }

    fn trim(&mut self, at: usize, leader: &Leader) {
        let Some(copy) = &leader.copy else { return };
        let sent = leader.tasks.iter().filter_map(Task::appended_end).max();
        let limit = if !self.has(Duty::CommittedBeforeTrim) {
            sent.unwrap_or(0)
        } else if !self.has(Duty::ExportedBeforeTrim) {
            copy.remote_end()
        } else {
            leader.exported_end
        };
        let node = &mut self.nodes[at];
        let limit = limit.min(leader.high_watermark).min(node.end());
        if limit > node.local_start {
            node.local_start = limit;
            self.told.trims += 1;
            self.is_dirty = true;
        }
    }

    pub(super) fn delete_doomed(&mut self, leader: &mut Leader) {
        let mut ids = Vec::new();
        for (id, start) in std::mem::take(&mut leader.doomed) {
            if self.dice.chance(15) {
                continue;
            }
            let key = self.bucket.layout.segment(PARTITION, start, id);
            self.bucket.delete(&key);
            self.is_dirty = true;
            if self.dice.chance(10) {
                self.send(Message::Delete(key));
            }
            ids.push(id);
        }
        if !ids.is_empty() {
            leader.outbox.push_back(Ask::Collected { ids });
        }
    }

    pub(super) fn answered(&mut self, caller: Caller, reply: Result<Answer, Refusal>) {
        let at = caller.node;
        let present = self.nodes[at].life == caller.life;
        let Some(mut leader) = self.nodes[at].leads.take() else {
            return;
        };
        let number = leader.waiting.as_ref().map(|(number, ..)| *number);
        if present
            && number == Some(caller.ask)
            && let Some((_, ask, _)) = leader.waiting.take()
        {
            if reply.is_err() {
                self.told.refusals += 1;
            }
            if let Err(Refusal::Fenced { .. }) = reply {
                return;
            }
            match at {
                UNDERTAKER => self.undertaker_hears(&mut leader, ask, reply),
                _ => self.hear(at, &mut leader, ask, reply),
            }
        }
        self.nodes[at].leads = Some(leader);
    }

    fn hear(&mut self, at: usize, leader: &mut Leader, ask: Ask, reply: Result<Answer, Refusal>) {
        match (ask, reply) {
            (_, Err(Refusal::NotClaimed { .. })) => {
                leader.begin_anew();
            }
            (Ask::Claim(claim), Ok(Answer::Claimed(manifest))) => {
                self.claimed(leader, &claim, *manifest);
            }
            (Ask::Claim(claim), Err(Refusal::Departs { remote_end, .. })) if claim.log_end == 0 => {
                leader.behind = remote_end;
                leader.outbox.push_back(Ask::Describe);
            }
            (Ask::Claim(claim), Err(refusal)) => self.cannot_lead(at, leader, &claim, &refusal),
            (Ask::Describe, Ok(Answer::Manifest(manifest))) => {
                if !manifest.is_pristine() || !self.adopts(leader) {
                    self.go_behind(at, leader);
                }
            }
            (Ask::Adopt { .. }, Ok(Answer::Adopted)) => {
                self.told.adoptions += 1;
                leader.begin_anew();
            }
            (Ask::Describe | Ask::Adopt { .. }, _) => leader.begin_anew(),
            (Ask::Export, Ok(Answer::Export(export))) => {
                leader.export = Some((export, self.now.0));
            }
            (Ask::Exported { version }, reply @ Ok(_)) => {
                leader.follow(reply);
                leader
                    .export
                    .take_if(|(export, _)| export.version == version)
                    .inspect(|(export, _)| leader.exported_end = export.remote_end);
            }
            (Ask::Begin { id, .. }, reply) => {
                self.begun(leader, id, reply.is_ok());
                leader.follow(reply);
            }
            (Ask::Commit(stored), reply) => {
                self.concluded(leader, stored.id, reply.as_ref().err());
                leader.follow(reply);
            }
            (Ask::Replace { added, .. }, reply) => {
                self.concluded(leader, added[0].id, reply.as_ref().err());
                leader.follow(reply);
            }
            (_, reply) => leader.follow(reply),
        }
        if let Some(copy) = &leader.copy {
            let node = &mut self.nodes[at];
            node.log_start = node.log_start.max(copy.log_start());
            node.local_start = node.local_start.max(node.log_start);
        }
        self.is_dirty = true;
    }

    fn claimed(&mut self, leader: &mut Leader, claim: &Claim, manifest: Manifest) {
        let may_be_lost = leader.epoch > 1 || leader.has_claimed || claim.local_start > 0;
        leader.has_claimed = true;
        if manifest.is_pristine() && may_be_lost && self.adopts(leader) {
            return;
        }
        leader.exported_end = manifest.log_start();
        leader.copy = Some(manifest);
    }

    /// Whether there is something in the bucket that the shard has lost.
    fn adopts(&mut self, leader: &mut Leader) -> bool {
        if !self.has(Duty::AdoptFirst) {
            return false;
        }
        let Some((exported, newest)) = self.bucket.newest_object() else {
            return false;
        };
        leader.outbox.push_back(Ask::Adopt { exported, newest });
        true
    }

    /// An empty log goes on where the bucket ends, if nobody has written to it.
    fn go_behind(&mut self, at: usize, leader: &Leader) {
        let present = at == self.current && leader.epoch == self.epoch;
        let end = self.high_watermark();
        if present && leader.behind != end {
            let to = leader.behind;
            self.violation = Some(format!("an empty log goes on at {to} instead of {end}"));
            return;
        }
        if !self.nodes[at].log.is_empty() || leader.behind > end {
            return;
        }
        let past = self.committed[..index(leader.behind)].to_vec();
        let node = &mut self.nodes[at];
        node.log = past;
        node.local_start = leader.behind;
        node.has_copied(leader.epoch);
    }

    /// A leader that was elected cleanly, with nobody elected uncleanly before, is never refused.
    fn cannot_lead(&mut self, at: usize, leader: &Leader, claim: &Claim, refusal: &Refusal) {
        if at != self.current || leader.epoch != self.epoch {
            return;
        }
        let is_deleted = matches!(refusal, Refusal::Hole { to, .. } if *to <= self.excused);
        if self.unclean.is_some() || is_deleted {
            // What was deleted before the shard forgot it is in neither tier, and nobody knows why.
            // Two unclean elections, or one and a deletion: there are records that nobody has.
            self.is_over = true;
        } else {
            self.violation = Some(format!("the leader is refused: {refusal} ({claim:?})"));
        }
    }
}
