//! Who was heard of, and when. Soft state of the active controller: it is in no record, and a new
//! controller starts by giving everybody a full session, except the one it succeeds.

use std::collections::BTreeMap;

use freshet_types::{Millis, NodeId};

/// One broker as the active controller hears it.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// When it was heard last.
    pub(crate) heard: Millis,
    /// The version of its image, as it said last.
    pub(crate) version: u64,
    /// The version that it must reach before it serves.
    pub(crate) catch_up: u64,
    /// The version that everybody else must reach before it may stop; since when it leads nothing
    /// that somebody else could lead.
    pub(crate) leaves_at: Option<u64>,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    by_node: BTreeMap<NodeId, Session>,
    /// When the timer is due; `None` while it is not set.
    pub(crate) due: Option<Millis>,
    /// The last time the timer was late, and everybody got another session.
    pub(crate) pardoned: bool,
}

impl Sessions {
    pub(crate) fn get(&self, node: NodeId) -> Option<&Session> {
        self.by_node.get(&node)
    }

    pub(crate) fn get_mut(&mut self, node: NodeId) -> Option<&mut Session> {
        self.by_node.get_mut(&node)
    }

    pub(crate) fn remove(&mut self, node: NodeId) {
        self.by_node.remove(&node);
    }

    /// A session that begins: `node` must see `catch_up` before it serves.
    pub(crate) fn begin(&mut self, node: NodeId, now: Millis, catch_up: u64) {
        let session = Session {
            heard: now,
            version: 0,
            catch_up,
            leaves_at: None,
        };
        self.by_node.insert(node, session);
    }

    /// Who was heard longest ago.
    pub(crate) fn earliest(&self) -> Option<Millis> {
        self.by_node.values().map(|session| session.heard).min()
    }

    /// Who was not heard for `timeout_ms`. Their sessions end.
    pub(crate) fn end_silent(&mut self, now: Millis, timeout_ms: u64) -> Vec<NodeId> {
        let silent = |session: &Session| now - session.heard >= timeout_ms;
        let ended = self.by_node.iter().filter(|(_, s)| silent(s));
        let ended: Vec<NodeId> = ended.map(|(node, _)| *node).collect();
        self.by_node.retain(|_, session| !silent(session));
        ended
    }

    /// Everybody counts as heard now.
    pub(crate) fn extend_all(&mut self, now: Millis) {
        self.by_node.values_mut().for_each(|s| s.heard = now);
    }

    /// Whether `node` was heard within `timeout_ms`.
    pub(crate) fn is_alive(&self, node: NodeId, now: Millis, timeout_ms: u64) -> bool {
        let session = self.by_node.get(&node);
        session.is_some_and(|session| now - session.heard < timeout_ms)
    }
}
