//! DeleteTopics (key 20): by name, and by id from version 6 on (KIP-516).

use freshet_codec::Message;
use freshet_types::TopicId;

use crate::{ApiKey, Request};

/// Topics to delete.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "1-6", flexible = "4+")]
pub struct DeleteTopicsRequest {
    /// By name or id.
    #[field(versions = "6+")]
    pub topics: Vec<DeleteTopicState>,
    /// By name.
    #[field(versions = "1-5", ignorable)]
    pub topic_names: Vec<String>,
    /// Milliseconds to wait until the topics are gone.
    pub timeout_ms: i32,
}

/// One topic: exactly one of name and id is given.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DeleteTopicState {
    /// Its name; null when the id is given.
    pub name: Option<String>,
    /// Its id; zero when the name is given.
    pub topic_id: TopicId,
}

/// The outcome.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "1-6", flexible = "4+")]
pub struct DeleteTopicsResponse {
    /// Milliseconds the client is muted because of a quota.
    pub throttle_time_ms: i32,
    /// Outcome by topic.
    pub responses: Vec<DeletableTopicResult>,
}

/// The outcome for one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DeletableTopicResult {
    /// Its name; null when an id is unknown or its name may not be seen.
    #[field(nullable = "6+")]
    pub name: Option<String>,
    /// Its id.
    #[field(versions = "6+", ignorable)]
    pub topic_id: TopicId,
    /// 0 or the error.
    pub error_code: i16,
    /// The error in words.
    #[field(versions = "5+", ignorable)]
    pub error_message: Option<String>,
}

impl Request for DeleteTopicsRequest {
    const KEY: ApiKey = ApiKey::DeleteTopics;
    type Response = DeleteTopicsResponse;
}
