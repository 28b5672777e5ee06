//! The name that somebody may have meant.

/// `; did you mean "NAME"?` for the name that is most like `typed`, or nothing when none is.
pub(crate) fn hint<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    nearest(typed, names)
        .map(|name| format!("; did you mean {name:?}?"))
        .unwrap_or_default()
}

/// The name with the fewest changes, if they are few for its length.
fn nearest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (typed.chars().count() / 3).max(2);
    let measured = names.into_iter().map(|name| (changes(typed, name), name));
    measured
        .filter(|(changes, _)| *changes <= limit)
        .min()
        .map(|(_, name)| name)
}

/// Letters to add, drop or replace to turn `a` into `b` (Levenshtein's distance).
fn changes(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_name() {
        let names = ["retention.ms", "retention.bytes", "segment.ms"];
        assert_eq!(nearest("retension.ms", names), Some("retention.ms"));
        assert_eq!(nearest("retention.byte", names), Some("retention.bytes"));
        assert_eq!(nearest("nope", names), None);
        assert_eq!(hint("segmnt.ms", names), "; did you mean \"segment.ms\"?");
    }

    #[test]
    fn changes_are_counted() {
        assert_eq!(changes("kitten", "sitting"), 3);
        assert_eq!(changes("", "abc"), 3);
        assert_eq!(changes("same", "same"), 0);
    }
}
