//! Who is in a classic group, and the counts that must never disagree with it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use freshet_types::Ticket;

use crate::groups::api::{GroupError, Protocol};

/// One member. Ticket of a waiting join and protocols are private, because the roster counts them.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: Arc<str>,
    pub(super) instance_id: Option<Arc<str>>,
    pub(super) client_id: Arc<str>,
    pub(super) client_host: Arc<str>,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    pub(super) assignment: Bytes,
    /// It has not finished its first rebalance: it knows no id, so it cannot heartbeat.
    pub(super) is_new: bool,
    /// A SyncGroup that waits for the leader.
    pub(super) syncing: Option<Ticket>,
    /// It has not sent SyncGroup in this generation.
    pub(super) owes_sync: bool,
    joining: Option<Ticket>,
    protocols: Vec<Protocol>,
}

/// What makes a member.
pub(super) struct NewMember {
    pub(super) id: Arc<str>,
    pub(super) instance_id: Option<Arc<str>>,
    pub(super) client_id: Arc<str>,
    pub(super) client_host: Arc<str>,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    pub(super) protocols: Vec<Protocol>,
    pub(super) assignment: Bytes,
}

impl Member {
    pub(super) fn is_joining(&self) -> bool {
        self.joining.is_some()
    }

    pub(super) fn protocols(&self) -> &[Protocol] {
        &self.protocols
    }

    /// What it said under `protocol`; empty if it does not speak it.
    pub(super) fn metadata(&self, protocol: Option<&str>) -> Bytes {
        let spoken = self.protocols.iter().find(|p| Some(&*p.name) == protocol);
        spoken.map(|p| p.metadata.clone()).unwrap_or_default()
    }
}

/// Members, static names, and ids that were given out but not used yet.
#[derive(Debug, Default)]
pub(super) struct Roster {
    members: BTreeMap<Arc<str>, Member>,
    statics: HashMap<Arc<str>, Arc<str>>,
    pending: BTreeSet<Arc<str>>,
    /// How many members speak each protocol.
    speakers: HashMap<Arc<str>, usize>,
    /// How many members wait in a join.
    joining: usize,
}

impl Roster {
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.members.contains_key(id)
    }

    pub(super) fn get(&self, id: &str) -> Option<&Member> {
        self.members.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Member> {
        self.members.get_mut(id)
    }

    /// In the order of ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.members.values_mut()
    }

    pub(super) fn joining(&self) -> usize {
        self.joining
    }

    /// Whether nobody is missing: members wait in a join, and ids given out were used.
    pub(super) fn all_joined(&self) -> bool {
        self.joining == self.members.len() && self.pending.is_empty()
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn is_pending(&self, id: &str) -> bool {
        self.pending.contains(id)
    }

    pub(super) fn add_pending(&mut self, id: Arc<str>) {
        self.pending.insert(id);
    }

    pub(super) fn remove_pending(&mut self, id: &str) -> bool {
        self.pending.remove(id)
    }

    /// Id of the member that holds a static name.
    pub(super) fn static_id(&self, instance_id: &str) -> Option<&Arc<str>> {
        self.statics.get(instance_id)
    }

    /// Whether `id`, with its static name if it has one, is a member.
    pub(super) fn check(&self, id: &str, instance_id: Option<&str>) -> Result<(), GroupError> {
        if let Some(instance_id) = instance_id {
            match self.static_id(instance_id) {
                None => return Err(GroupError::UnknownMember),
                Some(holder) if **holder != *id => return Err(GroupError::FencedInstance),
                Some(_) => {}
            }
        }
        if self.contains(id) {
            Ok(())
        } else {
            Err(GroupError::UnknownMember)
        }
    }

    /// Adds a member that is not there yet, neither by id nor by static name.
    pub(super) fn add(&mut self, new: NewMember) {
        self.pending.remove(&new.id);
        if let Some(instance_id) = &new.instance_id {
            self.statics
                .insert(Arc::clone(instance_id), Arc::clone(&new.id));
        }
        self.count(&new.protocols);
        let member = Member {
            id: Arc::clone(&new.id),
            instance_id: new.instance_id,
            client_id: new.client_id,
            client_host: new.client_host,
            rebalance_timeout_ms: new.rebalance_timeout_ms,
            session_timeout_ms: new.session_timeout_ms,
            assignment: new.assignment,
            is_new: false,
            syncing: None,
            owes_sync: false,
            joining: None,
            protocols: new.protocols,
        };
        let replaced = self.members.insert(new.id, member);
        debug_assert!(replaced.is_none(), "a member is added once");
    }

    /// Removes a member; the ticket of its waiting join comes with it.
    pub(super) fn remove(&mut self, id: &str) -> Option<(Member, Option<Ticket>)> {
        let mut member = self.members.remove(id)?;
        if let Some(instance_id) = &member.instance_id {
            self.statics.remove(instance_id);
        }
        self.discount(&member.protocols);
        let joining = member.joining.take();
        self.joining -= usize::from(joining.is_some());
        Some((member, joining))
    }

    /// Parks a join; gives back the ticket that it takes the place of.
    pub(super) fn park_join(&mut self, id: &str, ticket: Ticket) -> Option<Ticket> {
        let member = self.members.get_mut(id)?;
        let before = member.joining.replace(ticket);
        self.joining += usize::from(before.is_none());
        before
    }

    /// Takes a parked join out, to be answered.
    pub(super) fn take_join(&mut self, id: &str) -> Option<Ticket> {
        let ticket = self.members.get_mut(id)?.joining.take()?;
        self.joining -= 1;
        Some(ticket)
    }

    pub(super) fn set_protocols(&mut self, id: &str, protocols: Vec<Protocol>) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        let before = std::mem::replace(&mut member.protocols, protocols.clone());
        self.discount(&before);
        self.count(&protocols);
    }

    /// Whether somebody who speaks `protocols` can understand all members.
    pub(super) fn understands(&self, protocols: &[Protocol]) -> bool {
        protocols
            .iter()
            .any(|p| self.speakers.get(&p.name).copied().unwrap_or(0) == self.members.len())
    }

    /// The protocol that all members speak and most of them like best; a tie goes to the lesser
    /// name, so that the same members choose the same protocol again.
    pub(super) fn elect_protocol(&self) -> Option<Arc<str>> {
        let common = |name: &Arc<str>| self.speakers.get(name) == Some(&self.members.len());
        let mut votes: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        for member in self.members.values() {
            if let Some(best) = member.protocols.iter().find(|p| common(&p.name)) {
                *votes.entry(Arc::clone(&best.name)).or_default() += 1;
            }
        }
        // `max_by_key` keeps the last of equals, so the names are walked backwards.
        votes
            .into_iter()
            .rev()
            .max_by_key(|(_, count)| *count)
            .map(|(name, _)| name)
    }

    /// The longest time a member wants a rebalance to wait for it.
    pub(super) fn rebalance_timeout_ms(&self) -> u64 {
        let longest = self
            .members
            .values()
            .map(|member| member.rebalance_timeout_ms)
            .max();
        longest.unwrap_or(0).max(0).unsigned_abs().into()
    }

    /// Counts each name of a list once, even if a client names it twice.
    fn count(&mut self, protocols: &[Protocol]) {
        for name in names(protocols) {
            *self.speakers.entry(Arc::clone(name)).or_default() += 1;
        }
    }

    fn discount(&mut self, protocols: &[Protocol]) {
        for name in names(protocols) {
            if let Some(count) = self.speakers.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.speakers.remove(name);
                }
            }
        }
    }
}

fn names(protocols: &[Protocol]) -> BTreeSet<&Arc<str>> {
    protocols.iter().map(|protocol| &protocol.name).collect()
}
