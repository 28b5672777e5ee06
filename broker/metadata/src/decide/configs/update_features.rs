//! Feature levels (KIP-584).

use std::collections::BTreeSet;

use crate::error::{MetadataError, Outcome};
use crate::features::Feature;
use crate::machine::MetadataMachine;
use crate::record::Record;
use crate::request::{FeatureUpdate, UpdateFeatures};

pub(crate) fn update_features(
    machine: &MetadataMachine,
    request: UpdateFeatures,
    records: &mut Vec<Record>,
) -> Outcome<()> {
    let mut seen = BTreeSet::new();
    for update in &request.updates {
        if !seen.insert(update.name.as_str()) {
            return Err(refused(update, "it is named twice in the request"));
        }
        check(machine, update)?;
    }
    if !request.validate_only {
        let changed = request
            .updates
            .into_iter()
            .filter(|u| present(machine, u) != u.level);
        records.extend(changed.map(|u| Record::Feature {
            name: u.name,
            level: u.level,
        }));
    }
    Ok(())
}

fn check(machine: &MetadataMachine, update: &FeatureUpdate) -> Outcome<()> {
    let Some(known) = known(machine, update) else {
        return Err(refused(update, "this version does not know it"));
    };
    let (min, max) = (known.min, known.max);
    if !(min..=max).contains(&update.level) {
        return Err(refused(
            update,
            &format!("this version knows levels {min} to {max}"),
        ));
    }
    let cannot = machine.image.brokers().find(|broker| {
        let range = broker.features.iter().find(|r| r.name == update.name);
        // A broker that said nothing is not asked; one that said something must know it.
        let knows = range.is_some_and(|r| (r.min..=r.max).contains(&update.level));
        update.level > 0 && !broker.features.is_empty() && !knows
    });
    if let Some(broker) = cannot {
        return Err(MetadataError::BrokerFeature {
            node: broker.node,
            name: update.name.chars().take(200).collect(),
            level: update.level,
        });
    }
    if update.level < present(machine, update) && !update.allow_downgrade {
        return Err(refused(
            update,
            "the level would go down, which the request does not allow",
        ));
    }
    Ok(())
}

fn known<'a>(machine: &'a MetadataMachine, update: &FeatureUpdate) -> Option<&'a Feature> {
    let mut all = machine.options.features.iter();
    all.find(|feature| feature.name == update.name)
}

fn present(machine: &MetadataMachine, update: &FeatureUpdate) -> i16 {
    known(machine, update).map_or(0, |feature| feature.level(&machine.image))
}

fn refused(update: &FeatureUpdate, reason: &str) -> MetadataError {
    MetadataError::Feature {
        name: update.name.chars().take(200).collect(),
        level: update.level,
        reason: reason.to_owned(),
    }
}
