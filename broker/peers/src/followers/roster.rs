//! The partitions of a stream, and which of them are to be asked for when.
//!
//! ```text
//!            asked for            answered
//!   Due ─────────────────► Asked ──────────► Due
//!    ▲ ▲                     │ failed, or the leader does not know its part yet
//!    │ └───── time is over ── Rests
//!    └─────────────────────── Stores    aside, what was answered
//! ```
//!
//! One that waits for the image to name another leader is left out until it is assigned again.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use freshet_types::TopicPartition;
use tokio::time::Instant;

/// After a failover leaders learn of their part within milliseconds of their followers.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// To be asked for by the next request.
    Due,
    /// A request, or the session, asks for it.
    Asked,
    /// Not before what was answered is stored.
    Stores,
    /// Not before then.
    Rests(Instant),
    /// Not before it is assigned again.
    Waits,
}

#[derive(Debug)]
struct Entry<P> {
    partition: P,
    state: State,
    /// Pauses since it last got on.
    pauses: u32,
}

/// See the module. `P` is what the owner knows a partition by.
#[derive(Debug)]
pub(super) struct Roster<P> {
    entries: HashMap<TopicPartition, Entry<P>>,
    due: BTreeSet<TopicPartition>,
    resting: BTreeSet<(Instant, TopicPartition)>,
    longest_pause: Duration,
}

impl<P> Roster<P> {
    pub(super) fn new(longest_pause: Duration) -> Self {
        Self {
            entries: HashMap::new(),
            due: BTreeSet::new(),
            resting: BTreeSet::new(),
            longest_pause: longest_pause.max(FIRST_PAUSE),
        }
    }

    /// Belongs to the stream from now on, or has taken another place in it.
    pub(super) fn assign(&mut self, at: TopicPartition, partition: P) {
        self.remove(at);
        let entry = Entry {
            partition,
            state: State::Due,
            pauses: 0,
        };
        self.entries.insert(at, entry);
        self.due.insert(at);
    }

    /// Belongs to the stream no more.
    pub(super) fn remove(&mut self, at: TopicPartition) {
        self.turn(at, State::Waits);
        self.entries.remove(&at);
    }

    pub(super) fn get(&self, at: TopicPartition) -> Option<&P> {
        self.entries.get(&at).map(|entry| &entry.partition)
    }

    /// All that is due; it counts as asked for from now on.
    pub(super) fn take_due(&mut self) -> Vec<TopicPartition> {
        let due: Vec<TopicPartition> = std::mem::take(&mut self.due).into_iter().collect();
        for at in &due {
            self.turn(*at, State::Asked);
        }
        due
    }

    pub(super) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// It got on: it is due at once, and its next pause is a first one.
    pub(super) fn go_on(&mut self, at: TopicPartition) {
        if let Some(entry) = self.entries.get_mut(&at) {
            entry.pauses = 0;
        }
        self.ask_again(at);
    }

    /// What was answered is stored while others are asked for.
    pub(super) fn store(&mut self, at: TopicPartition) {
        self.turn(at, State::Stores);
    }

    /// What was answered is stored; false if that means nothing any more, since it was assigned again.
    pub(super) fn stored(&mut self, at: TopicPartition) -> bool {
        let was_stored = self.state(at) == Some(State::Stores);
        if was_stored {
            self.turn(at, State::Asked);
        }
        was_stored
    }

    /// It was asked for and not answered.
    pub(super) fn ask_again(&mut self, at: TopicPartition) {
        if self.state(at) == Some(State::Asked) {
            self.turn(at, State::Due);
        }
    }

    /// It is due after a pause, which is longer each time.
    pub(super) fn pause(&mut self, at: TopicPartition, now: Instant) {
        let Some(entry) = self.entries.get_mut(&at) else {
            return;
        };
        let pause = pause(entry.pauses, self.longest_pause);
        entry.pauses = entry.pauses.saturating_add(1);
        self.turn(at, State::Rests(now + pause));
    }

    /// It is due at a time that others choose.
    pub(super) fn rest_until(&mut self, at: TopicPartition, then: Instant) {
        self.turn(at, State::Rests(then));
    }

    /// It is due once it is assigned again.
    pub(super) fn wait(&mut self, at: TopicPartition) {
        self.turn(at, State::Waits);
    }

    /// When the first of those that rest is due.
    pub(super) fn earliest(&self) -> Option<Instant> {
        self.resting.first().map(|(then, _)| *then)
    }

    /// Those whose pause is over are due.
    pub(super) fn wake(&mut self, now: Instant) {
        while let Some(&(then, at)) = self.resting.first()
            && then <= now
        {
            self.turn(at, State::Due);
        }
    }

    fn state(&self, at: TopicPartition) -> Option<State> {
        self.entries.get(&at).map(|entry| entry.state)
    }

    fn turn(&mut self, at: TopicPartition, to: State) {
        let Some(entry) = self.entries.get_mut(&at) else {
            return;
        };
        match std::mem::replace(&mut entry.state, to) {
            State::Due => {
                self.due.remove(&at);
            }
            State::Rests(then) => {
                self.resting.remove(&(then, at));
            }
            State::Asked | State::Stores | State::Waits => {}
        }
        match to {
            State::Due => {
                self.due.insert(at);
            }
            State::Rests(then) => {
                self.resting.insert((then, at));
            }
            State::Asked | State::Stores | State::Waits => {}
        }
    }
}

/// The pause after so many before it: each is twice the one before, up to the longest.
pub(super) fn pause(before: u32, longest: Duration) -> Duration {
    let factor = 1_u32.checked_shl(before).unwrap_or(u32::MAX);
    FIRST_PAUSE.saturating_mul(factor).min(longest)
}

#[cfg(test)]
mod tests {
    use freshet_types::TopicId;

    use super::*;

    const LONGEST: Duration = Duration::from_secs(1);

    fn at(partition: i32) -> TopicPartition {
        TopicPartition {
            topic: TopicId::ZERO,
            partition,
        }
    }

    #[test]
    fn pauses_grow_from_milliseconds_to_the_longest() {
        let table = [(0, 20), (1, 40), (2, 80), (5, 640), (6, 1000), (99, 1000)];
        for (before, ms) in table {
            assert_eq!(
                pause(before, LONGEST),
                Duration::from_millis(ms),
                "{before}"
            );
        }
    }

    #[test]
    fn what_pauses_is_left_out_until_it_is_over() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        let mut roster = Roster::new(LONGEST);
        for partition in 0..3 {
            roster.assign(at(partition), ());
        }
        assert_eq!(roster.take_due(), [at(0), at(1), at(2)]);
        roster.go_on(at(0));
        roster.pause(at(1), now);
        roster.wait(at(2));
        assert_eq!(roster.take_due(), [at(0)]);
        assert_eq!(roster.earliest(), Some(now + ms(20)));
        roster.wake(now + ms(19));
        assert!(!roster.has_due());
        roster.wake(now + ms(20));
        assert_eq!(roster.take_due(), [at(1)]);
        roster.pause(at(1), now);
        assert_eq!(
            roster.earliest(),
            Some(now + ms(40)),
            "the second is longer"
        );
        roster.assign(at(1), ());
        assert_eq!(roster.earliest(), None, "a new place is asked for at once");
        roster.assign(at(2), ());
        assert_eq!(roster.take_due(), [at(1), at(2)]);
        roster.go_on(at(1));
        roster.take_due();
        roster.pause(at(1), now);
        assert_eq!(roster.earliest(), Some(now + ms(20)), "it got on meanwhile");
    }

    #[test]
    fn what_is_stored_aside_is_not_asked_for_and_an_old_word_means_nothing() {
        let mut roster = Roster::new(LONGEST);
        roster.assign(at(0), ());
        roster.take_due();
        roster.store(at(0));
        roster.ask_again(at(0));
        assert!(!roster.has_due(), "it was answered");
        assert!(roster.stored(at(0)));
        roster.go_on(at(0));
        assert_eq!(roster.take_due(), [at(0)]);
        roster.store(at(0));
        roster.assign(at(0), ());
        assert!(!roster.stored(at(0)), "it has another place");
        assert_eq!(roster.take_due(), [at(0)]);
        assert!(!roster.stored(at(0)));
        roster.remove(at(0));
        assert!(!roster.stored(at(0)));
    }

    #[test]
    fn who_has_left_is_nowhere() {
        let now = Instant::now();
        let mut roster = Roster::new(LONGEST);
        roster.assign(at(0), ());
        roster.assign(at(1), ());
        roster.take_due();
        roster.pause(at(0), now);
        roster.remove(at(0));
        roster.remove(at(1));
        roster.go_on(at(1));
        roster.pause(at(1), now);
        roster.wake(now + LONGEST);
        assert!(!roster.has_due());
        assert_eq!(roster.earliest(), None);
        assert!(roster.get(at(0)).is_none());
    }

    #[test]
    fn only_what_is_asked_for_is_asked_for_again() {
        let mut roster = Roster::new(LONGEST);
        roster.assign(at(0), ());
        roster.assign(at(1), ());
        roster.take_due();
        roster.wait(at(1));
        roster.ask_again(at(0));
        roster.ask_again(at(1));
        assert_eq!(roster.take_due(), [at(0)]);
    }
}
