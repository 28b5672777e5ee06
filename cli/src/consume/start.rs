//! Where to start reading.

use freshet_client::Start;
use freshet_types::Timestamp;

use crate::text::time;

/// Where to start, as people say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// The same way in every partition.
    At(Start),
    /// So many records before the end.
    Last(i64),
}

impl From {
    /// Where to start in a partition of these bounds.
    pub(super) fn start(self, start: i64, end: i64) -> Start {
        match self {
            Self::At(start) => start,
            Self::Last(count) => Start::Offset((end - count).max(start)),
        }
    }
}

/// `beginning`, `end`, an offset, `last:N`, or a moment.
pub(super) fn parse(text: &str, now: Timestamp) -> Result<From, String> {
    match text {
        "beginning" | "earliest" => return Ok(From::At(Start::Earliest)),
        "end" | "latest" => return Ok(From::At(Start::Latest)),
        _ => {}
    }
    if let Some(count) = text.strip_prefix("last:") {
        let count = count.parse().ok().filter(|count| *count >= 0);
        return count
            .map(From::Last)
            .ok_or_else(|| "write last:N with a number".to_owned());
    }
    match text.parse::<i64>() {
        Ok(offset) if offset >= 0 => Ok(From::At(Start::Offset(offset))),
        Ok(_) => Err("an offset is 0 or more; last:N reads the last N records".to_owned()),
        Err(_) => time::moment(text, now).map(|time| From::At(Start::At(time))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_have_many_forms() {
        let now = Timestamp(1_000_000);
        assert_eq!(parse("beginning", now), Ok(From::At(Start::Earliest)));
        assert_eq!(parse("42", now), Ok(From::At(Start::Offset(42))));
        assert_eq!(
            parse("10s", now),
            Ok(From::At(Start::At(Timestamp(990_000))))
        );
        assert_eq!(parse("last:5", now), Ok(From::Last(5)));
        for bad in ["-5", "last:", "last:-1", "soon"] {
            assert!(parse(bad, now).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_last_records_never_start_before_the_log() {
        assert_eq!(From::Last(5).start(0, 12), Start::Offset(7));
        assert_eq!(From::Last(5).start(1, 3), Start::Offset(1));
    }
}
