//! DescribeConfigs (32): every setting of a resource, with its source. Clients read much into it:
//! a setting that is missing crashes some of them, so all are there, also those that do nothing.

use std::sync::Arc;

use freshet_metadata::{ConfigOwner, ConfigTarget};
use freshet_settings::{Candidate, Described, Overrides, Scope, Setting, Source, Update};
use freshet_types::TopicName;
use freshet_wire::describe_configs::{
    DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult,
    DescribeConfigsSynonym,
};
use freshet_wire::{DescribeConfigsRequest, DescribeConfigsResponse, ErrorCode};

use crate::kafka::call::Call;
use crate::kafka::configs::resource::{self, kind_code, source_code};
use crate::kafka::context::Context;
use crate::kafka::errors::refusal::{Refusal, told};

/// What the client wants to be told beside names and values.
#[derive(Debug, Clone, Copy)]
struct Detail {
    synonyms: bool,
    documentation: bool,
}

/// Each resource succeeds or fails alone.
pub(crate) async fn handle(
    context: &Arc<Context>,
    _call: &Call,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let detail = Detail {
        synonyms: request.include_synonyms,
        documentation: request.include_documentation,
    };
    let results = request.resources.into_iter().map(|asked| {
        let outcome = describe(context, &asked);
        result(context, asked, outcome, detail)
    });
    DescribeConfigsResponse {
        results: results.collect(),
        ..DescribeConfigsResponse::default()
    }
}

fn describe(context: &Context, asked: &DescribeConfigsResource) -> Result<Vec<Described>, Refusal> {
    let name = &asked.resource_name;
    if asked.resource_type == resource::BROKER_LOGGER {
        // Tools ask for loggers beside other things: none is an answer.
        return Ok(Vec::new());
    }
    let layers = context.layers();
    let image = context.image();
    match resource::target(asked.resource_type, name)? {
        ConfigTarget::Topic(name) => {
            let illegal = |e| Refusal::new(ErrorCode::InvalidTopicException, format!("{e}"));
            TopicName::new(&name).map_err(illegal)?;
            let topic = image.topic(&name).ok_or_else(|| {
                let message = format!("there is no topic {name}");
                Refusal::new(ErrorCode::UnknownTopicOrPartition, message)
            })?;
            Ok(layers.for_topic(&topic.name).describe_topic(&topic.configs))
        }
        ConfigTarget::Broker(node) if node == context.identity.node_id => {
            Ok(layers.describe_broker())
        }
        ConfigTarget::Broker(node) => Err(Refusal::new(
            ErrorCode::InvalidRequest,
            format!(
                "broker {node} must be asked itself: this is broker {}",
                context.identity.node_id
            ),
        )),
        ConfigTarget::Cluster => Ok(only_set(
            Scope::Broker,
            Source::DynamicDefault,
            &image.configs(&ConfigOwner::Cluster),
        )),
        ConfigTarget::Group(name) => {
            named(&name)?;
            Ok(layers.describe_group(&image.configs(&ConfigOwner::Group(name))))
        }
        ConfigTarget::ClientMetrics(name) => {
            named(&name)?;
            let set = image.configs(&ConfigOwner::ClientMetrics(name));
            Ok(only_set(Scope::ClientMetrics, Source::ClientMetrics, &set))
        }
    }
}

fn named(name: &str) -> Result<(), Refusal> {
    if name.is_empty() {
        let message = "the resource needs a name";
        return Err(Refusal::new(ErrorCode::InvalidRequest, message));
    }
    Ok(())
}

/// What is set, without defaults: for resources that are nothing but settings.
fn only_set(scope: Scope, source: Source, set: &Overrides) -> Vec<Described> {
    let known = |(name, value): (&String, &String)| {
        let setting = Setting::find(scope, name)?;
        let shown = (!setting.is_sensitive()).then(|| value.clone());
        let candidates = shown.iter().map(|value| Candidate {
            name: setting.name,
            value: value.clone(),
            source,
        });
        Some(Described {
            setting,
            source,
            candidates: candidates.collect(),
            value: shown,
        })
    };
    set.iter().filter_map(known).collect()
}

fn result(
    context: &Context,
    asked: DescribeConfigsResource,
    outcome: Result<Vec<Described>, Refusal>,
    detail: Detail,
) -> DescribeConfigsResult {
    let (error_code, error_message) = told(context, &outcome);
    // No keys and an empty list of keys both mean: all.
    let keys = asked.configuration_keys.filter(|keys| !keys.is_empty());
    let wanted = |d: &Described| {
        let keys = keys.as_ref();
        keys.is_none_or(|keys| keys.iter().any(|key| key == d.setting.name))
    };
    let described = outcome.unwrap_or_default();
    DescribeConfigsResult {
        error_code,
        error_message,
        resource_type: asked.resource_type,
        resource_name: asked.resource_name,
        configs: described
            .into_iter()
            .filter(wanted)
            .map(|d| setting(d, detail))
            .collect(),
    }
}

fn setting(described: Described, detail: Detail) -> DescribeConfigsResourceResult {
    let declared = described.setting;
    let synonym = |candidate: Candidate| DescribeConfigsSynonym {
        name: candidate.name.to_owned(),
        value: Some(candidate.value),
        source: source_code(candidate.source),
    };
    let synonyms = described.candidates.into_iter().map(synonym);
    DescribeConfigsResourceResult {
        name: declared.name.to_owned(),
        value: described.value,
        read_only: declared.scope == Scope::Broker && declared.update == Update::ReadOnly,
        config_source: source_code(described.source),
        is_sensitive: declared.is_sensitive(),
        synonyms: synonyms.filter(|_| detail.synonyms).collect(),
        config_type: kind_code(declared.kind),
        documentation: detail.documentation.then(|| declared.doc.to_owned()),
    }
}
