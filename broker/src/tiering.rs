//! Object storage: the bucket, the manifests that this broker keeps, and who carries segments.

mod claims;
mod others;
mod probe;
mod stranded;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use freshet_env::{Objects, Reactors};
use freshet_metadata::{MetadataImage, MetadataMachine, NewTopic};
use freshet_objects::Bucket;
use freshet_partition::{
    CopyCounts, Custodians, CustodiansParts, Exporter, ExporterParts, GroupShards, MANIFESTS_TOPIC,
    ManifestDoor, ManifestShards, Neighbour, Pace, PacedReads, Partition, PastReaders, Rate,
};
use freshet_peers::quorum::{ManifestDesk, ManifestDeskParts};
use freshet_quorum::Quorum;
use freshet_quorum::identity::Identity;
use freshet_settings::{Layers, StaticSettings, TierSettings};
use freshet_tier::{DiskCache, DiskCacheParts, Layout, Limits, ReadLimits};
use freshet_types::{NodeId, TopicId};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use self::others::Others;
use self::probe::Probe;
use self::stranded::Stranded;
use crate::agreement::{Agreement, Wanted};
use crate::doors::Doors;

/// How long a stop waits until what was under way is thrown away.
const SETTLE_LIMIT: Duration = Duration::from_secs(2);

/// What a broker does for object storage.
pub(crate) struct Tiering {
    /// Also without a bucket of its own: others may have one.
    shards: Arc<ManifestShards>,
    carrying: Option<Carrying>,
    /// Looks for topics that tier, where nothing can be carried.
    looking: Option<AbortHandle>,
}

struct Carrying {
    bucket: Arc<Bucket>,
    custodians: Arc<Custodians>,
    readers: Arc<PastReaders>,
    /// What goes on beside custodians.
    beside: [AbortHandle; 3],
    /// One thread for what is written, one for what is read. Dropped last.
    _reactors: [Reactors; 2],
}

/// The settings of this broker as of now.
#[derive(Clone)]
struct Settings {
    statics: Arc<StaticSettings>,
    node: NodeId,
    image: watch::Receiver<Arc<MetadataImage>>,
}

impl Settings {
    fn layers(&self, image: &MetadataImage) -> Layers {
        image.layers(&self.statics, self.node)
    }

    fn tier(&self) -> TierSettings {
        self.layers(&self.image.borrow()).tier()
    }

    fn pace(&self) -> Pace {
        let TierSettings {
            interval_ms,
            copiers,
            copy_bytes_per_second,
            scrub_interval_ms,
            scrub_bytes_per_second,
            ..
        } = self.tier();
        Pace {
            interval_ms,
            at_once: copiers,
            bytes_per_second: copy_bytes_per_second,
            scrub_interval_ms,
            scrub_bytes_per_second,
        }
    }

    /// Whether a topic that tiers no more is to leave nothing behind.
    fn leaves(&self, partition: &Partition) -> bool {
        let image = self.image.borrow();
        let topic = image.topic(partition.name().topic.as_str());
        topic.is_some_and(|topic| {
            let tier = self.layers(&image).topic_tier(&topic.configs);
            !tier.enabled && tier.delete_on_disable
        })
    }
}

impl Tiering {
    /// Opens the bucket, if there is one, and asks whose it is, and whether it takes this broker in: one that
    /// keeps nothing yet (`is_new`) does not start before it is. All others have something to serve, so a bucket
    /// that refuses or is away keeps none from its work. Where another cluster lives none starts; nor does one
    /// without a bucket that has replicas of topics that tier.
    pub(crate) async fn raise(
        doors: &Doors,
        wanted: &Wanted,
        identity: &Identity,
        (agreement, groups, is_new): (&Agreement, &Arc<GroupShards>, bool),
    ) -> Result<Self> {
        let tier = wanted.layers().tier();
        let limits = Limits::of_grace(tier.garbage_grace_ms);
        let shards = ManifestShards::new(limits, Arc::clone(&doors.clock));
        let shards = Arc::new(shards);
        agreement.keep_manifests(Arc::clone(&shards) as _);
        let carrying = match &tier.url {
            Some(url) if tier.enabled => {
                let bucket =
                    Bucket::open(url, std::env::vars(), &freshet_objects::Limits::default());
                let bucket = bucket.context("cannot use remote.log.storage.url")?;
                tracing::info!(%bucket, "object storage");
                let bucket = Arc::new(bucket);
                let probe = Probe {
                    bucket: Arc::clone(&bucket),
                    layout: Layout::new("", &identity.cluster_id),
                    nonce: doors.rng.id(),
                };
                let around = Around {
                    doors,
                    wanted,
                    identity,
                    agreement,
                    groups,
                };
                let stores = wanted.quorum.roles.broker;
                if stores && !tier.shared {
                    let others = Others::of(&bucket, &identity.cluster_id, doors.rng.id());
                    others.must_not_be_alone(is_new).await?;
                }
                let carrying = carry(bucket, &shards, &tier, around)?;
                match stores {
                    true if is_new => probe.must_be_welcome().await?,
                    true => drop(tokio::spawn(probe.tell())),
                    // It stores nothing.
                    false => {}
                }
                Some(carrying)
            }
            _ => None,
        };
        let mut looking = None;
        if carrying.is_none() && wanted.quorum.roles.broker {
            let stranded = Stranded {
                statics: Arc::clone(&wanted.statics),
                node: identity.node_id,
            };
            let mut image = agreement.quorum().watch();
            stranded.must_not_be(&image.borrow_and_update())?;
            looking = Some(tokio::spawn(stranded.tell(image)).abort_handle());
        }
        Ok(Self {
            shards,
            carrying,
            looking,
        })
    }

    /// Who reads from object storage.
    pub(crate) fn readers(&self) -> Option<Arc<PastReaders>> {
        self.carrying.as_ref().map(|it| Arc::clone(&it.readers))
    }

    /// Who wants to hear of partitions.
    pub(crate) fn neighbours(&self) -> Vec<Arc<dyn Neighbour>> {
        let mut neighbours = vec![Arc::clone(&self.shards) as Arc<dyn Neighbour>];
        let custodians = self.carrying.iter().map(|it| Arc::clone(&it.custodians));
        neighbours.extend(custodians.map(|it| it as Arc<dyn Neighbour>));
        neighbours
    }

    /// Carries nothing any more. What was under way is found again by whoever leads next; parts of it
    /// that the store does not throw away in time are left to the bucket's own rule.
    pub(crate) async fn end(&self) {
        self.looking.iter().for_each(AbortHandle::abort);
        if let Some(carrying) = &self.carrying {
            carrying.beside.iter().for_each(AbortHandle::abort);
            carrying.custodians.stop();
            let settled = tokio::time::timeout(SETTLE_LIMIT, carrying.bucket.settled());
            if settled.await.is_err() {
                tracing::warn!(bucket = %carrying.bucket, "parts of uploads may be left behind");
            }
        }
    }
}

/// What is there when tiering is raised.
struct Around<'a> {
    doors: &'a Doors,
    wanted: &'a Wanted,
    identity: &'a Identity,
    agreement: &'a Agreement,
    groups: &'a Arc<GroupShards>,
}

fn counts(bucket: &Bucket) -> Arc<CopyCounts> {
    Arc::new(CopyCounts {
        asked: Arc::clone(bucket.counts()),
        ..CopyCounts::default()
    })
}

fn carry(
    bucket: Arc<Bucket>,
    shards: &Arc<ManifestShards>,
    tier: &TierSettings,
    around: Around<'_>,
) -> Result<Carrying> {
    let Around {
        doors,
        wanted,
        identity,
        agreement,
        groups,
    } = around;
    let objects = Arc::clone(&bucket) as Arc<dyn Objects>;
    let reactors = Reactors::start("tier", 1)?;
    let layout = Layout::new("", &identity.cluster_id);
    let quorum = agreement.quorum();
    let settings = Settings {
        statics: Arc::clone(&wanted.statics),
        node: identity.node_id,
        image: quorum.watch(),
    };
    let desk = ManifestDesk::new(ManifestDeskParts {
        me: identity.node_id,
        keeper: Arc::clone(shards) as _,
        relay: agreement.relay(),
        quorum: Arc::clone(&quorum),
        topic: manifests_topic(doors, tier, &quorum, agreement.relay().is_none()),
    });
    let manifests: Arc<dyn ManifestDoor> = Arc::new(desk);
    let (paced, leaving, exporting) = (settings.clone(), settings.clone(), settings.clone());
    let counts = counts(&bucket);
    let custodians = Arc::new(Custodians::new(CustodiansParts {
        objects: Arc::clone(&objects),
        layout: layout.clone(),
        manifests: Arc::clone(&manifests),
        image: settings.image.clone(),
        rng: Arc::clone(&doors.rng),
        leaves: Arc::new(move |partition| leaving.leaves(partition)),
        clock: Arc::clone(&doors.clock),
        pace: Arc::new(move || paced.pace()),
        counts: Arc::clone(&counts),
        runtime: reactors.next().clone(),
    }));
    let burying = custodians.bury(Arc::clone(shards));
    let exporter = Exporter::new(ExporterParts {
        objects: Arc::clone(&objects),
        layout: layout.clone(),
        image: settings.image.clone(),
        groups: Arc::clone(groups),
        me: identity.node_id,
        rng: Arc::clone(&doors.rng),
        interval_ms: Arc::new(move || exporting.tier().export_interval_ms),
        counts: Arc::clone(&counts),
    });
    let exporting = reactors.next().spawn(exporter.keep()).abort_handle();
    let readers = Readers::start(
        (objects, layout),
        manifests,
        counts,
        (doors, tier, &settings),
    )?;
    Ok(Carrying {
        bucket,
        custodians,
        readers: readers.readers,
        beside: [burying, exporting, readers.adjusting],
        _reactors: [reactors, readers.reactors],
    })
}

/// Who reads what is away.
struct Readers {
    readers: Arc<PastReaders>,
    adjusting: AbortHandle,
    reactors: Reactors,
}

impl Readers {
    /// On a thread of their own: they do not wait while a segment is summed up.
    fn start(
        (objects, layout): (Arc<dyn Objects>, Layout),
        manifests: Arc<dyn ManifestDoor>,
        counts: Arc<CopyCounts>,
        (doors, tier, settings): (&Doors, &TierSettings, &Settings),
    ) -> Result<Self> {
        let reactors = Reactors::start("tier-read", 1)?;
        let home = reactors.next().clone();
        let paced = settings.clone();
        let rate = Rate::new(
            Arc::clone(&doors.clock),
            Arc::new(move || paced.tier().fetch_bytes_per_second),
        );
        let objects = PacedReads::new(objects, rate).timed(Arc::clone(&counts));
        let objects = Arc::new(objects);
        let limits = (limits(tier), disk_cache(doors, tier)?);
        let readers = PastReaders::new((objects, layout), manifests, limits, counts, home.clone());
        let readers = Arc::new(readers);
        let adjusting = home.spawn(adjust(Arc::clone(&readers), settings.clone()));
        Ok(Self {
            readers,
            adjusting: adjusting.abort_handle(),
            reactors,
        })
    }
}

/// What readers may take, as of now.
fn limits(tier: &TierSettings) -> ReadLimits {
    let limits = ReadLimits {
        chunk_bytes: tier.readers.batch_bytes,
        requests: tier.readers.requests,
        waiting: tier.readers.waiting,
        ..ReadLimits::default()
    };
    limits.keeping_indexes(tier.readers.index_bytes)
}

/// Follows the settings of the moment.
async fn adjust(readers: Arc<PastReaders>, mut settings: Settings) {
    while settings.image.changed().await.is_ok() {
        readers.adjust(&limits(&settings.tier()));
    }
}

fn disk_cache(doors: &Doors, tier: &TierSettings) -> Result<Option<DiskCache>> {
    let Some(wanted) = &tier.readers.disk else {
        return Ok(None);
    };
    let (dir, bytes) = (wanted.dir.clone(), wanted.bytes);
    tracing::info!(dir = %dir.display(), bytes, "disk cache of object storage");
    let cache = DiskCache::start(DiskCacheParts {
        disk: Arc::clone(&doors.disk),
        dir,
        bytes,
        clock: Arc::clone(&doors.clock),
        pause: Arc::new(|wait: Duration| Box::pin(tokio::time::sleep(wait))),
    });
    Ok(Some(cache.context("no threads for the disk cache")?))
}

/// The topic that keeps manifests, should there be none yet.
fn manifests_topic(
    doors: &Doors,
    tier: &TierSettings,
    quorum: &Arc<dyn Quorum<MetadataMachine>>,
    is_alone: bool,
) -> Box<dyn Fn() -> NewTopic + Send + Sync> {
    let (rng, image, tier) = (Arc::clone(&doors.rng), quorum.watch(), tier.clone());
    Box::new(move || {
        // A laptop has one broker, and as many copies as there can be. A cluster waits for enough.
        let most = match is_alone {
            true => i16::try_from(image.borrow().brokers().count()).unwrap_or(i16::MAX),
            false => i16::MAX,
        };
        new_manifests_topic(&tier, most, TopicId(rng.id()))
    })
}

/// As `rlmm.config.*` says, with `most` copies at most.
fn new_manifests_topic(tier: &TierSettings, most: i16, id: TopicId) -> NewTopic {
    let copies = tier.metadata_replication_factor.min(most);
    let in_sync = tier
        .metadata_min_insync_replicas
        .min(copies.unsigned_abs().into());
    let config = |name: &str, value: String| (name.to_owned(), Some(value));
    NewTopic {
        name: MANIFESTS_TOPIC.to_owned(),
        id,
        partitions: tier.metadata_partitions,
        replication_factor: copies,
        assignments: Vec::new(),
        configs: vec![
            // Its machines sum it up and trim it themselves.
            config("cleanup.policy", "delete".to_owned()),
            config("retention.ms", "-1".to_owned()),
            config("retention.bytes", "-1".to_owned()),
            config("compression.type", "producer".to_owned()),
            config("min.insync.replicas", in_sync.to_string()),
        ],
    }
}

#[cfg(test)]
mod tests {
    use freshet_settings::StaticSettingsBuilder;

    use super::*;

    /// Partitions, replicas and `min.insync.replicas`.
    fn topic(set: &[&str], most: i16) -> (i32, i16, Option<String>) {
        let mut settings = StaticSettingsBuilder::default();
        for name in set {
            let name = format!("rlmm.config.remote.log.metadata.topic.{name}");
            settings = settings.set(&name).expect("declared");
        }
        let (statics, _) = settings.finish().expect("settings that agree");
        let tier = Layers::of(Arc::new(statics)).tier();
        let topic = new_manifests_topic(&tier, most, TopicId([1; 16]));
        assert_eq!(topic.name, MANIFESTS_TOPIC);
        let in_sync = topic
            .configs
            .iter()
            .find(|it| it.0 == "min.insync.replicas");
        let in_sync = in_sync.and_then(|(_, value)| value.clone());
        (topic.partitions, topic.replication_factor, in_sync)
    }

    #[test]
    fn manifests_have_as_many_copies_as_is_said_and_no_more_than_there_can_be() {
        let expected =
            |partitions, copies, in_sync: &str| (partitions, copies, Some(in_sync.to_owned()));
        assert_eq!(topic(&[], i16::MAX), expected(50, 3, "2"));
        assert_eq!(topic(&[], 1), expected(50, 1, "1"));
        let five = ["num.partitions=7", "replication.factor=5", "min.isr=4"];
        assert_eq!(topic(&five, i16::MAX), expected(7, 5, "4"));
        assert_eq!(topic(&five, 3), expected(7, 3, "3"));
    }
}
