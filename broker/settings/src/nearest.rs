//! "Did you mean …?"

use crate::setting::{Scope, Setting};

/// The declared name that looks most like `name`, if any is near enough to be a slip.
pub(crate) fn nearest(scope: Scope, name: &str) -> Option<&'static str> {
    let name: Vec<char> = name.chars().take(100).collect();
    let most = name.len() / 4 + 1;
    Setting::all(scope)
        .map(|setting| (distance(&name, setting.name), setting.name))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein's distance.
fn distance(a: &[char], b: &str) -> usize {
    let mut row: Vec<usize> = (0..=a.len()).collect();
    for (i, c) in b.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, d) in a.iter().enumerate() {
            let substituted = diagonal + usize::from(c != *d);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[a.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_find_their_name_and_nonsense_finds_none() {
        let cases = [
            ("log.retension.ms", Some("log.retention.ms")),
            ("num.partition", Some("num.partitions")),
            ("http.listner", Some("http.listener")),
            ("qqqqqqqqqqqqqqqq", None),
            ("", None),
        ];
        for (given, want) in cases {
            assert_eq!(nearest(Scope::Broker, given), want, "{given}");
        }
        assert_eq!(nearest(Scope::Topic, "retention.m"), Some("retention.ms"));
    }
}
