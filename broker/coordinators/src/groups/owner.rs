//! Which partition of `__consumer_offsets` owns a group.

use freshet_types::PartitionId;

/// The partition that owns `group`: Java's `String.hashCode` of the id, made positive, modulo
/// `partitions` (at least 1). Tools compute it as well, so it is part of the format.
pub fn owner_partition(group: &str, partitions: i32) -> PartitionId {
    let hash = group.encode_utf16().fold(0i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    // Java has no positive counterpart of the smallest int; Kafka takes 0 for it.
    hash.checked_abs().unwrap_or(0) % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::owner_partition;

    #[test]
    fn groups_live_where_java_puts_them() {
        // Values of Java's "…".hashCode().
        assert_eq!(owner_partition("", 50), 0);
        assert_eq!(owner_partition("a", 50), 97 % 50);
        assert_eq!(owner_partition("hello", 50), 99_162_322 % 50);
        assert_eq!(owner_partition("polygenelubricants", 50), 0); // hashCode is the smallest int
        assert_eq!(owner_partition("zürich", i32::MAX), 565_983_330); // hashCode is negative
        assert_eq!(owner_partition("日本", 50), 835_047 % 50);
    }
}
