//! The topic is deleted. Its leaders hear of it late; whoever keeps the shard sees to what is in the bucket
//! (`broker/partition`, the undertaker). Either all of it goes, or all that readers were sent to stays and the shard
//! forgets it.

use super::leader::Leader;
use super::{NODES, World};
use crate::machine::{Answer, Ask, Refusal};
use crate::manifest::Manifest;

/// Leads nothing, and asks as leaders do.
pub(super) const UNDERTAKER: usize = NODES;
/// The last leader has heard of it by then.
const HEARD: u64 = 30;
/// The undertaker comes so much later.
const BEGINS: u64 = 20;
/// For attempts that were under way, two grace ages, and hosts that come and go.
pub(super) const MOURNING: u64 = 800;

/// What becomes of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) at: u64,
    /// Its objects stay.
    pub(super) keeps: bool,
    /// The shard has said that it is done; and whether there was anything in the bucket.
    pub(super) is_agreed: bool,
    had_objects: bool,
}

impl Ending {
    pub(super) fn new(at: u64, keeps: bool) -> Self {
        Self {
            at,
            keeps,
            is_agreed: false,
            had_objects: false,
        }
    }
}

impl World {
    /// Whether the topic is deleted by now.
    pub(super) fn mourned(&self) -> Option<Ending> {
        self.ending.filter(|ending| ending.at <= self.now.0)
    }

    /// Nobody produces, follows or is elected; who believes to lead goes on until it hears.
    pub(super) fn mourn(&mut self, ending: Ending) {
        let node = self.dice.index(NODES);
        match self.dice.below(1000) {
            0..200 => self.nodes[node].leads = None,
            200..203 => self.move_shard(),
            203..210 => self.write_snapshot(),
            _ => {}
        }
        if self.now.0 >= ending.at + HEARD {
            self.nodes[..NODES]
                .iter_mut()
                .for_each(|node| node.leads = None);
        }
        self.deliver();
        self.commit_in_shard();
        for node in 0..NODES {
            self.tend(node);
        }
        if self.now.0 >= ending.at + BEGINS {
            self.bury(ending);
        }
    }

    fn bury(&mut self, ending: Ending) {
        // Who was fenced, by a claim that came late, looks again.
        let fresh = || Leader::new(0, None, 0);
        let mut leader = self.nodes[UNDERTAKER].leads.take().unwrap_or_else(fresh);
        if leader.is_idle() {
            self.next_of_burial(ending, &mut leader);
        }
        self.talk(UNDERTAKER, &mut leader);
        self.push_uploads(UNDERTAKER, &mut leader);
        self.nodes[UNDERTAKER].leads = Some(leader);
    }

    fn next_of_burial(&mut self, ending: Ending, leader: &mut Leader) {
        let keep_objects = ending.keeps;
        let ask = match &leader.copy {
            None => Ask::Describe,
            Some(copy) if !copy.is_deleted() && (!keep_objects || is_tidy(copy)) => {
                Ask::Delete { keep_objects }
            }
            Some(copy) => {
                let is_exported = copy.exported() == copy.version();
                match self.dice.below(10) {
                    // Too early, once in a while.
                    0 if !copy.is_deleted() => Ask::Delete { keep_objects },
                    1 => Ask::Describe,
                    2..5 if !is_exported && leader.export.is_none() => Ask::Export,
                    5..8 => Ask::Collect,
                    _ => return self.delete_doomed(leader),
                }
            }
        };
        leader.outbox.push_back(ask);
    }

    pub(super) fn undertaker_hears(
        &mut self,
        leader: &mut Leader,
        ask: Ask,
        reply: Result<Answer, Refusal>,
    ) {
        match (ask, reply) {
            (Ask::Describe, Ok(Answer::Manifest(manifest))) => {
                // What it asks it asks as the last leader would.
                leader.epoch = manifest.leader_epoch();
                leader.copy = Some(*manifest);
            }
            // Whatever came of it, the shard knows.
            (Ask::Delete { .. }, _) | (_, Err(_)) => leader.begin_anew(),
            (Ask::Export, Ok(Answer::Export(export))) => {
                leader.export = Some((export, self.now.0));
            }
            (Ask::Exported { version }, reply) => {
                leader.follow(reply);
                leader
                    .export
                    .take_if(|(export, _)| export.version == version);
            }
            (_, reply) => leader.follow(reply),
        }
        self.is_dirty = true;
    }

    /// The shard is about to delete it.
    pub(super) fn deletes(&mut self, keep_objects: bool) {
        let Some(manifest) = self.shard.manifest().cloned() else {
            return;
        };
        self.told.deletions += 1;
        let listed = self.bucket.listed();
        if let Some(ending) = &mut self.ending {
            ending.is_agreed = true;
            ending.had_objects |= !manifest.is_pristine();
        }
        let newest = self.bucket.newest.as_ref();
        let is_stored = newest.is_some_and(|newest| newest.segments() == manifest.segments());
        if keep_objects && !is_stored && !manifest.is_pristine() {
            self.violation = Some("what is kept is in no manifest in the bucket".to_owned());
        }
        let strange = |(id, _): &&(_, _)| !manifest.segments().iter().any(|it| it.id == *id);
        if keep_objects
            && !manifest.is_pristine()
            && let Some(stranger) = listed.iter().find(strange)
        {
            self.violation = Some(format!("{stranger:?} is kept, and nobody's"));
        }
    }

    /// What must be true while the topic goes.
    pub(super) fn promised_to_the_bereaved(&mut self, ending: Ending) -> Option<String> {
        match self.shard.manifest().cloned() {
            Some(manifest) if manifest.is_deleted() => {
                let segments = manifest.segments();
                let is_read = ending.keeps || !segments.is_empty();
                is_read.then(|| format!("it is deleted, and readers are sent to {segments:?}"))
            }
            Some(manifest) if !manifest.is_pristine() => {
                self.highest_start = self.highest_start.max(manifest.log_start());
                let from = manifest.log_start();
                self.shown(&manifest, from)
                    .or_else(|| self.restorable(from))
            }
            _ if ending.keeps => self.restorable(self.highest_start),
            _ => None,
        }
    }

    /// What is left once all is quiet.
    pub(super) fn legacy(&self) -> Option<String> {
        let ending = self.ending?;
        if !ending.is_agreed {
            return Some("it was never deleted".to_owned());
        }
        let listed = self.bucket.listed();
        let newest = self.bucket.newest.as_ref();
        if !ending.keeps {
            let is_marked = newest.is_none_or(Manifest::is_deleted) || !ending.had_objects;
            let is_gone = self.shard.manifest().is_none() && is_marked;
            let is_well = listed.is_empty() && is_gone;
            return (!is_well).then(|| format!("{listed:?} are left, newest {newest:?}"));
        }
        let named = newest.map_or(&[][..], |newest| newest.segments());
        let is_named = |id| named.iter().any(|segment| segment.id == id);
        let is_whole = named.len() == listed.len() && listed.iter().all(|(id, _)| is_named(*id));
        (!is_whole).then(|| format!("{listed:?} are left, and {named:?} are named"))
    }
}

/// Nothing is there that its newest manifest does not name.
fn is_tidy(copy: &Manifest) -> bool {
    let is_whole = copy.exported() == copy.version() || copy.is_pristine();
    is_whole && copy.open().is_empty() && copy.unnamed().is_empty()
}
