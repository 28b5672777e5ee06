//! Settings of a resource: from what is asked to what will hold, or why not.

use std::collections::BTreeSet;

use freshet_settings::{Layers, Overrides, Scope, Setting, Update};

use crate::error::{MetadataError, Outcome};
use crate::request::{ConfigChange, ConfigEdit, ConfigOp};

/// What kind of resource it is, as far as settings care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Where its settings are declared.
    pub(crate) scope: Scope,
    /// All brokers at once: settings of single brokers are refused.
    pub(crate) all_brokers: bool,
    /// It is being made.
    pub(crate) is_new: bool,
}

impl Kind {
    pub(crate) const TOPIC: Self = Self {
        scope: Scope::Topic,
        all_brokers: false,
        is_new: false,
    };
    pub(crate) const NEW_TOPIC: Self = Self {
        is_new: true,
        ..Self::TOPIC
    };
}

/// The settings a resource would have after a change, where the cluster is as `layers` say.
pub(crate) fn changed(
    layers: &Layers,
    kind: Kind,
    present: &Overrides,
    change: &ConfigChange,
) -> Outcome<Overrides> {
    let after = match change {
        ConfigChange::Replace(all) => {
            once_each(all.iter().map(|(name, _)| name.as_str()))?;
            replaced(kind, present, all)?
        }
        ConfigChange::Edit(edits) => {
            once_each(edits.iter().map(|edit| edit.name.as_str()))?;
            let mut after = present.clone();
            for edit in edits {
                apply(kind, &mut after, edit)?;
            }
            after
        }
    };
    if kind.scope == Scope::Topic {
        layers.check_topic((!kind.is_new).then_some(present), &after)?;
    }
    Ok(after)
}

fn replaced(
    kind: Kind,
    present: &Overrides,
    all: &[(String, Option<String>)],
) -> Outcome<Overrides> {
    all.iter()
        .map(|(name, value)| {
            // What stays as it is may stay, even if it could not be set today.
            if present.get(name) == value.as_ref() && value.is_some() {
                return Ok((name.clone(), value.clone().unwrap_or_default()));
            }
            let value = declared(kind, name)?.check_override(value.as_deref())?;
            Ok((name.clone(), value))
        })
        .collect()
}

fn apply(kind: Kind, after: &mut Overrides, edit: &ConfigEdit) -> Outcome<()> {
    if edit.op == ConfigOp::Delete {
        // A setting that is there may always go, even if no declaration knows it any more.
        if after.remove(&edit.name).is_none() {
            declared(kind, &edit.name)?;
        }
        return Ok(());
    }
    let setting = declared(kind, &edit.name)?;
    let Some(value) = edit.value.as_deref() else {
        let reason = format!("{} needs a value that is not null", edit.name);
        return Err(MetadataError::Request { reason });
    };
    let present = after.get(&edit.name).map(String::as_str);
    let value = match edit.op {
        ConfigOp::Append => setting.append(present, value)?,
        ConfigOp::Subtract => setting.subtract(present, value)?,
        ConfigOp::Set | ConfigOp::Delete => setting.check_override(Some(value))?,
    };
    after.insert(edit.name.clone(), value);
    Ok(())
}

fn declared(kind: Kind, name: &str) -> Outcome<&'static Setting> {
    let setting = Setting::dynamic(kind.scope, name)?;
    if kind.all_brokers && setting.update == Update::PerBroker {
        let reason = format!("{name} can only be set for one broker at a time");
        return Err(MetadataError::Request { reason });
    }
    Ok(setting)
}

fn once_each<'a>(mut names: impl Iterator<Item = &'a str>) -> Outcome<()> {
    let mut seen = BTreeSet::new();
    match names.find(|name| !seen.insert(*name)) {
        None => Ok(()),
        Some(twice) => {
            let reason = format!("{twice} is named twice for one resource");
            Err(MetadataError::Request { reason })
        }
    }
}
