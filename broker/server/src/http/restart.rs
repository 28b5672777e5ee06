//! May this broker restart, and is it back? `/admin/pre-restart` and `/admin/post-restart`, for
//! whoever restarts brokers one by one.
//!
//! A cluster has ten thousands of partitions: answers count all of them and name the first 100.

use std::collections::BTreeMap;

use freshet_metadata::{MetadataImage, Risk, StopRisk};
use freshet_quorum::{QuorumStatus, ReplicaStatus};
use freshet_types::{NodeId, TopicPartition};
use serde_json::{Value, json};

use crate::kafka::Context;

/// Partitions that an answer names.
const NAMED: usize = 100;
/// How long the active controller may take to confirm that we know all it decided.
const PATIENCE_MS: i32 = 5_000;
/// A voter that was silent for this long is not there.
const SILENCE_MS: i64 = 2_000;

/// Why there is no answer.
pub(super) struct Unknown(pub(super) String);

/// What a restart of this broker would risk now.
pub(super) async fn before(context: &Context) -> Result<Value, Unknown> {
    let image = known(context).await?;
    let node = context.identity.node_id;
    let mut risks = image.stop_risks(node, &context.layers());
    risks.sort_by_key(|risk| risk.risk);
    let quorum = match &context.voters {
        Some(voters) => voters.status().await.ok(),
        None => None,
    };
    let quorum = quorum.and_then(|status| majority_at_risk(&status, node));
    Ok(json!({
        "broker": node.0,
        "safe": risks.is_empty() && quorum.is_none(),
        "counts": counts(&risks),
        "lasting": risks.iter().filter(|r| r.lasting).count(),
        "risks": risks.iter().take(NAMED).map(|r| risk(&image, r)).collect::<Vec<_>>(),
        "quorum": quorum,
    }))
}

/// Whether everything that this broker keeps is in sync again.
pub(super) async fn after(context: &Context) -> Result<Value, Unknown> {
    let image = known(context).await?;
    let node = context.identity.node_id;
    let fenced = image.broker(node).is_none_or(|broker| broker.fenced);
    let lagging = image.lagging(node);
    let named = lagging.iter().take(NAMED).map(|at| name(&image, *at));
    Ok(json!({
        "broker": node.0,
        "in_sync": lagging.is_empty() && !fenced,
        "fenced": fenced,
        "count": lagging.len(),
        "lagging": named.collect::<Vec<_>>(),
    }))
}

/// An old image could call safe what is not.
async fn known(context: &Context) -> Result<std::sync::Arc<MetadataImage>, Unknown> {
    let caught_up = context.catch_up_within(PATIENCE_MS).await;
    caught_up.map_err(|refusal| Unknown(refusal.message))?;
    Ok(context.image())
}

fn counts(risks: &[StopRisk]) -> BTreeMap<&'static str, usize> {
    let all = [Risk::LastCopy, Risk::Offline, Risk::BelowMinInsync];
    let count = |risk| risks.iter().filter(|r| r.risk == risk).count();
    all.map(|risk| (word(risk), count(risk))).into()
}

fn word(risk: Risk) -> &'static str {
    match risk {
        Risk::LastCopy => "last-copy",
        Risk::Offline => "offline",
        Risk::BelowMinInsync => "below-min-insync",
    }
}

fn risk(image: &MetadataImage, risk: &StopRisk) -> Value {
    let mut named = name(image, risk.at);
    named["risk"] = word(risk.risk).into();
    named["lasting"] = risk.lasting.into();
    named
}

fn name(image: &MetadataImage, at: TopicPartition) -> Value {
    let topic = image.topic_by_id(at.topic).map(|topic| topic.name.as_str());
    json!({ "topic": topic, "partition": at.partition })
}

/// Why the other voters would be no majority, if waiting for them could help: somebody is away.
fn majority_at_risk(status: &QuorumStatus, node: NodeId) -> Option<String> {
    let votes = |voter: &&ReplicaStatus| voter.peer.id.node == node;
    status.voters.iter().find(votes)?;
    let others: Vec<_> = status.voters.iter().filter(|v| !votes(v)).collect();
    let majority = status.voters.len() / 2 + 1;
    let leads = |voter: &&ReplicaStatus| Some(voter.peer.id.node) == status.leader;
    // All times are of the leader's clock, which may be another than ours; its own is now.
    let now = status.voters.iter().find(leads).and_then(|v| v.last_fetch);
    let here = |voter: &&&ReplicaStatus| {
        let heard = now.zip(voter.last_fetch);
        heard.is_some_and(|(now, then)| now.0.saturating_sub(then.0) <= SILENCE_MS)
    };
    let up = others.iter().filter(here).count();
    (others.len() >= majority && up < majority).then(|| {
        format!(
            "only {up} of the {} other controllers are up, and {majority} must be",
            others.len()
        )
    })
}

#[cfg(test)]
mod tests {
    use freshet_quorum::{Peer, PeerId};
    use freshet_types::{Timestamp, TopicId};

    use super::*;

    fn status(last_fetches: &[Option<i64>]) -> QuorumStatus {
        let voter = |(node, fetch): (i32, &Option<i64>)| ReplicaStatus {
            peer: Peer {
                id: PeerId {
                    node: NodeId(node),
                    directory: TopicId::ZERO,
                },
                endpoints: Vec::new(),
            },
            log_end_offset: 0,
            last_fetch: fetch.map(Timestamp),
            last_caught_up: None,
        };
        QuorumStatus {
            leader: Some(NodeId(1)),
            epoch: 1,
            high_watermark: 0,
            voters: (1..).zip(last_fetches).map(voter).collect(),
            observers: Vec::new(),
        }
    }

    #[test]
    fn a_voter_may_go_while_the_others_are_a_majority() {
        // The leader's clock, by which it is now 100,000.
        let now = Some(100_000);
        let fresh = Some(99_000);
        let at_risk = |fetches: &[Option<i64>], node| {
            majority_at_risk(&status(fetches), NodeId(node)).is_some()
        };
        assert!(!at_risk(&[now, fresh, fresh], 2));
        assert!(at_risk(&[now, fresh, Some(1)], 2), "3 is away");
        assert!(at_risk(&[now, fresh, None], 1), "3 was never heard of");
        assert!(!at_risk(&[now, fresh, Some(1)], 9), "9 does not vote");
        assert!(!at_risk(&[now], 1), "waiting would not help");
    }
}
