//! Is a text a legal value of a setting? Asked once, when the value comes in.

use crate::SettingError;
use crate::error::cut;
use crate::setting::{Kind, Setting, Unit, Valid};

impl Setting {
    /// Checks a value and returns it as it is kept: trimmed, booleans in lower case.
    ///
    /// # Errors
    /// [`SettingError::Value`] with the legal values in words.
    pub fn check(&self, text: &str) -> Result<String, SettingError> {
        let text = text.trim();
        if self.is_legal(text) {
            return Ok(match self.kind {
                Kind::Boolean => text.to_ascii_lowercase(),
                _ => text.to_owned(),
            });
        }
        let expected = match self.valid {
            Valid::Checked(check) => check(text).err(),
            _ => None,
        };
        let expected = expected.unwrap_or_else(|| self.expected());
        Err(SettingError::Value {
            name: self.name.into(),
            value: if self.is_sensitive() {
                "***".to_owned()
            } else {
                cut(text, 200)
            },
            expected: format!("expected {expected}"),
        })
    }

    fn is_legal(&self, text: &str) -> bool {
        let fits = match self.kind {
            Kind::Boolean => parse_bool(text).is_some(),
            Kind::Int => text.parse::<i32>().is_ok(),
            Kind::Short => text.parse::<i16>().is_ok(),
            Kind::Long => text.parse::<i64>().is_ok(),
            Kind::Double => text.parse::<f64>().is_ok_and(f64::is_finite),
            Kind::String | Kind::List | Kind::Class | Kind::Password => true,
        };
        fits && match self.valid {
            Valid::Any => true,
            Valid::Range(from, to) => text.parse().is_ok_and(|n: i64| (from..=to).contains(&n)),
            Valid::DoubleRange(from, to) => {
                text.parse().is_ok_and(|n: f64| (from..=to).contains(&n))
            }
            Valid::OneOf(words) => words.contains(&text),
            Valid::ListOf { words, empty } => {
                let given: Vec<&str> = items(text).collect();
                let twice = given
                    .iter()
                    .enumerate()
                    .any(|(i, word)| given[..i].contains(word));
                (empty || !given.is_empty()) && !twice && given.iter().all(|g| words.contains(g))
            }
            Valid::NotEmpty => !text.is_empty(),
            Valid::Checked(check) => check(text).is_ok(),
        }
    }

    /// The legal values in words: "a whole number from 1 to 10 (ms)".
    pub fn expected(&self) -> String {
        // A function that checks says in its refusal what is legal, and none takes this for that.
        const ILLEGAL: &str = "\u{1}";
        let own_words = match self.valid {
            Valid::Checked(check) => check(ILLEGAL).err(),
            _ => None,
        };
        if let Some(words) = own_words {
            return words;
        }
        let what = match (self.kind, self.valid) {
            (_, Valid::OneOf(words)) => format!("one of {}", words.join(", ")),
            (_, Valid::ListOf { words, .. }) => format!("a list out of {}", words.join(", ")),
            (_, Valid::Range(from, to)) => whole_number(self.kind, from, to),
            (_, Valid::DoubleRange(from, to)) => format!("a number from {from} to {to}"),
            (Kind::Boolean, _) => "true or false".to_owned(),
            (Kind::Int, _) => whole_number(Kind::Int, i32::MIN.into(), i32::MAX.into()),
            (Kind::Short, _) => whole_number(Kind::Short, i16::MIN.into(), i16::MAX.into()),
            (Kind::Long, _) => "a whole number".to_owned(),
            (Kind::Double, _) => "a number".to_owned(),
            (Kind::List, _) => "texts separated by commas".to_owned(),
            (_, Valid::NotEmpty) => "a text that is not empty".to_owned(),
            (Kind::String | Kind::Class | Kind::Password, _) => "a text".to_owned(),
        };
        match self.unit {
            Unit::None => what,
            unit => format!("{what} ({})", unit.word()),
        }
    }
}

fn whole_number(kind: Kind, from: i64, to: i64) -> String {
    let (least, most) = match kind {
        Kind::Int => (i64::from(i32::MIN), i64::from(i32::MAX)),
        Kind::Short => (i64::from(i16::MIN), i64::from(i16::MAX)),
        _ => (i64::MIN, i64::MAX),
    };
    if (from, to) == (least, most) {
        "a whole number".to_owned()
    } else if to == most {
        format!("a whole number, at least {from}")
    } else {
        format!("a whole number from {from} to {to}")
    }
}

/// `true` or `false` in any case.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// The items of a list: separated by commas, trimmed, empty ones left out.
pub(crate) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}
