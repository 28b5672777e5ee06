//! The level of the metadata's format. A new image does not raise it: until it is told to rise, the image
//! before can come back.

use std::collections::BTreeMap;

use freshet_client::{ClientError, FeatureLevel};
use freshet_types::NodeId;

use super::super::door::Brokers;
use super::super::fetch::Observed;
use super::super::plan::Plan;
use super::super::status::is_ready;
use super::super::validate::Wanted;

/// What Kafka calls `metadata.version` counts the formats of Kafka's own records; ours have a name of
/// their own.
const FEATURE: &str = "freshet.metadata.version";

/// Lowest and highest level that each broker can work with; `None` for one that does not know the feature.
type Ranges = BTreeMap<i32, Option<(i16, i16)>>;

/// How far the level is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Levelled {
    /// The level in use; `None` when nobody told.
    pub(crate) now: Option<i16>,
    /// What was changed now.
    pub(crate) changed: Option<String>,
    /// What the wanted level waits for.
    pub(crate) waits_for: Option<String>,
    /// Why it cannot be: a word and a sentence.
    pub(crate) refused: Option<(&'static str, String)>,
}

/// What to do about the level.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Next {
    Set { down: bool },
    Refuse(String),
}

/// Sets the wanted level, once all brokers can work with it. `is_calm` says that no restart is under
/// way: before that brokers of the version before may be there still.
pub(crate) async fn level(
    client: &dyn Brokers,
    wanted: &Wanted,
    plan: &Plan,
    observed: &Observed,
    is_calm: bool,
) -> Levelled {
    let mut levelled = Levelled::default();
    match client.features().await {
        Ok(all) => levelled.now = of(&all).and_then(|feature| feature.finalized),
        Err(error) => levelled.waits_for = wanted.metadata_version.map(|_| asked_in_vain(&error)),
    }
    let Some(asked) = wanted.metadata_version else {
        return levelled;
    };
    if levelled.waits_for.is_some() || levelled.now == Some(asked) {
        return levelled;
    }
    if !is_calm
        || !plan
            .nodes()
            .all(|node| observed.pod(&node.pod).is_some_and(is_ready))
    {
        levelled.waits_for = Some("all pods to be restarted and ready".to_owned());
        return levelled;
    }
    let next = match ranges(client, plan).await {
        Ok(ranges) => next(asked, levelled.now, &ranges),
        Err(error) => {
            levelled.waits_for = Some(asked_in_vain(&error));
            return levelled;
        }
    };
    match next {
        Next::Refuse(why) => levelled.refused = Some(("MetadataVersionNotSupported", why)),
        Next::Set { down } => set(client, wanted, asked, down, &mut levelled).await,
    }
    levelled
}

async fn set(
    client: &dyn Brokers,
    wanted: &Wanted,
    asked: i16,
    down: bool,
    levelled: &mut Levelled,
) {
    let levels = [(FEATURE.to_owned(), asked)];
    match client.update_features(&levels, down).await {
        Ok(()) => {
            tracing::info!(
                cluster = wanted.names.cluster,
                namespace = wanted.names.namespace,
                level = asked,
                before = levelled.now,
                "metadata version set"
            );
            levelled.now = Some(asked);
            levelled.changed = Some(format!("the metadata version is {asked} now"));
        }
        Err(error @ ClientError::Refused { .. }) => {
            let why = format!(
                "brokers do not change the metadata version from {} to {asked}: {error}",
                levelled.now.unwrap_or_default()
            );
            levelled.refused = Some(("MetadataVersionRefused", why));
        }
        Err(error) => levelled.waits_for = Some(asked_in_vain(&error)),
    }
}

fn asked_in_vain(error: &ClientError) -> String {
    format!("an answer of the brokers ({error})")
}

fn of(all: &[FeatureLevel]) -> Option<&FeatureLevel> {
    all.iter().find(|feature| feature.name == FEATURE)
}

/// Each broker is asked: the active controller refuses for all, and does not say what they could.
async fn ranges(client: &dyn Brokers, plan: &Plan) -> Result<Ranges, ClientError> {
    let mut ranges = Ranges::new();
    for node in plan.nodes().filter(|node| node.broker) {
        let all = client.features_of(NodeId(node.id)).await?;
        ranges.insert(node.id, of(&all).and_then(|feature| feature.supported));
    }
    Ok(ranges)
}

/// The rule.
fn next(asked: i16, now: Option<i16>, ranges: &Ranges) -> Next {
    let can =
        |range: &Option<(i16, i16)>| range.is_some_and(|(min, max)| (min..=max).contains(&asked));
    let cannot: Vec<String> = ranges
        .iter()
        .filter(|(_, range)| !can(range))
        .map(|(id, _)| id.to_string())
        .collect();
    if cannot.is_empty() {
        return Next::Set {
            down: now.is_some_and(|now| asked < now),
        };
    }
    let common = ranges
        .values()
        .try_fold((1, i16::MAX), |(low, high), range| {
            range.map(|(min, max)| (low.max(min), high.min(max)))
        });
    let all = match common {
        Some((min, max)) if min <= max => format!("all brokers can work with {min} to {max}"),
        _ => "there is no level that all brokers can work with".to_owned(),
    };
    Next::Refuse(format!(
        "brokers {} cannot work with metadata version {asked}: {all}. State one of these in \
         spec.metadataVersion, or an image whose brokers can",
        cannot.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(all: &[(i32, Option<(i16, i16)>)]) -> Ranges {
        all.iter().copied().collect()
    }

    #[test]
    fn the_level_rises_when_all_brokers_can_and_goes_down_only_as_asked() {
        let all = ranges(&[(1, Some((1, 3))), (2, Some((1, 4)))]);
        assert_eq!(next(3, Some(2), &all), Next::Set { down: false });
        assert_eq!(next(1, Some(2), &all), Next::Set { down: true });
        assert_eq!(next(1, None, &all), Next::Set { down: false });
    }

    #[test]
    fn what_one_broker_cannot_is_refused_with_what_all_can() {
        let why =
            |asked, all: &[(i32, Option<(i16, i16)>)]| match next(asked, Some(1), &ranges(all)) {
                Next::Refuse(why) => why,
                set => panic!("it is not refused: {set:?}"),
            };
        let two = [(1, Some((1, 3))), (2, Some((2, 4)))];
        let said = why(4, &two);
        assert!(
            said.starts_with("brokers 1 cannot work with metadata version 4"),
            "{said}"
        );
        assert!(said.contains("all brokers can work with 2 to 3"), "{said}");
        assert!(why(9, &two).starts_with("brokers 1, 2 cannot"));
        let apart = [(1, Some((1, 1))), (2, Some((2, 2)))];
        assert!(why(2, &apart).contains("no level that all brokers"));
        let unknown = [(1, Some((1, 1))), (2, None)];
        assert!(why(1, &unknown).contains("no level that all brokers"));
    }
}

#[cfg(test)]
#[path = "level/real.rs"]
mod real;
