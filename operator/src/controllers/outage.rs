//! The API server goes away and comes back: how soon everything is watched again.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::{Request, Response};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::{cluster, topic};
use crate::context::{Context, ContextParts};

/// How long nobody answers.
const OUTAGE: Duration = Duration::from_secs(90);
/// How soon after it everything is watched again.
const SOON: Duration = Duration::from_secs(15);
/// What is watched: by path, how often. Clusters are, for themselves and for their Topics.
const WATCHED: &[(&str, usize)] = &[
    ("/apis/freshet.dev/v1/clusters", 2),
    ("/apis/freshet.dev/v1/topics", 1),
    ("/apis/apps/v1/statefulsets", 1),
    ("/api/v1/services", 1),
    ("/api/v1/persistentvolumeclaims", 1),
    ("/api/v1/pods", 1),
];

type Watches = Arc<Mutex<BTreeMap<String, usize>>>;

/// A Kubernetes without objects that refuses to be spoken to at first.
fn absent_until(back: Instant, watches: &Watches) -> Client {
    let watches = Arc::clone(watches);
    let answer = move |request: Request<Body>| {
        let watches = Arc::clone(&watches);
        async move {
            if Instant::now() < back {
                return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
            }
            let path = request.uri().path().to_owned();
            let query = request.uri().query().unwrap_or_default();
            if query.contains("watch=true") {
                *watches.lock().entry(path).or_default() += 1;
                sleep(Duration::from_secs(3600)).await;
            }
            let none = r#"{"apiVersion":"v1","kind":"List","metadata":{"resourceVersion":"1"},"items":[]}"#;
            Ok(Response::new(Body::from(none.as_bytes().to_vec())))
        }
    };
    Client::new(tower::service_fn(answer), "default")
}

#[tokio::test(start_paused = true)]
async fn everything_is_watched_again_soon_after_an_outage_of_the_api_server() {
    let watches = Watches::default();
    let back = Instant::now() + OUTAGE;
    let context = Context::new(ContextParts {
        client: absent_until(back, &watches),
        identity: "test".to_owned(),
        broker_image: String::new(),
        domain: "cluster.local".to_owned(),
        own_namespace: "operator".to_owned(),
    });
    let work = async {
        tokio::join!(
            cluster::run(&context, &[None]),
            topic::run(&context, &[None])
        );
    };
    let ended = timeout(OUTAGE + SOON, work).await;
    assert!(ended.is_err(), "nothing is watched any more");
    let expected: BTreeMap<_, _> = WATCHED
        .iter()
        .map(|(path, count)| ((*path).to_owned(), *count))
        .collect();
    assert_eq!(*watches.lock(), expected);
}
