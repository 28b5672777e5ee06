//! Which elections may have lost acknowledged records: `/admin/unclean-elections`.

use freshet_metadata::UncleanCause;
use serde_json::{Value, json};

use super::restart::{NoAnswer, known};
use crate::kafka::Context;

/// The latest of them, the oldest first; the metadata keeps 100. The topic is `null` when it is gone.
pub(super) async fn unclean(context: &Context) -> Result<Value, NoAnswer> {
    let image = known(context).await?;
    let elections = image.unclean_elections().map(|election| {
        json!({
            "topic": image.topic_name(election.at.topic).map(|name| name.as_str()),
            "topic_id": election.at.topic.to_string(),
            "partition": election.at.partition,
            "leader": election.leader.0,
            "leader_epoch": election.leader_epoch,
            "cause": word(election.cause),
            "timestamp_ms": election.time.0,
        })
    });
    let elections: Vec<_> = elections.collect();
    Ok(json!({ "count": elections.len(), "elections": elections }))
}

fn word(cause: UncleanCause) -> &'static str {
    match cause {
        UncleanCause::Config => "setting",
        UncleanCause::Request => "request",
        UncleanCause::LastKnown => "last-known",
    }
}
