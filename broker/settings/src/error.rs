//! Why a setting is refused.

use std::borrow::Cow;

use freshet_types::ErrorKind;
use serde::{Deserialize, Serialize};

/// Why a setting is refused. Every text says what was given and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum SettingError {
    /// No declaration has the name.
    #[error("{name:?} is not a {scope} setting{}", suggest(.nearest))]
    Unknown {
        /// What was given, cut to 200 characters.
        name: String,
        /// "broker", "topic", "group", "client metrics".
        scope: Cow<'static, str>,
        /// The declared name that looks most like it.
        nearest: Option<Cow<'static, str>>,
    },
    /// The value is not of the kind or not in the range.
    #[error("{name}={value}: {expected}")]
    Value {
        /// The setting.
        name: Cow<'static, str>,
        /// What was given, cut to 200 characters; `***` for secrets.
        value: String,
        /// What would be right: "expected a whole number from 1 to 2147483647 (bytes)".
        expected: String,
    },
    /// A broker setting that needs a restart was to be changed at run time.
    #[error("{name} cannot be changed while brokers run: set it in their files and restart them")]
    ReadOnly {
        /// The setting.
        name: Cow<'static, str>,
    },
    /// Two settings contradict each other.
    #[error("{first} and {second} do not fit together: {expected}")]
    Contradiction {
        /// One of them.
        first: Cow<'static, str>,
        /// The other.
        second: Cow<'static, str>,
        /// What would be right.
        expected: String,
    },
    /// APPEND or SUBTRACT on something that is no list.
    #[error("{name} is not a list: append and subtract need one")]
    NotAList {
        /// The setting.
        name: Cow<'static, str>,
    },
    /// A line of a properties file, or a `NAME=VALUE` argument, that has no name.
    #[error("{place}: expected NAME=VALUE, found {text:?}")]
    Syntax {
        /// "server.properties line 3", "--set".
        place: String,
        /// The text, cut to 200 characters.
        text: String,
    },
}

impl SettingError {
    /// What the error means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unknown { .. }
            | Self::Value { .. }
            | Self::ReadOnly { .. }
            | Self::Contradiction { .. }
            | Self::NotAList { .. }
            | Self::Syntax { .. } => ErrorKind::Invalid,
        }
    }
}

fn suggest(nearest: &Option<Cow<'static, str>>) -> String {
    match nearest {
        Some(name) => format!("; did you mean {name}?"),
        None => String::new(),
    }
}

/// The first `most` characters, for error texts.
pub(crate) fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}
