//! May this broker restart, and is it back? `/admin/pre-restart` and `/admin/post-restart`, for
//! whoever restarts brokers one by one, or some at a time: `/admin/pre-restart?with=2,3` asks what would be
//! at risk if brokers 2 and 3 stopped together with this one.
//!
//! A cluster has ten thousands of partitions: answers count all of them and name the first 100.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freshet_metadata::{MetadataImage, Risk, StopRisk};
use freshet_quorum::{QuorumStatus, ReplicaStatus};
use freshet_settings::Layers;
use freshet_types::{NodeId, Timestamp, TopicPartition};
use serde_json::{Value, json};

use crate::kafka::Context;

/// Partitions that an answer names.
const NAMED: usize = 100;
/// Brokers that may be named beside the one that is asked.
const WITH: usize = 1_000;
/// How long the active controller may take to confirm that we know all it decided.
const PATIENCE_MS: i32 = 5_000;
/// A voter that was silent for this long is not there.
const SILENCE_MS: i64 = 2_000;

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// What was asked makes no sense.
    Bad(String),
    /// It is not known now.
    Unknown(String),
}

/// What a restart of this broker would risk now, and of those with it that `query` names.
pub(super) async fn before(context: &Context, query: Option<&str>) -> Result<Value, NoAnswer> {
    let with = with(query)?;
    let image = known(context).await?;
    let node = context.identity.node_id;
    let quorum = match &context.voters {
        Some(voters) => voters.status().await.ok(),
        None => None,
    };
    if context.voters.is_some() && quorum.is_none() && !with.is_empty() {
        let reason = "the quorum does not answer, so it is not known who votes";
        return Err(NoAnswer::Unknown(reason.to_owned()));
    }
    for other in &with {
        let votes = |status: &QuorumStatus| {
            let mut all = status.voters.iter().chain(&status.observers);
            all.any(|replica| replica.peer.id.node == *other)
        };
        if image.broker(*other).is_none() && !quorum.as_ref().is_some_and(votes) {
            return Err(NoAnswer::Bad(format!("with: nobody has number {other}")));
        }
    }
    let mut stopping = with.clone();
    stopping.insert(node);
    let mut risks = image.stop_risks(&stopping, &context.layers());
    risks.sort_by_key(|risk| risk.risk);
    let quorum = quorum.and_then(|status| majority_at_risk(&status, &stopping));
    Ok(json!({
        "broker": node.0,
        "with": with.iter().map(|other| other.0).collect::<Vec<_>>(),
        "safe": risks.is_empty() && quorum.is_none(),
        "counts": counts(&risks),
        "lasting": risks.iter().filter(|r| r.lasting).count(),
        "risks": risks.iter().take(NAMED).map(|r| risk(&image, r)).collect::<Vec<_>>(),
        "quorum": quorum,
    }))
}

/// Whether everything that this broker keeps is in sync again; of a controller that is none, whether it votes and
/// has what was agreed.
pub(super) async fn after(context: &Context) -> Result<Value, NoAnswer> {
    let image = known(context).await?;
    let node = context.identity.node_id;
    let roles = Layers::of(Arc::clone(&context.statics)).quorum().roles;
    let fenced = match &context.voters {
        Some(voters) if !roles.broker => {
            let status = voters.status().await;
            !status.is_ok_and(|status| has_caught_up(&status, node))
        }
        _ => image.broker(node).is_none_or(|broker| broker.fenced),
    };
    let unwell = image.broker(node).is_some_and(|broker| broker.is_unwell());
    let lagging = image.lagging(node);
    let named = lagging.iter().take(NAMED).map(|at| name(&image, *at));
    Ok(json!({
        "broker": node.0,
        "in_sync": lagging.is_empty() && !fenced,
        "fenced": fenced,
        "unwell": unwell,
        "count": lagging.len(),
        "lagging": named.collect::<Vec<_>>(),
    }))
}

/// The brokers that a query names, `with=2,3`.
fn with(query: Option<&str>) -> Result<BTreeSet<NodeId>, NoAnswer> {
    let Some(query) = query else {
        return Ok(BTreeSet::new());
    };
    let Some(list) = query.strip_prefix("with=") else {
        let reason = format!("{query}: only with=ID,ID,… can be asked");
        return Err(NoAnswer::Bad(reason));
    };
    let mut named = BTreeSet::new();
    for text in list.split(',') {
        let digits = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        let Some(id) = text.parse().ok().filter(|_| digits) else {
            return Err(NoAnswer::Bad(format!("with: {text:?} is no number")));
        };
        named.insert(NodeId(id));
        if named.len() > WITH {
            return Err(NoAnswer::Bad(format!("with: {WITH} can be named")));
        }
    }
    Ok(named)
}

/// An old image could call safe what is not.
pub(super) async fn known(context: &Context) -> Result<std::sync::Arc<MetadataImage>, NoAnswer> {
    let caught_up = context.catch_up_within(PATIENCE_MS).await;
    caught_up.map_err(|refusal| NoAnswer::Unknown(refusal.message))?;
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

/// Why the other voters would be no majority, if waiting for them or stopping one by one could help.
fn majority_at_risk(status: &QuorumStatus, stopping: &BTreeSet<NodeId>) -> Option<String> {
    let stops = |voter: &&ReplicaStatus| stopping.contains(&voter.peer.id.node);
    let (stop, others): (Vec<_>, Vec<_>) = status.voters.iter().partition(stops);
    if stop.is_empty() {
        return None;
    }
    let majority = status.voters.len() / 2 + 1;
    let up = others
        .iter()
        .filter(|v| lately(status, v.last_fetch))
        .count();
    let helps = others.len() >= majority || stop.len() > 1;
    (helps && up < majority).then(|| {
        format!(
            "only {up} of the {} other controllers are up, and {majority} must be",
            others.len()
        )
    })
}

/// Whether a voter is one, and had all that was agreed a moment ago.
fn has_caught_up(status: &QuorumStatus, node: NodeId) -> bool {
    let mut voters = status.voters.iter();
    let ours = voters.find(|voter| voter.peer.id.node == node);
    ours.is_some_and(|voter| lately(status, voter.last_caught_up))
}

/// Whether that was a moment ago. All times are of the leader's clock, which may be another than ours; its own
/// is now.
fn lately(status: &QuorumStatus, then: Option<Timestamp>) -> bool {
    let leads = |voter: &&ReplicaStatus| Some(voter.peer.id.node) == status.leader;
    let now = status.voters.iter().find(leads).and_then(|v| v.last_fetch);
    let past = now
        .zip(then)
        .map(|(now, then)| now.0.saturating_sub(then.0));
    past.is_some_and(|past| past <= SILENCE_MS)
}

#[cfg(test)]
mod tests {
    use freshet_quorum::{Peer, PeerId};
    use freshet_types::TopicId;

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
            majority_at_risk(&status(fetches), &[NodeId(node)].into()).is_some()
        };
        assert!(!at_risk(&[now, fresh, fresh], 2));
        assert!(at_risk(&[now, fresh, Some(1)], 2), "3 is away");
        assert!(at_risk(&[now, fresh, None], 1), "3 was never heard of");
        assert!(!at_risk(&[now, fresh, Some(1)], 9), "9 does not vote");
        assert!(!at_risk(&[now], 1), "waiting would not help");
    }

    #[test]
    fn a_voter_is_back_once_it_has_what_was_agreed() {
        let mut status = status(&[Some(100_000), Some(100_000), Some(100_000)]);
        let caught_up = [Some(100_000), Some(99_000), Some(90_000)];
        for (voter, at) in status.voters.iter_mut().zip(caught_up) {
            voter.last_caught_up = at.map(Timestamp);
        }
        let back = [1, 2, 3, 9].map(|node| has_caught_up(&status, NodeId(node)));
        assert_eq!(
            back,
            [true, true, false, false],
            "3 hears it, 9 does not vote"
        );
        status.leader = None;
        assert!(
            !has_caught_up(&status, NodeId(2)),
            "nobody says what is agreed"
        );
    }

    #[test]
    fn voters_that_stop_together_leave_a_majority() {
        let now = Some(100_000);
        let at_risk = |fetches: &[Option<i64>], nodes: &[i32]| {
            let stopping = nodes.iter().copied().map(NodeId).collect();
            majority_at_risk(&status(fetches), &stopping).is_some()
        };
        assert!(!at_risk(&[now; 5], &[1, 2]));
        assert!(at_risk(&[now; 5], &[1, 2, 3]));
        assert!(at_risk(&[now; 3], &[1, 2]), "each alone may");
        assert!(at_risk(&[now; 2], &[1, 2]), "one by one is less bad");
        assert!(!at_risk(&[now; 3], &[2, 8, 9]), "one of them votes");
        assert!(at_risk(&[now, now, now, now, Some(1)], &[1, 2]));
        assert!(!at_risk(&[now; 3], &[]));
    }

    #[test]
    fn brokers_are_named_by_numbers() {
        let named = |query: &str| with(Some(query)).map(|all| all.iter().map(|n| n.0).collect());
        assert_eq!(with(None), Ok(BTreeSet::new()));
        assert_eq!(named("with=3,2,3"), Ok(vec![2, 3]));
        assert_eq!(named("with=0"), Ok(vec![0]));
        let most: Vec<_> = (0..1_000).map(|id: i32| id.to_string()).collect();
        assert!(named(&format!("with={}", most.join(","))).is_ok());
        let bad = [
            "with=",
            "with=2,",
            "with=-1",
            "with=+1",
            "with=2147483648",
            "with=a",
            "with=2&with=3",
            "with",
            "",
            "without=2",
        ];
        for query in bad {
            let told = with(Some(query));
            assert!(matches!(told, Err(NoAnswer::Bad(_))), "{query}: {told:?}");
        }
        let more = format!("with={},1000", most.join(","));
        assert!(matches!(with(Some(&more)), Err(NoAnswer::Bad(_))));
    }
}
