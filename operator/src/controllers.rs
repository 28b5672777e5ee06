//! One folder for each kind of object, and what all of them do alike.

pub(crate) mod cluster;
#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod outage;
pub(crate) mod topic;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use kube::core::{DeserializeGuard, NamespaceResourceScope};
use kube::runtime::controller::Action;
use kube::runtime::utils::Backoff;
use kube::{Api, Client, Resource, ResourceExt};
use tokio::time::Instant;

use crate::context::{Context, Word};
use crate::failure::Failure;

/// Every object is looked at again after this long, even if nothing was heard of it.
pub(crate) const RESYNC: Duration = Duration::from_secs(120);

/// How long a watch that broke waits before it is begun again.
const REWATCH: Duration = Duration::from_secs(1);

/// The same pause before each try to watch again.
///
/// A [`Controller`](kube::runtime::Controller) makes all its watches wait after an error of any of them. With its own
/// pauses, which grow to a minute, five watches that broke in one outage of the API server come back one by one: after
/// an outage of half a minute nothing was heard of Clusters for five.
pub(crate) struct Steady;

impl Iterator for Steady {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(REWATCH)
    }
}

impl Backoff for Steady {
    fn reset(&mut self) {}
}

/// The objects of a kind in a namespace, or in all.
pub(crate) fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// One reconcile: counted, timed, and given only what can be read.
pub(crate) async fn reconcile<K, W>(
    context: &Arc<Context>,
    guard: &DeserializeGuard<K>,
    work: impl FnOnce(Arc<Context>, K) -> W,
) -> Result<Action, Failure>
where
    K: Resource<DynamicType = ()> + Clone,
    W: Future<Output = Result<Action, Failure>>,
{
    let kind = K::kind(&());
    let object = match &guard.0 {
        Ok(object) => object.clone(),
        Err(invalid) => {
            // The schema lets no such object in: it was written before the schema was.
            let word = Word {
                warning: true,
                reason: "Unreadable",
                action: "Read",
                note: format!(
                    "this {kind} cannot be read and is left alone: {}",
                    invalid.error
                ),
            };
            tracing::warn!(kind = %kind, object = guard.name_any(), error = %invalid.error, "an object cannot be read");
            context.tell(guard, word).await;
            return Ok(Action::await_change());
        }
    };
    context.metrics.begin(&kind);
    let start = Instant::now();
    let ended = work(Arc::clone(context), object).await;
    let result = ended.as_ref().err().map_or("ok", Failure::word);
    let now = context.now().as_millisecond() as f64 / 1e3;
    context.metrics.end(&kind, result, start.elapsed(), now);
    if ended.is_ok() {
        context.failures.forget(guard);
    }
    ended
}

/// What to do after a reconcile that failed: the same again, later and later.
pub(crate) fn again<K>(
    guard: Arc<DeserializeGuard<K>>,
    failure: &Failure,
    context: Arc<Context>,
) -> Action
where
    K: Resource<DynamicType = ()> + Debug,
{
    let kind = K::kind(&());
    let object = guard.name_any();
    let namespace = guard.namespace().unwrap_or_default();
    if failure.is_conflict() {
        tracing::debug!(kind = %kind, namespace, object, %failure, "somebody else wrote meanwhile");
        return Action::requeue(Duration::from_millis(200));
    }
    let pause = context.failures.pause(&*guard);
    tracing::warn!(kind = %kind, namespace, object, %failure, pause_ms = pause.as_millis(), "will be tried again");
    Action::requeue(pause)
}
