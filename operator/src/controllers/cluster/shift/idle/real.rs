//! The same with brokers that are really there.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use freshet_client::{NewTopic, Survey};
use freshet_types::NodeId;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::super::super::brokers::is_idle;
use super::super::super::names::{CONTROLLER_PORT, REPLICATION_PORT};
use super::super::quorum::real::World;
use super::super::quorum::tests::pool;

const THE_POD: &str = "demo-main-2";
const THE_BROKER: NodeId = NodeId(3);
/// How long something may take to become so.
const LIMIT: Duration = Duration::from_secs(60);

/// All files of a folder with what is in them.
fn kept(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all.extend(kept(&path));
        } else {
            let bytes = std::fs::read(&path).expect("a file");
            all.insert(path.display().to_string(), bytes);
        }
    }
    all
}

/// How many partitions there are, and how many of them the broker has in sync.
async fn in_sync(world: &World) -> (usize, usize) {
    let survey = Survey::take(&world.client().await)
        .await
        .expect("they answer");
    let has = survey
        .partitions
        .iter()
        .filter(|held| held.isr.contains(&THE_BROKER));
    (survey.partitions.len(), has.count())
}

async fn wait_for(world: &World, good: impl Fn((usize, usize)) -> bool) {
    let until = Instant::now() + LIMIT;
    loop {
        let seen = in_sync(world).await;
        if good(seen) {
            return;
        }
        assert!(Instant::now() < until, "{seen:?}");
        sleep(Duration::from_millis(200)).await;
    }
}

async fn make(world: &World, name: &str, copies: i16) {
    let topic = NewTopic {
        replication: Some(copies),
        ..NewTopic::new(name).partitions(4)
    };
    let made = world.client().await.admin().create_topic(&topic).await;
    made.expect("it can be made");
}

#[tokio::test]
#[ignore = "starts the brokers that FRESHET_BROKER names: cargo xtask test runs it"]
async fn a_broker_that_is_stopped_on_purpose_keeps_its_data_and_comes_back_in_sync() {
    let mut world = World::new(&[pool("main", &[], 3)]);
    world.settle().await;
    make(&world, "before", 3).await;
    wait_for(&world, |seen| seen == (4, 4)).await;
    let (host, folder) = world.place(THE_POD);
    assert_eq!(is_idle(&host).await, Ok(false));

    let file = world.mark(THE_POD, Some("a disk: is \\it full?")).await;
    world.restart(THE_POD, &file).await;
    let until = Instant::now() + LIMIT;
    while is_idle(&host).await != Ok(true) {
        assert!(Instant::now() < until, "it does not come up");
        sleep(Duration::from_millis(100)).await;
    }
    // Nothing of it changes while the others go on.
    let before = kept(&folder);
    assert!(
        before.keys().any(|name| name.contains("before-")),
        "{:?}",
        before.keys()
    );
    wait_for(&world, |seen| seen == (4, 0)).await;
    make(&world, "meanwhile", 2).await;
    for port in [REPLICATION_PORT, CONTROLLER_PORT, 9092] {
        let port = u16::try_from(port).expect("a port");
        let refused = TcpStream::connect((host.as_str(), port)).await;
        assert!(refused.is_err(), "somebody listens at {port}");
    }
    assert_eq!(is_idle(&host).await, Ok(true));
    assert!(before == kept(&folder), "something was changed");

    let file = world.mark(THE_POD, None).await;
    world.restart(THE_POD, &file).await;
    wait_for(&world, |(all, has)| all == 8 && has >= 4).await;
    assert_eq!(is_idle(&host).await, Ok(false));
    assert_eq!(world.settle().await, Vec::<String>::new());
}
