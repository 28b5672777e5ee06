//! Which disk of a broker gets a replica, and whether it has room: as the controller decides it.
//!
//! The controller knows of counts, and of no sizes. What counts is hence the room on the disk that it will
//! take, not that on the emptiest one.

use crate::LogDir;

/// One disk that takes replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Disk {
    replicas: usize,
    /// What it can take; `None` when it does not tell.
    free_bytes: Option<u64>,
    /// Neither full nor, where that counts, slow.
    is_well: bool,
}

/// The disks of a broker that take replicas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disks(Vec<Disk>);

impl Disks {
    /// Those of these directories that are neither offline nor cordoned. `by_speed`: whether it counts
    /// that one is slow. What producers must leave free is no room.
    pub fn of<'a>(dirs: impl IntoIterator<Item = &'a LogDir>, by_speed: bool) -> Self {
        let open = dirs
            .into_iter()
            .filter(|d| !d.cordoned && d.error.is_none());
        let disk = |dir: &LogDir| Disk {
            replicas: dir.partitions.len(),
            free_bytes: u64::try_from(dir.usable_bytes)
                .ok()
                .map(|left| left.saturating_sub(dir.reserve_bytes.unsigned_abs())),
            is_well: !(dir.full || by_speed && dir.slow),
        };
        Self(open.map(disk).collect())
    }

    /// Whether the disk that gets the next replica has room for one of `bytes`. A broker that tells of none
    /// is taken at its word.
    pub fn has_room(&self, bytes: u64) -> bool {
        let next = self.next().map(|at| &self.0[at]);
        let free = next.and_then(|disk| disk.free_bytes);
        free.is_none_or(|left| left >= bytes)
    }

    /// Counts a replica of `bytes` where it will be put.
    pub fn put(&mut self, bytes: u64) {
        if let Some(at) = self.next() {
            let disk = &mut self.0[at];
            disk.replicas += 1;
            disk.free_bytes = disk.free_bytes.map(|left| left.saturating_sub(bytes));
        }
    }

    /// The one with the fewest replicas, of those that are well if any is; the first of several.
    fn next(&self) -> Option<usize> {
        let order = |at: &usize| (!self.0[*at].is_well, self.0[*at].replicas);
        (0..self.0.len()).min_by_key(order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LogDirPartition;

    fn dir(usable_bytes: i64, replicas: i32) -> LogDir {
        let log = |partition| LogDirPartition {
            partition: ("t".to_owned(), partition),
            size_bytes: 1,
            lag: 0,
        };
        LogDir {
            path: "/d".to_owned(),
            error: None,
            total_bytes: 1_000,
            usable_bytes,
            cordoned: false,
            slow: false,
            full: false,
            reserve_bytes: 0,
            partitions: (0..replicas).map(log).collect(),
        }
    }

    #[test]
    fn room_on_a_disk_that_is_not_taken_is_none() {
        let mut disks = Disks::of(&[dir(900, 5), dir(50, 3)], true);
        assert!(disks.has_room(50));
        assert!(!disks.has_room(51));
        disks.put(50);
        assert!(!disks.has_room(1));
        disks.put(0);
        assert!(
            disks.has_room(900),
            "they keep as many: the first one is next"
        );
    }

    #[test]
    fn disks_that_are_unwell_or_closed_are_not_taken_while_others_are_open() {
        let large = dir(900, 0);
        let small = dir(50, 7);
        let full = LogDir {
            full: true,
            ..large.clone()
        };
        let slow = LogDir {
            slow: true,
            ..large.clone()
        };
        let cordoned = LogDir {
            cordoned: true,
            ..large.clone()
        };
        let offline = LogDir {
            error: Some("gone".to_owned()),
            ..large
        };
        for other in [&full, &slow, &cordoned, &offline] {
            assert!(!Disks::of([other, &small], true).has_room(51));
        }
        assert!(Disks::of([&slow, &small], false).has_room(900));
        assert!(
            Disks::of([&full, &slow], true).has_room(900),
            "none is well"
        );
    }

    #[test]
    fn what_producers_must_leave_free_is_no_room() {
        let kept = LogDir {
            reserve_bytes: 30,
            ..dir(90, 0)
        };
        assert!(Disks::of([&kept], true).has_room(60));
        assert!(!Disks::of([&kept], true).has_room(61));
        assert!(
            Disks::of(&[dir(-1, 0)], true).has_room(u64::MAX),
            "nobody knows"
        );
    }
}
