//! Who reads what: decided by the group's leader, pure.

use std::collections::BTreeMap;

use freshet_types::PartitionId;

use super::sticky;

/// A way to share partitions out. Names are those of Kafka's Java assignors, so that groups may mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Assignor {
    /// "range": of each topic, every member gets one run of neighbouring partitions.
    Range,
    /// "cooperative-sticky": even loads, and members keep what they have while others move
    /// (KIP-429).
    CooperativeSticky,
}

/// A member as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberView {
    /// Id given by the coordinator.
    pub id: String,
    /// Static name.
    pub instance: Option<String>,
    /// Topics it wants.
    pub topics: Vec<String>,
    /// Partitions it holds.
    pub owned: Vec<(String, PartitionId)>,
    /// The generation it holds them from.
    pub generation: i32,
}

/// Partitions by member id. Every member is there, even with nothing.
pub type Shares = BTreeMap<String, Vec<(String, PartitionId)>>;

impl Assignor {
    /// Its name in JoinGroup.
    pub fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// The assignor of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Range, Self::CooperativeSticky]
            .into_iter()
            .find(|a| a.name() == name)
    }

    /// Shares out. `partitions` has the partition count of every topic that exists.
    pub fn assign(self, members: &[MemberView], partitions: &BTreeMap<String, i32>) -> Shares {
        match self {
            Self::Range => range(members, partitions),
            Self::CooperativeSticky => {
                sticky::withhold_moving(members, sticky::balance(members, partitions))
            }
        }
    }
}

fn range(members: &[MemberView], partitions: &BTreeMap<String, i32>) -> Shares {
    let mut shares = empty_shares(members);
    for (topic, &count) in partitions {
        let mut readers: Vec<_> = members
            .iter()
            .filter(|m| m.topics.contains(topic))
            .collect();
        // Static members first, by name, so that a restart under a new id changes nothing.
        readers.sort_by_key(|m| (m.instance.is_none(), m.instance.clone(), m.id.clone()));
        let Some(each) = count.checked_div(readers.len() as i32) else {
            continue;
        };
        let longer = count % readers.len() as i32;
        let mut next = 0;
        for (i, reader) in readers.iter().enumerate() {
            let end = next + each + i32::from((i as i32) < longer);
            let share = shares.entry(reader.id.clone()).or_default();
            share.extend((next..end).map(|p| (topic.clone(), p)));
            next = end;
        }
    }
    shares
}

pub(super) fn empty_shares(members: &[MemberView]) -> Shares {
    members.iter().map(|m| (m.id.clone(), Vec::new())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, topics: &[&str]) -> MemberView {
        MemberView {
            id: id.into(),
            topics: topics.iter().map(|t| (*t).to_owned()).collect(),
            ..MemberView::default()
        }
    }

    fn counts(topics: &[(&str, i32)]) -> BTreeMap<String, i32> {
        topics.iter().map(|&(t, n)| (t.to_owned(), n)).collect()
    }

    fn of(shares: &Shares, id: &str) -> Vec<PartitionId> {
        shares[id].iter().map(|(_, p)| *p).collect()
    }

    #[test]
    fn range_gives_runs_and_the_first_get_one_more() {
        let members = [
            member("b", &["t"]),
            member("a", &["t"]),
            member("c", &["t"]),
        ];
        let shares = Assignor::Range.assign(&members, &counts(&[("t", 7)]));
        assert_eq!(of(&shares, "a"), [0, 1, 2]);
        assert_eq!(of(&shares, "b"), [3, 4]);
        assert_eq!(of(&shares, "c"), [5, 6]);
    }

    #[test]
    fn range_puts_static_members_first() {
        let mut fixed = member("z", &["t"]);
        fixed.instance = Some("one".into());
        let shares = Assignor::Range.assign(&[member("a", &["t"]), fixed], &counts(&[("t", 2)]));
        assert_eq!(of(&shares, "z"), [0]);
        assert_eq!(of(&shares, "a"), [1]);
    }

    #[test]
    fn more_members_than_partitions_leaves_some_idle() {
        let members = [
            member("a", &["t"]),
            member("b", &["t"]),
            member("c", &["other"]),
        ];
        let shares = Assignor::Range.assign(&members, &counts(&[("t", 1), ("nobody", 3)]));
        assert_eq!(of(&shares, "a"), [0]);
        assert!(shares["b"].is_empty() && shares["c"].is_empty());
    }
}
