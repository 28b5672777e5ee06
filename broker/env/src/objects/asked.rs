//! What a store is asked, counted as those count it who bill for it.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// A kind of request. Stores have a price for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// Stores an object, or a part of one.
    Put,
    /// Begins or completes an upload in parts.
    Post,
    /// Reads a range.
    Get,
    /// Looks at an object.
    Head,
    /// Gives a page of names.
    List,
    /// Removes an object, or what was sent of one.
    Delete,
}

impl RequestKind {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 6] = [
        Self::Put,
        Self::Post,
        Self::Get,
        Self::Head,
        Self::List,
        Self::Delete,
    ];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Post => "post",
            Self::Get => "get",
            Self::Head => "head",
            Self::List => "list",
            Self::Delete => "delete",
        }
    }
}

/// What was asked of a store so far; each only grows.
#[derive(Debug, Default)]
pub struct RequestCounts {
    requests: [AtomicU64; RequestKind::ALL.len()],
    /// Bytes of what was sent with requests, without their heads.
    pub sent_bytes: AtomicU64,
    /// Bytes of what was answered, without the heads.
    pub received_bytes: AtomicU64,
}

impl RequestCounts {
    /// Counts a request before it is made, with so many bytes.
    pub fn asks(&self, kind: RequestKind, bytes: u64) {
        self.requests[kind as usize].fetch_add(1, Relaxed);
        self.sent_bytes.fetch_add(bytes, Relaxed);
    }

    /// Requests of a kind.
    pub fn requests(&self, kind: RequestKind) -> u64 {
        self.requests[kind as usize].load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_count_of_its_own() {
        let counts = RequestCounts::default();
        for (at, kind) in (1..).zip(RequestKind::ALL) {
            (0..at).for_each(|_| counts.asks(kind, at));
        }
        let requests = RequestKind::ALL.map(|kind| counts.requests(kind));
        assert_eq!(requests, [1, 2, 3, 4, 5, 6]);
        assert_eq!(counts.sent_bytes.load(Relaxed), 1 + 4 + 9 + 16 + 25 + 36);
    }
}
