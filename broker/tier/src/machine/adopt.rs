//! A manifest from the bucket takes the place of one that its shard has lost.

use freshet_types::{LeaderEpoch, TopicPartition};

use super::request::{Answer, Refusal};
use super::{Decided, staged};
use crate::codec::MOST_VERSION;
use crate::guard::{Guard, holds};
use crate::manifest::Manifest;

/// Between the greatest version in the bucket and those that come. What was put before the shard lost
/// the manifest may arrive after it: it must neither take the name of a version that is to come, nor be
/// newer. More changes than any export is behind.
const VERSIONS_APART: u64 = 1 << 20;

/// Whoever may claim may adopt: the epoch of the manifest stays the one that claimed last as far as the
/// bucket knows, so the claim that follows is judged as if nothing had been lost.
pub(super) fn adopt(
    (partition, present): (TopicPartition, Option<&Manifest>),
    asked: LeaderEpoch,
    exported: &[u8],
    newest: u64,
) -> Result<Decided, Refusal> {
    let present = present.ok_or(Refusal::NotClaimed { asked })?;
    let current = present.leader_epoch;
    if present.deleted {
        return Err(Refusal::Deleted);
    }
    if asked < current && holds(Guard::LeaderEpoch) {
        return Err(Refusal::Fenced { asked, current });
    }
    let mut adopted = judge(partition, asked, exported, newest)?;
    keep_begun(&mut adopted, present);
    if *present == adopted {
        return Ok(Decided::only(Answer::Adopted));
    }
    if !present.is_pristine() && holds(Guard::AdoptedIntoNothing) {
        return Err(Refusal::NotNew);
    }
    Ok(Decided {
        changes: staged(&adopted).collect(),
        answer: Answer::Adopted,
    })
}

/// What was begun since may be in the bucket, too: a question of the time before, which came late.
fn keep_begun(adopted: &mut Manifest, present: &Manifest) {
    let mut begun = present.clone();
    begun.abandon_all();
    begun.unnamed.retain(|id, _| !adopted.is_named(*id));
    adopted.unnamed = begun.unnamed;
}

/// What it becomes.
fn judge(
    partition: TopicPartition,
    asked: LeaderEpoch,
    exported: &[u8],
    newest: u64,
) -> Result<Manifest, Refusal> {
    let no = |why: String| Refusal::Malformed(why.into());
    let restored = Manifest::restore(exported);
    let (whose, mut adopted) = restored.map_err(|error| no(error.to_string()))?;
    if whose != partition {
        return Err(no(format!("the manifest is of {whose}")));
    }
    if adopted.deleted {
        return Err(no("by the manifest the topic is deleted".to_owned()));
    }
    if adopted.leader_epoch > asked {
        let epoch = adopted.leader_epoch;
        return Err(no(format!(
            "the manifest was claimed in epoch {epoch}: none before that can adopt it"
        )));
    }
    // So that no later change comes to a version that is not read back.
    let is_countable = newest < MOST_VERSION / 2;
    if adopted.version == 0 || newest < adopted.version || !is_countable {
        return Err(no(format!("{newest} is not the newest version")));
    }
    let is_apart = holds(Guard::VersionsApart);
    adopted.version = newest + if is_apart { VERSIONS_APART } else { 0 };
    Ok(adopted)
}
