//! Java's properties files, as far as people write them for Kafka: `name=value`, `name: value`,
//! comments with `#` or `!`, a backslash at the end joins the next line.

use crate::SettingError;
use crate::error::cut;

/// One `name=value`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Property {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// Splits a file into its properties, in order.
pub(crate) fn parse(place: &str, text: &str) -> Result<Vec<Property>, SettingError> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let mut logical = line.trim_start().to_owned();
        if logical.is_empty() || logical.starts_with(['#', '!']) {
            continue;
        }
        while continues(&logical) {
            logical.pop();
            match lines.next() {
                Some((_, more)) => logical.push_str(more.trim_start()),
                None => break,
            }
        }
        found.push(split(&logical).ok_or_else(|| SettingError::Syntax {
            place: format!("{place} line {}", number + 1),
            text: cut(&logical, 200),
        })?);
    }
    Ok(found)
}

/// An odd number of backslashes at the end: the last one is no escaped backslash.
fn continues(line: &str) -> bool {
    line.bytes().rev().take_while(|&b| b == b'\\').count() % 2 == 1
}

/// At the first `=`, `:` or white space that no backslash protects.
fn split(line: &str) -> Option<Property> {
    let mut protected = false;
    let end = line.char_indices().find(|&(_, c)| {
        let hit = !protected && (c == '=' || c == ':' || c.is_whitespace());
        protected = c == '\\' && !protected;
        hit
    });
    let (name, rest) = line.split_at(end?.0);
    let rest = rest.trim_start();
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim();
    (!name.is_empty()).then(|| Property {
        name: unescape(name),
        value: unescape(value),
    })
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => plain.push('\t'),
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('u') => plain.push(unicode(&mut chars)),
            Some(other) => plain.push(other),
            None => {}
        }
    }
    plain
}

/// Four hex digits; U+FFFD for anything else, surrogate halves included.
fn unicode(chars: &mut std::str::Chars<'_>) -> char {
    let digits: String = chars.by_ref().take(4).collect();
    u32::from_str_radix(&digits, 16)
        .ok()
        .and_then(char::from_u32)
        .unwrap_or('\u{fffd}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let found = parse("f", text).unwrap();
        found.into_iter().map(|p| (p.name, p.value)).collect()
    }

    #[test]
    fn the_ways_people_write_properties() {
        let text =
            "# c\n! c\n\n a=1\nb : 2\nc 3\nd=\ne=x=y\nf=one,\\\n   two\ng=C\\:\\\\dir\\u0041\n";
        let want = [
            ("a", "1"),
            ("b", "2"),
            ("c", "3"),
            ("d", ""),
            ("e", "x=y"),
            ("f", "one,two"),
            ("g", "C:\\dirA"),
        ];
        let want: Vec<_> = want
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        assert_eq!(pairs(text), want);
    }

    #[test]
    fn a_line_without_a_value_is_an_error_that_names_the_line() {
        for (text, line) in [("a=1\nnonsense\n", 2), ("=1", 1)] {
            match parse("server.properties", text) {
                Err(SettingError::Syntax { place, .. }) => {
                    assert_eq!(place, format!("server.properties line {line}"));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(text: String) {
            let _ = parse("f", &text);
        }
    }
}
