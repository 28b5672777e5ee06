//! The cluster, its brokers and their log directories.

use freshet_types::{NodeId, PartitionId, Timestamp, TopicId};
use freshet_wire::{
    DescribeClusterRequest, DescribeLogDirsRequest, UnregisterBrokerRequest,
    UnregisterBrokerResponse,
};

use super::{Admin, ConfigChange, Resource, TopicPartition};
use crate::ClientError;

/// The setting that keeps new partitions away from directories.
const CORDONED_DIRS: &str = "cordoned.log.dirs";

/// The cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterDescription {
    /// Its id.
    pub cluster_id: String,
    /// The active controller, as far as clients may know.
    pub controller: Option<NodeId>,
    /// Its brokers.
    pub nodes: Vec<ClusterNode>,
}

/// A broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterNode {
    /// Its id.
    pub id: NodeId,
    /// Where clients reach it.
    pub host: String,
    /// And at which port.
    pub port: i32,
    /// Where it stands.
    pub rack: Option<String>,
    /// Whether the controller keeps it out of service.
    pub fenced: bool,
}

/// A log directory of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDir {
    /// Its path.
    pub path: String,
    /// Why it is out of service, if it is.
    pub error: Option<String>,
    /// Bytes of its volume; -1 if unknown.
    pub total_bytes: i64,
    /// Bytes of its volume that are left; -1 if unknown.
    pub usable_bytes: i64,
    /// Whether new partitions are kept away from it.
    pub cordoned: bool,
    /// Whether its disk has become slow. Not told by other brokers than Freshet's; then it is well.
    pub slow: bool,
    /// The same for a disk that has no room for producers.
    pub full: bool,
    /// Bytes of its volume that producers must leave free; 0 if nobody tells.
    pub reserve_bytes: i64,
    /// What it holds.
    pub partitions: Vec<LogDirPartition>,
}

impl LogDir {
    /// What is wrong with it, one word each.
    pub fn troubles(&self) -> Vec<&'static str> {
        let known = [
            (self.error.is_some(), "failed"),
            (self.slow, "slow"),
            (self.full, "full"),
        ];
        let present = known.into_iter().filter(|(present, _)| *present);
        present.map(|(_, word)| word).collect()
    }
}

/// An election that may have lost acknowledged records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UncleanElection {
    /// The topic; none when it is gone.
    pub topic: Option<String>,
    /// Its id.
    pub topic_id: TopicId,
    /// Which of its partitions.
    pub partition: PartitionId,
    /// Who was elected.
    pub leader: NodeId,
    /// Since which epoch it leads.
    pub leader_epoch: i32,
    /// Why: 0 by a setting, 1 because somebody asked for it, 2 since the last one known to have everything came
    /// back.
    pub cause: i8,
    /// When.
    pub time: Timestamp,
}

/// A partition's log in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDirPartition {
    /// The partition.
    pub partition: TopicPartition,
    /// Bytes of its log.
    pub size_bytes: i64,
    /// Records it is behind.
    pub lag: i64,
}

impl Admin {
    /// The cluster and its brokers, fenced ones included where the broker tells them.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, ClientError> {
        let all = DescribeClusterRequest {
            include_fenced_brokers: true,
            ..DescribeClusterRequest::default()
        };
        let response = match self.client.call_any(&all).await {
            // The broker is too old to tell of fenced ones.
            Err(ClientError::Encode(_)) => {
                let active = DescribeClusterRequest::default();
                self.client.call_any(&active).await?
            }
            told => told?,
        };
        ClientError::check(
            response.error_code,
            response.error_message.as_deref(),
            || "the cluster cannot be described".to_owned(),
        )?;
        let mut nodes: Vec<_> = response
            .brokers
            .into_iter()
            .map(|b| ClusterNode {
                id: NodeId(b.broker_id),
                host: b.host,
                port: b.port,
                rack: b.rack,
                fenced: b.is_fenced,
            })
            .collect();
        nodes.sort_by_key(|n| n.id);
        Ok(ClusterDescription {
            cluster_id: response.cluster_id,
            controller: Some(NodeId(response.controller_id)).filter(|n| n.0 >= 0),
            nodes,
        })
    }

    /// The latest elections that may have lost acknowledged records, the oldest first; the cluster keeps 100.
    /// None by brokers that do not know what is asked.
    pub async fn unclean_elections(&self) -> Result<Vec<UncleanElection>, ClientError> {
        let request = DescribeClusterRequest {
            include_unclean_elections: true,
            ..DescribeClusterRequest::default()
        };
        let response = self.client.call_any(&request).await?;
        let message = response.error_message.as_deref();
        let what = || "unclean elections cannot be listed".to_owned();
        ClientError::check(response.error_code, message, what)?;
        let elections = response.unclean_elections.into_iter();
        let told = elections.map(|election| UncleanElection {
            topic: election.topic,
            topic_id: election.topic_id,
            partition: election.partition_index,
            leader: NodeId(election.leader_id),
            leader_epoch: election.leader_epoch,
            cause: election.cause,
            time: Timestamp(election.timestamp_ms),
        });
        Ok(told.collect())
    }

    /// Keeps new partitions away from a broker, or lets them come again (KIP-1066). What it has
    /// stays.
    pub async fn cordon_broker(&self, node: NodeId, cordoned: bool) -> Result<(), ClientError> {
        let change = if cordoned {
            ConfigChange::set(CORDONED_DIRS, "*")
        } else {
            ConfigChange::unset(CORDONED_DIRS)
        };
        let resource = Resource::Broker(node);
        self.alter_configs(&resource, &[change], false).await
    }

    /// Forgets a broker that is gone and keeps no replicas.
    pub async fn unregister_broker(&self, node: NodeId) -> Result<(), ClientError> {
        let request = UnregisterBrokerRequest { broker_id: node.0 };
        let refused = |r: &UnregisterBrokerResponse| r.error_code;
        let response = self.client.call_controller(&request, refused).await?;
        let what = || format!("broker {node} was not unregistered");
        ClientError::check(response.error_code, response.error_message.as_deref(), what)
    }

    /// What the log directories of a broker hold.
    pub async fn describe_log_dirs(&self, node: NodeId) -> Result<Vec<LogDir>, ClientError> {
        let request = DescribeLogDirsRequest { topics: None };
        let response = self.client.call_broker(node, &request).await?;
        let what = || format!("the log directories of broker {node} cannot be read");
        ClientError::check(response.error_code, None, what)?;
        let dirs = response.results.into_iter().map(|dir| {
            let error = ClientError::check(dir.error_code, None, || dir.log_dir.clone()).err();
            let mut partitions = Vec::new();
            for topic in dir.topics {
                partitions.extend(topic.partitions.iter().map(|p| LogDirPartition {
                    partition: (topic.name.clone(), p.partition_index),
                    size_bytes: p.partition_size,
                    lag: p.offset_lag,
                }));
            }
            LogDir {
                path: dir.log_dir,
                error: error.map(|e| e.to_string()),
                total_bytes: dir.total_bytes,
                usable_bytes: dir.usable_bytes,
                cordoned: dir.is_cordoned,
                slow: dir.is_slow,
                full: dir.is_full,
                reserve_bytes: dir.reserve_bytes,
                partitions,
            }
        });
        Ok(dirs.collect())
    }
}
