//! How a partition's directory is called: `<topic>-<partition>`, as Kafka has it.

use std::fmt;

use freshet_types::{PartitionId, TopicName};

/// Names one partition's log within a log directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogName {
    /// The topic.
    pub topic: TopicName,
    /// The partition; never negative.
    pub partition: PartitionId,
}

impl LogName {
    /// Reads a directory name; `None` for anything that no log of ours has.
    pub fn parse(directory: &str) -> Option<Self> {
        let (topic, digits) = directory.rsplit_once('-')?;
        let partition: PartitionId = digits.parse().ok()?;
        // "+1", "01" and "-0" parse as numbers but are not what `Display` writes.
        let canonical = partition >= 0 && partition.to_string() == digits;
        let topic = TopicName::new(topic).ok()?;
        canonical.then_some(Self { topic, partition })
    }
}

impl fmt::Display for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_odd_ones_are_refused() {
        for good in [
            "a-0",
            "a-b-12",
            "a--1",
            "__consumer_offsets-49",
            "x.y_z-2147483647",
        ] {
            let name = LogName::parse(good).expect(good);
            assert_eq!(name.to_string(), good);
        }
        for bad in [
            "a",
            "a-",
            "a-01",
            "a-+1",
            "-1",
            "..-1x",
            "a-2147483648",
            "a b-1",
        ] {
            assert_eq!(LogName::parse(bad), None, "{bad}");
        }
        assert_eq!(LogName::parse("a-0.0a1b-delete"), None);
    }
}
