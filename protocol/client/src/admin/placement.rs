//! Where replicas can go: by rack first, then by how much a broker keeps already.

use std::collections::BTreeMap;

use freshet_types::NodeId;

use crate::Disks;

/// A broker as placement sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacementBroker {
    /// Its id.
    pub id: NodeId,
    /// Where it stands.
    pub rack: Option<String>,
    /// Whether new replicas may be put on it: it is up and not cordoned.
    pub takes: bool,
    /// Whether its disks are slow or full: taken only where there is nobody else in its rack.
    pub unwell: bool,
    /// How many replicas it keeps.
    pub replicas: usize,
    /// Where it would put them; none when it does not tell.
    pub disks: Disks,
}

/// Why no broker can take a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPlace {
    /// All that could are among the partition's replicas already.
    NoBroker,
    /// There are some, and none has room on its disks.
    NoRoom,
}

/// Chooses brokers, and counts what it has given them.
#[derive(Debug, Clone, Default)]
pub struct Placement {
    brokers: BTreeMap<NodeId, PlacementBroker>,
}

impl Placement {
    /// A choice among these.
    pub fn new(brokers: impl IntoIterator<Item = PlacementBroker>) -> Self {
        let brokers = brokers.into_iter().map(|broker| (broker.id, broker));
        Self {
            brokers: brokers.collect(),
        }
    }

    /// A broker for one more replica, of `bytes`, of a partition that `keep` keep: of the rack that
    /// they use least, and there, of those whose disks are well if there are any, the one with the fewest replicas.
    ///
    /// # Errors
    /// Why there is none; nothing is counted then.
    pub fn choose(&mut self, keep: &[NodeId], bytes: u64) -> Result<NodeId, NoPlace> {
        let racks: Vec<_> = keep
            .iter()
            .filter_map(|node| self.brokers.get(node))
            .map(|broker| broker.rack.clone())
            .collect();
        let free = |b: &&mut PlacementBroker| b.takes && !keep.contains(&b.id);
        let has_room = |b: &PlacementBroker| b.disks.has_room(bytes);
        let cost = |b: &&mut PlacementBroker| {
            let crowd = racks.iter().filter(|rack| **rack == b.rack).count();
            (!has_room(b), crowd, b.unwell, b.replicas, b.id)
        };
        let best = self.brokers.values_mut().filter(free).min_by_key(cost);
        let best = best.ok_or(NoPlace::NoBroker)?;
        if !has_room(best) {
            return Err(NoPlace::NoRoom);
        }
        best.replicas += 1;
        best.disks.put(bytes);
        Ok(best.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn disk(usable_bytes: i64) -> Disks {
        let (_, seen) = samples::broker(1, (usable_bytes, 1_000));
        seen.disks(true)
    }

    fn broker(id: i32, rack: &str, replicas: usize) -> PlacementBroker {
        PlacementBroker {
            id: NodeId(id),
            rack: Some(rack.to_owned()),
            takes: true,
            unwell: false,
            replicas,
            disks: disk(100),
        }
    }

    #[test]
    fn another_rack_goes_before_a_smaller_load() {
        let brokers = [broker(1, "a", 0), broker(2, "a", 0), broker(3, "b", 9)];
        let mut placement = Placement::new(brokers);
        assert_eq!(placement.choose(&[NodeId(1)], 1), Ok(NodeId(3)));
        assert_eq!(placement.choose(&[NodeId(1), NodeId(3)], 1), Ok(NodeId(2)));
    }

    #[test]
    fn load_is_spread_as_it_is_given() {
        let brokers = [broker(1, "a", 0), broker(2, "a", 1)];
        let mut placement = Placement::new(brokers);
        let chosen: Vec<_> = (0..4)
            .map(|_| placement.choose(&[], 1).unwrap().0)
            .collect();
        assert_eq!(chosen, [1, 1, 2, 1]);
    }

    #[test]
    fn disks_that_are_well_go_before_a_smaller_load_and_not_before_another_rack() {
        let unwell = |id, rack| PlacementBroker {
            unwell: true,
            ..broker(id, rack, 0)
        };
        let brokers = [unwell(1, "a"), broker(2, "a", 9), unwell(3, "b")];
        let mut placement = Placement::new(brokers);
        assert_eq!(placement.choose(&[], 1), Ok(NodeId(2)));
        assert_eq!(placement.choose(&[NodeId(2)], 1), Ok(NodeId(3)));
        let both = [NodeId(2), NodeId(3)];
        assert_eq!(
            placement.choose(&both, 1),
            Ok(NodeId(1)),
            "for want of others"
        );
    }

    #[test]
    fn who_has_no_room_or_takes_nothing_is_left_out() {
        let full = PlacementBroker {
            disks: disk(5),
            ..broker(1, "a", 0)
        };
        let cordoned = PlacementBroker {
            takes: false,
            ..broker(2, "b", 0)
        };
        let mut placement = Placement::new([full.clone(), cordoned.clone(), broker(3, "a", 7)]);
        assert_eq!(placement.choose(&[], 60), Ok(NodeId(3)));
        assert_eq!(placement.choose(&[], 60), Err(NoPlace::NoRoom));
        let mut placement = Placement::new([cordoned, full]);
        assert_eq!(placement.choose(&[NodeId(1)], 1), Err(NoPlace::NoBroker));
    }
}
