//! Bytes from strangers: damage is an error, never a panic, and bombs cost no memory.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use bytes::Bytes;
use freshet_records::{
    Batch, BatchBuilder, BatchError, BatchHeader, Batches, Codec, Compression, HEADER_BYTES,
    NewRecord, Rules, inspect, recompress,
};
use freshet_types::Timestamp;
use proptest::prelude::*;

const CAP: usize = 1 << 20;

fn sample(codec: Codec) -> Batch {
    let mut builder = BatchBuilder::new(codec);
    for i in 0..20_u8 {
        let value = vec![i; usize::from(i) * 40];
        builder
            .push(&NewRecord {
                timestamp: Timestamp(i64::from(i)),
                key: Some(&[i]),
                value: Some(&value),
                headers: &[],
            })
            .unwrap();
    }
    builder.finish().unwrap()
}

fn rules() -> Rules {
    Rules {
        keys_required: true,
        timestamps: Some(0..=i64::MAX),
        cap_bytes: CAP,
    }
}

/// Everything a broker or client does with a batch; only panics matter here.
fn handle(bytes: Bytes) {
    for batch in Batches::new(bytes).flatten() {
        let _ = batch.check_crc();
        let _ = batch.header().check_produced();
        let _ = batch.header().last_sequence();
        let _ = batch.header().next_offset();
        let _ = batch.header().with_log_append_time(Timestamp(1));
        let _ = inspect(&batch, &rules());
        let _ = recompress(&batch, Compression::from(Codec::Lz4), CAP);
        if let Ok(records) = batch.records(CAP) {
            for record in records.flatten() {
                let _ = freshet_records::EndTxnMarker::parse(&record);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn mutated_batches_never_panic(
        codec in proptest::sample::select(Codec::ALL.to_vec()),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = sample(codec).bytes().to_vec();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        handle(bytes.into());
    }

    #[test]
    fn random_bodies_never_panic(
        codec in 0..8_u8,
        mut body in proptest::collection::vec(any::<u8>(), 0..400),
        count: u16,
    ) {
        let mut bytes = sample(Codec::None).bytes()[..HEADER_BYTES].to_vec();
        bytes[22] = codec;
        bytes[57..59].fill(0);
        bytes[59..61].copy_from_slice(&count.to_be_bytes());
        bytes.append(&mut body);
        let length = (bytes.len() - 12) as u32;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        handle(bytes.into());
    }

    #[test]
    fn one_flipped_bit_under_the_checksum_is_seen(
        codec in proptest::sample::select(Codec::ALL.to_vec()),
        at: prop::sample::Index,
        bit in 0..8_u32,
    ) {
        let mut bytes = sample(codec).bytes().to_vec();
        let at = 17 + at.index(bytes.len() - 17);
        bytes[at] ^= 1_u8 << bit;
        // A header that does not parse is as good as a checksum that does not fit.
        if let Ok(batch) = Batch::parse(&bytes.into()) {
            let seen = matches!(batch.check_crc(), Err(BatchError::Crc { .. }));
            prop_assert!(seen);
            let stamped = batch.header().with_log_append_time(Timestamp(7));
            let stamped = [&stamped.encode()[..], &batch.body()].concat();
            prop_assert!(Batch::parse(&stamped.into()).unwrap().check_crc().is_err());
        }
    }
}

#[test]
fn header_lies_are_named() {
    let good = sample(Codec::None).bytes().to_vec();
    let with = |at: usize, bytes: &[u8]| {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        Batch::parse(&bad.into()).map(|batch| (batch.header().check_produced(), batch))
    };
    let cut = BatchHeader::parse(&good[..60]);
    assert!(matches!(cut, Err(BatchError::Truncated { .. })));
    for (at, bytes) in [
        (8, [0, 0, 0, 48]),             // a length below a header's
        (8, [0xff, 0xff, 0xff, 0xff]),  // a negative length
        (23, [0xff, 0xff, 0xff, 0xff]), // a negative delta
        (57, [0x80, 0, 0, 0]),          // a negative count
    ] {
        let parsed = with(at, &bytes);
        assert!(matches!(parsed, Err(BatchError::Malformed { .. })), "{at}");
    }
    assert!(matches!(
        with(8, &[0x7f, 0xff, 0xff, 0xff]),
        Err(BatchError::Truncated { .. })
    ));
    for magic in [0, 1, 3, -1_i8] {
        let parsed = with(16, &magic.to_be_bytes()).map(|_| ());
        assert_eq!(parsed, Err(BatchError::Magic { magic }));
    }
    for (at, bytes) in [
        (57, [0, 0, 0, 0]),  // no records
        (57, [0, 0, 0, 19]), // fewer than the delta says
    ] {
        let (checked, _) = with(at, &bytes).unwrap();
        assert!(matches!(checked, Err(BatchError::Malformed { .. })));
    }
    let (checked, batch) = with(22, &[6]).unwrap();
    assert_eq!(checked, Err(BatchError::UnknownCodec { codec: 6 }));
    assert!(matches!(
        batch.records(CAP),
        Err(BatchError::UnknownCodec { codec: 6 })
    ));
}

#[test]
fn counts_and_bodies_must_agree() {
    for codec in Codec::ALL {
        let good = sample(codec).bytes().to_vec();
        for count in [19_u8, 21] {
            let mut bad = good.clone();
            bad[60] = count;
            let batch = Batch::parse(&bad.into()).unwrap();
            let error = inspect(&batch, &rules()).unwrap_err();
            if count == 19 {
                assert!(matches!(error, BatchError::Malformed { .. }), "{error}");
            } else {
                let at_20 = matches!(error, BatchError::MalformedRecord { index: 20, .. });
                assert!(at_20, "{error}");
            }
        }
    }
}

fn with_body(codec: Codec, records: i32, body: &[u8]) -> Batch {
    let mut header = *sample(Codec::None).header();
    header.attributes = header.attributes.with_codec(codec);
    header.record_count = records;
    header.last_offset_delta = records - 1;
    header.size_bytes = HEADER_BYTES + body.len();
    Batch::parse(&[&header.encode()[..], body].concat().into()).unwrap()
}

#[test]
fn snappy_blocks_cannot_claim_what_they_do_not_hold() {
    // A block's length comes first: 0xffffffff0f is 4 GiB, of which nothing follows.
    let claim = |length: &[u8]| with_body(Codec::Snappy, 1, length);
    let read = |batch: &Batch, cap| batch.records(cap).unwrap().next().unwrap().unwrap_err();
    let all = claim(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert_eq!(
        read(&all, CAP),
        BatchError::InflatesTooFar { cap_bytes: CAP }
    );
    let error = read(&all, usize::MAX);
    assert!(matches!(error, BatchError::Compression { .. }), "{error}");
}
