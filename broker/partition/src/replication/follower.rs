//! What a follower does with a leader's answer.
//!
//! Source: KIP-101, KIP-279 and KIP-595: a follower sends the epoch of its last record with each
//! fetch, and is told where its log departs from the leader's.

use freshet_types::{LeaderEpoch, Offset};

use super::guard::{Guard, holds};

/// The largest epoch not above the follower's, and where it ends at the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Divergence {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// Its end at the leader.
    pub end: Offset,
}

/// A leader's answer for one partition, without its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Records may follow; they start where they were asked for.
    Records {
        /// Whether there are any.
        any: bool,
        /// The leader's high watermark.
        high_watermark: Offset,
        /// The leader's log start.
        log_start: Offset,
    },
    /// The logs differ before the offset that was asked for.
    Diverged(Divergence),
    /// The offset is not in the leader's log, which spans this.
    OutOfRange {
        /// First offset there.
        log_start: Offset,
        /// The offset after the last one there.
        log_end: Offset,
    },
    /// We follow an older leader than the one that answered.
    Fenced,
    /// The one that answered does not lead, or does not know it yet.
    NotLeader,
    /// Anything else that may pass.
    Failed,
}

/// The follower's log.
#[derive(Debug, Clone, Copy)]
pub struct Local {
    /// First offset.
    pub log_start: Offset,
    /// The offset after the last one; all of it is flushed when a fetch is sent.
    pub log_end: Offset,
    /// As far as this follower was told.
    pub high_watermark: Offset,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Append the records if there are any, flush, then fetch again.
    Append {
        /// For readers here; never above what is flushed here.
        high_watermark: Offset,
        /// Drop records below, as the leader did.
        log_start: Offset,
    },
    /// Cut the log here, then fetch again.
    Truncate {
        /// The new end.
        to: Offset,
        /// Records that were committed go: only after an unclean election. To be told to a human.
        loses_committed: bool,
    },
    /// Everything here is older than the leader's log, or lacks what is before: begin anew at its start.
    RestartAt(Offset),
    /// Fetch again after a pause.
    Pause,
    /// Nothing more until the controller names a newer leader.
    AwaitLeader,
}

/// `end_of_epoch` tells where an epoch, or the largest one below it, ends here.
pub fn next_step(
    answer: Answer,
    local: Local,
    end_of_epoch: impl Fn(LeaderEpoch) -> Divergence,
) -> Step {
    let truncate = |to: Offset| Step::Truncate {
        to,
        loses_committed: to < local.high_watermark,
    };
    match answer {
        Answer::Records {
            high_watermark,
            log_start,
            ..
        } => Step::Append {
            high_watermark: known(high_watermark, local),
            log_start: match holds(Guard::FollowStart) {
                true => log_start.min(local.log_end),
                false => local.log_start,
            },
        },
        Answer::Diverged(_) if !holds(Guard::Truncation) => Step::Pause,
        Answer::Diverged(leader) => {
            let here = end_of_epoch(leader.epoch);
            // An epoch that we do not have: what we have of older ones is still common.
            let common = match here.epoch == leader.epoch {
                true => here.end.min(leader.end),
                false => here.end,
            };
            truncate(common.clamp(local.log_start, local.log_end))
        }
        Answer::OutOfRange { log_start, log_end } => {
            if log_start > local.log_end || log_end < local.log_start {
                match holds(Guard::RestartAtStart) {
                    true => Step::RestartAt(log_start),
                    false => Step::Pause,
                }
            } else if log_end < local.log_end {
                truncate(log_end)
            } else if log_start < local.log_start {
                Step::RestartAt(log_start)
            } else {
                Step::Pause
            }
        }
        Answer::Fenced => Step::AwaitLeader,
        Answer::NotLeader | Answer::Failed => Step::Pause,
    }
}

/// What readers here may see of what a leader has committed.
fn known(high_watermark: Offset, local: Local) -> Offset {
    let within = match holds(Guard::WatermarkWithinLog) {
        true => high_watermark.min(local.log_end),
        false => high_watermark,
    };
    match holds(Guard::WatermarkStays) {
        true => within.max(local.high_watermark),
        false => within,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: Local = Local {
        log_start: 10,
        log_end: 50,
        high_watermark: 40,
    };

    fn step(answer: Answer) -> Step {
        // Epoch 3 ends at 45 here, epoch 2 at 30.
        next_step(answer, LOCAL, |epoch| match epoch {
            ..=2 => Divergence { epoch: 2, end: 30 },
            3 => Divergence { epoch: 3, end: 45 },
            _ => Divergence { epoch: 4, end: 50 },
        })
    }

    #[test]
    fn each_answer_has_one_step() {
        let records = |high_watermark, log_start| Answer::Records {
            any: true,
            high_watermark,
            log_start,
        };
        let append = |high_watermark, log_start| Step::Append {
            high_watermark,
            log_start,
        };
        let cut = |to, loses_committed| Step::Truncate {
            to,
            loses_committed,
        };
        let diverged = |epoch, end| Answer::Diverged(Divergence { epoch, end });
        let outside = |log_start, log_end| Answer::OutOfRange { log_start, log_end };
        let table = [
            (records(45, 10), append(45, 10)),
            (records(90, 12), append(50, 12)),
            (records(20, 10), append(40, 10)),
            (diverged(3, 48), cut(45, false)),
            (diverged(3, 42), cut(42, false)),
            (diverged(2, 25), cut(25, true)),
            (diverged(4, 48), cut(48, false)),
            (diverged(7, 60), cut(50, false)),
            (outside(60, 90), Step::RestartAt(60)),
            (outside(0, 5), Step::RestartAt(0)),
            (outside(0, 47), cut(47, false)),
            (outside(10, 90), Step::Pause),
            (outside(20, 90), Step::Pause),
            (outside(9, 90), Step::RestartAt(9)),
            (Answer::Fenced, Step::AwaitLeader),
            (Answer::NotLeader, Step::Pause),
        ];
        for (answer, expected) in table {
            assert_eq!(step(answer), expected, "{answer:?}");
        }
    }
}
