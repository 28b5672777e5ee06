//! From the live half to what is stored, and back after a failover.

use std::sync::Arc;

use freshet_types::Timestamp;

use super::roster::{Member, NewMember};
use super::{Classic, Phase};
use crate::groups::api::Protocol;
use crate::groups::turn::Turn;
use crate::groups::{GroupValue, MemberValue, Record};
use crate::guard::{Guard, holds};

pub(super) fn record(group: &Classic, changed_at: Timestamp) -> Record {
    let protocol = group.protocol.as_deref();
    let member = |member: &Member| MemberValue {
        member_id: Arc::clone(&member.id),
        instance_id: member.instance_id.clone(),
        client_id: Arc::clone(&member.client_id),
        client_host: Arc::clone(&member.client_host),
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        session_timeout_ms: member.session_timeout_ms,
        subscription: member.metadata(protocol),
        assignment: member.assignment.clone(),
    };
    let value = GroupValue {
        protocol_type: group.protocol_type.clone(),
        generation: group.generation,
        protocol: group.protocol.clone(),
        leader: group.leader.clone(),
        changed_at: Some(changed_at),
        members: group.roster.iter().map(member).collect(),
    };
    Record::Group {
        group: Arc::clone(&group.id),
        value: Some(Arc::new(value)),
    }
}

impl Classic {
    /// The group as it stood after its last finished rebalance. Its members have one session
    /// timeout to be heard of.
    pub(crate) fn restore(id: Arc<str>, value: &GroupValue, turn: &mut Turn) -> Self {
        let mut group = Self::new(id);
        if holds(Guard::RestoredGeneration) {
            group.generation = value.generation;
        }
        group.protocol_type.clone_from(&value.protocol_type);
        group.protocol.clone_from(&value.protocol);
        group.leader.clone_from(&value.leader);
        for member in &value.members {
            if !group.roster.contains(&member.member_id) {
                group.roster.add(restored(member, value.protocol.as_ref()));
            }
        }
        if !group.roster.is_empty() {
            group.phase = Phase::Stable;
        }
        group.learn_topics();
        let ids: Vec<_> = group
            .roster
            .iter()
            .map(|member| Arc::clone(&member.id))
            .collect();
        for id in &ids {
            group.extend_session(turn, id);
        }
        if ids.len() > turn.limits.members {
            // The limit was lowered: whoever joins first may stay.
            group.prepare(turn);
        }
        group
    }
}

/// Of the protocols a member spoke, only the chosen one is stored.
fn restored(member: &MemberValue, protocol: Option<&Arc<str>>) -> NewMember {
    let spoken = protocol.map(|name| Protocol {
        name: Arc::clone(name),
        metadata: member.subscription.clone(),
    });
    let rebalance_timeout_ms = match member.rebalance_timeout_ms {
        -1 => member.session_timeout_ms,
        timeout => timeout,
    };
    NewMember {
        id: Arc::clone(&member.member_id),
        instance_id: member.instance_id.clone(),
        client_id: Arc::clone(&member.client_id),
        client_host: Arc::clone(&member.client_host),
        rebalance_timeout_ms,
        session_timeout_ms: member.session_timeout_ms,
        protocols: spoken.into_iter().collect(),
        assignment: member.assignment.clone(),
    }
}
