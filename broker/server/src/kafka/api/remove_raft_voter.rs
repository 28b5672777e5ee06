//! RemoveRaftVoter (81): takes a voter out of the metadata quorum (KIP-853).

use std::sync::Arc;
use std::time::Duration;

use freshet_quorum::PeerId;
use freshet_types::{NodeId, TopicId};
use freshet_wire::{ErrorCode, RemoveRaftVoterRequest, RemoveRaftVoterResponse};

use crate::kafka::call::Call;
use crate::kafka::context::{Context, QuorumFace, VotersAnswer};
use crate::kafka::errors::refusal::{Refusal, told};

/// The request names no time of its own.
const PATIENCE_MS: i32 = 30_000;

/// The answer comes when the change is committed.
pub(crate) async fn handle(
    context: &Arc<Context>,
    _call: &Call,
    request: RemoveRaftVoterRequest,
) -> RemoveRaftVoterResponse {
    let outcome = remove(context, &request).await;
    let (error_code, error_message) = told(context, &outcome);
    RemoveRaftVoterResponse {
        error_code,
        error_message,
        ..RemoveRaftVoterResponse::default()
    }
}

async fn remove(context: &Context, request: &RemoveRaftVoterRequest) -> Result<(), Refusal> {
    check_cluster(context, request.cluster_id.as_deref())?;
    let voters = voters(context)?;
    let id = peer_id(request.voter_id, request.voter_directory_id);
    let status = voters.status().await?;
    if !status.voters.iter().any(|voter| voter.peer.id == id) {
        let message = format!("{id} is no voter");
        return Err(Refusal::new(ErrorCode::VoterNotFound, message));
    }
    within(PATIENCE_MS, voters.remove(id)).await?;
    tracing::info!(voter = %id, "voter removed");
    Ok(())
}

/// Refuses what is meant for another cluster.
pub(super) fn check_cluster(context: &Context, meant: Option<&str>) -> Result<(), Refusal> {
    let ours = &*context.identity.cluster_id.0;
    match meant {
        Some(other) if other != ours => Err(Refusal::new(
            ErrorCode::InconsistentClusterId,
            format!("this is cluster {ours}, not {other}"),
        )),
        _ => Ok(()),
    }
}

/// The quorum, if its voters can change at all.
pub(super) fn voters(context: &Context) -> Result<&Arc<dyn QuorumFace>, Refusal> {
    let alone = "this broker keeps the metadata alone: start it with controller.quorum.voters or \
                 controller.quorum.bootstrap.servers";
    let voters = context.voters.as_ref();
    voters.ok_or_else(|| Refusal::new(ErrorCode::UnsupportedVersion, alone))
}

pub(super) fn peer_id(node: i32, directory: [u8; 16]) -> PeerId {
    PeerId {
        node: NodeId(node),
        directory: TopicId(directory),
    }
}

/// Waits as long as the client does. What takes longer goes on.
pub(super) async fn within(timeout_ms: i32, change: VotersAnswer<'_, ()>) -> Result<(), Refusal> {
    let patience = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0).max(1));
    match tokio::time::timeout(patience, change).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(Refusal::new(
            ErrorCode::RequestTimedOut,
            "the change took too long, and may still happen",
        )),
    }
}
