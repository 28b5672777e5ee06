//! Addresses as settings write them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::value::items;

/// How a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SecurityProtocol {
    /// Neither encrypted nor authenticated.
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL without encryption.
    SaslPlaintext,
    /// SASL over TLS.
    SaslSsl,
}

impl SecurityProtocol {
    /// Kafka's number of it, as the metadata log stores it.
    pub fn code(self) -> i16 {
        match self {
            Self::Plaintext => 0,
            Self::Ssl => 1,
            Self::SaslPlaintext => 2,
            Self::SaslSsl => 3,
        }
    }

    /// The protocol of a number.
    pub fn from_code(code: i16) -> Option<Self> {
        [
            Self::Plaintext,
            Self::Ssl,
            Self::SaslPlaintext,
            Self::SaslSsl,
        ]
        .into_iter()
        .find(|protocol| protocol.code() == code)
    }

    /// The word that `listener.security.protocol.map` has for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        match word.to_ascii_uppercase().as_str() {
            "PLAINTEXT" => Some(Self::Plaintext),
            "SSL" => Some(Self::Ssl),
            "SASL_PLAINTEXT" => Some(Self::SaslPlaintext),
            "SASL_SSL" => Some(Self::SaslSsl),
            _ => None,
        }
    }
}

/// One entry of `listeners` or `advertised.listeners`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The listener's name, in upper case.
    pub name: String,
    /// Host name or address; empty means all interfaces.
    pub host: String,
    /// 0 takes a free one.
    pub port: u16,
}

/// A listener with its protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Name and address.
    pub endpoint: Endpoint,
    /// How it speaks.
    pub protocol: SecurityProtocol,
}

/// `host:port`, with brackets around an IPv6 address.
pub(crate) fn host_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.trim().rsplit_once(':')?;
    let port = port.parse().ok()?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        None if host.contains([':', '/', ' ']) => return None,
        None => host,
    };
    Some((host.to_owned(), port))
}

/// `id@host:port` entries.
pub(crate) fn parse_voters(text: &str) -> Result<Vec<(i32, String, u16)>, String> {
    let mut found: Vec<(i32, String, u16)> = Vec::new();
    for item in items(text) {
        let parsed = item.split_once('@').and_then(|(id, rest)| {
            let (host, port) = host_port(rest)?;
            let id = id.trim().parse().ok().filter(|id| *id >= 0)?;
            (!host.is_empty() && port != 0).then_some((id, host, port))
        });
        let voter = parsed.ok_or_else(|| "id@host:port entries separated by commas".to_owned())?;
        if found.iter().any(|(id, ..)| *id == voter.0) {
            return Err(format!("each node.id once; {} is there twice", voter.0));
        }
        if found.iter().any(|(_, h, p)| (h, p) == (&voter.1, &voter.2)) {
            return Err(format!(
                "each address once; {}:{} is there twice",
                voter.1, voter.2
            ));
        }
        found.push(voter);
    }
    Ok(found)
}

pub(crate) fn voters(text: &str) -> Result<(), String> {
    parse_voters(text).map(drop)
}

/// `host:port` entries.
pub(crate) fn parse_addresses(text: &str) -> Result<Vec<(String, u16)>, String> {
    let parse = |item: &str| {
        let address = host_port(item).filter(|(host, port)| !host.is_empty() && *port != 0);
        address.ok_or_else(|| "host:port entries separated by commas".to_owned())
    };
    items(text).map(parse).collect()
}

pub(crate) fn addresses(text: &str) -> Result<(), String> {
    parse_addresses(text).map(drop)
}

/// The endpoints of a list, or what is wrong with it.
pub(crate) fn parse_listeners(text: &str) -> Result<Vec<Endpoint>, String> {
    let mut found: Vec<Endpoint> = Vec::new();
    for item in items(text) {
        let parsed = item.split_once("://").and_then(|(name, rest)| {
            let (host, port) = host_port(rest)?;
            (!name.is_empty()).then(|| Endpoint {
                name: name.to_ascii_uppercase(),
                host,
                port,
            })
        });
        let endpoint =
            parsed.ok_or_else(|| "NAME://host:port entries separated by commas".to_owned())?;
        if found.iter().any(|other| other.name == endpoint.name) {
            return Err(format!(
                "each listener name once; {} is there twice",
                endpoint.name
            ));
        }
        if endpoint.port != 0
            && found
                .iter()
                .any(|o| o.port == endpoint.port && o.host == endpoint.host)
        {
            return Err(format!(
                "each address once; port {} is there twice",
                endpoint.port
            ));
        }
        found.push(endpoint);
    }
    if found.is_empty() {
        return Err("at least one NAME://host:port".to_owned());
    }
    Ok(found)
}

pub(crate) fn listeners(text: &str) -> Result<(), String> {
    parse_listeners(text).map(drop)
}

/// `NAME:PROTOCOL` pairs.
pub(crate) fn parse_protocol_map(text: &str) -> Result<BTreeMap<String, SecurityProtocol>, String> {
    let pair = |item: &str| {
        let (name, word) = item.split_once(':')?;
        Some((
            name.trim().to_ascii_uppercase(),
            SecurityProtocol::parse(word.trim())?,
        ))
    };
    items(text)
        .map(|item| {
            pair(item).ok_or_else(|| {
                "NAME:PROTOCOL pairs with PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL".to_owned()
            })
        })
        .collect()
}

pub(crate) fn protocol_map(text: &str) -> Result<(), String> {
    parse_protocol_map(text).map(drop)
}

pub(crate) fn http(text: &str) -> Result<(), String> {
    if text.is_empty() || host_port(text).is_some() {
        return Ok(());
    }
    Err("host:port, or nothing".to_owned())
}

/// `address:count` pairs.
pub(crate) fn parse_ip_overrides(text: &str) -> Result<Vec<(IpAddr, u32)>, String> {
    let pair = |item: &str| {
        let (address, count) = item.rsplit_once(':')?;
        let address = address.trim_matches(['[', ']']).parse().ok()?;
        Some((address, count.trim().parse().ok()?))
    };
    items(text)
        .map(|item| pair(item).ok_or_else(|| "address:count pairs such as 10.0.0.1:100".to_owned()))
        .collect()
}

pub(crate) fn ip_overrides(text: &str) -> Result<(), String> {
    parse_ip_overrides(text).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_as_people_write_them() {
        let found = parse_listeners("plaintext://:9092, EXT://[::1]:0,X://host.example:1").unwrap();
        let flat: Vec<_> = found
            .iter()
            .map(|e| (e.name.as_str(), e.host.as_str(), e.port))
            .collect();
        assert_eq!(
            flat,
            [
                ("PLAINTEXT", "", 9092),
                ("EXT", "::1", 0),
                ("X", "host.example", 1)
            ]
        );
        for bad in [
            "",
            "PLAINTEXT",
            "A://h",
            "A://h:99999",
            "A://h:1,A://h:2",
            "A://h:1,B://h:1",
            "://h:1",
            "A://::1:1",
        ] {
            assert!(parse_listeners(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn maps_and_overrides() {
        let map = parse_protocol_map("in:plaintext,EXT:SASL_SSL").unwrap();
        assert_eq!(map["IN"], SecurityProtocol::Plaintext);
        assert_eq!(map["EXT"], SecurityProtocol::SaslSsl);
        assert!(parse_protocol_map("A:TCP").is_err());
        assert_eq!(parse_ip_overrides("127.0.0.1:5,[::1]:7").unwrap().len(), 2);
        assert!(parse_ip_overrides("host:5").is_err());
        assert!(http("127.0.0.1:0").is_ok() && http("").is_ok() && http("nonsense").is_err());
    }
}
