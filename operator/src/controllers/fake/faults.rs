//! What goes wrong between the operator and those it asks, from a seed.

use hyper::StatusCode;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Random numbers; the same seed gives the same ones (SplitMix64).
#[derive(Debug, Clone, Default)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of `0..count`.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.roll() % count as u64).expect("it is below a usize")
    }

    pub(crate) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// What can become of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A write is refused: 409.
    Conflict,
    /// 500.
    Broken,
    /// 429, and when to ask again.
    Busy,
    /// It is carried out, and the answer is lost.
    Lost,
    /// A list is an older one.
    Stale,
    /// Something else happens before it: see [`Faults::meanwhile`].
    Meanwhile,
}

impl Fault {
    pub(crate) const ALL: [Self; 6] = [
        Self::Conflict,
        Self::Broken,
        Self::Busy,
        Self::Lost,
        Self::Stale,
        Self::Meanwhile,
    ];

    /// The answer, if that is all there is to it.
    pub(super) fn refusal(self) -> Option<StatusCode> {
        match self {
            Self::Conflict => Some(StatusCode::CONFLICT),
            Self::Broken => Some(StatusCode::INTERNAL_SERVER_ERROR),
            Self::Busy => Some(StatusCode::TOO_MANY_REQUESTS),
            Self::Lost | Self::Stale | Self::Meanwhile => None,
        }
    }
}

/// What happens between two requests.
type Meanwhile = Box<dyn FnMut(&mut Dice) + Send>;

#[derive(Default)]
struct State {
    dice: Dice,
    kinds: Vec<Fault>,
    percent: usize,
    calls: u64,
    last: Option<u64>,
    /// How often each fault has happened.
    done: Vec<Fault>,
}

/// Faults on the way of one operator. Without being told otherwise there are none.
#[derive(Default)]
pub(crate) struct Faults {
    state: Mutex<State>,
    meanwhile: Mutex<Option<Meanwhile>>,
    died: Notify,
}

impl Faults {
    /// From now on every `percent`th request meets one of these.
    pub(crate) fn begin(&self, dice: Dice, percent: usize, kinds: &[Fault]) {
        let mut state = self.state.lock();
        state.dice = dice;
        state.percent = percent;
        state.kinds = kinds.to_vec();
    }

    /// No more faults.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock();
        state.percent = 0;
        state.last = None;
    }

    /// What [`Fault::Meanwhile`] is.
    pub(crate) fn meanwhile(&self, happens: impl FnMut(&mut Dice) + Send + 'static) {
        *self.meanwhile.lock() = Some(Box::new(happens));
    }

    /// The operator dies after so many more requests: the last one is carried out.
    pub(crate) fn die_after(&self, calls: u64) {
        let mut state = self.state.lock();
        state.last = Some(state.calls + calls);
    }

    /// Waits for that.
    pub(crate) async fn died(&self) {
        self.died.notified().await;
    }

    /// Requests so far.
    pub(crate) fn calls(&self) -> u64 {
        self.state.lock().calls
    }

    /// The faults that there were since this was asked last.
    pub(crate) fn done(&self) -> Vec<Fault> {
        std::mem::take(&mut self.state.lock().done)
    }

    /// What becomes of a request.
    pub(crate) fn draw(&self, writes: bool, lists: bool) -> Option<Fault> {
        let fault = self.drawn(writes, lists)?;
        if fault == Fault::Meanwhile
            && let Some(happens) = self.meanwhile.lock().as_mut()
        {
            // It asks the same API server: nothing is held meanwhile but itself.
            let mut dice = std::mem::take(&mut self.state.lock().dice);
            happens(&mut dice);
            self.state.lock().dice = dice;
        }
        Some(fault)
    }

    fn drawn(&self, writes: bool, lists: bool) -> Option<Fault> {
        let mut state = self.state.lock();
        let percent = state.percent;
        if !state.dice.percent(percent) {
            return None;
        }
        let can = |fault: &Fault| match fault {
            Fault::Conflict | Fault::Lost => writes,
            Fault::Stale => lists,
            Fault::Broken | Fault::Busy | Fault::Meanwhile => true,
        };
        let kinds: Vec<_> = state.kinds.iter().copied().filter(can).collect();
        let fault = *kinds.get(state.dice.below(kinds.len().max(1)))?;
        state.done.push(fault);
        Some(fault)
    }

    /// How many changes ago a list is from that is stale.
    pub(super) fn ago(&self) -> usize {
        1 + self.state.lock().dice.below(12)
    }

    /// Counts a request that was carried out. After the last one nobody hears the answer.
    pub(crate) async fn count(&self) {
        let is_last = {
            let mut state = self.state.lock();
            state.calls += 1;
            state.last == Some(state.calls)
        };
        if is_last {
            self.died.notify_one();
            std::future::pending::<()>().await;
        }
    }
}
