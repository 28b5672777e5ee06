//! What nodes of a cluster say through a broker's listener, and what clients notice of it: nothing.

use std::sync::Arc;

use freshet_server::{PeerAnswered, PeerDoor};
use freshet_wire::{ApiVersionsRequest, PeerRequest, PeerResponse, Request};

use crate::rig::{Rig, Surroundings};

/// Answers with what it was asked, by one listener.
struct Echo(&'static str);

impl PeerDoor for Echo {
    fn listener(&self) -> &str {
        self.0
    }

    fn answer(&self, request: PeerRequest) -> PeerAnswered<'_> {
        Box::pin(async move {
            PeerResponse {
                taken: true,
                body: request.body,
            }
        })
    }
}

fn rig(listener: &'static str) -> Rig {
    let surroundings = Surroundings {
        peers: Some(Arc::new(Echo(listener))),
        ..Surroundings::default()
    };
    Rig::among(&[], &surroundings)
}

fn request() -> PeerRequest {
    PeerRequest {
        kind: 1,
        body: bytes::Bytes::from_static(b"letter").into(),
    }
}

#[test]
fn nodes_are_heard_by_their_listener_and_clients_are_not_told() {
    let rig = rig("PLAINTEXT");
    let mut raw = rig.connect();
    let told = raw.latest(&ApiVersionsRequest::default()).api_keys;
    assert!(
        told.iter()
            .all(|api| api.api_key != PeerRequest::KEY.code())
    );
    let answer = raw.latest(&request());
    assert!(answer.taken && answer.body == request().body);
    let (_, metrics) = rig.page("/metrics");
    assert!(
        metrics.contains("freshet_requests_total{api=\"Peer\"} 1"),
        "{metrics}"
    );
}

#[test]
fn by_another_listener_there_is_no_such_thing() {
    for rig in [rig("REPLICATION"), Rig::start(&[])] {
        assert!(rig.connect().is_refused(&request()));
    }
}
