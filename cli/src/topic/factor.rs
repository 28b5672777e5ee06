//! How many brokers keep a topic's partitions.

use freshet_client::Survey;

use super::reassign;
use crate::Context;
use crate::output::outcome::Failures;

/// Gives every partition of a topic this many replicas, and says for how many that takes a move. The
/// preferred leader stays. With a `rate`, in bytes a second, it ends with the moves.
pub(super) async fn change(
    context: &Context,
    topic: &str,
    factor: usize,
    rate: Option<u64>,
) -> anyhow::Result<usize> {
    let survey = Survey::take(&context.client);
    let survey = context
        .patience
        .with("looking at the cluster", survey)
        .await?;
    let planned = survey.change_copies(&mut survey.placement(None), topic, factor);
    let changes = planned.map_err(|why| anyhow::anyhow!("{why}; nothing was moved"))?;
    let mut failures = Failures::default();
    let outcomes = match rate {
        None => reassign::begin(context, &changes).await?,
        Some(rate) => reassign::finish(context, &changes, rate).await?,
    };
    for (_, outcome) in outcomes {
        failures.note(outcome);
    }
    failures.into_first(changes.len(), "partition")?;
    Ok(changes.len())
}
