//! Settings that are accepted and do nothing here: whoever runs the broker is told in its log.

use freshet_metadata::{AlterResource, ConfigChange, ConfigOp, ConfigTarget};
use freshet_settings::{Scope, Setting};

/// Tells which settings of a new topic do nothing.
pub(crate) fn warn_of_topic<'a>(
    topic: &str,
    configs: impl Iterator<Item = (&'a String, &'a String)>,
) {
    for (name, value) in configs {
        warn((Scope::Topic, topic), name, value);
    }
}

/// Tells which settings of a change do nothing.
pub(crate) fn warn_of_change(resource: &AlterResource) {
    let (scope, owner) = match &resource.target {
        ConfigTarget::Topic(name) => (Scope::Topic, name.clone()),
        ConfigTarget::Cluster => (Scope::Broker, "all".to_owned()),
        ConfigTarget::Broker(node) => (Scope::Broker, node.to_string()),
        ConfigTarget::ClientMetrics(name) => (Scope::ClientMetrics, name.clone()),
        ConfigTarget::Group(name) => (Scope::Group, name.clone()),
    };
    let tell = |name: &str, value: Option<&String>| {
        if let Some(value) = value {
            warn((scope, &owner), name, value);
        }
    };
    match &resource.change {
        ConfigChange::Replace(all) => all.iter().for_each(|(name, v)| tell(name, v.as_ref())),
        ConfigChange::Edit(edits) => edits
            .iter()
            .filter(|edit| matches!(edit.op, ConfigOp::Set | ConfigOp::Append))
            .for_each(|edit| tell(&edit.name, edit.value.as_ref())),
    }
}

fn warn((scope, owner): (Scope, &str), name: &str, value: &str) {
    let Some(setting) = Setting::find(scope, name) else {
        return;
    };
    // What is the default anyway surprises nobody.
    if let Some(why) = setting
        .without_effect(value)
        .filter(|_| setting.default != Some(value))
    {
        let of = scope.word();
        tracing::warn!(setting = name, of, owner, "{why}");
    }
}
