//! The one list of declared APIs.

/// Calls the macro `$then` with `module Request Response,` for every declared API, in the order of
/// their keys. Tests, tables and re-exports are made from it.
#[macro_export]
macro_rules! for_each_api {
    ($then:ident) => {
        $then! {
            produce ProduceRequest ProduceResponse,
            fetch FetchRequest FetchResponse,
            list_offsets ListOffsetsRequest ListOffsetsResponse,
            metadata MetadataRequest MetadataResponse,
            offset_commit OffsetCommitRequest OffsetCommitResponse,
            offset_fetch OffsetFetchRequest OffsetFetchResponse,
            find_coordinator FindCoordinatorRequest FindCoordinatorResponse,
            join_group JoinGroupRequest JoinGroupResponse,
            heartbeat HeartbeatRequest HeartbeatResponse,
            leave_group LeaveGroupRequest LeaveGroupResponse,
            sync_group SyncGroupRequest SyncGroupResponse,
            describe_groups DescribeGroupsRequest DescribeGroupsResponse,
            list_groups ListGroupsRequest ListGroupsResponse,
            sasl_handshake SaslHandshakeRequest SaslHandshakeResponse,
            api_versions ApiVersionsRequest ApiVersionsResponse,
            create_topics CreateTopicsRequest CreateTopicsResponse,
            delete_topics DeleteTopicsRequest DeleteTopicsResponse,
            delete_records DeleteRecordsRequest DeleteRecordsResponse,
            init_producer_id InitProducerIdRequest InitProducerIdResponse,
            offset_for_leader_epoch OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse,
            describe_configs DescribeConfigsRequest DescribeConfigsResponse,
            alter_configs AlterConfigsRequest AlterConfigsResponse,
            describe_log_dirs DescribeLogDirsRequest DescribeLogDirsResponse,
            sasl_authenticate SaslAuthenticateRequest SaslAuthenticateResponse,
            create_partitions CreatePartitionsRequest CreatePartitionsResponse,
            delete_groups DeleteGroupsRequest DeleteGroupsResponse,
            incremental_alter_configs IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse,
            offset_delete OffsetDeleteRequest OffsetDeleteResponse,
            describe_cluster DescribeClusterRequest DescribeClusterResponse,
            list_config_resources ListConfigResourcesRequest ListConfigResourcesResponse,
            describe_topic_partitions DescribeTopicPartitionsRequest DescribeTopicPartitionsResponse,
        }
    };
}
