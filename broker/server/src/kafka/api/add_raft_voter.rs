//! AddRaftVoter (80): makes a controller a voter of the metadata quorum (KIP-853).

use std::sync::Arc;

use freshet_quorum::{Endpoint, Peer};
use freshet_wire::add_raft_voter::Listener;
use freshet_wire::{AddRaftVoterRequest, AddRaftVoterResponse, ErrorCode};

use super::remove_raft_voter::{check_cluster, peer_id, voters, within};
use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::errors::refusal::{Refusal, told};

/// The answer comes when the change is committed, also where the asker would not have waited for
/// that (KIP-1186).
pub(crate) async fn handle(
    context: &Arc<Context>,
    _call: &Call,
    request: AddRaftVoterRequest,
) -> AddRaftVoterResponse {
    let outcome = add(context, request).await;
    let (error_code, error_message) = told(context, &outcome);
    AddRaftVoterResponse {
        error_code,
        error_message,
        ..AddRaftVoterResponse::default()
    }
}

async fn add(context: &Context, request: AddRaftVoterRequest) -> Result<(), Refusal> {
    check_cluster(context, request.cluster_id.as_deref())?;
    let voters = voters(context)?;
    if request.voter_id < 0 || request.listeners.is_empty() {
        let message = "a voter needs an id of 0 or more, and a listener";
        return Err(Refusal::new(ErrorCode::InvalidRequest, message));
    }
    let id = peer_id(request.voter_id, request.voter_directory_id);
    let status = voters.status().await?;
    if status.voters.iter().any(|voter| voter.peer.id == id) {
        let message = format!("{id} is a voter already");
        return Err(Refusal::new(ErrorCode::DuplicateVoter, message));
    }
    let peer = Peer {
        id,
        endpoints: request.listeners.into_iter().map(endpoint).collect(),
    };
    within(request.timeout_ms, voters.add(peer, true)).await?;
    tracing::info!(voter = %id, "voter added");
    Ok(())
}

fn endpoint(listener: Listener) -> Endpoint {
    Endpoint {
        name: listener.name,
        host: listener.host,
        port: listener.port,
    }
}
