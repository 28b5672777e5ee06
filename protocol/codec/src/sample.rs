//! Random messages for tests, so that one loop can exercise every API in every version.

use bytes::Bytes;
use freshet_types::TopicId;

use crate::field::Shape;
use crate::payload::Payload;

/// A type that can make up a value which the given version can say.
pub trait Sample: Sized {
    /// Makes up a value.
    fn sample(s: &mut Sampler, at: Shape) -> Self;
}

/// Where random values come from. The same seed gives the same values.
#[derive(Debug, Clone)]
pub struct Sampler {
    state: u64,
    depth: u32,
}

impl Sampler {
    /// Starts at `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            state: seed,
            depth: 0,
        }
    }

    /// 64 random bits (splitmix64).
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.bits() % limit
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// An integer that is often at an edge: 0, ±1, small, or any bits.
    fn integer(&mut self) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => 1,
            2 => u64::MAX,
            3 | 4 => self.below(200),
            _ => self.bits(),
        }
    }

    fn bytes(&mut self) -> Bytes {
        // Now and then longer than two bytes of varint can say, or than what is copied inline.
        let len = if self.one_in(20) {
            100 + self.below(20_000)
        } else {
            self.below(20)
        };
        (0..len)
            .map(|_| self.bits() as u8)
            .collect::<Vec<_>>()
            .into()
    }
}

macro_rules! sample_integer {
    ($($of:ty)*) => { $(
        impl Sample for $of {
            fn sample(s: &mut Sampler, _: Shape) -> Self { s.integer() as $of }
        }
    )* };
}

sample_integer!(i8 i16 u16 i32 u32 i64);

impl Sample for bool {
    fn sample(s: &mut Sampler, _: Shape) -> Self {
        s.one_in(2)
    }
}

impl Sample for f64 {
    fn sample(s: &mut Sampler, _: Shape) -> Self {
        // No NaN, which does not equal itself.
        s.integer() as i64 as f64 / 8.0
    }
}

impl Sample for [u8; 16] {
    fn sample(s: &mut Sampler, _: Shape) -> Self {
        (u128::from(s.bits()) << 64 | u128::from(s.bits())).to_be_bytes()
    }
}

impl Sample for TopicId {
    fn sample(s: &mut Sampler, at: Shape) -> Self {
        if s.one_in(4) {
            Self::ZERO
        } else {
            Self(Sample::sample(s, at))
        }
    }
}

impl Sample for String {
    fn sample(s: &mut Sampler, _: Shape) -> Self {
        const LETTERS: [char; 8] = ['a', 'Z', '0', '-', '.', 'ü', '水', '🦀'];
        let len = if s.one_in(30) {
            s.below(400)
        } else {
            s.below(12)
        };
        (0..len).map(|_| LETTERS[s.below(8) as usize]).collect()
    }
}

impl Sample for Bytes {
    fn sample(s: &mut Sampler, _: Shape) -> Self {
        s.bytes()
    }
}

impl Sample for Payload {
    fn sample(s: &mut Sampler, _: Shape) -> Self {
        (0..s.below(3)).map(|_| s.bytes()).collect()
    }
}

impl<T: Sample> Sample for Option<T> {
    fn sample(s: &mut Sampler, at: Shape) -> Self {
        if s.one_in(3) {
            None
        } else {
            Some(T::sample(s, at))
        }
    }
}

impl<T: Sample> Sample for Vec<T> {
    fn sample(s: &mut Sampler, at: Shape) -> Self {
        s.depth += 1;
        let limit = if s.depth == 1 && s.one_in(30) { 200 } else { 4 };
        let elements = (0..s.below(limit)).map(|_| T::sample(s, at)).collect();
        s.depth -= 1;
        elements
    }
}
