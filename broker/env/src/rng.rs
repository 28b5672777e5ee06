//! Randomness.

use std::fmt::Debug;

/// Fills buffers with random bytes.
pub trait Rng: Debug + Send + Sync + 'static {
    /// Fills `bytes`; the real one blocks only before the kernel's pool is ready, at boot.
    fn fill(&self, bytes: &mut [u8]);

    /// 16 random bytes: a topic id, a member id.
    fn id(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        bytes
    }
}

/// The operating system's generator.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemRng;

impl Rng for SystemRng {
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes)
            .expect("the kernel's random generator answers on every Linux we run on");
    }
}
