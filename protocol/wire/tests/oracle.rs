//! The `kafka-protocol` crate (at the level of Kafka 4.1) reads what we write and writes the same
//! bytes again. It is an oracle here and nothing else: it must never face a socket.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use bytes::{Bytes, BytesMut};
use freshet_codec::{Message, Sample, Sampler, Writer};
use kafka_protocol::protocol as oracle;

const MESSAGES_PER_VERSION: u64 = 60;

/// Checks the versions that both sides have; returns how many those are.
fn agree<Ours, Theirs>() -> usize
where
    Ours: Message + Sample + std::fmt::Debug,
    Theirs: oracle::Message + oracle::Encodable + oracle::Decodable + std::fmt::Debug,
{
    let common =
        Ours::VERSIONS.filter(|v| (Theirs::VERSIONS.min..=Theirs::VERSIONS.max).contains(v));
    let mut versions = 0;
    for version in common {
        versions += 1;
        for seed in 0..MESSAGES_PER_VERSION {
            let message = Ours::sample(&mut Sampler::new(seed), Ours::shape(version));
            let mut writer = Writer::new();
            message.encode(&mut writer, version).unwrap();
            let ours = writer.finish().into_bytes();
            let theirs = rewrite::<Theirs>(ours.clone(), version);
            assert_eq!(ours, theirs, "{} v{version}: {message:#?}", Ours::NAME);
        }
    }
    versions
}

fn rewrite<M>(written: Bytes, version: i16) -> Bytes
where
    M: oracle::Encodable + oracle::Decodable + std::fmt::Debug,
{
    let mut left = written;
    let message = M::decode(&mut left, version).unwrap();
    assert!(
        left.is_empty(),
        "v{version} left {} bytes of {message:?}",
        left.len()
    );
    let mut rewritten = BytesMut::new();
    message.encode(&mut rewritten, version).unwrap();
    rewritten.freeze()
}

macro_rules! each_agrees {
    ($($module:ident $request:ident $response:ident,)*) => {
        mod agrees_on {
            use super::agree;
            $(each_agrees!(@one $module $request $response);)*
        }
    };
    // New in Kafka 4.4, and held by `golden.rs`.
    (@one unregister_controller $request:ident $response:ident) => {};
    (@one $module:ident $request:ident $response:ident) => {
        #[test]
        fn $module() {
            let versions = agree::<freshet_wire::$request, kafka_protocol::messages::$request>();
            assert!(versions > 0);
            agree::<freshet_wire::$response, kafka_protocol::messages::$response>();
        }
    };
}

freshet_wire::for_each_api!(each_agrees);

#[test]
fn headers_agree() {
    agree::<freshet_wire::RequestHeader, kafka_protocol::messages::RequestHeader>();
    agree::<freshet_wire::ResponseHeader, kafka_protocol::messages::ResponseHeader>();
}
