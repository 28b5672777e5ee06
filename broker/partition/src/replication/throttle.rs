//! How fast throttled replicas are copied (KIP-73), so that a reassignment leaves room for clients.
//!
//! Both ends throttle for themselves: a leader what it sends, a follower what it asks for. What is
//! copied takes the time that it should take at the set rate; while that time is not over, throttled
//! replicas are left out. It is copied in small pieces, since records of others wait behind each of
//! them, and only a short pause is made good: a long one would become a burst at full speed.

use freshet_types::{Millis, NodeId, PartitionId};

/// Time without copying that counts as time to copy in, µs.
const CREDIT_MICROS: u64 = 100_000;
/// A piece takes this long at the set rate, µs.
const PIECE_MICROS: u64 = 5_000;
/// Smaller pieces cost more than they spare others.
const PIECE_MIN_BYTES: u64 = 64 << 10;

/// Counts what is copied against a rate.
#[derive(Debug, Clone)]
pub struct Throttle {
    /// Bytes a second.
    rate: u64,
    /// When all that was copied should have been copied, µs.
    busy_until: u64,
}

impl Throttle {
    /// A rate in bytes a second; `u64::MAX` sets no bound.
    pub fn new(rate: u64) -> Self {
        Self {
            rate,
            busy_until: 0,
        }
    }

    /// The rate, in bytes a second.
    pub fn rate(&self) -> u64 {
        self.rate
    }

    /// Another rate, for what is copied from now on. `now` is monotonic.
    pub fn set_rate(&mut self, rate: u64, now: Millis) {
        if rate != self.rate {
            self.rate = rate;
            self.busy_until = micros(now);
        }
    }

    /// Whether throttled replicas may be copied now.
    pub fn may_copy(&self, now: Millis) -> bool {
        self.rate > 0 && self.busy_until <= micros(now)
    }

    /// How many bytes to copy at a time.
    pub fn piece_bytes(&self) -> u64 {
        let paced = u128::from(self.rate) * u128::from(PIECE_MICROS) / 1_000_000;
        let paced = u64::try_from(paced).unwrap_or(u64::MAX);
        paced.max(PIECE_MIN_BYTES)
    }

    /// When they may be copied; in the past if they may be now.
    pub fn free_at(&self) -> Millis {
        match self.rate {
            0 => Millis(u64::MAX),
            _ => Millis(self.busy_until.div_ceil(1000)),
        }
    }

    /// So many bytes of throttled replicas were copied.
    pub fn copied(&mut self, bytes: u64, now: Millis) {
        if self.rate == u64::MAX {
            return;
        }
        let begin = self
            .busy_until
            .max(micros(now).saturating_sub(CREDIT_MICROS));
        let takes = u128::from(bytes) * 1_000_000 / u128::from(self.rate.max(1));
        let takes = u64::try_from(takes).unwrap_or(u64::MAX);
        self.busy_until = begin.saturating_add(takes);
    }
}

fn micros(at: Millis) -> u64 {
    at.0.saturating_mul(1000)
}

/// Whether a topic's list of throttled replicas (`*`, or `partition:broker` pairs) names this one.
pub fn is_throttled(list: &str, partition: PartitionId, node: NodeId) -> bool {
    let names = |item: &str| {
        item.split_once(':').is_some_and(|(p, n)| {
            p.trim().parse() == Ok(partition) && n.trim().parse() == Ok(node.0)
        })
    };
    list.trim() == "*" || list.split(',').any(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copied_takes_its_time() {
        let mut throttle = Throttle::new(1000);
        let at = |ms: u64| Millis(10_000 + ms);
        assert!(throttle.may_copy(at(0)));
        throttle.copied(100, at(0));
        assert!(throttle.may_copy(at(0)), "a short rest is made good");
        throttle.copied(500, at(0));
        assert_eq!(throttle.free_at(), at(500));
        assert!(!throttle.may_copy(at(499)));
        assert!(throttle.may_copy(at(500)));
        // One copy may be larger than what there is room for: it is waited for afterwards.
        throttle.copied(10_000, at(500));
        assert_eq!(throttle.free_at(), at(10_500));
    }

    #[test]
    fn a_rate_holds_over_a_minute() {
        let mut throttle = Throttle::new(7);
        let mut bytes = 0;
        for ms in 0..60_000 {
            if throttle.may_copy(Millis(ms)) {
                throttle.copied(3, Millis(ms));
                bytes += 3;
            }
        }
        assert!((414..=432).contains(&bytes), "{bytes}");
    }

    #[test]
    fn pieces_are_small_and_not_tiny() {
        let piece = |rate| Throttle::new(rate).piece_bytes();
        assert_eq!(piece(1000), PIECE_MIN_BYTES);
        assert_eq!(piece(40_000_000), 200_000);
        assert!(piece(u64::MAX) > 1 << 40, "without a bound they have none");
    }

    #[test]
    fn rates_change_at_once() {
        let mut throttle = Throttle::new(1);
        throttle.copied(1_000_000, Millis(0));
        assert!(!throttle.may_copy(Millis(1)));
        throttle.set_rate(0, Millis(2));
        assert!(!throttle.may_copy(Millis(1_000_000)));
        assert_eq!(throttle.free_at(), Millis(u64::MAX));
        throttle.set_rate(u64::MAX, Millis(3));
        throttle.copied(u64::MAX, Millis(3));
        assert!(throttle.may_copy(Millis(4)));
    }

    #[test]
    fn lists_name_replicas() {
        let table = [
            ("", false),
            ("*", true),
            ("3:1", true),
            ("0:1, 3:1", true),
            ("3:2", false),
            ("1:3", false),
            ("3", false),
        ];
        for (list, expected) in table {
            assert_eq!(is_throttled(list, 3, NodeId(1)), expected, "{list:?}");
        }
    }
}
