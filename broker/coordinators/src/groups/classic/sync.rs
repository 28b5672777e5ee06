//! The second half of a rebalance: the leader's assignment reaches everybody.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use freshet_types::Ticket;

use super::{Classic, Phase};
use crate::groups::api::{Assignment, GroupError, Sync, Synced};
use crate::groups::turn::Turn;

impl Classic {
    pub(crate) fn sync(&mut self, turn: &mut Turn, ticket: Ticket, request: Sync) {
        if let Err(error) = self.check_sync(&request) {
            return turn.synced(ticket, Err(error));
        }
        match self.phase {
            Phase::Stable => {
                self.sync_received(turn, &request.member_id);
                self.extend_session(turn, &request.member_id);
                turn.synced(ticket, Ok(self.synced(&request.member_id)));
            }
            Phase::Completing => {
                self.park_sync(turn, ticket, &request.member_id);
                self.sync_received(turn, &request.member_id);
                if self.is_leader(&request.member_id) {
                    self.assign(turn, request.assignments);
                }
            }
            Phase::Empty | Phase::Preparing(_) => {
                turn.synced(ticket, Err(GroupError::RebalanceInProgress));
            }
        }
    }

    fn check_sync(&self, request: &Sync) -> Result<(), GroupError> {
        self.roster
            .check(&request.member_id, request.instance_id.as_deref())?;
        if request.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        let differs =
            |said: &Option<Arc<str>>, ours: &Option<Arc<str>>| said.is_some() && said != ours;
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol, &self.protocol)
        {
            return Err(GroupError::InconsistentProtocol);
        }
        Ok(())
    }

    /// Parks a sync; an older one of the same member, whose connection is surely gone, is answered.
    fn park_sync(&mut self, turn: &mut Turn, ticket: Ticket, member_id: &str) {
        let Some(member) = self.roster.get_mut(member_id) else {
            return;
        };
        if let Some(older) = member.syncing.replace(ticket) {
            turn.synced(older, Err(GroupError::RebalanceInProgress));
        }
    }

    fn sync_received(&mut self, turn: &mut Turn, member_id: &str) {
        if let Some(member) = self.roster.get_mut(member_id) {
            member.owes_sync = false;
        }
        if self.roster.iter().all(|member| !member.owes_sync) {
            turn.cancel(self.sync_timer());
        }
    }

    /// The leader has spoken: store it, tell all who wait. Members it forgot get nothing to do.
    fn assign(&mut self, turn: &mut Turn, assignments: Vec<Assignment>) {
        let mut by_member: HashMap<Arc<str>, Bytes> = assignments
            .into_iter()
            .map(|a| (a.member_id, a.assignment))
            .collect();
        for member in self.roster.iter_mut() {
            member.assignment = by_member.remove(&member.id).unwrap_or_default();
        }
        if self.stored_bytes() > turn.limits.group_bytes {
            self.break_off_sync(turn, GroupError::TooLarge);
            return self.prepare(turn);
        }
        self.phase = Phase::Stable;
        turn.record(self.record(turn.now.wall));
        self.answer_syncs(turn, None);
    }

    /// Forgets assignments and answers all syncs with `error`.
    pub(super) fn break_off_sync(&mut self, turn: &mut Turn, error: GroupError) {
        for member in self.roster.iter_mut() {
            member.assignment = Bytes::new();
        }
        self.answer_syncs(turn, Some(error));
    }

    fn answer_syncs(&mut self, turn: &mut Turn, error: Option<GroupError>) {
        let mut waiting = Vec::new();
        for member in self.roster.iter_mut() {
            if let Some(ticket) = member.syncing.take() {
                waiting.push((ticket, Arc::clone(&member.id)));
            }
        }
        for (ticket, id) in waiting {
            turn.synced(ticket, error.map_or_else(|| Ok(self.synced(&id)), Err));
            // A session that ended during the wait was let pass, so it must start anew here.
            self.extend_session(turn, &id);
        }
    }

    fn synced(&self, member_id: &str) -> Synced {
        let member = self.roster.get(member_id);
        Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: member
                .map(|member| member.assignment.clone())
                .unwrap_or_default(),
        }
    }

    /// About how large the group's record would be.
    pub(super) fn stored_bytes(&self) -> usize {
        let protocol = self.protocol.as_deref();
        let member = |member: &super::roster::Member| {
            member.metadata(protocol).len() + member.assignment.len()
        };
        self.roster.iter().map(member).sum()
    }

    /// Members that have not fetched their assignment within the rebalance timeout are out.
    pub(crate) fn sync_timer_fired(&mut self, turn: &mut Turn) {
        if !matches!(self.phase, Phase::Completing | Phase::Stable) {
            return;
        }
        let late: Vec<Arc<str>> = self
            .roster
            .iter()
            .filter(|member| member.owes_sync)
            .map(|member| Arc::clone(&member.id))
            .collect();
        for id in &late {
            self.dismiss(turn, id);
        }
        if !late.is_empty() {
            self.prepare(turn);
        }
    }
}
