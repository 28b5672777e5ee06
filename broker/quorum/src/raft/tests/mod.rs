//! Exams: openraft's own for its storage, ours for bytes and for real threads.

mod exam;
mod messages;
mod threads;

use freshet_types::{NodeId, TopicId};

use super::peer::PeerId;

impl From<u64> for PeerId {
    fn from(number: u64) -> Self {
        let node = NodeId(i32::try_from(number).expect("tests use small numbers"));
        Self {
            node,
            directory: TopicId::default(),
        }
    }
}
