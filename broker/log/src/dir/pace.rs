//! Whether a disk has become slow, by how long its flushes take.
//!
//! ```text
//!              most flushes of a few seconds, or one that does not end
//!   well ────────────────────────────────────────────────────────────► slow
//!    ▲                                                                   │
//!    └───────────── for the time of rest, that was not so ◄─────────────┘
//! ```
//! One flush says little: every disk stands still now and then. So most of a window must be slow, in more
//! than one second of it. And who was judged slow flushes less from then on, so it is believed to be well
//! only after some time.

use freshet_types::Millis;

/// Length of a part of the window.
const SLOT_MS: u64 = 1_000;
/// Parts of the window that are over, and the one that is not.
const SLOTS: usize = 4;
/// Fewer slow flushes in the window say nothing of a disk that was well.
const SLOW_MIN: u64 = 3;
/// A flush that is under way for so many times the limit says it alone, if it was late when somebody looked
/// before: a process that stood still finds all of its flushes old.
const STUCK: u64 = 8;

/// What counts as slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaceLimits {
    /// A flush that takes longer is slow, ms; 0 for none.
    pub slow_flush_ms: u64,
    /// A disk that was slow is well after so long without being so, ms.
    pub recovery_ms: u64,
}

impl PaceLimits {
    /// No disk is slow.
    pub const NONE: Self = Self {
        slow_flush_ms: 0,
        recovery_ms: 0,
    };
}

/// Flushes that ended in one second.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    number: u64,
    slow: u64,
    all: u64,
}

/// A flush that has not ended.
#[derive(Debug)]
struct UnderWay {
    id: u64,
    began: Millis,
    /// Whether it was late at an earlier look.
    was_late: bool,
}

/// The flushes of one disk.
#[derive(Debug)]
pub(crate) struct Pace {
    limits: PaceLimits,
    slots: [Slot; SLOTS],
    /// Those that have begun and not ended.
    under_way: Vec<UnderWay>,
    next: u64,
    /// When it was last slow, while it is judged so.
    slow_at: Option<Millis>,
}

impl Pace {
    pub(crate) fn new(limits: PaceLimits) -> Self {
        Self {
            limits,
            slots: [Slot::default(); SLOTS],
            under_way: Vec::new(),
            next: 0,
            slow_at: None,
        }
    }

    /// A flush begins; for [`Pace::end`].
    pub(crate) fn begin(&mut self, now: Millis) -> u64 {
        let id = self.next;
        self.next += 1;
        self.under_way.push(UnderWay {
            id,
            began: now,
            was_late: false,
        });
        id
    }

    /// A flush has ended, well or not.
    pub(crate) fn end(&mut self, id: u64, now: Millis) {
        let Some(at) = self.under_way.iter().position(|one| one.id == id) else {
            return;
        };
        let began = self.under_way.swap_remove(at).began;
        let number = now.0 / SLOT_MS;
        let at = usize::try_from(number).unwrap_or(0) % SLOTS;
        if self.slots[at].number != number {
            self.slots[at] = Slot {
                number,
                ..Slot::default()
            };
        }
        self.slots[at].all += 1;
        self.slots[at].slow += u64::from(now - began > self.limits.slow_flush_ms);
    }

    /// Whether the disk is slow. To be asked every second or two: what nobody saw was not.
    pub(crate) fn judge(&mut self, now: Millis) -> bool {
        if self.limits.slow_flush_ms == 0 {
            return false;
        }
        if self.is_slow_now(now) {
            self.slow_at = Some(now);
        }
        for one in &mut self.under_way {
            one.was_late |= now - one.began > self.limits.slow_flush_ms;
        }
        let rests = |at: &Millis| now - *at < self.limits.recovery_ms;
        self.slow_at = self.slow_at.filter(rests);
        self.slow_at.is_some()
    }

    fn is_slow_now(&self, now: Millis) -> bool {
        let limit = self.limits.slow_flush_ms;
        let is_stuck = |one: &UnderWay| one.was_late && now - one.began > limit * STUCK;
        if self.under_way.iter().any(is_stuck) {
            return true;
        }
        let late = self.under_way.iter();
        let overdue = late.filter(|one| now - one.began > limit).count() as u64;
        let present = now.0 / SLOT_MS;
        let oldest = present.saturating_sub(SLOTS as u64 - 1);
        let window = || self.slots.iter().filter(|slot| slot.number >= oldest);
        let seconds = window().filter(|slot| slot.slow > 0).count();
        let slow: u64 = overdue + window().map(|slot| slot.slow).sum::<u64>();
        let all: u64 = overdue + window().map(|slot| slot.all).sum::<u64>();
        let tells = self.slow_at.is_some() || (slow >= SLOW_MIN && seconds > 1);
        slow > 0 && tells && slow * 3 >= all * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: PaceLimits = PaceLimits {
        slow_flush_ms: 300,
        recovery_ms: 30_000,
    };

    /// A disk that is flushed again and again from `from` to `until`, `ms` each time; when it was first
    /// judged slow.
    fn flush(pace: &mut Pace, (from, until): (u64, u64), ms: u64) -> Option<u64> {
        let mut first = None;
        let mut now = from;
        while now < until {
            let id = pace.begin(Millis(now));
            let end = now + ms;
            while now < end {
                now = end.min(now + 100);
                if pace.judge(Millis(now)) {
                    first = first.or(Some(now));
                }
            }
            pace.end(id, Millis(now));
        }
        first
    }

    #[test]
    fn a_disk_is_slow_when_most_flushes_of_some_seconds_are() {
        let mut pace = Pace::new(LIMITS);
        assert_eq!(flush(&mut pace, (10_000, 60_000), 299), None);
        let slow = flush(&mut pace, (60_000, 70_000), 500);
        let slow = slow.expect("half a second each");
        assert!((61_000..66_000).contains(&slow), "{slow}");
    }

    #[test]
    fn one_stall_is_no_slow_disk_and_a_flush_without_end_is() {
        let mut pace = Pace::new(LIMITS);
        assert_eq!(flush(&mut pace, (10_000, 15_000), 20), None);
        // Four threads wait for the same stall.
        let stalled: Vec<u64> = (0..4).map(|_| pace.begin(Millis(15_000))).collect();
        for id in stalled {
            pace.end(id, Millis(16_500));
        }
        assert!(!pace.judge(Millis(16_500)));
        assert_eq!(flush(&mut pace, (16_500, 30_000), 20), None);
        pace.begin(Millis(30_000));
        assert!(!pace.judge(Millis(32_400)));
        assert!(pace.judge(Millis(32_401)), "eight times the limit");
    }

    #[test]
    fn a_process_that_stood_still_has_no_slow_disk() {
        let mut pace = Pace::new(LIMITS);
        assert_eq!(flush(&mut pace, (10_000, 15_000), 20), None);
        let held = pace.begin(Millis(15_000));
        assert!(!pace.judge(Millis(25_000)), "nobody looked for ten seconds");
        pace.end(held, Millis(25_001));
        assert_eq!(flush(&mut pace, (25_001, 30_000), 20), None);
    }

    #[test]
    fn it_is_well_again_after_a_time_of_rest_and_no_sooner() {
        let mut pace = Pace::new(LIMITS);
        flush(&mut pace, (10_000, 20_000), 600).expect("slow");
        let id = pace.begin(Millis(20_000));
        pace.end(id, Millis(20_010));
        // The slow ones leave the window after 23 s.
        assert_eq!(flush(&mut pace, (20_010, 24_000), 10), Some(20_020));
        let mut now = 24_000;
        while pace.judge(Millis(now)) {
            flush(&mut pace, (now, now + 100), 10);
            now += 100;
            assert!(now < 60_000);
        }
        assert!(now >= 50_000, "{now}");
        // Nobody writes: time alone makes it well.
        let mut idle = Pace::new(LIMITS);
        flush(&mut idle, (10_000, 20_000), 600).expect("slow");
        assert!(idle.judge(Millis(49_000)));
        assert!(!idle.judge(Millis(60_000)));
    }

    #[test]
    fn while_it_is_slow_one_slow_flush_among_few_keeps_it_so() {
        let mut pace = Pace::new(LIMITS);
        flush(&mut pace, (10_000, 20_000), 600).expect("slow");
        let id = pace.begin(Millis(45_000));
        pace.end(id, Millis(45_600));
        assert!(pace.judge(Millis(45_700)));
        assert!(pace.judge(Millis(75_000)), "30 s from then on");
        assert!(!pace.judge(Millis(80_000)));
    }

    #[test]
    fn neither_one_second_of_an_idle_disk_nor_a_third_of_the_flushes_makes_it_slow() {
        let mut idle = Pace::new(LIMITS);
        let stalled: Vec<u64> = (0..4).map(|_| idle.begin(Millis(15_000))).collect();
        for id in stalled {
            idle.end(id, Millis(15_900));
        }
        assert!(!idle.judge(Millis(15_900)));
        let mut mixed = Pace::new(LIMITS);
        for round in 0..20 {
            let from = 20_000 + round * 1_000;
            assert_eq!(flush(&mut mixed, (from, from + 1), 400), None);
            assert_eq!(flush(&mut mixed, (from + 400, from + 440), 20), None);
        }
    }

    #[test]
    fn a_limit_of_zero_judges_nobody() {
        let mut pace = Pace::new(PaceLimits {
            slow_flush_ms: 0,
            ..LIMITS
        });
        assert_eq!(flush(&mut pace, (0, 60_000), 5_000), None);
    }
}
