//! Counts of what ran, read from the closing lines of Rust's test runner.

use std::fmt::{self, Display, Formatter};
use std::ops::AddAssign;

/// How many tests passed, failed and could not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl Count {
    /// A single check that either held or did not.
    pub(crate) fn one(passed: bool) -> Self {
        Self {
            passed: usize::from(passed),
            failed: usize::from(!passed),
            skipped: 0,
        }
    }

    /// A single thing that could not run.
    pub(crate) const SKIPPED: Self = Self {
        passed: 0,
        failed: 0,
        skipped: 1,
    };

    /// The counts in `test result: ok. 5 passed; 0 failed; 1 ignored; ...`; `None` for other lines.
    pub(crate) fn read(line: &str) -> Option<Self> {
        let line = line.strip_prefix("test result: ")?;
        let of = |what: &str| {
            let before = line
                .split(';')
                .find_map(|part| part.trim().strip_suffix(what))?;
            before.split_whitespace().next_back()?.parse().ok()
        };
        Some(Self {
            passed: of(" passed")?,
            failed: of(" failed")?,
            skipped: of(" ignored")?,
        })
    }

    /// The counts in the closing line of `cargo xtask test`; `None` for other lines.
    pub(crate) fn of_summary(line: &str) -> Option<Self> {
        let mut parts = line.split(", ");
        let mut of = |what: &str| parts.next()?.strip_suffix(what)?.parse().ok();
        Some(Self {
            passed: of(" passed")?,
            failed: of(" failed")?,
            skipped: of(" skipped")?,
        })
    }
}

impl Display for Count {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// The test, with its reason, that a line of the runner says was ignored.
pub(crate) fn ignored(line: &str) -> Option<String> {
    let (name, why) = line.strip_prefix("test ")?.split_once("... ignored")?;
    let (name, why) = (name.trim_end(), why.trim_start_matches(',').trim());
    Some(if why.is_empty() {
        name.into()
    } else {
        format!("{name}: {why}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_is_read() {
        let line = "test result: FAILED. 5 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out";
        assert_eq!(
            Count::read(line),
            Some(Count {
                passed: 5,
                failed: 2,
                skipped: 1
            })
        );
        assert_eq!(Count::read("test a ... ok"), None);
    }

    #[test]
    fn a_summary_is_read_as_it_is_written() {
        let count = Count {
            passed: 5,
            failed: 0,
            skipped: 12,
        };
        assert_eq!(Count::of_summary(&count.to_string()), Some(count));
        assert_eq!(Count::of_summary("5 passed, 0 failed"), None);
        assert_eq!(Count::of_summary("passed, 1 failed, 2 skipped"), None);
    }

    #[test]
    fn a_test_that_could_not_run_is_named() {
        assert_eq!(
            ignored("test a::b ... ignored, no Java"),
            Some("a::b: no Java".into())
        );
        assert_eq!(ignored("test a::b ... ignored"), Some("a::b".into()));
        assert_eq!(ignored("test a       ... ignored"), Some("a".into()));
        assert_eq!(ignored("test a::b ... ok"), None);
        assert_eq!(
            ignored("test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured"),
            None
        );
    }
}
