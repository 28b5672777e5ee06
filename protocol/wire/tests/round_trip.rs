//! Every API in every version: what is written is read back.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use freshet_codec::{Message, Reader, Sample, Sampler, Writer};
use proptest::prelude::*;

fn round_trip<M: Message + Sample + PartialEq + std::fmt::Debug>(seed: u64) {
    for version in M::VERSIONS {
        let mut sampler = Sampler::new(seed ^ (version as u64) << 48);
        let message = M::sample(&mut sampler, M::shape(version));
        let written = encode(&message, version);
        let mut reader = Reader::new(written.clone());
        let read = M::decode(&mut reader, version)
            .unwrap_or_else(|error| panic!("{} v{version}: {error}\n{message:?}", M::NAME));
        reader.expect_end().unwrap();
        assert_eq!(read, message, "{} v{version}", M::NAME);
        assert_eq!(encode(&read, version), written, "{} v{version}", M::NAME);
    }
}

fn encode<M: Message>(message: &M, version: i16) -> bytes::Bytes {
    let mut writer = Writer::new();
    message
        .encode(&mut writer, version)
        .unwrap_or_else(|error| panic!("{} v{version}: {error}", M::NAME));
    let len = writer.len();
    let bytes = writer.finish().into_bytes();
    assert_eq!(bytes.len(), len);
    bytes
}

macro_rules! each_round_trips {
    ($($module:ident $request:ident $response:ident,)*) => {
        mod round_trips {
            use super::*;
            proptest! {
                #![proptest_config(ProptestConfig::with_cases(64))]
                $(
                    #[test]
                    fn $module(seed: u64) {
                        round_trip::<freshet_wire::$request>(seed);
                        round_trip::<freshet_wire::$response>(!seed);
                    }
                )*
            }
        }
    };
}

freshet_wire::for_each_api!(each_round_trips);

proptest! {
    #[test]
    fn headers_round_trip(seed: u64) {
        round_trip::<freshet_wire::RequestHeader>(seed);
        round_trip::<freshet_wire::ResponseHeader>(seed);
    }
}
