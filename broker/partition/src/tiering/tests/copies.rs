//! What this disk has is damaged, and other brokers have it as well: one of them is to lead, and brings its own.

use freshet_metadata::{AlterPartitions, ProposedIsr};

use super::*;

const OTHER: NodeId = NodeId(2);

/// What the controller is to be told.
#[derive(Default)]
struct Losses(AtomicU64);

impl Neighbour for Losses {
    fn stands(&self, _: &Arc<Partition>, _: Stand) {}

    fn lost(&self, at: TopicPartition) {
        assert_eq!(at, AT);
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn closed(&self, _: &Partition) {}

    fn deleted(&self, _: &Topic) {}
}

/// A rig whose partition `replicas` keep, this broker the only one in sync; nothing is copied yet.
fn rig(ground: Ground, replicas: &[NodeId]) -> (Rig, Arc<Losses>) {
    let mut machine = metadata(&ground.statics, &[]);
    change(&mut machine, registered(OTHER).into());
    let topic = NewTopic {
        name: "t".to_owned(),
        id: AT.topic,
        partitions: -1,
        replication_factor: -1,
        assignments: vec![(0, replicas.to_vec())],
        configs: ["remote.storage.enable", "remote.log.copy.disable"]
            .map(|name| (name.to_owned(), Some("true".to_owned())))
            .into(),
    };
    let topics = CreateTopics {
        topics: vec![topic],
        validate_only: false,
    };
    change(&mut machine, topics.into());
    let epoch = |node| machine.image().broker(node).map_or(-1, |it| it.epoch);
    let state = machine.image().partition(AT).expect("created");
    let alone = ProposedIsr {
        at: AT,
        leader_epoch: state.leader_epoch,
        partition_epoch: state.partition_epoch,
        isr: vec![(NODE, epoch(NODE))],
    };
    let alter = AlterPartitions {
        node: NODE,
        broker_epoch: epoch(NODE),
        partitions: vec![alone],
    };
    change(&mut machine, alter.into());
    let losses = Arc::<Losses>::default();
    let neighbours = vec![Arc::clone(&losses) as Arc<dyn Neighbour>];
    (Rig::beside(ground, &machine, None, neighbours), losses)
}

/// What may become of a file.
#[derive(Debug, Clone, Copy)]
enum Harm {
    Flip,
    Cut,
    /// What the first batch says of itself.
    Header,
}

#[expect(
    clippy::disallowed_methods,
    reason = "somebody else changes the file than the broker"
)]
fn harm(rig: &Rig, base: Offset, harm: Harm) {
    let log = rig.folder.path().join("t-0");
    let file = log.join(format!("{base:020}.log"));
    let mut bytes = std::fs::read(&file).expect("a closed segment");
    match harm {
        Harm::Flip => bytes[70] ^= 1,
        Harm::Cut => bytes.truncate(bytes.len() - 10),
        Harm::Header => bytes[16] ^= 1,
    }
    std::fs::write(&file, bytes).expect("written");
}

/// Copies what is before `first`, where damage begins; others are asked to lead if there are any.
async fn must_ask(rig: Rig, losses: &Losses, (first, others): (Offset, bool), tiered: Tiered) {
    assert_eq!(losses.0.load(Ordering::Relaxed), 0, "nobody has read it");
    rig.configure(|config| config.tiered = Some(tiered));
    rig.until("the first is copied", |it| it.remote_end() == first)
        .await;
    let is_told = || losses.0.load(Ordering::Relaxed) > 0;
    for _ in 0..100 {
        if is_told() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Where nobody else has it, it is for a human.
    assert_eq!(is_told(), others);
    let manifest = rig.manifest().expect("claimed");
    assert_eq!(manifest.remote_end(), first, "no hole, and nothing damaged");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_copy_what_is_damaged_here_asks_others_to_take_over() {
    for kind in [Harm::Flip, Harm::Cut] {
        for replicas in [&[NODE, OTHER][..], &[NODE]] {
            let (rig, losses) = rig(Ground::new(), replicas);
            let first = rig.segment().await;
            rig.segment().await;
            harm(&rig, first, kind);
            must_ask(rig, &losses, (first, replicas.len() > 1), COPIED).await;
        }
    }
}

/// How old a segment is the index tells; where there is none its batches do, and they are read first then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_that_is_met_when_a_segments_age_is_asked_for_is_told_too() {
    let late = Tiered {
        copy_lag_ms: Some(1),
        ..COPIED
    };
    for replicas in [&[NODE, OTHER][..], &[NODE]] {
        let (before, _) = rig(Ground::new(), replicas);
        let first = before.segment().await;
        before.segment().await;
        // A broker that starts anew has no index of segments that are closed, and these have none on the disk.
        let ground = Ground::over(before.leave().await);
        let (rig, losses) = rig(ground, replicas);
        harm(&rig, first, Harm::Header);
        must_ask(rig, &losses, (first, replicas.len() > 1), late).await;
    }
}
