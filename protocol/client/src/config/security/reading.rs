//! Kafka's names of security settings, and what becomes of them.
//!
//! A property that would change how a connection is protected is understood or refused, never left out
//! silently; so is one that has no effect with the chosen protocol.

use std::collections::BTreeMap;

use rustls::pki_types::CertificateDer;

use super::tls::{self, Identity, Tls};
use super::{Login, Mechanism, Password, Security, SecurityError, SecurityRead};
use super::{jaas, pem, properties};

const PROTOCOL: &str = "security.protocol";
const MECHANISM: &str = "sasl.mechanism";
const JAAS: &str = "sasl.jaas.config";
const HOSTS: &str = "ssl.endpoint.identification.algorithm";
const TRUSTED: &str = "ssl.truststore.certificates";
const CHAIN: &str = "ssl.keystore.certificate.chain";
const KEY: &str = "ssl.keystore.key";
const TRUST: Store = Store {
    kind: "ssl.truststore.type",
    location: "ssl.truststore.location",
};
const KEYS: Store = Store {
    kind: "ssl.keystore.type",
    location: "ssl.keystore.location",
};

const MODULES: &str = "org.apache.kafka.common.security.";
const PLAIN_MODULE: &str = "plain.PlainLoginModule";
const SCRAM_MODULE: &str = "scram.ScramLoginModule";

/// What Kafka knows and nobody needs here, or nobody can have.
const REFUSED: [(&str, &str); 8] = [
    ("ssl.truststore.password", NO_PASSWORD),
    ("ssl.keystore.password", NO_PASSWORD),
    ("ssl.key.password", NO_PASSWORD),
    ("ssl.protocol", VERSIONS),
    ("ssl.enabled.protocols", VERSIONS),
    ("ssl.cipher.suites", VERSIONS),
    ("ssl.provider", "there is one only: leave it out"),
    (
        "sasl.client.callback.handler.class",
        "classes of Java's cannot be loaded: leave it out",
    ),
];
const NO_PASSWORD: &str = "files in PEM format have no password, and keys with one cannot be read: \
                           leave it out, and give the key without one";
const VERSIONS: &str = "TLS 1.3 and 1.2 are used, with the ciphers that are safe: leave it out";

type Open<'a> = dyn Fn(&str) -> Result<String, String> + 'a;

/// Where Kafka looks for certificates in a file.
struct Store {
    kind: &'static str,
    location: &'static str,
}

/// Properties that nobody has looked at yet.
struct Left<'a> {
    properties: BTreeMap<String, String>,
    open: &'a Open<'a>,
}

pub(super) fn read(text: &str, open: &Open<'_>) -> Result<SecurityRead, SecurityError> {
    let mut left = Left {
        properties: properties::parse(text)?,
        open,
    };
    for (name, why) in REFUSED {
        if left.properties.contains_key(name) {
            return Err(SecurityError::new(name, why));
        }
    }
    let (has_tls, has_sasl) = left.protocol()?;
    let security = Security {
        tls: if has_tls { Some(left.tls()?) } else { None },
        login: if has_sasl { Some(left.login()?) } else { None },
    };
    let ignored = left.ignored(has_tls, has_sasl)?;
    Ok(SecurityRead { security, ignored })
}

impl Left<'_> {
    fn take(&mut self, name: &str) -> Option<String> {
        let value = self.properties.remove(name)?;
        Some(value.trim().to_owned())
    }

    /// Whether there is TLS, and whether there is SASL.
    fn protocol(&mut self) -> Result<(bool, bool), SecurityError> {
        let asked = self
            .take(PROTOCOL)
            .unwrap_or_else(|| "PLAINTEXT".to_owned());
        match asked.to_ascii_uppercase().as_str() {
            "PLAINTEXT" => Ok((false, false)),
            "SSL" => Ok((true, false)),
            "SASL_PLAINTEXT" => Ok((false, true)),
            "SASL_SSL" => Ok((true, true)),
            _ => Err(SecurityError::new(
                PROTOCOL,
                "must be PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL",
            )),
        }
    }

    fn tls(&mut self) -> Result<Tls, SecurityError> {
        if let Some(algorithm) = self.take(HOSTS)
            && !algorithm.eq_ignore_ascii_case("https")
        {
            let why = "names of hosts are always checked: leave it out, and give brokers certificates \
                       for the names by which they are reached";
            return Err(SecurityError::new(HOSTS, why));
        }
        let roots = match self.text(TRUSTED, &TRUST)? {
            None => tls::public().map_err(wrong(TRUSTED))?,
            Some((name, text)) => {
                let certificates = pem::certificates(&text).map_err(wrong(name))?;
                tls::trusted(&certificates).map_err(wrong(name))?
            }
        };
        let identity = self.identity()?;
        Tls::new(roots, identity).map_err(wrong(KEY))
    }

    fn identity(&mut self) -> Result<Option<Identity>, SecurityError> {
        let key = self.take(KEY);
        let chain = match self.text(CHAIN, &KEYS)? {
            Some(found) => found,
            None if key.is_some() => {
                return Err(SecurityError::new(
                    KEY,
                    format!("is nothing without {CHAIN}"),
                ));
            }
            None => return Ok(None),
        };
        let (name, text) = &chain;
        let (key_name, key) = match key {
            Some(key) => (KEY, key),
            // The file has both.
            None if *name == KEYS.location => (*name, text.clone()),
            None => {
                return Err(SecurityError::new(
                    CHAIN,
                    format!("is nothing without {KEY}"),
                ));
            }
        };
        let chain: Vec<CertificateDer<'static>> = pem::certificates(text).map_err(wrong(name))?;
        let key = pem::key(&key).map_err(wrong(key_name))?;
        Ok(Some(Identity { chain, key }))
    }

    /// The text of certificates: in the property itself, or in the file that another one names.
    fn text(
        &mut self,
        inline: &'static str,
        store: &Store,
    ) -> Result<Option<(&'static str, String)>, SecurityError> {
        let kind = self.take(store.kind);
        let is_pem = kind.as_ref().map(|kind| kind.eq_ignore_ascii_case("PEM"));
        let only = "must be PEM: other formats, Kafka's default JKS too, cannot be read";
        if is_pem == Some(false) {
            return Err(SecurityError::new(store.kind, only));
        }
        let (text, path) = (self.take(inline), self.take(store.location));
        match (text, path) {
            (Some(_), Some(_)) => {
                let why = format!("cannot stand beside {inline}: leave one of them");
                Err(SecurityError::new(store.location, why))
            }
            (Some(text), None) => Ok(Some((inline, text))),
            (None, Some(_)) if is_pem.is_none() => Err(SecurityError::new(store.kind, only)),
            (None, Some(path)) => {
                let opened = (self.open)(&path).map_err(wrong(store.location))?;
                Ok(Some((store.location, opened)))
            }
            (None, None) => Ok(None),
        }
    }

    fn login(&mut self) -> Result<Login, SecurityError> {
        let asked = self.take(MECHANISM).unwrap_or_default();
        let mut known = Mechanism::ALL.into_iter();
        let mechanism = known.find(|m| m.name() == asked).ok_or_else(|| {
            let known = Mechanism::ALL.map(Mechanism::name).join(", ");
            SecurityError::new(MECHANISM, format!("must be one of {known}"))
        })?;
        let text = self.take(JAAS);
        let text =
            text.ok_or_else(|| SecurityError::new(JAAS, "is missing, and says who we are"))?;
        let login = from_module(mechanism, &text).map_err(wrong(JAAS))?;
        check_letters(&login).map_err(wrong(JAAS))?;
        Ok(login)
    }

    /// The names of what is left, none of which is about security.
    fn ignored(self, has_tls: bool, has_sasl: bool) -> Result<Vec<String>, SecurityError> {
        let known_tls = [
            HOSTS,
            TRUSTED,
            CHAIN,
            KEY,
            TRUST.kind,
            TRUST.location,
            KEYS.kind,
            KEYS.location,
        ];
        for name in self.properties.keys() {
            let idle = known_tls.contains(&name.as_str()) && !has_tls
                || [MECHANISM, JAAS].contains(&name.as_str()) && !has_sasl;
            if idle {
                let why = format!(
                    "has no effect with this {PROTOCOL}: choose another one, or leave it out"
                );
                return Err(SecurityError::new(name, why));
            }
            if ["ssl.", "sasl.", "security."]
                .iter()
                .any(|of| name.starts_with(of))
            {
                let why = format!(
                    "is not known here. Known are {PROTOCOL}, {MECHANISM}, {JAAS}, {}",
                    known_tls.join(", ")
                );
                return Err(SecurityError::new(name, why));
            }
        }
        Ok(self.properties.into_keys().collect())
    }
}

fn wrong<W: Into<String>>(name: &'static str) -> impl Fn(W) -> SecurityError {
    move |why| SecurityError::new(name, why)
}

fn from_module(mechanism: Mechanism, text: &str) -> Result<Login, String> {
    let mut module = jaas::parse(text)?;
    let wanted = match mechanism {
        Mechanism::Plain => PLAIN_MODULE,
        Mechanism::Scram(_) => SCRAM_MODULE,
    };
    if module.class.strip_prefix(MODULES) != Some(wanted) {
        return Err(format!(
            "must name the login module {MODULES}{wanted}, as {} does",
            mechanism.name()
        ));
    }
    let mut option = |name: &str| {
        let value = module.options.remove(name).unwrap_or_default();
        if value.is_empty() {
            return Err(format!("has no {name}"));
        }
        Ok(value)
    };
    let login = Login {
        mechanism,
        user: option("username")?,
        password: Password::new(&option("password")?),
    };
    if !module.options.is_empty() {
        return Err(
            "has options besides username and password, which are not known here".to_owned(),
        );
    }
    Ok(login)
}

/// RFC 5802 has letters brought into one form before they are hashed (SASLprep); those of ASCII are in it.
fn check_letters(login: &Login) -> Result<(), String> {
    let words = [
        ("username", login.user.as_str()),
        ("password", login.password.text()),
    ];
    for (name, word) in words {
        let fits = match login.mechanism {
            Mechanism::Plain => !word.contains('\0'),
            Mechanism::Scram(_) => word.chars().all(|c| matches!(c, ' '..='~')),
        };
        if !fits {
            let which = match login.mechanism {
                Mechanism::Plain => "any letter but the one with the code 0",
                Mechanism::Scram(_) => "letters of ASCII only, with SCRAM",
            };
            return Err(format!(
                "has a {name} with other letters: it may have {which}"
            ));
        }
    }
    Ok(())
}
