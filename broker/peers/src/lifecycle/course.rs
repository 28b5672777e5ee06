//! What a broker does next to live in its cluster. Pure: time, answers and images come in, one step
//! comes out.

use freshet_metadata::{BrokerState, MetadataError, MetadataImage, Outcome};
use freshet_quorum::QuorumError;
use freshet_settings::LifecycleSettings;
use freshet_types::{Millis, NodeId};

use super::error::LifeError;

/// Longest wait for the answer to one registration, ms.
const REGISTER_WAIT_MS: u64 = 5_000;
/// Pause before a registration, or a heartbeat that found no controller, is sent again, or an epoch is
/// written again, ms.
pub(super) const RETRY_MS: u64 = 100;
/// Pause between heartbeats while something is awaited from the controller, ms.
const EAGER_MS: u64 = 50;
/// So much early a heartbeat may be sent, to go together with what the quorum says: its leader is heard
/// as often.
const PULSE_MS: u64 = 100;
/// Sessions for which a number may be somebody else's before that is taken for a second process: one
/// that has just begun, one that a late controller added, one for the way.
const SESSIONS_OF_ANOTHER: u64 = 3;
/// Sessions for which a number is somebody else's whoever says so: where answers are slow no run is unbroken.
const SESSIONS_OF_ALL: u64 = 30;
/// From one refusal to the next there is a pause and an answer. Where there is more, ms, a controller
/// was sought meanwhile, and a new one gives every session anew.
const SOUGHT_MS: u64 = 4 * RETRY_MS;

/// How fast a broker's heart beats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// From one heartbeat to the next, ms.
    pub interval_ms: u64,
    /// How long the controller waits for one, ms.
    pub session_ms: u64,
    /// How long a start tries to register, ms.
    pub registration_ms: u64,
    /// How long a failed directory may stay unknown to the controller, ms.
    pub failure_ms: u64,
}

impl Pace {
    /// As the settings say. A heart that beats less than twice in a session would stop at the first
    /// answer that is lost.
    pub fn of(settings: &LifecycleSettings) -> Self {
        let session_ms = settings.session_timeout_ms.max(2);
        Self {
            interval_ms: settings.heartbeat_interval_ms.clamp(1, session_ms / 2),
            session_ms,
            registration_ms: settings.registration_timeout_ms,
            failure_ms: settings.directory_failure_timeout_ms,
        }
    }

    /// How long the answer to a heartbeat is waited for, ms. Three heartbeats fit into a session; the
    /// one behind an answer that was too late waits longer, or a controller that is always slow
    /// would never be heard.
    fn patience_ms(&self, late: bool) -> u64 {
        let third = (self.session_ms / 3).max(1);
        if late { third * 2 } else { third }
    }
}

/// Where a broker is in its life, for everybody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifeState {
    /// The controller does not know this process yet, or no more.
    Registering,
    /// Registered; it leads nothing and is in sync with nothing.
    Fenced,
    /// It may lead, and be in sync.
    Serving,
    /// What it leads moves away.
    Leaving,
    /// Its session is no longer kept alive.
    Gone,
}

/// Why the controller gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unheard {
    /// It was waited for long enough.
    Late,
    /// The quorum said so.
    Quorum(QuorumError),
}

impl Unheard {
    /// In words.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Late => "no answer came in time".to_owned(),
            Self::Quorum(error) => error.to_string(),
        }
    }
}

/// What came of asking the controller.
pub type Heard<T> = Result<Outcome<T>, Unheard>;

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Ask to be registered, and say so with [`Course::registered`].
    Register {
        /// The epoch in which this process served before, if it did: its copies are whole.
        held: Option<i64>,
        /// How long to wait for the answer.
        wait_ms: u64,
    },
    /// Write the epoch to all disks, then [`Course::recorded`]; if that could not even be tried,
    /// again after a pause.
    Record {
        /// What to write.
        epoch: i64,
    },
    /// Send a heartbeat, then [`Course::beaten`].
    Beat(Beat),
    /// Nothing, until then or until something happens.
    Wait {
        /// When [`Course::step`] is due again.
        until: Millis,
    },
    /// Nothing, for ever.
    End(End),
}

/// A heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// The broker epoch under which it speaks.
    pub epoch: i64,
    /// It is not ready to serve.
    pub wants_fence: bool,
    /// It wants to stop.
    pub wants_shutdown: bool,
    /// How long to wait for the answer.
    pub wait_ms: u64,
}

/// How a life ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It was told to leave.
    Left {
        /// Whether the controller has let it go.
        orderly: bool,
    },
    /// It cannot go on.
    Failed(LifeError),
    /// There is nobody to ask any more: this process stops.
    Stopped,
}

/// The broker itself as an image shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    epoch: i64,
    active: bool,
}

impl Shown {
    /// How `image` shows `node`; `None` if it is not registered.
    pub fn of(image: &MetadataImage, node: NodeId) -> Option<Self> {
        let broker = image.broker(node)?;
        Some(Self {
            epoch: broker.epoch,
            active: broker.is_active(),
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Registering(Attempts),
    Recording { epoch: i64 },
    Living(Beats),
    Ended(End),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Attempts {
    due: Millis,
    began: Millis,
    /// The epoch that was lost; `None` for the first registration of this process, which alone must
    /// come to an end in time.
    held: Option<i64>,
    another: Option<Another>,
    last: Option<String>,
}

/// Somebody else has the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Another {
    first: Millis,
    /// Since when one controller says so; `None` after a break.
    since: Option<Millis>,
    /// When it last did.
    told: Millis,
}

impl Another {
    /// It is said now as well.
    fn told(before: Option<Self>, now: Millis) -> Self {
        let same = before.filter(|before| now - before.told <= SOUGHT_MS);
        Self {
            first: before.map_or(now, |before| before.first),
            since: same.and_then(|before| before.since).or(Some(now)),
            told: now,
        }
    }

    /// Whether that is no session of the process before any more.
    fn is_certain(self, session_ms: u64) -> bool {
        let unbroken = self.since.map_or(0, |since| self.told - since);
        unbroken >= session_ms * SESSIONS_OF_ANOTHER
            || self.told - self.first >= session_ms * SESSIONS_OF_ALL
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Beats {
    epoch: i64,
    due: Millis,
    sent: Millis,
    /// The last answer came too late.
    late: bool,
}

/// The thinking part of a lifecycle.
#[derive(Debug)]
pub struct Course {
    node: NodeId,
    pace: Pace,
    phase: Phase,
    shown: Option<Shown>,
    ready: bool,
    /// Until when it may take to leave.
    leaves_by: Option<Millis>,
    /// Since when a directory with replicas is offline and the controller does not know.
    untold_since: Option<Millis>,
}

impl Course {
    /// A process that starts now.
    pub fn new(node: NodeId, pace: Pace, now: Millis) -> Self {
        Self {
            node,
            pace,
            phase: Phase::Registering(Attempts {
                due: now,
                began: now,
                held: None,
                another: None,
                last: None,
            }),
            shown: None,
            ready: false,
            leaves_by: None,
            untold_since: None,
        }
    }

    /// Where it is.
    pub fn state(&self) -> LifeState {
        match &self.phase {
            Phase::Ended(_) => LifeState::Gone,
            _ if self.leaves_by.is_some() => LifeState::Leaving,
            Phase::Registering(_) | Phase::Recording { .. } => LifeState::Registering,
            Phase::Living(beats) => {
                let own = self.shown.filter(|shown| shown.epoch == beats.epoch);
                match own.is_some_and(|shown| shown.active) {
                    true => LifeState::Serving,
                    false => LifeState::Fenced,
                }
            }
        }
    }

    /// The epoch that is on all disks, while it holds.
    pub fn epoch(&self) -> Option<i64> {
        match &self.phase {
            Phase::Living(beats) => Some(beats.epoch),
            _ => None,
        }
    }

    /// What to do at `now`.
    pub fn step(&mut self, now: Millis) -> Step {
        if let Some(end) = self.departure(now) {
            self.phase = Phase::Ended(end);
        }
        match &self.phase {
            Phase::Ended(end) => Step::End(end.clone()),
            Phase::Recording { epoch } => Step::Record { epoch: *epoch },
            Phase::Registering(attempts) if now < attempts.due => Step::Wait {
                until: attempts.due,
            },
            Phase::Registering(attempts) => Step::Register {
                held: attempts.held,
                wait_ms: REGISTER_WAIT_MS.min(self.time_left(attempts, now)),
            },
            Phase::Living(beats) if now < beats.due => Step::Wait { until: beats.due },
            Phase::Living(_) => self.beat(now),
        }
    }

    /// Whether it is over without another word.
    fn departure(&self, now: Millis) -> Option<End> {
        match (&self.phase, self.leaves_by) {
            (Phase::Ended(_), _) => None,
            // It leads nothing; unless it was let in before, and then it is not known what it leads.
            (Phase::Registering(attempts), Some(_)) => {
                let orderly = attempts.held.is_none();
                Some(End::Left { orderly })
            }
            (Phase::Recording { .. }, Some(_)) => Some(End::Left { orderly: true }),
            (Phase::Living(_), Some(by)) => (now >= by).then_some(End::Left { orderly: false }),
            (_, None) if self.is_mute(now) => Some(End::Failed(LifeError::UntoldFailure {
                waited_ms: self.pace.failure_ms,
            })),
            (Phase::Registering(attempts), None) if self.time_left(attempts, now) == 0 => {
                Some(End::Failed(LifeError::NotRegistered {
                    waited_ms: now - attempts.began,
                    last: attempts.last.clone().unwrap_or_default(),
                }))
            }
            _ => None,
        }
    }

    /// Whether a failed directory was kept from the controller for too long: others believe that this
    /// broker leads, or has, what it cannot reach.
    fn is_mute(&self, now: Millis) -> bool {
        let since = self.untold_since;
        since.is_some_and(|since| now - since >= self.pace.failure_ms)
    }

    /// How long it may go on trying to register, ms.
    fn time_left(&self, attempts: &Attempts, now: Millis) -> u64 {
        match attempts.held {
            Some(_) => u64::MAX,
            None => (attempts.began + self.pace.registration_ms) - now,
        }
    }

    fn beat(&mut self, now: Millis) -> Step {
        let Phase::Living(beats) = &mut self.phase else {
            unreachable!("only the living have heartbeats");
        };
        beats.sent = now;
        let patience = self.pace.patience_ms(beats.late);
        let left = self.leaves_by.map_or(u64::MAX, |by| by - now);
        Step::Beat(Beat {
            epoch: beats.epoch,
            wants_fence: !self.ready,
            wants_shutdown: self.leaves_by.is_some(),
            wait_ms: patience.min(left),
        })
    }

    /// The controller answered a registration, or did not.
    pub fn registered(&mut self, now: Millis, heard: Heard<i64>) {
        let Phase::Registering(attempts) = &mut self.phase else {
            return;
        };
        attempts.due = now + RETRY_MS;
        let refused = match heard {
            Ok(Ok(epoch)) => {
                self.phase = Phase::Recording { epoch };
                return;
            }
            Err(Unheard::Quorum(QuorumError::Stopped)) => {
                self.phase = Phase::Ended(End::Stopped);
                return;
            }
            Err(unheard) => {
                if let Some(another) = &mut attempts.another {
                    another.since = None;
                }
                attempts.last = Some(unheard.words());
                return;
            }
            Ok(Err(refused)) => refused,
        };
        if !matches!(refused, MetadataError::DuplicateBroker { .. }) {
            self.phase = Phase::Ended(End::Failed(LifeError::Refused(refused)));
            return;
        }
        let another = Another::told(attempts.another, now);
        if another.is_certain(self.pace.session_ms) {
            let node = self.node;
            self.phase = Phase::Ended(End::Failed(LifeError::AnotherProcess { node }));
            return;
        }
        attempts.another = Some(another);
        attempts.last = Some(refused.to_string());
    }

    /// The epoch is on all disks that are online.
    pub fn recorded(&mut self, now: Millis) {
        if let Phase::Recording { epoch } = self.phase {
            self.phase = Phase::Living(Beats {
                epoch,
                due: now,
                sent: now,
                late: false,
            });
        }
    }

    /// The controller answered a heartbeat, or did not.
    pub fn beaten(&mut self, now: Millis, heard: Heard<BrokerState>) {
        let Phase::Living(beats) = &mut self.phase else {
            return;
        };
        beats.late = heard == Err(Unheard::Late);
        beats.due = beats.sent + self.pace.interval_ms;
        match heard {
            Ok(Ok(state)) if state.may_stop && self.leaves_by.is_some() => {
                self.phase = Phase::Ended(End::Left { orderly: true });
            }
            Ok(Ok(state)) => {
                if self.leaves_by.is_some() || (self.ready && !state.caught_up) {
                    beats.due = beats.due.min(now + EAGER_MS);
                }
            }
            // Refused is only who is not, or no longer, the broker of this number.
            Ok(Err(_)) => self.lose(now),
            Err(Unheard::Late) => beats.due = now,
            Err(Unheard::Quorum(QuorumError::Stopped)) => self.phase = Phase::Ended(End::Stopped),
            Err(Unheard::Quorum(_)) => beats.due = beats.due.max(now + RETRY_MS),
        }
    }

    /// There is a newer image.
    pub fn saw(&mut self, now: Millis, shown: Option<Shown>) {
        self.shown = shown;
        let present = shown.map_or(-1, |shown| shown.epoch);
        if self.epoch().is_some_and(|epoch| epoch < present) {
            self.lose(now);
        }
    }

    /// The epoch holds no more.
    fn lose(&mut self, now: Millis) {
        if let Phase::Living(Beats { epoch, .. }) = self.phase {
            self.phase = Phase::Registering(Attempts {
                due: now,
                began: now,
                held: Some(epoch),
                another: None,
                last: None,
            });
        }
    }

    /// Whether a directory with replicas is offline and the controller does not know.
    pub(crate) fn failed(&mut self, now: Millis, untold: bool) {
        self.untold_since = untold.then(|| self.untold_since.unwrap_or(now));
    }

    /// It can serve from now on.
    pub fn ready(&mut self, now: Millis) {
        if !self.ready {
            self.ready = true;
            self.hasten(now);
        }
    }

    /// It shall leave, within this time.
    pub fn leave(&mut self, now: Millis, by: Millis) {
        if self.leaves_by.is_none() {
            self.leaves_by = Some(by);
            self.hasten(now);
        }
    }

    /// A heartbeat that is due soon may be sent now; whether one is.
    pub fn pulse(&mut self, now: Millis) -> bool {
        let early = PULSE_MS.min(self.pace.interval_ms / 2);
        let is_soon = matches!(&self.phase, Phase::Living(beats) if beats.due <= now + early);
        if is_soon {
            self.hasten(now);
        }
        is_soon
    }

    fn hasten(&mut self, now: Millis) {
        if let Phase::Living(beats) = &mut self.phase {
            beats.due = now;
        }
    }
}

#[cfg(test)]
mod tests;
