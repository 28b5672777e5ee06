//! Which value holds: the layers of settings, and who wins.
//!
//! ```text
//! topic or group  ─►  this broker, dynamic  ─►  all brokers, dynamic  ─►  file  ─►  default
//! ```
//!
//! The first layer that has a legal value wins. A layer is asked for all synonyms before the next
//! layer is (KIP-226), so a dynamic `log.retention.ms` beats `log.retention.hours` in the file.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_types::TopicName;

use crate::overrides::TIERS;
use crate::setting::{Scope, Setting, Synonym};
use crate::statics::StaticSettings;

/// Values set at run time on one resource (a topic, a broker, all brokers, a group), by name.
pub type Overrides = BTreeMap<String, String>;

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// Set on the topic.
    Topic,
    /// Set on the group.
    Group,
    /// Set on the client metrics subscription.
    ClientMetrics,
    /// Set at run time for this broker.
    DynamicBroker,
    /// Set at run time for all brokers.
    DynamicDefault,
    /// In the broker's file or on its command line.
    Static,
    /// Nobody set it.
    Default,
}

/// What one broker knows about settings at one moment. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// From file and command line.
    pub statics: Arc<StaticSettings>,
    /// Set at run time for all brokers.
    pub cluster: Arc<Overrides>,
    /// Set at run time for this broker.
    pub broker: Arc<Overrides>,
    /// For a topic of the cluster's own ([`Layers::for_topic`]).
    pub own_books: bool,
}

/// Broker settings that say nothing of topics that keep the cluster's own books: what these are made of must
/// never wait for a bucket.
const NOT_FOR_OWN: &[&str] = &[TIERS];

/// One candidate for a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The name it was set under.
    pub name: &'static str,
    /// As it was set, in the units of `name`.
    pub value: String,
    /// Who set it.
    pub source: Source,
}

/// A setting as DescribeConfigs shows it.
#[derive(Debug, Clone)]
pub struct Described {
    /// Its declaration.
    pub setting: &'static Setting,
    /// The value that holds; `None` when there is none, or when it must not be shown.
    pub value: Option<String>,
    /// Where that comes from.
    pub source: Source,
    /// All that was set, the strongest first; the first one holds.
    pub candidates: Vec<Candidate>,
}

impl Layers {
    /// As they hold for a topic of this name: the cluster's own topics tier only if they say so themselves,
    /// whatever the default is.
    #[must_use]
    pub fn for_topic(mut self, name: &TopicName) -> Self {
        self.own_books = name.is_internal();
        self
    }

    /// Only what file and command line say.
    pub fn of(statics: Arc<StaticSettings>) -> Self {
        Self {
            statics,
            ..Self::default()
        }
    }

    /// The text of a broker setting; `None` when it is unset and has no default.
    ///
    /// # Panics
    /// `name` is not declared: names are literals, and a test reads them all.
    pub fn value(&self, name: &'static str) -> Option<&str> {
        let setting = declared(name);
        let dynamic = [&self.broker, &self.cluster];
        let dynamic = dynamic.into_iter().filter_map(|layer| layer.get(name));
        dynamic
            .map(String::as_str)
            .find(|text| setting.check(text).is_ok())
            .or_else(|| self.statics.get(name))
            .or(setting.default)
    }

    /// The text of a broker setting, empty when there is none.
    pub(crate) fn text(&self, name: &'static str) -> &str {
        self.value(name).unwrap_or_default()
    }

    /// A broker setting that is a whole number with a default.
    pub(crate) fn long(&self, name: &'static str) -> i64 {
        let parsed = self.text(name).parse();
        parsed.expect("numbers are checked when they come in, and their defaults by a test")
    }

    /// A broker setting that is a whole number with a default; negative counts as 0.
    pub(crate) fn unsigned(&self, name: &'static str) -> u64 {
        u64::try_from(self.long(name)).unwrap_or(0)
    }

    /// A broker setting that is a whole number with a default; negative counts as 0.
    pub(crate) fn size(&self, name: &'static str) -> usize {
        usize::try_from(self.unsigned(name)).unwrap_or(usize::MAX)
    }

    /// A broker setting that is `true` or `false`.
    pub(crate) fn flag(&self, name: &'static str) -> bool {
        crate::value::parse_bool(self.text(name)).unwrap_or(false)
    }

    /// All settings of a topic, sorted by name.
    pub fn describe_topic(&self, overrides: &Overrides) -> Vec<Described> {
        let all = Setting::all(Scope::Topic);
        all.map(|setting| self.describe(setting, Source::Topic, overrides))
            .collect()
    }

    /// All settings of a group, sorted by name.
    pub fn describe_group(&self, overrides: &Overrides) -> Vec<Described> {
        let all = Setting::all(Scope::Group);
        all.map(|setting| self.describe(setting, Source::Group, overrides))
            .collect()
    }

    /// All settings of this broker, sorted by name.
    pub fn describe_broker(&self) -> Vec<Described> {
        let all = Setting::all(Scope::Broker);
        all.map(|setting| {
            let candidates = self.broker_candidates(&family(setting.name));
            let own = candidates.iter().find(|c| c.name == setting.name);
            let source = own.map_or(Source::Default, |c| c.source);
            let value = own.map(|c| c.value.clone());
            shown(Described {
                setting,
                value,
                source,
                candidates,
            })
        })
        .collect()
    }

    /// The value of a topic setting, in its own units; empty when there is none.
    pub(crate) fn resolve<'a>(
        &'a self,
        setting: &'static Setting,
        overrides: &'a Overrides,
    ) -> Cow<'a, str> {
        let legal = |value: &&String| setting.check(value).is_ok();
        if let Some(value) = overrides.get(setting.name).filter(legal) {
            return Cow::Borrowed(value);
        }
        match self.said(setting.synonyms).next() {
            Some((name, value, _)) => converted(setting, name, value),
            None => Cow::Borrowed(setting.default.unwrap_or_default()),
        }
    }

    pub(crate) fn describe(
        &self,
        setting: &'static Setting,
        own: Source,
        overrides: &Overrides,
    ) -> Described {
        let mut candidates = Vec::new();
        if let Some(value) = overrides
            .get(setting.name)
            .filter(|v| setting.check(v).is_ok())
        {
            candidates.push(Candidate {
                name: setting.name,
                value: value.clone(),
                source: own,
            });
        }
        candidates.extend(self.broker_candidates(setting.synonyms));
        let (value, source) = match candidates.first() {
            Some(first) => {
                let value = converted(setting, first.name, &first.value).into_owned();
                (Some(value), first.source)
            }
            None => (setting.default.map(str::to_owned), Source::Default),
        };
        shown(Described {
            setting,
            value,
            source,
            candidates,
        })
    }

    fn broker_candidates(&self, synonyms: &[Synonym]) -> Vec<Candidate> {
        let candidate = |(name, value, source): (_, &str, _)| Candidate {
            name,
            value: value.to_owned(),
            source,
        };
        self.said(synonyms).map(candidate).collect()
    }

    /// What brokers say under the synonyms, the strongest first: name, value, source.
    fn said(&self, synonyms: &[Synonym]) -> impl Iterator<Item = (&'static str, &str, Source)> {
        let sources = [
            Source::DynamicBroker,
            Source::DynamicDefault,
            Source::Static,
            Source::Default,
        ];
        sources.into_iter().flat_map(move |source| {
            let one = move |synonym: &Synonym| {
                let name = synonym.name;
                // What comes out of the metadata log may be another version's; the rest was checked.
                let legal = |value: &&String| declared(name).check(value).is_ok();
                let value = match source {
                    Source::DynamicBroker => {
                        self.broker.get(name).filter(legal).map(String::as_str)
                    }
                    Source::DynamicDefault => {
                        self.cluster.get(name).filter(legal).map(String::as_str)
                    }
                    Source::Static => self.statics.get(name),
                    _ => declared(name).default,
                };
                value.map(|value| (name, value, source))
            };
            let heeded = |it: &&Synonym| !(self.own_books && NOT_FOR_OWN.contains(&it.name));
            synonyms.iter().filter(heeded).filter_map(one)
        })
    }
}

/// Broker settings that say the same thing: `log.retention.ms`, `.minutes` and `.hours`.
fn family(name: &'static str) -> Cow<'static, [Synonym]> {
    Setting::all(Scope::Topic)
        .find(|topic| topic.synonyms.len() > 1 && topic.synonyms.iter().any(|s| s.name == name))
        .map_or_else(
            || Cow::Owned(vec![Synonym { name, factor: 1 }]),
            |t| Cow::Borrowed(t.synonyms),
        )
}

/// A broker's value in the units of the topic setting. Negative values mean "none" in any unit.
fn converted<'a>(setting: &Setting, name: &str, value: &'a str) -> Cow<'a, str> {
    let synonym = setting.synonyms.iter().find(|s| s.name == name);
    let factor = synonym.map_or(1, |synonym| synonym.factor);
    match value.parse::<i64>() {
        Ok(number) if factor != 1 && number > 0 => {
            Cow::Owned(number.saturating_mul(factor).to_string())
        }
        _ => Cow::Borrowed(value),
    }
}

fn shown(mut described: Described) -> Described {
    if described.setting.is_sensitive() {
        described.value = None;
        described.candidates.clear();
    }
    described
}

fn declared(name: &'static str) -> &'static Setting {
    Setting::find(Scope::Broker, name)
        .expect("broker settings are named by literals; a test reads them all")
}
