//! The keys of Kafka's APIs.

use std::fmt;

macro_rules! keys {
    ($($(#[$doc:meta])* $key:literal $name:ident,)*) => {
        /// Every API that Kafka 4.4 has a key for, whether or not it is declared here, and one of ours.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ApiKey {
            $($(#[$doc])* $name = $key,)*
            /// Not Kafka's: what the nodes of a cluster say to each other.
            Peer = 12_000,
        }

        impl ApiKey {
            /// All of Kafka's keys in ascending order; the key is the index.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Kafka's name of the API, for example `ListOffsets`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                    Self::Peer => "Peer",
                }
            }
        }
    };
}

keys! {
    /// Appends record batches.
    0 Produce,
    /// Reads record batches.
    1 Fetch,
    /// Finds offsets by time.
    2 ListOffsets,
    /// Tells brokers, topics and leaders.
    3 Metadata,
    /// Removed in Kafka 4.0.
    4 LeaderAndIsr,
    /// Removed in Kafka 4.0.
    5 StopReplica,
    /// Removed in Kafka 4.0.
    6 UpdateMetadata,
    /// Removed in Kafka 4.0.
    7 ControlledShutdown,
    /// Stores a group's positions.
    8 OffsetCommit,
    /// Reads a group's positions.
    9 OffsetFetch,
    /// Finds the broker that looks after a group or transactional id.
    10 FindCoordinator,
    /// Enters a rebalance of a classic group.
    11 JoinGroup,
    /// Keeps a member of a classic group alive.
    12 Heartbeat,
    /// Leaves a classic group.
    13 LeaveGroup,
    /// Hands out a classic group's assignment.
    14 SyncGroup,
    /// Shows classic groups.
    15 DescribeGroups,
    /// Lists groups.
    16 ListGroups,
    /// Chooses a SASL mechanism.
    17 SaslHandshake,
    /// Tells which APIs and versions are served.
    18 ApiVersions,
    /// Creates topics.
    19 CreateTopics,
    /// Deletes topics.
    20 DeleteTopics,
    /// Moves log starts forward.
    21 DeleteRecords,
    /// Gives a producer its id and epoch.
    22 InitProducerId,
    /// Finds where a leader epoch ends.
    23 OffsetForLeaderEpoch,
    /// Adds partitions to a transaction.
    24 AddPartitionsToTxn,
    /// Adds a group's offsets to a transaction.
    25 AddOffsetsToTxn,
    /// Commits or aborts a transaction.
    26 EndTxn,
    /// Writes commit and abort markers.
    27 WriteTxnMarkers,
    /// Stores a group's positions in a transaction.
    28 TxnOffsetCommit,
    /// Shows access rules.
    29 DescribeAcls,
    /// Adds access rules.
    30 CreateAcls,
    /// Removes access rules.
    31 DeleteAcls,
    /// Shows configs.
    32 DescribeConfigs,
    /// Replaces configs.
    33 AlterConfigs,
    /// Moves replicas between log directories.
    34 AlterReplicaLogDirs,
    /// Shows log directories.
    35 DescribeLogDirs,
    /// Carries one SASL token.
    36 SaslAuthenticate,
    /// Adds partitions to topics.
    37 CreatePartitions,
    /// Makes a delegation token.
    38 CreateDelegationToken,
    /// Renews a delegation token.
    39 RenewDelegationToken,
    /// Expires a delegation token.
    40 ExpireDelegationToken,
    /// Shows delegation tokens.
    41 DescribeDelegationToken,
    /// Deletes groups.
    42 DeleteGroups,
    /// Elects partition leaders.
    43 ElectLeaders,
    /// Changes single config entries.
    44 IncrementalAlterConfigs,
    /// Starts and cancels moves of partitions.
    45 AlterPartitionReassignments,
    /// Lists moves of partitions.
    46 ListPartitionReassignments,
    /// Deletes a group's positions.
    47 OffsetDelete,
    /// Shows quotas.
    48 DescribeClientQuotas,
    /// Changes quotas.
    49 AlterClientQuotas,
    /// Shows SCRAM users.
    50 DescribeUserScramCredentials,
    /// Changes SCRAM users.
    51 AlterUserScramCredentials,
    /// Asks for a vote in the metadata quorum.
    52 Vote,
    /// Announces a leader of the metadata quorum.
    53 BeginQuorumEpoch,
    /// Resigns as leader of the metadata quorum.
    54 EndQuorumEpoch,
    /// Shows the metadata quorum.
    55 DescribeQuorum,
    /// Changes a partition's in-sync replicas.
    56 AlterPartition,
    /// Finalizes feature levels.
    57 UpdateFeatures,
    /// Forwards a request to the controller.
    58 Envelope,
    /// Reads a snapshot of the metadata log.
    59 FetchSnapshot,
    /// Tells the cluster's brokers.
    60 DescribeCluster,
    /// Shows the active producers of partitions.
    61 DescribeProducers,
    /// Registers a broker with the controller.
    62 BrokerRegistration,
    /// Keeps a broker's registration alive.
    63 BrokerHeartbeat,
    /// Removes a broker for good.
    64 UnregisterBroker,
    /// Shows transactions.
    65 DescribeTransactions,
    /// Lists transactions.
    66 ListTransactions,
    /// Gives a broker a block of producer ids.
    67 AllocateProducerIds,
    /// Joins, keeps and leaves a consumer group (KIP-848).
    68 ConsumerGroupHeartbeat,
    /// Shows consumer groups (KIP-848).
    69 ConsumerGroupDescribe,
    /// Registers a controller.
    70 ControllerRegistration,
    /// Asks which client metrics are wanted.
    71 GetTelemetrySubscriptions,
    /// Sends client metrics.
    72 PushTelemetry,
    /// Tells which directory holds which replica.
    73 AssignReplicasToDirs,
    /// Lists the resources that have configs.
    74 ListConfigResources,
    /// Shows topics, page by page.
    75 DescribeTopicPartitions,
    /// Joins, keeps and leaves a share group (KIP-932).
    76 ShareGroupHeartbeat,
    /// Shows share groups.
    77 ShareGroupDescribe,
    /// Acquires records for a share group.
    78 ShareFetch,
    /// Acknowledges records of a share group.
    79 ShareAcknowledge,
    /// Adds a voter to the metadata quorum.
    80 AddRaftVoter,
    /// Removes a voter from the metadata quorum.
    81 RemoveRaftVoter,
    /// Changes a voter's endpoints.
    82 UpdateRaftVoter,
    /// Starts the state of a share partition.
    83 InitializeShareGroupState,
    /// Reads the state of a share partition.
    84 ReadShareGroupState,
    /// Writes the state of a share partition.
    85 WriteShareGroupState,
    /// Deletes the state of a share partition.
    86 DeleteShareGroupState,
    /// Reads a summary of the state of a share partition.
    87 ReadShareGroupStateSummary,
    /// Joins, keeps and leaves a streams group (KIP-1071).
    88 StreamsGroupHeartbeat,
    /// Shows streams groups.
    89 StreamsGroupDescribe,
    /// Shows a share group's start offsets.
    90 DescribeShareGroupOffsets,
    /// Changes a share group's start offsets.
    91 AlterShareGroupOffsets,
    /// Deletes a share group's start offsets.
    92 DeleteShareGroupOffsets,
    /// Stores the description of a streams topology.
    93 StreamsGroupTopologyDescriptionUpdate,
    /// Removes a controller for good.
    94 UnregisterController,
}

impl ApiKey {
    /// Kafka's API with this key.
    pub fn from_code(key: i16) -> Option<Self> {
        Self::ALL.get(usize::try_from(key).ok()?).copied()
    }

    /// The key on the wire.
    pub fn code(self) -> i16 {
        self as i16
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_the_index() {
        assert_eq!(ApiKey::ALL.len(), 95);
        for (i, key) in ApiKey::ALL.iter().enumerate() {
            assert_eq!(key.code() as usize, i);
            assert_eq!(ApiKey::from_code(key.code()), Some(*key));
        }
        assert_eq!(ApiKey::from_code(-1), None);
        assert_eq!(ApiKey::from_code(95), None);
    }
}
