//! Objects, their versions, and what they were a few versions ago.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};

use super::merge::{prune, text};

/// Versions that are remembered, for those who read an older one.
const REMEMBERED: usize = 64;
/// When all objects are made: what depends on time is not what is tested here.
const MADE_AT: &str = "2026-01-01T00:00:00Z";

/// What an object is found by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) plural: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(plural: &str, namespace: &str, name: &str) -> Self {
        Self {
            plural: plural.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// One object.
#[derive(Debug, Clone)]
struct Stored {
    value: Arc<Value>,
    /// What was applied, by whom and to which part: those fields are theirs.
    applied: BTreeMap<String, Value>,
}

/// All objects.
#[derive(Debug, Clone, Default)]
pub(crate) struct Objects {
    stored: BTreeMap<Key, Stored>,
    version: u64,
    made: u64,
    /// What objects were before each change.
    past: VecDeque<(Key, Option<Arc<Value>>)>,
}

impl Objects {
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Value>> {
        Some(Arc::clone(&self.stored.get(key)?.value))
    }

    /// Those of a kind, as they were `ago` changes of anything ago.
    pub(crate) fn of_kind(&self, plural: &str, ago: usize) -> BTreeMap<Key, Arc<Value>> {
        let now = self
            .stored
            .iter()
            .filter(|(key, _)| key.plural == plural)
            .map(|(key, stored)| (key.clone(), Arc::clone(&stored.value)));
        let mut then: BTreeMap<_, _> = now.collect();
        for (key, before) in self.past.iter().rev().take(ago) {
            if key.plural != plural {
                continue;
            }
            match before {
                Some(before) => then.insert(key.clone(), Arc::clone(before)),
                None => then.remove(key),
            };
        }
        then
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.stored.iter().map(|(key, stored)| (key, &stored.value))
    }

    /// The newest version of anything.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// What a writer has applied to an object, or to a part of it.
    pub(super) fn applied(&self, key: &Key, writer: &str) -> Value {
        let stored = self.stored.get(key);
        let applied = stored.and_then(|stored| stored.applied.get(writer));
        applied.cloned().unwrap_or(Value::Null)
    }

    /// Notes what a writer has applied.
    pub(super) fn note(&mut self, key: &Key, writer: String, applied: Value) {
        if let Some(stored) = self.stored.get_mut(key) {
            stored.applied.insert(writer, applied);
        }
    }

    /// Stores an object: a new one gets what new ones get, one that is the same keeps its version.
    pub(crate) fn put(&mut self, key: &Key, mut value: Value) -> Arc<Value> {
        let before = self.stored.get(key).map(|stored| Arc::clone(&stored.value));
        match &before {
            Some(before) if **before == value => return Arc::clone(before),
            Some(before) => {
                let generation = before["metadata"]["generation"].as_i64().unwrap_or(1);
                let changed = before["spec"] != value["spec"];
                value["metadata"]["generation"] = (generation + i64::from(changed)).into();
            }
            None => {
                self.made += 1;
                let metadata = &mut value["metadata"];
                let absent = |field: &Value| field.is_null();
                if absent(&metadata["uid"]) {
                    metadata["uid"] = format!("00000000-0000-0000-0000-{:012x}", self.made).into();
                }
                if absent(&metadata["generation"]) {
                    metadata["generation"] = 1.into();
                }
                if absent(&metadata["creationTimestamp"]) {
                    metadata["creationTimestamp"] = MADE_AT.into();
                }
            }
        }
        self.version += 1;
        value["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.remember(key, before);
        let value = Arc::new(value);
        let applied = self.stored.remove(key).map(|stored| stored.applied);
        let stored = Stored {
            value: Arc::clone(&value),
            applied: applied.unwrap_or_default(),
        };
        self.stored.insert(key.clone(), stored);
        value
    }

    /// Changes an object that is there as somebody does who does not apply: what is another value now
    /// is no longer the appliers'.
    pub(crate) fn edit(&mut self, key: &Key, change: impl FnOnce(&mut Value)) -> bool {
        let Some(before) = self.get(key) else {
            return false;
        };
        let mut value = (*before).clone();
        change(&mut value);
        self.put(key, value);
        self.disown(key);
        true
    }

    /// Takes from appliers what others have changed.
    pub(super) fn disown(&mut self, key: &Key) {
        if let Some(stored) = self.stored.get_mut(key) {
            for applied in stored.applied.values_mut() {
                prune(applied, &stored.value, "");
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &Key) {
        if let Some(stored) = self.stored.remove(key) {
            self.version += 1;
            self.remember(key, Some(stored.value));
        }
    }

    /// Deletes an object, or begins to: one that has finalizers, and a pod, lingers.
    pub(crate) fn delete(&mut self, key: &Key, finalizer: Option<&str>) {
        let Some(value) = self.get(key) else { return };
        let held = value["metadata"]["finalizers"].as_array();
        let is_held = held.is_some_and(|held| !held.is_empty());
        if !is_held && finalizer.is_none() && key.plural != "pods" {
            return self.remove(key);
        }
        let mut value = (*value).clone();
        let metadata = &mut value["metadata"];
        if metadata["deletionTimestamp"].is_null() {
            metadata["deletionTimestamp"] = MADE_AT.into();
            if let Some(finalizer) = finalizer {
                let mut held = metadata["finalizers"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default();
                held.push(json!(finalizer));
                metadata["finalizers"] = held.into();
            }
        }
        self.put(key, value);
    }

    fn remember(&mut self, key: &Key, before: Option<Arc<Value>>) {
        self.past.push_back((key.clone(), before));
        if self.past.len() > REMEMBERED {
            self.past.pop_front();
        }
    }
}

/// Whether an object is being deleted.
pub(super) fn is_going(value: &Value) -> bool {
    value["metadata"]["deletionTimestamp"].is_string()
}

/// Whether an object has all these labels, as `a=b,c=d`.
pub(super) fn selected(value: &Value, selector: &str) -> bool {
    let mut terms = selector.split(',').filter(|term| !term.is_empty());
    terms.all(|term| {
        let (name, wanted) = term.split_once('=').expect("only equality is known");
        text(&value["metadata"]["labels"][name]) == wanted
    })
}
