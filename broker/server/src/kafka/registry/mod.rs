//! The one list of served APIs. ApiVersions, dispatch, the reference page (docs/apis.md) and the
//! compatibility tests are derived from it; serving one more is one file and one line.

pub(super) mod reference;

use std::future::Future;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use freshet_codec::{DecodeError, Message, Reader};
use freshet_wire::{ApiKey, Request, RequestHeader, ResponseHeader};

use crate::kafka::api;
use crate::kafka::call::{Call, Origin, Reply, Started};
use crate::kafka::context::Context;

/// What a caller must be allowed to do; checked by the access room once it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Everybody may.
    Open,
    /// Checked per named resource, inside the handler.
    PerResource,
    /// On the cluster: describe.
    DescribeCluster,
    /// On the cluster: alter.
    AlterCluster,
    /// On the cluster: write as an idempotent producer.
    IdempotentWrite,
}

/// Which quota a request draws on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// Produced bytes.
    Produce,
    /// Fetched bytes.
    Fetch,
    /// Request time.
    Request,
    /// Changes of metadata.
    Mutation,
}

/// How a request's bytes become a started answer.
pub(crate) type Handler = fn(
    Arc<Context>,
    Call,
    Bytes,
)
    -> Pin<Box<dyn Future<Output = Result<Started, RequestError>> + Send>>;

/// One served API.
pub struct Api {
    /// Which.
    pub key: ApiKey,
    /// What we serve.
    pub versions: RangeInclusive<i16>,
    /// First version with tagged fields.
    pub flexible: i16,
    /// Who may.
    pub operation: Operation,
    /// At whose cost.
    pub quota: Quota,
    /// Whether the next request of the connection may start before this one is answered.
    pub(crate) pipelined: bool,
    pub(crate) handler: Handler,
}

/// A request that cannot even be answered: the connection is closed, as Kafka does.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("malformed {what}: {error}")]
    Malformed {
        what: &'static str,
        error: DecodeError,
    },
    #[error("API key {key} is not served")]
    UnknownApi { key: i16 },
    #[error("{api:?} version {version} is not served")]
    UnknownVersion { api: ApiKey, version: i16 },
    #[error("a reply cannot be written in version {version}: {why}")]
    Unwritable { version: i16, why: String },
}

/// Declares the list: module of the handler, request type, operation, quota.
macro_rules! served {
    ($( $module:ident :: $request:ident, $operation:ident, $quota:ident; )*) => {
        &[$( Api {
            key: <freshet_wire::$request as Request>::KEY,
            versions: <freshet_wire::$request as Message>::VERSIONS,
            flexible: freshet_wire::Api::of::<freshet_wire::$request>().flexible,
            operation: Operation::$operation,
            quota: Quota::$quota,
            pipelined: false,
            handler: |context, call, body| Box::pin(async move {
                let request = read::<freshet_wire::$request>(body, &call)?;
                let response = api::$module::handle(&context, &call, request).await;
                reply::<freshet_wire::$request>(&call, &response).map(Started::Now)
            }),
        }, )*]
    };
}

/// Produce alone answers later, or not at all, and is pipelined.
static PRODUCE: Api = Api {
    key: ApiKey::Produce,
    versions: <freshet_wire::ProduceRequest as Message>::VERSIONS,
    flexible: freshet_wire::Api::of::<freshet_wire::ProduceRequest>().flexible,
    operation: Operation::PerResource,
    quota: Quota::Produce,
    pipelined: true,
    handler: |context, call, body| {
        Box::pin(async move {
            let request = read::<freshet_wire::ProduceRequest>(body, &call)?;
            Ok(api::produce::start(&context, &call, request).await)
        })
    },
};

static SERVED: &[Api] = served! {
    api_versions::ApiVersionsRequest, Open, Request;
    metadata::MetadataRequest, PerResource, Request;
    fetch::FetchRequest, PerResource, Fetch;
    list_offsets::ListOffsetsRequest, PerResource, Request;
    offset_for_leader_epoch::OffsetForLeaderEpochRequest, PerResource, Request;
    init_producer_id::InitProducerIdRequest, IdempotentWrite, Request;
    find_coordinator::FindCoordinatorRequest, PerResource, Request;
    join_group::JoinGroupRequest, PerResource, Request;
    sync_group::SyncGroupRequest, PerResource, Request;
    heartbeat::HeartbeatRequest, PerResource, Request;
    leave_group::LeaveGroupRequest, PerResource, Request;
    offset_commit::OffsetCommitRequest, PerResource, Request;
    offset_fetch::OffsetFetchRequest, PerResource, Request;
    list_groups::ListGroupsRequest, PerResource, Request;
    describe_groups::DescribeGroupsRequest, PerResource, Request;
    delete_groups::DeleteGroupsRequest, PerResource, Request;
    offset_delete::OffsetDeleteRequest, PerResource, Request;
    create_topics::CreateTopicsRequest, PerResource, Mutation;
    delete_topics::DeleteTopicsRequest, PerResource, Mutation;
    create_partitions::CreatePartitionsRequest, PerResource, Mutation;
    delete_records::DeleteRecordsRequest, PerResource, Request;
    describe_configs::DescribeConfigsRequest, PerResource, Request;
    alter_configs::AlterConfigsRequest, PerResource, Request;
    incremental_alter_configs::IncrementalAlterConfigsRequest, PerResource, Request;
    list_config_resources::ListConfigResourcesRequest, DescribeCluster, Request;
    describe_cluster::DescribeClusterRequest, Open, Request;
    describe_topic_partitions::DescribeTopicPartitionsRequest, PerResource, Request;
    describe_log_dirs::DescribeLogDirsRequest, DescribeCluster, Request;
    alter_replica_log_dirs::AlterReplicaLogDirsRequest, AlterCluster, Request;
    alter_partition_reassignments::AlterPartitionReassignmentsRequest, AlterCluster, Mutation;
    list_partition_reassignments::ListPartitionReassignmentsRequest, DescribeCluster, Request;
    elect_leaders::ElectLeadersRequest, AlterCluster, Mutation;
    unregister_broker::UnregisterBrokerRequest, AlterCluster, Mutation;
    update_features::UpdateFeaturesRequest, AlterCluster, Mutation;
    describe_quorum::DescribeQuorumRequest, DescribeCluster, Request;
    add_raft_voter::AddRaftVoterRequest, AlterCluster, Mutation;
    remove_raft_voter::RemoveRaftVoterRequest, AlterCluster, Mutation;
};

/// What other nodes of the cluster say, where somebody is there to hear it. No client is told of it.
static PEER: Api = Api {
    key: ApiKey::Peer,
    versions: <freshet_wire::PeerRequest as Message>::VERSIONS,
    flexible: freshet_wire::Api::of::<freshet_wire::PeerRequest>().flexible,
    operation: Operation::Open,
    quota: Quota::Request,
    pipelined: false,
    handler: |context, call, body| {
        Box::pin(async move {
            let request = read::<freshet_wire::PeerRequest>(body, &call)?;
            let response = match &context.peers {
                Some(peers) => peers.answer(request).await,
                None => freshet_wire::PeerResponse::refusal(),
            };
            reply::<freshet_wire::PeerRequest>(&call, &response).map(Started::Now)
        })
    },
};

/// Every API that clients are served.
pub fn all() -> impl Iterator<Item = &'static Api> {
    std::iter::once(&PRODUCE).chain(SERVED)
}

fn find(key: i16, origin: &Origin, context: &Context) -> Option<&'static Api> {
    let hears = context.peers.as_ref();
    let hears = hears.is_some_and(|peers| *peers.listener() == *origin.listener);
    all()
        .chain(hears.then_some(&PEER))
        .find(|api| api.key.code() == key)
}

/// Reads the header of a request and finds what serves it; gives back the body.
pub(crate) fn open(
    frame: &Bytes,
    origin: &Origin,
    context: &Context,
) -> Result<(Call, &'static Api, Bytes), RequestError> {
    let malformed = |error| RequestError::Malformed {
        what: "request header",
        error,
    };
    let mut reader = Reader::new(frame.clone());
    let key = reader.i16().map_err(malformed)?;
    let version = reader.i16().map_err(malformed)?;
    let api = find(key, origin, context).ok_or(RequestError::UnknownApi { key })?;
    context.metrics.requests(api.key).inc();
    if !api.versions.contains(&version) {
        return unsupported(reader, api, version, origin);
    }
    let (header, reader) = RequestHeader::open(frame.clone()).map_err(malformed)?;
    let call = Call {
        version,
        correlation_id: header.correlation_id,
        client_id: header.client_id.unwrap_or_default(),
        frame_bytes: frame.len(),
        origin: origin.clone(),
    };
    Ok((call, api, reader.rest()))
}

/// A client that is newer than we are asks for our versions in a form we do not know. It gets an
/// answer all the same (KIP-511): an empty version 0 body is enough to say so.
fn unsupported(
    mut reader: Reader,
    api: &'static Api,
    version: i16,
    origin: &Origin,
) -> Result<(Call, &'static Api, Bytes), RequestError> {
    if api.key != ApiKey::ApiVersions {
        return Err(RequestError::UnknownVersion {
            api: api.key,
            version,
        });
    }
    let malformed = |error| RequestError::Malformed {
        what: "request header",
        error,
    };
    let correlation_id = reader.i32().map_err(malformed)?;
    let call = Call {
        version: -1,
        correlation_id,
        client_id: String::new(),
        frame_bytes: 0,
        origin: origin.clone(),
    };
    Ok((call, api, Bytes::new()))
}

fn read<R: Request>(body: Bytes, call: &Call) -> Result<R, RequestError> {
    if call.version < 0 {
        return Ok(R::default());
    }
    let mut reader = Reader::new(body);
    let malformed = |error| RequestError::Malformed {
        what: R::KEY.name(),
        error,
    };
    R::decode(&mut reader, call.version).map_err(malformed)
}

/// Encodes a response with its length and header.
pub(crate) fn reply<R: Request>(
    call: &Call,
    response: &R::Response,
) -> Result<Reply, RequestError> {
    let version = call.version.max(0);
    let header = ResponseHeader {
        correlation_id: call.correlation_id,
    };
    freshet_wire::encode_response::<R>(&header, response, version)
        .map(|frame| Reply::Frame(frame.into_pieces()))
        .map_err(|error| RequestError::Unwritable {
            version,
            why: error.to_string(),
        })
}
