//! Rules between settings.

use std::sync::Arc;

use crate::SettingError;
use crate::endpoint;
use crate::layers::Layers;
use crate::statics::StaticSettings;

/// Checks what no single setting can know.
pub(crate) fn check(settings: &StaticSettings) -> Result<(), SettingError> {
    let layers = Layers::of(Arc::new(settings.clone()));
    listeners(&layers)?;
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
    if let Some(stranger) = bound.iter().find(|e| !map.contains_key(&e.name)) {
        let expected = format!(
            "listener {} needs a NAME:PROTOCOL entry in the map",
            stranger.name
        );
        return Err(contradiction("listeners", MAP, expected));
    }
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

fn contradiction(first: &'static str, second: &'static str, expected: String) -> SettingError {
    SettingError::Contradiction {
        first,
        second,
        expected,
    }
}
