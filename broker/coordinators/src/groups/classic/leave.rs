//! Members go, or are sent away.

use std::sync::Arc;

use super::Classic;
use crate::groups::api::{GroupError, LeaveOutcome, Leaver};
use crate::groups::turn::Turn;

impl Classic {
    pub(crate) fn leave(&mut self, turn: &mut Turn, leavers: Vec<Leaver>) -> Vec<LeaveOutcome> {
        let before = self.roster.len();
        let outcomes: Vec<LeaveOutcome> = leavers
            .into_iter()
            .map(|leaver| LeaveOutcome {
                result: self.leave_one(turn, &leaver),
                leaver,
            })
            .collect();
        if self.roster.len() < before {
            self.changed(turn);
        } else {
            // An id that will not be used any more may have been all that was waited for.
            self.complete_if_all_joined(turn);
        }
        outcomes
    }

    fn leave_one(&mut self, turn: &mut Turn, leaver: &Leaver) -> Result<(), GroupError> {
        if self.roster.remove_pending(&leaver.member_id) {
            turn.cancel(self.session_timer(&leaver.member_id));
            return Ok(());
        }
        let member_id = self.resolve(leaver)?;
        self.dismiss(turn, &member_id);
        Ok(())
    }

    /// An admin names a static member by its instance id alone.
    fn resolve(&self, leaver: &Leaver) -> Result<Arc<str>, GroupError> {
        if !leaver.member_id.is_empty() {
            self.roster
                .check(&leaver.member_id, leaver.instance_id.as_deref())?;
            return Ok(Arc::clone(&leaver.member_id));
        }
        let holder = leaver
            .instance_id
            .as_ref()
            .and_then(|name| self.roster.static_id(name));
        holder.cloned().ok_or(GroupError::UnknownMember)
    }
}
