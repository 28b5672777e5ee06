//! What leaves the disk by `local.retention.ms` and `local.retention.bytes`, as a topic says it.

use freshet_log::Retained;
use freshet_settings::{Layers, Overrides};

use super::*;
use crate::config::log_config;

/// Records of the rig are of this time.
const MADE: i64 = 1;
const MINUTE_MS: i64 = 60_000;

/// Of a topic that tiers and keeps its records for ever, but for this.
fn config(more: &[(&str, &str)]) -> LogConfig {
    let mut settings = StaticSettingsBuilder::default();
    for set in [
        "remote.log.storage.system.enable=true",
        "remote.log.storage.url=file:///bucket",
    ] {
        settings = settings.set(set).expect("declared");
    }
    let (statics, _) = settings.finish().expect("settings that agree");
    let layers = Layers::of(Arc::new(statics));
    let all = [("remote.storage.enable", "true"), ("retention.ms", "-1")];
    let all = all.iter().chain(more);
    let topic: Overrides = all
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let tier = layers.topic_tier(&topic);
    log_config(&layers.topic(&topic), &tier, &layers.logs())
}

impl Rig {
    /// Three segments, in the bucket and on the disk; gives their ends.
    async fn three(&self) -> [Offset; 3] {
        let ends = [
            self.segment().await,
            self.segment().await,
            self.segment().await,
        ];
        self.tiered(ends[2]).await;
        for _ in 0..500 {
            if self.partition().disposable_end() == ends[2] {
                return ends;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not told: {:?}", self.partition().past());
    }

    /// What retention takes when the clock says so.
    async fn retain_at(&self, now: i64) -> Retained {
        let (tell, told) = oneshot::channel();
        let done = Box::new(|retained| drop(tell.send(retained)));
        self.partition().retain(Timestamp(now), done).expect("room");
        told.await.expect("told").expect("retained")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_older_than_local_retention_leaves_the_disk_and_stays_readable() {
    let rig = Rig::new();
    let [.., end] = rig.three().await;
    let minute = config(&[("local.retention.ms", "60000")]);
    rig.partition().configure(Arc::new(minute));
    assert_eq!(rig.retain_at(MADE + MINUTE_MS).await.segments, 0);
    assert_eq!(rig.partition().ends().local_start, 0);
    let retained = rig.retain_at(MADE + MINUTE_MS + 1).await;
    assert_eq!((retained.segments, retained.log_start), (3, end));
    let first = rig.cold_read(0).await.expect("in the bucket");
    assert!(first.fetched.bytes > 0);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_more_than_local_retention_leaves_the_disk_and_a_topic_that_says_nothing_keeps_it()
{
    let rig = Rig::new();
    let [first, ..] = rig.three().await;
    let years = MADE + 1_000_000 * MINUTE_MS;
    rig.partition().configure(Arc::new(config(&[])));
    assert_eq!(rig.retain_at(years).await.segments, 0, "kept for ever");
    let bytes = rig.partition().view().size_bytes();
    let most = (bytes - bytes / 3).to_string();
    let less = config(&[("local.retention.bytes", &most)]);
    rig.partition().configure(Arc::new(less));
    let retained = rig.retain_at(MADE).await;
    assert_eq!((retained.segments, retained.log_start), (1, first));
    rig.stop().await;
}
