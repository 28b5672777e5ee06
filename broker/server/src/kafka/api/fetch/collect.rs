//! Looks at partitions, round after round, until there is enough or the time is over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use freshet_partition::{Partition, Stand};
use freshet_wire::ErrorCode;
use tokio::time::Instant;

use super::budget::Held;
use super::look::{ColdLook, Eyes, Look, Outcome, Room, look};
use super::{Limits, Reader};
use crate::kafka::alarm::Alarm;
use crate::kafka::context::Context;
use crate::kafka::errors::Coded;
use crate::kafka::sessions::{Agenda, Item, Named};

/// How long a fetch that has enough waits for object storage: what was read ahead comes within that.
const GRACE: Duration = Duration::from_millis(10);

/// What all looks of a fetch have given. A partition that was looked at again counts once.
#[derive(Default)]
pub(super) struct Found {
    /// By turn: the order of the reply. With the slot in the agenda.
    pub(super) outcomes: BTreeMap<u64, (usize, Outcome)>,
    pub(super) held: Held,
    bytes: usize,
    /// As far as `bytes` may go in this round.
    most_bytes: usize,
    /// What is kept free for records that are on their way from object storage.
    promised_bytes: usize,
    is_urgent: bool,
}

impl Found {
    fn put(&mut self, turn: u64, slot: usize, outcome: Outcome) {
        self.bytes += outcome.records.len();
        self.is_urgent |= outcome.is_urgent();
        self.outcomes.insert(turn, (slot, outcome));
    }

    /// Makes room for another look.
    fn remove(&mut self, turn: u64) {
        if let Some((_, old)) = self.outcomes.remove(&turn) {
            self.bytes -= old.records.len();
        }
    }

    fn is_enough(&self, limits: Limits<'_>) -> bool {
        self.bytes >= limits.min_bytes || self.is_urgent || self.has_no_more_room()
    }

    /// With little room the rest may not come before the client has taken this.
    fn has_no_more_room(&self) -> bool {
        self.held.is_scant && self.bytes > 0
    }

    fn room(&self) -> Room {
        let taken = self.bytes + self.promised_bytes;
        Room {
            bytes: self.most_bytes.saturating_sub(taken),
            is_first: taken == 0,
        }
    }
}

/// The first round looks at all that is due, the others at what has moved since.
pub(super) async fn collect(
    context: &Context,
    alarm: &Alarm,
    agenda: &mut Agenda,
    limits: Limits<'_>,
) -> Found {
    let mut found = Found::default();
    let mut slots = agenda.take_due();
    round(context, agenda, &slots, limits, &mut found).await;
    if agenda.is_empty() || limits.max_wait.is_zero() || found.is_enough(limits) {
        return found;
    }
    let watcher = agenda.watcher();
    let deadline = Instant::now() + limits.max_wait;
    loop {
        if watch(agenda, &slots, &found) {
            tokio::select! {
                () = watcher.told() => {}
                () = alarm.at(deadline) => return found,
                () = context.stop.stopped() => return found,
            }
        }
        slots = agenda.take_due();
        round(context, agenda, &slots, limits, &mut found).await;
        if found.is_enough(limits) {
            return found;
        }
    }
}

async fn round(
    context: &Context,
    agenda: &Agenda,
    slots: &[usize],
    limits: Limits<'_>,
    found: &mut Found,
) {
    let mut cold = Vec::new();
    let more = limits.max_bytes.saturating_sub(found.bytes);
    let budget = limits.reader.budget(context);
    found.most_bytes = found.bytes + found.held.reserve(budget, more);
    for &slot in slots {
        let Some(item) = agenda.item(slot) else {
            continue;
        };
        found.remove(item.turn);
        let outcome = match locate(context, limits.reader, item) {
            Ok(partition) => {
                let eyes = Eyes {
                    reader: limits.reader,
                    isolation: limits.isolation,
                    context,
                };
                let brakes = &context.replica_brakes;
                let counts = brakes.concern(context, limits.reader, &partition);
                // Held back, a replica is heard and gets nothing.
                let room = match counts {
                    true => brakes.limit(context, found.room()),
                    false => found.room(),
                };
                let outcome = match look(partition, item.position, eyes, room).await {
                    Look::Done(outcome) => outcome,
                    Look::Cold(look) => {
                        found.promised_bytes += look.wanted_bytes;
                        cold.push((item.turn, slot, look));
                        continue;
                    }
                };
                if counts {
                    brakes.sent(context, outcome.records.len());
                }
                outcome
            }
            Err(code) => Outcome::failed(code),
        };
        let by_rack = context.limits.replicas_by_rack;
        let is_news = outcome.starts_later(item.told) || by_rack && outcome.commits_more(item.told);
        found.put(item.turn, slot, outcome);
        found.is_urgent |= limits.reader.is_replica() && is_news;
    }
    // All of them are on their way by now. What is at hand does not wait for them.
    if !cold.is_empty() {
        finish(context, cold, limits, found).await;
    }
    found.held.keep(found.bytes);
}

/// Waits for what comes out of object storage: for all of it together as long as the settings say.
async fn finish(
    context: &Context,
    cold: Vec<(u64, usize, ColdLook)>,
    limits: Limits<'_>,
    found: &mut Found,
) {
    let wait = Duration::from_millis(context.layers().tier().fetch_max_wait_ms);
    let deadline = Instant::now() + wait;
    // By what disks and memory gave: the first that comes does not cut short the wait for the others.
    let is_enough = found.is_enough(limits);
    for (turn, slot, look) in cold {
        let left = deadline.saturating_duration_since(Instant::now());
        let is_hurried = is_enough || found.has_no_more_room();
        let patience = if is_hurried { GRACE.min(left) } else { left };
        found.promised_bytes -= look.wanted_bytes;
        let partition = Arc::clone(&look.partition);
        let (outcome, is_late) = look.finish(patience, found.room()).await;
        if is_late && !is_hurried {
            partition.cold_read_expired();
        }
        // More of it may be there at once; nobody would look again before the end of the wait.
        found.is_urgent |= is_late || !outcome.records.is_empty();
        found.put(turn, slot, outcome);
    }
}

/// A leader serves all, a follower consumers only.
fn locate(context: &Context, reader: Reader<'_>, item: &Item) -> Result<Arc<Partition>, ErrorCode> {
    let found = match &*item.named {
        Named::Id(topic) => context.find_by_id(*topic, item.partition),
        Named::Name(topic) => context.find(topic, item.partition),
    };
    let partition = found.map_err(|error| error.code())?;
    let may_follow = matches!(
        reader,
        Reader::Consumer {
            reads_followers: true,
            ..
        }
    );
    match partition.stand() {
        Stand::Leads => Ok(partition),
        Stand::Follows(_) if may_follow => Ok(partition),
        Stand::Follows(_) | Stand::Waits => Err(ErrorCode::NotLeaderOrFollower),
    }
}

/// Watches all that was just looked at; what has moved meanwhile is due again, and false is said.
fn watch(agenda: &mut Agenda, slots: &[usize], found: &Found) -> bool {
    let mut is_quiet = true;
    for &slot in slots {
        let Some(item) = agenda.item(slot) else {
            continue;
        };
        if let Some((_, outcome)) = found.outcomes.get(&item.turn)
            && let Some((partition, seen)) = &outcome.seen
            && !agenda.watch(slot, partition, *seen)
        {
            agenda.make_due(slot);
            is_quiet = false;
        }
    }
    is_quiet
}
