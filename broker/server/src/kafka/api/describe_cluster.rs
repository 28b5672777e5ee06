//! DescribeCluster (60).

use std::sync::Arc;

use freshet_metadata::{Broker, BrokerListener, MetadataImage, UncleanCause};
use freshet_wire::describe_cluster::{DescribeClusterBroker, DescribeClusterUncleanElection};
use freshet_wire::metadata::OPERATIONS_OMITTED;
use freshet_wire::{DescribeClusterRequest, DescribeClusterResponse, ErrorCode};

use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::context::cluster_view::ClusterView;
use crate::kafka::operations::ALL_ON_CLUSTER;

/// Endpoints of brokers.
const BROKERS: i8 = 1;
/// Endpoints of controllers: only a controller's listener tells them.
const CONTROLLERS: i8 = 2;

/// The cluster as the listener's clients reach it.
pub(crate) async fn handle(
    context: &Arc<Context>,
    call: &Call,
    request: DescribeClusterRequest,
) -> DescribeClusterResponse {
    let refused = match request.endpoint_type {
        BROKERS => None,
        CONTROLLERS => Some((
            ErrorCode::MismatchedEndpointType,
            "this is a broker's listener: it does not know controllers' endpoints".to_owned(),
        )),
        other => Some((
            ErrorCode::UnsupportedEndpointType,
            format!("endpoint type {other} is not known"),
        )),
    };
    if let Some((code, message)) = refused {
        context.metrics.error(code);
        return DescribeClusterResponse {
            error_code: code.code(),
            error_message: Some(message),
            ..DescribeClusterResponse::default()
        };
    }
    let image = context.image();
    let view = ClusterView {
        image: &image,
        listener: &call.origin.listener,
    };
    let shown = view
        .brokers()
        .filter(|(broker, _)| request.include_fenced_brokers || !broker.fenced);
    DescribeClusterResponse {
        cluster_id: context.identity.cluster_id.to_string(),
        controller_id: context.controller_id(view),
        brokers: shown.map(described).collect(),
        cluster_authorized_operations: if request.include_cluster_authorized_operations {
            ALL_ON_CLUSTER
        } else {
            OPERATIONS_OMITTED
        },
        unclean_elections: match request.include_unclean_elections {
            true => unclean_elections(&image),
            false => Vec::new(),
        },
        ..DescribeClusterResponse::default()
    }
}

fn unclean_elections(image: &MetadataImage) -> Vec<DescribeClusterUncleanElection> {
    let elections = image.unclean_elections().map(|election| {
        let topic = image.topic_name(election.at.topic);
        DescribeClusterUncleanElection {
            topic: topic.map(ToString::to_string),
            topic_id: election.at.topic,
            partition_index: election.at.partition,
            leader_id: election.leader.0,
            leader_epoch: election.leader_epoch,
            cause: match election.cause {
                UncleanCause::Config => 0,
                UncleanCause::Request => 1,
                UncleanCause::LastKnown => 2,
            },
            timestamp_ms: election.time.0,
        }
    });
    elections.collect()
}

fn described((broker, listener): (&Broker, &BrokerListener)) -> DescribeClusterBroker {
    DescribeClusterBroker {
        broker_id: broker.node.0,
        host: listener.host.clone(),
        port: i32::from(listener.port),
        rack: broker.rack.clone(),
        is_fenced: broker.fenced,
    }
}
