//! The only place where errors of the house become Kafka's codes. Every match is exhaustive: a new
//! variant does not compile until somebody has chosen its code, and a wrong code makes correct
//! clients lose or duplicate data.

pub(super) mod refusal;

use freshet_coordinators::groups::api::{GroupError, OffsetError};
use freshet_log::{AppendError, LogError, ReadError as LogReadError};
use freshet_metadata::MetadataError;
use freshet_partition::replication::FetchRefusal;
use freshet_partition::{
    ColdError, HostError, MoveError, ProduceError, ReadError, ReplicaFetchError, TrimError,
};
use freshet_quorum::{QuorumError, VotersError};
use freshet_types::TopicName;
use freshet_wire::ErrorCode;

use crate::kafka::context::locate::LocateError;
use crate::kafka::producer_ids::ProducerIdError;
use crate::kafka::sessions::SessionError;

/// The code for a name that no topic has.
pub(crate) fn unknown_topic(name: &str) -> ErrorCode {
    match TopicName::new(name) {
        Ok(_) => ErrorCode::UnknownTopicOrPartition,
        Err(_) => ErrorCode::InvalidTopicException,
    }
}

/// An error that clients may see.
pub(crate) trait Coded {
    /// Its code on the wire.
    fn code(&self) -> ErrorCode;
}

impl Coded for MoveError {
    fn code(&self) -> ErrorCode {
        match self {
            // Asked again, it may have come.
            Self::NotHere | Self::TooMany | Self::Stopping => ErrorCode::ReplicaNotAvailable,
            Self::NameTooLong => ErrorCode::InvalidTopicException,
            Self::Offline(_) => ErrorCode::KafkaStorageError,
        }
    }
}

impl Coded for LogError {
    fn code(&self) -> ErrorCode {
        match self {
            // Retriable: the client refreshes its metadata and finds another leader, or waits.
            Self::Offline { .. } | Self::DiskFull { .. } | Self::Corrupt { .. } => {
                ErrorCode::KafkaStorageError
            }
            Self::Closed { .. } => ErrorCode::NotLeaderOrFollower,
            Self::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            Self::Fenced { .. } => ErrorCode::FencedLeaderEpoch,
        }
    }
}

impl Coded for AppendError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Damaged { .. } => ErrorCode::CorruptMessage,
            Self::TooLarge { .. } => ErrorCode::MessageTooLarge,
            Self::InvalidRecord { .. } => ErrorCode::InvalidRecord,
            Self::InvalidTimestamp { .. } => ErrorCode::InvalidTimestamp,
            Self::UnsupportedCompression { .. } => ErrorCode::UnsupportedCompressionType,
            Self::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
            Self::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
            Self::InvalidTransactionState { .. } => ErrorCode::InvalidTxnState,
            Self::NotNext { .. } => ErrorCode::UnknownServerError,
            // Retriable, and it makes the client look for another leader meanwhile.
            Self::DiskFull { .. } => ErrorCode::KafkaStorageError,
            // Retriable without a change of sequence: nothing was written.
            Self::Busy(_) => ErrorCode::RequestTimedOut,
            Self::Log(error) => error.code(),
        }
    }
}

impl Coded for ProduceError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotLeader => ErrorCode::NotLeaderOrFollower,
            Self::NotEnoughReplicas { .. } => ErrorCode::NotEnoughReplicas,
            Self::NotEnoughReplicasAfterAppend { .. } => ErrorCode::NotEnoughReplicasAfterAppend,
            Self::TimedOut => ErrorCode::RequestTimedOut,
            Self::Append(error) => error.code(),
        }
    }
}

impl Coded for LogReadError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            Self::Corrupt { .. } => ErrorCode::CorruptMessage,
            Self::Io { .. } | Self::Unreadable { .. } => ErrorCode::KafkaStorageError,
            Self::Log(error) => error.code(),
        }
    }
}

impl Coded for ReadError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::FencedEpoch { .. } => ErrorCode::FencedLeaderEpoch,
            Self::UnknownEpoch { .. } => ErrorCode::UnknownLeaderEpoch,
            Self::Busy(_) => ErrorCode::RequestTimedOut,
            // Clients look for another leader, and come again.
            Self::Damaged(_) | Self::NoStore => ErrorCode::KafkaStorageError,
            Self::PastUnknown => ErrorCode::OffsetNotAvailable,
            Self::Cold(error) => error.code(),
            Self::Log(error) => error.code(),
        }
    }
}

impl Coded for ColdError {
    fn code(&self) -> ErrorCode {
        match self {
            // By a manifest that is older than another one: never "out of range", by which consumers
            // would jump over records that are there.
            Self::OutOfRange { .. } => ErrorCode::OffsetNotAvailable,
            Self::Damaged { .. } => ErrorCode::CorruptMessage,
            Self::Missing { .. } | Self::NoSection { .. } | Self::Busy { .. } | Self::Store(_) => {
                ErrorCode::KafkaStorageError
            }
        }
    }
}

impl Coded for ReplicaFetchError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotLeader => ErrorCode::NotLeaderOrFollower,
            // The leader may not have heard of a new replica yet: it asks again.
            Self::Refused(FetchRefusal::NotAReplica(_)) => ErrorCode::UnknownLeaderEpoch,
            // Kafka's choice; whoever sent it has been replaced by a later life.
            Self::Refused(FetchRefusal::OldBroker { .. }) => ErrorCode::NotLeaderOrFollower,
            Self::Outside(_) | Self::Lacks(_) => ErrorCode::OffsetOutOfRange,
            Self::PastUnknown(_) => ErrorCode::OffsetNotAvailable,
        }
    }
}

impl Coded for TrimError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotLeader => ErrorCode::NotLeaderOrFollower,
            Self::NoStore => ErrorCode::KafkaStorageError,
            Self::Busy(_) => ErrorCode::RequestTimedOut,
            Self::Log(error) => error.code(),
        }
    }
}

impl Coded for LocateError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownTopic | Self::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
            Self::UnknownTopicId => ErrorCode::UnknownTopicId,
            Self::NotLeader => ErrorCode::NotLeaderOrFollower,
            Self::Offline => ErrorCode::KafkaStorageError,
        }
    }
}

impl Coded for SessionError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound => ErrorCode::FetchSessionIdNotFound,
            Self::InvalidEpoch => ErrorCode::InvalidFetchSessionEpoch,
            Self::TopicIds => ErrorCode::FetchSessionTopicIdError,
        }
    }
}

/// A group coordinator that cannot answer.
impl Coded for HostError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Loading(_) => ErrorCode::CoordinatorLoadInProgress,
            Self::NotHere(_) => ErrorCode::NotCoordinator,
            Self::Busy(_) | Self::Storage(_) => ErrorCode::CoordinatorNotAvailable,
        }
    }
}

impl Coded for MetadataError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Name(_) | Self::Collision { .. } => ErrorCode::InvalidTopicException,
            Self::TopicExists { .. } => ErrorCode::TopicAlreadyExists,
            Self::UnknownTopic { .. } => ErrorCode::UnknownTopicOrPartition,
            Self::UnknownTopicId { .. } => ErrorCode::UnknownTopicId,
            Self::DeletionDisabled => ErrorCode::TopicDeletionDisabled,
            Self::Partitions { .. } => ErrorCode::InvalidPartitions,
            Self::ReplicationFactor { .. } => ErrorCode::InvalidReplicationFactor,
            Self::Assignment { .. } => ErrorCode::InvalidReplicaAssignment,
            Self::Request { .. } => ErrorCode::InvalidRequest,
            Self::Config(_) => ErrorCode::InvalidConfig,
            Self::Limit { .. } => ErrorCode::PolicyViolation,
            Self::UnknownBroker { .. } => ErrorCode::BrokerIdNotRegistered,
            Self::StaleBroker { .. } => ErrorCode::StaleBrokerEpoch,
            Self::DuplicateBroker { .. } => ErrorCode::DuplicateBrokerRegistration,
            Self::BrokerFeature { .. } => ErrorCode::UnsupportedVersion,
            Self::BrokerInUse { .. } => ErrorCode::PolicyViolation,
            Self::UnknownPartition { .. } => ErrorCode::UnknownTopicOrPartition,
            Self::StaleLeader { .. } => ErrorCode::FencedLeaderEpoch,
            Self::StalePartition { .. } => ErrorCode::InvalidUpdateVersion,
            // The leader asks again, and finds the controller that it heard of.
            Self::Behind { .. } => ErrorCode::NotController,
            Self::IneligibleReplica { .. } => ErrorCode::IneligibleReplica,
            Self::NoReassignment => ErrorCode::NoReassignmentInProgress,
            Self::ElectionNotNeeded => ErrorCode::ElectionNotNeeded,
            Self::PreferredUnavailable { .. } => ErrorCode::PreferredLeaderNotAvailable,
            Self::NobodyEligible => ErrorCode::EligibleLeadersNotAvailable,
            // Kafka's choice since KRaft.
            Self::Feature { .. } => ErrorCode::InvalidUpdateVersion,
            Self::ProducerIdsExhausted => ErrorCode::UnknownServerError,
        }
    }
}

impl Coded for GroupError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::InvalidGroupId => ErrorCode::InvalidGroupId,
            Self::NotFound => ErrorCode::GroupIdNotFound,
            Self::UnknownMember => ErrorCode::UnknownMemberId,
            Self::FencedInstance => ErrorCode::FencedInstanceId,
            Self::IllegalGeneration => ErrorCode::IllegalGeneration,
            Self::RebalanceInProgress => ErrorCode::RebalanceInProgress,
            Self::InconsistentProtocol => ErrorCode::InconsistentGroupProtocol,
            Self::MemberIdRequired => ErrorCode::MemberIdRequired,
            Self::InvalidSessionTimeout => ErrorCode::InvalidSessionTimeout,
            Self::MaxSizeReached => ErrorCode::GroupMaxSizeReached,
            Self::NotEmpty => ErrorCode::NonEmptyGroup,
            // Kafka's choice for a group record that does not fit into the offsets topic.
            Self::TooLarge => ErrorCode::UnknownServerError,
            Self::Busy => ErrorCode::CoordinatorNotAvailable,
        }
    }
}

impl Coded for OffsetError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::MetadataTooLarge => ErrorCode::OffsetMetadataTooLarge,
            Self::Subscribed => ErrorCode::GroupSubscribedToTopic,
        }
    }
}

impl Coded for QuorumError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Busy | Self::Stopped | Self::Deposed => ErrorCode::RequestTimedOut,
            Self::NotLeader { .. } => ErrorCode::NotController,
            Self::TooLarge { .. } => ErrorCode::InvalidRequest,
            Self::Storage(_) => ErrorCode::KafkaStorageError,
        }
    }
}

impl Coded for VotersError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotLeader { .. } => ErrorCode::NotController,
            // Retriable: the change before, or the newcomer, needs more time.
            Self::InProgress | Self::Behind(_) => ErrorCode::RequestTimedOut,
            Self::Unknown(_) => ErrorCode::VoterNotFound,
            // Not retriable: somebody has to start the others first.
            Self::OnlyVoter(_) | Self::TooFewStay { .. } => ErrorCode::InvalidRequest,
            Self::Taken(_) => ErrorCode::DuplicateBrokerRegistration,
            Self::Quorum(error) => error.code(),
        }
    }
}

impl Coded for ProducerIdError {
    fn code(&self) -> ErrorCode {
        match self {
            // Retriable for InitProducerId, where storage errors are not expected by clients.
            Self::Quorum(_) | Self::Refused(_) => ErrorCode::CoordinatorLoadInProgress,
        }
    }
}
