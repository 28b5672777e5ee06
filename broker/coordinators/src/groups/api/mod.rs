//! What a shard of groups can be asked, and what it answers. None of it is a wire type: a face
//! (broker/server) translates, and knows which API version wants which error where.

mod admin;
mod error;
mod members;
mod offsets;

pub use admin::{
    Delete, DeleteOutcome, Describe, Described, DescribedMember, Kind, List, Listed, State,
};
pub use error::GroupError;
pub use members::{
    Assignment, Heartbeat, Join, JoinRefused, Joined, JoinedMember, Leave, LeaveOutcome, Leaver,
    Protocol, Sync, Synced,
};
pub use offsets::{
    Commit, CommitTopic, DeleteOffsets, DeletedTopic, Fetch, FetchAll, FetchTopic, FetchedTopic,
    ForgetTopics, OffsetError, PartitionCommit, TopicOutcome,
};

/// A request with the type of its answer, so that callers need not take a [`Reply`] apart.
pub trait Ask: Into<Request> {
    /// What comes back.
    type Answer;

    /// The answer inside a reply; `None` when the reply belongs to another request.
    fn answer(reply: Reply) -> Option<Self::Answer>;
}

/// Declares requests and replies together: one line per question.
macro_rules! asks {
    ($( $(#[doc = $doc:literal])* $name:ident => $answer:ty; )*) => {
        /// A question to a shard.
        #[derive(Debug, Clone)]
        pub enum Request {
            $( $(#[doc = $doc])* $name($name), )*
        }

        /// The answer to the request of the same name.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Reply {
            $( #[doc = concat!("Answers [`Request::", stringify!($name), "`].")] $name($answer), )*
        }

        $(
            impl From<$name> for Request {
                fn from(request: $name) -> Self {
                    Self::$name(request)
                }
            }

            impl Ask for $name {
                type Answer = $answer;
                fn answer(reply: Reply) -> Option<$answer> {
                    match reply {
                        Reply::$name(answer) => Some(answer),
                        _ => None,
                    }
                }
            }
        )*
    };
}

asks! {
    /// Enter a group, or stay in it through a rebalance. Waits until the rebalance is over.
    Join => Result<Joined, JoinRefused>;
    /// Fetch one's assignment; the leader brings all of them. Waits for the leader.
    Sync => Result<Synced, GroupError>;
    /// Still alive.
    Heartbeat => Result<(), GroupError>;
    /// Members go, or are sent away.
    Leave => Vec<LeaveOutcome>;
    /// Store offsets.
    Commit => Result<Vec<TopicOutcome>, GroupError>;
    /// Read offsets.
    Fetch => Vec<FetchedTopic>;
    /// Read all offsets; groups that have none are left out.
    FetchAll => Vec<(std::sync::Arc<str>, Vec<FetchedTopic>)>;
    /// Forget offsets of a group.
    DeleteOffsets => Result<Vec<TopicOutcome>, GroupError>;
    /// Forget all offsets of topics that are gone; answers how many there were.
    ForgetTopics => usize;
    /// List groups.
    List => Vec<Listed>;
    /// Describe groups, in the order asked.
    Describe => Vec<Result<Described, GroupError>>;
    /// Delete groups, in the order asked.
    Delete => Vec<DeleteOutcome>;
}
