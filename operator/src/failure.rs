//! Why a reconcile did not end well, and when it is tried again.

use std::collections::HashMap;
use std::time::Duration;

use freshet_client::ClientError;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use parking_lot::Mutex;

/// The first pause; each further one is twice as long.
const FIRST: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(120);

/// Why a reconcile did not end well. What is wrong with a spec is no failure but a condition.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The API server said no, or nothing.
    #[error("{what}: {source}")]
    Kubernetes {
        /// What was tried.
        what: String,
        /// The answer.
        source: kube::Error,
    },
    /// Brokers said no, or nothing.
    #[error("{what}: {source}")]
    Brokers {
        /// What was tried.
        what: String,
        /// The answer.
        source: ClientError,
    },
}

impl Failure {
    /// A failed request to the API server.
    pub(crate) fn kubernetes(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Kubernetes { what, source }
    }

    /// A failed request to brokers.
    pub(crate) fn brokers(what: impl Into<String>) -> impl FnOnce(ClientError) -> Self {
        let what = what.into();
        move |source| Self::Brokers { what, source }
    }

    /// One word for metrics.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Kubernetes { .. } => "kubernetes",
            Self::Brokers { .. } => "brokers",
        }
    }

    /// Whether the API server has a newer version of what was written: the next look shows it.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Kubernetes { source: kube::Error::Api(status), .. } if status.code == 409)
    }
}

/// How often in a row each object has failed.
#[derive(Debug, Default)]
pub(crate) struct Failures(Mutex<HashMap<String, u32>>);

impl Failures {
    /// How long to wait, now that it has failed again.
    pub(crate) fn pause<K: Resource<DynamicType = ()>>(&self, object: &K) -> Duration {
        let mut failures = self.0.lock();
        let count = failures.entry(key(object)).or_insert(0);
        *count = count.saturating_add(1);
        pause(*count, &object.name_any())
    }

    /// It went well.
    pub(crate) fn forget<K: Resource<DynamicType = ()>>(&self, object: &K) {
        self.0.lock().remove(&key(object));
    }
}

fn key<K: Resource<DynamicType = ()>>(object: &K) -> String {
    ObjectRef::from_obj(object).to_string()
}

/// The pause after `count` failures. Objects that fail for one reason do not come back at one time:
/// a quarter of it depends on the name.
fn pause(count: u32, name: &str) -> Duration {
    let doubled = FIRST.saturating_mul(1 << (count - 1).min(16)).min(LONGEST);
    let spread = name.bytes().fold(0u32, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(byte.into())
    });
    doubled.mul_f64(0.75 + f64::from(spread % 256) / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end_growing() {
        let pauses: Vec<_> = (1..40).map(|count| pause(count, "a")).collect();
        assert!(pauses.is_sorted());
        assert!(pauses[0] <= FIRST && pauses[0] >= FIRST.mul_f64(0.75));
        assert_eq!(pauses[20], pauses[38]);
        assert!(pauses[38] <= LONGEST);
        assert_ne!(pause(3, "a"), pause(3, "b"), "not all at one time");
    }
}
