//! Whom a client finds instead (KIP-951): a response that says "not here" also says where, and spares
//! the client a question for metadata.

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_metadata::MetadataImage;
use freshet_types::{LeaderEpoch, NodeId, PartitionId};

use super::Context;
use crate::kafka::sessions::Named;

/// Who leads a partition; -1 for what is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) id: i32,
    pub(crate) epoch: LeaderEpoch,
}

/// Where a broker is reached by clients of one listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) node_id: i32,
    pub(crate) host: String,
    pub(crate) port: i32,
    pub(crate) rack: Option<String>,
}

/// The leaders that one response names. Most name none, and look at nothing.
pub(crate) struct Leaders<'a> {
    context: &'a Context,
    image: Option<Arc<MetadataImage>>,
    listener: &'a str,
    endpoints: BTreeMap<NodeId, Endpoint>,
}

impl<'a> Leaders<'a> {
    /// For a client that came by `listener`.
    pub(crate) fn new(context: &'a Context, listener: &'a str) -> Self {
        Self {
            context,
            image: None,
            listener,
            endpoints: BTreeMap::new(),
        }
    }

    /// The leader of a partition, if there is one that the client can reach.
    pub(crate) fn of(&mut self, topic: &Named, partition: PartitionId) -> Option<Leader> {
        let image = self.image.get_or_insert_with(|| self.context.image());
        let topic = match topic {
            Named::Id(id) => image.topic_by_id(*id)?,
            Named::Name(name) => image.topic(name)?,
        };
        let state = topic.partition(partition)?;
        let node = state.leader?;
        let broker = image.broker(node)?;
        let listener = broker.listener(self.listener)?;
        self.endpoints.entry(node).or_insert_with(|| Endpoint {
            node_id: node.0,
            host: listener.host.clone(),
            port: i32::from(listener.port),
            rack: broker.rack.clone(),
        });
        Some(Leader {
            id: node.0,
            epoch: state.leader_epoch,
        })
    }

    /// Where all leaders that were named are reached.
    pub(crate) fn endpoints(self) -> impl Iterator<Item = Endpoint> {
        self.endpoints.into_values()
    }
}
