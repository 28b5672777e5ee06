//! Bombs cost no memory. One test alone, because it looks at the memory of the whole process.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::io::Write;

use freshet_records::{Batch, BatchBuilder, BatchError, Codec, HEADER_BYTES, NewRecord};

const MIB: usize = 1 << 20;
const BOMB_RECORDS: i32 = 24;

fn one_record(value_bytes: usize) -> Batch {
    let mut one = BatchBuilder::new(Codec::None);
    one.push(&NewRecord {
        value: Some(&vec![0; value_bytes]),
        ..NewRecord::default()
    })
    .unwrap();
    one.finish().unwrap()
}

/// A batch of a few KiB that holds 24 records of 1 MiB each.
fn bomb(codec: Codec) -> Batch {
    let record = one_record(MIB).body();
    let feed = |out: &mut dyn Write| {
        for _ in 0..BOMB_RECORDS {
            out.write_all(&record).unwrap();
        }
    };
    let body = match codec {
        Codec::Gzip => {
            let mut out = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
            feed(&mut out);
            out.finish().unwrap()
        }
        Codec::Lz4 => {
            let mut out = lz4_flex::frame::FrameEncoder::new(vec![]);
            feed(&mut out);
            out.finish().unwrap()
        }
        Codec::Zstd => {
            let mut out = zstd::stream::write::Encoder::new(vec![], 3).unwrap();
            feed(&mut out);
            out.finish().unwrap()
        }
        Codec::None | Codec::Snappy => unreachable!("snappy works in blocks"),
    };
    with_body(codec, BOMB_RECORDS, &body)
}

fn with_body(codec: Codec, records: i32, body: &[u8]) -> Batch {
    let mut header = *one_record(0).header();
    header.attributes = header.attributes.with_codec(codec);
    header.record_count = records;
    header.last_offset_delta = records - 1;
    header.size_bytes = HEADER_BYTES + body.len();
    Batch::parse(&[&header.encode()[..], body].concat().into()).unwrap()
}

/// The most memory this process ever had, in bytes.
#[expect(clippy::disallowed_methods, reason = "reads the kernel's own account")]
fn peak_memory() -> usize {
    let status = String::from_utf8(std::fs::read("/proc/self/status").unwrap()).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    let kib = line.split_whitespace().nth(1).unwrap();
    kib.parse::<usize>().unwrap() * 1024
}

#[test]
fn hostile_sizes_cost_no_memory() {
    bombs_stay_flat_and_stop_at_the_cap();
    a_record_that_claims_gigabytes_takes_none();
}

fn bombs_stay_flat_and_stop_at_the_cap() {
    for codec in [Codec::Gzip, Codec::Lz4, Codec::Zstd] {
        let bomb = bomb(codec);
        assert!(bomb.bytes().len() < MIB, "{codec:?} {}", bomb.bytes().len());
        let before = peak_memory();
        let records = bomb.records(usize::MAX).unwrap();
        let whole = records.filter(Result::is_ok).count();
        assert_eq!(whole, BOMB_RECORDS as usize);
        let stopped = bomb.records(2 * MIB).unwrap().last().unwrap();
        assert_eq!(
            stopped,
            Err(BatchError::InflatesTooFar { cap_bytes: 2 * MIB })
        );
        let grown = peak_memory() - before;
        assert!(grown < 8 * MIB, "{codec:?} took {grown} bytes");
    }
}

fn a_record_that_claims_gigabytes_takes_none() {
    // Length 2^31 - 2 as a varint, then three bytes.
    let body = [0xfc, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0];
    let zstd = zstd::encode_all(&body[..], 1).unwrap();
    for batch in [
        with_body(Codec::None, 1, &body),
        with_body(Codec::Zstd, 1, &zstd),
    ] {
        let before = peak_memory();
        let error = batch.records(usize::MAX).unwrap().next().unwrap();
        assert!(matches!(error, Err(BatchError::MalformedRecord { .. })));
        assert!(peak_memory() - before < 8 * MIB);
    }
}
