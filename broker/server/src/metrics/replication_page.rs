//! How the copies of partitions are, as exposition text: of those that this broker leads, and of the
//! cluster as its image has it.

use std::sync::atomic::Ordering::Relaxed;

use freshet_metadata::MetadataImage;
use freshet_partition::IsrCounts;
use parking_lot::Mutex;

use crate::kafka::Context;
use crate::metrics::exposition::{head, line};

/// Partitions that this broker leads, by how they are.
#[derive(Debug, Default, PartialEq, Eq)]
struct Led {
    leaders: u64,
    under_replicated: u64,
    under_min: u64,
    at_min: u64,
    most_behind: u64,
}

/// The cluster in one image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Cluster {
    without_leader: u64,
    active: u64,
    fenced: u64,
    unclean: u64,
}

/// All partitions of a cluster are gone through once for each image, not for each scrape.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<Option<(u64, Cluster)>>);

impl Seen {
    fn of(&self, image: &MetadataImage) -> Cluster {
        let mut seen = self.0.lock();
        match *seen {
            Some((version, cluster)) if version == image.version() => cluster,
            _ => {
                let cluster = Cluster::of(image);
                *seen = Some((image.version(), cluster));
                cluster
            }
        }
    }
}

impl Cluster {
    fn of(image: &MetadataImage) -> Self {
        let partitions = image.topics().flat_map(|topic| topic.iter());
        let nobody = partitions.filter(|(_, partition)| partition.leader.is_none());
        Self {
            without_leader: nobody.count() as u64,
            active: image.brokers().filter(|broker| broker.is_active()).count() as u64,
            fenced: image.brokers().filter(|broker| broker.fenced).count() as u64,
            unclean: image.unclean_elections().count() as u64,
        }
    }
}

impl Led {
    fn of(context: &Context, image: &MetadataImage) -> Self {
        let mut led = Self::default();
        for partition in context.partitions.all() {
            let Some(copies) = partition.copies() else {
                continue;
            };
            // What a reassignment brings is not missing before it is there.
            let wanted = image.partition(partition.id());
            let wanted = wanted.map_or(0, |state| state.replicas.len() - state.adding.len());
            led.leaders += 1;
            led.under_replicated += u64::from(copies.in_sync < wanted);
            led.under_min += u64::from(copies.in_sync < copies.needed);
            led.at_min += u64::from(copies.in_sync == copies.needed && wanted > copies.needed);
            led.most_behind = led.most_behind.max(copies.most_behind);
        }
        led
    }
}

/// Writes all of it.
pub(super) fn render(context: &Context, seen: &Seen) -> String {
    let image = context.image();
    let led = Led::of(context, &image);
    let controls = context.quorum.leadership().borrow().is_mine;
    let offline = context.partitions.broken_count() as u64;
    let mut page = gauges(&led, &seen.of(&image), (controls, offline));
    counters(&mut page, context.partitions.isr_counts());
    page
}

fn gauges(led: &Led, cluster: &Cluster, (controls, broken): (bool, u64)) -> String {
    let mut page = String::new();
    let mut gauge = |name: &str, help: &str, value: u64| {
        head(&mut page, name, help, "gauge");
        line(&mut page, &format!("{name} {value}"));
    };
    gauge(
        "freshet_leaders",
        "Partitions that this broker leads.",
        led.leaders,
    );
    gauge(
        "freshet_under_replicated_partitions",
        "Partitions led here with replicas out of sync.",
        led.under_replicated,
    );
    gauge(
        "freshet_under_min_isr_partitions",
        "Partitions led here that take no acks=all, for want of replicas in sync.",
        led.under_min,
    );
    gauge(
        "freshet_at_min_isr_partitions",
        "Partitions led here that would, with one replica in sync less.",
        led.at_min,
    );
    gauge(
        "freshet_replica_lag_max_records",
        "Records that a follower of a partition led here lacks, at most.",
        led.most_behind,
    );
    gauge(
        "freshet_broken_partitions",
        "Partitions of this broker that it cannot open.",
        broken,
    );
    gauge(
        "freshet_offline_partitions",
        "Partitions of the cluster that nobody leads.",
        cluster.without_leader,
    );
    gauge(
        "freshet_active_brokers",
        "Brokers of the cluster that serve.",
        cluster.active,
    );
    gauge(
        "freshet_fenced_brokers",
        "Brokers of the cluster that are registered and fenced.",
        cluster.fenced,
    );
    gauge(
        "freshet_unclean_elections",
        "Elections that may have lost records, among the latest 100 of the cluster.",
        cluster.unclean,
    );
    gauge(
        "freshet_active_controller",
        "1 on the node that decides for the cluster.",
        u64::from(controls),
    );
    page
}

fn counters(page: &mut String, counts: &IsrCounts) {
    let mut counter = |name: &str, help: &str, value: u64| {
        head(page, name, help, "counter");
        line(page, &format!("{name} {value}"));
    };
    counter(
        "freshet_isr_shrinks_total",
        "Times that a replica left the set in sync of a partition led here.",
        counts.shrinks.load(Relaxed),
    );
    counter(
        "freshet_isr_expands_total",
        "Times that a replica joined the set in sync of a partition led here.",
        counts.expands.load(Relaxed),
    );
}
