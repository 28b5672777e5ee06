//! What both ways of altering settings have in common: items that cannot even be read fail here,
//! the others go to the machine together, and each gets its own outcome.

use freshet_metadata::{AlterConfigs, AlterResource, ConfigChange};
use freshet_wire::alter_configs::AlterConfigsResourceResponse;

use super::{cordons, resource, unbuilt};
use crate::kafka::context::Context;
use crate::kafka::errors::refusal::{Refusal, in_turn, outcomes, told};

/// What a request wants of one resource.
pub(crate) struct Asked {
    /// Kafka's number of the resource's type.
    pub(crate) resource_type: i8,
    pub(crate) resource_name: String,
    /// What is to become of its settings, if that could be read.
    pub(crate) change: Result<ConfigChange, Refusal>,
}

/// Each resource succeeds or fails alone; outcomes come in the order of `asked`.
pub(crate) async fn alter(
    context: &Context,
    asked: Vec<Asked>,
    validate_only: bool,
) -> Vec<AlterConfigsResourceResponse> {
    let (mut named, mut read, mut resources) = (Vec::new(), Vec::new(), Vec::new());
    let layers = context.layers();
    for asked in asked {
        let target = resource::target(asked.resource_type, &asked.resource_name);
        read.push(target.and_then(|target| {
            let change = asked.change?;
            let resource = AlterResource { target, change };
            cordons::check(&layers, context.identity.node_id, &resource)?;
            resources.push(resource);
            Ok(())
        }));
        named.push((asked.resource_type, asked.resource_name));
    }
    let (count, changes) = (resources.len(), resources.clone());
    let change = AlterConfigs {
        resources,
        validate_only,
    };
    let answer = context.change(change).await.map_err(Refusal::from);
    let decided = outcomes(count, answer);
    let made = changes.iter().zip(&decided);
    made.filter(|(_, outcome)| outcome.is_ok() && !validate_only)
        .for_each(|(change, _)| unbuilt::warn_of_change(change));
    let outcomes = in_turn(read, decided);
    let response = |((resource_type, resource_name), outcome)| {
        let (error_code, error_message) = told(context, &outcome);
        AlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type,
            resource_name,
        }
    };
    named.into_iter().zip(outcomes).map(response).collect()
}
