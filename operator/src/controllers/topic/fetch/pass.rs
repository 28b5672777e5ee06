//! The Secret of a Topic: what lets us in at brokers behind TLS or passwords.
//!
//! It is read at each look, and only if a Topic of its own namespace names it: no Secret is watched, and
//! none of another namespace is read. What its `client.properties` calls a file is another entry of it:
//! the operator opens no file of its own because a Secret says so.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use freshet_client::Security;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::Id;
use crate::clusters::{Pass, PassKey};
use crate::failure::Failure;

/// The entry that says how brokers are reached.
const ENTRY: &str = "client.properties";
/// How long a Secret is believed to be as it was read: topics that are due at one time read it once.
const BELIEVED: Duration = Duration::from_secs(5);

/// Why a Secret lets nobody in. It holds nothing of what is in the Secret but names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not there.
    Missing(String),
    /// The operator may not read it.
    Forbidden(String),
    /// It cannot be used.
    Invalid(String),
}

impl Fault {
    /// One word in CamelCase.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Missing(_) => "SecretMissing",
            Self::Forbidden(_) => "SecretForbidden",
            Self::Invalid(_) => "SecretInvalid",
        }
    }

    /// A sentence.
    pub(crate) fn message(&self) -> &str {
        match self {
            Self::Missing(why) | Self::Forbidden(why) | Self::Invalid(why) => why,
        }
    }
}

type Read = Result<Pass, Fault>;

/// Secrets as they were last read.
#[derive(Default)]
pub(crate) struct Passes(Mutex<HashMap<Id, (Instant, Read)>>);

impl Passes {
    /// What a Secret says now, or a moment ago.
    pub(crate) async fn get(
        &self,
        client: &Client,
        namespace: &str,
        name: &str,
    ) -> Result<Read, Failure> {
        let id = (namespace.to_owned(), name.to_owned());
        let before = self.0.lock().get(&id).cloned();
        if let Some((at, read)) = &before
            && at.elapsed() < BELIEVED
        {
            return Ok(read.clone());
        }
        let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let read = match api.get_opt(name).await {
            Ok(Some(secret)) => {
                let before = before.and_then(|(_, read)| read.ok());
                look(&id, &secret, before)
            }
            Ok(None) => Err(Fault::Missing(format!(
                "there is no Secret {name} in the namespace {namespace}, which spec.external.secret names"
            ))),
            Err(kube::Error::Api(status)) if status.is_forbidden() => {
                Err(Fault::Forbidden(format!(
                    "the operator may not read Secrets in the namespace {namespace}: its chart was installed \
                 with rbac.secrets=false"
                )))
            }
            Err(error) => {
                let what = format!("cannot read the Secret {namespace}/{name}");
                return Err(Failure::kubernetes(what)(error));
            }
        };
        let mut known = self.0.lock();
        // Those that nobody asks for any more are forgotten, with what they hold.
        known.retain(|_, (at, _)| at.elapsed() < FORGOTTEN);
        known.insert(id, (Instant::now(), read.clone()));
        Ok(read)
    }
}

/// After how long a Secret is forgotten that no Topic names any more.
const FORGOTTEN: Duration = Duration::from_secs(300);

/// What a Secret says; one of the same version says what it said before.
fn look((namespace, name): &Id, secret: &Secret, before: Option<Pass>) -> Read {
    let meta = &secret.metadata;
    let of = PassKey {
        namespace: namespace.clone(),
        name: name.clone(),
        uid: meta.uid.clone().unwrap_or_default(),
        version: meta.resource_version.clone().unwrap_or_default(),
    };
    if let Some(pass) = before.filter(|pass| pass.of == of && !of.version.is_empty()) {
        return Ok(pass);
    }
    let entries = secret.data.clone().unwrap_or_default();
    let invalid = |why: String| Fault::Invalid(format!("the Secret {namespace}/{name}: {why}"));
    let security = understand(&entries).map_err(invalid)?;
    Ok(Pass { of, security })
}

fn understand(entries: &BTreeMap<String, ByteString>) -> Result<Security, String> {
    let open = |entry: &str| {
        let bytes = entries.get(entry).ok_or(
            "names no entry of this Secret: files are entries of the same Secret, by name",
        )?;
        let text = String::from_utf8(bytes.0.clone());
        text.map_err(|_| "names an entry that is no text".to_owned())
    };
    let text = match entries.get(ENTRY) {
        None => return Err(format!("it has no entry {ENTRY}")),
        Some(_) => open(ENTRY).map_err(|_| format!("its entry {ENTRY} is no text"))?,
    };
    let read = Security::read(&text, open).map_err(|error| error.to_string())?;
    if !read.ignored.is_empty() {
        let names = read.ignored.join(", ");
        return Err(format!(
            "{names}: this is not about security, and has no place in {ENTRY}"
        ));
    }
    Ok(read.security)
}

#[cfg(test)]
mod tests;
