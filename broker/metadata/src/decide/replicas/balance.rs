//! Preferred leaders get their partitions back, a bounded number at a time.

use freshet_types::{Decision, Now, Timer, TopicPartition};

use super::elect_leaders::elect;
use crate::decide::Draft;
use crate::machine::{MetadataMachine, MetadataTimer, SessionOptions};
use crate::replicas::Election;

/// Pause before the rest, when there was more than is moved at once, ms.
const REST_AFTER_MS: u64 = 1_000;

pub(crate) fn balance(
    machine: &MetadataMachine,
    now: Now,
    options: SessionOptions,
) -> Decision<MetadataMachine> {
    let Some(every) = options.balance_every_ms else {
        return Decision::default();
    };
    let mut draft = Draft::of(machine, now);
    let mut moved = 0;
    for topic in machine.image.topics() {
        for (partition, state) in topic.iter() {
            let led_by_other = state.leader.is_some() && state.leader != state.target().next();
            if moved < options.balance_at_once && led_by_other {
                let at = TopicPartition {
                    topic: topic.id,
                    partition,
                };
                // Who is not in sync yet gets its turn next time.
                moved += usize::from(elect(&mut draft, at, Election::Preferred).is_ok());
            }
        }
    }
    let rest = moved == options.balance_at_once;
    let next = if rest {
        REST_AFTER_MS.min(every)
    } else {
        every
    };
    let timer = Timer {
        key: MetadataTimer::Balance,
        at: Some(now.monotonic + next),
    };
    Decision {
        records: draft.records,
        timers: vec![timer],
        ..Decision::default()
    }
}
