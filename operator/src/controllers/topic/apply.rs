//! A plan carried out by the brokers.

use freshet_api::ReplicasChange;
use freshet_client::{ClientError, NewTopic};

use super::brokers::{Counter, Seen};
use super::plan::Changes;
use super::status::Facts;
use super::validate::Wanted;
use crate::metrics::TopicChange;

/// What was done, and what there is now.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) facts: Facts,
    pub(super) done: Vec<TopicChange>,
}

/// Creates a topic.
pub(super) async fn create(
    counter: Counter<'_>,
    wanted: &Wanted,
    topic: NewTopic,
) -> Result<Applied, ClientError> {
    let created = counter.create(topic).await?;
    // Old brokers do not tell how many there are: the next look does.
    let told = |count: i32| (count > 0).then_some(count);
    Ok(Applied {
        facts: Facts {
            name: wanted.name.clone(),
            id: (!created.id.is_zero()).then(|| created.id.to_string()),
            partitions: told(created.partitions).or(wanted.partitions),
            replicas: told(created.replication.into()).or(wanted.replicas),
            ..Facts::default()
        },
        done: vec![TopicChange::Created],
    })
}

/// Changes a topic: first what can be undone. What is refused ends it; what was done before stays.
pub(super) async fn change(
    counter: Counter<'_>,
    wanted: &Wanted,
    seen: &Seen,
    changes: &Changes,
) -> Result<Applied, ClientError> {
    let name = &wanted.name;
    let mut facts = facts(wanted, seen);
    let mut done = Vec::new();
    if !changes.configure.is_empty() {
        counter.configure(name, changes.configure.clone()).await?;
        done.push(TopicChange::Configured);
    }
    if let Some(count) = changes.widen {
        counter.widen(name, count).await?;
        facts.partitions = Some(count);
        done.push(TopicChange::Widened);
    }
    if let Some(copies) = changes.replicate {
        let begun = counter.replicate(name, copies).await?;
        if begun > 0 {
            facts.moving = facts.moving.saturating_add(begun);
            facts.change = under_way(copies, facts.moving);
            done.push(TopicChange::Replicated);
        }
    }
    Ok(Applied { facts, done })
}

/// What there is, untouched.
pub(super) fn facts(wanted: &Wanted, seen: &Seen) -> Facts {
    let moving = seen.moving();
    Facts {
        name: wanted.name.clone(),
        id: seen.id.clone(),
        partitions: Some(seen.count()),
        replicas: seen.copies(),
        change: wanted.replicas.and_then(|copies| under_way(copies, moving)),
        moving,
    }
}

fn under_way(target_replicas: i32, partitions_left: i32) -> Option<ReplicasChange> {
    (partitions_left > 0).then_some(ReplicasChange {
        target_replicas,
        partitions_left,
    })
}
