//! How many segments are under way at a time.

use super::*;

const TOPICS: usize = 8;

/// Each with one partition, which this broker leads.
fn topics() -> Vec<(String, TopicId)> {
    let topics = (0..TOPICS).map(|n| {
        let id = TopicId([u8::try_from(n).expect("few") + 10; 16]);
        (format!("t{n}"), id)
    });
    topics.collect()
}

impl Rig {
    /// A closed segment of one record in each of these.
    async fn write_to(&self, topics: &[(String, TopicId)]) {
        for (_, topic) in topics {
            let at = TopicPartition {
                topic: *topic,
                partition: 0,
            };
            let partition = self.directory.get(at).expect("open");
            produce_to(&partition, b"a").await;
            roll(&partition).await;
        }
    }

    /// So many segments are at the gate, and after a while there are still as many.
    async fn until_at_the_gate(&self, count: usize) {
        let putting = || self.store.putting.load(Ordering::Relaxed);
        for _ in 0..500 {
            if putting() == count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for _ in 0..30 {
            assert_eq!(putting(), count);
            let busy = self.counts.copiers.busy.load(Ordering::Relaxed);
            assert_eq!(busy, count as u64);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_segments_are_under_way_as_the_settings_say_by_now() {
    let ground = Ground::new();
    let topics = topics();
    let named: Vec<_> = topics.iter().map(|(name, id)| (&**name, *id)).collect();
    let metadata = metadata(&ground.statics, &named);
    let rig = Rig::with(ground, &metadata, None);
    let gate = Arc::new(Semaphore::new(0));
    *rig.store.gate.lock() = Some(Arc::clone(&gate));
    rig.write_to(&topics).await;
    rig.until_at_the_gate(2).await;
    // More sit down while nobody gets up.
    rig.at_once.store(5, Ordering::Relaxed);
    rig.until_at_the_gate(5).await;
    let places = || rig.counts.copiers.places.load(Ordering::Relaxed);
    assert_eq!(places(), 5);
    // Those that are under way come to their end, and nobody follows them.
    rig.at_once.store(1, Ordering::Relaxed);
    tokio::time::sleep(SEATS_PAUSE * 2).await;
    rig.until_at_the_gate(5).await;
    gate.add_permits(4);
    rig.until_at_the_gate(1).await;
    assert_eq!(places(), 1);
    gate.add_permits(TOPICS);
    for _ in 0..500 {
        if rig.counts.traffic.copied_bytes.load(Ordering::Relaxed) > 0
            && rig.store.puts.load(Ordering::Relaxed) >= 2 * TOPICS as u64
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let copies = rig.counts.traffic.copies.load(Ordering::Relaxed);
    let failed = rig.counts.traffic.failed_copies.load(Ordering::Relaxed);
    assert_eq!((copies, failed), (TOPICS as u64, 0));
    rig.until_at_the_gate(0).await;
    rig.stop().await;
}
