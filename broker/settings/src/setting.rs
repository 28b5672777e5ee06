//! The shape of one declaration.
//!
//! A declaration is written once, as a `const` chain (`long("retention.ms", "604800000").millis()`),
//! and everything else is derived from it: the parser, what DescribeConfigs answers, the reference
//! page, and later the field checks of the custom resources.

use crate::table;

/// How a value is written, and the type DescribeConfigs tells (KIP-569).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// Any text.
    String,
    /// 32-bit signed number.
    Int,
    /// 16-bit signed number.
    Short,
    /// 64-bit signed number.
    Long,
    /// Floating point number.
    Double,
    /// Texts separated by commas.
    List,
    /// Name of a Java class; means nothing here, kept for its type code.
    Class,
    /// Text that is never shown.
    Password,
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// No unit: a count, a ratio, a name.
    None,
    /// Bytes.
    Bytes,
    /// Bytes per second.
    BytesPerSecond,
    /// Milliseconds.
    Millis,
    /// Seconds.
    Seconds,
    /// Minutes.
    Minutes,
    /// Hours.
    Hours,
}

impl Unit {
    /// The word for the reference page; empty for [`Unit::None`].
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Bytes => "bytes",
            Self::BytesPerSecond => "bytes per second",
            Self::Millis => "ms",
            Self::Seconds => "s",
            Self::Minutes => "min",
            Self::Hours => "h",
        }
    }
}

/// Where a setting is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Configuration file or command line of a broker; some of it dynamic as well.
    Broker,
    /// A topic.
    Topic,
    /// A group.
    Group,
    /// A client metrics subscription (KIP-714).
    ClientMetrics,
}

/// Whether a broker setting can change while the broker runs (KIP-226).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Update {
    /// Only with a restart.
    ReadOnly,
    /// For one broker, or for all as a default.
    PerBroker,
    /// For all brokers at once; a value for one broker is allowed for trying it out.
    ClusterWide,
}

/// How often a person needs to know the setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Importance {
    /// Decides how the broker behaves.
    High,
    /// Tuning.
    Medium,
    /// Rarely touched.
    Low,
}

/// Whether the setting does anything here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It does what its doc says.
    Used,
    /// Kafka has it, and so will we; today it is accepted with a warning. The text says what is
    /// missing.
    NotYet(&'static str),
    /// Kafka has it and it can have no meaning here. The text says why.
    NoMeaning(&'static str),
}

/// Which values are legal, beyond the kind.
#[derive(Debug, Clone, Copy)]
pub enum Valid {
    /// All of the kind.
    Any,
    /// Whole numbers from..=to.
    Range(i64, i64),
    /// Floating point numbers from..=to.
    DoubleRange(f64, f64),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of these words, each at most once; the empty list only when allowed.
    ListOf {
        /// The words.
        words: &'static [&'static str],
        /// Whether no word at all is legal.
        empty: bool,
    },
    /// Text of at least one character.
    NotEmpty,
    /// A function's verdict: `Err` tells what is expected.
    Checked(fn(&str) -> Result<(), String>),
}

/// A broker setting that a topic or group setting takes its default from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Synonym {
    /// Name of the broker setting.
    pub name: &'static str,
    /// How many units of the setting one unit of the broker setting is: 60000 for minutes → ms.
    pub factor: i64,
}

/// One setting: everything there is to say about it.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Kafka's name where Kafka has one.
    pub name: &'static str,
    /// How a value is written.
    pub kind: Kind,
    /// The value when nobody sets one; `None` is shown as null.
    pub default: Option<&'static str>,
    /// What a number counts.
    pub unit: Unit,
    /// Which values are legal.
    pub valid: Valid,
    /// Where it is set.
    pub scope: Scope,
    /// Whether it changes at run time. Topic and group settings always do.
    pub update: Update,
    /// Where the default comes from, the strongest first. For a broker setting: the same thing in
    /// other units (`log.retention.ms` before `log.retention.minutes`).
    pub synonyms: &'static [Synonym],
    /// How often a person needs it.
    pub importance: Importance,
    /// Whether it does anything here.
    pub standing: Standing,
    /// One to three sentences for people.
    pub doc: &'static str,
}

impl Setting {
    /// The declaration of `name` in `scope`.
    pub fn find(scope: Scope, name: &str) -> Option<&'static Self> {
        table::index(scope).get(name).copied()
    }

    /// All declarations of a scope, sorted by name.
    pub fn all(scope: Scope) -> impl Iterator<Item = &'static Self> {
        table::index(scope).values().copied()
    }

    /// Why setting it to `value` does nothing here, or not all of it.
    pub fn without_effect(&self, value: &str) -> Option<&'static str> {
        let compacts = matches!(self.name, "cleanup.policy" | "log.cleanup.policy")
            && crate::value::items(value).any(|word| word == "compact");
        match self.standing {
            Standing::NotYet(why) | Standing::NoMeaning(why) => Some(why),
            Standing::Used => compacts.then_some(table::CLEANER),
        }
    }

    /// Whether its value must never be shown.
    pub fn is_sensitive(&self) -> bool {
        self.kind == Kind::Password
    }
}

/// Starts of the `const` chains.
pub(crate) mod declare {
    use super::{Importance, Kind, Scope, Setting, Standing, Synonym, Unit, Update, Valid};

    const fn new(name: &'static str, kind: Kind, default: Option<&'static str>) -> Setting {
        Setting {
            name,
            kind,
            default,
            unit: Unit::None,
            valid: Valid::Any,
            scope: Scope::Broker,
            update: Update::ReadOnly,
            synonyms: &[],
            importance: Importance::Medium,
            standing: Standing::Used,
            doc: "",
        }
    }

    macro_rules! kinds {
        ($($fn:ident => $kind:ident),* $(,)?) => {
            $(pub(crate) const fn $fn(name: &'static str, default: &'static str) -> Setting {
                new(name, Kind::$kind, Some(default))
            })*
        };
    }
    kinds!(boolean => Boolean, string => String, int => Int, short => Short, long => Long,
           double => Double, list => List);

    /// A setting without a default.
    pub(crate) const fn unset(name: &'static str, kind: Kind) -> Setting {
        new(name, kind, None)
    }

    /// One unit of the broker setting is `factor` units of this one.
    pub(crate) const fn times(name: &'static str, factor: i64) -> Synonym {
        Synonym { name, factor }
    }

    /// The broker setting counts in the same unit.
    pub(crate) const fn same(name: &'static str) -> Synonym {
        times(name, 1)
    }

    impl Setting {
        pub(crate) const fn doc(mut self, doc: &'static str) -> Self {
            self.doc = doc;
            self
        }
        pub(crate) const fn scope(mut self, scope: Scope) -> Self {
            self.scope = scope;
            self
        }
        pub(crate) const fn unit(mut self, unit: Unit) -> Self {
            self.unit = unit;
            self
        }
        pub(crate) const fn bytes(self) -> Self {
            self.unit(Unit::Bytes)
        }
        pub(crate) const fn millis(self) -> Self {
            self.unit(Unit::Millis)
        }
        pub(crate) const fn valid(mut self, valid: Valid) -> Self {
            self.valid = valid;
            self
        }
        pub(crate) const fn at_least(self, min: i64) -> Self {
            let max = match self.kind {
                Kind::Int => i32::MAX as i64,
                Kind::Short => i16::MAX as i64,
                _ => i64::MAX,
            };
            self.valid(Valid::Range(min, max))
        }
        pub(crate) const fn between(self, min: i64, max: i64) -> Self {
            self.valid(Valid::Range(min, max))
        }
        pub(crate) const fn one_of(self, words: &'static [&'static str]) -> Self {
            self.valid(Valid::OneOf(words))
        }
        pub(crate) const fn list_of(self, words: &'static [&'static str]) -> Self {
            self.valid(Valid::ListOf {
                words,
                empty: false,
            })
        }
        pub(crate) const fn per_broker(mut self) -> Self {
            self.update = Update::PerBroker;
            self
        }
        pub(crate) const fn cluster_wide(mut self) -> Self {
            self.update = Update::ClusterWide;
            self
        }
        pub(crate) const fn from(mut self, synonyms: &'static [Synonym]) -> Self {
            self.synonyms = synonyms;
            self
        }
        pub(crate) const fn high(mut self) -> Self {
            self.importance = Importance::High;
            self
        }
        pub(crate) const fn low(mut self) -> Self {
            self.importance = Importance::Low;
            self
        }
        pub(crate) const fn not_yet(mut self, why: &'static str) -> Self {
            self.standing = Standing::NotYet(why);
            self
        }
        pub(crate) const fn no_meaning(mut self, why: &'static str) -> Self {
            self.standing = Standing::NoMeaning(why);
            self
        }
    }
}
