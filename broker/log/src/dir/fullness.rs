//! Whether a disk has room for producers.

/// One that had none has some only once there is a quarter more than they need: else it would change with
/// every segment that is deleted.
pub(super) fn is_full(was: bool, available_bytes: u64, reserve_bytes: u64) -> bool {
    let most = reserve_bytes.max(1);
    let needed = if was {
        most.saturating_add(most / 4)
    } else {
        most
    };
    available_bytes < needed
}

#[cfg(test)]
mod tests {
    use super::is_full;

    #[test]
    fn a_disk_is_full_below_the_reserve_and_has_room_a_quarter_above_it() {
        assert!(!is_full(false, 100, 100));
        assert!(is_full(false, 99, 100));
        assert!(is_full(true, 124, 100));
        assert!(!is_full(true, 125, 100));
        assert!(
            is_full(false, 0, 0),
            "without a reserve, when nothing is left"
        );
        assert!(!is_full(false, 1, 0));
    }
}
