//! Names of things.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Position of a record in a partition; -1 means "none" on the wire.
pub type Offset = i64;
/// Counts leaders of a partition; -1 means "unknown".
pub type LeaderEpoch = i32;
/// Index of a partition within its topic.
pub type PartitionId = i32;
/// Identity of a producer session; -1 means "not idempotent".
pub type ProducerId = i64;
/// Counts incarnations of a producer id.
pub type ProducerEpoch = i16;

/// A broker or controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub i32);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// 16 random bytes that name a topic for its whole life; a topic created again gets a new one
/// (KIP-516). Shown as Kafka shows it: URL-safe base64 without padding, 22 characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TopicId(pub [u8; 16]);

impl TopicId {
    /// All zero: "no id" on the wire.
    pub const ZERO: Self = Self([0; 16]);

    /// Whether this is "no id".
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64_url(&self.0))
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The string is not 22 characters of URL-safe base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id: expected 22 characters of URL-safe base64")]
pub struct IdError;

impl From<TopicId> for String {
    fn from(id: TopicId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for TopicId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl FromStr for TopicId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        from_base64_url(text).map(Self).ok_or(IdError)
    }
}

/// Names a cluster; chosen once, when its first directory is formatted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClusterId(pub Arc<str>);

impl ClusterId {
    /// The id made of 16 random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(base64_url(&bytes).into())
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A legal topic name: 1–249 of `[a-zA-Z0-9._-]`, neither `.` nor `..`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TopicName(Arc<str>);

/// Why a string is no topic name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("topic name {name:?} is illegal: {reason}")]
pub struct TopicNameError {
    /// What was given, cut to 300 characters.
    pub name: String,
    /// The rule it breaks.
    pub reason: Cow<'static, str>,
}

impl TopicName {
    /// Checks Kafka's rules for topic names.
    pub fn new(name: &str) -> Result<Self, TopicNameError> {
        let reason = if name.is_empty() {
            "it is empty"
        } else if name.len() > 249 {
            "it is longer than 249 characters"
        } else if name == "." || name == ".." {
            "it is . or .."
        } else if !name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        {
            "only ASCII letters, digits, '.', '_' and '-' are allowed"
        } else {
            return Ok(Self(name.into()));
        };
        Err(TopicNameError {
            name: name.chars().take(300).collect(),
            reason: reason.into(),
        })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name with '.' read as '_': two names that agree in it would collide in metric names.
    pub fn collision_key(&self) -> String {
        self.0.replace('.', "_")
    }

    /// Topics of the broker's own, hidden from auto-creation and from pattern subscriptions.
    pub fn is_internal(&self) -> bool {
        matches!(
            self.as_str(),
            "__consumer_offsets"
                | "__transaction_state"
                | "__share_group_state"
                | "__remote_log_metadata"
        )
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<TopicName> for String {
    fn from(name: TopicName) -> Self {
        name.as_str().to_owned()
    }
}

impl TryFrom<String> for TopicName {
    type Error = TopicNameError;
    fn try_from(name: String) -> Result<Self, TopicNameError> {
        Self::new(&name)
    }
}

impl std::borrow::Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// One partition of one life of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicPartition {
    /// Which topic.
    pub topic: TopicId,
    /// Which of its partitions.
    pub partition: PartitionId,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn base64_url(bytes: &[u8; 16]) -> String {
    let bits = u128::from_be_bytes(*bytes);
    let digit = |i: u32| {
        // 22 digits of 6 bits hold 132 bits: the last digit carries 2 bits, shifted left by 4.
        let six = if i < 21 {
            bits >> (122 - 6 * i)
        } else {
            bits << 4
        };
        char::from(ALPHABET[(six & 0x3f) as usize])
    };
    (0..22).map(digit).collect()
}

fn from_base64_url(text: &str) -> Option<[u8; 16]> {
    if text.len() != 22 {
        return None;
    }
    let mut bits: u128 = 0;
    for (i, c) in text.bytes().enumerate() {
        let six = ALPHABET.iter().position(|&a| a == c)? as u128;
        if i < 21 {
            bits |= six << (122 - 6 * i);
        } else {
            if six & 0xf != 0 {
                return None;
            }
            bits |= six >> 4;
        }
    }
    Some(bits.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn topic_id_reads_as_kafka_shows_it() {
        let id = TopicId([0xfb, 0xff, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
        assert_eq!(id.to_string(), "-_8AAQIDBAUGBwgJCgsMDQ");
        assert_eq!("-_8AAQIDBAUGBwgJCgsMDQ".parse(), Ok(id));
        assert_eq!(TopicId::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
    }

    #[test]
    fn topic_names_follow_kafkas_rules() {
        for good in ["a", "A-b.c_1", &"x".repeat(249), "..."] {
            assert!(TopicName::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a b", "ü", "a/b", &"x".repeat(250)] {
            assert!(TopicName::new(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn topic_id_round_trips(bytes: [u8; 16]) {
            prop_assert_eq!(TopicId(bytes).to_string().parse(), Ok(TopicId(bytes)));
        }
        #[test]
        fn parsing_an_id_never_panics(text: String) {
            let _ = text.parse::<TopicId>();
        }
    }
}
