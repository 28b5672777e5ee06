//! A rebalance from its start to the next generation.

use std::sync::Arc;

use super::{Classic, Gathering, Phase};
use crate::groups::api::{GroupError, Joined};
use crate::groups::turn::Turn;

/// Shortest pause before a gathering that nobody came to is tried again.
const RETRY_MS_MIN: u64 = 1_000;

impl Classic {
    /// Members or their protocols have changed: a rebalance starts, or the one that runs may end.
    pub(super) fn changed(&mut self, turn: &mut Turn) {
        match self.phase {
            Phase::Preparing(_) => self.complete_if_all_joined(turn),
            Phase::Empty | Phase::Completing | Phase::Stable => self.prepare(turn),
        }
    }

    /// Starts a rebalance. Not to be called while one is being prepared.
    pub(super) fn prepare(&mut self, turn: &mut Turn) {
        if self.phase == Phase::Completing {
            self.break_off_sync(turn, GroupError::RebalanceInProgress);
        }
        for member in self.roster.iter_mut() {
            member.owes_sync = false;
        }
        turn.cancel(self.sync_timer());
        let longest_ms = self.roster.rebalance_timeout_ms();
        if self.phase == Phase::Empty {
            let delay_ms = turn.limits.initial_rebalance_delay_ms;
            let remaining_ms = longest_ms.saturating_sub(delay_ms);
            self.phase = Phase::Preparing(Gathering::First {
                delay_ms,
                remaining_ms,
                newcomer: false,
            });
            turn.fire_in(self.join_timer(), delay_ms);
            return;
        }
        self.phase = Phase::Preparing(Gathering::Again);
        if self.roster.all_joined() {
            self.complete_join(turn);
        } else {
            turn.fire_in(self.join_timer(), longest_ms);
        }
    }

    /// Ends the gathering if nobody is missing; a first one always runs its time.
    pub(super) fn complete_if_all_joined(&mut self, turn: &mut Turn) {
        if self.phase == Phase::Preparing(Gathering::Again) && self.roster.all_joined() {
            self.complete_join(turn);
        }
    }

    /// The gathering has lasted as long as it may, except that newcomers prolong a first one.
    pub(crate) fn join_timer_fired(&mut self, turn: &mut Turn) {
        match self.phase {
            Phase::Preparing(Gathering::First {
                delay_ms,
                remaining_ms,
                newcomer: true,
            }) if remaining_ms > 0 => {
                let next_ms = remaining_ms.min(turn.limits.initial_rebalance_delay_ms);
                self.phase = Phase::Preparing(Gathering::First {
                    delay_ms: next_ms,
                    remaining_ms: remaining_ms.saturating_sub(delay_ms),
                    newcomer: false,
                });
                turn.fire_in(self.join_timer(), next_ms);
            }
            Phase::Preparing(_) => self.complete_join(turn),
            // It fired after what it was for had ended.
            Phase::Empty | Phase::Completing | Phase::Stable => {}
        }
    }

    fn complete_join(&mut self, turn: &mut Turn) {
        turn.cancel(self.join_timer());
        self.dismiss_absent(turn);
        if self.roster.is_empty() {
            return self.become_empty(turn);
        }
        if !self.elect_leader() {
            // Only static members are left and none of them came. They stay until their sessions
            // end; a generation without a leader would get no assignment.
            self.phase = Phase::Preparing(Gathering::Again);
            let pause_ms = self.roster.rebalance_timeout_ms().max(RETRY_MS_MIN);
            turn.fire_in(self.join_timer(), pause_ms);
            return;
        }
        self.generation = next(self.generation);
        self.is_stored = false;
        self.protocol = self.roster.elect_protocol();
        self.learn_topics();
        self.phase = Phase::Completing;
        self.announce_generation(turn);
        turn.fire_in(self.sync_timer(), self.roster.rebalance_timeout_ms());
    }

    /// Dynamic members that did not join in time are out. Static ones have their session's time.
    fn dismiss_absent(&mut self, turn: &mut Turn) {
        let is_absent =
            |member: &&super::roster::Member| !member.is_joining() && member.instance_id.is_none();
        let absent: Vec<Arc<str>> = self
            .roster
            .iter()
            .filter(is_absent)
            .map(|member| Arc::clone(&member.id))
            .collect();
        for id in &absent {
            self.dismiss(turn, id);
        }
    }

    fn become_empty(&mut self, turn: &mut Turn) {
        self.generation = next(self.generation);
        self.protocol = None;
        self.leader = None;
        self.learn_topics();
        self.phase = Phase::Empty;
        turn.record(self.record(turn.now.wall));
    }

    /// Keeps a leader that joined, else takes the first who did. False if nobody did.
    fn elect_leader(&mut self) -> bool {
        let joined = |id: &Arc<str>| self.roster.get(id).is_some_and(|m| m.is_joining());
        if self.leader.as_ref().is_some_and(joined) {
            return true;
        }
        let first = self.roster.iter().find(|member| member.is_joining());
        let elected = first.map(|member| Arc::clone(&member.id));
        let found = elected.is_some();
        if found {
            self.leader = elected;
        }
        found
    }

    /// Answers all joins. From here on every member owes a sync.
    fn announce_generation(&mut self, turn: &mut Turn) {
        let ids: Vec<Arc<str>> = self
            .roster
            .iter()
            .map(|member| Arc::clone(&member.id))
            .collect();
        for id in &ids {
            if let Some(ticket) = self.roster.take_join(id) {
                turn.joined(ticket, self.joined(id, self.is_leader(id)));
            }
            if let Some(member) = self.roster.get_mut(id) {
                member.is_new = false;
                member.owes_sync = true;
            }
            self.extend_session(turn, id);
        }
    }

    /// The present generation, told to one member.
    pub(super) fn joined(&self, member_id: &Arc<str>, with_members: bool) -> Joined {
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            member_id: Arc::clone(member_id),
            members: if with_members {
                self.joined_members()
            } else {
                Vec::new()
            },
        }
    }
}

/// Generations count up; after the largest comes 1 again, since negative ones mean "none".
fn next(generation: i32) -> i32 {
    generation.checked_add(1).unwrap_or(1)
}
