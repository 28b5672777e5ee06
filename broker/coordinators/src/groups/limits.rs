//! What bounds a shard of groups.

/// Limits and times of one shard, from the broker's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// group.min.session.timeout.ms
    pub session_timeout_min_ms: i32,
    /// group.max.session.timeout.ms
    pub session_timeout_max_ms: i32,
    /// group.initial.rebalance.delay.ms: how long an empty group waits for more first members.
    pub initial_rebalance_delay_ms: u64,
    /// group.max.size: members of one group.
    pub members: usize,
    /// Members of one group that were given an id and have not come back with it (KIP-394). More
    /// are told to try again later.
    pub pending_members: usize,
    /// Bytes of all protocols of one member together.
    pub member_bytes: usize,
    /// Bytes of all subscriptions and assignments of one group: what must fit into one record.
    pub group_bytes: usize,
    /// freshet.groups.max: groups of one shard, those with nothing but offsets included.
    pub groups: usize,
    /// offset.metadata.max.bytes: UTF-16 units of text committed with an offset, as Kafka counts.
    pub offset_metadata: usize,
    /// offsets.retention.minutes, in milliseconds.
    pub offsets_retention_ms: i64,
    /// offsets.retention.check.interval.ms
    pub expiry_interval_ms: u64,
    /// A new member whose first JoinGroup waits for longer than this is taken for gone: the client
    /// has given the connection up, and comes back with another id.
    pub new_member_join_timeout_ms: u64,
    /// Tombstones written by one round of expiry; the next round follows at once.
    pub expire_at_once: usize,
}

impl Default for Limits {
    /// Kafka's defaults where Kafka has the limit.
    fn default() -> Self {
        Self {
            session_timeout_min_ms: 6_000,
            session_timeout_max_ms: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            members: i32::MAX as usize,
            pending_members: 10_000,
            member_bytes: 1 << 20,
            group_bytes: 16 << 20,
            groups: 100_000,
            offset_metadata: 4_096,
            offsets_retention_ms: 7 * 24 * 3_600_000,
            expiry_interval_ms: 600_000,
            new_member_join_timeout_ms: 300_000,
            expire_at_once: 4_096,
        }
    }
}
