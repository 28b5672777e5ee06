//! The quorum, simplified: terms, votes, one log, a majority. What it must not get wrong is here;
//! pre-votes, snapshots, hand-over and torn files are in the storms of `sim/tests/raft`, which run the
//! real one.
//!
//! A leader that nobody hears any more goes on as if it led: nothing but the log stops it.

mod mind;

use std::collections::BTreeSet;
use std::sync::Arc;

use freshet_types::Millis;

use crate::message::{Append, Entry, Message};
use crate::network::Host;
use crate::world::{Alarm, World};
pub(crate) use mind::Mind;

/// Controllers are the first hosts.
pub(crate) const VOTERS: usize = 3;
/// From one word of a leader to the next, ms.
const TICK_MS: u64 = 100;
/// For how long who heard a leader helps nobody to depose it.
const CONTENT_MS: u64 = 250;
/// Entries of one message at most.
const ENTRIES: usize = 20;

/// What a leader knows of the others.
#[derive(Debug)]
pub(crate) struct Lead {
    next: Vec<usize>,
    matched: Vec<usize>,
    echoed: Vec<u64>,
    beat: u64,
    pub(crate) mind: Option<Mind>,
}

#[derive(Debug)]
pub(crate) enum Role {
    Follows(Option<Host>),
    Stands(BTreeSet<Host>),
    Leads(Box<Lead>),
}

/// One node's part.
#[derive(Debug)]
pub(crate) struct Seat {
    is_voter: bool,
    // On its disk.
    term: u64,
    voted: Option<Host>,
    log: Vec<Arc<Entry>>,
    // In its memory.
    pub(crate) role: Role,
    /// How much of the log is agreed to, as far as it is known here.
    pub(crate) committed: usize,
    heard: Millis,
    /// Who led before, and when it was heard last.
    before: Option<(Host, Millis)>,
    patience: u64,
}

impl Seat {
    pub(crate) fn new(is_voter: bool) -> Self {
        Self {
            is_voter,
            term: 0,
            voted: None,
            log: Vec::new(),
            role: Role::Follows(None),
            committed: 0,
            heard: Millis(0),
            before: None,
            patience: 0,
        }
    }

    /// Another process: it has the disk, with all that was agreed to as far as it knew.
    pub(crate) fn restart(&mut self, now: Millis) {
        self.role = Role::Follows(None);
        self.heard = now;
        self.before = None;
        self.patience = 0;
    }

    fn last(&self) -> (u64, usize) {
        let term = self.log.last().map_or(0, |entry| entry.term);
        (term, self.log.len())
    }

    fn term_at(&self, len: usize) -> u64 {
        len.checked_sub(1).map_or(0, |at| self.log[at].term)
    }

    pub(crate) fn is_active(&self) -> bool {
        matches!(&self.role, Role::Leads(lead) if lead.mind.is_some())
    }

    pub(crate) fn term(&self) -> u64 {
        self.term
    }

    fn lead(&mut self) -> Option<&mut Lead> {
        match &mut self.role {
            Role::Leads(lead) => Some(lead),
            Role::Follows(_) | Role::Stands(_) => None,
        }
    }
}

/// Whether a majority of the voters has it.
fn majority(has: impl Fn(Host) -> bool) -> bool {
    (0..VOTERS).filter(|host| has(*host)).count() * 2 > VOTERS
}

impl World {
    fn seat(&mut self, host: Host) -> &mut Seat {
        &mut self.nodes[host].seat
    }

    pub(crate) fn council_tick(&mut self, host: Host) {
        let now = self.local(host);
        let patience = self.throws.between(300, 600);
        let seat = self.seat(host);
        if seat.patience == 0 {
            seat.patience = patience;
        }
        if seat.lead().is_some() {
            self.broadcast(host);
            self.deliberate(host);
        } else if seat.is_voter && now - seat.heard >= seat.patience {
            seat.patience = patience;
            self.stand_for(host);
        }
        let seat = self.seat(host);
        let over = seat.heard + seat.patience;
        let idle = seat.lead().is_none() && over > now;
        let next = if idle {
            over.min(now + TICK_MS)
        } else {
            now + TICK_MS
        };
        self.wake_at(host, next, Alarm::Council);
    }

    fn stand_for(&mut self, host: Host) {
        let now = self.local(host);
        let seat = self.seat(host);
        seat.term += 1;
        seat.voted = Some(host);
        seat.role = Role::Stands([host].into());
        seat.heard = now;
        let (term, last) = (seat.term, seat.last());
        for other in (0..VOTERS).filter(|other| *other != host) {
            self.send(host, other, Message::Stand { term, last });
        }
    }

    pub(crate) fn stand(&mut self, host: Host, from: Host, term: u64, last: (u64, usize)) {
        let now = self.local(host);
        let seat = self.seat(host);
        // Who hears a leader does not help to depose it.
        let content = matches!(seat.role, Role::Follows(Some(_))) && now - seat.heard < CONTENT_MS;
        if content || !seat.is_voter {
            return;
        }
        if term > seat.term {
            self.step_down(host, term, None);
        }
        let seat = self.seat(host);
        let free = seat.voted.is_none_or(|voted| voted == from);
        let granted = term == seat.term && free && last >= seat.last();
        if granted {
            seat.voted = Some(from);
            seat.heard = now;
        }
        let term = seat.term;
        self.send(host, from, Message::Voted { term, granted });
    }

    pub(crate) fn voted(&mut self, host: Host, from: Host, term: u64, granted: bool) {
        let seat = self.seat(host);
        if term > seat.term {
            return self.step_down(host, term, None);
        }
        let Role::Stands(votes) = &mut seat.role else {
            return;
        };
        if term == seat.term && granted {
            votes.insert(from);
            if majority(|host| votes.contains(&host)) {
                self.take_lead(host);
            }
        }
    }

    fn take_lead(&mut self, host: Host) {
        let all = self.nodes.len();
        let seat = self.seat(host);
        let (term, len) = (seat.term, seat.log.len());
        seat.role = Role::Leads(Box::new(Lead {
            next: vec![len; all],
            matched: vec![0; all],
            echoed: vec![0; all],
            beat: 0,
            mind: None,
        }));
        self.note(|| format!("controller {host} leads in term {term}"));
        self.push_entry(host, None, Vec::new());
    }

    /// A leader writes; gives the length of its log.
    fn push_entry(
        &mut self,
        host: Host,
        on: Option<usize>,
        records: Vec<freshet_metadata::Record>,
    ) -> usize {
        let seat = self.seat(host);
        let term = seat.term;
        seat.log.push(Arc::new(Entry { term, records, on }));
        let len = seat.log.len();
        if let Some(lead) = seat.lead() {
            lead.matched[host] = len;
        }
        self.broadcast(host);
        len
    }

    fn broadcast(&mut self, host: Host) {
        let Some(lead) = self.seat(host).lead() else {
            return;
        };
        lead.beat += 1;
        lead.echoed[host] = lead.beat;
        for other in (0..self.nodes.len()).filter(|other| *other != host) {
            self.send_entries(host, other);
        }
    }

    fn send_entries(&mut self, host: Host, to: Host) {
        let seat = &self.nodes[host].seat;
        let Role::Leads(lead) = &seat.role else {
            return;
        };
        let from = lead.next[to];
        let until = (from + ENTRIES).min(seat.log.len());
        let append = Append {
            term: seat.term,
            before: (seat.term_at(from), from),
            entries: seat.log[from..until].to_vec(),
            committed: seat.committed,
            beat: lead.beat,
        };
        self.send(host, to, Message::Append(append));
    }

    pub(crate) fn append(&mut self, host: Host, from: Host, append: Append) {
        let now = self.local(host);
        let seat = self.seat(host);
        if append.term > seat.term || !matches!(seat.role, Role::Follows(_)) {
            if append.term < seat.term {
                return;
            }
            self.step_down(host, append.term, Some(from));
        }
        let seat = self.seat(host);
        if append.term < seat.term {
            let (term, beat) = (seat.term, append.beat);
            let answer = Message::Appended {
                term,
                fits: false,
                matched: 0,
                beat,
            };
            return self.send(host, from, answer);
        }
        seat.role = Role::Follows(Some(from));
        seat.heard = now;
        seat.before = Some((from, now));
        let (term, len) = append.before;
        let fits = len <= seat.log.len() && seat.term_at(len) == term;
        let matched = match fits {
            true => len + append.entries.len(),
            false => seat.log.len().min(len.saturating_sub(1)),
        };
        if fits {
            for (at, entry) in (len..).zip(append.entries) {
                if seat.log.get(at).is_some_and(|have| have.term != entry.term) {
                    seat.log.truncate(at);
                }
                if at == seat.log.len() {
                    seat.log.push(entry);
                }
            }
        }
        let answer = Message::Appended {
            term: seat.term,
            fits,
            matched,
            beat: append.beat,
        };
        self.send(host, from, answer);
        if fits {
            self.commit(host, append.committed.min(matched));
        }
    }

    pub(crate) fn appended(
        &mut self,
        host: Host,
        from: Host,
        (term, fits): (u64, bool),
        (matched, beat): (usize, u64),
    ) {
        let seat = self.seat(host);
        if term > seat.term {
            return self.step_down(host, term, None);
        }
        let (own, len) = (seat.term, seat.log.len());
        let Some(lead) = seat.lead().filter(|_| term == own) else {
            return;
        };
        lead.echoed[from] = lead.echoed[from].max(beat);
        if !fits {
            lead.next[from] = matched.max(lead.matched[from]);
            return self.send_entries(host, from);
        }
        lead.matched[from] = lead.matched[from].max(matched);
        lead.next[from] = lead.matched[from];
        if lead.next[from] + 3 < len {
            self.send_entries(host, from);
        }
        self.advance(host);
        self.settle_round(host);
    }

    /// The longest part that a majority has, if it ends in the leader's own term.
    fn advance(&mut self, host: Host) {
        let seat = self.seat(host);
        let (term, from, to) = (seat.term, seat.committed, seat.log.len());
        let Some(lead) = seat.lead() else {
            return;
        };
        let agreed = (from + 1..=to).rfind(|len| majority(|host| lead.matched[host] >= *len));
        if let Some(len) = agreed.filter(|len| self.seat(host).term_at(*len) == term) {
            self.commit(host, len);
            self.think_first(host);
            self.broadcast(host);
        }
    }

    fn commit(&mut self, host: Host, len: usize) {
        let before = self.seat(host).committed;
        for at in before..len {
            let entry = Arc::clone(&self.seat(host).log[at]);
            self.agree(host, at, &entry);
        }
        if len > before {
            self.seat(host).committed = len;
            self.image_arrived(host);
        }
    }

    pub(crate) fn step_down(&mut self, host: Host, term: u64, leader: Option<Host>) {
        let seat = self.seat(host);
        if term > seat.term {
            seat.term = term;
            seat.voted = None;
        }
        let role = std::mem::replace(&mut seat.role, Role::Follows(leader));
        if let Role::Leads(lead) = role {
            self.note(|| format!("controller {host} leads no more"));
            for (to, id) in lead.mind.into_iter().flat_map(Mind::into_waiting) {
                self.send(
                    host,
                    to,
                    Message::Told {
                        id,
                        told: Err(leader),
                    },
                );
            }
        }
    }
}
