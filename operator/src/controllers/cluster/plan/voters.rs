//! Who shall vote.

use std::collections::BTreeSet;

use super::{Impossible, Node, PlannedPool};

/// Voters of a quorum without a pool of its own.
const VOTERS: usize = 3;

/// All pods of pools that are controllers only; without such pools three of those that are both, or
/// one where there are fewer than three: two survive no more losses than one. Who votes is preferred.
/// Nobody is chosen who leaves.
pub(super) fn chosen(
    pools: &[PlannedPool],
    voting: &BTreeSet<i32>,
) -> Result<BTreeSet<i32>, Impossible> {
    let candidates = pools.iter().flat_map(|pool| &pool.nodes);
    let (mut both, only): (Vec<&Node>, Vec<&Node>) = candidates
        .filter(|node| node.controller)
        .partition(|node| node.broker);
    let ids = |nodes: &[&Node]| nodes.iter().map(|node| node.id).collect();
    if !only.is_empty() {
        return Ok(ids(&only));
    }
    let most = if both.len() < VOTERS { 1 } else { VOTERS };
    both.sort_by_key(|node| !voting.contains(&node.id));
    both.truncate(most);
    if both.is_empty() {
        return Err(Impossible {
            reason: "NoControllers",
            message:
                "no pod would be left to vote in the quorum: give one pool the role controller"
                    .to_owned(),
        });
    }
    Ok(ids(&both))
}
