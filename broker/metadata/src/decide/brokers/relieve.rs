//! What a broker leads on a disk that is slow or full goes to others.
//!
//! That alone frees those who do not wait for all copies. Who does (`acks=all`) waits for the slowest
//! one in sync, whoever leads; and a follower that is slow is never so far behind that its leader would
//! drop it. So it leaves the set in sync as well, while enough others are in it; what it has stays, it
//! follows on, and it is taken in again when its disk is well or the others are too few.

use freshet_types::NodeId;

use crate::decide::Draft;
use crate::replicas::{Election, Rules, Standing, Transition};
use crate::state::{Partition, enough_without};

/// Partitions of one heartbeat; the next one comes soon.
const AT_ONCE: usize = 1_000;

pub(super) fn relieve(draft: &mut Draft<'_>, node: NodeId) {
    let machine = draft.machine;
    let mut moved = 0;
    for at in machine.holdings.of(node) {
        let Some(was) = draft.partition(at).filter(|was| was.isr.contains(&node)) else {
            continue;
        };
        let standing = |node| was.directory(node).map(|dir| draft.standing(node, dir));
        if standing(node) != Some(Standing::Impaired) {
            continue;
        }
        let well = |other: &&NodeId| standing(**other) == Some(Standing::Active);
        let others = was.isr.iter().filter(well).count();
        let rules = draft.rules(at.topic);
        let mut step = Transition::of(&was, rules);
        if may_leave(&was, others, &rules) {
            step.leave(node);
        }
        let election = match was.leader == Some(node) {
            true => Election::Relief,
            false => Election::WhenNeeded,
        };
        if let Some(changed) = draft.finish(step, election) {
            draft.push(at, changed);
            moved += 1;
        }
        if moved == AT_ONCE {
            return;
        }
    }
}

/// Whether nobody in the set in sync is missed, with so many others in it whose disks are well. While replicas
/// move everybody is: a move ends when its target is in sync.
fn may_leave(was: &Partition, others: usize, rules: &Rules) -> bool {
    let enough = enough_without(rules.min_insync(was.replicas.len()));
    others >= enough && !was.is_moving()
}
