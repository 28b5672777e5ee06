//! The runtime that agreement runs on: tokio, with dice that a simulation can load.
//!
//! openraft asks for randomness through a function without `self`. Each thread therefore has dice of
//! its own: loaded by [`load_dice`], or seeded by the operating system when first thrown.

use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

use freshet_env::{Rng, SystemRng};
use openraft::{AsyncRuntime, OptionalSend};
use openraft_rt_tokio::{TokioInstant, TokioMpsc, TokioMutex, TokioOneshot, TokioRuntime};
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::watch::OrderedWatch;

thread_local! {
    static DICE: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Decides what election timeouts on this thread will be drawn. For simulations, which run all
/// nodes on one thread: the same seed gives the same elections.
pub fn load_dice(seed: u64) {
    DICE.set(Some(seed));
}

fn throw() -> u64 {
    let seed = DICE.get().unwrap_or_else(|| {
        let id = SystemRng.id();
        u64::from_be_bytes(id[..8].try_into().expect("an id has 16 bytes"))
    });
    // Weyl sequence: SmallRng mixes the seeds it is given, so that near ones are not alike.
    DICE.set(Some(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)));
    seed
}

/// See the module's story.
#[derive(Debug)]
pub(crate) struct Runtime(TokioRuntime);

impl AsyncRuntime for Runtime {
    type JoinError = <TokioRuntime as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::JoinHandle<T>;
    type Sleep = <TokioRuntime as AsyncRuntime>::Sleep;
    type Instant = TokioInstant;
    type TimeoutError = <TokioRuntime as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> =
        <TokioRuntime as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = SmallRng;
    type Mpsc = TokioMpsc;
    type Watch = OrderedWatch;
    type Oneshot = TokioOneshot;
    type Mutex<T: OptionalSend + 'static> = TokioMutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        super::gate::spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        TokioRuntime::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        TokioRuntime::sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        TokioRuntime::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        TokioRuntime::timeout_at(deadline, future)
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        TokioRuntime::is_panic(join_error)
    }

    fn thread_rng() -> SmallRng {
        SmallRng::seed_from_u64(throw())
    }

    fn new(threads: usize) -> Self {
        Self(TokioRuntime::new(threads))
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.0.block_on(future)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_runtime_passes_its_exam() {
        openraft_rt::testing::Suite::<super::Runtime>::test_all();
    }
}
