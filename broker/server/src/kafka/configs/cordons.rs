//! Which directories may be cordoned. Only their broker knows them, so it looks before it asks the
//! controller; administrators' tools send it what concerns it.

use freshet_metadata::{AlterResource, ConfigChange, ConfigOp, ConfigTarget, MetadataError};
use freshet_settings::Layers;
use freshet_types::NodeId;

use crate::kafka::errors::refusal::Refusal;

const SETTING: &str = "cordoned.log.dirs";

/// Refuses a change of the broker `me` that would cordon directories which it does not have.
pub(super) fn check(layers: &Layers, me: NodeId, asked: &AlterResource) -> Result<(), Refusal> {
    if asked.target != ConfigTarget::Broker(me) {
        return Ok(());
    }
    let mut values: Vec<&String> = Vec::new();
    match &asked.change {
        ConfigChange::Replace(all) => {
            let named = all.iter().filter(|(name, _)| name == SETTING);
            values.extend(named.filter_map(|(_, value)| value.as_ref()));
        }
        ConfigChange::Edit(edits) => {
            let sets = edits.iter().filter(|edit| {
                edit.name == SETTING && matches!(edit.op, ConfigOp::Set | ConfigOp::Append)
            });
            values.extend(sets.filter_map(|edit| edit.value.as_ref()));
        }
    }
    let check = |value: &&String| layers.check_cordoned(value);
    match values.iter().map(check).find_map(Result::err) {
        None => Ok(()),
        Some(error) => Err(Refusal::from(MetadataError::Config(error))),
    }
}
