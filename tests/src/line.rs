//! The lines that peer programs speak.

use serde::Deserialize;

/// One record as a reader was shown it; key, value and header values are base64, `None` is null.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Shown {
    /// The member of the group that was shown it; 0 without a group.
    #[serde(rename = "m")]
    pub member: usize,
    /// The partition it is in.
    #[serde(rename = "p")]
    pub partition: i32,
    /// Its offset.
    #[serde(rename = "o")]
    pub offset: i64,
    /// Milliseconds since 1970.
    #[serde(rename = "ts")]
    pub timestamp: i64,
    /// The key.
    #[serde(rename = "k")]
    pub key: Option<String>,
    /// The value.
    #[serde(rename = "v")]
    pub value: Option<String>,
    /// Headers in order.
    #[serde(rename = "h")]
    pub headers: Vec<(String, Option<String>)>,
}

/// A broker's refusal as the client library reports it.
#[derive(Debug, Clone, Deserialize)]
pub struct Refusal {
    /// Kafka's error code; -1 where the library hides it.
    pub code: i64,
    /// The library's words.
    pub text: String,
}

/// One line of a peer.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The program is up.
    Ready {
        /// The library.
        client: String,
        /// Its version.
        version: String,
    },
    /// A record was read.
    Record(Shown),
    /// A produced record was acknowledged.
    Acked {
        /// Its number.
        i: u64,
        /// Its partition.
        p: i32,
        /// Its offset; -1 with acks=0.
        o: i64,
    },
    /// A produced record was given up.
    Failed {
        /// Its number.
        i: u64,
        /// The library's words.
        why: String,
    },
    /// A partition is read from a broker, and was from another one or none before.
    From {
        /// The partition.
        p: i32,
        /// The broker; below 0 for none.
        b: i32,
    },
    /// A member of a group got its partitions.
    Assigned {
        /// The member.
        m: usize,
        /// All partitions that it holds now.
        p: Vec<i32>,
    },
    /// An administrative order was carried out.
    Reply(serde_json::Value),
    /// An administrative order was refused.
    Error(Refusal),
    /// The library has no such function.
    Unsupported(String),
    /// The program has done everything.
    Done(bool),
}
