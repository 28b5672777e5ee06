//! Other people's clients begin at a time, in a topic of which most is in object storage only.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use freshet_tests::{
    ALL_CLIENTS, Broker, Client, Cluster, Cold, Kind, Place, Raw, Suite, enter, get,
    missing_for_buckets, missing_for_trials,
};

const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    // Clusters have a network of their own.
    let alone = enter().or_else(missing_for_trials);
    let kafka = || (Kind::from_env() == Kind::Kafka).then(|| "it has no bucket".to_owned());
    let missing = || kafka().or_else(missing_for_buckets);
    let mut suite = Suite::default();
    for reader in ALL_CLIENTS {
        let name = format!("{}_replays_from_a_time", reader.name());
        // librdkafka writes.
        let peers = [reader, Client::Librdkafka];
        let peers = peers.into_iter().find_map(Client::missing);
        suite.test(&name, missing().or_else(|| peers.clone()), move || {
            replayed(reader, &Place::server()?)
        });
        // What differs is the store's, so one reader is enough.
        if reader == Client::Java {
            suite.test(&format!("{name}_on_files"), kafka().or(peers), move || {
                replayed(reader, &Place::folder()?)
            });
        }
    }
    let name = "who_replays_from_a_time_goes_on_when_the_leader_is_killed";
    suite.test(name, missing().or(alone), moved);
    suite.run()
}

const SETTINGS: [(&str, &str); 4] = [
    ("remote.log.storage.system.enable", "true"),
    ("remote.log.manager.task.interval.ms", "100"),
    ("log.retention.check.interval.ms", "1000"),
    ("rlmm.config.remote.log.metadata.topic.num.partitions", "4"),
];

/// Times of interest: before all, of and between records that are away, at the newest, after all.
fn times(cold: &Cold) -> Vec<i64> {
    let times = cold.times();
    let count = times.len();
    let at = |share: usize| times[(count - 1) * share / 100];
    vec![at(0) - 1, at(50) + 1, at(80), at(100), at(100) + 1]
}

/// From each time everything that is due, and nothing else; most of it from the bucket.
fn replay(cold: &Cold, reader: Client, (bootstrap, local): (&str, &[i64])) -> Result<()> {
    let (mut all, mut away) = (0, 0);
    for time in times(cold) {
        let (due, cold) = cold.replay_from(reader, bootstrap, (time, local))?;
        all += due;
        away += cold;
    }
    let total = cold.times().len();
    ensure!(all > total, "only {all} records were due, of {total}");
    ensure!(away * 2 > all, "of {all} only {away} were away");
    ensure!(away < all, "all {all} were away, none was on the disk");
    println!("{}: {all} records, {away} of them away", reader.name());
    Ok(())
}

fn replayed(reader: Client, place: &Place) -> Result<()> {
    let url = place.url();
    let mut set = vec![("remote.log.storage.url", url.as_str())];
    set.extend(SETTINGS);
    let broker = Broker::start_in(&place.environment_here(), &set)?;
    let outcome = (|| {
        let connect = || Raw::connect(broker.bootstrap());
        let cold = Cold::make(broker.bootstrap(), "t")?;
        let cold = cold.write(broker.bootstrap(), connect)?;
        let local = cold.local_starts(|_| connect())?;
        let before = counted(&broker)?;
        replay(&cold, reader, (broker.bootstrap(), &local))?;
        let asked = counted(&broker)? - before;
        ensure!(asked > 0, "the bucket was asked for nothing");
        Ok(())
    })();
    outcome.with_context(|| format!("the broker's last words:\n{}\n", broker.tail()))
}

/// How often the bucket was asked for a range.
fn counted(broker: &Broker) -> Result<u64> {
    let (_, page) = get(broker.http()?, "/metrics")?;
    let name = "freshet_remote_fetch_requests_total";
    let told = |line: &str| line.strip_prefix(name)?.trim().parse().ok();
    let found = page.lines().find_map(told);
    found.with_context(|| format!("{name} is not among the metrics"))
}

/// The same before three brokers, after one leader was killed and while it is gone.
fn moved() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = Place::server()?;
    let mut cluster = Cluster::new(3, folder.path(), false)?;
    for id in cluster.ids() {
        let node = cluster.node(id);
        node.set("remote.log.storage.url", &store.url());
        for (name, value) in SETTINGS {
            node.set(name, value);
        }
        node.set_store(store.environment());
    }
    let outcome = moves(&mut cluster);
    outcome.with_context(|| format!("the brokers' last words:\n{}\n", cluster.tails()))
}

fn moves(cluster: &mut Cluster) -> Result<()> {
    cluster.start()?;
    let bootstrap = cluster.bootstrap();
    let cold = Cold::make(&bootstrap, "t")?;
    let leads = |cluster: &Cluster, partition| cluster.connect(cluster.leader("t", partition)?);
    let cold = cold.write(&bootstrap, || leads(cluster, 0))?;
    for reader in [Client::Java, Client::Librdkafka, Client::FranzGo] {
        cluster.await_whole("t", PATIENCE)?;
        let leader = cluster.depose("t")?;
        let local = cold.local_starts(|partition| leads(cluster, partition))?;
        replay(&cold, reader, (&bootstrap, &local))?;
        cluster.node(leader).start()?;
    }
    Ok(())
}
