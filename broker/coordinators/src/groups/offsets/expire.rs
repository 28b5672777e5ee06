//! Forgets what nobody has used for long: offsets, and then the group they belonged to.
//!
//! | Group | An offset's time runs from | and only |
//! |---|---|---|
//! | only offsets, never members | its commit | |
//! | had members, now empty | when the last one left | |
//! | consumers at work, topics known | its commit | if none of them reads the topic |
//! | other members, or a rebalance | never | |
//!
//! Source: KIP-211 and KIP-496, as in Apache Kafka 4.4. An offset that carries its own time of
//! expiry (from clients before 2.1) follows that instead, under the same conditions.

use std::sync::Arc;

use freshet_types::Timestamp;

use super::tombstone;
use crate::groups::OffsetValue;
use crate::groups::admin;
use crate::groups::api::State;
use crate::groups::group::Group;
use crate::groups::turn::Turn;

pub(crate) fn expire(turn: &mut Turn, id: &Arc<str>, group: &Group) {
    let mut kept = false;
    for (topic, partition, value) in group.offsets.iter() {
        let since = since(group, value).filter(|_| !group.classic.is_subscribed(topic));
        if since.is_some_and(|since| is_expired(turn, value, since)) {
            turn.record(tombstone(id, topic, partition));
        } else {
            kept = true;
        }
    }
    if !kept && group.stored.is_some() && group.classic.is_idle() {
        admin::forget(turn, id);
    }
}

/// From when an offset's time runs; `None` while it does not.
fn since(group: &Group, value: &OffsetValue) -> Option<Timestamp> {
    let classic = &group.classic;
    if classic.protocol_type().is_none() {
        return Some(value.committed_at);
    }
    match classic.state() {
        State::Empty => {
            let emptied = group.stored.as_ref().and_then(|stored| stored.changed_at);
            Some(emptied.unwrap_or(value.committed_at))
        }
        State::Stable if classic.is_consumer() && classic.knows_topics() => {
            Some(value.committed_at)
        }
        State::Stable | State::PreparingRebalance | State::CompletingRebalance => None,
    }
}

fn is_expired(turn: &Turn, value: &OffsetValue, since: Timestamp) -> bool {
    let now = turn.now.wall;
    match value.expires_at {
        Some(at) => now >= at,
        None => now.0.saturating_sub(since.0) >= turn.limits.offsets_retention_ms,
    }
}
