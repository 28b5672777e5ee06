//! The format of Java's properties files: `name=value`, comments, lines that go on, escapes.

use std::collections::BTreeMap;

use super::SecurityError;

/// All properties in a text; of one that is there twice the last counts, as for Java.
pub(super) fn parse(text: &str) -> Result<BTreeMap<String, String>, SecurityError> {
    let mut found = BTreeMap::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut whole = line.to_owned();
        while goes_on(&whole) {
            whole.pop();
            let Some((_, next)) = lines.next() else {
                break;
            };
            whole.push_str(next.trim_start());
        }
        let (name, value) = split(&whole);
        let plain = |part| {
            unescape(part).map_err(|why| SecurityError::new(format!("line {}", number + 1), why))
        };
        found.insert(plain(name)?, plain(value)?);
    }
    Ok(found)
}

/// Whether a line ends with a backslash that is not itself escaped.
fn goes_on(line: &str) -> bool {
    let ends = line.bytes().rev().take_while(|b| *b == b'\\').count();
    ends % 2 == 1
}

/// The name ends at the first blank, `=` or `:`; blanks around that sign belong to neither side.
fn split(line: &str) -> (&str, &str) {
    let blank = |c: char| matches!(c, ' ' | '\t' | '\x0c');
    let mut escaped = false;
    let end = line.find(|c: char| {
        let ends = !escaped && (blank(c) || matches!(c, '=' | ':'));
        escaped = !escaped && c == '\\';
        ends
    });
    let Some(end) = end else {
        return (line, "");
    };
    let (name, rest) = line.split_at(end);
    let rest = rest.trim_start_matches(blank);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (name, rest.trim_start_matches(blank))
}

fn unescape(text: &str) -> Result<String, &'static str> {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            plain.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('t') => plain.push('\t'),
            Some('f') => plain.push('\x0c'),
            Some('u') => {
                let digits = letters.as_str().get(..4);
                let unit = digits.and_then(|d| u32::from_str_radix(d, 16).ok());
                let unit = unit.and_then(char::from_u32);
                plain.push(unit.ok_or("\\u needs the four digits of a letter; write it plainly")?);
                letters = letters.as_str()[4..].chars();
            }
            Some(other) => plain.push(other),
            None => {}
        }
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_read_as_java_reads_it() {
        let text = "# a=b\n! c\n\n  name = value \nother: x=y\nthird  word\nempty\nempty2=\n\
                    long=one\\\n   two\\\\\nnot.long=3\nwith\\ blank\\=x = \\u0041\\n\\t\\\\\\q\nname=again";
        let found = parse(text).expect("it is fine");
        let expected = [
            ("empty", ""),
            ("empty2", ""),
            ("long", "onetwo\\"),
            ("name", "again"),
            ("not.long", "3"),
            ("other", "x=y"),
            ("third", "word"),
            ("with blank=x", "A\n\t\\q"),
        ];
        let expected = expected.map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(found, BTreeMap::from(expected));
    }

    #[test]
    fn a_bad_escape_names_its_line_and_no_value() {
        let error = parse("a=b\nsecret=\\u12").expect_err("it is cut");
        assert_eq!(error.property, "line 2");
        assert!(!error.to_string().contains("12"), "{error}");
        assert!(parse("a=\\uD800").is_err(), "half of a letter");
    }

    proptest! {
        #[test]
        fn nothing_that_is_read_panics(text in "[\\\\u0-9a-f=: \t\n#!é]{0,60}") {
            let _ = parse(&text);
        }

        #[test]
        fn what_is_written_is_read(name in "[a-z.]{1,9}", value in "[ -~éß]{0,30}") {
            let escaped = value.replace('\\', "\\\\");
            let escaped = escaped.strip_prefix(' ').map(|v| format!("\\ {v}")).unwrap_or(escaped);
            let found = parse(&format!("{name}={escaped}")).expect("it is fine");
            prop_assert_eq!(&found[&name], &value);
        }
    }
}
