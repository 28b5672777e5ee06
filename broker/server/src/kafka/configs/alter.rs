//! What both ways of altering settings have in common: items that cannot even be read fail here,
//! the others go to the machine together, and each gets its own outcome.

use freshet_metadata::{AlterConfigs, AlterResource};
use freshet_wire::ErrorCode;

use crate::kafka::context::Context;
use crate::kafka::errors::refusal::{Refusal, outcomes};

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
    let mut decided = outcomes(count, answer).into_iter();
    let lost = || Refusal::new(ErrorCode::UnknownServerError, "the answer was lost");
    let outcome = |wanted: Result<AlterResource, Refusal>| {
        wanted.and_then(|_| decided.next().unwrap_or_else(|| Err(lost())))
    };
    wanted.into_iter().map(outcome).collect()
}
