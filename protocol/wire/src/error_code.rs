//! Kafka's error codes.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $code:literal $variant:ident $name:ident $retry:ident,)*) => {
        /// Every error code of Kafka 4.4. On the wire it is an `i16`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ErrorCode { $($(#[$doc])* $variant = $code,)* }

        impl ErrorCode {
            /// All codes in ascending order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Kafka's name, for example `NOT_LEADER_OR_FOLLOWER`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($name),)* }
            }

            /// Whether Kafka's clients send the same request again after this error.
            pub fn is_retriable(self) -> bool {
                match self { $(Self::$variant => codes!(@ $retry),)* }
            }
        }
    };
    (@ again) => { true };
    (@ final) => { false };
}

codes! {
    /// Something broke on the broker that has no code of its own.
    -1 UnknownServerError UNKNOWN_SERVER_ERROR final,
    /// No error.
    0 None NONE final,
    /// The offset is below the log's start or above its end.
    1 OffsetOutOfRange OFFSET_OUT_OF_RANGE final,
    /// A batch is damaged: wrong CRC, wrong size or not a batch at all.
    2 CorruptMessage CORRUPT_MESSAGE again,
    /// The broker knows no such topic or partition.
    3 UnknownTopicOrPartition UNKNOWN_TOPIC_OR_PARTITION again,
    /// The fetch size is out of range.
    4 InvalidFetchSize INVALID_FETCH_SIZE final,
    /// The partition has no leader at present.
    5 LeaderNotAvailable LEADER_NOT_AVAILABLE again,
    /// This broker is not the leader, or holds no replica, of the partition.
    6 NotLeaderOrFollower NOT_LEADER_OR_FOLLOWER again,
    /// The request took longer than the time it was given.
    7 RequestTimedOut REQUEST_TIMED_OUT again,
    /// The broker is not there.
    8 BrokerNotAvailable BROKER_NOT_AVAILABLE final,
    /// The replica is not there.
    9 ReplicaNotAvailable REPLICA_NOT_AVAILABLE again,
    /// A batch is larger than `max.message.bytes`.
    10 MessageTooLarge MESSAGE_TOO_LARGE final,
    /// The controller has moved on.
    11 StaleControllerEpoch STALE_CONTROLLER_EPOCH final,
    /// The text stored with an offset is too long.
    12 OffsetMetadataTooLarge OFFSET_METADATA_TOO_LARGE final,
    /// The connection was lost before an answer came.
    13 NetworkException NETWORK_EXCEPTION again,
    /// The coordinator still loads its state.
    14 CoordinatorLoadInProgress COORDINATOR_LOAD_IN_PROGRESS again,
    /// There is no coordinator at present.
    15 CoordinatorNotAvailable COORDINATOR_NOT_AVAILABLE again,
    /// Another broker is the coordinator.
    16 NotCoordinator NOT_COORDINATOR again,
    /// The topic's name is illegal, or the topic must not be used this way.
    17 InvalidTopicException INVALID_TOPIC_EXCEPTION final,
    /// The batches are larger than a segment may be.
    18 RecordListTooLarge RECORD_LIST_TOO_LARGE final,
    /// Too few replicas are in sync; nothing was written.
    19 NotEnoughReplicas NOT_ENOUGH_REPLICAS again,
    /// Written, but too few replicas were in sync to confirm it.
    20 NotEnoughReplicasAfterAppend NOT_ENOUGH_REPLICAS_AFTER_APPEND again,
    /// `acks` is not -1, 0 or 1.
    21 InvalidRequiredAcks INVALID_REQUIRED_ACKS final,
    /// The generation is not the group's present one.
    22 IllegalGeneration ILLEGAL_GENERATION final,
    /// The member has no protocol in common with its group.
    23 InconsistentGroupProtocol INCONSISTENT_GROUP_PROTOCOL final,
    /// The group id is illegal.
    24 InvalidGroupId INVALID_GROUP_ID final,
    /// The group has no such member.
    25 UnknownMemberId UNKNOWN_MEMBER_ID final,
    /// The session timeout is outside of the broker's range.
    26 InvalidSessionTimeout INVALID_SESSION_TIMEOUT final,
    /// The group rebalances; the member has to join again.
    27 RebalanceInProgress REBALANCE_IN_PROGRESS final,
    /// The offsets are too large to be stored.
    28 InvalidCommitOffsetSize INVALID_COMMIT_OFFSET_SIZE final,
    /// Not allowed on this topic.
    29 TopicAuthorizationFailed TOPIC_AUTHORIZATION_FAILED final,
    /// Not allowed on this group.
    30 GroupAuthorizationFailed GROUP_AUTHORIZATION_FAILED final,
    /// Not allowed on this cluster.
    31 ClusterAuthorizationFailed CLUSTER_AUTHORIZATION_FAILED final,
    /// A timestamp is outside of the accepted window.
    32 InvalidTimestamp INVALID_TIMESTAMP final,
    /// The broker does not offer this SASL mechanism.
    33 UnsupportedSaslMechanism UNSUPPORTED_SASL_MECHANISM final,
    /// The request does not fit into the present step of authentication.
    34 IllegalSaslState ILLEGAL_SASL_STATE final,
    /// The version of the API is not served.
    35 UnsupportedVersion UNSUPPORTED_VERSION final,
    /// A topic of this name exists.
    36 TopicAlreadyExists TOPIC_ALREADY_EXISTS final,
    /// The number of partitions is illegal.
    37 InvalidPartitions INVALID_PARTITIONS final,
    /// The replication factor is below 1 or above the number of brokers.
    38 InvalidReplicationFactor INVALID_REPLICATION_FACTOR final,
    /// The replica assignment is contradictory.
    39 InvalidReplicaAssignment INVALID_REPLICA_ASSIGNMENT final,
    /// A config entry is unknown or its value is illegal.
    40 InvalidConfig INVALID_CONFIG final,
    /// Another node is the controller.
    41 NotController NOT_CONTROLLER again,
    /// The request contradicts itself or the protocol.
    42 InvalidRequest INVALID_REQUEST final,
    /// The message format cannot do this.
    43 UnsupportedForMessageFormat UNSUPPORTED_FOR_MESSAGE_FORMAT final,
    /// A policy of the operator forbids it.
    44 PolicyViolation POLICY_VIOLATION final,
    /// A producer's sequence number has a gap.
    45 OutOfOrderSequenceNumber OUT_OF_ORDER_SEQUENCE_NUMBER final,
    /// A producer's sequence number was seen before.
    46 DuplicateSequenceNumber DUPLICATE_SEQUENCE_NUMBER final,
    /// The producer's epoch is old.
    47 InvalidProducerEpoch INVALID_PRODUCER_EPOCH final,
    /// The transaction cannot do this in its present state.
    48 InvalidTxnState INVALID_TXN_STATE final,
    /// The producer id does not belong to the transactional id.
    49 InvalidProducerIdMapping INVALID_PRODUCER_ID_MAPPING final,
    /// The transaction timeout is above the broker's maximum.
    50 InvalidTransactionTimeout INVALID_TRANSACTION_TIMEOUT final,
    /// Another operation on the same transaction is still running.
    51 ConcurrentTransactions CONCURRENT_TRANSACTIONS again,
    /// The transaction coordinator that sent the marker has been replaced.
    52 TransactionCoordinatorFenced TRANSACTION_COORDINATOR_FENCED final,
    /// Not allowed on this transactional id.
    53 TransactionalIdAuthorizationFailed TRANSACTIONAL_ID_AUTHORIZATION_FAILED final,
    /// Security features are switched off.
    54 SecurityDisabled SECURITY_DISABLED final,
    /// Not tried, because another part of the same request failed.
    55 OperationNotAttempted OPERATION_NOT_ATTEMPTED final,
    /// The disk failed.
    56 KafkaStorageError KAFKA_STORAGE_ERROR again,
    /// The broker has no such log directory.
    57 LogDirNotFound LOG_DIR_NOT_FOUND final,
    /// Wrong credentials.
    58 SaslAuthenticationFailed SASL_AUTHENTICATION_FAILED final,
    /// The broker knows nothing of this producer any more.
    59 UnknownProducerId UNKNOWN_PRODUCER_ID final,
    /// The partition is being moved.
    60 ReassignmentInProgress REASSIGNMENT_IN_PROGRESS final,
    /// Delegation tokens are switched off.
    61 DelegationTokenAuthDisabled DELEGATION_TOKEN_AUTH_DISABLED final,
    /// There is no such delegation token.
    62 DelegationTokenNotFound DELEGATION_TOKEN_NOT_FOUND final,
    /// The token belongs to somebody else.
    63 DelegationTokenOwnerMismatch DELEGATION_TOKEN_OWNER_MISMATCH final,
    /// Tokens are not handed out over this kind of connection.
    64 DelegationTokenRequestNotAllowed DELEGATION_TOKEN_REQUEST_NOT_ALLOWED final,
    /// Not allowed on this delegation token.
    65 DelegationTokenAuthorizationFailed DELEGATION_TOKEN_AUTHORIZATION_FAILED final,
    /// The delegation token has expired.
    66 DelegationTokenExpired DELEGATION_TOKEN_EXPIRED final,
    /// This type of principal is not supported.
    67 InvalidPrincipalType INVALID_PRINCIPAL_TYPE final,
    /// The group still has members.
    68 NonEmptyGroup NON_EMPTY_GROUP final,
    /// There is no such group.
    69 GroupIdNotFound GROUP_ID_NOT_FOUND final,
    /// There is no such fetch session.
    70 FetchSessionIdNotFound FETCH_SESSION_ID_NOT_FOUND again,
    /// The fetch session's epoch is not the expected one.
    71 InvalidFetchSessionEpoch INVALID_FETCH_SESSION_EPOCH again,
    /// The leader does not have the listener that was asked.
    72 ListenerNotFound LISTENER_NOT_FOUND again,
    /// Deleting topics is switched off.
    73 TopicDeletionDisabled TOPIC_DELETION_DISABLED final,
    /// The request's leader epoch is older than the broker's.
    74 FencedLeaderEpoch FENCED_LEADER_EPOCH again,
    /// The request's leader epoch is newer than the broker's.
    75 UnknownLeaderEpoch UNKNOWN_LEADER_EPOCH again,
    /// This version of the request cannot carry the batch's compression.
    76 UnsupportedCompressionType UNSUPPORTED_COMPRESSION_TYPE final,
    /// The broker has registered again since.
    77 StaleBrokerEpoch STALE_BROKER_EPOCH final,
    /// A new leader cannot tell its high watermark yet.
    78 OffsetNotAvailable OFFSET_NOT_AVAILABLE again,
    /// Join again with the member id that this response carries.
    79 MemberIdRequired MEMBER_ID_REQUIRED final,
    /// The preferred leader is not there.
    80 PreferredLeaderNotAvailable PREFERRED_LEADER_NOT_AVAILABLE again,
    /// The group is full.
    81 GroupMaxSizeReached GROUP_MAX_SIZE_REACHED final,
    /// Another member has taken over this static member's name.
    82 FencedInstanceId FENCED_INSTANCE_ID final,
    /// No replica may become leader at present.
    83 EligibleLeadersNotAvailable ELIGIBLE_LEADERS_NOT_AVAILABLE again,
    /// The wanted replica leads already.
    84 ElectionNotNeeded ELECTION_NOT_NEEDED again,
    /// The partition is not being moved.
    85 NoReassignmentInProgress NO_REASSIGNMENT_IN_PROGRESS final,
    /// The group still consumes the topic.
    86 GroupSubscribedToTopic GROUP_SUBSCRIBED_TO_TOPIC final,
    /// A record breaks a rule of the topic.
    87 InvalidRecord INVALID_RECORD final,
    /// The position is part of an unfinished transaction.
    88 UnstableOffsetCommit UNSTABLE_OFFSET_COMMIT again,
    /// A quota is used up.
    89 ThrottlingQuotaExceeded THROTTLING_QUOTA_EXCEEDED again,
    /// A newer producer uses the same transactional id.
    90 ProducerFenced PRODUCER_FENCED final,
    /// There is no such resource.
    91 ResourceNotFound RESOURCE_NOT_FOUND final,
    /// The request names a resource twice.
    92 DuplicateResource DUPLICATE_RESOURCE final,
    /// The credential does not meet the rules.
    93 UnacceptableCredential UNACCEPTABLE_CREDENTIAL final,
    /// Sender or receiver is not among the voters.
    94 InconsistentVoterSet INCONSISTENT_VOTER_SET final,
    /// The version to update to is illegal.
    95 InvalidUpdateVersion INVALID_UPDATE_VERSION final,
    /// A feature level could not be changed.
    96 FeatureUpdateFailed FEATURE_UPDATE_FAILED final,
    /// A forwarded principal could not be read.
    97 PrincipalDeserializationFailure PRINCIPAL_DESERIALIZATION_FAILURE final,
    /// There is no such snapshot.
    98 SnapshotNotFound SNAPSHOT_NOT_FOUND final,
    /// The position is outside of the snapshot.
    99 PositionOutOfRange POSITION_OUT_OF_RANGE final,
    /// The broker knows no topic with this id.
    100 UnknownTopicId UNKNOWN_TOPIC_ID again,
    /// Another live broker has this id.
    101 DuplicateBrokerRegistration DUPLICATE_BROKER_REGISTRATION final,
    /// There is no broker with this id.
    102 BrokerIdNotRegistered BROKER_ID_NOT_REGISTERED final,
    /// The topic's id is not the one in the request.
    103 InconsistentTopicId INCONSISTENT_TOPIC_ID again,
    /// The request is meant for another cluster.
    104 InconsistentClusterId INCONSISTENT_CLUSTER_ID final,
    /// There is no such transactional id.
    105 TransactionalIdNotFound TRANSACTIONAL_ID_NOT_FOUND final,
    /// A fetch session mixes topic names and topic ids.
    106 FetchSessionTopicIdError FETCH_SESSION_TOPIC_ID_ERROR again,
    /// A replica may not join the in-sync set.
    107 IneligibleReplica INELIGIBLE_REPLICA final,
    /// The change was made, and the leader has changed with it.
    108 NewLeaderElected NEW_LEADER_ELECTED final,
    /// The offset lives in tiered storage only.
    109 OffsetMovedToTieredStorage OFFSET_MOVED_TO_TIERED_STORAGE final,
    /// The member has been fenced and must join anew.
    110 FencedMemberEpoch FENCED_MEMBER_EPOCH final,
    /// A static member of this name has not left yet.
    111 UnreleasedInstanceId UNRELEASED_INSTANCE_ID final,
    /// The group cannot use this assignor.
    112 UnsupportedAssignor UNSUPPORTED_ASSIGNOR final,
    /// The member's epoch is old; heartbeat first, then try again.
    113 StaleMemberEpoch STALE_MEMBER_EPOCH final,
    /// The request belongs to the other kind of endpoint, broker or controller.
    114 MismatchedEndpointType MISMATCHED_ENDPOINT_TYPE final,
    /// This kind of endpoint is not supported.
    115 UnsupportedEndpointType UNSUPPORTED_ENDPOINT_TYPE final,
    /// There is no controller with this id.
    116 UnknownControllerId UNKNOWN_CONTROLLER_ID final,
    /// The telemetry subscription is unknown or outdated.
    117 UnknownSubscriptionId UNKNOWN_SUBSCRIPTION_ID final,
    /// The telemetry is larger than the broker takes.
    118 TelemetryTooLarge TELEMETRY_TOO_LARGE final,
    /// The controller rejects the registration.
    119 InvalidRegistration INVALID_REGISTRATION final,
    /// The transaction has to be aborted; then its id can be used again.
    120 TransactionAbortable TRANSACTION_ABORTABLE final,
    /// The record is not in a state to be acknowledged.
    121 InvalidRecordState INVALID_RECORD_STATE final,
    /// There is no such share session.
    122 ShareSessionNotFound SHARE_SESSION_NOT_FOUND again,
    /// The share session's epoch is not the expected one.
    123 InvalidShareSessionEpoch INVALID_SHARE_SESSION_EPOCH again,
    /// The share state's epoch is not the present one.
    124 FencedStateEpoch FENCED_STATE_EPOCH final,
    /// The voter's key is not the receiver's.
    125 InvalidVoterKey INVALID_VOTER_KEY final,
    /// It is a voter already.
    126 DuplicateVoter DUPLICATE_VOTER final,
    /// There is no such voter.
    127 VoterNotFound VOTER_NOT_FOUND final,
    /// The pattern is not a legal regular expression.
    128 InvalidRegularExpression INVALID_REGULAR_EXPRESSION final,
    /// The client's metadata is stale: start again from the bootstrap addresses.
    129 RebootstrapRequired REBOOTSTRAP_REQUIRED final,
    /// The streams topology is illegal.
    130 StreamsInvalidTopology STREAMS_INVALID_TOPOLOGY final,
    /// The streams topology's epoch is illegal.
    131 StreamsInvalidTopologyEpoch STREAMS_INVALID_TOPOLOGY_EPOCH final,
    /// The streams topology's epoch is outdated.
    132 StreamsTopologyFenced STREAMS_TOPOLOGY_FENCED final,
    /// The broker holds no more share sessions.
    133 ShareSessionLimitReached SHARE_SESSION_LIMIT_REACHED again,
    /// A group could not be deleted; its own message says why.
    134 GroupDeletionFailed GROUP_DELETION_FAILED final,
    /// The topology's description could not be stored.
    135 StreamsTopologyDescriptionUpdateFailed STREAMS_TOPOLOGY_DESCRIPTION_UPDATE_FAILED final,
    /// There is no controller registered with this id.
    136 ControllerIdNotRegistered CONTROLLER_ID_NOT_REGISTERED final,
}

impl ErrorCode {
    /// The error with this code.
    pub fn from_code(code: i16) -> Option<Self> {
        let index = usize::try_from(code.checked_sub(Self::ALL[0].code())?).ok()?;
        Self::ALL.get(index).copied()
    }

    /// The code on the wire.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// Whether this is an error at all.
    pub fn is_error(self) -> bool {
        self != Self::None
    }
}

impl From<ErrorCode> for i16 {
    fn from(code: ErrorCode) -> Self {
        code.code()
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_no_gap() {
        assert_eq!(ErrorCode::ALL.len(), 138);
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_code(code.code()), Some(*code));
        }
        for unknown in [i16::MIN, -2, 137, i16::MAX] {
            assert_eq!(ErrorCode::from_code(unknown), None);
        }
    }

    #[test]
    fn names_are_kafkas() {
        assert_eq!(
            ErrorCode::UnknownServerError.to_string(),
            "UNKNOWN_SERVER_ERROR (-1)"
        );
        assert_eq!(
            ErrorCode::from_code(74).map(ErrorCode::name),
            Some("FENCED_LEADER_EPOCH")
        );
        assert!(ErrorCode::NotLeaderOrFollower.is_retriable());
        assert!(!ErrorCode::InvalidRequest.is_retriable());
    }
}
