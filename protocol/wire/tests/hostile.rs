//! Frames that lie: cut, bit-flipped, overwritten, and pure garbage. Decoding never panics, and
//! never takes more memory than the reader's limit for a frame of that size.
//!
//! One test alone in its process, because it counts what the whole process allocates.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::alloc::System;

use bytes::{Bytes, BytesMut};
use freshet_codec::{Message, Reader, Sample, Sampler, Writer};
use freshet_wire::{RequestHeader, ResponseHeader, split_frame};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const FRAMES_PER_VERSION: u64 = 30;
const MUTATIONS_PER_FRAME: u64 = 8;
/// Bytes any frame may cost besides: what the allocator rounds up.
const BASE_COST: usize = 4 * 1024;

#[test]
fn hostile_frames_neither_panic_nor_cost_more_than_their_limit() {
    macro_rules! each {
        ($($module:ident $request:ident $response:ident,)*) => { $(
            attack::<freshet_wire::$request>();
            attack::<freshet_wire::$response>();
        )* };
    }
    freshet_wire::for_each_api!(each);
    attack::<RequestHeader>();
    attack::<ResponseHeader>();
    lengths_and_headers_survive_garbage();
}

fn attack<M: Message + Sample>() {
    let mut random = Sampler::new(0xf4e5);
    for version in M::VERSIONS {
        for seed in 0..FRAMES_PER_VERSION {
            let frame = sample::<M>(seed, version);
            for cut in [random.below(frame.len() as u64 + 1) as usize, frame.len()] {
                for _ in 0..MUTATIONS_PER_FRAME {
                    let mut bytes = frame[..cut].to_vec();
                    mutate(&mut bytes, &mut random);
                    check::<M>(bytes, version);
                }
                check::<M>(frame[..cut].to_vec(), version);
            }
            let garbage = (0..random.below(64)).map(|_| random.bits() as u8).collect();
            check::<M>(garbage, version);
        }
        // The largest counts a frame can hold, in both encodings.
        for filler in [0x00, 0x01, 0x02, 0x7f, 0xff] {
            check::<M>(vec![filler; 100_000], version);
        }
    }
}

fn sample<M: Message + Sample>(seed: u64, version: i16) -> Bytes {
    let message = M::sample(&mut Sampler::new(seed), M::shape(version));
    let mut writer = Writer::new();
    message.encode(&mut writer, version).unwrap();
    writer.finish().into_bytes()
}

/// Flips a bit, or overwrites a few bytes with ones that make large counts and lengths.
fn mutate(bytes: &mut [u8], random: &mut Sampler) {
    for _ in 0..=random.below(3) {
        if bytes.is_empty() {
            return;
        }
        let at = random.below(bytes.len() as u64) as usize;
        match random.below(3) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.bits() as u8,
            _ => {
                let edge: [u8; 4] = match random.below(4) {
                    0 => [0x7f, 0xff, 0xff, 0xff],
                    1 => [0xff, 0xff, 0xff, 0x7f],
                    2 => [0x00, 0x0f, 0x42, 0x40],
                    _ => [0xff; 4],
                };
                let end = bytes.len().min(at + 4);
                bytes[at..end].copy_from_slice(&edge[..end - at]);
            }
        }
    }
}

fn check<M: Message>(bytes: Vec<u8>, version: i16) {
    let len = bytes.len();
    let frame = Bytes::from(bytes);
    let region = Region::new(ALLOCATOR);
    let decoded = M::decode(&mut Reader::new(frame), version);
    let cost = region.change().bytes_allocated;
    drop(decoded);
    let limit = BASE_COST + len + Reader::memory_limit(len);
    assert!(
        cost <= limit,
        "{} v{version}: {len} bytes cost {cost}, limit {limit}",
        M::NAME
    );
}

fn lengths_and_headers_survive_garbage() {
    let mut random = Sampler::new(7);
    for _ in 0..10_000 {
        let garbage: Vec<u8> = (0..random.below(40)).map(|_| random.bits() as u8).collect();
        let _ = RequestHeader::open(garbage.clone().into());
        let _ = split_frame(&mut BytesMut::from(&garbage[..]), 1 << 20);
    }
}
