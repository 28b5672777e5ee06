//! How a partition's directory is called: `<topic>-<partition>`, as Kafka has it; with `.future`
//! behind that while it is a copy that shall take the place of the log in another log directory.

use std::fmt;

use freshet_types::{PartitionId, TopicName};

/// Ends the name of a copy.
const FUTURE: &str = ".future";
/// Longest name of a folder that file systems take, in bytes.
const FOLDER_MAX_BYTES: usize = 255;

/// Names one partition's log within a log directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogName {
    /// The topic.
    pub topic: TopicName,
    /// The partition; never negative.
    pub partition: PartitionId,
    is_future: bool,
}

impl LogName {
    /// The log of a partition.
    pub fn new(topic: TopicName, partition: PartitionId) -> Self {
        Self {
            topic,
            partition,
            is_future: false,
        }
    }

    /// A copy of the log that shall take its place.
    pub fn future(&self) -> Self {
        Self {
            is_future: true,
            ..self.clone()
        }
    }

    /// The log whose place a copy shall take.
    pub fn present(&self) -> Self {
        Self {
            is_future: false,
            ..self.clone()
        }
    }

    /// Whether it names a copy that has not taken its place yet.
    pub fn is_future(&self) -> bool {
        self.is_future
    }

    /// Whether no file system takes a folder of that name: a copy's is longer than its log's.
    pub fn is_too_long(&self) -> bool {
        self.to_string().len() > FOLDER_MAX_BYTES
    }

    /// Reads a directory name; `None` for anything that no log of ours has.
    pub fn parse(directory: &str) -> Option<Self> {
        // No log's own name ends like this: it ends with a number.
        let (name, is_future) = match directory.strip_suffix(FUTURE) {
            Some(name) => (name, true),
            None => (directory, false),
        };
        let (topic, digits) = name.rsplit_once('-')?;
        let partition: PartitionId = digits.parse().ok()?;
        // "+1", "01" and "-0" parse as numbers but are not what `Display` writes.
        let canonical = partition >= 0 && partition.to_string() == digits;
        let topic = TopicName::new(topic).ok()?;
        canonical.then_some(Self {
            topic,
            partition,
            is_future,
        })
    }
}

impl fmt::Display for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = if self.is_future { FUTURE } else { "" };
        write!(f, "{}-{}{suffix}", self.topic, self.partition)
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
            "a-0.future",
            "a.future-7",
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
            "a-0.future.future",
            "a-01.future",
            ".future",
        ] {
            assert_eq!(LogName::parse(bad), None, "{bad}");
        }
        assert_eq!(LogName::parse("a-0.0a1b-delete"), None);
    }

    #[test]
    fn a_copy_and_the_log_it_is_of_know_each_other() {
        let log = LogName::parse("a-0").expect("a log");
        let copy = LogName::parse("a-0.future").expect("a copy");
        assert_eq!(log.future(), copy);
        assert_eq!(copy.present(), log);
        assert!(copy.is_future() && !log.is_future());
        assert_ne!(log, copy);
    }

    #[test]
    fn a_name_may_be_too_long_for_a_folder() {
        let name = |bytes: usize, partition| {
            LogName::new(
                TopicName::new(&"t".repeat(bytes)).expect("legal"),
                partition,
            )
        };
        assert!(!name(249, 99_999).is_too_long() && name(249, 100_000).is_too_long());
        assert!(!name(246, 0).future().is_too_long() && name(247, 0).future().is_too_long());
    }
}
