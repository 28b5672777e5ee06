//! Who claims which topic: looked up by every reconcile, kept from what the watch tells.

use std::collections::{BTreeMap, HashMap, HashSet};

use freshet_api::{ConditionType, Topic};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::Guarded;
use crate::conditions::holds;

/// An object by its namespace and name.
pub(super) type Id = (String, String);

/// A cluster as specs name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum ClusterKey {
    /// A Cluster object.
    Object(Id),
    /// Any, by its addresses in order.
    Address(Vec<String>),
}

impl ClusterKey {
    /// Which cluster a Topic is for.
    pub(super) fn of(topic: &Topic) -> Self {
        match (&topic.spec.cluster_ref, &topic.spec.external) {
            (Some(cluster), _) => {
                let namespace = cluster.namespace.clone();
                let own = || topic.namespace().unwrap_or_default();
                Self::Object((namespace.unwrap_or_else(own), cluster.name.clone()))
            }
            (None, external) => {
                let servers = external.as_ref().map(|e| e.bootstrap_servers.clone());
                let mut servers = servers.unwrap_or_default();
                servers.sort();
                servers.dedup();
                Self::Address(servers)
            }
        }
    }
}

/// A topic of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Claim {
    pub(super) cluster: ClusterKey,
    pub(super) topic: String,
}

impl Claim {
    /// What a Topic claims.
    pub(super) fn of(topic: &Topic) -> Self {
        Self {
            cluster: ClusterKey::of(topic),
            topic: name(topic),
        }
    }
}

/// A topic's name in its cluster.
pub(super) fn name(topic: &Topic) -> String {
    let named = topic.spec.topic_name.clone();
    named.unwrap_or_else(|| topic.name_any())
}

/// Who came first: by age, and by uid among those of one second.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seniority {
    created: i64,
    uid: String,
}

impl Seniority {
    pub(super) fn of(topic: &Topic) -> Self {
        let created = topic.creation_timestamp();
        Self {
            // One without a time is not stored yet, and comes last.
            created: created.map_or(i64::MAX, |at| at.0.as_second()),
            uid: topic.uid().unwrap_or_default(),
        }
    }
}

#[derive(Debug)]
struct Entry {
    claim: Claim,
    seniority: Seniority,
    ready: bool,
}

/// All Topics that are watched, by what they claim.
#[derive(Debug, Default)]
pub(super) struct Index {
    claims: HashMap<Claim, BTreeMap<Seniority, Id>>,
    topics: HashMap<Id, Entry>,
    ready: usize,
}

impl Index {
    /// A Topic is there, or has changed. Gives those whose turn it may be now.
    pub(super) fn put(&mut self, guard: &Guarded) -> Vec<Id> {
        let Ok(topic) = &guard.0 else {
            // What cannot be read claims nothing.
            return self.remove(&id(guard));
        };
        let id = id(guard);
        let entry = Entry {
            claim: Claim::of(topic),
            seniority: Seniority::of(topic),
            ready: is_ready(topic),
        };
        let known = self.topics.get(&id);
        let same = known.is_some_and(|k| k.claim == entry.claim && k.seniority == entry.seniority);
        let woken = if same { Vec::new() } else { self.remove(&id) };
        if let Some(before) = self.topics.get(&id) {
            self.ready -= usize::from(before.ready);
        }
        self.ready += usize::from(entry.ready);
        let claimants = self.claims.entry(entry.claim.clone()).or_default();
        claimants.insert(entry.seniority.clone(), id.clone());
        self.topics.insert(id, entry);
        woken
    }

    /// A Topic is gone. Gives those who wait for its name.
    pub(super) fn remove(&mut self, id: &Id) -> Vec<Id> {
        let Some(entry) = self.topics.remove(id) else {
            return Vec::new();
        };
        self.ready -= usize::from(entry.ready);
        let Some(claimants) = self.claims.get_mut(&entry.claim) else {
            return Vec::new();
        };
        claimants.remove(&entry.seniority);
        if claimants.is_empty() {
            self.claims.remove(&entry.claim);
            return Vec::new();
        }
        claimants.values().cloned().collect()
    }

    /// These are all there are in a namespace, or at all.
    pub(super) fn retain(&mut self, namespace: Option<&str>, there: &HashSet<Id>) -> Vec<Id> {
        let is_gone = |id: &&Id| namespace.is_none_or(|ns| ns == id.0) && !there.contains(id);
        let gone: Vec<_> = self.topics.keys().filter(is_gone).cloned().collect();
        gone.iter().flat_map(|id| self.remove(id)).collect()
    }

    /// Those who claim the same topic and came before, the oldest first.
    pub(super) fn elders(&self, topic: &Topic) -> Vec<Id> {
        let own = Seniority::of(topic);
        let claimants = self.claims.get(&Claim::of(topic));
        let elders = claimants.map(|all| all.range(..own)).into_iter().flatten();
        elders.map(|(_, id)| id.clone()).collect()
    }

    /// The Topics of a cluster.
    pub(super) fn of_cluster(&self, cluster: &ClusterKey) -> Vec<Id> {
        let of = self
            .topics
            .iter()
            .filter(|(_, e)| e.claim.cluster == *cluster);
        of.map(|(id, _)| id.clone()).collect()
    }

    /// How many are ready, and are not.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.ready, self.topics.len() - self.ready)
    }
}

/// The key of an object.
pub(super) fn id(guard: &Guarded) -> Id {
    (guard.namespace().unwrap_or_default(), guard.name_any())
}

/// How the runtime names an object.
pub(super) fn reference((namespace, name): &Id) -> ObjectRef<Guarded> {
    ObjectRef::new(name).within(namespace)
}

fn is_ready(topic: &Topic) -> bool {
    let conditions = topic.status.as_ref().map(|s| s.conditions.as_slice());
    holds(conditions.unwrap_or_default(), ConditionType::Ready)
}

#[cfg(test)]
mod tests {
    use super::super::samples::{at, topic};
    use super::*;

    fn guard(topic: Topic) -> Guarded {
        kube::core::DeserializeGuard(Ok(topic))
    }

    fn key(name: &str) -> Id {
        ("shop".to_owned(), name.to_owned())
    }

    #[test]
    fn the_older_goes_first_and_then_the_uid() {
        let mut index = Index::default();
        let named = |name: &str, second, uid: &str| {
            let mut topic = at(topic(name), second, uid);
            topic.spec.topic_name = Some("orders".to_owned());
            topic
        };
        let (young, old, twin) = (
            named("a", 20, "1"),
            named("b", 10, "9"),
            named("c", 10, "8"),
        );
        for topic in [&young, &old, &twin] {
            assert_eq!(index.put(&guard(topic.clone())), []);
        }
        assert_eq!(index.elders(&young), [key("c"), key("b")]);
        assert_eq!(index.elders(&old), [key("c")]);
        assert_eq!(index.elders(&twin), []);
        // Whoever waits for a name is told when it is free.
        assert_eq!(index.remove(&key("c")), [key("b"), key("a")]);
        assert_eq!(index.elders(&old), []);
    }

    #[test]
    fn other_clusters_and_other_names_are_no_rivals() {
        let mut index = Index::default();
        index.put(&guard(at(topic("orders"), 1, "1")));
        let later = |topic: Topic| at(topic, 2, "2");
        assert_eq!(index.elders(&later(topic("orders"))).len(), 1);
        assert_eq!(index.elders(&later(topic("payments"))), []);
        let mut elsewhere = later(topic("orders"));
        elsewhere
            .spec
            .cluster_ref
            .as_mut()
            .expect("it has one")
            .name = "other".to_owned();
        assert_eq!(index.elders(&elsewhere), []);
    }

    #[test]
    fn a_list_takes_away_what_it_does_not_name() {
        let mut index = Index::default();
        for name in ["a", "b", "c"] {
            index.put(&guard(at(topic(name), 1, name)));
        }
        index.retain(Some("elsewhere"), &HashSet::new());
        assert_eq!(index.counts(), (0, 3));
        index.retain(Some("shop"), &HashSet::from([key("b")]));
        assert_eq!(index.counts(), (0, 1));
        let of = ClusterKey::of(&topic("b"));
        assert_eq!(index.of_cluster(&of), [key("b")]);
    }

    #[test]
    fn the_ready_ones_are_counted_once() {
        let mut index = Index::default();
        let ready = super::super::samples::ready(at(topic("a"), 1, "1"));
        index.put(&guard(ready.clone()));
        index.put(&guard(ready.clone()));
        assert_eq!(index.counts(), (1, 0));
        let mut other = ready;
        other.status = None;
        index.put(&guard(other));
        assert_eq!(index.counts(), (0, 1));
        index.remove(&key("a"));
        assert_eq!(index.counts(), (0, 0));
    }
}
