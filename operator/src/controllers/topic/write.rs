//! What is written to Kubernetes: the finalizer and the status, each only when it differs.

use freshet_api::{GROUP, Topic};
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde_json::{Value, json};

use super::Topics;
use super::status::{Report, is_news, status};
use crate::context::{MANAGER, Word};
use crate::controllers;
use crate::failure::Failure;

/// Holds an object until its topic is deleted.
pub(super) const FINALIZER: &str = "freshet.dev/topic";

/// Whether the object has our finalizer.
pub(super) fn is_held(topic: &Topic) -> bool {
    topic.finalizers().iter().any(|held| held == FINALIZER)
}

/// The finalizers that the object shall have, if those are others.
pub(super) fn finalizers(topic: &impl ResourceExt, held: bool) -> Option<Vec<String>> {
    let has = topic.finalizers();
    if has.iter().any(|one| one == FINALIZER) == held {
        return None;
    }
    let others = has.iter().filter(|other| *other != FINALIZER);
    let mut all: Vec<_> = others.cloned().collect();
    if held {
        all.push(FINALIZER.to_owned());
    }
    Some(all)
}

/// Replaces the finalizers, unless somebody else has written: a list is replaced as a whole.
pub(super) fn replaced(topic: &impl ResourceExt, finalizers: &[String]) -> Patch<Value> {
    Patch::Merge(json!({ "metadata": {
        "resourceVersion": topic.resource_version(),
        "finalizers": finalizers,
    }}))
}

impl Topics {
    fn api(&self, topic: &Topic) -> Api<Topic> {
        controllers::api(&self.context.client, topic.namespace().as_deref())
    }

    /// Writes when it is its turn.
    async fn turn<T>(&self, write: impl Future<Output = T>) -> T {
        // It is never closed; without a turn it would only be one more at the same time.
        let _pen = self.pens.acquire().await;
        write.await
    }

    /// Tells people about an object.
    pub(super) async fn tell(&self, topic: &Topic, word: Word) {
        self.turn(self.context.tell(topic, word)).await;
    }

    /// Holds an object, or lets it go.
    pub(super) async fn hold(&self, topic: &Topic, held: bool) -> Result<(), Failure> {
        let Some(finalizers) = finalizers(topic, held) else {
            return Ok(());
        };
        let patch = replaced(topic, &finalizers);
        let name = topic.name_any();
        let parameters = PatchParams::default();
        let api = self.api(topic);
        let patched = self.turn(api.patch_metadata(&name, &parameters, &patch));
        match patched.await {
            Ok(_) => self.context.metrics.wrote("Topic"),
            Err(kube::Error::Api(status)) if status.is_not_found() && !held => {}
            Err(error) => {
                let what = "the finalizer was not written";
                return Err(Failure::kubernetes(what)(error));
            }
        }
        Ok(())
    }

    /// Shows what a look has brought, where that is something else than what is shown.
    pub(super) async fn show(&self, topic: &Topic, report: &Report) -> Result<(), Failure> {
        let before = topic.status.clone().unwrap_or_default();
        let after = status(
            &before,
            topic.metadata.generation,
            self.context.now(),
            report,
        );
        if after != before {
            let name = topic.name_any();
            let patch = Patch::Apply(json!({
                "apiVersion": format!("{GROUP}/{}", Topic::version(&())),
                "kind": Topic::kind(&()),
                "metadata": { "name": name },
                "status": after,
            }));
            let parameters = PatchParams::apply(MANAGER).force();
            let api = self.api(topic);
            let patched = self.turn(api.patch_status(&name, &parameters, &patch));
            match patched.await {
                Ok(_) => self.context.metrics.wrote("Topic"),
                // It went away meanwhile: nobody reads it any more.
                Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(()),
                Err(error) => {
                    let what = "the status was not written";
                    return Err(Failure::kubernetes(what)(error));
                }
            }
        }
        if let Some(objection) = report.objection.as_ref().filter(|o| o.tell)
            && is_news(&before, objection)
        {
            let word = Word {
                warning: true,
                reason: objection.reason,
                action: "Reconcile",
                note: objection.message.clone(),
            };
            self.tell(topic, word).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::topic;
    use super::*;

    #[test]
    fn only_our_finalizer_comes_and_goes() {
        let mut of = topic("orders");
        assert_eq!(finalizers(&of, false), None);
        assert_eq!(finalizers(&of, true).unwrap(), [FINALIZER]);
        of.metadata.finalizers = Some(vec!["other/one".into(), FINALIZER.into()]);
        assert!(is_held(&of));
        assert_eq!(finalizers(&of, true), None);
        assert_eq!(finalizers(&of, false).unwrap(), ["other/one"]);
    }
}
