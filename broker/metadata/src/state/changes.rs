//! What lies between two images.

use std::sync::Arc;

use freshet_types::TopicId;

use super::image::{MetadataImage, Topic, UncleanElection};

/// What is different in a later image.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Topics that are new or have any change, as they are now.
    pub topics: Vec<Arc<Topic>>,
    /// Topics that are gone, as they last were. A topic created again under its name is in both
    /// lists, with different ids.
    pub deleted: Vec<Arc<Topic>>,
    /// Whether any broker changed.
    pub brokers: bool,
    /// Whether settings of anything but topics changed.
    pub configs: bool,
    /// Whether feature levels changed.
    pub features: bool,
    /// Elections that may have lost records; each deserves a line in the log.
    pub unclean: Vec<Arc<UncleanElection>>,
}

impl Changes {
    /// Whether nothing is different.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
            && self.deleted.is_empty()
            && !self.brokers
            && !self.configs
            && !self.features
            && self.unclean.is_empty()
    }
}

impl MetadataImage {
    /// What is different from `old`. Costs what changed: images share what they have in common,
    /// and shared parts are not looked at. Both must be images of the same cluster.
    pub fn changes_since(&self, old: &Self) -> Changes {
        let mut changes = Changes {
            brokers: !Arc::ptr_eq(&self.brokers, &old.brokers) && self.brokers != old.brokers,
            configs: !Arc::ptr_eq(&self.configs, &old.configs) && self.configs != old.configs,
            features: !Arc::ptr_eq(&self.features, &old.features) && self.features != old.features,
            unclean: self.unclean_since(old),
            ..Changes::default()
        };
        for (before, after) in self.topics.differing(&old.topics) {
            let same = |id: &TopicId, topic: &Arc<Topic>| {
                before
                    .get(id)
                    .is_some_and(|was| Arc::ptr_eq(was, topic) || was == topic)
            };
            changes.topics.extend(
                after
                    .iter()
                    .filter(|(id, t)| !same(id, t))
                    .map(|(_, t)| Arc::clone(t)),
            );
            let gone = before.iter().filter(|(id, _)| !after.contains_key(id));
            changes
                .deleted
                .extend(gone.map(|(_, topic)| Arc::clone(topic)));
        }
        changes
    }

    fn unclean_since(&self, old: &Self) -> Vec<Arc<UncleanElection>> {
        if Arc::ptr_eq(&self.unclean, &old.unclean) {
            return Vec::new();
        }
        let new = |election: &&Arc<_>| !old.unclean.contains(election);
        self.unclean.iter().filter(new).cloned().collect()
    }
}
