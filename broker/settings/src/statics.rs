//! What the configuration file and the command line say: checked once, then trusted.

mod properties;

use std::collections::BTreeMap;

use crate::SettingError;
use crate::error::cut;
use crate::nearest::nearest;
use crate::setting::{Scope, Setting};
use crate::table::NO_CONTROLLER_LISTENER;

/// Settings given at start, by name, each legal in its kind and range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StaticSettings {
    given: BTreeMap<&'static str, String>,
}

/// A setting that was accepted and does nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The name as it was given.
    pub name: String,
    /// Why it does nothing: a sentence.
    pub why: &'static str,
}

impl StaticSettings {
    /// The given value of a declared setting; `None` when nobody gave one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(String::as_str)
    }

    /// All given settings, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.given
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
    }
}

/// Collects settings: first files, then arguments; the last word on a name wins.
#[derive(Debug, Default)]
pub struct StaticSettingsBuilder {
    settings: StaticSettings,
    warnings: Vec<Warning>,
}

impl StaticSettingsBuilder {
    /// Reads a properties file's text. `place` names it in errors: "server.properties".
    ///
    /// # Errors
    /// The first wrong line: its syntax, its name or its value.
    pub fn file(mut self, place: &str, text: &str) -> Result<Self, SettingError> {
        for line in properties::parse(place, text)? {
            self.put(&line.name, &line.value)?;
        }
        Ok(self)
    }

    /// Reads one `NAME=VALUE` argument.
    ///
    /// # Errors
    /// No `=`, an unknown name, or an illegal value.
    pub fn set(mut self, argument: &str) -> Result<Self, SettingError> {
        let Some((name, value)) = argument.split_once('=') else {
            return Err(SettingError::Syntax {
                place: "--set".to_owned(),
                text: cut(argument, 200),
            });
        };
        self.put(name.trim(), value)?;
        Ok(self)
    }

    /// The settings, and one warning for each that does nothing here.
    ///
    /// # Errors
    /// [`SettingError::Contradiction`] between two given settings.
    pub fn finish(mut self) -> Result<(StaticSettings, Vec<Warning>), SettingError> {
        crate::cross::check(&self.settings)?;
        if crate::cross::has_closed_listener(&self.settings) {
            self.warn("controller.listener.names", NO_CONTROLLER_LISTENER);
        }
        Ok((self.settings, self.warnings))
    }

    fn put(&mut self, name: &str, value: &str) -> Result<(), SettingError> {
        let Some(setting) = Setting::find(Scope::Broker, name) else {
            return self.put_family(name);
        };
        let value = setting.check(value)?;
        if let Some(why) = setting.without_effect(&value) {
            self.warn(name, why);
        }
        self.settings.given.insert(setting.name, value);
        Ok(())
    }

    /// Names with a free part (`listener.name.<listener>.<setting>`) are no lines of the table.
    fn put_family(&mut self, name: &str) -> Result<(), SettingError> {
        match crate::table::FAMILIES
            .iter()
            .find(|(prefix, _)| name.starts_with(prefix))
        {
            Some((_, why)) => {
                self.warn(name, why);
                Ok(())
            }
            None => Err(SettingError::Unknown {
                name: cut(name, 200),
                scope: "broker".into(),
                nearest: nearest(Scope::Broker, name).map(Into::into),
            }),
        }
    }

    fn warn(&mut self, name: &str, why: &'static str) {
        if self.warnings.iter().all(|w| w.name != name) {
            self.warnings.push(Warning {
                name: name.to_owned(),
                why,
            });
        }
    }
}
