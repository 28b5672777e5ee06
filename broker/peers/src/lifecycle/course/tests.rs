//! Lives as tables: when, what happens, what is done next.

use freshet_metadata::FeatureRange;

use super::*;

const PACE: Pace = Pace {
    interval_ms: 250,
    session_ms: 1_000,
    registration_ms: 60_000,
    failure_ms: 30_000,
};
const NODE: NodeId = NodeId(7);

/// What happens to a broker.
enum Event {
    Registered(Heard<i64>),
    Recorded,
    Beaten(Heard<BrokerState>),
    Saw(i64, bool),
    Gone,
    Ready,
    Leave {
        by: u64,
    },
    /// Whether a failed directory is unknown to the controller.
    Failed(bool),
    Nothing,
}

use Event::*;

const DUPLICATE: Heard<i64> = Ok(Err(MetadataError::DuplicateBroker { node: NODE }));
const NOBODY: QuorumError = QuorumError::NotLeader { leader: None };

fn state(caught_up: bool, fenced: bool, may_stop: bool) -> Event {
    Beaten(Ok(Ok(BrokerState {
        caught_up,
        fenced,
        may_stop,
    })))
}

/// All is well.
fn well() -> Event {
    state(true, false, false)
}

fn register(held: Option<i64>, wait_ms: u64) -> Step {
    Step::Register { held, wait_ms }
}

fn wait(until: u64) -> Step {
    Step::Wait {
        until: Millis(until),
    }
}

fn beat(wants_fence: bool, wants_shutdown: bool, wait_ms: u64) -> Step {
    Step::Beat(Beat {
        epoch: 5,
        wants_fence,
        wants_shutdown,
        wait_ms,
    })
}

fn left(orderly: bool) -> Step {
    Step::End(End::Left { orderly })
}

fn failed(error: LifeError) -> Step {
    Step::End(End::Failed(error))
}

fn happen(course: &mut Course, now: Millis, event: Event) {
    let shown = |epoch, active| Some(Shown { epoch, active });
    match event {
        Registered(heard) => course.registered(now, heard),
        Recorded => course.recorded(now),
        Beaten(heard) => course.beaten(now, heard),
        Saw(epoch, active) => course.saw(now, shown(epoch, active)),
        Gone => course.saw(now, None),
        Ready => course.ready(now),
        Leave { by } => course.leave(now, Millis(by)),
        Failed(untold) => course.failed(now, untold),
        Nothing => {}
    }
}

/// Lives a table: at a time, something happens, then this is the next step in this state.
fn live(course: &mut Course, table: Vec<(u64, Event, Step, LifeState)>) {
    for (line, (at, event, step, state)) in table.into_iter().enumerate() {
        let now = Millis(at);
        happen(course, now, event);
        assert_eq!(course.step(now), step, "line {line}, at {at} ms");
        assert_eq!(course.state(), state, "line {line}, at {at} ms");
    }
}

fn started() -> Course {
    Course::new(NODE, PACE, Millis(0))
}

/// Registered as epoch 5 and let in at 10 ms.
fn serving() -> Course {
    let mut course = started();
    for event in [Ready, Registered(Ok(Ok(5))), Recorded, Saw(5, true)] {
        course.step(Millis(10));
        happen(&mut course, Millis(10), event);
    }
    course.step(Millis(10));
    happen(&mut course, Millis(10), well());
    assert_eq!(course.step(Millis(10)), wait(260));
    assert_eq!(course.state(), LifeState::Serving);
    course
}

use LifeState::{Fenced, Leaving, Registering, Serving};

#[test]
fn a_broker_is_registered_then_fenced_then_serves() {
    let late = Err(Unheard::Late);
    live(
        &mut started(),
        vec![
            (0, Nothing, register(None, 5_000), Registering),
            (5_000, Registered(late), wait(5_100), Registering),
            (5_100, Nothing, register(None, 5_000), Registering),
            (
                5_110,
                Registered(Ok(Ok(5))),
                Step::Record { epoch: 5 },
                Registering,
            ),
            // Not before the disks know of it.
            (5_120, Recorded, beat(true, false, 333), Fenced),
            (5_125, state(false, true, false), wait(5_370), Fenced),
            (5_200, Saw(5, false), wait(5_370), Fenced),
            // Logs are recovered: not a moment is lost.
            (5_210, Ready, beat(false, false, 333), Fenced),
            // Not caught up yet: soon again.
            (5_215, state(false, true, false), wait(5_265), Fenced),
            (5_265, Nothing, beat(false, false, 333), Fenced),
            (5_270, Saw(5, true), beat(false, false, 333), Serving),
            (5_271, well(), wait(5_520), Serving),
        ],
    );
}

#[test]
fn a_registration_that_takes_too_long_ends_the_process() {
    let heard = || Registered(Err(Unheard::Quorum(NOBODY)));
    let mut course = started();
    let mut now = 0;
    while now < 59_900 {
        assert_eq!(
            course.step(Millis(now)),
            register(None, 5_000.min(60_000 - now)),
            "{now}"
        );
        happen(&mut course, Millis(now), heard());
        now += RETRY_MS;
    }
    let error = LifeError::NotRegistered {
        waited_ms: 60_000,
        last: NOBODY.to_string(),
    };
    live(
        &mut course,
        vec![
            (59_900, Nothing, register(None, 100), Registering),
            (59_910, heard(), wait(60_010), Registering),
            (
                60_010,
                Nothing,
                failed(LifeError::NotRegistered {
                    waited_ms: 60_010,
                    last: NOBODY.to_string(),
                }),
                LifeState::Gone,
            ),
        ],
    );
    assert!(error.to_string().contains("are the controllers up"));
}

#[test]
fn the_session_of_the_process_before_is_waited_for_and_a_second_process_is_told_so() {
    let another = || failed(LifeError::AnotherProcess { node: NODE });
    let mut course = started();
    live(
        &mut course,
        vec![
            (0, Nothing, register(None, 5_000), Registering),
            (5, Registered(DUPLICATE), wait(105), Registering),
            (105, Nothing, register(None, 5_000), Registering),
            (2_900, Registered(DUPLICATE), wait(3_000), Registering),
            (3_000, Nothing, register(None, 5_000), Registering),
            (
                3_004,
                Registered(Ok(Ok(5))),
                Step::Record { epoch: 5 },
                Registering,
            ),
        ],
    );
    let mut course = started();
    refused_until(&mut course, 0, 2_900);
    live(
        &mut course,
        vec![
            (3_000, Registered(DUPLICATE), another(), LifeState::Gone),
            (9_000, Registered(Ok(Ok(5))), another(), LifeState::Gone),
        ],
    );
}

/// Whoever takes over knows no session and gives each one anew, that of the process before too.
#[test]
fn time_in_which_a_controller_was_sought_tells_nothing_of_another_process() {
    let another = || failed(LifeError::AnotherProcess { node: NODE });
    let mut course = started();
    for began in [0, 2_500, 5_000] {
        refused_until(&mut course, began, began + 2_000);
    }
    refused_until(&mut course, 7_500, 10_400);
    live(
        &mut course,
        vec![(10_500, Registered(DUPLICATE), another(), LifeState::Gone)],
    );
}

/// Who answers slowly each time, or is another one each time, ends that as well.
#[test]
fn a_number_that_is_always_somebody_elses_is_given_up_in_the_end() {
    let another = || failed(LifeError::AnotherProcess { node: NODE });
    let mut course = started();
    let at = (0..30_000).step_by(500);
    let told = at.map(|at| (at, Registered(DUPLICATE), wait(at + 100), Registering));
    live(&mut course, told.collect());
    live(
        &mut course,
        vec![(30_000, Registered(DUPLICATE), another(), LifeState::Gone)],
    );
}

/// One controller answers every 100 ms, from `began` to `end`.
fn refused_until(course: &mut Course, began: u64, end: u64) {
    let at = (began..=end).step_by(100);
    let told = at.map(|at| (at, Registered(DUPLICATE), wait(at + 100), Registering));
    live(course, told.collect());
}

#[test]
fn what_can_never_succeed_is_not_tried_again() {
    let range = FeatureRange {
        name: "metadata.version".to_owned(),
        min: 0,
        max: 1,
    };
    let refused = MetadataError::BrokerFeature {
        node: NODE,
        name: range.name,
        level: 2,
    };
    let failed = failed(LifeError::Refused(refused.clone()));
    let line = (5, Registered(Ok(Err(refused))), failed, LifeState::Gone);
    live(&mut started(), vec![line]);
}

#[test]
fn an_answer_that_does_not_come_costs_no_session() {
    let late = || Beaten(Err(Unheard::Late));
    let nobody = || Beaten(Err(Unheard::Quorum(NOBODY)));
    live(
        &mut serving(),
        vec![
            (260, Nothing, beat(false, false, 333), Serving),
            // The one behind it goes out at once, and waits longer.
            (593, late(), beat(false, false, 666), Serving),
            (1_193, well(), beat(false, false, 333), Serving),
            (1_195, well(), wait(1_443), Serving),
            (1_443, Nothing, beat(false, false, 333), Serving),
            (1_450, nobody(), wait(1_693), Serving),
            (1_693, Nothing, beat(false, false, 333), Serving),
            (2_020, nobody(), wait(2_120), Serving),
            // It stood still for half a second.
            (2_520, Nothing, beat(false, false, 333), Serving),
            (2_521, well(), wait(2_770), Serving),
        ],
    );
}

#[test]
fn heartbeats_are_never_further_apart_than_two_thirds_of_a_session() {
    for answer_ms in 0..2_000 {
        let mut course = serving();
        let (mut now, mut sent) = (Millis(10), Millis(10));
        for _ in 0..20 {
            match course.step(now) {
                Step::Wait { until } => now = until,
                Step::Beat(beat) => {
                    assert!(
                        now - sent <= 667,
                        "{} ms, answers take {answer_ms}",
                        now - sent
                    );
                    sent = now;
                    now = now + answer_ms.min(beat.wait_ms);
                    let heard = match answer_ms < beat.wait_ms {
                        true => well(),
                        false => Beaten(Err(Unheard::Late)),
                    };
                    happen(&mut course, now, heard);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn a_broker_that_is_not_known_any_more_registers_again() {
    let (node, epoch, present) = (NODE, 5, 6);
    let stale = MetadataError::StaleBroker {
        node,
        epoch,
        present,
    };
    for refused in [stale, MetadataError::UnknownBroker { node }] {
        let mut course = serving();
        live(
            &mut course,
            vec![
                (260, Nothing, beat(false, false, 333), Serving),
                (
                    265,
                    Beaten(Ok(Err(refused))),
                    register(Some(5), 5_000),
                    Registering,
                ),
                (270, Registered(DUPLICATE), wait(370), Registering),
                // Controllers may be away for longer than a start would wait.
                (90_000, Nothing, register(Some(5), 5_000), Registering),
                (
                    90_001,
                    Registered(Ok(Ok(9))),
                    Step::Record { epoch: 9 },
                    Registering,
                ),
            ],
        );
        assert_eq!(course.epoch(), None);
        course.recorded(Millis(90_002));
        assert_eq!(course.epoch(), Some(9));
        // An image from before is no reason to start over.
        course.saw(
            Millis(90_003),
            Some(Shown {
                epoch: 6,
                active: true,
            }),
        );
        assert_eq!((course.epoch(), course.state()), (Some(9), Fenced));
    }
}

#[test]
fn the_image_tells_of_a_fence_and_of_another_process() {
    let waits = || wait(260);
    live(
        &mut serving(),
        vec![
            (20, Saw(5, false), waits(), Fenced),
            (30, Saw(5, true), waits(), Serving),
            // An image that does not know of the registration yet, or no more: a heartbeat will tell.
            (40, Gone, waits(), Fenced),
            (50, Saw(4, true), waits(), Fenced),
            (60, Saw(6, true), register(Some(5), 5_000), Registering),
        ],
    );
}

#[test]
fn a_broker_leaves_when_the_controller_lets_it() {
    live(
        &mut serving(),
        vec![
            (100, Leave { by: 5_100 }, beat(false, true, 333), Leaving),
            (105, state(true, false, false), wait(155), Leaving),
            (155, Nothing, beat(false, true, 333), Leaving),
            // The time to leave is set once.
            (156, Leave { by: 90_000 }, beat(false, true, 333), Leaving),
            (
                160,
                Beaten(Err(Unheard::Quorum(NOBODY))),
                wait(406),
                Leaving,
            ),
            (406, Nothing, beat(false, true, 333), Leaving),
            (410, state(true, true, true), left(true), LifeState::Gone),
        ],
    );
    live(
        &mut serving(),
        vec![
            (100, Leave { by: 500 }, beat(false, true, 333), Leaving),
            (
                433,
                Beaten(Err(Unheard::Late)),
                beat(false, true, 67),
                Leaving,
            ),
            (
                500,
                Beaten(Err(Unheard::Late)),
                left(false),
                LifeState::Gone,
            ),
        ],
    );
}

#[test]
fn who_leads_nothing_leaves_at_once() {
    let leave = || Leave { by: 9_000 };
    let mut recording = started();
    recording.registered(Millis(1), Ok(Ok(5)));
    let mut lost = serving();
    let unknown = MetadataError::UnknownBroker { node: NODE };
    lost.beaten(Millis(50), Ok(Err(unknown)));
    for (mut course, orderly) in [(started(), true), (recording, true), (lost, false)] {
        let line = (100, leave(), left(orderly), LifeState::Gone);
        live(&mut course, vec![line]);
    }
    let line = (100, Leave { by: 100 }, left(false), LifeState::Gone);
    live(&mut serving(), vec![line]);
}

#[test]
fn a_quorum_that_stops_ends_it_quietly() {
    let stopped = || Err(Unheard::Quorum(QuorumError::Stopped));
    let end = || Step::End(End::Stopped);
    let line = (9, Registered(stopped()), end(), LifeState::Gone);
    live(&mut started(), vec![line]);
    let beaten = Beaten(Err(Unheard::Quorum(QuorumError::Stopped)));
    live(&mut serving(), vec![(300, beaten, end(), LifeState::Gone)]);
}

#[test]
fn a_heart_beats_twice_in_a_session_whatever_the_settings_say() {
    let settings = |interval, session| LifecycleSettings {
        slow_flush_ms: 0,
        slow_recovery_ms: 0,
        disk_reserve_bytes: 0,
        heartbeat_interval_ms: interval,
        session_timeout_ms: session,
        registration_timeout_ms: 60_000,
        controlled_shutdown: true,
        directory_failure_timeout_ms: 30_000,
    };
    let table = [
        (250, 1_000, 250),
        (2_000, 9_000, 2_000),
        (2_000, 1_000, 500),
        (0, 0, 1),
    ];
    for (interval, session, expected) in table {
        assert_eq!(Pace::of(&settings(interval, session)).interval_ms, expected);
    }
}

#[test]
fn a_broker_stops_that_cannot_tell_of_a_failed_directory() {
    let away = || Beaten(Err(Unheard::Quorum(NOBODY)));
    let mute = || failed(LifeError::UntoldFailure { waited_ms: 30_000 });
    let beating = |wait_ms| beat(false, false, wait_ms);
    let mut course = serving();
    let table = vec![
        (300, Failed(true), beating(333), Serving),
        (301, away(), wait(550), Serving),
        // Told in between, and another one fails: it counts from there.
        (20_000, Failed(false), beating(333), Serving),
        (20_001, well(), wait(20_250), Serving),
        (20_100, Failed(true), wait(20_250), Serving),
        (50_000, Failed(true), beating(333), Serving),
        (50_001, away(), wait(50_250), Serving),
        (50_099, Failed(true), wait(50_250), Serving),
        (50_100, Failed(true), mute(), LifeState::Gone),
    ];
    live(&mut course, table);
}

#[test]
fn who_leaves_is_not_kept_from_it_by_a_failed_directory() {
    let mut course = serving();
    let leave = Leave { by: 90_000 };
    course.failed(Millis(100), true);
    let table = vec![
        (200, leave, beat(false, true, 333), Leaving),
        (40_000, Failed(true), beat(false, true, 333), Leaving),
    ];
    live(&mut course, table);
}

#[test]
fn a_heartbeat_that_is_due_soon_goes_with_the_pulse() {
    let mut course = Course::new(NODE, PACE, Millis(0));
    assert!(!course.pulse(Millis(0)), "it has nothing to say yet");
    course.registered(Millis(0), Ok(Ok(5)));
    course.recorded(Millis(0));
    assert!(matches!(course.step(Millis(0)), Step::Beat(_)));
    let well = BrokerState {
        caught_up: true,
        fenced: false,
        may_stop: false,
    };
    course.beaten(Millis(0), Ok(Ok(well)));
    let Step::Wait { until } = course.step(Millis(0)) else {
        panic!("it has just been heard");
    };
    let soon = Millis(until.0 - PULSE_MS);
    assert!(!course.pulse(Millis(soon.0 - 1)));
    assert!(matches!(course.step(Millis(soon.0 - 1)), Step::Wait { .. }));
    assert!(course.pulse(soon));
    assert!(matches!(course.step(soon), Step::Beat(_)));
}
