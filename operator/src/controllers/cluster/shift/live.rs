//! Settings that brokers change while they run: set for the whole cluster, without a restart.

use std::collections::{BTreeMap, BTreeSet};

use freshet_client::{ConfigChange, ConfigEntry, ConfigSource};

use super::super::door::Brokers;
use super::super::validate::Wanted;
use crate::failure::Failure;

/// Makes them so; says which had to be changed. `before` are the names that were set by us before: one
/// that the spec names no more falls back to its default.
pub(crate) async fn live(
    client: &dyn Brokers,
    wanted: &Wanted,
    before: &BTreeSet<String>,
) -> Result<Vec<String>, Failure> {
    let what = "the settings of the cluster cannot be read";
    let seen = client.settings().await.map_err(Failure::brokers(what))?;
    let changes = changes(&wanted.live, before, &seen);
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let what = "the settings of the cluster cannot be changed";
    let changed = client.set(&changes).await;
    changed.map_err(Failure::brokers(what))?;
    Ok(changes.into_iter().map(|change| change.name).collect())
}

fn changes(
    wanted: &BTreeMap<&'static str, String>,
    before: &BTreeSet<String>,
    seen: &[ConfigEntry],
) -> Vec<ConfigChange> {
    let set: BTreeMap<&str, Option<&str>> = seen
        .iter()
        .filter(|entry| entry.source == ConfigSource::AllBrokers)
        .map(|entry| (entry.name.as_str(), entry.value.as_deref()))
        .collect();
    let differs = |(name, value): &(&&str, &String)| set.get(**name) != Some(&Some(value.as_str()));
    let put = wanted
        .iter()
        .filter(differs)
        .map(|(name, value)| ConfigChange::set(*name, value));
    let gone = before
        .iter()
        .filter(|name| !wanted.contains_key(name.as_str()) && set.contains_key(name.as_str()));
    put.chain(gone.map(ConfigChange::unset)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, value: &str, source: ConfigSource) -> ConfigEntry {
        ConfigEntry {
            name: name.to_owned(),
            value: Some(value.to_owned()),
            source,
            read_only: false,
            sensitive: false,
            documentation: None,
        }
    }

    #[test]
    fn only_what_differs_is_set_and_only_what_was_ours_is_unset() {
        let wanted = BTreeMap::from([
            ("a", "1".to_owned()),
            ("b", "2".to_owned()),
            ("c", "3".to_owned()),
        ]);
        let before = BTreeSet::from(["a".to_owned(), "gone".to_owned(), "unset".to_owned()]);
        let seen = [
            entry("a", "1", ConfigSource::AllBrokers),
            entry("b", "9", ConfigSource::AllBrokers),
            // A default of the same value is not ours: it changes with the version.
            entry("c", "3", ConfigSource::Default),
            entry("gone", "4", ConfigSource::AllBrokers),
            entry("theirs", "5", ConfigSource::AllBrokers),
        ];
        let changes = changes(&wanted, &before, &seen);
        let expected = [
            ConfigChange::set("b", "2"),
            ConfigChange::set("c", "3"),
            ConfigChange::unset("gone"),
        ];
        assert_eq!(changes, expected);
    }
}
