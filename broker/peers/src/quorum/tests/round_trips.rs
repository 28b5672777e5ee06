//! How far it is, over a line that is slow.

use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, sleep};

use super::*;

const ONE_WAY: Duration = Duration::from_millis(40);

/// Hands on what it reads, so much later.
async fn late(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut piece = [0; 4096];
    while let Ok(len @ 1..) = from.read(&mut piece).await {
        sleep(ONE_WAY).await;
        to.write_all(&piece[..len]).await.expect("written");
    }
}

/// A place from where everything gets to `to`, and late.
async fn slow_line(to: &Endpoint) -> Endpoint {
    let (listener, place) = bind().await;
    let port = to.port;
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(("127.0.0.1", port)).await;
            let (near, far) = (near.into_split(), far.expect("connected").into_split());
            tokio::spawn(late(near.0, far.1));
            tokio::spawn(late(far.0, near.1));
        }
    });
    place
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_far_another_controller_is_is_known_after_some_greetings() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let mut nodes = cluster(home.path(), 2).await;
    let far = slow_line(&nodes[1].endpoint).await;
    let named = [(NodeId(2), vec![far])];
    let link = Arc::new(TcpLink::new(NodeId(1), Caller::Controller, named));
    let limit = Duration::from_millis(100);
    let round_trips = RoundTrips::new(&nodes[0].raft, &link, limit);
    let begun = Instant::now();
    let mut asked = 0;
    while round_trips.usual().is_empty() {
        round_trips.measure().await;
        asked += 1;
    }
    let took = begun.elapsed();
    let [(NodeId(2), usual)] = round_trips.usual()[..] else {
        panic!("{:?}", round_trips.usual());
    };
    assert!(asked > 1, "one greeting is enough");
    assert!(
        usual >= 2 * ONE_WAY && usual * asked < 2 * took,
        "{usual:?}"
    );
    // Who is not there takes no time.
    nodes.remove(1).stop().await;
    let before = round_trips.usual();
    for _ in 0..5 {
        round_trips.measure().await;
    }
    assert_eq!(round_trips.usual(), before);
    nodes.remove(0).stop().await;
}
