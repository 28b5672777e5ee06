//! Is a member still there?

use std::sync::Arc;

use super::{Classic, Phase};
use crate::groups::api::{GroupError, Heartbeat};
use crate::groups::turn::Turn;

impl Classic {
    pub(crate) fn heartbeat(
        &mut self,
        turn: &mut Turn,
        request: &Heartbeat,
    ) -> Result<(), GroupError> {
        self.roster
            .check(&request.member_id, request.instance_id.as_deref())?;
        if request.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        self.extend_session(turn, &request.member_id);
        match self.phase {
            Phase::Preparing(_) => Err(GroupError::RebalanceInProgress),
            Phase::Completing | Phase::Stable => Ok(()),
            Phase::Empty => Err(GroupError::UnknownMember),
        }
    }

    /// The member was heard of: its session starts anew.
    pub(super) fn extend_session(&self, turn: &mut Turn, member_id: &str) {
        if let Some(member) = self.roster.get(member_id) {
            let timeout_ms = member.session_timeout_ms.max(0).unsigned_abs();
            turn.fire_in(self.session_timer(&member.id), timeout_ms.into());
        }
    }

    /// A session ended. Somebody who waits for us is alive by definition, except for a newcomer:
    /// its wait is bounded, or clients that gave up would pile up in a long rebalance.
    pub(crate) fn session_ended(&mut self, turn: &mut Turn, member_id: &Arc<str>) {
        if self.roster.remove_pending(member_id) {
            return self.complete_if_all_joined(turn);
        }
        let Some(member) = self.roster.get(member_id) else {
            return;
        };
        let waits = member.is_joining() || member.syncing.is_some();
        if member.is_new || !waits {
            self.dismiss(turn, member_id);
            self.changed(turn);
        }
    }
}
