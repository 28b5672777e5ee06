//! Rules between settings.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::SettingError;
use crate::endpoint::{self, Endpoint, SecurityProtocol};
use crate::error::cut;
use crate::layers::Layers;
use crate::statics::StaticSettings;
use crate::value::items;

/// Checks what no single setting can know.
pub(crate) fn check(settings: &StaticSettings) -> Result<(), SettingError> {
    let layers = Layers::of(Arc::new(settings.clone()));
    listeners(&layers)?;
    crate::slices::quorum::check(&layers)?;
    crate::slices::tier::check(&layers)?;
    log_dirs(&layers)?;
    layers.check_cordoned(layers.text("cordoned.log.dirs"))?;
    if let (Some(new), Some(old)) = (settings.get("node.id"), settings.get("broker.id"))
        && new != old
        && old != "-1"
    {
        let expected = "they name the same thing; set node.id only".to_owned();
        return Err(contradiction("node.id", "broker.id", expected));
    }
    ordered(
        &layers,
        "group.min.session.timeout.ms",
        "group.max.session.timeout.ms",
    )?;
    Ok(())
}

fn ordered(layers: &Layers, low: &'static str, high: &'static str) -> Result<(), SettingError> {
    if layers.long(low) <= layers.long(high) {
        return Ok(());
    }
    Err(contradiction(
        low,
        high,
        "the first must not be greater than the second".to_owned(),
    ))
}

fn listeners(layers: &Layers) -> Result<(), SettingError> {
    const MAP: &str = "listener.security.protocol.map";
    let bound = endpoint::parse_listeners(layers.text("listeners")).unwrap_or_default();
    let map = endpoint::parse_protocol_map(layers.text(MAP)).unwrap_or_default();
    let controllers = layers.controller_names();
    let for_clients = bound.iter().filter(|e| !controllers.contains(&e.name));
    let quorum = layers.quorum();
    if for_clients.clone().next().is_none() && quorum.roles.broker {
        let expected = "clients need a listener that is not the controller's".to_owned();
        return Err(contradiction(
            "listeners",
            "controller.listener.names",
            expected,
        ));
    }
    let opened = quorum.listeners.iter().map(|listener| &listener.endpoint);
    let implied = |e: &&Endpoint| layers.statics.get(MAP).is_none() && !map.contains_key(&e.name);
    for_clients
        .chain(opened.filter(|e| !implied(e)))
        .try_for_each(|endpoint| served(endpoint, &map, layers))?;
    let advertised = layers
        .value("advertised.listeners")
        .map(endpoint::parse_listeners);
    for endpoint in advertised.and_then(Result::ok).unwrap_or_default() {
        if bound.iter().all(|e| e.name != endpoint.name) {
            let expected = format!("{} is advertised but not bound", endpoint.name);
            return Err(contradiction("advertised.listeners", "listeners", expected));
        }
        if endpoint.host.is_empty() || endpoint.host == "0.0.0.0" || endpoint.host == "::" {
            let expected = format!(
                "{} must be advertised with an address that clients can reach",
                endpoint.name
            );
            return Err(contradiction("advertised.listeners", "listeners", expected));
        }
    }
    Ok(())
}

fn log_dirs(layers: &Layers) -> Result<(), SettingError> {
    let given = layers.value("log.dirs").unwrap_or(layers.text("log.dir"));
    let mut seen = BTreeSet::new();
    match items(given).find(|dir| !seen.insert(plain_path(dir))) {
        None => Ok(()),
        Some(dir) => Err(SettingError::Value {
            name: "log.dirs".into(),
            value: cut(given, 200),
            expected: format!("each directory once; {} is there twice", cut(dir, 200)),
        }),
    }
}

/// A path without what means nothing in it.
pub(crate) fn plain_path(path: impl AsRef<Path>) -> PathBuf {
    let parts = path.as_ref().components();
    parts.filter(|part| *part != Component::CurDir).collect()
}

/// Whether a listener speaks something that is built. One that asks for encryption or for passwords
/// must never be served without them.
fn served(
    endpoint: &Endpoint,
    map: &BTreeMap<String, SecurityProtocol>,
    layers: &Layers,
) -> Result<(), SettingError> {
    let name = &endpoint.name;
    match map.get(name) {
        Some(SecurityProtocol::Plaintext) => Ok(()),
        Some(protocol) => Err(SettingError::Value {
            name: "listeners".into(),
            value: cut(layers.text("listeners"), 200),
            expected: format!(
                "listener {name} is to speak {}, but TLS and SASL are not built yet: only \
                 PLAINTEXT can be served",
                protocol.word()
            ),
        }),
        None => {
            let expected = format!("listener {name} needs a NAME:PROTOCOL entry in the map");
            Err(contradiction(
                "listeners",
                "listener.security.protocol.map",
                expected,
            ))
        }
    }
}

/// Whether `listeners` names one that stays closed because it is the controller's.
pub(crate) fn has_closed_listener(settings: &StaticSettings) -> bool {
    let layers = Layers::of(Arc::new(settings.clone()));
    if layers.quorum().is_cluster() {
        return false;
    }
    let bound = endpoint::parse_listeners(layers.text("listeners")).unwrap_or_default();
    let controllers = layers.controller_names();
    bound.iter().any(|e| controllers.contains(&e.name))
}

pub(crate) fn contradiction(
    first: &'static str,
    second: &'static str,
    expected: String,
) -> SettingError {
    SettingError::Contradiction {
        first: first.into(),
        second: second.into(),
        expected,
    }
}
