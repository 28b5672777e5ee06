//! Every Kafka API as declared structs, one file each; sans-io, and the same for client and server.
//!
//! An API is one file: `XxxRequest`, `XxxResponse` and the structs inside of them under Kafka's own
//! names, at the version range of Kafka 4.4. Its request implements [`Request`], and it is named
//! twice: as a module below, and in [`for_each_api`]. Requests and responses are re-exported here;
//! the structs inside of them are reached through the module, because Kafka reuses their names.
//! Where Kafka gives one name to a struct of a request and to another one of its response, the
//! latter ends in `Response` here.
//!
//! ```
//! use freshet_codec::Message;
//! use freshet_wire::{ApiKey, MetadataRequest, Request, RequestHeader, encode_request};
//!
//! let request = MetadataRequest { topics: None, ..Default::default() };
//! let version = *MetadataRequest::VERSIONS.end();
//! let header = RequestHeader::of::<MetadataRequest>(version, 1, Some("docs"));
//! let frame = encode_request(&header, &request)?;
//! assert_eq!(MetadataRequest::KEY, ApiKey::Metadata);
//! assert_eq!(frame.len(), 23);
//! # Ok::<(), freshet_codec::EncodeError>(())
//! ```

mod api_key;
mod apis;
mod error_code;
mod frame;
mod header;
mod request;

pub mod add_raft_voter;
pub mod allocate_producer_ids;
pub mod alter_configs;
pub mod alter_partition;
pub mod alter_partition_reassignments;
pub mod alter_replica_log_dirs;
pub mod api_versions;
pub mod assign_replicas_to_dirs;
pub mod begin_quorum_epoch;
pub mod broker_heartbeat;
pub mod broker_registration;
pub mod controller_registration;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_quorum;
pub mod describe_topic_partitions;
pub mod elect_leaders;
pub mod end_quorum_epoch;
pub mod envelope;
pub mod fetch;
pub mod fetch_snapshot;
pub mod find_coordinator;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_config_resources;
pub mod list_groups;
pub mod list_offsets;
pub mod list_partition_reassignments;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod peer;
pub mod produce;
pub mod remove_raft_voter;
pub mod sasl_authenticate;
pub mod sasl_handshake;
pub mod sync_group;
pub mod unregister_broker;
pub mod unregister_controller;
pub mod update_features;
pub mod update_raft_voter;
pub mod vote;

pub use api_key::ApiKey;
pub use error_code::ErrorCode;
pub use frame::{
    FrameError, LENGTH_BYTES, decode_response, encode_request, encode_response, frame_length,
    split_frame,
};
pub use header::{RequestHeader, ResponseHeader};
pub use peer::{PeerRequest, PeerResponse};
pub use request::{APIS, Api, Request};

macro_rules! export {
    ($($module:ident $request:ident $response:ident,)*) => {
        $(pub use $module::{$request, $response};)*
    };
}

for_each_api!(export);
