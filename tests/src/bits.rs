//! Random bits that a seed gives again.

/// splitmix64: small, and the same everywhere.
#[derive(Debug, Clone)]
pub struct Bits(u64);

impl Bits {
    /// The bits of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Those of a seed for something with a name: others than for anything else.
    pub fn of(seed: u64, name: &str) -> Self {
        let mix = |mut bits: Self, byte| Self(bits.draw() ^ u64::from(byte));
        name.bytes().fold(Self(seed), mix)
    }

    /// The next 64 of them.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 if there is none.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw() % end.max(1)
    }

    /// One of the given; there must be one.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    pub(crate) fn bytes(&mut self, count: u64) -> Vec<u8> {
        (0..count).map(|_| self.draw().to_be_bytes()[0]).collect()
    }
}
