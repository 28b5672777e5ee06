//! Which partition a record goes to.
//!
//! A key decides by murmur2, bit for bit as Kafka's Java producer does, so that records of one key
//! meet whoever writes them. Records without a key stay with one partition until its batch closes
//! and then move on (KIP-480, KIP-794): few full batches instead of many thin ones.

use freshet_types::PartitionId;

/// The partition of a key. `partitions` is at least 1.
pub fn partition_for_key(key: &[u8], partitions: u32) -> PartitionId {
    let positive = murmur2(key) & 0x7fff_ffff;
    (positive % partitions) as PartitionId
}

/// 32-bit MurmurHash2 with the seed Kafka uses.
pub fn murmur2(bytes: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;

    let mut h = SEED ^ bytes.len() as u32;
    let (words, tail) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (i, byte) in tail.iter().enumerate() {
            h ^= u32::from(*byte) << (8 * i);
        }
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

/// Where records without a key go at present, for one topic.
#[derive(Debug, Clone)]
pub(crate) struct Sticky {
    next: u32,
}

impl Sticky {
    /// Starts somewhere: many producers that start together should not all meet in partition 0.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            next: (seed >> 33) as u32,
        }
    }

    /// The partition to stay with. `available` holds the partitions with a leader, or all when none
    /// has one; it is not empty.
    pub(crate) fn current(&self, available: &[PartitionId]) -> PartitionId {
        available[self.next as usize % available.len()]
    }

    /// A batch has closed: move on.
    pub(crate) fn advance(&mut self) {
        self.next = self.next.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_equals_javas() {
        // Pairs from running org.apache.kafka.common.utils.Utils.murmur2 of kafka-clients 4.3.1.
        let cases: [(&[u8], i32); 6] = [
            (b"", 275_646_681),
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (
                b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
        ];
        for (key, hash) in cases {
            assert_eq!(
                murmur2(key) as i32,
                hash,
                "{}",
                String::from_utf8_lossy(key)
            );
        }
    }

    #[test]
    fn bytes_above_127_are_unsigned() {
        assert_eq!(murmur2(&[0xff, 0x80, 0xfe]) as i32, 957_058_525);
        assert_eq!(
            murmur2(&[0xff, 0x80, 0xfe, 0xc3, 0x9f]) as i32,
            -899_579_935
        );
    }

    #[test]
    fn sticky_goes_around_what_is_available() {
        let mut sticky = Sticky::new(0);
        let mut seen: Vec<_> = Vec::new();
        for _ in 0..4 {
            seen.push(sticky.current(&[0, 2, 5]));
            sticky.advance();
        }
        assert_eq!(seen, [0, 2, 5, 0]);
    }
}
