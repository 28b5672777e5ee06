//! Three nodes on real threads, real files and the real clock.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freshet_env::{SystemClock, SystemDisk};
use freshet_types::{ClusterId, NodeId, TopicId};
use parking_lot::Mutex;

use super::exam::{Piece, Pile};
use crate::{
    Asked, Census, Endpoint, LinkError, Named, Peer, PeerId, PeerLink, Quorum, Raft, RaftDoors,
    RaftOptions,
};

#[derive(Default, Clone)]
struct Room(Arc<Mutex<BTreeMap<NodeId, Arc<Raft<Pile>>>>>);

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Room")
    }
}

impl PeerLink for Room {
    fn ask<'a>(&'a self, peer: &'a Peer, request: Bytes, _within: Duration) -> Asked<'a> {
        Box::pin(async move {
            // Who is not known by its number has its number for a port.
            let port = peer.endpoints.first().map(|at| NodeId(i32::from(at.port)));
            let node = port.unwrap_or(peer.id.node);
            let node = self.0.lock().get(&node).cloned();
            let node = node.ok_or_else(|| LinkError::Unreachable("nobody there".to_owned()))?;
            let refused = |error: crate::MessageError| LinkError::Unreachable(error.to_string());
            node.receive(request).await.map_err(refused)
        })
    }
}

async fn start(room: &Room, home: &std::path::Path, node: i32) -> Arc<Raft<Pile>> {
    let doors = RaftDoors {
        disk: Arc::new(SystemDisk),
        clock: Arc::new(SystemClock::new()),
        link: Arc::new(room.clone()),
    };
    let directory = TopicId([u8::try_from(node).expect("small"); 16]);
    let me = Peer {
        id: PeerId {
            node: NodeId(node),
            directory,
        },
        endpoints: Vec::new(),
    };
    let identity = (ClusterId("c".into()), me);
    let dir = home.join(node.to_string());
    let raft = Raft::start(doors, &dir, identity, Pile::default, RaftOptions::default()).await;
    let raft = Arc::new(raft.expect("started"));
    room.0.lock().insert(NodeId(node), Arc::clone(&raft));
    raft
}

fn census(me: i32) -> Census {
    let voters = [1, 2, 3].map(|node| (NodeId(node), Vec::new())).into();
    Census {
        me: NodeId(me),
        endpoints: Vec::new(),
        named: Named::Voters(voters),
        pause: Duration::from_millis(20),
        patience: Duration::from_millis(20),
    }
}

async fn leader(rafts: &[Arc<Raft<Pile>>]) -> Arc<Raft<Pile>> {
    for _ in 0..1000 {
        if let Some(raft) = rafts.iter().find(|raft| raft.leadership().borrow().is_mine) {
            return Arc::clone(raft);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody leads");
}

async fn propose(rafts: &[Arc<Raft<Pile>>], piece: &str) -> usize {
    for _ in 0..100 {
        let leader = leader(rafts).await;
        if let Ok(count) = leader.propose(Piece(piece.as_bytes().to_vec())).await {
            return count;
        }
    }
    panic!("nobody takes {piece}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_find_one_another_agree_and_come_back() {
    let home = tempfile::tempdir().expect("a temporary directory");
    for round in 0..2 {
        let room = Room::default();
        let mut rafts = Vec::new();
        for node in 1..=3 {
            rafts.push(start(&room, home.path(), node).await);
        }
        let settled = (1..=3).map(|me| {
            let raft = Arc::clone(&rafts[usize::try_from(me - 1).expect("small")]);
            tokio::spawn(async move { census(me).settle(&raft).await })
        });
        for settled in settled.collect::<Vec<_>>() {
            settled.await.expect("ended").expect("one cluster");
        }
        for i in 0..20 {
            assert_eq!(propose(&rafts, "piece").await, round * 20 + i + 1);
        }
        for raft in &rafts {
            raft.barrier().await.expect("confirmed");
            assert_eq!(raft.watch().borrow().0, (round + 1) * 20);
        }
        room.0.lock().clear();
        for raft in rafts {
            raft.stop().await;
        }
    }
}

fn by_address(me: i32, wants_vote: bool) -> Census {
    let at = [1, 2, 3].map(|port| Endpoint {
        name: "C".to_owned(),
        host: "h".to_owned(),
        port,
    });
    let at = at.into();
    Census {
        me: NodeId(me),
        endpoints: Vec::new(),
        named: Named::Addresses { at, wants_vote },
        pause: Duration::from_millis(20),
        patience: Duration::from_millis(20),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_know_addresses_only_become_one_quorum_and_others_come_to_it() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let room = Room::default();
    let mut rafts = Vec::new();
    for node in [1, 2] {
        rafts.push(start(&room, home.path(), node).await);
    }
    let settle = |me, wants_vote, raft: &Arc<Raft<Pile>>| {
        let raft = Arc::clone(raft);
        tokio::spawn(async move { by_address(me, wants_vote).settle(&raft).await })
    };
    let mut settling = vec![settle(1, false, &rafts[0]), settle(2, false, &rafts[1])];
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!rafts[0].is_formed(), "the third may remember a quorum");
    assert_eq!(
        by_address(1, false)
            .missing(&rafts[0])
            .await
            .map(|m| m.len()),
        Ok(1)
    );
    rafts.push(start(&room, home.path(), 3).await);
    settling.push(settle(3, false, &rafts[2]));
    for settling in settling {
        settling.await.expect("ended").expect("one cluster");
    }
    assert_eq!(propose(&rafts, "piece").await, 1);
    for (node, wants_vote) in [(4, false), (5, true)] {
        let newcomer = start(&room, home.path(), node).await;
        let settled = settle(node, wants_vote, &newcomer).await;
        settled.expect("ended").expect("one cluster");
        newcomer.barrier().await.expect("it is told");
        rafts.push(newcomer);
    }
    let voters = |raft: &Arc<Raft<Pile>>| raft.status().voters.len();
    for _ in 0..500 {
        if voters(&rafts[0]) == 4 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let status = rafts[0].status();
    assert_eq!((status.voters.len(), status.observers.len()), (4, 1));
    room.0.lock().clear();
    for raft in rafts {
        raft.stop().await;
    }
}
