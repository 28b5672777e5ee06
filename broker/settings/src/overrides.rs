//! What may be set at run time, on topics, brokers and groups.

use crate::SettingError;
use crate::cross::contradiction;
use crate::error::cut;
use crate::layers::Overrides;
use crate::nearest::nearest;
use crate::setting::{Kind, Scope, Setting, Update};
use crate::value::{items, parse_bool};

/// Longest value that can be set at run time, in bytes (as in Kafka).
pub const OVERRIDE_MAX_BYTES: usize = 32_767;

impl Setting {
    /// The declaration of a setting that may be set at run time.
    ///
    /// # Errors
    /// No such name in the scope, or a broker setting that needs a restart.
    pub fn dynamic(scope: Scope, name: &str) -> Result<&'static Self, SettingError> {
        let setting = Self::find(scope, name).ok_or_else(|| SettingError::Unknown {
            name: cut(name, 200),
            scope: scope.word().into(),
            nearest: nearest(scope, name).map(Into::into),
        })?;
        match (scope, setting.update) {
            (Scope::Broker, Update::ReadOnly) => Err(SettingError::ReadOnly {
                name: setting.name.into(),
            }),
            _ => Ok(setting),
        }
    }

    /// Checks a value that is set at run time; returns it as it is kept.
    ///
    /// # Errors
    /// No value, one that is too long, or one that is illegal.
    pub fn check_override(&self, value: Option<&str>) -> Result<String, SettingError> {
        let refuse = |value: &str, expected: String| SettingError::Value {
            name: self.name.into(),
            value: value.to_owned(),
            expected,
        };
        match value {
            None => Err(refuse("null", format!("expected {}", self.expected()))),
            Some(value) if value.len() > OVERRIDE_MAX_BYTES => {
                let expected = format!("expected at most {OVERRIDE_MAX_BYTES} bytes");
                Err(refuse(&cut(value, 40), expected))
            }
            Some(value) => self.check(value),
        }
    }

    /// The list with items added that are not in it yet.
    ///
    /// # Errors
    /// The setting is no list, or the result is illegal.
    pub fn append(&self, present: Option<&str>, more: &str) -> Result<String, SettingError> {
        let mut list = self.items_of(present)?;
        for item in items(more) {
            if !list.contains(&item) {
                list.push(item);
            }
        }
        self.check_override(Some(&list.join(",")))
    }

    /// The list without some items.
    ///
    /// # Errors
    /// The setting is no list, or the result is illegal.
    pub fn subtract(&self, present: Option<&str>, less: &str) -> Result<String, SettingError> {
        let mut list = self.items_of(present)?;
        list.retain(|item| items(less).all(|gone| gone != *item));
        self.check_override(Some(&list.join(",")))
    }

    /// What a list starts from when nobody set it: its default.
    fn items_of<'a>(&self, present: Option<&'a str>) -> Result<Vec<&'a str>, SettingError> {
        if self.kind != Kind::List {
            return Err(SettingError::NotAList {
                name: self.name.into(),
            });
        }
        Ok(items(present.or(self.default).unwrap_or_default()).collect())
    }
}

impl Scope {
    /// The word for error texts.
    pub fn word(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Topic => "topic",
            Self::Group => "group",
            Self::ClientMetrics => "client metrics",
        }
    }
}

pub(crate) const REMOTE: &str = "remote.storage.enable";
/// The brokers' default of that.
pub(crate) const TIERS: &str = "freshet.remote.storage.enable";
pub(crate) const DELETE_ON_DISABLE: &str = "remote.log.delete.on.disable";

/// What stays on disks is a part of all: gives the setting that is more than the other, and that one, as far
/// as both are known. -1 is no bound, and -2 the other's.
pub(crate) fn more_than_all(
    number: impl Fn(&'static str) -> Option<i64>,
) -> Option<[&'static str; 2]> {
    let pairs = [
        ["local.retention.ms", "retention.ms"],
        ["local.retention.bytes", "retention.bytes"],
    ];
    pairs.into_iter().find(|[local, all]| {
        let known = number(local).zip(number(all));
        known.is_some_and(|(local, all)| match local {
            -2 => false,
            -1 => all != -1,
            local => all != -1 && local > all,
        })
    })
}

/// Whether a topic's segments go to object storage, as far as that decides what may be set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tiering {
    /// As things were; not for a topic that is new.
    pub(crate) before: bool,
    /// As they are to be.
    pub(crate) after: bool,
    /// `remote.log.delete.on.disable`, as it is to be.
    pub(crate) may_go: bool,
    /// `remote.log.storage.system.enable`.
    pub(crate) has_store: bool,
}

impl Tiering {
    pub(crate) fn check(self) -> Result<(), SettingError> {
        let refuse = |value: bool, expected: &str| {
            Err(SettingError::Value {
                name: REMOTE.into(),
                value: value.to_string(),
                expected: expected.to_owned(),
            })
        };
        if self.after && !self.has_store {
            return refuse(true, NO_STORE);
        }
        if self.before && !self.after && !self.may_go {
            return refuse(
                false,
                "records in object storage would be lost: set remote.log.delete.on.disable=true as well \
                 if they shall be deleted, or remote.log.copy.disable=true to keep them and copy no more",
            );
        }
        Ok(())
    }
}

pub(crate) const NO_STORE: &str = "there is no object storage: set remote.log.storage.system.enable and \
                                   remote.log.storage.url on all brokers and controllers first";

/// Checks what no single topic setting can know, where a topic's settings were `before`, for those who do not
/// know its broker's: [`crate::Layers::check_topic`] has the last word. `has_store`:
/// `remote.log.storage.system.enable`.
///
/// # Errors
/// Settings that contradict each other, or ask for what is not there.
pub fn check_topic(
    before: &Overrides,
    overrides: &Overrides,
    has_store: bool,
) -> Result<(), SettingError> {
    let flag = |of: &Overrides, name: &str| of.get(name).and_then(|v| parse_bool(v)) == Some(true);
    let tiering = Tiering {
        before: flag(before, REMOTE),
        after: flag(overrides, REMOTE),
        may_go: flag(overrides, DELETE_ON_DISABLE),
        has_store,
    };
    tiering.check()?;
    check_numbers(overrides, tiering.after)
}

/// What a topic says itself, against itself.
pub(crate) fn check_numbers(overrides: &Overrides, is_tiered: bool) -> Result<(), SettingError> {
    let number = |name: &str| overrides.get(name).and_then(|v| v.parse::<i64>().ok());
    if is_tiered && let Some([local, all]) = more_than_all(number) {
        let expected = "the first must not be greater than the second".to_owned();
        return Err(contradiction(local, all, expected));
    }
    let (min, max) = ("min.compaction.lag.ms", "max.compaction.lag.ms");
    match (number(min), number(max)) {
        (Some(low), Some(high)) if low > high => Err(SettingError::Contradiction {
            first: min.into(),
            second: max.into(),
            expected: "the first must not be greater than the second".to_owned(),
        }),
        _ => Ok(()),
    }
}
