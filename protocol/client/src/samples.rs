//! What several tests begin with.

use freshet_types::NodeId;

use crate::{ClusterNode, Held, LogDir, Seen};

/// A broker that is well, with so much room on its one disk of `total` bytes.
pub(crate) fn broker(id: i32, (usable, total): (i64, i64)) -> (NodeId, Seen) {
    let dir = LogDir {
        path: "/d".to_owned(),
        error: None,
        total_bytes: total,
        usable_bytes: usable,
        cordoned: false,
        slow: false,
        full: false,
        reserve_bytes: 0,
        partitions: Vec::new(),
    };
    let node = ClusterNode {
        id: NodeId(id),
        host: "h".to_owned(),
        port: 1,
        rack: None,
        fenced: false,
    };
    let dirs = Some(vec![dir]);
    (NodeId(id), Seen { node, dirs })
}

/// A partition whose replicas are all in sync; the first leads.
pub(crate) fn held(topic: &str, partition: i32, replicas: &[i32]) -> Held {
    let replicas: Vec<_> = replicas.iter().copied().map(NodeId).collect();
    Held {
        partition: (topic.to_owned(), partition),
        leader: replicas.first().copied(),
        isr: replicas.clone(),
        replicas,
        adding: Vec::new(),
        removing: Vec::new(),
    }
}
