//! What a spec asks for, judged. Pure; afterwards nobody reads the raw spec.

use std::collections::BTreeMap;

use freshet_api::{DeletionPolicy, Topic};
use freshet_settings::{Overrides, Scope, Setting, check_topic};

use super::fetch::{Home, Place};
use super::index::{self, Id};
use super::values;
use crate::clusters::Way;

/// Whether a topic's segments go to object storage.
pub(super) const REMOTE: &str = "remote.storage.enable";

/// A topic as it shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Its name in the cluster.
    pub(super) name: String,
    /// Partitions; `None` for as many as there are, or the cluster's default.
    pub(super) partitions: Option<i32>,
    /// Copies of each; `None` for as many as there are, or the cluster's default.
    pub(super) replicas: Option<i32>,
    /// Its own settings, as brokers keep them.
    pub(super) config: BTreeMap<String, String>,
    /// A setting among them that the Cluster asks for and the Topic does not.
    pub(super) assumed: Option<&'static str>,
    /// Whether it is deleted with the object.
    pub(super) deletes: bool,
    /// The operator changes nothing.
    pub(super) paused: bool,
    /// Where.
    pub(super) way: Way,
}

impl Wanted {
    /// Whether it belongs to the brokers, who make it themselves.
    pub(super) fn is_internal(&self) -> bool {
        is_internal(&self.name)
    }
}

/// Names that brokers keep for themselves.
pub(super) fn is_internal(name: &str) -> bool {
    name.starts_with("__")
}

/// Why nothing is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Objection {
    /// Whether the spec itself is wrong: only its author can help.
    pub(super) spec: bool,
    /// One word in CamelCase.
    pub(super) reason: &'static str,
    /// A sentence.
    pub(super) message: String,
    /// Whether people are told by an Event: not where a wait is all there is to it.
    pub(super) tell: bool,
}

impl Objection {
    /// The spec cannot be carried out.
    pub(super) fn spec(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            spec: true,
            reason,
            message: message.into(),
            tell: true,
        }
    }

    /// Something else is in the way.
    pub(super) fn place(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            spec: false,
            ..Self::spec(reason, message)
        }
    }

    /// It will come by itself.
    pub(super) fn wait(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            tell: false,
            ..Self::place(reason, message)
        }
    }
}

/// What a Topic asks for, where its cluster is `home` and somebody else may have its name.
pub(super) fn validate(
    topic: &Topic,
    home: &Home,
    rival: Option<&Id>,
) -> Result<Wanted, Objection> {
    let place = place(home)?;
    let name = index::name(topic);
    let (config, assumed) = settings(topic, place)?;
    if let Some((namespace, other)) = rival {
        return Err(Objection::place(
            "NameTaken",
            format!(
                "the Topic {namespace}/{other} is older and has the name {name:?} in this cluster; \
                 this one is left alone until that one is gone"
            ),
        ));
    }
    let Some(way) = place.way.clone() else {
        let message = "the Cluster has no address yet";
        return Err(Objection::wait("ClusterNotReady", message));
    };
    Ok(Wanted {
        partitions: topic.spec.partitions,
        replicas: topic.spec.replicas,
        deletes: topic.spec.deletion_policy == DeletionPolicy::Delete && !is_internal(&name),
        paused: topic.spec.paused,
        name,
        config,
        assumed,
        way,
    })
}

fn place(home: &Home) -> Result<&Place, Objection> {
    match home {
        Home::Here(place) => Ok(place),
        Home::NotFound((namespace, name)) => Err(Objection::place(
            "ClusterNotFound",
            format!("there is no Cluster {namespace}/{name}"),
        )),
        Home::NotAllowed(why) => Err(Objection::place("ClusterNotAllowed", why.clone())),
        Home::Unreadable(why) => Err(Objection::wait("ClusterNotReady", why.clone())),
        Home::Barred(fault) => Err(Objection::place(fault.reason(), fault.message())),
    }
}

type Config = (BTreeMap<String, String>, Option<&'static str>);

fn settings(topic: &Topic, place: &Place) -> Result<Config, Objection> {
    let named = topic.spec.config.iter();
    let mut config: BTreeMap<_, _> = named
        .map(|(name, value)| (name.clone(), value.text().into_owned()))
        .collect();
    if !place.is_ours {
        // Its brokers may know settings that we do not: they judge.
        return Ok((config, None));
    }
    let mut wrong = Vec::new();
    for (name, value) in &mut config {
        let checked = Setting::dynamic(Scope::Topic, name)
            .and_then(|setting| Ok((setting, setting.check_override(Some(value))?)));
        match checked {
            Ok((setting, kept)) => *value = values::normal(setting, &kept).unwrap_or(kept),
            Err(error) => wrong.push(error.to_string()),
        }
    }
    if !wrong.is_empty() {
        return Err(Objection::spec("InvalidConfig", wrong.join("; ")));
    }
    let assumes = place.tiers && !config.contains_key(REMOTE);
    if assumes {
        config.insert(REMOTE.to_owned(), "true".to_owned());
    }
    let before = Overrides::default();
    let overrides = config.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
    check_topic(&before, &overrides, place.has_store)
        .map_err(|error| Objection::spec("InvalidConfig", error.to_string()))?;
    Ok((config, assumes.then_some(REMOTE)))
}

#[cfg(test)]
mod tests {
    use freshet_api::ConfigValue;

    use super::super::samples::{place as ours, topic};
    use super::*;

    fn with(settings: &[(&str, &str)]) -> Topic {
        let mut topic = topic("orders");
        let text = |(name, value): &(&str, &str)| {
            ((*name).to_owned(), ConfigValue::Text((*value).to_owned()))
        };
        topic.spec.config = settings.iter().map(text).collect();
        topic
    }

    fn reason(topic: &Topic, home: &Home, rival: Option<&Id>) -> (&'static str, bool, String) {
        let objection = validate(topic, home, rival).expect_err("it is refused");
        (objection.reason, objection.spec, objection.message)
    }

    #[test]
    fn a_cluster_that_cannot_be_used_is_told() {
        let id = ("shop".to_owned(), "main".to_owned());
        let nowhere = Place {
            way: None,
            ..ours()
        };
        for (home, expected) in [
            (Home::NotFound(id), "ClusterNotFound"),
            (Home::NotAllowed("no".into()), "ClusterNotAllowed"),
            (Home::Unreadable("no".into()), "ClusterNotReady"),
            (Home::Here(nowhere), "ClusterNotReady"),
        ] {
            let (reason, spec, _) = reason(&topic("orders"), &home, None);
            assert_eq!((reason, spec), (expected, false));
        }
    }

    #[test]
    fn the_elder_is_named() {
        let rival = ("billing".to_owned(), "orders".to_owned());
        let (reason, spec, message) = reason(&topic("orders"), &Home::Here(ours()), Some(&rival));
        assert_eq!((reason, spec), ("NameTaken", false));
        assert!(message.contains("billing/orders"), "{message}");
    }

    #[test]
    fn settings_are_judged_by_the_table() {
        let said = |settings: &[(&str, &str)]| {
            let (reason, spec, message) = reason(&with(settings), &Home::Here(ours()), None);
            assert_eq!((reason, spec), ("InvalidConfig", true));
            message
        };
        let unknown = said(&[("retention.m", "1")]);
        assert!(unknown.contains("retention.ms"), "{unknown}");
        let both = said(&[("retention.ms", "a week"), ("preallocate", "maybe")]);
        assert!(
            both.contains("retention.ms") && both.contains("preallocate"),
            "{both}"
        );
        let apart = said(&[
            ("min.compaction.lag.ms", "9"),
            ("max.compaction.lag.ms", "3"),
        ]);
        assert!(apart.contains("do not fit together"), "{apart}");
        let storeless = said(&[(REMOTE, "true")]);
        assert!(storeless.contains("no object storage"), "{storeless}");
    }

    #[test]
    fn values_are_kept_as_brokers_keep_them() {
        let asked = [
            ("preallocate", "TRUE"),
            ("cleanup.policy", "compact, delete"),
            ("freshet.remote.delete.on.topic.delete", "False"),
        ];
        let wanted = validate(&with(&asked), &Home::Here(ours()), None).unwrap();
        assert_eq!(wanted.config[asked[2].0], "false");
        assert_eq!(wanted.config["preallocate"], "true");
        assert_eq!(wanted.config["cleanup.policy"], "compact,delete");
        assert_eq!(wanted.name, "orders");
        assert!(wanted.deletes);
    }

    #[test]
    fn a_foreign_cluster_judges_its_settings_itself() {
        let place = Place {
            is_ours: false,
            ..ours()
        };
        let asked = with(&[("acme.flavour", "sour"), ("retention.ms", "a week")]);
        let wanted = validate(&asked, &Home::Here(place), None).unwrap();
        assert_eq!(wanted.config["acme.flavour"], "sour");
    }

    #[test]
    fn the_cluster_says_whether_topics_are_tiered_that_do_not_say() {
        let place = Place {
            has_store: true,
            tiers: true,
            ..ours()
        };
        let home = Home::Here(place);
        let wanted = validate(&topic("orders"), &home, None).unwrap();
        assert_eq!(
            (wanted.config[REMOTE].as_str(), wanted.assumed),
            ("true", Some(REMOTE))
        );
        let wanted = validate(&with(&[(REMOTE, "false")]), &home, None).unwrap();
        assert_eq!(
            (wanted.config[REMOTE].as_str(), wanted.assumed),
            ("false", None)
        );
    }

    #[test]
    fn who_deletes_what() {
        let deletes = |name: &str, policy| {
            let mut topic = topic("orders");
            topic.spec.topic_name = Some(name.to_owned());
            topic.spec.deletion_policy = policy;
            validate(&topic, &Home::Here(ours()), None).unwrap().deletes
        };
        assert!(deletes("a", DeletionPolicy::Delete));
        assert!(!deletes("a", DeletionPolicy::Retain));
        assert!(!deletes("__consumer_offsets", DeletionPolicy::Delete));
    }
}
