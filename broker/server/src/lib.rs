//! The faces of the broker: Kafka's protocol and HTTP.
//!
//! Floor 5: knows requests and domain calls, knows neither files nor segments.

mod http;
mod kafka;
mod metrics;
mod serve;
mod stop;

pub use kafka::{
    Api, Context, Identity, Operation, Parts, PeerAnswered, PeerDoor, QuorumFace, Quota, Readiness,
    RoundTrips, VotersAnswer, reference_markdown, served,
};
pub use serve::{Faces, Listeners, serve, serve_idle};
pub use stop::{Stop, Stopper};
