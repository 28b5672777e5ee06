//! What both ways of altering settings have in common: items that cannot even be read fail here,
//! the others go to the machine together, and each gets its own outcome.

use freshet_metadata::{AlterConfigs, AlterResource};

use crate::kafka::configs::unbuilt;
use crate::kafka::context::Context;
use crate::kafka::errors::refusal::{Refusal, in_turn, outcomes};

/// Outcomes in the order of `wanted`.
pub(crate) async fn alter(
    context: &Context,
    wanted: Vec<Result<AlterResource, Refusal>>,
    validate_only: bool,
) -> Vec<Result<(), Refusal>> {
    let resources: Vec<AlterResource> = wanted.iter().flatten().cloned().collect();
    let count = resources.len();
    let change = AlterConfigs {
        resources,
        validate_only,
    };
    let answer = context.change(change).await.map_err(Refusal::from);
    let changes = wanted.clone();
    let outcomes = in_turn(wanted, outcomes(count, answer));
    let made = changes.iter().zip(&outcomes);
    let made = made.filter(|(_, outcome)| outcome.is_ok() && !validate_only);
    made.flat_map(|(change, _)| change)
        .for_each(unbuilt::warn_of_change);
    outcomes
}
