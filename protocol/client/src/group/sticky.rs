//! The cooperative-sticky assignor.
//!
//! Two steps. [`balance`] finds even loads while moving as little as possible. [`withhold_moving`]
//! then keeps every partition that changes hands away from its new owner for this generation: the
//! old one gives it up, joins again, and the next generation hands it out. So nobody stops reading
//! what it keeps, and no partition is ever read by two members.

use std::collections::{BTreeMap, HashMap};

use freshet_types::PartitionId;

use super::assignor::{MemberView, Shares, empty_shares};

type Partition = (String, PartitionId);

/// Even loads with the fewest moves.
pub(super) fn balance(members: &[MemberView], partitions: &BTreeMap<String, i32>) -> Shares {
    let mut plan = Plan::new(members, partitions);
    plan.place_orphans();
    plan.even_out();
    plan.into_shares(members)
}

/// Takes out of each share what another member still holds.
pub(super) fn withhold_moving(members: &[MemberView], mut shares: Shares) -> Shares {
    let holders = holders(members);
    for (id, share) in &mut shares {
        share.retain(|p| holders.get(p).is_none_or(|held| members[*held].id == *id));
    }
    shares
}

/// Who holds what. A claim from an older generation is void; equal claims void each other.
fn holders(members: &[MemberView]) -> HashMap<Partition, usize> {
    let mut claims = HashMap::<Partition, (i32, Option<usize>)>::new();
    for (i, member) in members.iter().enumerate() {
        for partition in &member.owned {
            let claim = claims.entry(partition.clone()).or_insert((i32::MIN, None));
            if member.generation > claim.0 {
                *claim = (member.generation, Some(i));
            } else if member.generation == claim.0 {
                claim.1 = None;
            }
        }
    }
    claims
        .into_iter()
        .filter_map(|(p, (_, holder))| Some((p, holder?)))
        .collect()
}

struct Plan {
    /// Every partition that somebody wants, in order, with its owner.
    owners: BTreeMap<Partition, Option<usize>>,
    loads: Vec<usize>,
    /// Members that want a topic.
    readers: HashMap<String, Vec<usize>>,
}

impl Plan {
    fn new(members: &[MemberView], partitions: &BTreeMap<String, i32>) -> Self {
        let mut readers = HashMap::<String, Vec<usize>>::new();
        for (i, member) in members.iter().enumerate() {
            for topic in &member.topics {
                readers.entry(topic.clone()).or_default().push(i);
            }
        }
        let holders = holders(members);
        let mut loads = vec![0; members.len()];
        let mut owners = BTreeMap::new();
        for (topic, &count) in partitions {
            let Some(wanted_by) = readers.get(topic) else {
                continue;
            };
            for partition in (0..count).map(|p| (topic.clone(), p)) {
                let owner = holders
                    .get(&partition)
                    .copied()
                    .filter(|m| wanted_by.contains(m));
                if let Some(owner) = owner {
                    loads[owner] += 1;
                }
                owners.insert(partition, owner);
            }
        }
        Self {
            owners,
            loads,
            readers,
        }
    }

    /// Gives what nobody holds to the least loaded member that wants it.
    fn place_orphans(&mut self) {
        for ((topic, _), owner) in &mut self.owners {
            if owner.is_none()
                && let Some(least) = least_loaded(&self.readers[topic], &self.loads)
            {
                self.loads[least] += 1;
                *owner = Some(least);
            }
        }
    }

    /// Moves partitions to members with at least two fewer, until none is left to move. Every move
    /// lowers the sum of the squared loads, so this ends.
    fn even_out(&mut self) {
        let mut moved = true;
        while moved {
            moved = false;
            for ((topic, _), owner) in &mut self.owners {
                let (Some(from), Some(to)) =
                    (*owner, least_loaded(&self.readers[topic], &self.loads))
                else {
                    continue;
                };
                if self.loads[from] >= self.loads[to] + 2 {
                    self.loads[from] -= 1;
                    self.loads[to] += 1;
                    *owner = Some(to);
                    moved = true;
                }
            }
        }
    }

    fn into_shares(self, members: &[MemberView]) -> Shares {
        let mut shares = empty_shares(members);
        for (partition, owner) in self.owners {
            if let Some(owner) = owner {
                shares
                    .entry(members[owner].id.clone())
                    .or_default()
                    .push(partition);
            }
        }
        shares
    }
}

fn least_loaded(readers: &[usize], loads: &[usize]) -> Option<usize> {
    readers.iter().copied().min_by_key(|m| (loads[*m], *m))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, owned: &[PartitionId], generation: i32) -> MemberView {
        MemberView {
            id: id.into(),
            topics: vec!["t".into()],
            owned: owned.iter().map(|p| ("t".to_owned(), *p)).collect(),
            generation,
            ..MemberView::default()
        }
    }

    fn topic(partitions: i32) -> BTreeMap<String, i32> {
        [("t".to_owned(), partitions)].into()
    }

    #[test]
    fn a_newcomer_takes_only_its_even_share() {
        let members = [member("a", &[0, 1, 2, 3, 4, 5], 3), member("b", &[], -1)];
        let shares = balance(&members, &topic(6));
        assert_eq!((shares["a"].len(), shares["b"].len()), (3, 3));
    }

    #[test]
    fn what_moves_is_withheld_for_one_generation() {
        let first = [member("a", &[0, 1, 2, 3], 3), member("b", &[], -1)];
        let shares = withhold_moving(&first, balance(&first, &topic(4)));
        assert_eq!((shares["a"].len(), shares["b"].len()), (2, 0));

        let kept: Vec<_> = shares["a"].iter().map(|(_, p)| *p).collect();
        let second = [member("a", &kept, 4), member("b", &[], 4)];
        let shares = withhold_moving(&second, balance(&second, &topic(4)));
        assert_eq!((shares["a"].len(), shares["b"].len()), (2, 2));
        assert_eq!(
            shares["a"].iter().map(|(_, p)| *p).collect::<Vec<_>>(),
            kept
        );
    }

    #[test]
    fn an_older_claim_is_void() {
        let members = [member("a", &[0, 1], 2), member("b", &[0, 1], 5)];
        let shares = balance(&members, &topic(2));
        assert_eq!((shares["a"].len(), shares["b"].len()), (1, 1));
        let holders = holders(&members);
        assert!(holders.values().all(|m| *m == 1));
    }

    #[test]
    fn nobody_gets_a_topic_it_does_not_want() {
        let mut other = member("b", &[], -1);
        other.topics = vec!["u".into()];
        let shares = balance(&[member("a", &[], -1), other], &topic(4));
        assert_eq!((shares["a"].len(), shares["b"].len()), (4, 0));
    }
}
