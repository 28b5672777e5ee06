//! The limits of a [`super::Raft`], and how long it waits for what.

use std::time::Duration;

use openraft::{Config, ConfigError, SnapshotPolicy};

use super::storage::keeper::Seat;
use crate::guard::{Guard, holds};

/// The longest way to another controller and back that the default times are made for.
const NEAR: Duration = Duration::from_millis(100);
/// A follower that is further behind than this gets a snapshot.
const LAG_ENTRIES: u64 = 5000;
/// Entries in one message at most; bytes are limited as well, see `log.rs`.
const MESSAGE_ENTRIES: u64 = 256;

/// Limits and times of a [`super::Raft`].
///
/// A dead leader is noticed after `election_max` without a word plus between `election_min` and
/// `election_max` of patience that each follower draws for itself, and replaced one round trip
/// later: 450 to 600 ms with the defaults. A leader that stalls for less than
/// `election_max + election_min - heartbeat`, 330 ms, is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RaftOptions {
    /// Between two signs of life of a leader.
    pub heartbeat: Duration,
    /// The least patience of a follower.
    pub election_min: Duration,
    /// The most. Also the time that a leader may trust an old acknowledgement, and that a follower
    /// which heard of a leader votes for nobody else.
    pub election_max: Duration,
    /// Proposals that may wait.
    pub queue_len: usize,
    /// How long a proposal waits for a majority before those behind it are sent away.
    pub patience: Duration,
    /// Records decided since the last snapshot after which there is another.
    pub snapshot_after_bytes: u64,
    /// Entries that stay in the log behind a snapshot, for followers that are a little behind.
    pub kept_entries: u64,
    /// A snapshot is sent in pieces of this size.
    pub chunk_bytes: usize,
    /// How long one piece may take.
    pub chunk_timeout: Duration,
    /// No snapshot of another controller is larger.
    pub snapshot_cap_bytes: u64,
    /// How long a hand-over may take.
    pub hand_over_timeout: Duration,
    /// Where the files are written from.
    pub seat: Seat,
}

impl Default for RaftOptions {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(120),
            election_min: Duration::from_millis(150),
            election_max: Duration::from_millis(300),
            queue_len: 4096,
            patience: Duration::from_millis(1500),
            snapshot_after_bytes: 8 << 20,
            kept_entries: 512,
            chunk_bytes: 1 << 20,
            chunk_timeout: Duration::from_secs(10),
            snapshot_cap_bytes: 1 << 30,
            hand_over_timeout: Duration::from_secs(1),
            seat: Seat::Thread,
        }
    }
}

impl RaftOptions {
    /// The defaults, with times for controllers that are so far from each other, there and back. An
    /// answer that comes later than the next heartbeat is due counts for nothing, and a leader decides
    /// only while the last answers of a majority are younger than `election_max`; so all times must
    /// grow together.
    pub fn across(round_trip: Duration) -> Self {
        let near = Self::default();
        let longer = (round_trip.as_secs_f64() / NEAR.as_secs_f64()).max(1.0);
        Self {
            heartbeat: near.heartbeat.mul_f64(longer),
            election_min: near.election_min.mul_f64(longer),
            election_max: near.election_max.mul_f64(longer),
            patience: near.patience.mul_f64(longer),
            hand_over_timeout: near.hand_over_timeout.mul_f64(longer),
            ..near
        }
    }

    pub(super) fn config(&self, cluster: &str) -> Result<Config, ConfigError> {
        // A leader that was removed from the voters goes on for so long, so that they hear of it.
        let step_down = millis(self.heartbeat * 5 / 6);
        let config = Config {
            cluster_name: cluster.to_owned(),
            heartbeat_interval: millis(self.heartbeat),
            election_timeout_min: millis(self.election_min),
            election_timeout_max: millis(self.election_max),
            max_payload_entries: MESSAGE_ENTRIES,
            replication_lag_threshold: LAG_ENTRIES.max(self.kept_entries),
            // Asked for by bytes, see `state.rs`.
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: self.kept_entries,
            install_snapshot_timeout: millis(self.chunk_timeout),
            removed_leader_step_down: openraft::StepDownPolicy::After(step_down),
            // A node that was away and comes back asks before it disturbs.
            enable_pre_vote: Some(holds(Guard::PreVote)),
            // A leader that restarts has forgotten what was committed: it is elected again, or not.
            enable_leader_restore: Some(false),
            // A voter whose disk is of yesterday lacks what it had acknowledged. It is sent again; the
            // other choice is that the leader panics, and one old disk stops the cluster.
            allow_log_reversion: Some(holds(Guard::OldDisksAreMended)),
            // There is one entry on its way: followers should write it while the leader does.
            broadcast_submitted_on_append: Some(true),
            backoff: format!("{}ms", millis(self.heartbeat)),
            ..Config::default()
        };
        config.validate()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_grow_with_the_way_and_are_never_shorter_than_the_defaults() {
        for near in [1, 50, 100].map(Duration::from_millis) {
            assert_eq!(RaftOptions::across(near), RaftOptions::default());
        }
        let far = RaftOptions::across(Duration::from_millis(500));
        assert_eq!(far.heartbeat, Duration::from_millis(600));
        assert_eq!(far.election_max, Duration::from_millis(1500));
        for way in [100, 101, 333, 1000].map(Duration::from_millis) {
            let options = RaftOptions::across(way);
            options.config("any").unwrap();
            // An answer comes before the next heartbeat, and the next one while the last one counts.
            assert!(way < options.heartbeat);
            assert!(way + options.heartbeat < options.election_max);
        }
    }
}
